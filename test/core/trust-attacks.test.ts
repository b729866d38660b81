import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import type { TrustVerdict } from '../../src/core/trust-exchange.ts';
import { PENDING_FROM_MAILBOX } from '../../src/core/trust-tables.ts';
import { type Kind, keyOf, OK, START, Trace, trusting, US } from './trust-harness.ts';

const KINDS: Kind[] = ['request', 'accept', 'reject', 'revoke'];
const EVE = 66;

/** Trust in 7, a question of 8 and one to 9: something for every kind of message to break. */
function busy(): Trace {
  const t = trusting(7);
  t.gets('request', 8);
  t.trust.request(t.now, 9, 'hi');
  t.elapse(1_000);
  t.drain();
  return t;
}

/** The message is refused for this reason and nothing whatever happens. */
function refuses(t: Trace, reason: TrustVerdict, attack: () => TrustVerdict): void {
  const before = t.trust.save();
  expect(attack()).toBe(reason);
  expect(t.drain()).toEqual([]);
  expect(t.trust.save()).toBe(before);
}

describe('answers that nobody asked for', () => {
  test('an accept of a stranger makes no trust, directly or relayed (H4)', () => {
    const t = busy();
    refuses(t, 'unsolicited', () => t.gets('accept', EVE));
    refuses(t, 'unsolicited', () => t.getsMail('accept', EVE));
    expect([t.isTrusted(EVE), t.admits(EVE)]).toEqual([false, 'ask']);
  });

  test('who waits for our answer cannot give it itself', () => {
    const t = busy();
    refuses(t, 'unsolicited', () => t.gets('accept', 8));
    refuses(t, 'unsolicited', () => t.getsMail('accept', 8));
    expect(t.tables.pending).toEqual([8]);
  });

  test('rejections and revocations of strangers touch nothing', () => {
    const t = busy();
    refuses(t, 'unsolicited', () => t.gets('reject', EVE));
    refuses(t, 'unsolicited', () => t.getsMail('reject', EVE));
    refuses(t, 'unsolicited', () => t.gets('revoke', EVE));
  });

  test('a pair that one side made at the registry does not enter our table (R4)', () => {
    const t = busy();
    expect(t.admits(EVE)).toBe('ask');
    t.trust.noteRegistryAnswer(t.now, EVE, true);
    expect([t.admits(EVE), t.isTrusted(EVE), t.trust.pinnedKey(t.now, EVE)]).toEqual(['admit', false, undefined]);
    expect(t.tables.trusted).toEqual([7]);
    t.elapse(60_000);
    t.trust.noteRegistryAnswer(t.now, EVE, false);
    expect(t.admits(EVE)).toBe('drop');
  });

  test('whom only the registry lets in can be sent away, for good', () => {
    const t = busy();
    expect(t.trust.revoke(t.now, EVE), 'not a word of it yet').toBe('not_found');
    t.admits(EVE);
    t.trust.noteRegistryAnswer(t.now, EVE, true);
    expect(t.trust.revoke(t.now, EVE)).toBe('done');
    expect(t.admits(EVE)).toBe('drop');
  });
});

describe('after a revocation', () => {
  test('accepts make no trust in the cooldown, directly or relayed', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.elapse(2_000);
    t.drain();
    refuses(t, 'cooldown', () => t.gets('accept', 7));
    refuses(t, 'cooldown', () => t.getsMail('accept', 7));
    t.elapse(298_000);
    refuses(t, 'unsolicited', () => t.gets('accept', 7));
  });

  test('the revoked can ask, but no reason approves it before the cooldown is over', () => {
    for (const options of [{}, { autoApprove: true }]) {
      const t = new Trace(options);
      t.gets('request', 7, {}, { sharedNetwork: 12 });
      t.trust.revoke(t.now, 7);
      t.elapse(10_000);
      expect(t.gets('request', 7, {}, { sharedNetwork: 12 })).toBe('accepted');
      expect(t.tables).toMatchObject({ trusted: [], pending: [7] });
      const again = t.restarted(options);
      again.gets('request', 7, {}, { sharedNetwork: 12 });
      expect(again.isTrusted(7), 'the cooldown is in the file').toBe(false);
      t.elapse(300_000);
      t.gets('request', 7, {}, { sharedNetwork: 12 });
      expect(t.isTrusted(7)).toBe(true);
    }
  });

  test('a pair that the revoked makes again at the registry does not let it in, ever', () => {
    const t = trusting(7);
    t.admits(7);
    t.trust.revoke(t.now, 7);
    t.trust.noteRegistryAnswer(t.now, 7, true);
    expect(t.admits(7)).toBe('drop');
    t.elapse(2_000);
    t.registry('revokeTrust', 7, OK);
    t.elapse(30 * 86_400_000);
    t.trust.noteRegistryAnswer(t.now, 7, true);
    expect([t.admits(7), t.restarted().admits(7)]).toEqual(['drop', 'drop']);
  });

  test('the reply window of before does not count', () => {
    const t = trusting(7);
    t.trust.noteContact(t.now, 7);
    t.trust.revoke(t.now, 7);
    expect(t.admits(7, 1001)).toBe('drop');
    t.trust.noteContact(t.now, 7);
    expect(t.admits(7, 1001), 'we call it again').toBe('admit');
  });
});

describe('messages in the name of another', () => {
  test.each(KINDS)('%s through the tunnel of somebody else', (kind) => {
    const t = busy();
    for (const victim of [7, 8, 9]) {
      refuses(t, 'badSender', () => t.gets(kind, victim, {}, { authenticatedId: EVE }));
    }
  });

  test.each(KINDS)('%s from us, from nobody, from everybody', (kind) => {
    const t = busy();
    for (const from of [US, 0, 0xffff_ffff]) {
      refuses(t, 'badSender', () => t.gets(kind, from));
      if (kind !== 'revoke') refuses(t, 'badSender', () => t.getsMail(kind, from));
    }
  });

  test.each(KINDS)('%s without key, without signature, or with a bad one', (kind) => {
    const t = busy();
    for (const victim of [7, 8, 9, EVE]) {
      refuses(t, 'unsigned', () => t.gets(kind, victim, { publicKey: undefined }));
      refuses(t, 'unsigned', () => t.gets(kind, victim, { signature: undefined }));
      refuses(t, 'badSignature', () => t.gets(kind, victim, {}, { isSignatureValid: false }));
    }
  });

  test.each(KINDS)('%s with a key that the registry does not have for the sender', (kind) => {
    const t = busy();
    for (const victim of [7, 8, 9, EVE]) {
      refuses(t, 'keyMismatch', () => t.gets(kind, victim, { publicKey: keyOf(victim, 1) }));
    }
  });

  test('outside a tunnel only requests are read, and they approve nothing by themselves', () => {
    const t = busy();
    const outside = { authenticatedId: undefined };
    for (const kind of KINDS.slice(1)) {
      for (const victim of [7, 9]) refuses(t, 'notAuthenticated', () => t.gets(kind, victim, {}, outside));
    }
    refuses(t, 'unbound', () => t.gets('request', 7, {}, outside));
    refuses(t, 'unbound', () => t.gets('request', 8, { justification: 'changed' }, outside));
    expect(t.gets('request', 9, {}, outside), 'an old signature could make it mutual').toBe('accepted');
    expect(t.gets('request', EVE, {}, { ...outside, sharedNetwork: 12 })).toBe('accepted');
    expect(t.tables).toEqual({ trusted: [7], pending: [8, 9, EVE], outgoing: [9] });
    expect(t.trust.pending().map(({ publicKey }) => publicKey)).toEqual([keyOf(8), undefined, undefined]);
  });

  test('while nobody can confirm a key, nothing is approved and nothing ends', () => {
    const t = busy();
    const unknown = { registryKey: undefined };
    for (const kind of KINDS.slice(1)) refuses(t, 'unbound', () => t.gets(kind, 9, {}, unknown));
    refuses(t, 'unbound', () => t.getsMail('accept', 9, {}, unknown));
    expect(t.getsMail('accept', 9), 'the same answer, now that the key is known').toBe('accepted');
  });
});

describe('a trusted peer with another key', () => {
  test.each(KINDS)('%s is refused, and told', (kind) => {
    const t = trusting(7);
    const shown = keyOf(7, 1);
    expect(t.gets(kind, 7, { publicKey: shown }, { registryKey: shown })).toBe('keyChanged');
    t.does('event keyChanged 7: 0 → 1');
    expect([t.isTrusted(7), t.trust.pinnedKey(t.now, 7)]).toEqual([true, keyOf(7)]);
  });

  test('relayed it is refused and told too', () => {
    const t = trusting(7);
    expect(t.getsMail('request', 7, {}, { registryKey: keyOf(7, 1) })).toBe('keyChanged');
    t.does('event keyChanged 7: 0 → 1');
    expect(t.getsMail('accept', 7, {}, { registryKey: keyOf(7, 1) })).toBe('keyChanged');
    t.does();
  });

  test('a tunnel with it is refused and told too', () => {
    const t = trusting(7);
    expect([t.trust.noteKey(t.now, 7, keyOf(7)), t.trust.noteKey(t.now, 8, keyOf(8))]).toEqual([true, true]);
    t.does();
    expect(t.trust.noteKey(t.now, 7, keyOf(7, 1))).toBe(false);
    t.does('event keyChanged 7: 0 → 1');
  });

  test('a flood of keys is told once in five minutes, per peer', () => {
    const t = trusting(7, 8);
    const show = (peer: number, version: number): unknown => t.trust.noteKey(t.now, peer, keyOf(peer, version));
    for (let i = 1; i < 200; i++) show(7, i);
    show(8, 1);
    t.does('event keyChanged 7: 0 → 1', 'event keyChanged 8: 0 → 1');
    t.elapse(300_000);
    show(7, 3);
    t.does('event keyChanged 7: 0 → 3');
  });

  test('after trust was made anew, its key is told of anew', () => {
    const t = trusting(7);
    t.trust.noteKey(t.now, 7, keyOf(7, 1));
    t.trust.revoke(t.now, 7);
    t.gets('request', 7);
    t.trust.approve(t.now, 7);
    t.drain();
    t.trust.noteKey(t.now, 7, keyOf(7, 2));
    t.does('event keyChanged 7: 0 → 2');
  });

  test('without anybody to confirm it there is no alarm', () => {
    const t = trusting(7);
    const facts = { registryKey: undefined, authenticatedId: undefined };
    refuses(t, 'keyChanged', () => t.gets('request', 7, { publicKey: keyOf(7, 1) }, facts));
  });

  test('the pinned key counts although the registry has another now', () => {
    const t = trusting(7);
    expect(t.gets('revoke', 7, {}, { registryKey: keyOf(7, 1) })).toBe('accepted');
  });

  test('revoking and asking again takes the new key', () => {
    const t = trusting(7);
    t.trust.revoke(t.now, 7);
    t.trust.request(t.now, 7, 'with the new key');
    expect(t.gets('accept', 7, { publicKey: keyOf(7, 1) }, { registryKey: keyOf(7, 1) })).toBe('accepted');
    expect(t.trust.pinnedKey(t.now, 7)).toEqual(keyOf(7, 1));
  });
});

describe('old messages', () => {
  test.each(KINDS)('%s is fresh for 5 minutes, and 30 s ahead of our clock', (kind) => {
    const t = busy();
    t.elapse(400_000);
    t.drain();
    for (const victim of [7, 8, 9, EVE]) {
      refuses(t, 'stale', () => t.gets(kind, victim, { timestamp: t.time - 301 }));
      refuses(t, 'future', () => t.gets(kind, victim, { timestamp: t.time + 31 }));
      refuses(t, 'stale', () => t.gets(kind, victim, { timestamp: 0 }));
      refuses(t, 'future', () => t.gets(kind, victim, { timestamp: Number.MAX_SAFE_INTEGER }));
    }
    expect(['stale', 'future']).not.toContain(t.gets(kind, EVE, { timestamp: t.time - 300 }));
    expect(['stale', 'future']).not.toContain(t.gets(kind, EVE, { timestamp: t.time + 30 }));
  });

  test('the same message counts once', () => {
    const t = new Trace();
    t.trust.request(t.now, 9, 'hi');
    const accept = { timestamp: t.time };
    expect(t.gets('accept', 9, accept)).toBe('accepted');
    expect(t.gets('revoke', 9, accept)).toBe('accepted');
    t.elapse(100_000);
    t.trust.request(t.now, 9, 'again');
    t.drain();
    refuses(t, 'replay', () => t.gets('accept', 9, accept));
    const message = { nodeId: 9, publicKey: keyOf(9), signature: new Uint8Array(64), justification: '', reason: '' };
    expect(t.trust.screen(t.now, { ...message, ...accept, type: 'handshake_accept' }, 9)).toBe('replay');
    expect(t.trust.screen(t.now, { ...message, timestamp: t.time, type: 'handshake_accept' }, 9)).toBe(undefined);
  });

  test('a captured accept under another label comes from another tunnel, or is a new message of its sender', () => {
    const t = trusting(7);
    refuses(t, 'badSender', () => t.gets('revoke', 7, {}, { authenticatedId: EVE }));
    refuses(t, 'notAuthenticated', () => t.gets('revoke', 7, {}, { authenticatedId: undefined }));
    expect(t.isTrusted(7)).toBe(true);
  });

  test('what was refused can be said again: only what was authenticated is remembered', () => {
    const t = busy();
    const timestamp = t.time;
    for (const facts of [{ authenticatedId: EVE }, { isSignatureValid: false }, { registryKey: keyOf(9, 1) }]) {
      t.gets('accept', 9, { timestamp }, facts);
    }
    t.gets('accept', 9, { timestamp }, { registryKey: undefined });
    expect(t.gets('accept', 9, { timestamp })).toBe('accepted');
    expect(t.gets('request', EVE, { timestamp }, { registryKey: undefined })).toBe('accepted');
    expect(t.gets('request', EVE, { timestamp }), 'somebody else may have said it').toBe('accepted');
    expect(t.trust.pending().at(-1)).toMatchObject({ nodeId: EVE, publicKey: keyOf(EVE) });
  });

  test('honest repetitions are no replays (H8)', () => {
    const t = busy();
    expect(t.gets('request', 8, { timestamp: t.time + 1 })).toBe('accepted');
    expect(t.gets('request', 8, { timestamp: t.time + 2 })).toBe('accepted');
  });

  test('mail that is delivered again changes nothing', () => {
    const t = new Trace();
    t.trust.request(t.now, 9, 'hi');
    const timestamp = START - 86_400;
    expect(t.getsMail('accept', 9, { timestamp }), 'mail may be days old').toBe('accepted');
    expect(t.getsMail('request', 8, { timestamp })).toBe('accepted');
    t.drain();
    refuses(t, 'replay', () => t.getsMail('accept', 9, { timestamp }));
    refuses(t, 'replay', () => t.getsMail('request', 8, { timestamp }));
    const again = t.restarted();
    again.drain();
    refuses(again, 'accepted', () => again.getsMail('accept', 9, { timestamp }));
    refuses(again, 'accepted', () => again.getsMail('request', 8, { timestamp }));
    t.elapse(20 * 60_000);
    t.drain();
    refuses(t, 'accepted', () => t.getsMail('accept', 9, { timestamp }));
  });
});

describe('floods', () => {
  const ask = (t: Trace, peer: number, source: string | undefined): TrustVerdict =>
    t.gets('request', peer, {}, { source });

  test('one host may hold 16 requests', () => {
    const t = new Trace();
    for (let i = 0; i < 100; i++) {
      expect(ask(t, 100 + i, '198.51.100.7')).toBe(i < LIMITS.pendingTrustPerSource ? 'accepted' : 'sourceFull');
    }
    expect(ask(t, 300, '198.51.100.8')).toBe('accepted');
    t.elapse(1_000);
    expect(ask(t, 100, '198.51.100.7'), 'one of the 16 again').toBe('accepted');
    expect(t.trust.pending()).toHaveLength(LIMITS.pendingTrustPerSource + 1);
    t.trust.reject(t.now, 100, '');
    expect(ask(t, 200, '198.51.100.7')).toBe('accepted');
  });

  test('hosts that nobody knows count as one', () => {
    const t = new Trace();
    for (let i = 0; i < LIMITS.pendingTrustPerSource; i++) ask(t, 100 + i, undefined);
    expect(ask(t, 300, undefined)).toBe('sourceFull');
  });

  test('many hosts together hold 256, who came first stays, and all else goes on', () => {
    const t = busy();
    for (let i = 0; i < 2_000; i++) ask(t, 100 + i, `198.51.${i >>> 8}.${i & 255}`);
    expect(t.trust.pending()).toHaveLength(LIMITS.pendingTrust);
    t.drain();
    refuses(t, 'pendingFull', () => ask(t, 9_999, '203.0.113.1'));
    refuses(t, 'pendingFull', () => t.getsMail('request', 9_999));
    t.elapse(1_000);
    expect(ask(t, 100, '198.51.0.0'), 'one of them again').toBe('accepted');
    expect(t.gets('request', 9), 'mutual').toBe('accepted');
    expect(t.gets('request', 50, {}, { sharedNetwork: 12 }), 'same network').toBe('accepted');
    expect(t.tables.trusted).toEqual([7, 9, 50]);
    expect(t.trust.approve(t.now, 8), 'the first of all').toBe('done');
  });

  test('the mailbox cannot fill the table for those who come directly, nor they for it', () => {
    const t = new Trace();
    for (let i = 0; i < LIMITS.pendingTrust; i++) {
      expect(t.getsMail('request', 100 + i)).toBe(i < PENDING_FROM_MAILBOX ? 'accepted' : 'sourceFull');
    }
    expect(ask(t, 9_999, '203.0.113.1')).toBe('accepted');
  });

  test('a flood of requests costs one write a second', () => {
    const t = new Trace();
    const lines: string[] = [];
    for (let ms = 0; ms < 10_000; ms += 10) {
      ask(t, 100 + (ms % 250), '198.51.100.7');
      lines.push(...t.drain(), ...t.elapse(10));
    }
    expect(lines.filter((line) => line.endsWith('persist'))).toHaveLength(10);
  });

  test('messages of one peer do not push out what is remembered of another', () => {
    const t = new Trace();
    t.trust.request(t.now, 9, 'hi');
    const accept = { timestamp: t.time };
    t.gets('accept', 9, accept);
    t.gets('revoke', 9);
    for (let i = 0; i < 20_000; i++) t.gets('request', EVE, { timestamp: t.time - 300 + (i % 330) });
    t.trust.request(t.now, 9, 'again');
    expect(t.gets('accept', 9, accept)).toBe('replay');
  });

  test('a flood of replays shuts nobody out (H3)', () => {
    const t = new Trace();
    for (let i = 0; i < 10_000; i++) t.gets('request', 1_000 + i, {}, { source: `${i}` });
    t.trust.request(t.now, 9, 'hi');
    expect(t.gets('accept', 9)).toBe('accepted');
  });
});

describe('a full table', () => {
  const full = (): Trace => {
    const trusted = Array.from({ length: LIMITS.trustedNodes }, (_, i) => ({ node_id: 1_000 + i, mutual: true }));
    return new Trace({ text: JSON.stringify({ trusted }) });
  };

  test('loses nobody, and says so', () => {
    const t = full();
    expect(t.file.skipped).toBe(0);
    t.gets('request', 7);
    t.drain();
    expect(t.trust.request(t.now, 8, 'hi')).toBe('full');
    expect(t.trust.approve(t.now, 7)).toBe('full');
    refuses(t, 'trustFull', () => t.gets('request', 9, {}, { sharedNetwork: 12 }));
    expect(t.tables).toMatchObject({ pending: [7], outgoing: [] });
    expect(t.isTrusted(1_000) && t.isTrusted(1_000 + LIMITS.trustedNodes - 1)).toBe(true);
    expect(t.gets('request', 1_000), 'of those in it').toBe('accepted');
    t.trust.revoke(t.now, 1_000);
    expect(t.trust.approve(t.now, 7)).toBe('done');
  });

  test('lets trust grow in those who are in it', () => {
    const trusted = Array.from({ length: LIMITS.trustedNodes }, (_, i) => ({ node_id: 1_000 + i, network: 12 }));
    const t = new Trace({ text: JSON.stringify({ trusted }) });
    expect(t.trust.request(t.now, 1_000, 'hi')).toBe('sent');
    expect(t.gets('accept', 1_000)).toBe('accepted');
    expect(t.trust.trusted(t.now)).toMatchObject({ length: LIMITS.trustedNodes, 0: { network: 0 } });
  });

  test('an answer that finds no room keeps the question', () => {
    const t = new Trace();
    t.trust.request(t.now, 7, 'hi');
    const file = JSON.parse(t.trust.save());
    file.trusted = Array.from({ length: LIMITS.trustedNodes }, (_, i) => ({ node_id: 1_000 + i, mutual: true }));
    const late = new Trace({ text: JSON.stringify(file) });
    late.drain();
    refuses(late, 'trustFull', () => late.gets('accept', 7));
    expect(late.tables.outgoing).toEqual([7]);
  });
});
