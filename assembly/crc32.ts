/**
 * CRC-32 as in IEEE 802.3 and zlib, for packets (DP 2.1). Constant time: the plaintext indexes no memory, only nibble
 * tables in registers. Read R. Williams, "A Painless Guide to CRC Error Detection Algorithms", on the reflected form.
 *
 * A CRC is linear, so 16 bytes of a message can be replaced by others further on that leave the same register: one byte
 * is worth the four bytes of its register. Vectors are carried on so, one after the other, until one is left. Messages are filled
 * with zeros in front, which a register of zero does not notice, so that the end is always a whole vector.
 * Twin: test/reference/crc32.ts.
 */
import { loadBytes, swizzle } from './bytes';

/** x^32 + x^26 + … + 1 without its highest term, reflected. */
const POLYNOMIAL: u32 = 0xedb88320;

/**
 * Tables that carry a byte 32, 16, 8 and 4 bytes on: for each of the four bytes that replace it 16 entries for the high
 * nibble, then 16 for the low.
 */
const BY_32: usize = memory.data(128, 16);
const BY_16: usize = memory.data(128, 16);
const BY_8: usize = memory.data(128, 16);
const BY_4: usize = memory.data(128, 16);
/** The register after four bytes of which only bit i is set, i = 0 … 31. */
const LAST_WORD: usize = memory.data(128, 16);

/** 16 zero bytes, the register's initial value, zeros: what is XORed to the message's first four bytes. */
const INITIAL: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
], 16);

/** Builds the static tables; once, before `crc32`. */
export function crc32Init(): void {
  storeTables(BY_32, 32);
  storeTables(BY_16, 16);
  storeTables(BY_8, 8);
  storeTables(BY_4, 4);
  for (let i: u32 = 0; i < 32; ++i) store<u32>(LAST_WORD + (i << 2), advanced(<u32>1 << i, 4));
}

function storeTables(ptr: usize, bytes: u32): void {
  for (let n: u32 = 0; n < 16; ++n) {
    const high = advanced(n << 4, bytes);
    const low = advanced(n, bytes);
    for (let j: u32 = 0; j < 4; ++j) {
      store<u8>(ptr + (j << 5) + n, high >> (j << 3));
      store<u8>(ptr + (j << 5) + n, low >> (j << 3), 16);
    }
  }
}

/** The register after `bytes` zero bytes. */
function advanced(register: u32, bytes: u32): u32 {
  for (let i: u32 = bytes << 3; i != 0; --i) register = (register >> 1) ^ (POLYNOMIAL & (0 - (register & 1)));
  return register;
}

/** CRC-32 of `len` bytes at `ptr`, 0 ≤ len; any alignment. */
export function crc32(ptr: usize, len: usize): u32 {
  // The first vector ends after 1 … 16 bytes, as many as make the rest whole vectors.
  const head: usize = len == 0 ? 0 : ((len - 1) & 15) + 1;
  const lastPtr = ptr + len - 16;
  let current = v128.xor(lastBytes(ptr, len, head), v128.load(INITIAL + head));
  // What the vectors before put into the next one, and into the one after that; behind the last is the register.
  let next = v128.load(INITIAL + 16 + head);
  ptr += head;

  if (len > 16) {
    // In locals, so that V8 keeps them in registers.
    const high0 = v128.load(BY_32);
    const low0 = v128.load(BY_32, 16);
    const high1 = v128.load(BY_32, 32);
    const low1 = v128.load(BY_32, 48);
    const high2 = v128.load(BY_32, 64);
    const low2 = v128.load(BY_32, 80);
    const high3 = v128.load(BY_32, 96);
    const low3 = v128.load(BY_32, 112);
    const nibble = i8x16.splat(0x0f);
    let afterNext = i32x4.splat(0);
    // By 32 and not by 16, so that one vector need not wait for the one before it: a third faster on long packets.
    for (; ptr != lastPtr; ptr += 16) {
      const low = v128.and(current, nibble);
      const high = v128.and(i64x2.shr_u(current, 4), nibble);
      current = v128.xor(next, v128.load(ptr));
      const w0 = v128.xor(swizzle(high0, high), swizzle(low0, low));
      const w1 = v128.xor(swizzle(high1, high), swizzle(low1, low));
      const w2 = v128.xor(swizzle(high2, high), swizzle(low2, low));
      const w3 = v128.xor(swizzle(high3, high), swizzle(low3, low));
      next = v128.xor(afterNext, inside(w0, w1, w2, w3));
      afterNext = outside(w1, w2, w3);
    }
    const last = v128.xor(next, v128.load(ptr));
    next = v128.xor(afterNext, folded(current, BY_16, true));
    current = v128.xor(last, folded(current, BY_16, false));
  }

  // The first half of the last vector goes 8 bytes on, then the first half of the rest 4 bytes.
  const zero = i32x4.splat(0);
  const half = v128.shuffle<i64>(zero, current, 0, 2);
  next = v128.xor(next, folded(half, BY_8, true));
  current = v128.xor(current, folded(half, BY_8, false));
  const quarter = v128.shuffle<i32>(zero, current, 0, 1, 2, 6);
  next = v128.xor(next, folded(quarter, BY_4, true));
  current = v128.xor(current, folded(quarter, BY_4, false));
  return ~(i32x4.extract_lane(next, 0) ^ lastWord(v128.shuffle<i32>(current, current, 3, 3, 3, 3)));
}

/** The first `head` of `len` bytes at `ptr` as the last bytes of a vector, after zeros. */
// @ts-ignore: decorator
@inline
function lastBytes(ptr: usize, len: usize, head: usize): v128 {
  const bytes = len < 16 ? loadBytes(ptr, len) : v128.load(ptr);
  // Lanes in front of the message have an index below 0, for which the plain swizzle gives 0.
  const lanes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return v128.swizzle(bytes, i8x16.sub(lanes, i8x16.splat(<i8>(16 - head))));
}

/** What four replacing bytes at each position put into the vector 16 bytes on, … */
// @ts-ignore: decorator
@inline
function inside(w0: v128, w1: v128, w2: v128, w3: v128): v128 {
  const zero = i32x4.splat(0);
  return v128.xor(
    v128.xor(w0, v128.shuffle<u8>(zero, w1, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)),
    v128.xor(
      v128.shuffle<u8>(zero, w2, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29),
      v128.shuffle<u8>(zero, w3, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28),
    ),
  );
}

/** … and into the one after that. */
// @ts-ignore: decorator
@inline
function outside(w1: v128, w2: v128, w3: v128): v128 {
  const zero = i32x4.splat(0);
  return v128.xor(
    v128.shuffle<u8>(w1, zero, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30),
    v128.xor(
      v128.shuffle<u8>(w2, zero, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29),
      v128.shuffle<u8>(w3, zero, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28),
    ),
  );
}

/** The bytes that replace those of `moved`, which stand where their tables carry them; `isOutside` picks the vector. */
// @ts-ignore: decorator
@inline
function folded(moved: v128, tablesPtr: usize, isOutside: bool): v128 {
  const nibble = i8x16.splat(0x0f);
  const low = v128.and(moved, nibble);
  const high = v128.and(i64x2.shr_u(moved, 4), nibble);
  const w1 = v128.xor(swizzle(v128.load(tablesPtr, 32), high), swizzle(v128.load(tablesPtr, 48), low));
  const w2 = v128.xor(swizzle(v128.load(tablesPtr, 64), high), swizzle(v128.load(tablesPtr, 80), low));
  const w3 = v128.xor(swizzle(v128.load(tablesPtr, 96), high), swizzle(v128.load(tablesPtr, 112), low));
  if (isOutside) return outside(w1, w2, w3);
  const w0 = v128.xor(swizzle(v128.load(tablesPtr), high), swizzle(v128.load(tablesPtr, 16), low));
  return inside(w0, w1, w2, w3);
}

/** The register after the four bytes of `word` (the same in all lanes): the sum of `LAST_WORD` over its set bits. */
// @ts-ignore: decorator
@inline
function lastWord(word: v128): u32 {
  let bits = i32x4(1, 2, 4, 8);
  let sum = i32x4.splat(0);
  for (let ptr = LAST_WORD; ptr != LAST_WORD + 128; ptr += 16) {
    sum = v128.xor(sum, v128.and(i32x4.eq(v128.and(word, bits), bits), v128.load(ptr)));
    bits = i32x4.shl(bits, 4);
  }
  sum = v128.xor(sum, v128.shuffle<i32>(sum, sum, 2, 3, 0, 1));
  return i32x4.extract_lane(sum, 0) ^ i32x4.extract_lane(sum, 1);
}
