/**
 * Everything the module exports; the host's side of it is src/engine/exports.ts. All parameters and results are 32-bit
 * integers, pointers among them. Order of calls: instantiate with one page, `memoryNeeded`, instantiate with that much,
 * `init`, then anything.
 */
import { crc32Init } from './crc32';
import { gcmInit, GCM_CONTEXT_BYTES } from './crypto/gcm';
import { place, receivePtr, transmitPtr } from './layout';
import * as route from './route';
import { ROUTES, sessionInit } from './session';

export { crc32 } from './crc32';
export { gcmAad, gcmExpand, gcmOpen, gcmSeal } from './crypto/gcm';
export { handover, nativeFrom } from './handover';
export { aead, choose, finish, judge, open, openOn, parse, retry, seal, sealOn, sealRest, write } from './pipeline';
export { install, keyInput, keyOf, sealed, sessionCount, spend, wipe } from './session';

/** @returns The first byte behind all tables for `sessions` sessions; the host's slots begin there. Writes nothing. */
export function memoryNeeded(sessions: u32): usize {
  return place(sessions, route.routeBytes(sessions));
}

/**
 * Makes the tables ready, once.
 *
 * @param secretLow - 64 secret random bits for the hash of the route table, in two halves.
 */
export function init(sessions: u32, secretLow: u32, secretHigh: u32): void {
  place(sessions, route.routeBytes(sessions));
  sessionInit((<u64>secretHigh << 32) | secretLow);
  gcmInit();
  crc32Init();
}

/** @returns Pointer to the receive records. */
export function receiveRecords(): usize {
  return receivePtr;
}

/** @returns Pointer to the transmit records. */
export function transmitRecords(): usize {
  return transmitPtr;
}

/** @returns Bytes of a context for `gcmExpand`, for those who bring their own memory. */
export function contextBytes(): usize {
  return GCM_CONTEXT_BYTES;
}

/** @returns Index + 1 of the newest session of the pair, or 0. */
export function routeFind(owner: u32, node: u32): u32 {
  return route.routeFind(ROUTES, owner, node);
}

/** What `routeFind` says of the senders in the first `count` receive records, into the word of the note. */
export function routeFindBatch(owner: u32, count: u32): void {
  route.routeFindBatch(ROUTES, owner, receivePtr, count);
}

/** Routes a pair to `value` ≠ 0, a session's index + 1. @returns Whether there was a place for it. */
export function routeSet(owner: u32, node: u32, value: u32): bool {
  return route.routeSet(ROUTES, owner, node, value);
}

export function routeRemove(owner: u32, node: u32): void {
  route.routeRemove(ROUTES, owner, node);
}
