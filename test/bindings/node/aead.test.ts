/** AES-256-GCM of node:crypto in place, against the plain twin; and what it leaves behind. */
import { createDecipheriv, type DecipherGCM, KeyObject } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createAead } from '../../../bindings/node/aead.ts';
import type { AeadMessage } from '../../../src/engine/aead.ts';
import { Random } from '../../engine/rig.ts';
import { open, seal } from '../../reference/gcm.ts';

const LENGTHS = [0, 1, 15, 16, 17, 34, 255, 1200];
const TAG = 16;
const aead = createAead();
/** What all decipherers inherit, to look over their shoulder. */
const DECIPHERER: DecipherGCM = Object.getPrototypeOf(
  createDecipheriv('aes-256-gcm', new Uint8Array(32), new Uint8Array(12)),
);

/** A message in the middle of other bytes, as in a slot. */
function message(random: Random, length: number): AeadMessage & { readonly around: Uint8Array } {
  const around = random.bytes(length + 64);
  const [nonce, aad, tag] = [12, 4, TAG].map((bytes) => random.bytes(bytes)) as [Uint8Array, Uint8Array, Uint8Array];
  return { nonce, aad, tag, data: around.subarray(32, 32 + length), around };
}

afterEach(() => {
  vi.restoreAllMocks();
});

test('seal() gives ciphertext and tag of the plain twin, and changes nothing beside them', () => {
  const random = new Random(1);
  for (const length of LENGTHS) {
    const key = random.bytes(32);
    const m = message(random, length);
    const before = m.around.slice();
    const expected = seal(key, m.nonce, m.aad, m.data);
    aead.seal(aead.importKey(key), m);
    expect(m.data).toEqual(expected.subarray(0, length));
    expect(m.tag).toEqual(expected.subarray(length));
    before.set(m.data, 32);
    expect(m.around).toEqual(before);
  }
});

test('open() gives the plaintext that the plain twin gives', () => {
  const random = new Random(2);
  for (const length of LENGTHS) {
    const key = random.bytes(32);
    const handle = aead.importKey(key);
    const m = message(random, length);
    const plaintext = m.data.slice();
    aead.seal(handle, m);
    expect(open(key, m.nonce, m.aad, Uint8Array.from([...m.data, ...m.tag]))).toEqual(plaintext);
    expect(aead.open(handle, m)).toBe(true);
    expect(m.data).toEqual(plaintext);
  }
});

test('importKey() copies', () => {
  const key = new Uint8Array(32).fill(5);
  const handle = aead.importKey(key);
  key.fill(0);
  expect(handle).toBeInstanceOf(KeyObject);
  expect(new Uint8Array(handle.export())).toEqual(new Uint8Array(32).fill(5));
});

test('a key, nonce or tag of another length throws and leaves the data', () => {
  const random = new Random(3);
  const handle = aead.importKey(random.bytes(32));
  const m = message(random, 40);
  const before = m.data.slice();
  const short = aead.importKey(random.bytes(31));
  expect(() => aead.seal(short, m)).toThrow();
  expect(() => aead.open(short, m)).toThrow();
  expect(() => aead.seal(handle, { ...m, nonce: new Uint8Array(0) })).toThrow();
  expect(() => aead.open(handle, { ...m, tag: new Uint8Array(17) })).toThrow();
  expect(m.data).toEqual(before);
});

describe('a forged message', () => {
  test('is refused and stays as it was, whichever bit was flipped', () => {
    const random = new Random(4);
    const handle = aead.importKey(random.bytes(32));
    const m = message(random, 40);
    aead.seal(handle, m);
    for (const part of [m.nonce, m.aad, m.data, m.tag]) {
      for (let at = 0; at < part.length; at++) {
        const bit = 1 << random.next(8);
        part[at]! ^= bit;
        const before = m.around.slice();
        expect(aead.open(handle, m)).toBe(false);
        expect(m.around).toEqual(before);
        part[at]! ^= bit;
      }
    }
    expect(aead.open(handle, m)).toBe(true);
  });

  test('gets no byte out before all of it was verified', () => {
    const random = new Random(5);
    const handle = aead.importKey(random.bytes(32));
    const m = message(random, 40);
    aead.seal(handle, m);
    const ciphertext = m.data.slice();
    const seen: Uint8Array[] = [];
    const { final } = DECIPHERER;
    vi.spyOn(DECIPHERER, 'final').mockImplementation(function (this: DecipherGCM) {
      seen.push(m.data.slice());
      return final.call(this, 'buffer' as never);
    } as never);
    expect(aead.open(handle, m)).toBe(true);
    expect(seen).toEqual([ciphertext]);
  });
});

test('the plaintext that OpenSSL handed out is wiped, verified or not', () => {
  const random = new Random(6);
  const handle = aead.importKey(random.bytes(32));
  const m = message(random, 40);
  const plaintext = m.data.slice();
  aead.seal(handle, m);
  const update = vi.spyOn(DECIPHERER, 'update');
  m.tag[0]! ^= 1;
  expect(aead.open(handle, m)).toBe(false);
  m.tag[0]! ^= 1;
  expect(aead.open(handle, m)).toBe(true);
  expect(m.data).toEqual(plaintext);
  const scratch = update.mock.results.map(({ value }: { value?: unknown }) => Uint8Array.from(value as Uint8Array));
  expect(scratch).toEqual([new Uint8Array(40), new Uint8Array(40)]);
});
