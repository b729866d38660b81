import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromBase64, fromHex, toBase64 } from '../../src/wire/base64.ts';
import { emitTrustMessage, parseTrustMessage, type TrustMessage, trustText } from '../../src/wire/trust.ts';
import { bitFlips, hostile, truncations } from '../reference/hostile.ts';
import { readVectors } from '../vectors/folder.ts';

interface Vector {
  ed25519_seed: string;
  message: {
    type: TrustMessage['type'];
    node_id: number;
    public_key: string;
    justification: string;
    signature: string;
    reason: string;
    timestamp: number;
  };
  peer_node_id: number;
  signed_text: string;
  stream_bytes_text: string;
}

const VECTORS = readVectors<Vector[]>('handshake-444');

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const parseText = (text: string): TrustMessage | 'incomplete' | undefined => parseTrustMessage(utf8(text));

function expected({ message }: Vector): TrustMessage {
  return {
    type: message.type,
    nodeId: message.node_id,
    publicKey: fromBase64(message.public_key),
    justification: message.justification,
    signature: fromBase64(message.signature),
    reason: message.reason,
    timestamp: message.timestamp,
  };
}

function signText(seedHex: string, text: string): Uint8Array {
  const der = Buffer.concat([fromHex('302e020100300506032b657004220420')!, fromHex(seedHex)!]);
  return new Uint8Array(sign(null, utf8(text), createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })));
}

function verifyText(publicKey: Uint8Array, text: string, signature: Uint8Array): boolean {
  const der = Buffer.concat([fromHex('302a300506032b6570032100')!, publicKey]);
  return verify(null, utf8(text), createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
}

describe('recorded messages', () => {
  test.each(VECTORS)('$message.type is read, verifies, and is made byte for byte', (vector) => {
    const message = parseText(vector.stream_bytes_text) as TrustMessage;
    expect(message).toEqual(expected(vector));
    expect(trustText(message.nodeId, vector.peer_node_id)).toBe(vector.signed_text);
    expect(verifyText(message.publicKey!, vector.signed_text, message.signature!)).toBe(true);

    const signature = signText(vector.ed25519_seed, trustText(vector.message.node_id, vector.peer_node_id));
    const made = emitTrustMessage({ ...expected(vector), signature });
    expect(new TextDecoder().decode(made)).toBe(vector.stream_bytes_text);
  });
});

test('the example of CP 2.3 is made byte for byte from the seed of CP 11', () => {
  const seed = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
  const text =
    '{"type":"handshake_request","node_id":7,"public_key":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=","justification":"hi","signature":"xd0obziHOzOwelDl3a3KlWuafjDtfXEq58O27hsWW4fe5SBHSh/mq50SzksGQx/ffumR11ORL+sg/mwwLi+2Dw==","reason":"","timestamp":1700000000}';
  const message: TrustMessage = {
    type: 'handshake_request',
    nodeId: 7,
    publicKey: fromBase64('A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg='),
    justification: 'hi',
    signature: signText(seed, trustText(7, 9)),
    reason: '',
    timestamp: 1_700_000_000,
  };
  expect(new TextDecoder().decode(emitTrustMessage(message))).toBe(text);
  expect(parseText(text)).toEqual(message);
});

test('letters that Go escapes are escaped, others are not', () => {
  const justification = '<>&\u2028\u2029"\\\n\u0001é😀/\u007f';
  const bytes = emitTrustMessage({ ...expected(VECTORS[0]!), justification });
  expect(new TextDecoder().decode(bytes)).toContain(
    '"justification":"\\u003c\\u003e\\u0026\\u2028\\u2029\\"\\\\\\n\\u0001é😀/\u007f"',
  );
  expect(parseTrustMessage(bytes)).toEqual({ ...expected(VECTORS[0]!), justification });
});

test('a message without key and signature carries empty strings', () => {
  const bytes = emitTrustMessage({ ...expected(VECTORS[0]!), publicKey: undefined, signature: undefined });
  expect(new TextDecoder().decode(bytes)).toContain('"public_key":"","justification"');
  expect(new TextDecoder().decode(bytes)).toContain('"signature":"","reason"');
  expect(parseTrustMessage(bytes)).toMatchObject({ publicKey: undefined, signature: undefined });
});

describe('what readers tolerate (CP 2.3)', () => {
  const bare = { nodeId: 0, publicKey: undefined, justification: '', signature: undefined, reason: '', timestamp: 0 };

  test('missing fields', () => {
    expect(parseText('{"type":"handshake_request"}')).toEqual({ type: 'handshake_request', ...bare });
  });

  test('null fields', () => {
    const text =
      '{"type":"handshake_accept","node_id":null,"public_key":null,"justification":null,"signature":null,"reason":null,"timestamp":null}';
    expect(parseText(text)).toEqual({ type: 'handshake_accept', ...bare });
  });

  test('unknown fields, nested and with brackets in their texts', () => {
    const text = '{"x":{"y":["}{]",{}]},"type":"handshake_reject","__proto__":{"node_id":4},"node_id":3}';
    expect(parseText(text)).toEqual({ type: 'handshake_reject', ...bare, nodeId: 3 });
    expect(Object.keys(parseText(text) as object)).toEqual(Object.keys({ type: '', ...bare }));
  });

  test('white space around', () => {
    expect(parseText(' \r\n\t{"type":"handshake_revoke"}\n ')).toEqual({ type: 'handshake_revoke', ...bare });
  });

  test('escaped quotes and backslashes', () => {
    expect(parseText('{"type":"handshake_request","reason":"a\\\\","justification":"\\"}"}')).toEqual({
      type: 'handshake_request',
      ...bare,
      reason: 'a\\',
      justification: '"}',
    });
  });

  test('bytes that are no UTF-8, as replacement characters', () => {
    const bytes = utf8('{"type":"handshake_reject","reason":"x"}');
    bytes[bytes.indexOf(0x78)] = 0xff;
    expect(parseTrustMessage(bytes)).toMatchObject({ reason: '\ufffd' });
  });

  test('a time before 1970', () => {
    expect(parseText('{"type":"handshake_request","timestamp":-5}')).toMatchObject({ timestamp: -5 });
  });
});

describe('what is refused', () => {
  test.each([
    ['no type', '{}'],
    ['another type', '{"type":"handshake_maybe"}'],
    ['a type that is inherited', '{"type":"toString"}'],
    ['a type that is no text', '{"type":1}'],
    ['a node id as text', '{"type":"handshake_request","node_id":"3"}'],
    ['a node id below 0', '{"type":"handshake_request","node_id":-1}'],
    ['a node id beyond 32 bits', '{"type":"handshake_request","node_id":4294967296}'],
    ['a broken node id', '{"type":"handshake_request","node_id":1.5}'],
    ['a key of 3 bytes', '{"type":"handshake_request","public_key":"AAAA"}'],
    ['a key that is no base64', '{"type":"handshake_request","public_key":"!"}'],
    ['a key that is no text', '{"type":"handshake_request","public_key":[0]}'],
    ['a signature of 3 bytes', '{"type":"handshake_request","signature":"AAAA"}'],
    ['a reason that is no text', '{"type":"handshake_reject","reason":{}}'],
    ['a justification that is no text', '{"type":"handshake_request","justification":7}'],
    ['a broken time', '{"type":"handshake_request","timestamp":1.5}'],
    ['an endless time', '{"type":"handshake_request","timestamp":1e400}'],
    ['a time as text', '{"type":"handshake_request","timestamp":"1"}'],
    ['an array', '[{"type":"handshake_request"}]'],
    ['a text', '"handshake_request"'],
    ['no JSON', 'hello'],
    ['no JSON inside', '{"type":handshake_request}'],
    ['a bracket of the other kind', '{"type":"handshake_request"]'],
    ['a second object behind', '{"type":"handshake_request"}{"type":"handshake_request"}'],
    ['bytes behind', '{"type":"handshake_request"} x'],
    ['a byte-order mark', '\ufeff{"type":"handshake_request"}'],
  ])('%s', (_, text) => {
    expect(parseText(text)).toBeUndefined();
  });

  test('deep nesting, without overflow', () => {
    const depth = 30_000;
    expect(parseText(`{"x":${'['.repeat(depth)}`)).toBe('incomplete');
    expect(parseText(`{"x":${'['.repeat(depth)}${']'.repeat(depth)}}`)).toBeUndefined();
  });
});

describe('hostile bytes', () => {
  // Every field says something and nothing is escaped, so that each bit counts.
  const sample = emitTrustMessage({ ...expected(VECTORS[0]!), justification: 'please', reason: 'no' });

  test('every truncation is incomplete, so a reader waits for the rest', () => {
    for (const cut of truncations(sample)) expect(parseTrustMessage(cut)).toBe('incomplete');
  });

  test('every truncation of a nested object is incomplete too', () => {
    const nested = utf8('{"x":[[],{"y":["]}",[{}]]}],"type":"handshake_request"}');
    for (const cut of truncations(nested)) expect(parseTrustMessage(cut)).toBe('incomplete');
    expect(parseTrustMessage(nested)).toMatchObject({ type: 'handshake_request' });
  });

  test('a flipped bit is refused, waits, or shows', () => {
    const original = JSON.stringify(parseTrustMessage(sample));
    for (const flipped of bitFlips(sample)) {
      expect(JSON.stringify(parseTrustMessage(flipped))).not.toBe(original);
    }
  });

  test('nothing throws, and no text outgrows the bytes', () => {
    for (const bytes of hostile(sample)) {
      const message = parseTrustMessage(bytes);
      if (message === undefined || message === 'incomplete') continue;
      expect(message.justification.length + message.reason.length).toBeLessThanOrEqual(bytes.length);
      expect(message.publicKey?.length ?? 32).toBe(32);
      expect(message.signature?.length ?? 64).toBe(64);
      expect(Number.isInteger(message.nodeId) && message.nodeId >= 0 && message.nodeId <= 0xffff_ffff).toBe(true);
      expect(Number.isSafeInteger(message.timestamp)).toBe(true);
    }
  });
});

test('parse reads back what emit writes', () => {
  const text = fc.string({ unit: 'binary', maxLength: 80 });
  const message = fc.record({
    type: fc.constantFrom<TrustMessage['type'][]>(
      'handshake_request',
      'handshake_accept',
      'handshake_reject',
      'handshake_revoke',
    ),
    nodeId: fc.integer({ min: 0, max: 0xffff_ffff }),
    publicKey: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined }),
    justification: text,
    signature: fc.option(fc.uint8Array({ minLength: 64, maxLength: 64 }), { nil: undefined }),
    reason: text,
    timestamp: fc.maxSafeInteger(),
  });
  fc.assert(
    fc.property(message, (value) => {
      const bytes = emitTrustMessage(value);
      expect(parseTrustMessage(bytes)).toEqual(value);
      const fields = JSON.parse(new TextDecoder().decode(bytes));
      expect(Object.keys(fields)).toEqual(Object.keys(VECTORS[0]!.message));
      expect(fields.public_key).toBe(value.publicKey === undefined ? '' : toBase64(value.publicKey));
    }),
    { seed: 1, numRuns: 200 },
  );
});
