import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import { ACTIVE, ANSWER_ATTEMPTS, DELIVERIES, type Delivery, TrustSteps } from '../../src/core/trust-steps.ts';
import { DOWN, OK, Trace, trusting } from './trust-harness.ts';

/** Only what goes to peers and the registry. */
function sent(lines: string[]): string[] {
  return lines.filter((line) => !/persist|event/.test(line));
}

function asking(): Trace {
  const t = new Trace();
  t.trust.request(t.now, 7, 'hi');
  t.drain();
  return t;
}

/** A request of 7, which came `by`, was approved, and the registry knows. */
function approving(by: 'stream' | 'mailbox'): Trace {
  const t = new Trace();
  if (by === 'stream') t.gets('request', 7);
  else t.getsMail('request', 7);
  t.trust.approve(t.now, 7);
  t.registry('reportTrust', 7);
  t.elapse(1_000);
  t.drain();
  return t;
}

describe('a request', () => {
  test('goes over the relay at once when it cannot go directly', () => {
    const t = asking();
    t.direct(7, 'request', false);
    t.does('relayRequest 7: hi');
  });

  test('goes over the relay after 2 s when nothing is known of the direct one', () => {
    const t = asking();
    expect(t.elapse(1_999)).toEqual([]);
    expect(t.elapse(1)).toEqual(['2000 relayRequest 7: hi'].map((line) => line.replace('2000', '1')));
    t.direct(7, 'request', false);
    t.does();
  });

  test('that arrived rests, and goes the other way the next time (H8)', () => {
    const t = asking();
    t.direct(7, 'request', true);
    expect(t.elapse(9_999)).toEqual([]);
    expect(t.elapse(1)).toEqual(['1 relayRequest 7: hi']);
    t.registry('relayRequest', 7);
    expect(t.elapse(20_000)).toEqual(['20000 direct request to 7: hi']);
    t.direct(7, 'request', true);
    expect(t.elapse(40_000)).toEqual(['40000 relayRequest 7: hi']);
  });

  test('that waits at the registry already rests as well', () => {
    const t = asking();
    t.direct(7, 'request', false);
    t.drain();
    t.registry('relayRequest', 7, { ok: false, code: 'ALREADY_EXISTS' });
    expect(t.elapse(10_000)).toEqual(['10000 relayRequest 7: hi']);
  });

  test('is repeated ever more rarely, at least every hour, until it is answered', () => {
    const t = asking();
    const times: number[] = [];
    for (const line of t.elapse(86_400_000)) {
      if (/request/i.test(line)) times.push(Number.parseInt(line, 10));
    }
    const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(gaps.every((gap) => gap <= 3_600_000 + 32_000)).toBe(true);
    expect(gaps.slice(-10).some((gap) => gap >= 3_600_000)).toBe(true);
    expect(times.length).toBeLessThan(70);
    t.getsMail('accept', 7);
    t.drain();
    expect(t.elapse(86_400_000).filter((line) => /request/i.test(line))).toEqual([]);
  });

  test('opens the reply window each time that it is sent', () => {
    const t = asking();
    expect([t.admits(7, 1001), t.admits(7, 1000)]).toEqual(['admit', 'ask']);
    t.direct(7, 'request', true);
    t.elapse(9_999);
    t.now += 1;
    t.trust.handleTimeout(t.now);
    t.registry('relayRequest', 7);
    t.now += 299_999;
    expect(t.admits(7, 1001)).toBe('admit');
    t.now += 1;
    expect(t.admits(7, 1001)).toBe('ask');
  });

  test('late and foreign results change nothing', () => {
    const t = asking();
    t.direct(7, 'accept', true);
    t.direct(8, 'request', false);
    t.registry('relayRequest', 7);
    t.registry('relayRespond', 7);
    t.registry('reportTrust', 7);
    t.registry('revokeTrust', 7);
    t.does();
    expect(t.elapse(2_000)).toEqual(['2000 relayRequest 7: hi']);
    t.direct(7, 'request', false);
    expect(t.trust.request(t.now, 7, 'hi'), 'the relay was not answered yet').toBe('in_flight');
    t.registry('relayRequest', 7);
    t.registry('relayRequest', 7);
    expect(t.elapse(10_000)).toEqual(['10000 relayRequest 7: hi']);
  });
});

describe('an approval', () => {
  test('waits 2 s for the registry, not longer', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7);
    t.drain();
    expect(sent(t.elapse(2_000))).toEqual(['2000 relayRespond 7: yes', '2000 direct accept to 7']);
    t.registry('reportTrust', 7);
    t.direct(7, 'accept', true);
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('that the peer has and the registry has is over', () => {
    const t = approving('stream');
    t.direct(7, 'accept', true);
    t.registry('relayRespond', 7, DOWN);
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('in the mailbox reaches who asked through it', () => {
    const t = approving('mailbox');
    t.registry('relayRespond', 7);
    t.direct(7, 'accept', false);
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('in the mailbox does not reach who asked directly: it is tried again', () => {
    const t = approving('stream');
    t.registry('relayRespond', 7);
    t.direct(7, 'accept', false);
    expect(t.elapse(10_000)).toEqual(['10000 relayRespond 7: yes', '10000 direct accept to 7']);
    t.direct(7, 'accept', true);
    expect(t.elapse(86_400_000)).toEqual([]);
  });

  test('that the registry missed is reported again, without telling the peer twice', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7);
    t.registry('reportTrust', 7, DOWN);
    t.direct(7, 'accept', true);
    t.registry('relayRespond', 7, DOWN);
    t.drain();
    expect(t.elapse(10_000)).toEqual(['10000 reportTrust 7']);
    t.registry('reportTrust', 7);
    t.does();
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('is given up after eight attempts: who missed it asks again', () => {
    const t = approving('stream');
    const attempts = 1 + t.elapse(86_400_000).filter((line) => line.includes('direct accept')).length;
    expect(attempts).toBe(ANSWER_ATTEMPTS);
    t.gets('request', 7);
    expect(sent(t.drain())).toEqual(['reportTrust 7']);
  });

  test('of a peer that asked both ways reaches it through the mailbox too', () => {
    const t = new Trace({ autoApprove: true });
    t.gets('request', 7);
    t.getsMail('request', 7);
    t.registry('reportTrust', 7);
    t.drain();
    t.registry('relayRespond', 7);
    t.direct(7, 'accept', false);
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('of ours that the peer gave is for the registry only, repeated until it knows', () => {
    const t = asking();
    t.gets('accept', 7);
    t.drain();
    t.registry('reportTrust', 7, DOWN);
    expect(t.elapse(10_000)).toEqual(['10000 reportTrust 7']);
    t.registry('reportTrust', 7);
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('that the peer gave and asks for in turn is told after all', () => {
    const t = asking();
    t.gets('accept', 7);
    t.gets('request', 7);
    t.drain();
    t.registry('reportTrust', 7);
    t.does('relayRespond 7: yes', 'direct accept to 7');
  });

  test('is reported for as long as it takes, when the peer is told no more', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7);
    t.drain();
    const lines = sent(t.elapse(86_400_000));
    expect(lines.filter((line) => line.includes('direct accept'))).toHaveLength(ANSWER_ATTEMPTS);
    expect(lines.slice(-10).every((line) => line.endsWith('reportTrust 7'))).toBe(true);
    expect(lines.length).toBeLessThan(60);
    t.registry('reportTrust', 7);
    expect(sent(t.elapse(86_400_000))).toEqual([]);
  });

  test('that a crash kept from the registry is told after the restart', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7);
    const again = t.restarted();
    again.does('reportTrust 7');
    again.registry('reportTrust', 7);
    again.does('relayRespond 7: yes', 'direct accept to 7');
    again.elapse(1_000);
    expect(again.restarted().drain()).toEqual([]);
  });
});

describe('a rejection', () => {
  test('is tried again until one way worked', () => {
    const t = new Trace();
    t.getsMail('request', 7);
    t.drain();
    t.trust.reject(t.now, 7, 'no');
    t.direct(7, 'reject', false);
    t.registry('relayRespond', 7, DOWN);
    t.drain();
    expect(t.elapse(10_000)).toEqual(['10000 relayRespond 7: no', '10000 direct reject to 7: no']);
    t.registry('relayRespond', 7);
    expect(t.elapse(86_400_000)).toEqual([]);
  });
});

describe('many at once', () => {
  test('after a restart at most 16 requests are under way', () => {
    const t = new Trace();
    for (let peer = 2; peer < 102; peer++) t.trust.request(t.now, peer, '');
    const again = t.restarted();
    expect(again.drain()).toHaveLength(ACTIVE);
    for (let peer = 2; peer < 10; peer++) again.direct(peer, 'request', true);
    expect(sent(again.elapse(0))).toHaveLength(8);
    again.trust.request(again.now, 200, 'now');
    expect(again.drain(), 'the operator does not wait').toContain('direct request to 200: now');
  });

  test('what the operator began anew has no second turn', () => {
    const t = new Trace();
    for (let peer = 2; peer < 102; peer++) t.trust.request(t.now, peer, '');
    const again = t.restarted();
    const begun = again.drain();
    for (let peer = 2; peer < 102; peer++) again.trust.request(again.now, peer, 'now');
    begun.push(...again.drain());
    for (let peer = 2; peer < 102; peer++) again.direct(peer, 'request', true);
    expect(again.elapse(9_000)).toEqual([]);
    expect(begun.filter((line) => line.endsWith('now'))).toHaveLength(100);
  });

  test('all of them get their turn', () => {
    const t = new Trace();
    for (let peer = 2; peer < 102; peer++) t.trust.request(t.now, peer, '');
    const again = t.restarted();
    const asked = new Set<string>();
    for (const line of [...again.drain(), ...again.elapse(240_000)]) {
      if (line.includes('direct request')) asked.add(line.split(' ').at(-1) ?? '');
    }
    expect(asked.size).toBe(100);
  });

  const answer = (peer: number, purpose: Delivery['purpose']): Delivery => ({
    peer,
    purpose,
    text: '',
    isFromMailbox: false,
    isTold: false,
  });

  test('answers have 4,096 places; revocations are carried out all the same', () => {
    const steps = new TrustSteps();
    for (let peer = 2; peer < 10_000; peer++) steps.start(0, answer(peer, 'accept'));
    expect(steps.size).toBe(DELIVERIES);
    while (steps.pollAction() !== undefined);
    steps.start(0, answer(20_000, 'revoke'));
    expect([steps.pollAction(), steps.pollAction(), steps.pollAction()]).toEqual([
      { type: 'revokeTrust', peer: 20_000 },
      { type: 'tearDown', peer: 20_000 },
      undefined,
    ]);
    steps.start(0, answer(20_001, 'request'));
    expect(steps.size, 'requests are bounded by their own table').toBe(DELIVERIES + 1);
  });

  test('whoever asks everybody stays within its tables', () => {
    const t = new Trace();
    for (let peer = 2; peer < 5_000; peer++) t.trust.request(t.now, peer, '');
    const asked = new Set(t.drain());
    expect(asked.size).toBeGreaterThan(4_000);
    t.elapse(1_000);
    expect(t.tables.outgoing).toHaveLength(LIMITS.outgoingTrust);
    const later = sent(t.elapse(3_600_000)).filter((line) => line.includes('relayRequest'));
    expect(new Set(later.map((line) => line.split(' ').at(-1))).size).toBe(LIMITS.outgoingTrust);
  });
});

test('the newest word to a peer replaces the one before', () => {
  const t = asking();
  t.gets('request', 7);
  t.trust.revoke(t.now, 7);
  expect(sent(t.drain())).toEqual(['reportTrust 7', 'direct revoke to 7']);
  t.registry('reportTrust', 7);
  t.direct(7, 'request', false);
  t.does();
  t.direct(7, 'revoke', true);
  t.registry('revokeTrust', 7, OK);
  t.does('revokeTrust 7', 'tearDown 7');
  expect(sent(t.elapse(86_400_000))).toEqual([]);
});

test('a revocation that arrives in both directions is carried out once', () => {
  const t = trusting(7);
  t.trust.revoke(t.now, 7);
  t.drain();
  expect(t.gets('revoke', 7)).toBe('unsolicited');
  t.direct(7, 'revoke', true);
  t.does('revokeTrust 7', 'tearDown 7');
});
