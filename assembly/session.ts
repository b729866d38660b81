/**
 * The session table: key, send counter and replay state of each (owner, peer), and which of them a frame may belong to.
 * Sessions of one pair hang in a chain, the newest first; the route table holds its head.
 *
 *    0  u32  1 = installed        4  u32  next older session of the pair, or next free entry (pointer)
 *    8  u32  owner               12  u32  peer's node id     16  u32  our node id
 *   20  u32  send prefix         24  u32  frames sealed      28  u32  cell of the context cache
 *   32  key, 32 bytes            64  replay state, 656 bytes
 */
import { contextFor, contextUsed, dropContext } from './contexts';
import { SESSION_BYTES, sessionLimit, sessionsPtr } from './layout';
import { holdsPrefix, isRetired } from './replay';
import { routeFind, routeRemove, routeSet } from './route';

const INSTALLED: usize = 0;
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

/** Entries that were ever used; those behind are untouched. */
let touched: u32 = 0;
let freeHead: usize = 0;
let installed: u32 = 0;

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
  let session = freeHead;
  if (session != 0) {
    freeHead = load<u32>(session, NEXT);
  } else if (touched < sessionLimit) {
    session = sessionsPtr + <usize>touched * SESSION_BYTES;
    ++touched;
  } else {
    memory.fill(KEY_INPUT, 0, KEY_BYTES);
    return -1;
  }
  store<u32>(session, 1, INSTALLED);
  store<u32>(session, routeFind(owner, peerId), NEXT);
  store<u32>(session, owner, OWNER);
  store<u32>(session, peerId, PEER_ID);
  store<u32>(session, localId, LOCAL_ID);
  store<u32>(session, prefix, PREFIX);
  memory.copy(session + KEY, KEY_INPUT, KEY_BYTES);
  memory.fill(KEY_INPUT, 0, KEY_BYTES);
  routeSet(owner, peerId, <u32>session);
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
  const session = sessionsPtr + <usize>index * SESSION_BYTES;
  return load<u32>(session, INSTALLED) != 0 ? session : 0;
}

export function indexOf(session: usize): u32 {
  return <u32>((session - sessionsPtr) / SESSION_BYTES);
}

/** The newest session of the pair, or 0. */
export function newestOf(owner: u32, peerId: u32): usize {
  return routeFind(owner, peerId);
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
  let at: usize = routeFind(owner, peerId);
  if (at == session) {
    if (next == 0) routeRemove(owner, peerId);
    else routeSet(owner, peerId, next);
    return;
  }
  while (<usize>load<u32>(at, NEXT) != session) {
    assert(at != 0);
    at = load<u32>(at, NEXT);
  }
  store<u32>(at, next, NEXT);
}
