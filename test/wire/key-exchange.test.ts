import { createPrivateKey, createPublicKey, diffieHellman, hkdfSync, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import {
  emitPila,
  emitPilk,
  PILA_BYTES,
  PILK_BYTES,
  parseKeyExchange,
  signedExchange,
  TUNNEL_INFO,
} from '../../src/wire/key-exchange.ts';
import { bitFlips, hostile, random, truncations } from '../reference/hostile.ts';
import { readVectors } from '../vectors/folder.ts';

interface Side {
  node_id: number;
  ed25519_public: string;
  ed25519_seed: string;
  x25519_private: string;
  x25519_public: string;
}
interface Vector {
  a: Side;
  b: Side;
  derivation: { key: string };
  shared_secret: string;
  pila_a: string;
  pila_b: string;
  pila_a_signed_message: string;
  pila_b_signed_message: string;
  pilk_a: string;
  pilk_b: string;
}

const VECTORS = readVectors<Vector[]>('tunnel-keyexchange');
const HINT_BYTES = 8;

const bytesOf = (hex: string): Uint8Array => fromHex(hex)!;

/** DER wrappings of raw keys (RFC 8410). */
const privateKey = (kind: 'ed25519' | 'x25519', raw: Uint8Array) =>
  createPrivateKey({
    key: Buffer.concat([bytesOf(`302e020100300506032b65${kind === 'ed25519' ? '70' : '6e'}04220420`), raw]),
    format: 'der',
    type: 'pkcs8',
  });
const publicKey = (kind: 'ed25519' | 'x25519', raw: Uint8Array) =>
  createPublicKey({
    key: Buffer.concat([bytesOf(`302a300506032b65${kind === 'ed25519' ? '70' : '6e'}032100`), raw]),
    format: 'der',
    type: 'spki',
  });

function derive(ownPrivate: Uint8Array, peerPublic: Uint8Array): { secret: string; key: string } {
  const secret = diffieHellman({
    privateKey: privateKey('x25519', ownPrivate),
    publicKey: publicKey('x25519', peerPublic),
  });
  const key = hkdfSync('sha256', secret, new Uint8Array(0), TUNNEL_INFO, 32);
  return { secret: toHex(secret), key: toHex(new Uint8Array(key)) };
}

/** Parses, checks everything against what made the frame, and makes the frame anew. */
function checkPila(hex: string, side: Side, signedMessage: string): void {
  const message = parseKeyExchange(bytesOf(hex))!;
  expect(message.authenticated).toBe(true);
  expect(message.sender).toBe(side.node_id);
  expect(toHex(message.exchangeKey)).toBe(side.x25519_public);
  expect(toHex(message.identityKey!)).toBe(side.ed25519_public);
  expect(message.recipientHint).toBeUndefined();
  const signed = signedExchange(message.sender, message.exchangeKey);
  expect(toHex(signed)).toBe(signedMessage);
  expect(verify(null, signed, publicKey('ed25519', message.identityKey!), message.signature!)).toBe(true);

  const exchangeKey = bytesOf(side.x25519_public);
  const made = emitPila({
    sender: side.node_id,
    exchangeKey,
    identityKey: bytesOf(side.ed25519_public),
    signature: sign(null, signedExchange(side.node_id, exchangeKey), privateKey('ed25519', bytesOf(side.ed25519_seed))),
  });
  expect(toHex(made)).toBe(hex);
}

function checkPilk(hex: string, side: Side): void {
  const message = parseKeyExchange(bytesOf(hex))!;
  expect({ ...message, exchangeKey: toHex(message.exchangeKey) }).toEqual({
    authenticated: false,
    sender: side.node_id,
    exchangeKey: side.x25519_public,
    identityKey: undefined,
    signature: undefined,
    recipientHint: undefined,
  });
  expect(toHex(emitPilk(side.node_id, bytesOf(side.x25519_public)))).toBe(hex);
}

describe.each(VECTORS.map((vector, i) => ({ vector, i })))('recorded exchange $i', ({ vector }) => {
  test('both PILA are read, verify, and are made byte for byte', () => {
    checkPila(vector.pila_a, vector.a, vector.pila_a_signed_message);
    checkPila(vector.pila_b, vector.b, vector.pila_b_signed_message);
  });

  test('both PILK are read and made byte for byte', () => {
    checkPilk(vector.pilk_a, vector.a);
    checkPilk(vector.pilk_b, vector.b);
  });

  test('both sides derive the recorded key from the frames', () => {
    const expected = { secret: vector.shared_secret, key: vector.derivation.key };
    const ofA = parseKeyExchange(bytesOf(vector.pila_a))!;
    const ofB = parseKeyExchange(bytesOf(vector.pila_b))!;
    expect(derive(bytesOf(vector.a.x25519_private), ofB.exchangeKey)).toEqual(expected);
    expect(derive(bytesOf(vector.b.x25519_private), ofA.exchangeKey)).toEqual(expected);
  });
});

/** DP 3.4: node 1, X25519 private key 01…20, Ed25519 seed 32 × 07. */
const DP = {
  node_id: 1,
  x25519_private: toHex(Uint8Array.from({ length: 32 }, (_, i) => i + 1)),
  x25519_public: '07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c',
  ed25519_seed: '07'.repeat(32),
  ed25519_public: 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c',
} satisfies Side;
const DP_PILA = `50494c4100000001${DP.x25519_public}${DP.ed25519_public}0eb9e82d2322865709dbdcb8a5834f40019f7f5677b146120a016beb98d79a80de17b9fe75e6096c10bfa57313eb77928b6a05d1a3155be36fc05f11c3b47a0e`;
const DP_PILK = `50494c4b00000001${DP.x25519_public}`;

describe('vectors of DP 3.4 and 3.6', () => {
  test('PILA', () => checkPila(DP_PILA, DP, `6175746800000001${DP.x25519_public}`));
  test('PILK', () => checkPilk(DP_PILK, DP));
  test('tunnel key', () => {
    const publicB = '5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b';
    expect(derive(bytesOf(DP.x25519_private), bytesOf(publicB))).toEqual({
      secret: 'a84dc7c3c8f058b1b2dc4cd1e9b5dc0a7987f88b6a9564cde3391fc421159e77',
      key: '56e4043d48fabcdc890933bce65910d1acb7fd2640eb309aed7a85a08c68751f',
    });
  });
});

describe('the recipient hint', () => {
  const fields = {
    sender: 1,
    exchangeKey: bytesOf(DP.x25519_public),
    identityKey: bytesOf(DP.ed25519_public),
    signature: bytesOf(DP_PILA).subarray(72),
  };

  test('stands behind the signature, after two empty varints', () => {
    const frame = emitPila({ ...fields, recipientHint: 0x0a0b0c0d });
    expect(toHex(frame)).toBe(`${DP_PILA}000050570a0b0c0d`);
    expect(parseKeyExchange(frame)?.recipientHint).toBe(0x0a0b0c0d);
  });

  test.each([
    ['cut short', '000050570a0b0c'],
    ["another implementation's capabilities", '0101'],
    ['capabilities in front of the mark', '010050570a0b0c0d'],
    ['another mark', '000050580a0b0c0d'],
    ['anything', 'ffffffffffffffffffffffff'],
  ])('%s is no hint, and the frame counts without', (_, trailer) => {
    const message = parseKeyExchange(bytesOf(DP_PILA + trailer));
    expect(message).toEqual(parseKeyExchange(bytesOf(DP_PILA)));
  });

  test('bytes behind it are ignored', () => {
    expect(parseKeyExchange(bytesOf(`${DP_PILA}000050570a0b0c0dff`))?.recipientHint).toBe(0x0a0b0c0d);
  });

  test('a PILK has none', () => {
    const frame = bytesOf(`${DP_PILK}${'00'.repeat(PILA_BYTES - PILK_BYTES)}000050570a0b0c0d`);
    expect(parseKeyExchange(frame)?.recipientHint).toBeUndefined();
  });
});

describe('hostile frames', () => {
  const hinted = bytesOf(`${DP_PILA}000050570a0b0c0d`);

  test('every truncation below the layout is refused', () => {
    for (const cut of truncations(bytesOf(DP_PILK))) expect(parseKeyExchange(cut)).toBeUndefined();
    for (const cut of truncations(hinted)) {
      expect(parseKeyExchange(cut) !== undefined).toBe(cut.length >= PILA_BYTES);
    }
  });

  test('every flipped bit shows in the result', () => {
    for (const flipped of bitFlips(hinted)) {
      const message = parseKeyExchange(flipped);
      if (message === undefined || !message.authenticated) {
        // Only the magic tells PILA from anything else.
        expect(toHex(flipped.subarray(4))).toBe(toHex(hinted.subarray(4)));
        continue;
      }
      const again = emitPila({
        ...message,
        identityKey: message.identityKey!,
        signature: message.signature!,
      });
      expect(toHex(again)).toBe(toHex(flipped.subarray(0, again.length)));
      expect(again.length).toBe(message.recipientHint === undefined ? hinted.length - HINT_BYTES : hinted.length);
    }
  });

  test('nothing throws, and the keys lie within the frame', () => {
    for (const frame of hostile(hinted)) {
      const message = parseKeyExchange(frame);
      if (message === undefined) continue;
      expect(message.exchangeKey.buffer).toBe(frame.buffer);
      expect(message.exchangeKey.length).toBe(32);
      expect(message.identityKey?.length).toBe(message.authenticated ? 32 : undefined);
      expect(message.signature?.length).toBe(message.authenticated ? 64 : undefined);
    }
  });

  test('a frame inside a larger buffer is read within its own bounds', () => {
    const source = random(3);
    const large = source.bytes(400);
    large.set(hinted, 100);
    const frame = large.subarray(100, 100 + PILA_BYTES);
    expect(parseKeyExchange(frame)).toEqual(parseKeyExchange(bytesOf(DP_PILA)));
    expect(parseKeyExchange(large.subarray(100, 100 + PILA_BYTES - 1))).toBeUndefined();
  });
});

test('parse reads back what emit writes', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(
      u32,
      key,
      key,
      signature,
      fc.option(u32, { nil: undefined }),
      (sender, exchangeKey, identityKey, sig, hint) => {
        const fields = { sender, exchangeKey, identityKey, signature: sig, recipientHint: hint };
        expect(parseKeyExchange(emitPila(fields))).toEqual({ authenticated: true, ...fields });
        expect(parseKeyExchange(emitPilk(sender, exchangeKey))).toEqual({
          authenticated: false,
          sender,
          exchangeKey,
          identityKey: undefined,
          signature: undefined,
          recipientHint: undefined,
        });
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});
