import { describe, expect, test } from 'vitest';
import {
  bindKey,
  isPeer,
  judgeAccept,
  judgeRequest,
  type RequestRuling,
  type Standing,
  screenMessage,
} from '../../src/core/trust-exchange.ts';
import type { TrustedNode } from '../../src/core/trust-file.ts';
import type { TrustMessage } from '../../src/wire/trust.ts';
import { keyOf } from './trust-harness.ts';

const TIME = 1_700_000_000;
const TYPES = ['handshake_request', 'handshake_accept', 'handshake_reject', 'handshake_revoke'] as const;

const NOTHING: Standing = { trusted: undefined, hasAsked: false, isPending: false, isCoolingDown: false };

function node(network = 0): TrustedNode {
  return {
    nodeId: 7,
    publicKey: keyOf(7),
    approvedAt: TIME,
    isMutual: false,
    network,
    ports: undefined,
    expiresAt: undefined,
    isReported: true,
  };
}

describe('the checks before any work (CP 2.4 rows 1, 4, 5)', () => {
  function screen(over: Partial<TrustMessage>, authenticatedId: number | undefined = 7): string | undefined {
    const message: TrustMessage = {
      type: 'handshake_request',
      nodeId: 7,
      publicKey: keyOf(7),
      justification: '',
      signature: new Uint8Array(64),
      reason: '',
      timestamp: TIME,
      ...over,
    };
    return screenMessage(message, authenticatedId, TIME);
  }

  test.each(TYPES)('%s: 300 s old is fresh, 301 s is not; 30 s ahead is fresh, 31 s is not', (type) => {
    expect([300, 301].map((age) => screen({ type, timestamp: TIME - age }))).toEqual([undefined, 'stale']);
    expect([30, 31].map((ahead) => screen({ type, timestamp: TIME + ahead }))).toEqual([undefined, 'future']);
  });

  test.each(TYPES)('%s: the tunnel is the sender, or there is none and it is a request', (type) => {
    expect(screen({ type })).toBeUndefined();
    expect(screen({ type }, 8)).toBe('badSender');
    const message = { type, nodeId: 7, publicKey: keyOf(7), signature: new Uint8Array(64) };
    const outside = screenMessage({ ...message, justification: '', reason: '', timestamp: TIME }, undefined, TIME);
    expect(outside).toBe(type === 'handshake_request' ? undefined : 'notAuthenticated');
  });

  test.each(TYPES)('%s: key and signature are there', (type) => {
    expect(screen({ type, publicKey: undefined })).toBe('unsigned');
    expect(screen({ type, signature: undefined })).toBe('unsigned');
  });

  test('a node that could be somebody else', () => {
    expect([0, 1, 2, 0xffff_fffe, 0xffff_ffff, -3].map((id) => isPeer(id, 1))).toEqual([
      false,
      false,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('whose key it is (CP 2.4 row 3)', () => {
  const [a, b, c] = [keyOf(7), keyOf(7, 1), keyOf(7, 2)];

  test.each([
    ['the registry says so', a, a, undefined, 'bound'],
    ['the registry has another', a, b, undefined, 'keyMismatch'],
    ['nobody says anything', a, undefined, undefined, 'unbound'],
    ['none was shown', undefined, a, a, 'unbound'],
    ['trust is bound to it', a, undefined, a, 'bound'],
    ['trust is bound to it, the registry has a newer one', a, b, a, 'bound'],
    ['trust is bound to another, the registry has it', b, b, a, 'keyChanged'],
    ['trust is bound to another, nobody has it', b, a, a, 'keyMismatch'],
    ['trust is bound to another, nobody has it, the registry moved on', c, b, a, 'keyMismatch'],
    ['trust is bound to another, the registry is silent', b, undefined, a, 'keyChanged'],
  ])('%s', (_, shown, registryKey, pinned, expected) => {
    expect(bindKey(shown, registryKey, pinned)).toBe(expected);
  });
});

describe('what to do with a request (CP 2.5)', () => {
  const [bound, shared, auto] = [1, 2, 4];

  /** The eight rulings: unbound or bound, without or with a shared network, without or with automatic approval. */
  function rulings(standing: Partial<Standing>): RequestRuling[] {
    return Array.from({ length: 8 }, (_, i) =>
      judgeRequest(
        { ...NOTHING, ...standing },
        {
          isBound: (i & bound) !== 0,
          sharedNetwork: (i & shared) !== 0 ? 12 : undefined,
          autoApprove: (i & auto) !== 0,
        },
      ),
    );
  }

  test('of a stranger', () => {
    const [pending, network, approve] = ['pending', 'same_network', 'auto_approve'];
    expect(rulings({})).toEqual([pending, pending, pending, network, pending, approve, pending, network]);
  });

  test('of one whom we asked: the key decides', () => {
    expect(rulings({ hasAsked: true })).toEqual(Array(4).fill(['pending', 'mutual']).flat());
  });

  test('of one whom we trust: the key decides', () => {
    expect(rulings({ trusted: node() })).toEqual(Array(4).fill(['unbound', 'repeat']).flat());
    expect(rulings({ trusted: node(), hasAsked: true })).toEqual(Array(4).fill(['unbound', 'repeat']).flat());
  });

  test('of one whom we trust through a network: asking makes it more', () => {
    expect(rulings({ trusted: node(12) })).toEqual(Array(4).fill(['unbound', 'repeat']).flat());
    expect(rulings({ trusted: node(12), hasAsked: true })).toEqual(Array(4).fill(['unbound', 'mutual']).flat());
  });

  test('of one whom we revoked: the operator decides', () => {
    expect(rulings({ isCoolingDown: true })).toEqual(Array(8).fill('pending'));
    expect(rulings({ isCoolingDown: true, hasAsked: true })).toEqual(Array(8).fill('pending'));
  });

  test('the backbone is no shared network', () => {
    expect(judgeRequest(NOTHING, { isBound: true, sharedNetwork: 0, autoApprove: false })).toBe('pending');
  });
});

test('an accept counts for what we asked, and not in a cooldown (CP 2.6)', () => {
  const judge = (standing: Partial<Standing>): string => judgeAccept({ ...NOTHING, ...standing });
  expect(judge({})).toBe('unsolicited');
  expect(judge({ isPending: true })).toBe('unsolicited');
  expect(judge({ hasAsked: true })).toBe('approve');
  expect(judge({ trusted: node() })).toBe('repeat');
  expect(judge({ trusted: node(12), hasAsked: true })).toBe('approve');
  expect(judge({ isCoolingDown: true })).toBe('cooldown');
  expect(judge({ isCoolingDown: true, hasAsked: true })).toBe('cooldown');
});
