/**
 * A place for one AEAD kernel to be wrong in: key, nonce, aad and data stand in its memory with nothing between them, other
 * bytes before and behind, at any alignment. After each call all of it is compared with a model, so that a byte that was
 * written where it should not be is found like one that is wrong.
 */
import { createCipheriv } from 'node:crypto';
import type { Random } from '../reference/hostile.ts';
import { instantiate, type Kernel } from './compile.ts';

/** Bytes of a tag. */
export const TAG = 16;

const PAGES = 4;
const KEY = 32;
const NONCE = 12;
/** Other bytes on each side. */
const AROUND = 64;
/** Memory before what a pair takes is looked at once in so many pairs. */
const PAIRS_PER_SWEEP = 256;

/** What is sealed, and what node:crypto made of it. Borrowed until the next is made. */
export interface Pair {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly tag: Uint8Array;
  /** What stands around it. */
  readonly around: Uint8Array;
  /** From where the places are counted, 0 to 63. */
  readonly shift: number;
  /** Data before or behind the others. */
  readonly isDataFirst: boolean;
}

/** A part of a message, a bit of which may be forged. */
export type Part = 'tag' | 'data' | 'aad' | 'nonce';

/** Random bytes, many at a time: the key stream of a cipher. The same seed gives the same bytes. */
export class ByteSource {
  readonly #cipher;
  readonly #zeros = new Uint8Array(1 << 18);
  #pool: Uint8Array = new Uint8Array(0);

  constructor(seed: number) {
    const key = new Uint8Array(KEY);
    new DataView(key.buffer).setUint32(0, seed);
    this.#cipher = createCipheriv('aes-256-ctr', key, new Uint8Array(16));
  }

  /** @param n - At most 2^18. */
  take(n: number): Uint8Array {
    if (this.#pool.length < n) this.#pool = this.#cipher.update(this.#zeros);
    const taken = this.#pool.subarray(0, n);
    this.#pool = this.#pool.subarray(n);
    return taken;
  }
}

/** A random pair, sealed by node:crypto. */
export function pairOf(source: ByteSource, random: Random, length: number, aadLength: number): Pair {
  const key = source.take(KEY);
  const nonce = source.take(NONCE);
  const aad = source.take(aadLength);
  const plaintext = source.take(length);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(aad);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  const tag = cipher.getAuthTag();
  const around = source.take(2 * AROUND + TAG);
  const shift = random.below(64);
  return { key, nonce, aad, plaintext, ciphertext, tag, around, shift, isDataFirst: random.chance(0.5) };
}

/** One kernel and its memory. */
export class Arena {
  readonly #kernel: Kernel;
  readonly #memory: Buffer;
  readonly #context: number;
  /** Where the kernel notes what it made of the aad. */
  readonly #aadHash: number;
  readonly #start: number;
  /** What the memory from `#from` on has to be, `#length` bytes of it. */
  readonly #model = Buffer.alloc((PAGES << 16) / 2);
  #from = 0;
  #length = 0;
  /** Memory as it was before any pair, from which sweeps find differences. */
  readonly #rest: Buffer;
  #pairs = 0;
  /** Places of the parts, from the first byte of the model. */
  readonly #at = { key: 0, nonce: 0, aad: 0, data: 0, tag: 0 };

  constructor(binary: Uint8Array<ArrayBuffer>) {
    this.#kernel = instantiate(binary, PAGES);
    const { bytes, exports, free } = this.#kernel;
    exports.gcmInit!();
    this.#memory = Buffer.from(bytes.buffer);
    this.#context = free;
    this.#aadHash = free + ((exports.GCM_CONTEXT_BYTES as unknown as WebAssembly.Global).value as number);
    this.#start = this.#aadHash + TAG;
    this.#memory.fill(0xa5, this.#start);
    this.#rest = Buffer.from(this.#memory.subarray(this.#start));
  }

  /** Seals and opens. @returns What went wrong, if anything did. */
  pairFault(pair: Pair): string | undefined {
    const { plaintext, ciphertext, tag } = pair;
    this.#call('gcmSeal', pair);
    // Their ciphertext and tag, byte for byte: then theirs also opens ours.
    this.#expect('data', ciphertext);
    this.#expect('tag', tag);
    if (!this.#isAsExpected()) return 'sealed otherwise, or wrote elsewhere';
    if (this.#call('gcmOpen', pair) !== 1) return 'refused';
    this.#expect('data', plaintext);
    return this.#isAsExpected() ? undefined : 'opened otherwise, or wrote elsewhere';
  }

  /** Puts a pair into memory and expands its key: comes first. */
  place(pair: Pair): void {
    const { key, nonce, aad, plaintext, around } = pair;
    const at = this.#at;
    const dataLength = plaintext.length + TAG;
    at.data = pair.isDataFirst ? AROUND : AROUND + KEY + NONCE + aad.length;
    at.tag = at.data + plaintext.length;
    at.key = pair.isDataFirst ? AROUND + dataLength : AROUND;
    at.nonce = at.key + KEY;
    at.aad = at.nonce + NONCE;
    this.#from = this.#start + pair.shift;
    this.#length = 2 * AROUND + KEY + NONCE + aad.length + dataLength;
    this.#model.set(around.subarray(0, AROUND));
    this.#model.set(around.subarray(AROUND, 2 * AROUND), this.#length - AROUND);
    this.#expect('key', key);
    this.#expect('nonce', nonce);
    this.#expect('aad', aad);
    this.#expect('data', plaintext);
    this.#expect('tag', around.subarray(2 * AROUND));
    this.#restore();
    this.#kernel.exports.gcmExpand!(this.#from + at.key, this.#context);
  }

  /**
   * Opens with one bit of a part inverted.
   *
   * @param bit - From the lowest of the part's first byte.
   * @returns What went wrong, if anything did.
   */
  forgedFault(pair: Pair, part: Part, bit: number): string | undefined {
    this.#expect('data', pair.ciphertext);
    this.#expect('tag', pair.tag);
    const at = this.#at[part] + (bit >>> 3);
    this.#model[at]! ^= 1 << (bit & 7);
    this.#restore();
    const isOpened = this.#call('gcmOpen', pair) !== 0;
    const isAsExpected = this.#isAsExpected();
    this.#model[at]! ^= 1 << (bit & 7);
    if (isOpened) return `opened with bit ${bit} of ${part} inverted`;
    return isAsExpected ? undefined : `changed memory, refusing bit ${bit} of ${part}`;
  }

  #call(name: 'gcmSeal' | 'gcmOpen', { aad, plaintext }: Pair): number {
    const from = this.#from;
    const { nonce, aad: aadAt, data } = this.#at;
    const { gcmAad, [name]: call } = this.#kernel.exports;
    gcmAad!(this.#context, from + aadAt, aad.length, this.#aadHash);
    return call!(this.#context, from + nonce, this.#aadHash, aad.length, from + data, plaintext.length);
  }

  #expect(part: 'key' | Part, bytes: Uint8Array): void {
    this.#model.set(bytes, this.#at[part]);
  }

  #restore(): void {
    this.#model.copy(this.#memory, this.#from, 0, this.#length);
  }

  #isAsExpected(): boolean {
    const [from, length] = [this.#from, this.#length];
    return this.#memory.compare(this.#model, 0, length, from, from + length) === 0;
  }

  /** Takes the pair away: comes last. Now and then all the memory is looked at. @returns What went wrong, if anything did. */
  leaveFault(): string | undefined {
    const start = this.#from - this.#start;
    this.#rest.copy(this.#memory, this.#from, start, start + this.#length);
    if (++this.#pairs % PAIRS_PER_SWEEP !== 0) return undefined;
    return this.#memory.compare(this.#rest, 0, this.#rest.length, this.#start) === 0 ? undefined : 'wrote far away';
  }
}
