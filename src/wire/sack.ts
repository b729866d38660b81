/**
 * Selective acknowledgement as the payload of a pure ACK (DP 5.8). Ours is stricter in reading than the existing
 * network, and careful in sending: user data that others would take for this is not theirs to swallow.
 */
import { readU32, writeU32 } from './integers.ts';

/** Blocks in one payload at most. */
export const SACK_MAX_BLOCKS = 4;

/** `SACK` */
const MARK = 0x5341434b;
const COUNT = 4;
const BLOCKS = 5;
const BLOCK_BYTES = 8;

/** Bytes of a payload with `n` blocks. */
export function sackLength(n: number): number {
  return BLOCKS + BLOCK_BYTES * n;
}

/**
 * Writes a payload:
 *
 *   0  4      `SACK`
 *   4  u8     number of blocks n, 1 to 4
 *   5  n × 8  left edge u32, right edge u32 (exclusive)
 *
 * @param blocks - Pairs of left and right edge; those beyond the fourth are left out.
 * @returns The bytes written; 0 without a block.
 */
export function emitSack(bytes: Uint8Array, offset: number, blocks: Uint32Array, count: number): number {
  const n = Math.min(count, SACK_MAX_BLOCKS);
  if (n < 1) return 0;
  writeU32(bytes, offset, MARK);
  bytes[offset + COUNT] = n;
  for (let i = 0; i < 2 * n; i++) writeU32(bytes, offset + BLOCKS + 4 * i, blocks[i]!);
  return sackLength(n);
}

/**
 * Reads a payload.
 *
 * @param out - At least 8 words; receives pairs of left and right edge, as they came: not ordered, not checked.
 * @returns The number of blocks; 0: not a SACK but user data.
 */
export function parseSack(bytes: Uint8Array, out: Uint32Array): number {
  // Deviation: others accept anything from this length on (DP 5.8) and so swallow data that merely begins like it.
  if (!looksLikeSack(bytes) || bytes.length !== sackLength(bytes[COUNT]!)) return 0;
  const n = bytes[COUNT]!;
  for (let i = 0; i < 2 * n; i++) out[i] = readU32(bytes, BLOCKS + 4 * i);
  return n;
}

/** Whether the existing network would swallow this payload as a SACK. A sender splits such data (DP 5.8, trap). */
export function looksLikeSack(bytes: Uint8Array): boolean {
  if (bytes.length < sackLength(1) || readU32(bytes, 0) !== MARK) return false;
  const n = bytes[COUNT]!;
  return n >= 1 && n <= SACK_MAX_BLOCKS && bytes.length >= sackLength(n);
}
