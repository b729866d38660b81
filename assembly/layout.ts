/**
 * Where everything lies in the memory. The host provides all of it at instantiation and it never grows:
 *
 *   static data │ records in │ records out │ key contexts │ their owners │ sessions │ routes │ slots (the host's)
 *
 * Nothing here is filled: fresh Wasm memory is zero, and zero means empty in every table, so that pages of a table that
 * nobody touched cost nothing.
 */
import { GCM_CONTEXT_BYTES } from './crypto/gcm';

/** Records per batch, and bytes of one: 16 words (src/engine/engine.ts, `RX` and `TX`). */
export const BATCH: usize = 64;
export const RECORD_BYTES: usize = 64;

/** Byte offsets in a record, as `RX` and `TX` of src/engine/engine.ts. */
export const RECORD_FRAME_PTR: usize = 0;
export const RECORD_FRAME_LEN: usize = 4;
export const RECORD_STATUS: usize = 8;
export const RECORD_SESSION: usize = 12;
export const RECORD_NOTE: usize = 16;
export const RECORD_SENDER: usize = 20;
export const RECORD_PAYLOAD_PTR: usize = 24;
export const RECORD_PAYLOAD_LEN: usize = 28;
export const RECORD_KIND: usize = 32;
export const RECORD_NETWORKS: usize = 36;
export const RECORD_SOURCE_NODE: usize = 40;
export const RECORD_DESTINATION_NODE: usize = 44;
export const RECORD_PORTS: usize = 48;
export const RECORD_SEQ: usize = 52;
export const RECORD_ACK: usize = 56;
export const RECORD_WINDOW: usize = 60;

/** Bytes of one entry of the session table (session.ts). */
export const SESSION_BYTES: usize = 720;
/** Behind an expanded key: where the hash of the peer's frames starts, and that of our own. */
export const HASH_START_PEER: usize = GCM_CONTEXT_BYTES;
export const HASH_START_OWN: usize = GCM_CONTEXT_BYTES + 16;
export const CONTEXT_BYTES: usize = GCM_CONTEXT_BYTES + 32;
/** An odd number of cache lines: a power of two would put the same part of every context into the same few sets. */
export const CONTEXT_STRIDE: usize = ((CONTEXT_BYTES + 63) & ~63) | 64;
/** Bytes that say who owns a context (contexts.ts). */
export const CONTEXT_OWNER_BYTES: usize = 8;
/** Expanded keys are 7 KiB each: sessions beyond this many that talk at once pay 2 µs for a new expansion (bench/micro). */
const MAX_CONTEXTS: u32 = 1024;

export let receivePtr: usize = 0;
export let transmitPtr: usize = 0;
export let contextsPtr: usize = 0;
export let contextOwnersPtr: usize = 0;
export let contextCount: u32 = 0;
export let sessionsPtr: usize = 0;
export let sessionLimit: u32 = 0;
export let routesPtr: usize = 0;

/**
 * Places the tables for `sessions` sessions; writes no memory.
 *
 * @param routeBytes - Of the table of routes to so many.
 * @returns The first byte behind them, a multiple of 64: what the host needs to know before it makes the real memory.
 */
export function place(sessions: u32, routeBytes: usize): usize {
  sessionLimit = sessions;
  contextCount = min<u32>(sessions, MAX_CONTEXTS);
  receivePtr = aligned(__heap_base);
  transmitPtr = receivePtr + BATCH * RECORD_BYTES;
  contextsPtr = transmitPtr + BATCH * RECORD_BYTES;
  contextOwnersPtr = contextsPtr + <usize>contextCount * CONTEXT_STRIDE;
  sessionsPtr = aligned(contextOwnersPtr + <usize>contextCount * CONTEXT_OWNER_BYTES);
  routesPtr = aligned(sessionsPtr + <usize>sessions * SESSION_BYTES);
  return aligned(routesPtr + routeBytes);
}

function aligned(ptr: usize): usize {
  return (ptr + 63) & ~63;
}
