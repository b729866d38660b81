/** Both makers of a browser's keys, in Node's WebCrypto: they agree with Node's own, and with the published vectors. */
import { describe, expect, test } from 'vitest';
import { type BrowserKeys, VAULT } from '../../../bindings/browser/keys.ts';
import { createNobleKeys } from '../../../bindings/browser/noble-keys.ts';
import { createWebKeys } from '../../../bindings/browser/web-keys.ts';
import { createPublicKeyJobs } from '../../../bindings/node/keys.ts';
import { readVectors } from '../../vectors/folder.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

const SEED = Uint8Array.from({ length: 32 }, (_, i) => i);
const MESSAGE = ascii('heartbeat:7');
const INFO = 'pilot-tunnel-v1';
/** RFC 7748 §6.1 and what is known of the curve: 0, 1, two of order 8, p − 1, p, p + 1. */
const LOW_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];

interface RecordedIdentity {
  seed: string;
  public_key: string;
  signatures: { message_hex: string; signature: string }[];
}

const MAKERS: readonly [name: string, create: () => BrowserKeys][] = [
  ['WebCrypto', createWebKeys],
  ['noble', () => createNobleKeys(VAULT)],
];

for (const [name, create] of MAKERS) describe(name, () => keyTests(create));

function keyTests(create: () => BrowserKeys): void {
  test('signs and verifies the recorded identity', async () => {
    const { jobs } = create();
    const recorded = readVectors<RecordedIdentity>('identity');
    const { identity, publicKey } = await jobs.importIdentity(hex(recorded.seed));
    expect(toHex(publicKey)).toBe(recorded.public_key);
    for (const { message_hex, signature } of recorded.signatures) {
      expect(toHex(await jobs.sign(identity, hex(message_hex)))).toBe(signature);
      expect(await jobs.verify(publicKey, hex(message_hex), hex(signature))).toBe(true);
    }
  });

  test('verify() rejects flipped bits and malformed parts, and never rejects its promise', async () => {
    const { jobs } = create();
    const { identity, publicKey } = await jobs.importIdentity(SEED);
    const signature = await jobs.sign(identity, MESSAGE);
    const parts = [publicKey.slice(), MESSAGE.slice(), signature.slice()] as const;
    for (const part of parts) {
      for (let bit = 0; bit < part.length * 8; bit += 37) {
        part[bit >> 3]! ^= 1 << (bit & 7);
        expect(await jobs.verify(...parts)).toBe(false);
        part[bit >> 3]! ^= 1 << (bit & 7);
      }
    }
    expect(await jobs.verify(...parts)).toBe(true);
    for (const length of [0, 31, 33]) expect(await jobs.verify(new Uint8Array(length), MESSAGE, signature)).toBe(false);
    for (const length of [0, 63, 65]) expect(await jobs.verify(publicKey, MESSAGE, new Uint8Array(length))).toBe(false);
    expect(await jobs.verify(new Uint8Array(32).fill(0xff), MESSAGE, signature)).toBe(false);
  });

  test('arguments are the caller’s again when a call returns', async () => {
    const { jobs } = create();
    const seed = SEED.slice();
    const importing = jobs.importIdentity(seed);
    seed.fill(0);
    const { identity, publicKey } = await importing;
    const message = MESSAGE.slice();
    const signing = jobs.sign(identity, message);
    message.fill(0);
    const signature = await signing;
    const parts = [publicKey.slice(), MESSAGE.slice(), signature.slice()] as const;
    const verifying = jobs.verify(...parts);
    for (const part of parts) part.fill(0);
    expect(await verifying).toBe(true);
    const peer = createPublicKeyJobs().createExchange(SEED).publicKey;
    const { exchange } = await jobs.createExchange(SEED.slice());
    const wanted = await jobs.agree(exchange, peer, INFO);
    const copy = peer.slice();
    const agreeing = jobs.agree(exchange, copy, INFO);
    copy.fill(0);
    expect(await agreeing).toEqual(wanted);
  });

  test('agrees with Node’s keys on the session key, under each info', async () => {
    const { jobs } = create();
    const node = createPublicKeyJobs();
    const theirs = node.createExchange(SEED);
    const { exchange, publicKey } = await jobs.createExchange(SEED.slice().fill(9));
    for (const info of [INFO, 'pilot-secure-v1']) {
      const key = await jobs.agree(exchange, theirs.publicKey, info);
      expect(key).toHaveLength(32);
      expect(key).toEqual(node.agree(theirs.exchange, publicKey, info));
    }
  });

  test('agree() refuses points of low order and keys that are not 32 bytes', async () => {
    const { jobs } = create();
    const { exchange } = await jobs.createExchange(SEED.slice());
    for (const point of LOW_ORDER) expect(await jobs.agree(exchange, hex(point), INFO), point).toBeUndefined();
    for (const length of [0, 31, 33]) {
      expect(await jobs.agree(exchange, new Uint8Array(length).fill(9), INFO)).toBeUndefined();
    }
  });

  test('what was forgotten works no more, and each key does its own kind of work', async () => {
    const { jobs } = create();
    const peer = createPublicKeyJobs().createExchange(SEED).publicKey;
    const { identity } = await jobs.importIdentity(SEED);
    const { exchange } = await jobs.createExchange(SEED.slice());
    expect(identity).not.toBe(exchange);
    await expect((async () => jobs.sign(exchange, MESSAGE))()).rejects.toThrow();
    expect(await jobs.agree(identity, peer, INFO)).toBeUndefined();
    jobs.forget(identity);
    jobs.forget(exchange);
    await expect((async () => jobs.sign(identity, MESSAGE))()).rejects.toThrow(RangeError);
    expect(await jobs.agree(exchange, peer, INFO)).toBeUndefined();
  });

  test('a kept identity is the same one again, and none of its parts can be read', async () => {
    const { live, kept } = await create().createIdentity();
    const again = await create().openIdentity(kept!);
    expect(again.publicKey).toEqual(live.publicKey);
    const other = create();
    const { identity } = await other.openIdentity(kept!);
    const signature = await other.jobs.sign(identity, MESSAGE);
    expect(createPublicKeyJobs().verify(live.publicKey, MESSAGE, signature)).toBe(true);
    for (const part of Object.values(kept!)) {
      if (part instanceof CryptoKey) await expect(crypto.subtle.exportKey('jwk', part)).rejects.toThrow();
    }
  });
}

test('an identity that was wrapped is used by WebCrypto where that has learnt the curve', async () => {
  const { live, kept } = await createNobleKeys(VAULT).createIdentity();
  expect((await createWebKeys().openIdentity(kept!)).publicKey).toEqual(live.publicKey);
});

test('noble makes the pair that the random bytes say, as Node does', async () => {
  const { jobs } = createNobleKeys(VAULT);
  const { exchange, publicKey } = await jobs.createExchange(SEED);
  const node = createPublicKeyJobs();
  const own = node.createExchange(SEED);
  expect(publicKey).toEqual(own.publicKey);
  const peer = node.createExchange(SEED.slice().fill(3)).publicKey;
  expect(await jobs.agree(exchange, peer, INFO)).toEqual(node.agree(own.exchange, peer, INFO));
});
