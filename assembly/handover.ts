/**
 * What is handed to an AEAD of the host, for packets that are long enough to be faster there (src/engine/native.ts). It
 * needs the packet, which lies in its slot, the key, and three things that are copied to a place that never moves, so
 * that the host need not make views of them for each frame:
 *
 *   0  aad, 4 bytes      4  nonce, 12 bytes      16  tag, 16 bytes
 */
import { FRAME_SENDER } from './tunnel';

/** Aad and nonce, which lie one behind the other in a frame too. */
const NAME_BYTES: usize = 16;
const AREA: usize = memory.data(32, 16);

let shortest: u32 = u32.MAX_VALUE;

/** From now on packets of at least `len` bytes, header included, are the host's. Before the first call none is. */
export function nativeFrom(len: u32): void {
  shortest = len;
}

/** @returns Pointer to aad, nonce and tag of the packet that was handed over last. */
export function handover(): usize {
  return AREA;
}

// @ts-ignore: decorator
@inline
export function isNative(len: usize): bool {
  return <u32>len >= shortest;
}

/** Hands over aad and nonce of a frame. */
export function handOver(framePtr: usize): void {
  copy16(AREA, framePtr + FRAME_SENDER);
}

/** Hands over the tag that came with a packet. */
export function handOverTag(tagPtr: usize): void {
  copy16(AREA + NAME_BYTES, tagPtr);
}

/** Puts the tag that the host made behind a packet. */
export function takeTag(tagPtr: usize): void {
  copy16(tagPtr, AREA + NAME_BYTES);
}

/** In words: vectors are the kernels' alone, so that all code that has any is watched (test/assembly/constant-time). */
// @ts-ignore: decorator
@inline
function copy16(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from));
  store<u64>(to, load<u64>(from, 8), 8);
}
