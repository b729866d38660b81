/**
 * GHASH (NIST SP 800-38D §6.4) with nibble tables looked up by swizzle: 24 or 32 look-ups a block, constant time, because
 * the tables are in registers when the secret nibbles index them. Read RFC 8452 appendix A on the odd bit order.
 *
 * GHASH writes a polynomial lowest power first: the high bit of byte 0 is x^0. So byte p carries x^(8p) … x^(8p+7), and
 * a product of byte p with H is, at every p, the same 16 bytes for the same byte value, moved by p. Table j of H gives
 * byte j of that product for all 16 positions of a block at once; adding up table 0 … 15, each moved by j bytes, gives
 * 32 bytes that one reduction brings back to 16. Four blocks, each with its power of H, share the moves and the reduction; so
 * do eight, two with each of four even powers.
 *
 * The hash is two blocks: the next block is to be added to the first, the one after it to the second, which is 0 unless
 * `ghash8` left it.
 */
import { swizzle } from '../bytes';

/** Tables of one power for one byte of the product: for the high nibble, then for the low. */
const POWER_BYTES: usize = 32;
/** Rows j = 0 … 15 of the powers H⁸, H⁶, H⁴, H²; then, for `ghash8`, eight rows that are the sums of rows j and j + 8. */
const EVEN_ROW: usize = 4 * POWER_BYTES;
const EVEN_BYTES: usize = 24 * EVEN_ROW;
/** Behind them rows 0 … 15 of H³ and H¹. */
const ODD_ROW: usize = 2 * POWER_BYTES;
export const GHASH_TABLES_BYTES: usize = EVEN_BYTES + 16 * ODD_ROW;

/**
 * The reduction of one byte above x^127, that is its product with x^7 + x^2 + x + 1: 15 bits, so two bytes, each from a
 * high and a low nibble.
 */
const FOLD_FIRST_HIGH: usize = memory.data(16, 16);
const FOLD_FIRST_LOW: usize = memory.data(16, 16);
const FOLD_SECOND_HIGH: usize = memory.data(16, 16);
const FOLD_SECOND_LOW: usize = memory.data(16, 16);
/** A power of H as a hash, and a multiple of it, while a key is expanded; wiped afterwards. */
const POWER: usize = memory.data(32, 16);
const MULTIPLE: usize = memory.data(16, 16);
/** Halves of blocks in `ghash8`, then their products. */
const HALVES: usize = memory.data(192, 16);
/**
 * Gets sums that nobody reads. V8 moves all loads of a loop's body to its front, and then spills the sums; over a store it
 * moves none. −5 % of 1 200 bytes (bench/micro).
 */
const ORDER: usize = memory.data(16, 16);

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
  const odd = tablesPtr + EVEN_BYTES;
  v128.store(POWER, v128.load(hPtr));
  v128.store(POWER, zero, 16);
  storeTables(v128.load(hPtr), odd + POWER_BYTES, ODD_ROW);
  v128.store(hPtr, zero);
  for (let n: usize = 2; n <= 8; ++n) {
    // Adding the block of zeros, which is there now, multiplies by H.
    ghash1(tablesPtr, POWER, hPtr);
    if (n == 3) storeTables(v128.load(POWER), odd, ODD_ROW);
    else if ((n & 1) == 0) storeTables(v128.load(POWER), tablesPtr + (4 - n / 2) * POWER_BYTES, EVEN_ROW);
  }
  for (let ptr = tablesPtr; ptr != tablesPtr + 8 * EVEN_ROW; ptr += 16) {
    v128.store(ptr, v128.xor(v128.load(ptr), v128.load(ptr, 8 * EVEN_ROW)), 16 * EVEN_ROW);
  }
  v128.store(MULTIPLE, zero);
  v128.store(POWER, zero);
}

/** Writes the 32 tables of one power, `rowBytes` apart. */
function storeTables(power: v128, ptr: usize, rowBytes: usize): void {
  // Lane n is the nibble n; its high bit is the lowest power of x. The low nibble is the high one times x^4.
  const nibbles = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (let half: usize = 0; half < POWER_BYTES; half += 16) {
    for (let j: usize = 0; j < 16; ++j) v128.store(ptr + half + j * rowBytes, i32x4.splat(0));
    for (let bit: i32 = 8; bit > 0; bit >>= 1) {
      const bits = i8x16.splat(<i8>bit);
      const has = i8x16.eq(v128.and(nibbles, bits), bits);
      v128.store(MULTIPLE, power);
      for (let j: usize = 0; j < 16; ++j) {
        const table = ptr + half + j * rowBytes;
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

/** Takes one more block into the hash at `hashPtr`: (first ⊕ block) · H ⊕ second. */
export function ghash1(tablesPtr: usize, hashPtr: usize, blockPtr: usize): void {
  const nibble = i8x16.splat(0x0f);
  const x = v128.xor(v128.load(hashPtr), v128.load(blockPtr));
  const low = v128.and(x, nibble);
  const high = v128.and(i64x2.shr_u(x, 4), nibble);
  const zero = i32x4.splat(0);
  let sum = zero;
  let over = zero;
  const firstRow = tablesPtr + EVEN_BYTES;
  let row = firstRow + 15 * ODD_ROW;
  do {
    over = moved(over, sum);
    sum = v128.xor(
      moved(sum, zero),
      v128.xor(swizzle(v128.load(row, POWER_BYTES), high), swizzle(v128.load(row, POWER_BYTES + 16), low)),
    );
    row -= ODD_ROW;
  } while (row >= firstRow);
  v128.store(hashPtr, v128.xor(reduced(sum, over), v128.load(hashPtr, 16)));
  v128.store(hashPtr, zero, 16);
}

/** Takes four more blocks, one after the other at `ptr`, into the hash at `hashPtr`. */
export function ghash4(tablesPtr: usize, hashPtr: usize, ptr: usize): void {
  const nibble = i8x16.splat(0x0f);
  const zero = i32x4.splat(0);
  const firstOdd = tablesPtr + EVEN_BYTES;
  const x4 = v128.xor(v128.load(hashPtr), v128.load(ptr));
  const low4 = v128.and(x4, nibble);
  const high4 = v128.and(i64x2.shr_u(x4, 4), nibble);
  const x3 = v128.xor(v128.load(hashPtr, 16), v128.load(ptr, 16));
  const low3 = v128.and(x3, nibble);
  const high3 = v128.and(i64x2.shr_u(x3, 4), nibble);
  const x2 = v128.load(ptr, 32);
  const low2 = v128.and(x2, nibble);
  const high2 = v128.and(i64x2.shr_u(x2, 4), nibble);
  const x1 = v128.load(ptr, 48);
  const low1 = v128.and(x1, nibble);
  const high1 = v128.and(i64x2.shr_u(x1, 4), nibble);
  let sum = zero;
  let over = zero;
  let even = tablesPtr + 15 * EVEN_ROW;
  let odd = firstOdd + 15 * ODD_ROW;
  do {
    const product4 = v128.xor(swizzle(v128.load(even, 64), high4), swizzle(v128.load(even, 80), low4));
    const product3 = v128.xor(swizzle(v128.load(odd), high3), swizzle(v128.load(odd, 16), low3));
    over = moved(over, sum);
    sum = v128.xor(moved(sum, zero), v128.xor(product4, product3));
    v128.store(ORDER, sum);
    const product2 = v128.xor(swizzle(v128.load(even, 96), high2), swizzle(v128.load(even, 112), low2));
    const product1 = v128.xor(swizzle(v128.load(odd, 32), high1), swizzle(v128.load(odd, 48), low1));
    sum = v128.xor(sum, v128.xor(product2, product1));
    even -= EVEN_ROW;
    odd -= ODD_ROW;
  } while (odd >= firstOdd);
  v128.store(hashPtr, reduced(sum, over));
  v128.store(hashPtr, zero, 16);
}

/**
 * Takes `groups` × 8 more blocks into the hash at `hashPtr`, at least 8.
 *
 * Two hashes side by side, of the blocks with even and with odd numbers, each by powers of H². So a block is half a vector, and
 * the product of its halves with those of the tables takes three look-ups in place of four (A. Karatsuba).
 */
export function ghash8(tablesPtr: usize, hashPtr: usize, ptr: usize, groups: usize): void {
  let even = v128.load(hashPtr);
  let odd = v128.load(hashPtr, 16);
  const nibble = i8x16.splat(0x0f);
  do {
    storeHalves(HALVES, v128.xor(even, v128.load(ptr)), v128.xor(odd, v128.load(ptr, 16)));
    storeHalves(HALVES + 16, v128.load(ptr, 32), v128.load(ptr, 48));
    storeHalves(HALVES + 32, v128.load(ptr, 64), v128.load(ptr, 80));
    storeHalves(HALVES + 48, v128.load(ptr, 96), v128.load(ptr, 112));
    let firstRow = tablesPtr;
    let half = HALVES;
    do {
      const x8 = v128.load(half);
      const low8 = v128.and(x8, nibble);
      const high8 = v128.and(i64x2.shr_u(x8, 4), nibble);
      const x6 = v128.load(half, 16);
      const low6 = v128.and(x6, nibble);
      const high6 = v128.and(i64x2.shr_u(x6, 4), nibble);
      const x4 = v128.load(half, 32);
      const low4 = v128.and(x4, nibble);
      const high4 = v128.and(i64x2.shr_u(x4, 4), nibble);
      const x2 = v128.load(half, 48);
      const low2 = v128.and(x2, nibble);
      const high2 = v128.and(i64x2.shr_u(x2, 4), nibble);
      let sum = i32x4.splat(0);
      let over = i32x4.splat(0);
      let row = firstRow + 7 * EVEN_ROW;
      do {
        const product8 = v128.xor(swizzle(v128.load(row), high8), swizzle(v128.load(row, 16), low8));
        const product6 = v128.xor(swizzle(v128.load(row, 32), high6), swizzle(v128.load(row, 48), low6));
        over = v128.xor(i64x2.shl(over, 8), i64x2.shr_u(sum, 56));
        sum = v128.xor(i64x2.shl(sum, 8), v128.xor(product8, product6));
        v128.store(ORDER, sum);
        const product4 = v128.xor(swizzle(v128.load(row, 64), high4), swizzle(v128.load(row, 80), low4));
        const product2 = v128.xor(swizzle(v128.load(row, 96), high2), swizzle(v128.load(row, 112), low2));
        sum = v128.xor(sum, v128.xor(product4, product2));
        row -= EVEN_ROW;
      } while (row >= firstRow);
      v128.store(half, sum);
      v128.store(half, over, 16);
      firstRow += 8 * EVEN_ROW;
      half += 64;
    } while (half != HALVES + 192);

    const low = v128.load(HALVES);
    const lowOver = v128.load(HALVES, 16);
    const high = v128.load(HALVES, 64);
    const highOver = v128.load(HALVES, 80);
    const middle = v128.xor(v128.load(HALVES, 128), v128.xor(low, high));
    const middleOver = v128.xor(v128.load(HALVES, 144), v128.xor(lowOver, highOver));
    const second = v128.xor(lowOver, middle);
    const third = v128.xor(middleOver, high);
    even = reduced(v128.shuffle<i64>(low, second, 0, 2), v128.shuffle<i64>(third, highOver, 0, 2));
    odd = reduced(v128.shuffle<i64>(low, second, 1, 3), v128.shuffle<i64>(third, highOver, 1, 3));
    ptr += 128;
    --groups;
  } while (groups != 0);
  v128.store(hashPtr, even);
  v128.store(hashPtr, odd, 16);
}

/** Forgets the last blocks. */
export function ghashClear(): void {
  memory.fill(HALVES, 0, 192);
  memory.fill(ORDER, 0, 16);
}

/** Writes the first halves of two blocks, 64 bytes on the second ones, and 64 bytes on the sums of both. */
// @ts-ignore: decorator
@inline
function storeHalves(ptr: usize, even: v128, odd: v128): void {
  const first = v128.shuffle<i64>(even, odd, 0, 2);
  const second = v128.shuffle<i64>(even, odd, 1, 3);
  v128.store(ptr, first);
  v128.store(ptr, second, 64);
  v128.store(ptr, v128.xor(first, second), 128);
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
