/**
 * Big-endian integers in byte arrays (DP 0.2), without a DataView per message. No bounds are checked here: the caller
 * compared the length with its layout before it reads or writes.
 */

/** Reads an unsigned 16-bit integer. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

/** Reads an unsigned 32-bit integer. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>> 0;
}

/** Reads an unsigned 64-bit integer. @returns Undefined above 2^53 − 1, which a number cannot hold exactly. */
export function readU64(bytes: Uint8Array, offset: number): number | undefined {
  const value = readU32(bytes, offset) * 0x1_0000_0000 + readU32(bytes, offset + 4);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Writes the low 16 bits of `value`. */
export function writeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

/** Writes the low 32 bits of `value`. */
export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** Writes 64 bits. @param value - A safe integer ≥ 0. */
export function writeU64(bytes: Uint8Array, offset: number, value: number): void {
  writeU32(bytes, offset, Math.floor(value / 0x1_0000_0000));
  writeU32(bytes, offset + 4, value);
}
