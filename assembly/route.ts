/**
 * The route table: (owner u16 ‖ node id u32) → the newest session of that pair, as a pointer. Linear probing over
 * entries of 12 bytes, at most three quarters full; a removal closes the gap behind it (Knuth, TAOCP 6.4, algorithm R),
 * so nothing decays and nothing ever pauses to rebuild.
 *
 *   0  u32  node id      4  u32  owner + 1, 0 = empty      8  u32  value
 */
import { ROUTE_BYTES, routeCapacity, routesPtr } from './layout';

const NODE: usize = 0;
const OWNER: usize = 4;
const VALUE: usize = 8;

/** Secret and odd: who picks node ids must not be able to pick where they fall. */
let multiplier: u64 = 1;

/** Sets the hash; once, while the table is empty. */
export function routeInit(secret: u64): void {
  multiplier = secret | 1;
}

/** @returns The value stored for the pair, or 0. */
export function routeFind(owner: u32, node: u32): u32 {
  const entry = entryOf(owner, node);
  return load<u32>(entry, OWNER) == 0 ? 0 : load<u32>(entry, VALUE);
}

/** Stores `value` ≠ 0 for the pair. The table has room: it is larger than the session table. */
export function routeSet(owner: u32, node: u32, value: u32): void {
  const entry = entryOf(owner, node);
  store<u32>(entry, node, NODE);
  store<u32>(entry, owner + 1, OWNER);
  store<u32>(entry, value, VALUE);
}

/** Forgets the pair, if it is there. */
export function routeRemove(owner: u32, node: u32): void {
  const entry = entryOf(owner, node);
  if (load<u32>(entry, OWNER) == 0) return;
  let gap = <u32>((entry - routesPtr) / ROUTE_BYTES);
  let at = gap;
  while (true) {
    at = next(at);
    const ptr = pointer(at);
    const ownerPlus = load<u32>(ptr, OWNER);
    if (ownerPlus == 0) break;
    // An entry may move back to the gap unless its home lies behind the gap.
    const home = homeOf(ownerPlus - 1, load<u32>(ptr, NODE));
    if (distance(home, at) < distance(gap, at)) continue;
    memory.copy(pointer(gap), ptr, ROUTE_BYTES);
    gap = at;
  }
  memory.fill(pointer(gap), 0, ROUTE_BYTES);
}

/** The entry of the pair, or the empty one where it would go. */
function entryOf(owner: u32, node: u32): usize {
  let at = homeOf(owner, node);
  while (true) {
    const ptr = pointer(at);
    const ownerPlus = load<u32>(ptr, OWNER);
    if (ownerPlus == 0 || (ownerPlus == owner + 1 && load<u32>(ptr, NODE) == node)) return ptr;
    at = next(at);
  }
}

/** The high half of the product decides, scaled to the capacity: no power of two needed, no division. */
// @ts-ignore: decorator
@inline
function homeOf(owner: u32, node: u32): u32 {
  const hash = (((<u64>owner << 32) | <u64>node) * multiplier) >> 32;
  return <u32>((hash * <u64>routeCapacity) >> 32);
}

// @ts-ignore: decorator
@inline
function pointer(at: u32): usize {
  return routesPtr + <usize>at * ROUTE_BYTES;
}

// @ts-ignore: decorator
@inline
function next(at: u32): u32 {
  return at + 1 == routeCapacity ? 0 : at + 1;
}

/** Steps from `from` to `to`, going up and around. */
// @ts-ignore: decorator
@inline
function distance(from: u32, to: u32): u32 {
  return to >= from ? to - from : to + routeCapacity - from;
}
