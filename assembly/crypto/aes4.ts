/**
 * AES-256 on up to four blocks, each in one vector, constant time by construction: tables are looked up in registers. For
 * more blocks the bitsliced form (aes.ts) is faster. Read FIPS 197 first, then M. Hamburg, "Accelerating AES with
 * Vector Permute Instructions".
 *
 * A byte is written i·ω + k, with i (its high nibble) and k (the low one) in GF(2^4) and ω² + aω + a = 0. With j = i + k and
 *
 *   u = 1 / (1/i + a/k) + j,  v = 1 / (1/j + a/k) + i,
 *
 * the inverse of the byte is linear in 1/u and 1/v, so that SubBytes ends in one table for u and one for v. All are tables of
 * 16 bytes. 1/0 is `INFINITY`: it stays above 0x7f when a nibble is added, and a look-up with it gives 0.
 */
import { swizzle } from '../bytes';

/** Round keys 0 … 14: the first and the last in the byte order of FIPS 197, the others as nibbles, row-major. */
export const AES4_KEY_BYTES: usize = 15 * 16;
/** Where the last one is. */
export const LAST_KEY: usize = 14 * 16;

/** x^8 + x^4 + x^3 + x + 1 of FIPS 197 §4.2. */
const MODULUS: u32 = 0x11b;
/** Bytes of FIPS 197: a generator of the field of 16, a, and ω. */
const GENERATOR: u32 = 0x0d;
const A: u32 = 0x0c;
const OMEGA: u32 = 0x34;
const INFINITY: u8 = 0x80;
/** The affine constant of the S-box. The tables leave it out; it goes into the round keys instead. */
export const SBOX_CONSTANT: i8 = 0x63;

/** 1/n and a/n. */
const INVERSE: usize = memory.data(16, 16);
const A_OVER: usize = memory.data(16, 16);
/** SubBytes: what u and v contribute, in three tables each: once, twice for MixColumns, and as bytes of FIPS 197. */
const SUB_U: usize = memory.data(48, 16);
const SUB_V: usize = memory.data(48, 16);
const TWICE: usize = 16;
const OUT: usize = 32;
/** From bytes of FIPS 197, by nibble. */
const IN_HIGH: usize = memory.data(16, 16);
const IN_LOW: usize = memory.data(16, 16);
/** To bytes of FIPS 197, for i and for k. */
const OUT_HIGH: usize = memory.data(16, 16);
const OUT_LOW: usize = memory.data(16, 16);
/** From a byte of FIPS 197 to its nibbles i and k; for the making of tables, never indexed by secrets. */
const NIBBLES: usize = memory.data(256, 16);

/** ShiftRows, row-major: position 4r + c comes from 4r + (c + r) mod 4. */
export const SHIFT_ROWS: usize = memory.data<u8>([0, 1, 2, 3, 5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14], 16);
/** ShiftRows of the last round, which also returns to the byte order of FIPS 197: position 4c + r. */
export const SHIFT_ROWS_OUT: usize = memory.data<u8>([0, 5, 10, 15, 1, 6, 11, 12, 2, 7, 8, 13, 3, 4, 9, 14], 16);
/** Between the byte order of FIPS 197 and row-major; its own inverse. */
const TRANSPOSE: usize = memory.data<u8>([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], 16);

/** Builds the static tables; once, before any key. */
export function aes4Init(): void {
  for (let n: u32 = 0; n < 16; ++n) {
    store<u8>(OUT_HIGH + n, product(embedded(n), OMEGA));
    store<u8>(OUT_LOW + n, embedded(n));
  }
  for (let n: u32 = 0; n < 256; ++n) {
    store<u8>(NIBBLES + (<u32>load<u8>(OUT_HIGH + (n >> 4)) ^ <u32>load<u8>(OUT_LOW + (n & 15))), n);
  }
  const overA = inverse(A);
  // With p = 1/u and q = 1/v, the inverse is (p/a + (p + q)/a²)·ω + p.
  const ofU = product(overA ^ product(overA, overA), OMEGA) ^ 1;
  const ofV = product(product(overA, overA), OMEGA);
  for (let n: u32 = 0; n < 16; ++n) {
    const over = inverse(embedded(n));
    store<u8>(INVERSE + n, n == 0 ? INFINITY : load<u8>(NIBBLES + over));
    store<u8>(A_OVER + n, n == 0 ? INFINITY : load<u8>(NIBBLES + product(over, A)));
    storeSubBytes(SUB_U + n, product(over, ofU));
    storeSubBytes(SUB_V + n, product(over, ofV));
    store<u8>(IN_HIGH + n, load<u8>(NIBBLES + (n << 4)));
    store<u8>(IN_LOW + n, load<u8>(NIBBLES + n));
  }
}

/** Writes what S-box output, in its three forms, contains of `part`, which 1/u or 1/v gives to the inverse. */
function storeSubBytes(ptr: usize, part: u32): void {
  // The linear part of FIPS 197 §5.1.1: the sum of five rotations.
  let sum: u32 = 0;
  for (let i: u32 = 0; i < 5; ++i) sum ^= part << i;
  const byte = (sum ^ (sum >> 8)) & 0xff;
  store<u8>(ptr, load<u8>(NIBBLES + byte));
  store<u8>(ptr, load<u8>(NIBBLES + product(byte, 2)), TWICE);
  store<u8>(ptr, byte, OUT);
}

/** The byte of FIPS 197 for an element of the field of 16, whose bits count powers of the generator. */
function embedded(nibble: u32): u32 {
  let byte: u32 = 0;
  for (let bit: u32 = 4; bit != 0; --bit) byte = product(byte, GENERATOR) ^ ((nibble >> (bit - 1)) & 1);
  return byte;
}

/** FIPS 197 §4.2. */
function product(x: u32, y: u32): u32 {
  let sum: u32 = 0;
  for (; y != 0; y >>= 1) {
    if (y & 1) sum ^= x;
    x <<= 1;
    if (x & 0x100) x ^= MODULUS;
  }
  return sum;
}

/** x^254. */
function inverse(x: u32): u32 {
  let power = x;
  for (let i = 0; i < 6; ++i) power = product(product(power, power), x);
  return product(power, power);
}

/** From the byte order of FIPS 197 to row-major (aes.ts), or back. */
// @ts-ignore: decorator
@inline
export function transposed(bytes: v128): v128 {
  return swizzle(bytes, v128.load(TRANSPOSE));
}

/** Bytes of FIPS 197 to nibbles i and k, all 16. */
// @ts-ignore: decorator
@inline
function nibbles(bytes: v128): v128 {
  const nibble = i8x16.splat(0x0f);
  return v128.xor(
    swizzle(v128.load(IN_LOW), v128.and(bytes, nibble)),
    swizzle(v128.load(IN_HIGH), v128.and(i64x2.shr_u(bytes, 4), nibble)),
  );
}

/** Writes the keys for the functions below to `keysPtr`, from the 15 round keys at `schedulePtr`. */
export function aes4Keys(schedulePtr: usize, keysPtr: usize): void {
  const constant = i8x16.splat(SBOX_CONSTANT);
  v128.store(keysPtr, v128.load(schedulePtr));
  for (let i: usize = 16; i < LAST_KEY; i += 16) {
    // MixColumns keeps a state of equal bytes as it is, so the S-box constant can be added a step later, with the key.
    v128.store(keysPtr + i, nibbles(transposed(v128.xor(v128.load(schedulePtr + i), constant))));
  }
  v128.store(keysPtr, v128.xor(v128.load(schedulePtr, LAST_KEY), constant), LAST_KEY);
}

/** A middle round without its key. */
// @ts-ignore: decorator
@inline
function middleRound(state: v128): v128 {
  const x = swizzle(state, v128.load(SHIFT_ROWS));
  const nibble = i8x16.splat(0x0f);
  const k = v128.and(x, nibble);
  const i = v128.and(i64x2.shr_u(x, 4), nibble);
  const j = v128.xor(i, k);
  const aOverK = swizzle(v128.load(A_OVER), k);
  const u = quotient(i, j, aOverK);
  const v = quotient(j, i, aOverK);
  const once = v128.xor(swizzle(v128.load(SUB_U), u), swizzle(v128.load(SUB_V), v));
  const twice = v128.xor(swizzle(v128.load(SUB_U, TWICE), u), swizzle(v128.load(SUB_V, TWICE), v));
  // MixColumns: 2·c ^ 3·(c one row up) ^ (c two rows up) ^ (c three rows up).
  const above = v128.xor(v128.xor(twice, once), rowUp(v128.xor(once, rowUp(once))));
  return v128.xor(twice, rowUp(above));
}

/** The last round without its key, in the byte order of FIPS 197. */
// @ts-ignore: decorator
@inline
function lastRound(state: v128): v128 {
  return substituted(swizzle(state, v128.load(SHIFT_ROWS_OUT)));
}

/** From nibbles to the S-box's output as bytes of FIPS 197, without the constant. */
// @ts-ignore: decorator
@inline
function substituted(x: v128): v128 {
  const nibble = i8x16.splat(0x0f);
  const k = v128.and(x, nibble);
  const i = v128.and(i64x2.shr_u(x, 4), nibble);
  const j = v128.xor(i, k);
  const aOverK = swizzle(v128.load(A_OVER), k);
  return v128.xor(swizzle(v128.load(SUB_U, OUT), quotient(i, j, aOverK)), swizzle(v128.load(SUB_V, OUT), quotient(j, i, aOverK)));
}

/** The S-box of FIPS 197 §5.1.1 on 16 bytes, without its constant. */
// @ts-ignore: decorator
@inline
export function subBytes(bytes: v128): v128 {
  return substituted(nibbles(bytes));
}

/** Key 0 and round 1 of a block; bytes of FIPS 197, row-major. */
// @ts-ignore: decorator
@inline
export function firstRound(keysPtr: usize, block: v128): v128 {
  const nibble = i8x16.splat(0x0f);
  const state = nibbles(transposed(v128.xor(block, v128.load(keysPtr))));
  const x = v128.xor(middleRound(state), v128.load(keysPtr, 16));
  return v128.xor(
    swizzle(v128.load(OUT_LOW), v128.and(x, nibble)),
    swizzle(v128.load(OUT_HIGH), v128.and(i64x2.shr_u(x, 4), nibble)),
  );
}

/** u from i and j, v from j and i. */
// @ts-ignore: decorator
@inline
function quotient(own: v128, other: v128, aOverK: v128): v128 {
  const inverse = v128.load(INVERSE);
  return v128.xor(swizzle(inverse, v128.xor(swizzle(inverse, own), aOverK)), other);
}

/** Moves every row-major row one up. */
// @ts-ignore: decorator
@inline
function rowUp(bytes: v128): v128 {
  return v128.shuffle<i32>(bytes, bytes, 1, 2, 3, 0);
}

/** AES of the four blocks at `ptr`, in place. */
export function encrypt4(keysPtr: usize, ptr: usize): void {
  const first = v128.load(keysPtr);
  let a = nibbles(transposed(v128.xor(v128.load(ptr), first)));
  let b = nibbles(transposed(v128.xor(v128.load(ptr, 16), first)));
  let c = nibbles(transposed(v128.xor(v128.load(ptr, 32), first)));
  let d = nibbles(transposed(v128.xor(v128.load(ptr, 48), first)));
  const last = keysPtr + LAST_KEY;
  for (keysPtr += 16; keysPtr != last; keysPtr += 16) {
    const key = v128.load(keysPtr);
    a = v128.xor(middleRound(a), key);
    b = v128.xor(middleRound(b), key);
    c = v128.xor(middleRound(c), key);
    d = v128.xor(middleRound(d), key);
  }
  const key = v128.load(last);
  v128.store(ptr, v128.xor(lastRound(a), key));
  v128.store(ptr, v128.xor(lastRound(b), key), 16);
  v128.store(ptr, v128.xor(lastRound(c), key), 32);
  v128.store(ptr, v128.xor(lastRound(d), key), 48);
}

/** AES of the two blocks at `ptr`, in place. */
export function encrypt2(keysPtr: usize, ptr: usize): void {
  const first = v128.load(keysPtr);
  let a = nibbles(transposed(v128.xor(v128.load(ptr), first)));
  let b = nibbles(transposed(v128.xor(v128.load(ptr, 16), first)));
  const last = keysPtr + LAST_KEY;
  for (keysPtr += 16; keysPtr != last; keysPtr += 16) {
    const key = v128.load(keysPtr);
    a = v128.xor(middleRound(a), key);
    b = v128.xor(middleRound(b), key);
  }
  const key = v128.load(last);
  v128.store(ptr, v128.xor(lastRound(a), key));
  v128.store(ptr, v128.xor(lastRound(b), key), 16);
}

/** AES of the block at `ptr`, in place. */
export function encrypt1(keysPtr: usize, ptr: usize): void {
  let state = nibbles(transposed(v128.xor(v128.load(ptr), v128.load(keysPtr))));
  const last = keysPtr + LAST_KEY;
  for (keysPtr += 16; keysPtr != last; keysPtr += 16) state = v128.xor(middleRound(state), v128.load(keysPtr));
  v128.store(ptr, v128.xor(lastRound(state), v128.load(last)));
}

/** Key 0 of the block at `ptr`, in place; then 13 times `besideRound`, and `besideLast`, give its AES. */
// @ts-ignore: decorator
@inline
export function besideFirst(keysPtr: usize, ptr: usize): void {
  v128.store(ptr, nibbles(transposed(v128.xor(v128.load(ptr), v128.load(keysPtr)))));
}

/** @param keyPtr - Where the key of this round is, 1 … 13. */
// @ts-ignore: decorator
@inline
export function besideRound(keyPtr: usize, ptr: usize): void {
  v128.store(ptr, v128.xor(middleRound(v128.load(ptr)), v128.load(keyPtr)));
}

// @ts-ignore: decorator
@inline
export function besideLast(keysPtr: usize, ptr: usize): void {
  v128.store(ptr, v128.xor(lastRound(v128.load(ptr)), v128.load(keysPtr, LAST_KEY)));
}
