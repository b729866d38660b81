import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import { emitIdentity, parseIdentity } from '../../src/wire/identity.ts';
import { bitFlips, noise, truncations } from '../reference/hostile.ts';
import { filesLike, readText, readVectors } from '../vectors/folder.ts';

interface Recorded {
  bad_files: { file: string; error: string }[];
  file_text: string;
  private_key: string;
  public_key: string;
  seed: string;
  signatures: { message_hex: string; signature: string }[];
}

const RECORDED = readVectors<Recorded>('identity');

const importSeed = (seed: Uint8Array) =>
  createPrivateKey({
    key: Buffer.concat([fromHex('302e020100300506032b657004220420')!, seed]),
    format: 'der',
    type: 'pkcs8',
  });

function publicKeyOf(seed: Uint8Array): Uint8Array {
  const der = createPublicKey(importSeed(seed)).export({ format: 'der', type: 'spki' });
  return new Uint8Array(der.subarray(der.length - 32));
}

describe('the recorded file', () => {
  test('is read: its seed signs as recorded', () => {
    const seed = parseIdentity(RECORDED.file_text)!;
    expect(toHex(seed)).toBe(RECORDED.seed);
    expect(toHex(publicKeyOf(seed))).toBe(RECORDED.public_key);
    for (const { message_hex, signature } of RECORDED.signatures) {
      expect(toHex(sign(null, fromHex(message_hex)!, importSeed(seed)))).toBe(signature);
    }
  });

  test('is written byte for byte', () => {
    expect(emitIdentity(fromHex(RECORDED.seed)!, fromHex(RECORDED.public_key)!)).toBe(RECORDED.file_text);
  });

  test.each(RECORDED.bad_files)('damaged ($error) is refused', ({ file }) => {
    expect(parseIdentity(file)).toBeUndefined();
  });
});

test('the identity of CP 11 is written with the published private key', () => {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => i);
  const text = emitIdentity(seed, publicKeyOf(seed));
  expect(JSON.parse(text)).toEqual({
    private_key: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==',
    public_key: 'A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=',
  });
  expect(parseIdentity(text)).toEqual(seed);
});

const SESSION_FILES = filesLike(/^session-.*\.identity-.*\.json$/);
test.each(SESSION_FILES)('the recorded %s, as a running peer wrote it, is read and written back', (name) => {
  const text = readText(name);
  const seed = parseIdentity(text)!;
  expect(emitIdentity(seed, publicKeyOf(seed))).toBe(text.trimEnd());
});

describe('a file is refused when', () => {
  const { private_key, public_key } = JSON.parse(RECORDED.file_text);
  const other = 'A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=';
  test.each<[string, unknown]>([
    ['the public key is another than the second half', { private_key, public_key: other }],
    ['the public key is missing', { private_key }],
    ['the public key is empty', { private_key, public_key: '' }],
    ['the private key is missing', { public_key }],
    ['the private key is only a seed', { private_key: public_key, public_key }],
    ['a key is no text', { private_key, public_key: 5 }],
    ['there is an array', [private_key, public_key]],
    ['there is null', null],
    ['there is a number', 7],
  ])('%s', (_, value) => {
    expect(parseIdentity(JSON.stringify(value))).toBeUndefined();
  });
});

test('fields of others are ignored', () => {
  const file = { ...JSON.parse(RECORDED.file_text), created: 'yesterday' };
  expect(toHex(parseIdentity(JSON.stringify(file))!)).toBe(RECORDED.seed);
});

describe('hostile files', () => {
  const bytes = new TextEncoder().encode(RECORDED.file_text);
  const parse = (damaged: Uint8Array): Uint8Array | undefined => parseIdentity(new TextDecoder().decode(damaged));

  test('no truncation is an identity', () => {
    for (const cut of truncations(bytes)) expect(parse(cut)).toBeUndefined();
  });

  test('a flipped bit is refused, unless it leaves a well-formed file with another seed or the same keys', () => {
    let refused = 0;
    for (const flipped of bitFlips(bytes)) {
      const seed = parse(flipped);
      if (seed === undefined) {
        refused++;
        continue;
      }
      expect(seed.length).toBe(32);
      const text = new TextDecoder().decode(flipped);
      const fields = JSON.parse(text);
      // The public key is written twice, so a single flip cannot change it unseen.
      expect(fields.public_key).toBe(JSON.parse(RECORDED.file_text).public_key);
    }
    expect(refused).toBeGreaterThan(bytes.length);
  });

  test('noise is refused', () => {
    for (const bytesOfNoise of noise(bytes, 1, 2_000)) {
      if (bytesOfNoise.length < bytes.length) expect(parse(bytesOfNoise)).toBeUndefined();
      else expect(parse(bytesOfNoise)?.length ?? 32).toBe(32);
    }
  });
});

test('parse reads back what emit writes', () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(key, key, (seed, publicKey) => {
      expect(parseIdentity(emitIdentity(seed, publicKey))).toEqual(seed);
    }),
    { seed: 1, numRuns: 200 },
  );
});
