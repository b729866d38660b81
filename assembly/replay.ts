/**
 * Replay protection (DP 3.11, design: decision 10): one window of counters per nonce prefix, an *epoch*. The newest epoch
 * has 1,024 bits, up to four older ones 256, and a prefix that left is refused for the life of the key. Everything here
 * runs after the tag verified; a frame that is refused changes nothing.
 *
 * State, inside a session (bit of a counter = counter mod window size):
 *
 *    0  u32  1 when there is a newest epoch      4  u32  older epochs held      8  u32  prefixes retired
 *   16  u64  frames accepted, the clock that tells which epoch was used least recently
 *   24  newest epoch, 152 bytes     176  4 older epochs, 56 bytes each     400  64 retired prefixes
 *
 * An epoch: u32 prefix, u32 unused, u64 highest counter, u64 clock at its last frame, window.
 */
import { NOTE_NEW_EPOCH, NOTE_NEWEST, OK, OUTSIDE_WINDOW, REPLAY, RETIRED, TOO_MANY_EPOCHS } from './status';

/** Bytes of the whole state. */
export const REPLAY_BYTES: usize = 656;
/** Where the prefix is that most frames have. */
export const NEWEST_PREFIX: usize = 24;

const HAS_NEWEST: usize = 0;
const OLDER_COUNT: usize = 4;
const RETIRED_COUNT: usize = 8;
const ACCEPTED: usize = 16;
const NEWEST: usize = 24;
const OLDER: usize = 176;
const RETIRED_LIST: usize = 400;

const EPOCH_PREFIX: usize = 0;
const EPOCH_HIGHEST: usize = 8;
const EPOCH_USED: usize = 16;
const EPOCH_WINDOW: usize = 24;

const NEWEST_BITS: u64 = 1024;
const OLDER_BITS: u64 = 256;
const NEWEST_WINDOW_BYTES: usize = 128;
const OLDER_BYTES: usize = 56;
const MAX_OLDER: u32 = 4;
const MAX_RETIRED: u32 = 64;

/** How many prefixes are refused for ever. */
// @ts-ignore: decorator
@inline
export function retiredCount(state: usize): u32 {
  return load<u32>(state, RETIRED_COUNT);
}

/** Whether one of the epochs held has this prefix. */
export function holdsPrefix(state: usize, prefix: u32): bool {
  return epochOf(state, prefix) != 0;
}

/** Whether the prefix belonged to an epoch that left. */
export function isRetired(state: usize, prefix: u32): bool {
  const end = state + (<usize>retiredCount(state) << 2);
  for (let ptr = state; ptr < end; ptr += 4) {
    if (load<u32>(ptr, RETIRED_LIST) == prefix) return true;
  }
  return false;
}

/**
 * Records an authenticated frame.
 *
 * @returns Status in the low byte, `NOTE_NEW_EPOCH` and `NOTE_NEWEST` above it.
 */
export function accept(state: usize, prefix: u32, counter: u64): u32 {
  const epoch = epochOf(state, prefix);
  if (epoch == 0) {
    if (isRetired(state, prefix)) return RETIRED;
    // DP 3.5: honest senders begin with 1, and "highest = 0" is how receivers say that nothing came yet.
    if (counter == 0) return OUTSIDE_WINDOW;
    if (!openEpoch(state, prefix, counter)) return TOO_MANY_EPOCHS;
    return OK | ((NOTE_NEW_EPOCH | NOTE_NEWEST) << 8);
  }
  const isNewest = epoch == state + NEWEST;
  const status = record(epoch, isNewest ? NEWEST_BITS : OLDER_BITS, counter);
  if (status == OK) store<u64>(epoch, tick(state), EPOCH_USED);
  return status | (isNewest ? NOTE_NEWEST << 8 : 0);
}

/** The epoch with this prefix, or 0. */
function epochOf(state: usize, prefix: u32): usize {
  if (load<u32>(state, HAS_NEWEST) == 0) return 0;
  if (load<u32>(state, NEWEST + EPOCH_PREFIX) == prefix) return state + NEWEST;
  const older = load<u32>(state, OLDER_COUNT);
  let epoch = state + OLDER;
  for (let i: u32 = 0; i < older; ++i) {
    if (load<u32>(epoch, EPOCH_PREFIX) == prefix) return epoch;
    epoch += OLDER_BYTES;
  }
  return 0;
}

/** Sets the bit of `counter`, moving the window up where needed; `bits` is a power of two. */
function record(epoch: usize, bits: u64, counter: u64): u32 {
  const highest = load<u64>(epoch, EPOCH_HIGHEST);
  if (counter == 0) return OUTSIDE_WINDOW;
  if (counter > highest) {
    clearAfter(epoch, bits, counter - highest);
    store<u64>(epoch, counter, EPOCH_HIGHEST);
  } else if (highest - counter >= bits) {
    return OUTSIDE_WINDOW;
  }
  const word = wordOf(epoch, bits, counter);
  const bit = <u64>1 << (counter & 63);
  const seen = load<u64>(word, EPOCH_WINDOW);
  if (seen & bit) return REPLAY;
  store<u64>(word, seen | bit, EPOCH_WINDOW);
  return OK;
}

/** Clears the bits of the `steps` counters behind the highest, a word at a time. */
function clearAfter(epoch: usize, bits: u64, steps: u64): void {
  if (steps >= bits) {
    memory.fill(epoch + EPOCH_WINDOW, 0, <usize>(bits >> 3));
    return;
  }
  let at = load<u64>(epoch, EPOCH_HIGHEST) + 1;
  let left = steps;
  while (left > 0) {
    const first = at & 63;
    const run = min<u64>(64 - first, left);
    const mask = (run == 64 ? u64.MAX_VALUE : (<u64>1 << run) - 1) << first;
    const word = wordOf(epoch, bits, at);
    store<u64>(word, load<u64>(word, EPOCH_WINDOW) & ~mask, EPOCH_WINDOW);
    at += run;
    left -= run;
  }
}

// @ts-ignore: decorator
@inline
function wordOf(epoch: usize, bits: u64, counter: u64): usize {
  return epoch + ((<usize>(counter & (bits - 1)) >> 6) << 3);
}

/** Makes `prefix` the newest epoch, with `counter` as its first frame. False when no further prefix can be retired. */
function openEpoch(state: usize, prefix: u32, counter: u64): bool {
  if (load<u32>(state, HAS_NEWEST) != 0) {
    const older = load<u32>(state, OLDER_COUNT);
    let place = state + OLDER + <usize>older * OLDER_BYTES;
    if (older < MAX_OLDER) {
      store<u32>(state, older + 1, OLDER_COUNT);
    } else {
      const retired = retiredCount(state);
      if (retired >= MAX_RETIRED) return false;
      place = leastRecentlyUsed(state);
      store<u32>(state + (<usize>retired << 2), load<u32>(place, EPOCH_PREFIX), RETIRED_LIST);
      store<u32>(state, retired + 1, RETIRED_COUNT);
    }
    demote(state + NEWEST, place);
  }
  const newest = state + NEWEST;
  store<u32>(state, 1, HAS_NEWEST);
  store<u32>(newest, prefix, EPOCH_PREFIX);
  store<u64>(newest, counter, EPOCH_HIGHEST);
  store<u64>(newest, tick(state), EPOCH_USED);
  memory.fill(newest + EPOCH_WINDOW, 0, NEWEST_WINDOW_BYTES);
  store<u64>(wordOf(newest, NEWEST_BITS, counter), <u64>1 << (counter & 63), EPOCH_WINDOW);
  return true;
}

function leastRecentlyUsed(state: usize): usize {
  let found = state + OLDER;
  for (let i: usize = 1; i < <usize>MAX_OLDER; ++i) {
    const epoch = state + OLDER + i * OLDER_BYTES;
    if (load<u64>(epoch, EPOCH_USED) < load<u64>(found, EPOCH_USED)) found = epoch;
  }
  return found;
}

/**
 * Copies an epoch of 1,024 bits to one of 256. The 256 counters up to the highest lie in at most two of the four
 * quarters of the large window: those up to `last` in the quarter of the highest, the others in the one before.
 */
function demote(from: usize, to: usize): void {
  memory.copy(to, from, EPOCH_WINDOW);
  const highest = load<u64>(from, EPOCH_HIGHEST);
  const quarter = from + (<usize>((highest >> 8) & 3) << 5);
  const before = from + (<usize>(((highest >> 8) - 1) & 3) << 5);
  const last = highest & 255;
  for (let i: u64 = 0; i < 4; ++i) {
    const first = i << 6;
    let mask: u64 = 0;
    if (last >= first + 63) mask = u64.MAX_VALUE;
    else if (last >= first) mask = ((<u64>1) << (last - first + 1)) - 1;
    const offset = <usize>i << 3;
    const bits = (load<u64>(quarter + offset, EPOCH_WINDOW) & mask) | (load<u64>(before + offset, EPOCH_WINDOW) & ~mask);
    store<u64>(to + offset, bits, EPOCH_WINDOW);
  }
}

function tick(state: usize): u64 {
  const accepted = load<u64>(state, ACCEPTED) + 1;
  store<u64>(state, accepted, ACCEPTED);
  return accepted;
}
