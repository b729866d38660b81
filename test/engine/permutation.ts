/** The hash of the route table (assembly/route.ts) and its inverse, on the 48 bits of owner · 2^32 + node id. */

const MODULUS = 1n << 48n;
const HALF = 24n;
const FIRST = 0x9e37_79b9_7f4a_7c15n;
const SECOND = 0xbf58_476d_1ce4_e5b9n;

/** What a secret of 64 bits makes of a pair, and the pair of which it makes something. */
export function permutation(secret: bigint): { apply(pair: bigint): bigint; invert(hash: bigint): bigint } {
  const turned = (secret >> 32n) | ((secret & 0xffff_ffffn) << 32n);
  const [first, second] = [(secret ^ FIRST) | 1n, (turned ^ SECOND) | 1n];
  const times = (a: bigint, b: bigint): bigint => (a * b) % MODULUS;
  const fold = (value: bigint): bigint => value ^ (value >> HALF);
  return {
    apply: (pair) => times(fold(times(pair, first)), second),
    // Folding in halves is its own inverse.
    invert: (hash) => times(fold(times(hash, inverse(second))), inverse(first)),
  };
}

/** Newton's iteration doubles the bits that are right, beginning with three. */
function inverse(odd: bigint): bigint {
  let result = odd;
  for (let bits = 3; bits < 48; bits *= 2) result = (((result * (2n - odd * result)) % MODULUS) + MODULUS) % MODULUS;
  return result;
}
