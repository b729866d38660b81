import { describe, expect, test } from 'vitest';
import { createPublicKeyJobs } from '../../../bindings/node/keys.ts';
import { readVectors } from '../../vectors/folder.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const base64 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64'));
const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** CP 11: seed 00 01 … 1f. */
const SEED = Uint8Array.from({ length: 32 }, (_, i) => i);
const PUBLIC_KEY = 'A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=';
const SIGNED: readonly (readonly [message: string, signature: string])[] = [
  ['heartbeat:7', 'Y6JmQqCf3KTNwCCbxu9YSZ/VlqZO67yV7zH8iB+KaoRCXNiCRkoc/OSV6aTg2j+POcoxwoRQYKywbyKv3VHlBA=='],
  ['resolve:7:9', '+EjwLoYXuJrIepBPiVa3j641gwGfdW4FFG+90FUyd9ncUUNMD+ZsE7i0w7mx1SKUh26KSII95jQ2bYBiTfl8Bg=='],
  ['poll_handshakes:7', 'bo2npnSxdDO/Gz5S0ZcIm28ASgosKKreEf05jMp7YE1N4E6pU8ORJj1SAIGSZeIGsUC9kl4DRawzXwq0Z6kIDw=='],
  ['handshake:7:9', 'xd0obziHOzOwelDl3a3KlWuafjDtfXEq58O27hsWW4fe5SBHSh/mq50SzksGQx/ffumR11ORL+sg/mwwLi+2Dw=='],
  ['respond:7:9', 'DhxzZarTB1p8Kb6Wl1vfni9RIShQdotv9uAxszxizEbL2Nf3Ha1w00a4uFdGv6/g8sIZGEX8OesIDvCvPqJJAQ=='],
  ['rotate:7', 'yAJfb4f+ukazRomgSJpCX5ZADJtVGxiy1rgE3H0ThTg5Tf+Gg3FHdNhWn6DScD6n+9Tfr9Iq6EGlL1Ljy7VYDw=='],
  ['join_network:7:3', 'sh0f+oUknQw86Si7c6R1iF6rx7Jv2VU6gg3UMlSksoi/M+LEo9jDcGwrPIpv/wgC1HCktzSXloTdfS6cGlPKAA=='],
  [
    `register:0.0.0.0:4000:${PUBLIC_KEY}`,
    'BG+xcZdBjs0PKjMOk/oY4cE5H1TFj9CgrnPMuq3lCBTZKTMTFEO89L+W27105h0ve0A7IcfbdM0PMfdtm5CmCQ==',
  ],
  [
    `rotate:7:${PUBLIC_KEY}`,
    'EkP6MN4H9XfGWSroLNa1wh1CpgM7YpPC+DNRdyOWJkngd48nFci1LN+vsdJqjgW0taw62WaSPpQU/ttEJUDQAA==',
  ],
];

interface Recorded {
  seed: string;
  public_key: string;
  signatures: { message_hex: string; signature: string }[];
}

describe('Ed25519', () => {
  test.each(SIGNED)('signs %s as CP 11 says', (message, signature) => {
    const jobs = createPublicKeyJobs();
    const { identity, publicKey } = jobs.importIdentity(SEED);
    expect(Buffer.from(publicKey).toString('base64')).toBe(PUBLIC_KEY);
    expect(Buffer.from(jobs.sign(identity, ascii(message))).toString('base64')).toBe(signature);
    expect(jobs.verify(publicKey, ascii(message), base64(signature))).toBe(true);
  });

  test('signs and verifies the recorded identity', () => {
    const recorded = readVectors<Recorded>('identity');
    const jobs = createPublicKeyJobs();
    const { identity, publicKey } = jobs.importIdentity(hex(recorded.seed));
    expect(Buffer.from(publicKey).toString('hex')).toBe(recorded.public_key);
    expect(recorded.signatures.length).toBeGreaterThan(0);
    for (const { message_hex, signature } of recorded.signatures) {
      expect(Buffer.from(jobs.sign(identity, hex(message_hex))).toString('hex')).toBe(signature);
      expect(jobs.verify(publicKey, hex(message_hex), hex(signature))).toBe(true);
    }
  });

  test('verify() rejects every single-bit flip of key, message and signature', () => {
    const jobs = createPublicKeyJobs();
    const [text, signed] = SIGNED[0]!;
    const parts = [base64(PUBLIC_KEY), ascii(text), base64(signed)] as const;
    const verify = () => jobs.verify(parts[0], parts[1], parts[2]);
    expect(verify()).toBe(true);
    for (const part of parts) {
      for (let bit = 0; bit < part.length * 8; bit += 3) {
        part[bit >> 3]! ^= 1 << (bit & 7);
        expect(verify()).toBe(false);
        part[bit >> 3]! ^= 1 << (bit & 7);
      }
    }
    expect(verify()).toBe(true);
  });

  test('verify() answers false to malformed keys and signatures', () => {
    const jobs = createPublicKeyJobs();
    const [text, signed] = SIGNED[0]!;
    const message = ascii(text);
    const key = base64(PUBLIC_KEY);
    const signature = base64(signed);
    for (const length of [0, 1, 31, 33, 44, 64])
      expect(jobs.verify(new Uint8Array(length), message, signature)).toBe(false);
    for (const length of [0, 1, 63, 65, 128]) expect(jobs.verify(key, message, new Uint8Array(length))).toBe(false);
    // Not a point of the curve: y = 2^255 − 1.
    expect(jobs.verify(new Uint8Array(32).fill(0xff), message, signature)).toBe(false);
  });

  test('verify() reads keys and signatures that are windows of a larger memory', () => {
    const jobs = createPublicKeyJobs();
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 1 }).buffer).subarray(77);
    const [text, signed] = SIGNED[0]!;
    memory.set(base64(PUBLIC_KEY), 3);
    memory.set(base64(signed), 40);
    memory.set(ascii(text), 200);
    const verify = () =>
      jobs.verify(memory.subarray(3, 35), memory.subarray(200, 200 + text.length), memory.subarray(40, 104));
    expect(verify()).toBe(true);
    // The cache must know the key by its bytes at that time, not by the place where they stood.
    memory[3]! ^= 1;
    expect(verify()).toBe(false);
  });

  test('a key that the cache dropped still verifies', () => {
    const jobs = createPublicKeyJobs();
    const [text, signed] = SIGNED[0]!;
    const verify = () => jobs.verify(base64(PUBLIC_KEY), ascii(text), base64(signed));
    expect(verify()).toBe(true);
    const other = base64(PUBLIC_KEY);
    for (let i = 0; i < 1100; i++) {
      other[0] = i;
      other[1] = i >> 8;
      jobs.verify(other, ascii(text), base64(signed));
    }
    expect(verify()).toBe(true);
  });

  test('importIdentity() throws a RangeError for a seed that is not 32 bytes', () => {
    const jobs = createPublicKeyJobs();
    for (const length of [0, 31, 33, 64]) expect(() => jobs.importIdentity(new Uint8Array(length))).toThrow(RangeError);
  });

  test('importIdentity() leaves the seed to the caller', () => {
    const jobs = createPublicKeyJobs();
    const seed = SEED.slice();
    const { identity } = jobs.importIdentity(seed);
    expect(seed).toEqual(SEED);
    seed.fill(0);
    const [message, signature] = SIGNED[0]!;
    expect(Buffer.from(jobs.sign(identity, ascii(message))).toString('base64')).toBe(signature);
  });
});

describe('X25519 and HKDF', () => {
  interface Side {
    x25519_private: string;
    x25519_public: string;
  }
  const recorded = readVectors<{ a: Side; b: Side; derivation: { key: string } }[]>('tunnel-keyexchange');

  test('derives the recorded tunnel keys from both sides', () => {
    expect(recorded.length).toBeGreaterThan(0);
    for (const { a, b, derivation } of recorded) {
      const jobs = createPublicKeyJobs();
      for (const [own, peer] of [
        [a, b],
        [b, a],
      ] as const) {
        const { exchange, publicKey } = jobs.createExchange(hex(own.x25519_private));
        expect(Buffer.from(publicKey).toString('hex')).toBe(own.x25519_public);
        const key = jobs.agree(exchange, hex(peer.x25519_public), 'pilot-tunnel-v1');
        expect(Buffer.from(key!).toString('hex')).toBe(derivation.key);
      }
    }
  });

  test('another info gives another key', () => {
    const jobs = createPublicKeyJobs();
    const { a, b } = recorded[0]!;
    const { exchange } = jobs.createExchange(hex(a.x25519_private));
    const key = jobs.agree(exchange, hex(b.x25519_public), 'pilot-secure-v1');
    expect(key).toHaveLength(32);
    expect(Buffer.from(key!).toString('hex')).not.toBe(recorded[0]!.derivation.key);
  });

  test.each([
    ['0', '0000000000000000000000000000000000000000000000000000000000000000'],
    ['1', '0100000000000000000000000000000000000000000000000000000000000000'],
    ['order 8', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
    ['order 8, the other', '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'],
    ['p − 1', 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
    ['p', 'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
    ['p + 1', 'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'],
  ])('agree() refuses the low-order point %s', (_name, point) => {
    const jobs = createPublicKeyJobs();
    const { exchange } = jobs.createExchange(hex(recorded[0]!.a.x25519_private));
    expect(jobs.agree(exchange, hex(point), 'pilot-tunnel-v1')).toBeUndefined();
  });

  test('agree() answers undefined to a key that is not 32 bytes', () => {
    const jobs = createPublicKeyJobs();
    const { exchange } = jobs.createExchange(hex(recorded[0]!.a.x25519_private));
    for (const length of [0, 31, 33, 64]) {
      expect(jobs.agree(exchange, new Uint8Array(length).fill(9), 'pilot-tunnel-v1')).toBeUndefined();
    }
  });

  test('createExchange() throws a RangeError for other than 32 bytes', () => {
    expect(() => createPublicKeyJobs().createExchange(new Uint8Array(31))).toThrow(RangeError);
  });
});

describe('handles', () => {
  test('handles of both kinds are different positive integers', () => {
    const jobs = createPublicKeyJobs();
    const first = jobs.importIdentity(SEED).identity;
    const second = jobs.createExchange(SEED).exchange;
    const third = jobs.importIdentity(SEED).identity;
    expect(new Set([first, second, third]).size).toBe(3);
    for (const handle of [first, second, third]) expect(Number.isInteger(handle) && handle > 0).toBe(true);
  });

  test('a forgotten identity signs no more, a forgotten exchange agrees no more', () => {
    const jobs = createPublicKeyJobs();
    const peer = jobs.createExchange(SEED).publicKey;
    const { identity } = jobs.importIdentity(SEED);
    const { exchange } = jobs.createExchange(SEED.slice().fill(7));
    expect(jobs.sign(identity, SEED)).toHaveLength(64);
    expect(jobs.agree(exchange, peer, 'x')).toHaveLength(32);
    jobs.forget(identity);
    jobs.forget(exchange);
    expect(() => jobs.sign(identity, SEED)).toThrow(RangeError);
    expect(jobs.agree(exchange, peer, 'x')).toBeUndefined();
  });

  test('an exchange key does not sign, and an identity does not agree', () => {
    const jobs = createPublicKeyJobs();
    const { exchange, publicKey } = jobs.createExchange(SEED);
    const { identity } = jobs.importIdentity(SEED);
    expect(() => jobs.sign(exchange, SEED)).toThrow(RangeError);
    expect(jobs.agree(identity, publicKey, 'x')).toBeUndefined();
  });
});
