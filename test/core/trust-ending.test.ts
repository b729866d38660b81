import { describe, expect, test } from 'vitest';
import { DOWN, keyOf, NONE, START, Trace, trusting } from './trust-harness.ts';

const DAY = 86_400_000;

describe('ending trust', () => {
  test('the peer hears it first, then the registry, then the tunnel goes', () => {
    const t = trusting(7);
    expect(t.trust.revoke(t.now, 7)).toBe('done');
    t.does('persist', 'event revoked 7: operator', 'direct revoke to 7');
    expect([t.isTrusted(7), t.trust.pinnedKey(t.now, 7), t.admits(7)]).toEqual([false, undefined, 'drop']);
    t.direct(7, 'revoke', true);
    t.does('revokeTrust 7', 'tearDown 7');
    t.registry('revokeTrust', 7);
    expect(t.elapse(3_600_000)).toEqual(['1000 persist']);
    expect(t.trust.revoke(t.now, 7)).toBe('not_found');
  });

  test('a peer that does not hear is not waited for longer than 2 s', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.drain();
    expect(t.elapse(2_000)).toEqual(['2000 revokeTrust 7', '2000 tearDown 7']);
  });

  test('a revocation that the registry did not confirm is repeated, over a restart, until it does', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.direct(7, 'revoke', true);
    t.drain();
    t.registry('revokeTrust', 7, DOWN);
    expect(t.elapse(70_000)).toEqual(['10000 revokeTrust 7', '20000 revokeTrust 7', '40000 revokeTrust 7']);
    const again = t.restarted();
    again.does('revokeTrust 7');
    again.registry('revokeTrust', 7, { ok: false, code: 'RATE_LIMITED' });
    expect(again.elapse(10_000)).toEqual(['10000 revokeTrust 7']);
    again.registry('revokeTrust', 7, NONE);
    expect(again.elapse(3_600_000)).toEqual(['1000 persist']);
    expect(again.restarted().elapse(3_600_000)).toEqual([]);
  });

  test('a revocation whose peer is still being told is not repeated before its time', () => {
    const t = trusting(7, 8);
    t.trust.revoke(t.now, 7);
    t.direct(7, 'revoke', true);
    t.drain();
    t.elapse(9_000);
    t.trust.revoke(t.now, 8);
    t.drain();
    expect(t.elapse(1_999)).toEqual(['1000 revokeTrust 7']);
    expect(t.elapse(1)).toEqual(['1 revokeTrust 8', '1 tearDown 8']);
  });

  test('many unconfirmed revocations are repeated some at a time, all in turn', () => {
    const peers = Array.from({ length: 40 }, (_, i) => i + 2);
    const t = trusting(...peers);
    for (const peer of peers) t.trust.revoke(t.now, peer);
    for (const peer of peers) t.direct(peer, 'revoke', true);
    expect(t.drain().filter((line) => line.startsWith('revokeTrust'))).toHaveLength(40);
    const again = t.restarted();
    const told = [again.drain(), again.elapse(10_000), again.elapse(20_000)];
    expect(told.map((lines) => lines.length)).toEqual([16, 16, 16]);
    expect(new Set(told.flat().map((line) => line.split(' ').at(-1))).size).toBe(40);
  });

  test('a request of ours is taken back for good', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.drain();
    expect(t.trust.revoke(t.now, 7)).toBe('done');
    t.does('persist', 'event revoked 7: operator', 'direct revoke to 7');
    t.elapse(2_000);
    expect(t.restarted().elapse(10_000)).not.toContain('direct request to 7: hi');
    expect(t.getsMail('accept', 7)).toBe('cooldown');
    t.elapse(DAY);
    expect(t.getsMail('accept', 7)).toBe('unsolicited');
  });

  test('asking again at once carries the revocation out first, and ends its cooldown', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.drain();
    expect(t.trust.request(t.now, 7, 'sorry')).toBe('sent');
    t.does('persist', 'revokeTrust 7', 'tearDown 7', 'direct request to 7: sorry');
    t.registry('revokeTrust', 7, DOWN);
    expect(t.gets('accept', 7)).toBe('accepted');
    expect(t.isTrusted(7)).toBe(true);
    expect(t.elapse(100_000).join(), 'the old revocation must not end the new trust').not.toContain('revokeTrust');
  });

  test('approving the revoked carries the revocation out first too', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.gets('request', 7, { justification: 'please' });
    t.drain();
    t.trust.approve(t.now, 7);
    t.does('persist', 'event approved 7: operator', 'revokeTrust 7', 'tearDown 7', 'reportTrust 7');
    t.registry('revokeTrust', 7, DOWN);
    t.registry('reportTrust', 7);
    t.direct(7, 'accept', true);
    t.drain();
    expect(t.elapse(100_000)).toEqual(['1000 persist']);
    expect(t.gets('request', 7), 'the cooldown is over').toBe('accepted');
    t.does('reportTrust 7');
  });

  test('a peer that ends it is forgotten, and nothing is said about it to the registry', () => {
    const t = trusting(7);
    expect(t.gets('revoke', 7, { reason: 'bye' })).toBe('accepted');
    t.does('persist', 'event revokedByPeer 7: bye', 'tearDown 7');
    expect([t.isTrusted(7), t.admits(7)]).toEqual([false, 'drop']);
    expect(t.elapse(3_600_000)).toEqual([]);
    expect(t.gets('revoke', 7)).toBe('unsolicited');
    expect(t.gets('request', 7), 'it may ask again').toBe('accepted');
  });

  test('a peer may take back its request, and our asking with it', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.request(t.now, 8, 'hi');
    t.drain();
    expect([t.gets('revoke', 7), t.gets('revoke', 8)]).toEqual(['accepted', 'accepted']);
    t.does('persist', 'event revokedByPeer 7', 'event revokedByPeer 8');
    expect(t.tables).toEqual({ trusted: [], pending: [], outgoing: [] });
    expect(t.elapse(DAY)).toEqual([]);
  });

  test('the revoked who asks and takes it back does not stop our revocation', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.gets('request', 7);
    t.drain();
    expect(t.gets('revoke', 7)).toBe('accepted');
    expect(t.drain()).toEqual(['revokeTrust 7', 'tearDown 7', 'persist', 'event revokedByPeer 7']);
  });

  test('trust that rests on a network ends with it', () => {
    const t = trusting(6);
    t.gets('request', 7, {}, { sharedNetwork: 12 });
    t.gets('request', 8, {}, { sharedNetwork: 12 });
    t.gets('request', 9, {}, { sharedNetwork: 13 });
    t.drain();
    t.trust.endMembership(t.now, 12, 7);
    t.trust.endMembership(t.now, 0);
    expect(t.tables.trusted).toEqual([6, 8, 9]);
    expect(t.drain()).toContain('event revoked 7: network');
    t.trust.endMembership(t.now, 12);
    expect(t.tables.trusted).toEqual([6, 9]);
    expect(t.elapse(2_000)).toContain('2000 revokeTrust 8');
  });
});

describe('limits of trust', () => {
  test('trust for some ports is trust for those only, whatever the registry says', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7, { ports: [1000, 1001] });
    expect([t.admits(7, 1000), t.admits(7, 1001), t.admits(7, 22)]).toEqual(['admit', 'admit', 'drop']);
    expect([t.isTrusted(7), t.isTrusted(7, 1000), t.isTrusted(7, 22)]).toEqual([true, true, false]);
    t.trust.noteRegistryAnswer(t.now, 7, true);
    expect(t.admits(7, 22)).toBe('drop');
    const again = t.restarted();
    expect([again.admits(7, 1000), again.admits(7, 22)]).toEqual(['admit', 'drop']);
  });

  test('trust for a time ends to the second, for the registry too', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7, { expiresAt: START + 60 });
    t.registry('reportTrust', 7);
    t.direct(7, 'accept', true);
    t.drain();
    expect(t.elapse(59_999).filter((line) => !line.endsWith('persist'))).toEqual([]);
    expect(t.admits(7)).toBe('admit');
    t.now += 1;
    expect([t.admits(7), t.isTrusted(7), t.tables.trusted]).toEqual(['drop', false, []]);
    expect(t.elapse(1)).toEqual(['1 persist', '1 event revoked 7: expired', '1 direct revoke to 7: expired']);
    expect(t.elapse(2_000)).toEqual(['2000 revokeTrust 7', '2000 tearDown 7']);
    expect(t.admits(7)).toBe('drop');
    expect(t.gets('accept', 7), 'no cooldown: nobody did anything').toBe('unsolicited');
    expect(t.gets('request', 7)).toBe('accepted');
    expect(t.tables.pending).toEqual([7]);
  });

  test('a restart does not make it longer', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7, { expiresAt: START + 60 });
    const again = t.restarted();
    again.drain();
    expect(again.elapse(60_001)).toContain('60001 event revoked 7: expired');
  });

  test('trust that was ended before does not end again', () => {
    const t = new Trace();
    for (const [peer, end] of [
      [7, () => t.trust.revoke(t.now, 7)],
      [8, () => t.gets('revoke', 8)],
    ] as const) {
      t.gets('request', peer);
      t.trust.approve(t.now, peer, { expiresAt: START + 60 });
      end();
    }
    t.drain();
    expect(t.elapse(120_000).filter((line) => line.includes('event'))).toEqual([]);
  });

  test('what begins after the time was up is not ended with it', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7, { expiresAt: START + 60 });
    t.drain();
    t.now += 120_000;
    expect(t.trust.request(t.now, 7, 'hi')).toBe('sent');
    expect(t.drain().slice(0, 3)).toEqual(['persist', 'event revoked 7: expired', 'direct revoke to 7: expired']);
    t.elapse(1_000);
    expect(t.tables.outgoing).toEqual([7]);
    t.now += 1_000;
    expect(t.gets('accept', 7)).toBe('accepted');
    t.elapse(10_000);
    expect(t.trust.trusted(t.now)).toMatchObject([{ nodeId: 7, expiresAt: undefined }]);
  });

  test('a request that comes after the time was up is not ended with it', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7, { expiresAt: START + 60 });
    t.drain();
    t.now += 120_000;
    expect(t.gets('request', 7)).toBe('accepted');
    t.elapse(10_000);
    expect(t.tables).toEqual({ trusted: [], pending: [7], outgoing: [] });
  });

  test('limits stay when trust grows', () => {
    const limits = { ports: [1000], expires_at: '2023-11-15T00:00:00Z' };
    const trusted = [{ node_id: 7, approved_at: '2023-11-14T00:00:00Z', mutual: false, network: 12, ...limits }];
    const t = new Trace({ text: JSON.stringify({ trusted }) });
    t.trust.request(t.now, 7, 'hi');
    t.gets('accept', 7);
    const expiresAt = START + 6_400;
    expect(t.trust.trusted(t.now)).toMatchObject([{ network: 0, ports: [1000], expiresAt, publicKey: keyOf(7) }]);
  });

  test('a wall clock that jumps past the end wakes at once', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.trust.approve(t.now, 7, { expiresAt: START + 3_600 });
    t.drain();
    t.trust.setUnixOffset((START + 7_200) * 1000 - t.now);
    expect(t.trust.pollTimeout()).toBeLessThanOrEqual(t.now);
    expect(t.isTrusted(7)).toBe(false);
  });

  test('requests that nobody answers leave after 30 days', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.drain();
    t.elapse(30 * DAY);
    expect(t.tables.pending).toEqual([7]);
    expect(t.elapse(600_000)).toHaveLength(1);
    expect(t.tables.pending).toEqual([]);
  });
});
