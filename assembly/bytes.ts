/**
 * Byte order and byte shuffles: the only place that swaps bytes or chooses between the two swizzle instructions.
 * Everything on the wire is big-endian (DP 1.1); Wasm memory is little-endian. Addresses need no alignment.
 */

/** Reads the big-endian u16 at `ptr`. */
// @ts-ignore: decorator
@inline
export function loadU16(ptr: usize): u32 {
  return <u32>bswap<u16>(load<u16>(ptr));
}

/** Reads the big-endian u32 at `ptr`. */
// @ts-ignore: decorator
@inline
export function loadU32(ptr: usize): u32 {
  return bswap<u32>(load<u32>(ptr));
}

/** Reads the big-endian u64 at `ptr`. */
// @ts-ignore: decorator
@inline
export function loadU64(ptr: usize): u64 {
  return bswap<u64>(load<u64>(ptr));
}

/** Writes the low 16 bits of `value` big-endian at `ptr`. */
// @ts-ignore: decorator
@inline
export function storeU16(ptr: usize, value: u32): void {
  store<u16>(ptr, bswap<u16>(<u16>value));
}

/** Writes `value` big-endian at `ptr`. */
// @ts-ignore: decorator
@inline
export function storeU32(ptr: usize, value: u32): void {
  store<u32>(ptr, bswap<u32>(value));
}

/** Writes `value` big-endian at `ptr`. */
// @ts-ignore: decorator
@inline
export function storeU64(ptr: usize, value: u64): void {
  store<u64>(ptr, bswap<u64>(value));
}

/**
 * Looks up 16 bytes at once: lane i of the result is `table[index[i]]`. Constant time: nothing leaves the registers.
 * The relaxed instruction is one `pshufb` on x86; the plain one pays for defined results above 15.
 *
 * @param index - Every lane < 16, or > 0x7f, where the result is 0; between these the two builds differ.
 */
// @ts-ignore: decorator
@inline
export function swizzle(table: v128, index: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return v128.relaxed_swizzle(table, index);
  return v128.swizzle(table, index);
}

/** 16 bytes of 0xff, then 16 of 0: a load at offset 16 − n keeps the first n lanes. */
const KEEP: usize = memory.data<u8>([
  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
], 16);

/** Mask with the first `n` bytes set, 0 ≤ n ≤ 16. */
// @ts-ignore: decorator
@inline
export function firstBytes(n: usize): v128 {
  return v128.load(KEEP + 16 - n);
}

/** Reads `len` ≤ 16 bytes into the front of a zero vector, touching nothing behind them. */
// @ts-ignore: decorator
@inline
export function loadBytes(ptr: usize, len: usize): v128 {
  if (len == 4) return v128.load32_zero(ptr);
  if (len == 16) return v128.load(ptr);
  let low: u64 = 0;
  let high: u64 = 0;
  for (let i: usize = 0; i < len; ++i) {
    const byte = <u64>load<u8>(ptr + i) << ((i & 7) << 3);
    if (i < 8) low |= byte;
    else high |= byte;
  }
  return i64x2.replace_lane(i64x2.splat(low), 1, high);
}
