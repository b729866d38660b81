/**
 * Randomness that can be repeated: xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators"), seeded by text. Every consumer gets a fork of its own, so that one who draws more does not change what
 * another sees. Not for secrets.
 */

const TWO_POW_32 = 4_294_967_296;
/** FNV-1a, 32 bits. */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
/** Weyl increment: 2^32 divided by the golden ratio. */
const WEYL = 0x9e3779b9;

/** A stream of random numbers that depends on nothing but its seed. */
export class Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number | string) {
    this.#seed = String(seed);
    let hash = FNV_OFFSET;
    for (let i = 0; i < this.#seed.length; i++) hash = Math.imul(hash ^ this.#seed.charCodeAt(i), FNV_PRIME);
    // The fourth word is odd: the state must not be all zero.
    [this.#a, this.#b, this.#c] = [mix(hash + WEYL), mix(hash + 2 * WEYL), mix(hash + 3 * WEYL)];
    this.#d = mix(hash + 4 * WEYL) | 1;
  }

  /** A stream for one purpose. Depends on the seed and the name, not on what was drawn: the same name, the same stream. */
  fork(name: string): Random {
    return new Random(`${this.#seed}/${name}`);
  }

  /** A whole number in [0, 2^32). */
  word(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  /** A number in [0, 1). */
  next(): number {
    return this.word() / TWO_POW_32;
  }

  /** A whole number, both ends included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** True with this probability; 0 never and 1 always, both without drawing. */
  chance(probability: number): boolean {
    return probability > 0 && (probability >= 1 || this.next() < probability);
  }

  fill(into: Uint8Array): void {
    let word = 0;
    for (let i = 0; i < into.length; i++) {
      word = (i & 3) === 0 ? this.word() : word >>> 8;
      into[i] = word;
    }
  }
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** The finalizer of MurmurHash3: every bit of the input reaches every bit of the output. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
