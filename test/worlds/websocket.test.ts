/** Agents that cannot use UDP, or shall not: beacon and relay over a WebSocket, with everything above it unchanged. */
import { expect, test } from 'vitest';
import type { Agent } from '../../bindings/node/index.ts';
import { type Simulation, simulate } from '../../bindings/node/testing.ts';

const SEED = 21;
const NO_UDP = { machine: { isUdpBlocked: true } } as const;

/** Sends `length` bytes through bob's echo and checks what comes back. */
async function echo(
  sim: Simulation,
  from: Agent,
  to: Agent,
  what: { length: number; midway?: () => void },
): Promise<void> {
  const { world } = sim;
  const { length, midway = () => {} } = what;
  const connection = await world.finish(from.dial(`${to.nodeId}:7`));
  const sent = new Uint8Array(length);
  for (let i = 0; i < length; i++) sent[i] = (i * 31 + (i >> 8)) & 0xff;
  const writing = (async (): Promise<void> => {
    const writer = connection.writable.getWriter();
    for (let at = 0; at < length; at += 10_000) await writer.write(sent.subarray(at, at + 10_000));
  })();
  const reading = (async (): Promise<Uint8Array> => {
    const got = new Uint8Array(length);
    let filled = 0;
    const reader = connection.readable.getReader();
    while (filled < length) {
      const { value } = await reader.read();
      if (value === undefined) break;
      got.set(value, filled);
      filled += value.length;
      if (filled >= length / 2) midway();
    }
    return got.subarray(0, filled);
  })();
  const [, got] = await world.finish(Promise.all([writing, reading]), 120_000);
  expect(Buffer.compare(got, sent)).toBe(0);
  await world.finish(connection.close());
}

async function datagram(sim: Simulation, from: Agent, to: Agent): Promise<void> {
  const inbox = to.datagrams(5000);
  const items = inbox[Symbol.asyncIterator]();
  const next = items.next();
  await sim.world.finish(from.send(`${to.nodeId}:5000`, Uint8Array.of(1, 2, 3)));
  const { value } = await sim.world.finish(next);
  expect([value?.peer.node, ...(value?.bytes ?? [])]).toEqual([from.nodeId, 1, 2, 3]);
  inbox.close();
}

test('where UDP is blocked, auto takes the WebSocket, and everything works both ways', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  const bob = await sim.agent('bob');
  const before = sim.world.now;
  const alice = await sim.agent('alice', NO_UDP);
  expect(sim.world.now - before).toBeGreaterThan(1_500);
  expect(sim.world.now - before).toBeLessThan(2_000);
  expect(alice.stats()).toMatchObject({ carrier: 'websocket', carrierReason: 'beacon-silent-over-udp' });
  expect(bob.stats()).toMatchObject({ carrier: 'udp', carrierReason: 'beacon-answers-over-udp' });
  await sim.befriend(alice, bob);
  await echo(sim, alice, bob, { length: 300_000 });
  await echo(sim, bob, alice, { length: 300_000 });
  await datagram(sim, alice, bob);
  await datagram(sim, bob, alice);
  await sim.world.finish(bob.ping(alice.address));
  await sim.world.finish(alice.ping(bob.address));
  expect(await sim.world.finish(alice.explain('bob'))).toEqual({
    ...{ path: 'relay', reason: 'websocket-carries-relays-only' },
    ...{ carrier: 'websocket', carrierReason: 'beacon-silent-over-udp' },
  });
  expect(await sim.world.finish(bob.explain('alice'))).toMatchObject({ path: 'relay', carrier: 'udp' });
  expect(sim.rendezvous.stats()).toMatchObject({ carriedNodes: 1, openWebSockets: 1 });
  await sim.end(alice, bob);
});

test('agents that ask for the WebSocket use nothing else', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  const alice = await sim.agent('alice', { transport: 'websocket' });
  const bob = await sim.agent('bob', { transport: 'websocket', rendezvous: sim.rendezvous.webUrl });
  await sim.befriend(alice, bob);
  await echo(sim, alice, bob, { length: 100_000 });
  await datagram(sim, bob, alice);
  expect(sim.world.stats().sent).toBe(0);
  expect(alice.stats()).toMatchObject({ carrier: 'websocket', carrierReason: 'asked-for' });
  expect(sim.rendezvous.stats()).toMatchObject({ carriedNodes: 2, openWebSockets: 4, openLinks: 2 });
  await sim.end(alice, bob);
});

test('a beacon that answers late is not left', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  let discovers = 0;
  sim.world.cut(({ sender, bytes }) => sender === 'alice' && bytes[0] === 1 && discovers++ < 2);
  const alice = await sim.agent('alice');
  expect(discovers).toBeGreaterThan(2);
  expect(alice.stats()).toMatchObject({ carrier: 'udp', carrierReason: 'beacon-answers-over-udp' });
  await sim.world.elapse(60_000);
  expect(sim.rendezvous.stats()).toMatchObject({ carriedNodes: 0, openWebSockets: 0 });
  await sim.end(alice);
});

test('what was known by UDP goes on over the WebSocket', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  const bob = await sim.agent('bob');
  // Datagrams between the two pass; those to and from the beacon do not.
  sim.world.cut(
    ({ sender, receiver }) => [sender, receiver].includes('alice') && sender !== 'bob' && receiver !== 'bob',
  );
  const alice = await sim.agent('alice');
  expect(alice.stats().carrier).toBe('websocket');
  await sim.befriend(alice, bob);
  await echo(sim, bob, alice, { length: 50_000 });
  expect(await sim.world.finish(bob.explain('alice'))).toMatchObject({ path: 'relay' });
  await sim.end(alice, bob);
});

test('a link that breaks is opened again at once, under the same address, and the stream goes on', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  const bob = await sim.agent('bob');
  const alice = await sim.agent('alice', NO_UDP);
  await sim.befriend(alice, bob);
  await world.elapse(5_000);
  const { nodeId } = alice;
  let brokenAt = 0;
  const midway = (): void => {
    if (brokenAt > 0) return;
    brokenAt = world.now;
    world.breakLinks('alice');
  };
  await echo(sim, alice, bob, { length: 1_000_000, midway });
  expect(brokenAt).toBeGreaterThan(0);
  expect(alice.nodeId).toBe(nodeId);
  world.breakLinks('alice');
  const at = world.now;
  await world.runUntil(() => sim.rendezvous.stats().carriedNodes === 0);
  await world.runUntil(() => sim.rendezvous.stats().carriedNodes === 1);
  await world.finish(bob.ping(alice.address));
  expect(world.now - at).toBeLessThan(2_000);
  await sim.end(alice, bob);
});

test('a link through which nothing comes any more is noticed without a ping', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  const alice = await sim.agent('alice', NO_UDP);
  const bob = await sim.agent('bob');
  await sim.befriend(alice, bob);
  const news: string[] = [];
  alice.on('diagnostics', ({ code }) => news.push(code));
  world.block('alice', 'rendezvous');
  await world.elapse(45_000);
  expect(news).toContain('carrierLost');
  world.unblock('alice', 'rendezvous');
  await world.elapse(45_000);
  expect(news).toContain('carrier');
  await world.finish(bob.ping(alice.address));
  await sim.end(alice, bob);
});

test('the rendezvous starts again and knows nobody: everybody comes back', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  const alice = await sim.agent('alice', NO_UDP);
  const bob = await sim.agent('bob', { transport: 'websocket' });
  await sim.befriend(alice, bob);
  await world.finish(sim.rendezvous.close());
  await world.elapse(3_000);
  await sim.serve();
  await world.runUntil(() => sim.rendezvous.stats().carriedNodes === 2, 60_000);
  await echo(sim, alice, bob, { length: 20_000 });
  await sim.end(alice, bob);
});

test('a second program with the key takes over, and the first does not fight back', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  const path = '/keys/identity.json';
  const first = await sim.agent('first', { ...NO_UDP, identity: path, hostname: 'shared' });
  const stored = await world.host('first').files.read(path);
  await world.host('second', {}).files.writeAtomic(path, stored as Uint8Array);
  const news: string[] = [];
  first.on('diagnostics', ({ code, facts }) => news.push(`${code} ${facts.cause}`));
  const second = await sim.agent('second', { transport: 'websocket', identity: path, hostname: 'shared' });
  expect(second.nodeId).toBe(first.nodeId);
  await world.elapse(120_000);
  expect(news).toEqual(['carrierReplaced REPLACED']);
  expect(sim.rendezvous.stats().web).toMatchObject({ bridgeProven: 2, bridgeReplaced: 1 });
  expect(sim.rendezvous.stats().carriedNodes).toBe(1);
  await sim.end(first, second);
});

test('a rendezvous without UDP and with nobody at its WebSocket still takes registrations', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve({ webLinks: 0 });
  const alice = await sim.agent('alice', NO_UDP);
  const carrierReason = 'beacon-silent-over-udp-and-no-websocket';
  expect(alice.stats()).toMatchObject({ carrier: 'udp', carrierReason });
  await expect(sim.agent('bob', { transport: 'websocket' })).rejects.toMatchObject({ code: 'RENDEZVOUS_UNREACHABLE' });
  await sim.end(alice);
});
