/**
 * GHASH (NIST SP 800-38D §6.4) with nibble tables looked up by swizzle: 32 look-ups a block, constant time, because
 * the tables are in registers when the secret nibbles index them. Read RFC 8452 appendix A on the odd bit order.
 *
 * GHASH writes a polynomial lowest power first: the high bit of byte 0 is x^0. So byte p carries x^(8p) … x^(8p+7), and
 * a product of byte p with H is, at every p, the same 16 bytes for the same byte value, moved by p. Table j of H gives
 * byte j of that product for all 16 positions of a block at once; adding up table 0 … 15, each moved by j bytes, gives
 * 32 bytes that one reduction brings back to 16. Four blocks with four powers of H share the moves and the reduction.
 */
import { swizzle } from '../bytes';

/** For each byte j of the product, for each power H⁴, H³, H², H¹: a table for the high nibble, one for the low. */
const ROW_BYTES: usize = 128;
export const GHASH_TABLES_BYTES: usize = 16 * ROW_BYTES;
/** Within a row. */
const POWER_BYTES: usize = 32;

/**
 * The reduction of one byte above x^127, that is its product with x^7 + x^2 + x + 1: 15 bits, so two bytes, each from a
 * high and a low nibble.
 */
const FOLD_FIRST_HIGH: usize = memory.data(16, 16);
const FOLD_FIRST_LOW: usize = memory.data(16, 16);
const FOLD_SECOND_HIGH: usize = memory.data(16, 16);
const FOLD_SECOND_LOW: usize = memory.data(16, 16);
/** A multiple of H while a key is expanded; wiped afterwards. */
const MULTIPLE: usize = memory.data(16, 16);

/** Builds the static tables; once, before any key. */
export function ghashInit(): void {
  for (let n: u32 = 0; n < 16; ++n) {
    const high = foldByte(n << 4);
    const low = foldByte(n);
    store<u8>(FOLD_FIRST_HIGH + n, high >> 8);
    store<u8>(FOLD_SECOND_HIGH + n, high);
    store<u8>(FOLD_FIRST_LOW + n, low >> 8);
    store<u8>(FOLD_SECOND_LOW + n, low);
  }
}

/** byte · (x^7 + x^2 + x + 1), high bit first, as 16 bits. */
function foldByte(byte: u32): u32 {
  const wide = byte << 8;
  return wide ^ (wide >> 1) ^ (wide >> 2) ^ (wide >> 7);
}

/** Writes the tables of the hash key H (AES of the zero block) at `hPtr`, and wipes that. */
export function ghashExpand(hPtr: usize, tablesPtr: usize): void {
  const zero = i32x4.splat(0);
  for (let ptr = tablesPtr + 3 * POWER_BYTES; ; ptr -= POWER_BYTES) {
    storeTables(v128.load(hPtr), ptr);
    if (ptr == tablesPtr) break;
    v128.store(MULTIPLE, zero);
    ghash1(tablesPtr, hPtr, MULTIPLE);
  }
  v128.store(MULTIPLE, zero);
  v128.store(hPtr, zero);
}

/** Writes the 32 tables of one power, `ROW_BYTES` apart. */
function storeTables(power: v128, ptr: usize): void {
  // Lane n is the nibble n; its high bit is the lowest power of x. The low nibble is the high one times x^4.
  const nibbles = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (let half: usize = 0; half < POWER_BYTES; half += 16) {
    for (let j: usize = 0; j < 16; ++j) v128.store(ptr + half + j * ROW_BYTES, i32x4.splat(0));
    for (let bit: i32 = 8; bit > 0; bit >>= 1) {
      const bits = i8x16.splat(<i8>bit);
      const has = i8x16.eq(v128.and(nibbles, bits), bits);
      v128.store(MULTIPLE, power);
      for (let j: usize = 0; j < 16; ++j) {
        const table = ptr + half + j * ROW_BYTES;
        v128.store(table, v128.xor(v128.load(table), v128.and(has, v128.load8_splat(MULTIPLE + j))));
      }
      power = timesX(power);
    }
  }
}

/** power · x: a shift to the right of the 128 bits, high byte first; x^128 comes back as x^7 + x^2 + x + 1. */
function timesX(power: v128): v128 {
  let high = bswap<u64>(i64x2.extract_lane(power, 0));
  let low = bswap<u64>(i64x2.extract_lane(power, 1));
  const carry: u64 = 0 - (low & 1);
  low = (low >> 1) | (high << 63);
  high = (high >> 1) ^ (carry & 0xe100000000000000);
  return i64x2.replace_lane(i64x2.splat(bswap<u64>(high)), 1, bswap<u64>(low));
}

/** Takes one more block into the hash at `hashPtr`: (hash ⊕ block) · H. */
export function ghash1(tablesPtr: usize, hashPtr: usize, blockPtr: usize): void {
  const nibble = i8x16.splat(0x0f);
  const x = v128.xor(v128.load(hashPtr), v128.load(blockPtr));
  const low = v128.and(x, nibble);
  const high = v128.and(i64x2.shr_u(x, 4), nibble);
  const zero = i32x4.splat(0);
  let sum = zero;
  let over = zero;
  let row = tablesPtr + 15 * ROW_BYTES;
  do {
    over = moved(over, sum);
    sum = v128.xor(
      moved(sum, zero),
      v128.xor(
        swizzle(v128.load(row, 3 * POWER_BYTES), high),
        swizzle(v128.load(row, 3 * POWER_BYTES + 16), low),
      ),
    );
    row -= ROW_BYTES;
  } while (row >= tablesPtr);
  v128.store(hashPtr, reduced(sum, over));
}

/** Takes `groups` × 4 more blocks into the hash at `hashPtr`, at least 4; they stand one after the other at `ptr`. */
export function ghash4(tablesPtr: usize, hashPtr: usize, ptr: usize, groups: usize): void {
  let hash = v128.load(hashPtr);
  const nibble = i8x16.splat(0x0f);
  const zero = i32x4.splat(0);
  const lastRow = tablesPtr + 15 * ROW_BYTES;
  do {
    // Two powers at a time: four would need more registers than there are.
    const x4 = v128.xor(hash, v128.load(ptr));
    const low4 = v128.and(x4, nibble);
    const high4 = v128.and(i64x2.shr_u(x4, 4), nibble);
    const x3 = v128.load(ptr, 16);
    const low3 = v128.and(x3, nibble);
    const high3 = v128.and(i64x2.shr_u(x3, 4), nibble);
    let sum43 = zero;
    let over43 = zero;
    let row = lastRow;
    do {
      const product4 = v128.xor(swizzle(v128.load(row), high4), swizzle(v128.load(row, 16), low4));
      const product3 = v128.xor(swizzle(v128.load(row, 32), high3), swizzle(v128.load(row, 48), low3));
      over43 = moved(over43, sum43);
      sum43 = v128.xor(moved(sum43, zero), v128.xor(product4, product3));
      row -= ROW_BYTES;
    } while (row >= tablesPtr);

    const x2 = v128.load(ptr, 32);
    const low2 = v128.and(x2, nibble);
    const high2 = v128.and(i64x2.shr_u(x2, 4), nibble);
    const x1 = v128.load(ptr, 48);
    const low1 = v128.and(x1, nibble);
    const high1 = v128.and(i64x2.shr_u(x1, 4), nibble);
    let sum21 = zero;
    let over21 = zero;
    row = lastRow;
    do {
      const product2 = v128.xor(swizzle(v128.load(row, 64), high2), swizzle(v128.load(row, 80), low2));
      const product1 = v128.xor(swizzle(v128.load(row, 96), high1), swizzle(v128.load(row, 112), low1));
      over21 = moved(over21, sum21);
      sum21 = v128.xor(moved(sum21, zero), v128.xor(product2, product1));
      row -= ROW_BYTES;
    } while (row >= tablesPtr);

    hash = reduced(v128.xor(sum43, sum21), v128.xor(over43, over21));
    ptr += 64;
    --groups;
  } while (groups != 0);
  v128.store(hashPtr, hash);
}

/** The bytes of `sum` moved up by one; the last byte of `below` comes in. */
// @ts-ignore: decorator
@inline
function moved(sum: v128, below: v128): v128 {
  return v128.shuffle<u8>(below, sum, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
}

/** sum + over · x^128, reduced to 16 bytes. */
// @ts-ignore: decorator
@inline
function reduced(sum: v128, over: v128): v128 {
  const nibble = i8x16.splat(0x0f);
  const zero = i32x4.splat(0);
  const low = v128.and(over, nibble);
  const high = v128.and(i64x2.shr_u(over, 4), nibble);
  // Byte 15 of `over` stays 0, because the product of 16 reduced bytes ends in byte 30; so nothing is carried out.
  const first = v128.xor(swizzle(v128.load(FOLD_FIRST_HIGH), high), swizzle(v128.load(FOLD_FIRST_LOW), low));
  const second = v128.xor(swizzle(v128.load(FOLD_SECOND_HIGH), high), swizzle(v128.load(FOLD_SECOND_LOW), low));
  return v128.xor(v128.xor(sum, first), moved(second, zero));
}
