/**
 * A bounded cache of expanded keys. A session keeps its 32 bytes; the 7 KiB that AES-GCM makes of them, and of the aads of
 * its two directions, lie here for those that talk, so that an idle session costs its table entry and nothing more. Knows
 * no sessions: who wants a context lends a *cell*, a u32 in which the cache notes where it put it (0 = nowhere).
 *
 * Second chance (the clock algorithm): a context is spared once if it was of use since the hand passed. Only frames that
 * authenticated, and frames of our own, count as use: forged ones cannot drive out the peers that are talking.
 */
import { storeU32 } from './bytes';
import { gcmAad, gcmClear, gcmExpand } from './crypto/gcm';
import {
  CONTEXT_BYTES, CONTEXT_OWNER_BYTES, CONTEXT_STRIDE, contextCount, contextOwnersPtr, contextsPtr, HASH_START_OWN, HASH_START_PEER,
} from './layout';
import { AAD_BYTES } from './tunnel';

/** An owner entry: pointer to the cell, 0 = free; then 1 if used since the hand passed. */
const CELL: usize = 0;
const USED: usize = 4;

/** An aad while its hash is made. */
const AAD: usize = memory.data(<i32>AAD_BYTES);

let hand: u32 = 0;

/**
 * The expanded form of the key at `keyPtr`, valid until the next call with another cell.
 *
 * @param peerId - The aad of frames that come (DP 3.5).
 * @param ownId - The aad of frames that go.
 */
export function contextFor(keyPtr: usize, cell: usize, peerId: u32, ownId: u32): usize {
  const number = load<u32>(cell);
  if (number != 0) return contextPtr(number - 1);
  const context = expand(keyPtr, cell);
  storeU32(AAD, peerId);
  gcmAad(context, AAD, AAD_BYTES, context + HASH_START_PEER);
  storeU32(AAD, ownId);
  gcmAad(context, AAD, AAD_BYTES, context + HASH_START_OWN);
  return context;
}

/** Notes that the context was of use. */
// @ts-ignore: decorator
@inline
export function contextUsed(cell: usize): void {
  store<u32>(ownerPtr(load<u32>(cell) - 1), 1, USED);
}

/** Wipes the context, if the cell has one, and what the last frames left in the working buffers. */
export function dropContext(cell: usize): void {
  // Also without a context: when another key took its place, the buffers kept what shorter frames did not write over.
  gcmClear();
  const number = load<u32>(cell);
  if (number == 0) return;
  memory.fill(contextPtr(number - 1), 0, CONTEXT_BYTES);
  memory.fill(ownerPtr(number - 1), 0, CONTEXT_OWNER_BYTES);
  store<u32>(cell, 0);
}

function expand(keyPtr: usize, cell: usize): usize {
  while (true) {
    const number = hand;
    const owner = ownerPtr(number);
    hand = number + 1 == contextCount ? 0 : number + 1;
    const previous = <usize>load<u32>(owner, CELL);
    if (previous != 0) {
      if (load<u32>(owner, USED) != 0) {
        store<u32>(owner, 0, USED);
        continue;
      }
      store<u32>(previous, 0);
    }
    store<u32>(owner, <u32>cell, CELL);
    store<u32>(cell, number + 1);
    const context = contextPtr(number);
    gcmExpand(keyPtr, context);
    return context;
  }
}

// @ts-ignore: decorator
@inline
function contextPtr(number: u32): usize {
  return contextsPtr + <usize>number * CONTEXT_STRIDE;
}

// @ts-ignore: decorator
@inline
function ownerPtr(number: u32): usize {
  return contextOwnersPtr + <usize>number * CONTEXT_OWNER_BYTES;
}
