/**
 * The PILS frame (DP 3.5): what stands in front of and behind the encrypted packet. Knows no keys and no sessions.
 *
 *   0  u32  magic "PILS"
 *   4  u32  sender node id, which is also the AAD
 *   8  u32  nonce prefix      12  u64  nonce counter, first value 1
 *  20  …    ciphertext of one packet, then a tag of 16 bytes
 */
import { loadU32, storeU32, storeU64 } from './bytes';

/** "PILS" as the big-endian word on the wire. */
const MAGIC: u32 = 0x50494c53;
export const FRAME_SENDER: usize = 4;
export const FRAME_NONCE: usize = 8;
export const FRAME_COUNTER: usize = 12;
export const FRAME_PACKET: usize = 20;
export const TAG_BYTES: usize = 16;
/** The AAD is exactly the sender id as it stands in the frame. */
export const AAD_BYTES: usize = 4;

/** Whether a frame of `len` bytes at `framePtr` is long enough for header and tag, and says PILS. */
// @ts-ignore: decorator
@inline
export function isPils(framePtr: usize, len: usize): bool {
  return len >= FRAME_PACKET + TAG_BYTES && loadU32(framePtr) == MAGIC;
}

/** Writes the 20 bytes in front of the packet. */
export function emitFrameHeader(framePtr: usize, sender: u32, prefix: u32, counter: u64): void {
  storeU32(framePtr, MAGIC);
  storeU32(framePtr + FRAME_SENDER, sender);
  storeU32(framePtr + FRAME_NONCE, prefix);
  storeU64(framePtr + FRAME_COUNTER, counter);
}
