import { createCipheriv } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import * as twin from '../reference/gcm.ts';
import { bitFlips, random } from '../reference/hostile.ts';
import { compile, instantiate, type Kernel, type Target } from './compile.ts';

const TAG = 16;

interface Case {
  key: Uint8Array;
  nonce: Uint8Array;
  aad: Uint8Array;
  plaintext: Uint8Array;
  sealed: Uint8Array;
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const known = (key: string, nonce: string, aad: string, plaintext: string, sealed: string): Case => ({
  key: hex(key),
  nonce: hex(nonce),
  aad: hex(aad),
  plaintext: hex(plaintext),
  sealed: hex(sealed),
});

const KEY = 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308';
const NONCE = 'cafebabefacedbaddecaf888';
const PLAINTEXT =
  'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
  '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255';
const CIPHERTEXT =
  '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
  '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad';

// D. McGrew and J. Viega, "The Galois/Counter Mode of Operation", appendix B: AES-256 with a 96-bit nonce.
const CASE_13 = known('00'.repeat(32), '00'.repeat(12), '', '', '530f8afbc74536b9a963b4f1c4cb738b');
const CASE_14 = known(
  '00'.repeat(32),
  '00'.repeat(12),
  '',
  '00'.repeat(16),
  'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
);
const CASE_15 = known(KEY, NONCE, '', PLAINTEXT, `${CIPHERTEXT}b094dac5d93471bdec1a502270e3cc6c`);
/** Its aad has 20 bytes, more than the kernel takes: for the twin only. */
const CASE_16 = known(
  KEY,
  NONCE,
  'feedfacedeadbeeffeedfacedeadbeefabaddad2',
  PLAINTEXT.slice(0, 120),
  `${CIPHERTEXT.slice(0, 120)}76fc6ece0f4e1768cddf8853bb2d551b`,
);

/** A random case, sealed by node:crypto. */
function randomCase(seed: number, length: number, aadLength: number): Case {
  const source = random(seed);
  const [key, nonce, aad, plaintext] = [32, 12, aadLength, length].map((n) => source.bytes(n)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(aad);
  const sealed = Uint8Array.from(Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]));
  return { key, nonce, aad, plaintext, sealed };
}

describe('the twin', () => {
  test.each([
    ['13', CASE_13],
    ['14', CASE_14],
    ['15', CASE_15],
    ['16', CASE_16],
  ])('seals and opens the published case %s', (_, known) => {
    expect(twin.seal(known.key, known.nonce, known.aad, known.plaintext)).toEqual(known.sealed);
    expect(twin.open(known.key, known.nonce, known.aad, known.sealed)).toEqual(known.plaintext);
  });

  test('agrees with node:crypto', () => {
    for (const [i, length] of [0, 1, 15, 16, 17, 31, 32, 33, 98, 255, 256, 1_200].entries()) {
      const { key, nonce, aad, plaintext, sealed } = randomCase(i, length, i * 3);
      expect(twin.seal(key, nonce, aad, plaintext)).toEqual(sealed);
      expect(twin.open(key, nonce, aad, sealed)).toEqual(plaintext);
    }
  });

  test('refuses every change of one bit', () => {
    const { key, nonce, aad, sealed } = randomCase(20, 5, 4);
    for (const forged of bitFlips(sealed)) expect(twin.open(key, nonce, aad, forged)).toBeUndefined();
    for (const forged of bitFlips(aad)) expect(twin.open(key, nonce, forged, sealed)).toBeUndefined();
    expect(twin.open(key, nonce, aad, sealed.subarray(0, TAG - 1))).toBeUndefined();
  });
});

describe.each<Target>(['release', 'relaxed'])('the kernel, target %s', (target) => {
  let binary: Uint8Array<ArrayBuffer>;
  let kernel: Kernel;
  let bench: Bench;

  beforeAll(() => {
    binary = compile(
      { 'crypto/gcm': ['GCM_CONTEXT_BYTES', 'gcmInit', 'gcmExpand', 'gcmAad', 'gcmSeal', 'gcmOpen'] },
      target,
    );
    if (!WebAssembly.validate(binary)) return;
    kernel = instantiate(binary, 4);
    kernel.exports.gcmInit!();
    bench = new Bench(kernel);
  });

  test('the plain build validates everywhere, and both keep the size budget', () => {
    if (target === 'release') expect(WebAssembly.validate(binary)).toBe(true);
    expect(binary.length).toBeGreaterThan(4_000);
    expect(binary.length).toBeLessThan(24_576);
  });

  test('a context is whole cache lines', (context) => {
    if (kernel === undefined) return context.skip();
    expect(bench.contextBytes % 64).toBe(0);
    expect(bench.contextBytes).toBeLessThanOrEqual(7_168);
  });

  test.each([
    ['13', CASE_13],
    ['14', CASE_14],
    ['15', CASE_15],
  ])('seals and opens the published case %s', (_, known) => {
    if (kernel === undefined) return;
    bench.expectBothWays(known, 0);
  });

  test('agrees with node:crypto at every length to 300, every aad length and alignment', (context) => {
    if (kernel === undefined) return context.skip();
    for (let length = 0; length <= 300; length++) {
      bench.expectBothWays(randomCase(length, length, length % 17), (length * 7) % 16);
    }
    for (let aadLength = 0; aadLength <= 16; aadLength++) bench.expectBothWays(randomCase(aadLength, 34, aadLength), 3);
  });

  // 4 080 bytes end with counter 256 and 4 096 with 257: the low byte wraps. 8 176 and 12 272 are the next wraps.
  test('agrees with node:crypto around every counter wrap and at the longest lengths', (context) => {
    if (kernel === undefined) return context.skip();
    const lengths = [1_200, 1_434, 3_968, 8_190, 8_192, 12_271, 12_288, 16_384, 65_507, 65_535, 65_569];
    for (let length = 4_064; length <= 4_224; length++) lengths.push(length);
    for (let length = 8_160; length <= 8_320; length += 8) lengths.push(length);
    for (const length of lengths) bench.expectBothWays(randomCase(length, length, 4), length % 16);
  });

  test('agrees with the twin', (context) => {
    if (kernel === undefined) return context.skip();
    for (const length of [0, 34, 98, 300]) {
      const example = randomCase(length, length, 4);
      example.sealed = twin.seal(example.key, example.nonce, example.aad, example.plaintext);
      bench.expectBothWays(example, 0);
    }
  });

  test.each([0, 1, 16, 37, 113, 300])('refuses each changed bit of %i bytes, tag and aad; data untouched', (length) => {
    if (kernel === undefined) return;
    const example = randomCase(length, length, 4);
    bench.expand(example.key);
    for (const forged of bitFlips(example.sealed)) {
      expect(bench.open({ ...example, sealed: forged }, 1)).toBe(false);
      expect(bench.data(forged.length, 1)).toEqual(forged);
    }
    for (const forged of bitFlips(example.aad)) expect(bench.open({ ...example, aad: forged }, 1)).toBe(false);
    for (const forged of bitFlips(example.nonce)) expect(bench.open({ ...example, nonce: forged }, 1)).toBe(false);
    expect(bench.open(example, 1)).toBe(true);
  });

  test('refuses another aad length and a shorter ciphertext', (context) => {
    if (kernel === undefined) return context.skip();
    const example = randomCase(7, 64, 4);
    bench.expand(example.key);
    const padded = Uint8Array.of(...example.aad, 0);
    expect(bench.open({ ...example, aad: padded }, 0)).toBe(false);
    expect(bench.open({ ...example, sealed: example.sealed.slice(1) }, 0)).toBe(false);
    expect(bench.open({ ...example, sealed: example.sealed.slice(0, -1) }, 0)).toBe(false);
  });

  test('contexts of several keys stand side by side', (context) => {
    if (kernel === undefined) return context.skip();
    const first = randomCase(1, 200, 4);
    const second = randomCase(2, 200, 4);
    bench.expand(first.key, 0);
    bench.expand(second.key, 1);
    expect(bench.open(first, 0, 0)).toBe(true);
    expect(bench.open(second, 0, 1)).toBe(true);
    expect(bench.open(first, 0, 1)).toBe(false);
  });

  test('data, nonce and aad may end with the memory: nothing behind them is read', (context) => {
    if (kernel === undefined) return context.skip();
    for (const length of [0, 5, 16, 130]) {
      const example = randomCase(length, length, 4);
      bench.expand(example.key);
      const end = bench.memoryBytes;
      expect(bench.seal(example, end - length - TAG - bench.dataPtr)).toEqual(example.sealed);
      expect(bench.open(example, end - length - TAG - bench.dataPtr)).toBe(true);
      expect(bench.sealFromEnd(example)).toEqual(example.sealed);
    }
  });

  test('no key material stays in the static areas after a key was expanded', (context) => {
    if (kernel === undefined) return context.skip();
    const fresh = instantiate(binary, 4);
    fresh.exports.gcmInit!();
    const before = fresh.bytes.slice(0, fresh.free);
    new Bench(fresh).expand(random(9).bytes(32));
    expect(fresh.bytes.slice(0, fresh.free)).toEqual(before);
  });
});

/** One kernel with places for two contexts, nonce, aad and data. */
class Bench {
  readonly contextBytes: number;
  readonly dataPtr: number;
  readonly #kernel: Kernel;
  readonly #keyPtr: number;
  readonly #noncePtr: number;
  readonly #aadPtr: number;
  readonly #startPtr: number;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.contextBytes = (kernel.exports.GCM_CONTEXT_BYTES as unknown as WebAssembly.Global).value as number;
    this.#keyPtr = kernel.free + 2 * this.contextBytes;
    this.#noncePtr = this.#keyPtr + 33;
    this.#aadPtr = this.#noncePtr + 13;
    this.#startPtr = this.#aadPtr + 17;
    this.dataPtr = this.#startPtr + 33;
  }

  get memoryBytes(): number {
    return this.#kernel.bytes.length;
  }

  #context(index: number): number {
    return this.#kernel.free + index * this.contextBytes;
  }

  expand(key: Uint8Array, index = 0): void {
    this.#kernel.bytes.set(key, this.#keyPtr);
    this.#kernel.exports.gcmExpand!(this.#keyPtr, this.#context(index));
    this.#kernel.bytes.fill(0, this.#keyPtr, this.#keyPtr + 32);
  }

  /** The sealed bytes; `offset` is that of the data from `dataPtr`. */
  seal(example: Case, offset: number, pointers = [this.#noncePtr, this.#aadPtr] as const): Uint8Array {
    const { bytes, exports } = this.#kernel;
    const [noncePtr, aadPtr] = pointers;
    const ptr = this.dataPtr + offset;
    bytes.fill(0xa5, this.dataPtr - 16, ptr + example.plaintext.length + 48);
    bytes.set(example.plaintext, ptr);
    bytes.set(example.nonce, noncePtr);
    bytes.set(example.aad, aadPtr);
    exports.gcmAad!(this.#context(0), aadPtr, example.aad.length, this.#startPtr);
    exports.gcmSeal!(this.#context(0), noncePtr, this.#startPtr, example.aad.length, ptr, example.plaintext.length);
    return this.data(example.plaintext.length + TAG, offset);
  }

  /** Seals with aad, and then nonce, as the last bytes of the memory. */
  sealFromEnd(example: Case): Uint8Array {
    const withAad = this.seal(example, 0, [this.#noncePtr, this.memoryBytes - example.aad.length]);
    expect(this.seal(example, 0, [this.memoryBytes - example.nonce.length, this.#aadPtr])).toEqual(withAad);
    return withAad;
  }

  open(example: Case, offset: number, index = 0): boolean {
    const { bytes, exports } = this.#kernel;
    const ptr = this.dataPtr + offset;
    const length = example.sealed.length - TAG;
    bytes.set(example.sealed, ptr);
    bytes.set(example.nonce, this.#noncePtr);
    bytes.set(example.aad, this.#aadPtr);
    exports.gcmAad!(this.#context(index), this.#aadPtr, example.aad.length, this.#startPtr);
    const answer = exports.gcmOpen!(
      this.#context(index),
      this.#noncePtr,
      this.#startPtr,
      example.aad.length,
      ptr,
      length,
    );
    return answer !== 0;
  }

  data(length: number, offset: number): Uint8Array {
    return this.#kernel.bytes.slice(this.dataPtr + offset, this.dataPtr + offset + length);
  }

  /** Seals and opens, and looks that bytes around the data stay as they are. */
  expectBothWays(example: Case, offset: number): void {
    const { plaintext, sealed } = example;
    this.expand(example.key);
    const got = this.seal(example, offset);
    expect(Buffer.compare(got, sealed), `sealing ${plaintext.length} bytes`).toBe(0);
    expect(this.open(example, offset), `opening ${plaintext.length} bytes`).toBe(true);
    const opened = this.data(plaintext.length + TAG, offset);
    expect(Buffer.compare(opened.subarray(0, plaintext.length), plaintext)).toBe(0);
    expect(Buffer.compare(opened.subarray(plaintext.length), sealed.subarray(plaintext.length))).toBe(0);
    const around = [...this.data(16 + offset, -16), ...this.data(32, offset + sealed.length)];
    expect(around.every((byte) => byte === 0xa5)).toBe(true);
  }
}
