/**
 * The session table: key, send counter and replay state of each (owner, peer), and which of them a frame may belong to.
 * Sessions of one pair hang in a chain, the newest first; the route table holds the index of its head + 1.
 *
 *    0  u32  installation, 0 = free entry
 *    4  u32  next older session of the pair, or next free entry (pointer)
 *    8  u32  owner               12  u32  peer's node id     16  u32  our node id
 *   20  u32  send prefix         24  u32  frames sealed      28  u32  cell of the context cache
 *   32  key, 32 bytes            64  replay state, 656 bytes
 */
import { contextFor, contextUsed, dropContext } from './contexts';
import { RECORD_BYTES, RECORD_NOTE, routesPtr, SESSION_BYTES, sessionLimit, sessionsPtr } from './layout';
import { holdsPrefix, isRetired, NEWEST_PREFIX } from './replay';
import { ROUTE_TABLE_BYTES, routeFind, routeFindBatch, routeInit, routeRemove, routeSet } from './route';

const INSTALLATION: usize = 0;
const NEXT: usize = 4;
const OWNER: usize = 8;
const PEER_ID: usize = 12;
const LOCAL_ID: usize = 16;
const PREFIX: usize = 20;
const SEALED: usize = 24;
const CONTEXT_CELL: usize = 28;
const KEY: usize = 32;
const REPLAY_STATE: usize = 64;
const KEY_BYTES: usize = 32;

/** A frame whose prefix is not known is tried against this many sessions at most (design: decision 5). */
export const MAX_TRIES: u32 = 8;
/** 2^32 − 1: the last counter we send (design: decision 10). */
const LAST_COUNTER: u32 = u32.MAX_VALUE;

/** Where the host puts the key for `install`. */
const KEY_INPUT: usize = memory.data(32, 16);

/** (owner, peer's node id) → index of the newest session + 1. */
export const ROUTES: usize = memory.data(ROUTE_TABLE_BYTES, 64);

/** Entries that were ever used; those behind are untouched. */
let touched: u32 = 0;
let freeHead: usize = 0;
let installed: u32 = 0;
/** What was read only so that it comes near; kept so that no compiler leaves the reading out. */
let seen: u32 = 0;

/** Makes the tables ready, once. @param secret - For the hash of the routes. */
export function sessionInit(secret: u64): void {
  routeInit(ROUTES, routesPtr, sessionLimit, secret);
}
/** The last installation; entries are used again, installations are not. */
let installation: u32 = 0;

/** @returns Where to put the 32 bytes of the key before `install`, which wipes them. */
export function keyInput(): usize {
  return KEY_INPUT;
}

/** @returns Pointer to the 32 bytes of the session's key, or 0 when there is none with this index. */
export function keyOf(index: u32): usize {
  const session = sessionAt(index);
  return session == 0 ? 0 : session + KEY;
}

/** @returns How many sessions are installed. */
export function sessionCount(): u32 {
  return installed;
}

/** Adds a session with the key at `keyInput()`. @returns Its index, or -1 when the table is full. */
export function install(owner: u32, localId: u32, peerId: u32, prefix: u32): i32 {
  const session = freeHead != 0 ? freeHead : touched < sessionLimit ? pointerOf(touched) : 0;
  const older = newestOf(owner, peerId);
  if (session == 0 || !routeSet(ROUTES, owner, peerId, indexOf(session) + 1)) {
    memory.fill(KEY_INPUT, 0, KEY_BYTES);
    return -1;
  }
  if (session == freeHead) freeHead = load<u32>(session, NEXT);
  else ++touched;
  if (++installation == 0) installation = 1;
  store<u32>(session, installation, INSTALLATION);
  store<u32>(session, <u32>older, NEXT);
  store<u32>(session, owner, OWNER);
  store<u32>(session, peerId, PEER_ID);
  store<u32>(session, localId, LOCAL_ID);
  store<u32>(session, prefix, PREFIX);
  memory.copy(session + KEY, KEY_INPUT, KEY_BYTES);
  memory.fill(KEY_INPUT, 0, KEY_BYTES);
  ++installed;
  return <i32>indexOf(session);
}

/** Zeroes all that is known of a session and forgets it. Nothing happens when there is none with this index. */
export function wipe(index: u32): void {
  const session = sessionAt(index);
  if (session == 0) return;
  unlink(session);
  dropContext(session + CONTEXT_CELL);
  memory.fill(session, 0, SESSION_BYTES);
  store<u32>(session, <u32>freeHead, NEXT);
  freeHead = session;
  --installed;
}

/** @returns Frames sealed under the session so far; 0 when there is none with this index. */
export function sealed(index: u32): u32 {
  const session = sessionAt(index);
  return session == 0 ? 0 : load<u32>(session, SEALED);
}

/** Uses up `frames` counters without sealing; they never come back. */
export function spend(index: u32, frames: u32): void {
  const session = sessionAt(index);
  if (session == 0) return;
  const used = load<u32>(session, SEALED);
  store<u32>(session, frames > LAST_COUNTER - used ? LAST_COUNTER : used + frames, SEALED);
}

/** The installed session with this index, or 0. */
export function sessionAt(index: u32): usize {
  if (index >= touched) return 0;
  const session = pointerOf(index);
  return load<u32>(session, INSTALLATION) != 0 ? session : 0;
}

/** Tells a session from others that had or will have its index. */
// @ts-ignore: decorator
@inline
export function installationOf(session: usize): u32 {
  return load<u32>(session, INSTALLATION);
}

// @ts-ignore: decorator
@inline
function pointerOf(index: u32): usize {
  return sessionsPtr + <usize>index * SESSION_BYTES;
}

export function indexOf(session: usize): u32 {
  return <u32>((session - sessionsPtr) / SESSION_BYTES);
}

/** The newest session of the pair, or 0. */
export function newestOf(owner: u32, peerId: u32): usize {
  const found = routeFind(ROUTES, owner, peerId);
  return found == 0 ? 0 : pointerOf(found - 1);
}

/** The newest sessions of the senders of `count` records: each session, or 0, comes into the word of the note. */
export function newestOfBatch(owner: u32, records: usize, count: u32): void {
  routeFindBatch(ROUTES, owner, records, count);
  let words: u32 = 0;
  for (let i: u32 = 0, record = records; i < count; ++i, record += RECORD_BYTES) {
    const found = load<u32>(record, RECORD_NOTE);
    const session = pointerOf(max(found, 1) - 1);
    // Their first lines come near together as well: `candidate` reads the link and the newest prefix.
    words |= load<u32>(session, NEXT) | load<u32>(session, REPLAY_STATE + NEWEST_PREFIX);
    store<u32>(record, select(<u32>session, 0, found != 0), RECORD_NOTE);
  }
  seen = words;
}

/**
 * The session to try as the `attempt`-th (from 0) for a frame of this prefix: those that hold the prefix if any does, else
 * all that have not retired it; newest first. Failed attempts change no state, so asking again starts nowhere else.
 *
 * @param newest - Head of the chain.
 * @returns 0 when none is left.
 */
export function candidate(newest: usize, prefix: u32, attempt: u32): usize {
  if (attempt >= MAX_TRIES) return 0;
  let holders: u32 = 0;
  for (let session = newest; session != 0; session = load<u32>(session, NEXT)) {
    if (!holdsPrefix(session + REPLAY_STATE, prefix)) continue;
    if (holders == attempt) return session;
    ++holders;
  }
  if (holders != 0) return 0;
  let others: u32 = 0;
  for (let session = newest; session != 0; session = load<u32>(session, NEXT)) {
    if (isRetired(session + REPLAY_STATE, prefix)) continue;
    if (others == attempt) return session;
    ++others;
  }
  return 0;
}

/** Where the 32 bytes of its key stand. */
// @ts-ignore: decorator
@inline
export function keyPtr(session: usize): usize {
  return session + KEY;
}

// @ts-ignore: decorator
@inline
export function replayState(session: usize): usize {
  return session + REPLAY_STATE;
}

// @ts-ignore: decorator
@inline
export function localIdOf(session: usize): u32 {
  return load<u32>(session, LOCAL_ID);
}

// @ts-ignore: decorator
@inline
export function sendPrefix(session: usize): u32 {
  return load<u32>(session, PREFIX);
}

/** Takes the next send counter; 0 when they are used up. */
export function nextCounter(session: usize): u32 {
  const used = load<u32>(session, SEALED);
  if (used == LAST_COUNTER) return 0;
  store<u32>(session, used + 1, SEALED);
  return used + 1;
}

/** The expanded key; see `contextFor`. */
// @ts-ignore: decorator
@inline
export function sessionContext(session: usize): usize {
  return contextFor(session + KEY, session + CONTEXT_CELL, load<u32>(session, PEER_ID), localIdOf(session));
}

/** Notes that the key was of use, after `sessionContext`. */
// @ts-ignore: decorator
@inline
export function sessionUsed(session: usize): void {
  contextUsed(session + CONTEXT_CELL);
}

function unlink(session: usize): void {
  const owner = load<u32>(session, OWNER);
  const peerId = load<u32>(session, PEER_ID);
  const next = load<u32>(session, NEXT);
  let at = newestOf(owner, peerId);
  if (at == session) {
    // The pair is there: setting it anew is never refused.
    if (next == 0) routeRemove(ROUTES, owner, peerId);
    else routeSet(ROUTES, owner, peerId, indexOf(next) + 1);
    return;
  }
  while (<usize>load<u32>(at, NEXT) != session) {
    assert(at != 0);
    at = load<u32>(at, NEXT);
  }
  store<u32>(at, next, NEXT);
}
