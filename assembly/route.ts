/**
 * A route table: (owner u16 ‖ node id u32) → a number that is not 0, for instance the newest session of that pair. Several
 * tables are possible: each is a *descriptor* in static memory and an area of its own, which nothing fills.
 *
 * An entry takes 8 bytes, 0 = empty. The 48-bit key goes through a secret permutation; the top of the result, scaled to the
 * size of the table, is the key's bucket, the rest stands in the entry above the value. What the bucket says need not be
 * written down, and still equal entries are equal keys (quotients: Knuth, TAOCP 6.4, exercise 13). Entries stand in the order
 * of their buckets; each bucket begins on a cache line of its own, and what does not fit there goes on in the next line.
 *
 * Two things follow from the order. A removal moves what is behind it forward until an entry stands where its bucket begins,
 * so nothing decays. And the table doubles where it stands: from its end down, bucket b becomes 2b and 2b + 1, one with
 * every insertion; the *border* is how far that came. bench/README.md says what was measured instead.
 *
 *   0  u64  first multiplier    8  u64  second one    16  u64  mask of the value
 *  24  u32  the area           28  u32  buckets       32  u32  border: buckets below it are those of half the size, 0 = none
 *  36  u32  hash bits that are not written down       40  u32  buckets at most      44  u32  entries
 */
import { RECORD_BYTES, RECORD_NOTE, RECORD_SENDER } from './layout';

/** Bytes of a descriptor. */
export const ROUTE_TABLE_BYTES: i32 = 64;

const FIRST: usize = 0;
const SECOND: usize = 8;
const VALUE_MASK: usize = 16;
const AREA: usize = 24;
const BUCKETS: usize = 28;
const BORDER: usize = 32;
const IMPLIED_BITS: usize = 36;
const MOST_BUCKETS: usize = 40;
const ENTRIES: usize = 44;

const ENTRY_BYTES: usize = 8;
/** A cache line: 8 entries, and 4 when the table is full. */
const BUCKET_BYTES: usize = 64;
const BUCKET_SHIFT: u32 = 3;
/** Bits of an entry that are the value's when the whole hash is written down. */
const VALUE_BITS: u32 = 16;
/**
 * No entry is so far behind the first place of its bucket: an insertion that would need it is refused, and a look-up ends
 * there. In a table half full that is one insertion in 10^30, unless somebody knows the secret.
 */
const TOO_FAR: u32 = 64;
/** Buckets of the smallest table, for each value of the bits that are not written down: TOO_FAR places at least. */
const FEWEST_BUCKETS: u32 = 16;
/** So many are doubled at once at the end, where old places and new ones overlap. */
const LAST_BUCKETS: u32 = 16;

/** Behind the last place: what a batch wants and where, or entries that move and where to. */
const NOTES: u32 = (LAST_BUCKETS << BUCKET_SHIFT) + TOO_FAR;
const NOTE_BYTES: usize = 16;
const NOTE_WHERE: usize = 8;

/** @returns Bytes of the area for `limit` entries: 16 for each, and some. */
export function routeBytes(limit: u32): usize {
  return areaBytes(mostBuckets(limit)) + <usize>NOTES * NOTE_BYTES;
}

/**
 * Makes a table of a descriptor that is zero.
 *
 * @param area - `routeBytes(limit)` bytes that are zero, on a cache line.
 * @param limit - Entries at most; also the largest value.
 * @param secret - Random: who picks node ids must not be able to pick where they fall.
 */
export function routeInit(table: usize, area: usize, limit: u32, secret: u64): void {
  const implied = impliedBits(limit);
  const most = mostBuckets(limit);
  // One multiplication alone leaves node ids in a row in rows: for some secrets, all of them in a few places.
  store<u64>(table, (secret ^ 0x9e3779b97f4a7c15) | 1, FIRST);
  store<u64>(table, (rotr(secret, 32) ^ 0xbf58476d1ce4e5b9) | 1, SECOND);
  store<u64>(table, (<u64>1 << (VALUE_BITS + implied)) - 1, VALUE_MASK);
  store<u32>(table, <u32>area, AREA);
  store<u32>(table, most >> doublings(most >> implied), BUCKETS);
  store<u32>(table, implied, IMPLIED_BITS);
  store<u32>(table, most, MOST_BUCKETS);
}

/** @returns The value stored for the pair, or 0. */
export function routeFind(table: usize, owner: u32, node: u32): u32 {
  const hash = hashOf(table, owner, node);
  const line = placeOf(table, bucketOf(table, hash));
  return found(line, wantedOf(table, hash), load<u64>(table, VALUE_MASK));
}

/**
 * Looks up the senders of `count` ≤ BATCH records of one owner; the value, or 0, comes into the word of the note. In three
 * steps, so that the memory answers for many at a time: where to look, a first look, the comparison.
 */
export function routeFindBatch(table: usize, owner: u32, records: usize, count: u32): void {
  const notes = notesOf(table);
  const end = notes + <usize>count * NOTE_BYTES;
  // In locals: after a store, a compiler would load all of them again.
  const first = load<u64>(table, FIRST);
  const second = load<u64>(table, SECOND);
  const implied = <u64>load<u32>(table, IMPLIED_BITS);
  const buckets = load<u32>(table, BUCKETS);
  const border = load<u32>(table, BORDER);
  const area = placeOf(table, 0);
  for (let note = notes, record = records; note < end; note += NOTE_BYTES, record += RECORD_BYTES) {
    const hash = permuted(keyOf(owner, load<u32>(record, RECORD_SENDER)), first, second);
    store<u64>(note, hash << implied);
    store<u32>(note, <u32>(area + <usize>scaled(hash, buckets, border) * BUCKET_BYTES), NOTE_WHERE);
  }
  let seen: u64 = 0;
  for (let note = notes; note < end; note += NOTE_BYTES) seen |= load<u64>(<usize>load<u32>(note, NOTE_WHERE));
  // Or a compiler may leave the looking out.
  store<u64>(end, seen);
  const mask = load<u64>(table, VALUE_MASK);
  for (let note = notes, record = records; note < end; note += NOTE_BYTES, record += RECORD_BYTES) {
    store<u32>(record, found(<usize>load<u32>(note, NOTE_WHERE), load<u64>(note), mask), RECORD_NOTE);
  }
}

/** Stores `value` ≠ 0 for the pair. @returns Whether there was a place for it. */
export function routeSet(table: usize, owner: u32, node: u32, value: u32): bool {
  const hash = hashOf(table, owner, node);
  const wanted = wantedOf(table, hash);
  const bucket = bucketOf(table, hash);
  const ptr = existing(table, placeOf(table, bucket), wanted);
  if (ptr != 0) {
    store<u64>(ptr, wanted | value);
    return true;
  }
  if (!insert(table, wanted | value, bucket)) return false;
  const entries = load<u32>(table, ENTRIES) + 1;
  store<u32>(table, entries, ENTRIES);
  const buckets = load<u32>(table, BUCKETS);
  const isHalfFull = entries << 1 >= buckets << BUCKET_SHIFT;
  if (load<u32>(table, BORDER) == 0) {
    if (!isHalfFull || buckets == load<u32>(table, MOST_BUCKETS)) return true;
    store<u32>(table, buckets << 1, BUCKETS);
    store<u32>(table, buckets << 1, BORDER);
  }
  double(table);
  return true;
}

/** Forgets the pair, if it is there. */
export function routeRemove(table: usize, owner: u32, node: u32): void {
  const hash = hashOf(table, owner, node);
  const bucket = bucketOf(table, hash);
  const first = placeOf(table, bucket);
  let gap = existing(table, first, wantedOf(table, hash));
  if (gap == 0) return;
  const part = partAt(table, bucket);
  let offset = forward(offsetOf(table, load<u64>(gap), part), <u32>((gap - first) / ENTRY_BYTES), part);
  while (true) {
    const entry = load<u64>(gap, ENTRY_BYTES);
    offset = forward(offset, 1, part);
    if (entry == 0 || distanceOf(table, entry, offset, part) == 0) break;
    store<u64>(gap, entry);
    gap += ENTRY_BYTES;
  }
  store<u64>(gap, 0);
  store<u32>(table, load<u32>(table, ENTRIES) - 1, ENTRIES);
}

/** Doubles the bucket below the border, or all that are left. */
function double(table: usize): void {
  const border = load<u32>(table, BORDER) >> 1;
  const from: u32 = border <= LAST_BUCKETS ? 0 : border - 1;
  const newPart = load<u32>(table, BUCKETS) >> load<u32>(table, IMPLIED_BITS);
  const part = newPart >> 1;
  const notes = notesOf(table);
  const end = placeOf(table, border);
  let offset = (from % part) << BUCKET_SHIFT;
  let at = from << BUCKET_SHIFT;
  let note = notes;
  // Behind the border stand those that found no place before it, without a gap between them.
  for (let ptr = placeOf(table, from); ; ptr += ENTRY_BYTES, ++at, offset = forward(offset, 1, part)) {
    const entry = load<u64>(ptr);
    if (entry == 0) {
      if (ptr >= end) break;
      continue;
    }
    const bucket = (at - distanceOf(table, entry, offset, part)) >> BUCKET_SHIFT;
    // Of a lower bucket, and in this one for want of a place there.
    if (bucket < from) continue;
    store<u64>(note, entry);
    store<u32>(note, (bucket << 1) | ((offsetOf(table, entry, newPart) >> BUCKET_SHIFT) & 1), NOTE_WHERE);
    note += NOTE_BYTES;
    store<u64>(ptr, 0);
  }
  store<u32>(table, from << 1, BORDER);
  while (note > notes) {
    note -= NOTE_BYTES;
    // In twice the room nobody comes to be further behind than before, but for what is new; all of it fills a third.
    if (!insert(table, load<u64>(note), load<u32>(note, NOTE_WHERE))) unreachable();
  }
}

/** Puts an entry behind those of its bucket. @returns false when it or one behind it would be too far. */
function insert(table: usize, entry: u64, bucket: u32): bool {
  const part = partAt(table, bucket);
  let offset = offsetOf(table, entry, part);
  let ptr = placeOf(table, bucket);
  let distance: u32 = 0;
  for (; ; ++distance, ptr += ENTRY_BYTES, offset = forward(offset, 1, part)) {
    const other = load<u64>(ptr);
    if (other == 0 || distanceOf(table, other, offset, part) < distance) break;
  }
  if (distance == TOO_FAR) return false;
  let end = ptr;
  for (let other = load<u64>(end); other != 0; other = load<u64>(end)) {
    if (distanceOf(table, other, offset, part) == TOO_FAR - 1) return false;
    end += ENTRY_BYTES;
    offset = forward(offset, 1, part);
  }
  memory.copy(ptr + ENTRY_BYTES, ptr, end - ptr);
  store<u64>(ptr, entry);
  return true;
}

/** Where the entry is, looked for from the beginning of its bucket on, or 0. */
function existing(table: usize, first: usize, wanted: u64): usize {
  const mask = load<u64>(table, VALUE_MASK);
  const end = first + <usize>TOO_FAR * ENTRY_BYTES;
  for (let ptr = first; ptr < end; ptr += ENTRY_BYTES) {
    const entry = load<u64>(ptr);
    if (entry == 0) break;
    if ((entry & ~mask) == wanted) return ptr;
  }
  return 0;
}

/** The value of the same entry, or 0. All eight of a line at once: which of them it is, no branch predictor knows. */
// @ts-ignore: decorator
@inline
function found(first: usize, wanted: u64, mask: u64): u32 {
  const pattern = i64x2.splat(wanted);
  const compared = i64x2.splat(~mask);
  const end = first + <usize>TOO_FAR * ENTRY_BYTES;
  let value: u32 = 0;
  for (let line = first; line < end; line += BUCKET_BYTES) {
    const last = v128.load(line, 48);
    const hits = v128.or(
      v128.or(hit(v128.load(line), pattern, compared), hit(v128.load(line, 16), pattern, compared)),
      v128.or(hit(v128.load(line, 32), pattern, compared), hit(last, pattern, compared)),
    );
    value = <u32>((i64x2.extract_lane(hits, 0) | i64x2.extract_lane(hits, 1)) & mask);
    if (value != 0 || i64x2.extract_lane(last, 1) == 0) break;
  }
  return value;
}

/** Of two entries the one that is wanted, and zeros. An empty place, which may agree with what is wanted, is 0 anyway. */
// @ts-ignore: decorator
@inline
function hit(entries: v128, pattern: v128, compared: v128): v128 {
  return v128.and(entries, i64x2.eq(v128.and(entries, compared), pattern));
}

// @ts-ignore: decorator
@inline
function hashOf(table: usize, owner: u32, node: u32): u64 {
  return permuted(keyOf(owner, node), load<u64>(table, FIRST), load<u64>(table, SECOND));
}

/** The 48 bits of a key at the top of the word. */
// @ts-ignore: decorator
@inline
function keyOf(owner: u32, node: u32): u64 {
  return (<u64>owner << 48) | (<u64>node << 16);
}

/** A permutation of these 48 bits; the others stay 0. */
// @ts-ignore: decorator
@inline
function permuted(key: u64, first: u64, second: u64): u64 {
  const once = key * first;
  return ((once ^ (once >> 24)) & ~0xffff) * second;
}

/** The entry of this hash, but for its value. */
// @ts-ignore: decorator
@inline
function wantedOf(table: usize, hash: u64): u64 {
  return hash << <u64>load<u32>(table, IMPLIED_BITS);
}

// @ts-ignore: decorator
@inline
function bucketOf(table: usize, hash: u64): u32 {
  return scaled(hash, load<u32>(table, BUCKETS), load<u32>(table, BORDER));
}

// @ts-ignore: decorator
@inline
function scaled(hash: u64, buckets: u32, border: u32): u32 {
  const bucket = <u32>(((hash >> 32) * <u64>buckets) >> 32);
  return select(bucket >> 1, bucket, bucket < border);
}

/** Where a bucket begins. */
// @ts-ignore: decorator
@inline
function placeOf(table: usize, bucket: u32): usize {
  return <usize>load<u32>(table, AREA) + <usize>bucket * BUCKET_BYTES;
}

// @ts-ignore: decorator
@inline
function notesOf(table: usize): usize {
  return <usize>load<u32>(table, AREA) + areaBytes(load<u32>(table, MOST_BUCKETS));
}

/** Buckets in a *part*: those that have the bits in common that are not written down. Below the border there are half as many. */
// @ts-ignore: decorator
@inline
function partAt(table: usize, bucket: u32): u32 {
  const buckets = load<u32>(table, BUCKETS) >> load<u32>(table, IMPLIED_BITS);
  return bucket << 1 < load<u32>(table, BORDER) ? buckets >> 1 : buckets;
}

/** How many places behind the beginning of its part an entry's bucket begins. */
// @ts-ignore: decorator
@inline
function offsetOf(table: usize, entry: u64, part: u32): u32 {
  const implied = load<u32>(table, IMPLIED_BITS);
  // Without the bits that bucketOf does not see.
  const high = <u64>((<u32>(entry >> 32) >> implied) << implied);
  return <u32>((high * <u64>part) >> 32) << BUCKET_SHIFT;
}

/** How many places an entry is behind the beginning of its bucket, when it stands at `offset` of a part. */
// @ts-ignore: decorator
@inline
function distanceOf(table: usize, entry: u64, offset: u32, part: u32): u32 {
  const begin = offsetOf(table, entry, part);
  return offset >= begin ? offset - begin : offset + (part << BUCKET_SHIFT) - begin;
}

/** `count` places on, at the end of a part into the next one. */
// @ts-ignore: decorator
@inline
function forward(offset: u32, count: u32, part: u32): u32 {
  const there = offset + count;
  return there >= part << BUCKET_SHIFT ? there - (part << BUCKET_SHIFT) : there;
}

/** Bytes of so many buckets, and of the places behind the last. */
// @ts-ignore: decorator
@inline
function areaBytes(buckets: u32): usize {
  return <usize>buckets * BUCKET_BYTES + <usize>TOO_FAR * ENTRY_BYTES;
}

/** The bits of `limit` that are more than VALUE_BITS. */
function impliedBits(limit: u32): u32 {
  const bits: u32 = 32 - clz(limit);
  return bits > VALUE_BITS ? bits - VALUE_BITS : 0;
}

/** For half full, rounded down to what comes of FEWEST_BUCKETS, or up to twice as many, by doubling. */
function mostBuckets(limit: u32): u32 {
  const implied = impliedBits(limit);
  const part = max(limit >> (implied + 2), FEWEST_BUCKETS);
  return part >> doublings(part) << doublings(part) << implied;
}

/** How often `part` buckets are more than twice FEWEST_BUCKETS. */
function doublings(part: u32): u32 {
  return clz(FEWEST_BUCKETS) - clz(part);
}
