import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import { DOWN, keyOf, START, Trace, trusting, US } from './trust-harness.ts';

const DAY = 86_400_000;

describe('asking', () => {
  test('an accept to what we asked makes trust, which the registry is told', () => {
    const t = new Trace();
    expect(t.trust.request(t.now, 7, 'to share results')).toBe('sent');
    t.does('persist', 'direct request to 7: to share results');
    t.direct(7, 'request', true);
    expect(t.gets('accept', 7)).toBe('accepted');
    t.does('persist', 'event approved 7: peer', 'reportTrust 7');
    expect(t.tables).toEqual({ trusted: [7], pending: [], outgoing: [] });
    expect(t.trust.trusted(t.now)[0]).toMatchObject({ publicKey: keyOf(7), isMutual: true, network: 0 });
    t.registry('reportTrust', 7);
    expect(t.elapse(60_000)).toEqual(['1000 persist']);
  });

  test('an accept out of the mailbox counts the same', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, '');
    t.direct(7, 'request', false);
    t.registry('relayRequest', 7);
    t.does('persist', 'direct request to 7', 'relayRequest 7');
    expect(t.getsMail('accept', 7)).toBe('accepted');
    t.does('persist', 'event approved 7: peer', 'reportTrust 7');
    expect(t.trust.pinnedKey(t.now, 7)).toEqual(keyOf(7));
  });

  test('an accept five hours later is honoured, also after a restart', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.elapse(5 * 3_600_000);
    const again = t.restarted();
    again.drain();
    expect(again.getsMail('accept', 7)).toBe('accepted');
    expect(again.isTrusted(7)).toBe(true);
  });

  test('a request is forgotten after 30 days', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.elapse(30 * DAY);
    expect(t.tables.outgoing).toEqual([7]);
    t.elapse(600_000);
    expect(t.tables.outgoing).toEqual([]);
    expect(t.gets('accept', 7)).toBe('unsolicited');
    expect(t.elapse(DAY)).toEqual([]);
  });

  test('a rejection ends the asking', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.drain();
    expect(t.gets('reject', 7, { reason: 'not\u001b[2J today' })).toBe('accepted');
    t.does('persist', 'event rejected 7: not[2J today');
    expect(t.tables.outgoing).toEqual([]);
    expect(t.elapse(DAY)).toEqual([]);
    expect(t.gets('reject', 7, { timestamp: t.time + 1 })).toBe('unsolicited');
  });

  test('a rejection out of the mailbox needs no key', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.drain();
    expect(t.getsMail('reject', 7, {}, { registryKey: undefined })).toBe('accepted');
    t.does('persist', 'event rejected 7');
    expect(t.getsMail('reject', 7, {}, { registryKey: undefined })).toBe('unsolicited');
  });

  test('the same request while it is being made is in flight, later it is made again', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.drain();
    expect(t.trust.request(t.now, 7, 'hi')).toBe('in_flight');
    t.does();
    t.direct(7, 'request', true);
    expect(t.trust.request(t.now, 7, 'hi')).toBe('sent');
    t.does('persist', 'direct request to 7: hi');
    expect(t.trust.request(t.now, 7, 'hi again')).toBe('sent');
    t.does('persist', 'direct request to 7: hi again');
    expect(t.trust.outgoing()).toEqual([{ nodeId: 7, justification: 'hi again', requestedAt: START }]);
  });

  test('ourselves, nobody and everybody cannot be asked', () => {
    const t = new Trace();
    for (const peer of [US, 0, 0xffff_ffff, -1]) expect(t.trust.request(t.now, peer, '')).toBe('invalid');
    t.does();
  });

  test('who asked us gets a yes instead of a request', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.drain();
    expect(t.trust.request(t.now, 7, 'hi')).toBe('already_trusted');
    t.does('persist', 'event approved 7: operator', 'reportTrust 7');
    expect(t.trust.request(t.now, 7, 'hi')).toBe('already_trusted');
    t.does();
  });

  test('who may only have asked is asked: its name was on a request that nobody could confirm', () => {
    const t = new Trace();
    expect(t.getsMail('request', 7, {}, { registryKey: undefined })).toBe('accepted');
    t.drain();
    expect(t.trust.request(t.now, 7, 'hi')).toBe('sent');
    expect(t.isTrusted(7)).toBe(false);
    expect(t.trust.approve(t.now, 7), 'the operator may believe it').toBe('done');
    expect(t.trust.trusted(t.now)).toMatchObject([{ publicKey: undefined, isMutual: true }]);
  });

  test('1,024 requests are remembered, the oldest is forgotten for the next', () => {
    const t = new Trace();
    for (let peer = 2; peer < 2 + LIMITS.outgoingTrust; peer++) t.trust.request(t.now, peer, '');
    expect(t.tables.outgoing).toHaveLength(LIMITS.outgoingTrust);
    t.trust.request(t.now, 90_000, '');
    expect(t.tables.outgoing).toHaveLength(LIMITS.outgoingTrust);
    t.trust.request(t.now, 5, 'again');
    expect([t.gets('accept', 2), t.gets('accept', 3), t.gets('accept', 4)]).toEqual([
      'unsolicited',
      'accepted',
      'accepted',
    ]);
  });

  test('before we are registered nothing is sent, and all of it as soon as we are', () => {
    const t = new Trace({ localId: 0 });
    expect(t.trust.request(t.now, 7, 'hi')).toBe('sent');
    t.does('persist');
    expect(t.gets('accept', 7), 'nothing can be meant for us').toBe('badSender');
    expect(t.getsMail('accept', 7)).toBe('badSender');
    t.trust.setLocalId(t.now, US);
    expect(t.elapse(0)).toEqual(['0 direct request to 7: hi']);
    t.trust.setLocalId(t.now, US);
    expect(t.elapse(0)).toEqual([]);
  });

  test('the mailbox is to be read often for two minutes after each time that we asked', () => {
    const t = new Trace();
    expect(t.trust.isAwaiting(t.now)).toBe(false);
    t.trust.request(t.now, 7, 'hi');
    t.direct(7, 'request', true);
    expect(t.trust.isAwaiting(t.now)).toBe(true);
    t.elapse(40 * 60_000);
    expect(t.trust.isAwaiting(t.now)).toBe(false);
    expect(t.elapse(60 * 60_000).length).toBeGreaterThan(0);
    t.trust.request(t.now, 7, 'hi');
    expect(t.trust.isAwaiting(t.now + 119_999)).toBe(true);
    expect(t.trust.isAwaiting(t.now + 120_000)).toBe(false);
    t.gets('accept', 7);
    expect(t.trust.isAwaiting(t.now), 'answered').toBe(false);
  });
});

describe('being asked', () => {
  test('a stranger waits for the operator, and approval goes to the registry before the peer', () => {
    const t = new Trace();
    expect(t.gets('request', 7, { justification: 'let me\u202e in' })).toBe('accepted');
    t.does('event received 7: let me in', 'event pending 7: let me in');
    expect(t.trust.pending()).toMatchObject([{ nodeId: 7, publicKey: keyOf(7), receivedAt: START }]);
    expect(t.admits(7)).toBe('ask');
    expect(t.trust.approve(t.now, 7)).toBe('done');
    t.does('persist', 'event approved 7: operator', 'reportTrust 7');
    expect([t.admits(7), t.isTrusted(7)]).toEqual(['admit', true]);
    t.registry('reportTrust', 7);
    t.does('relayRespond 7: yes', 'direct accept to 7');
    expect(t.tables).toEqual({ trusted: [7], pending: [], outgoing: [] });
  });

  test('requests over streams are written within a second, those of the mailbox before anything else', () => {
    const t = new Trace();
    t.gets('request', 7);
    t.gets('request', 8);
    expect(t.drain()).not.toContain('persist');
    expect(t.elapse(1_000)).toEqual(['1000 persist']);
    t.getsMail('request', 9, { justification: 'hi' });
    t.does('persist', 'event received 9: hi', 'event pending 9: hi');
    expect(t.elapse(10_000)).toEqual([]);
  });

  test('a request that comes again overwrites, and is news only when it says something else', () => {
    const t = new Trace();
    t.gets('request', 7, { justification: 'one' });
    t.drain();
    t.elapse(5_000);
    expect(t.gets('request', 7, { justification: 'one' })).toBe('accepted');
    t.does();
    t.elapse(5_000);
    expect(t.gets('request', 7, { justification: 'two' })).toBe('accepted');
    t.does('event received 7: two', 'event pending 7: two');
    expect(t.trust.pending()).toMatchObject([{ justification: 'two', receivedAt: START + 10 }]);
  });

  test('a request whose sender is confirmed only later is news', () => {
    const t = new Trace();
    t.getsMail('request', 7, {}, { registryKey: undefined });
    t.drain();
    expect(t.gets('request', 7)).toBe('accepted');
    t.does('event received 7', 'event pending 7');
    expect(t.trust.pending()).toMatchObject([{ publicKey: keyOf(7) }]);
  });

  test('a rejection goes both ways and leaves nothing', () => {
    const t = new Trace();
    t.getsMail('request', 7);
    t.drain();
    expect(t.trust.reject(t.now, 7, 'no\nthanks')).toBe('done');
    t.does('persist', 'relayRespond 7: no', 'direct reject to 7: no thanks');
    expect(t.tables.pending).toEqual([]);
    expect(t.trust.reject(t.now, 7, '')).toBe('not_found');
  });

  test('what does not wait can be neither approved nor rejected', () => {
    const t = trusting(8);
    expect([t.trust.approve(t.now, 7), t.trust.reject(t.now, 7, '')]).toEqual(['not_found', 'not_found']);
    expect([t.trust.approve(t.now, 8), t.trust.reject(t.now, 8, '')]).toEqual(['already_trusted', 'not_found']);
    t.does();
  });

  test('both asked: trust at once, with an answer', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    t.drain();
    expect(t.gets('request', 7, { justification: 'ho' })).toBe('accepted');
    t.does('persist', 'event received 7: ho', 'event autoApproved 7: mutual 0', 'reportTrust 7');
    t.registry('reportTrust', 7);
    t.does('relayRespond 7: yes', 'direct accept to 7');
    expect(t.gets('accept', 7), 'the peer came to the same end').toBe('accepted');
    t.does();
    expect(t.trust.trusted(t.now)).toMatchObject([{ nodeId: 7, isMutual: true }]);
  });

  test('a shared network is a reason, the backbone is none', () => {
    const t = new Trace();
    t.gets('request', 7, {}, { sharedNetwork: 0 });
    expect(t.drain()).toContain('event pending 7');
    expect(t.gets('request', 8, {}, { sharedNetwork: 12 })).toBe('accepted');
    expect(t.drain()).toContain('event autoApproved 8: same_network 12');
    expect(t.trust.trusted(t.now)).toMatchObject([{ nodeId: 8, network: 12, isMutual: false }]);
  });

  test('trust through a network becomes trust in the node once both asked', () => {
    const t = new Trace();
    t.gets('request', 8, {}, { sharedNetwork: 12 });
    t.drain();
    expect(t.trust.request(t.now, 8, 'hi')).toBe('sent');
    expect(t.gets('accept', 8)).toBe('accepted');
    expect(t.trust.trusted(t.now)).toMatchObject([{ nodeId: 8, network: 0, isMutual: true }]);
    expect(t.trust.request(t.now, 8, 'hi')).toBe('already_trusted');
  });

  test('approval of everybody, where that is wanted', () => {
    const t = new Trace({ autoApprove: true });
    expect(t.getsMail('request', 7)).toBe('accepted');
    expect(t.drain()).toContain('event autoApproved 7: auto_approve 0');
    expect(t.getsMail('request', 8, {}, { registryKey: undefined }), 'without a key there is nothing to trust').toBe(
      'accepted',
    );
    expect(t.tables).toEqual({ trusted: [7], pending: [8], outgoing: [] });
  });

  test('a trusted peer that asks again is answered again, without a change', () => {
    const t = trusting(7);
    const before = t.trust.save();
    expect(t.gets('request', 7)).toBe('accepted');
    t.does('reportTrust 7');
    expect(t.gets('request', 7, { timestamp: t.time - 1 }), 'while that goes on').toBe('accepted');
    t.does();
    t.registry('reportTrust', 7, DOWN);
    t.does('relayRespond 7: yes', 'direct accept to 7');
    expect(t.trust.save()).toBe(before);
  });

  test('an entry without a key is bound to the first that is confirmed', () => {
    const trusted = [{ node_id: 7, public_key: '', approved_at: '2023-11-14T00:00:00Z', mutual: true }];
    const old = (): Trace => new Trace({ text: JSON.stringify({ trusted }) });
    for (const show of [
      (t: Trace): unknown => t.gets('request', 7),
      (t: Trace): unknown => t.gets('accept', 7),
      (t: Trace): unknown => t.trust.noteKey(t.now, 7, keyOf(7)),
    ]) {
      const t = old();
      expect([t.isTrusted(7), t.trust.pinnedKey(t.now, 7)]).toEqual([true, undefined]);
      show(t);
      expect(t.trust.pinnedKey(t.now, 7)).toEqual(keyOf(7));
      expect([...t.drain(), ...t.elapse(1_000)].join()).toContain('persist');
      expect(t.trust.noteKey(t.now, 7, keyOf(7, 1))).toBe(false);
    }
  });
});

describe('the file', () => {
  test('all tables outlive a restart', () => {
    const t = trusting(7);
    t.gets('request', 8, { justification: 'let me in' }, { source: '198.51.100.7' });
    t.gets('request', 11, {}, { source: 'x'.repeat(1_000) });
    t.trust.request(t.now, 9, 'hi');
    t.trust.revoke(t.now, 9);
    t.trust.request(t.now, 10, 'ho');
    const again = t.restarted();
    expect(again.tables).toEqual(t.tables);
    expect(again.trust.save()).toBe(t.trust.save());
    expect([again.file.skipped, again.file.isDamaged]).toEqual([0, false]);
    expect(again.gets('accept', 9)).toBe('cooldown');
  });

  test('what cannot be read is told, and the file is not touched by that', () => {
    const t = new Trace({ text: 'not json' });
    expect(t.file.isDamaged).toBe(true);
    expect(t.elapse(600_000)).toEqual([]);
    const other = new Trace({ text: '{"trusted":[{"node_id":7},{"node_id":"8"}]}' });
    expect([other.file.isDamaged, other.file.skipped, other.tables.trusted]).toEqual([false, 1, [7]]);
  });

  test.each([
    ['revoked after it was approved', '2023-11-14T22:00:00Z', []],
    ['approved after it was revoked', '2023-11-14T22:10:00Z', [7]],
  ])('a file that holds both: %s', (_, approvedAt, expected) => {
    const text = JSON.stringify({
      trusted: [{ node_id: 7, approved_at: approvedAt, mutual: true }],
      revoked: [{ node_id: 7, until: '2023-11-14T22:10:00Z' }],
    });
    expect(new Trace({ text }).tables.trusted).toEqual(expected);
  });

  test('one write serves all changes that wait for it', () => {
    const t = new Trace();
    for (let peer = 2; peer < 10; peer++) t.trust.request(t.now, peer, '');
    expect(t.drain().filter((line) => line === 'persist')).toHaveLength(1);
    t.trust.request(t.now, 10, '');
    expect(t.drain()).toContain('persist');
  });
});

test('with nothing to do it wakes only to sweep', () => {
  const t = new Trace();
  expect(t.trust.pollTimeout()).toBe(t.now + 300_000);
  expect(t.elapse(DAY)).toEqual([]);
});
