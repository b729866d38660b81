/**
 * Hostile bytes for parsers: every truncation, every single-bit flip, and noise out of a small seeded generator. Each
 * value is its own copy that ends where its buffer ends, so that reading past the end shows.
 */

/** Every proper prefix, the empty one first. */
export function* truncations(bytes: Uint8Array): Generator<Uint8Array, void> {
  for (let length = 0; length < bytes.length; length++) yield bytes.slice(0, length);
}

/** Every copy with one bit inverted, in order from the highest bit of the first byte. */
export function* bitFlips(bytes: Uint8Array): Generator<Uint8Array, void> {
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const copy = bytes.slice();
    copy[bit >>> 3]! ^= 0x80 >>> (bit & 7);
    yield copy;
  }
}

/** A seeded generator. Not for keys. */
export interface Random {
  /** The next 32 bits. */
  next(): number;
  /** An integer from 0 to `n` − 1. */
  below(n: number): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** `n` bytes. */
  bytes(n: number): Uint8Array;
}

/** mulberry32: one word of state, period 2^32. The same seed gives the same values everywhere. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const unit = (): number => next() / 0x1_0000_0000;
  return {
    next,
    below: (n) => Math.floor(unit() * n),
    chance: (p) => unit() < p,
    bytes: (n) => Uint8Array.from({ length: n }, () => next() >>> 24),
  };
}

/**
 * `count` strings of random bytes, up to 256 each. Half of them begin like `sample`, for noise that gets past a magic.
 */
export function* noise(sample: Uint8Array, seed: number, count: number): Generator<Uint8Array, void> {
  const source = random(seed);
  for (let i = 0; i < count; i++) {
    const bytes = source.bytes(source.below(257));
    if (source.chance(0.5)) bytes.set(sample.subarray(0, Math.min(bytes.length, source.below(sample.length + 1))));
    yield bytes;
  }
}

/** All three kinds around one valid message. */
export function* hostile(sample: Uint8Array, seed = 1, count = 2_000): Generator<Uint8Array, void> {
  yield* truncations(sample);
  yield* bitFlips(sample);
  yield* noise(sample, seed, count);
}
