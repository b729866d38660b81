/**
 * Plain twin of assembly/crc32.ts: CRC-32 of IEEE 802.3 bit by bit, as the polynomial division that defines it.
 */

/** x^32 + x^26 + x^23 + … + 1 without its highest term, lowest bit first. */
const POLYNOMIAL = 0xedb88320;

/** CRC-32 as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? POLYNOMIAL : 0);
  }
  return ~register >>> 0;
}
