import { expect, test } from 'vitest';
import { type Agent, TrustWorld } from './trust-world.ts';

const SEEDS = Array.from({ length: process.env.PILOTWIRE_LONG === '1' ? 200 : 6 }, (_, i) => i + 1);
const MINUTE = 60_000;
const ACTS = ['request', 'request', 'approve', 'approve', 'reject', 'revoke'] as const;

function pairs(world: TrustWorld): [Agent, Agent][] {
  return world.agents.flatMap((a) => world.agents.filter((b) => b !== a).map((b): [Agent, Agent] => [a, b]));
}

function trusts(world: TrustWorld, a: Agent, b: Agent): boolean {
  return a.trust.isTrusted(world.now, b.id);
}

test('two strangers come to trust each other in seconds, on both sides and at the registry', () => {
  const w = new TrustWorld(1, 2);
  const [a, b] = w.agents as [Agent, Agent];
  w.act(a, 'request', b.id);
  w.elapse(2_000);
  w.act(b, 'approve', a.id);
  w.elapse(3_000);
  expect([trusts(w, a, b), trusts(w, b, a), w.registry.isTrusted(a.id, b.id)]).toEqual([true, true, true]);
});

test('the same over the mailbox alone', () => {
  const w = new TrustWorld(1, 2);
  const [a, b] = w.agents as [Agent, Agent];
  w.elapse(10_000);
  w.lossPercent = 100;
  w.act(a, 'request', b.id);
  w.lossPercent = 0;
  w.elapse(40_000);
  expect(b.trust.pending()).toHaveLength(1);
  w.act(b, 'approve', a.id);
  w.elapse(5_000);
  expect([trusts(w, a, b), trusts(w, b, a), w.registry.isTrusted(a.id, b.id)]).toEqual([true, true, true]);
});

test.each(SEEDS)('nobody is trusted whom its operator does not want, whatever is lost (seed %i)', (seed) => {
  const w = new TrustWorld(seed, 3);
  const isConsented = (): void => {
    for (const [a, b] of pairs(w)) {
      if (trusts(w, a, b) && !a.wanted.has(b.id)) throw new Error(`${a.id} trusts ${b.id} at ${w.now}`);
    }
  };
  for (let i = 0; i < 40; i++) {
    w.lossPercent = w.random.below(60);
    w.isRegistryUp = w.random.chance(0.8);
    const [a, b] = pairs(w)[w.random.below(6)] as [Agent, Agent];
    w.act(a, ACTS[w.random.below(ACTS.length)] ?? 'request', b.id);
    if (w.random.chance(0.1)) w.crash(a);
    w.elapse(w.random.below(w.random.chance(0.6) ? 3_000 : 5 * MINUTE), isConsented);
  }
});

test.each(SEEDS)('once nothing is lost, who wants each other trusts each other everywhere (seed %i)', (seed) => {
  const w = new TrustWorld(seed, 3);
  w.lossPercent = 50;
  for (let i = 0; i < 20; i++) {
    w.isRegistryUp = w.random.chance(0.7);
    const [a, b] = pairs(w)[w.random.below(6)] as [Agent, Agent];
    w.act(a, ACTS[w.random.below(ACTS.length)] ?? 'request', b.id);
    if (w.random.chance(0.2)) w.crash(b);
    w.elapse(w.random.below(2 * MINUTE));
  }
  w.lossPercent = 0;
  w.isRegistryUp = true;
  for (const [a, b] of pairs(w)) w.act(a, 'request', b.id);
  w.elapse(40 * MINUTE);
  for (const [a, b] of pairs(w)) {
    expect([trusts(w, a, b), w.registry.isTrusted(a.id, b.id)], `${a.id} and ${b.id}`).toEqual([true, true]);
    expect(a.trust.outgoing()).toEqual([]);
  }
});

test.each(SEEDS)('what was revoked ends at the registry too, over losses and crashes (seed %i)', (seed) => {
  const w = new TrustWorld(seed, 2);
  const [a, b] = w.agents as [Agent, Agent];
  w.act(a, 'request', b.id);
  w.elapse(2_000);
  w.act(b, 'approve', a.id);
  w.elapse(MINUTE);
  expect(w.registry.isTrusted(a.id, b.id)).toBe(true);
  w.lossPercent = 70;
  w.isRegistryUp = false;
  w.act(a, 'revoke', b.id);
  w.elapse(w.random.below(10_000));
  w.crash(a);
  w.isRegistryUp = true;
  w.elapse(60 * MINUTE);
  w.lossPercent = 0;
  w.elapse(180 * MINUTE);
  expect([trusts(w, a, b), w.registry.isTrusted(a.id, b.id)]).toEqual([false, false]);
  expect(a.trust.admits(w.now, b.id, 1000)).toBe('drop');
});
