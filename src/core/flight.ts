/**
 * The segments that are sent and not yet acknowledged: what is in flight, what arrived out of order, what is lost. A ring
 * of numbers, one column per fact, in stream order; two chains through it keep the order of sending and that of repair,
 * so that an acknowledgement costs as much with ten thousand segments in flight as with ten. Boundaries never change
 * (DP 5.6: peers match segments by their first number). When a segment is lost is decided in rack.ts, what arrives is
 * measured in delivery.ts. Offsets are stream offsets, not sequence numbers.
 */
import type { Bytes, Millis } from '../config.ts';
import { Chain, NO_PLACE } from './chain.ts';
import type { AckSample } from './congestion.ts';
import { Delivery } from './delivery.ts';
import { Rack } from './rack.ts';
import type { Rtt } from './rtt.ts';

const SACKED = 1;
const LOST = 2;
/** Sent more than once: never a sample (RFC 6298 §3). */
const RESENT = 4;
/** Taken for lost because others overtook it, not because the timer ran out. */
const JUDGED = 8;

const FIRST_CAPACITY = 16;

/** The retransmission queue of one connection. */
export class Flight {
  readonly #rack = new Rack();
  readonly #delivery = new Delivery();
  /** In flight, the one that was sent first in front. */
  readonly #flying = new Chain();
  /** Lost, the one to be repaired first in front. */
  readonly #missing = new Chain();
  #capacity = 0;
  #mask = 0;
  #head = 0;
  #count = 0;
  #starts = new Float64Array(0);
  #lengths = new Int32Array(0);
  #sentAt = new Float64Array(0);
  /** Place of the last transmission among all transmissions. */
  #orders = new Float64Array(0);
  /** From a selectively acknowledged segment on, so many are selectively acknowledged for certain. */
  #runs = new Int32Array(0);
  #flags = new Uint8Array(0);
  #bytesInFlight = 0;
  #sacked = 0;
  #lost = 0;
  #order = 0;
  #newlyLost: Bytes = 0;
  // What the acknowledgement being handled told.
  #sample: Millis = Number.NaN;
  #isTainted = false;
  #reorderAt: Millis = Number.POSITIVE_INFINITY;

  /** Segments that are not cumulatively acknowledged, selectively acknowledged and lost ones included. */
  get count(): number {
    return this.#count;
  }

  /** Bytes neither acknowledged in any way nor lost. */
  get bytesInFlight(): Bytes {
    return this.#bytesInFlight;
  }

  get lost(): number {
    return this.#lost;
  }

  get sacked(): number {
    return this.#sacked;
  }

  /** Bytes that the present acknowledgement showed to have arrived. */
  get delivered(): Bytes {
    return this.#delivery.delivered;
  }

  /** Round-trip time of the present acknowledgement, NaN when it allows none (DP 5.15). */
  get sample(): Millis {
    return this.#isTainted ? Number.NaN : this.#sample;
  }

  /** When a segment that was overtaken counts as lost if it is still missing. */
  get reorderAt(): Millis {
    return this.#reorderAt;
  }

  start(i: number): number {
    return this.#starts[(this.#head + i) & this.#mask]!;
  }

  length(i: number): Bytes {
    return this.#lengths[(this.#head + i) & this.#mask]!;
  }

  isSacked(i: number): boolean {
    return (this.#flags[(this.#head + i) & this.#mask]! & SACKED) !== 0;
  }

  /** Index of the segment that begins at `offset`, or -1. */
  indexOf(offset: number): number {
    const i = this.#firstFrom(offset);
    return i < this.#count && this.start(i) === offset ? i : -1;
  }

  /** A new segment leaves. @returns Its index. */
  push(now: Millis, start: number, length: Bytes): number {
    if (this.#count === this.#capacity) this.#grow();
    const at = (this.#head + this.#count) & this.#mask;
    this.#starts[at] = start;
    this.#lengths[at] = length;
    this.#flags[at] = 0;
    this.#stamp(now, at);
    this.#bytesInFlight += length;
    return this.#count++;
  }

  /** A segment leaves once more. */
  resend(now: Millis, i: number): void {
    const at = (this.#head + i) & this.#mask;
    const flags = this.#flags[at]!;
    if ((flags & LOST) !== 0) {
      this.#missing.remove(at);
      this.#lost -= 1;
    } else if ((flags & SACKED) === 0) {
      this.#flying.remove(at);
      this.#bytesInFlight -= this.#lengths[at]!;
    }
    this.#flags[at] = (flags & ~LOST) | RESENT;
    if ((flags & SACKED) !== 0) return;
    this.#stamp(now, at);
    this.#bytesInFlight += this.#lengths[at]!;
  }

  /** Nothing but congestion control holds data back until this is called: then rates measure something else. */
  limit(): void {
    this.#delivery.limit(this.#bytesInFlight);
  }

  /** Begins an acknowledgement: what it tells starts anew. */
  begin(): void {
    this.#rack.begin();
    this.#delivery.begin();
    this.#sample = Number.NaN;
    this.#isTainted = false;
  }

  /** Drops every segment that ends at or before `ack`. @returns How many. */
  acknowledge(now: Millis, ack: number, minRtt: Millis): number {
    const before = this.#count;
    while (this.#count > 0) {
      const at = this.#head;
      if (this.#starts[at]! + this.#lengths[at]! > ack) break;
      const flags = this.#flags[at]!;
      if ((flags & RESENT) !== 0) this.#isTainted = true;
      if ((flags & SACKED) !== 0) this.#sacked -= 1;
      else this.#deliver(now, at, minRtt);
      this.#head = (this.#head + 1) & this.#mask;
      this.#count -= 1;
    }
    return before - this.#count;
  }

  /** Marks every segment that lies within `[left, right)`. */
  sack(now: Millis, left: number, right: number, minRtt: Millis): void {
    const first = this.#firstFrom(left);
    let i = first;
    while (i < this.#count) {
      const at = (this.#head + i) & this.#mask;
      if ((this.#flags[at]! & SACKED) !== 0) {
        i += this.#runs[at]!;
        continue;
      }
      if (this.#starts[at]! + this.#lengths[at]! > right) break;
      this.#deliver(now, at, minRtt);
      this.#flags[at] = (this.#flags[at]! & ~LOST) | SACKED;
      this.#runs[at] = 1;
      this.#sacked += 1;
      i += 1;
    }
    // Blocks name whole runs again and again: the next look at this one is a single step.
    if (i > first) this.#runs[(this.#head + first) & this.#mask] = i - first;
  }

  /** Writes what is known here into a sample of the acknowledgement. */
  fill(sample: AckSample): void {
    sample.rtt = this.sample;
    sample.lost = this.#newlyLost;
    sample.inFlight = this.#bytesInFlight;
    this.#newlyLost = 0;
    this.#delivery.fill(sample);
  }

  /** Marks what must be lost by now, and sets `reorderAt` for what may be. @returns How many are newly lost. */
  detectLoss(now: Millis, rtt: Rtt): number {
    let found = 0;
    this.#reorderAt = Number.POSITIVE_INFINITY;
    for (let at = this.#flying.first; at !== NO_PLACE; at = this.#flying.first) {
      const order = this.#orders[at]!;
      if (!this.#rack.isOvertaken(order)) break;
      const deadline = this.#rack.deadline(order, this.#sentAt[at]!, rtt);
      if (deadline > now) {
        this.#reorderAt = deadline;
        break;
      }
      this.#lose(at);
      found++;
    }
    return found;
  }

  /** Another episode of losses began. */
  noteEpisode(): void {
    this.#rack.noteEpisode();
  }

  /** Marks one segment lost that is in flight. @returns False when it is not in flight, or was sent again already. */
  loseOnce(i: number): boolean {
    const at = (this.#head + i) & this.#mask;
    if (this.#flags[at] !== 0) return false;
    this.#lose(at);
    return true;
  }

  /**
   * The timer ran out: everything not selectively acknowledged is lost. When the oldest is selectively acknowledged, the
   * peer has parked or forgotten it, and all such marks are void (DP 5.15).
   */
  loseAll(): void {
    const isVoid = this.#count > 0 && this.isSacked(0);
    this.#flying.clear();
    this.#missing.clear();
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#head + i) & this.#mask;
      const flags = this.#flags[at]!;
      if ((flags & SACKED) !== 0) {
        if (!isVoid) continue;
        this.#sacked -= 1;
        this.#lost += 1;
      } else if ((flags & LOST) === 0) {
        this.#lost += 1;
        this.#newlyLost += this.#lengths[at]!;
      }
      this.#flags[at] = (flags & RESENT) | LOST;
      this.#missing.push(at);
    }
    this.#bytesInFlight = 0;
    this.#reorderAt = Number.POSITIVE_INFINITY;
  }

  /** Index of the lost segment to be repaired first, or -1. */
  nextLost(): number {
    return this.#indexAt(this.#missing.first);
  }

  /** Index of the segment in flight that was sent last, or -1. */
  newestInFlight(): number {
    return this.#indexAt(this.#flying.last);
  }

  /**
   * Cuts what is too large into pieces of at most `most` bytes. All that is under way counts as lost then: what was too
   * large is, and what is not was sent behind it. What was selectively acknowledged stays whole.
   */
  split(most: Bytes): void {
    const entries = Array.from({ length: this.#count }, (_, i) => {
      const at = (this.#head + i) & this.#mask;
      return { start: this.start(i), length: this.length(i), isSacked: this.isSacked(i), sentAt: this.#sentAt[at]! };
    });
    if (entries.every(({ length, isSacked }) => length <= most || isSacked)) return;
    this.clear();
    for (const { start, length, isSacked, sentAt } of entries) {
      const step = isSacked ? length : most;
      for (let done = 0; done < length; done += step) {
        const at = (this.#head + this.push(sentAt, start + done, Math.min(step, length - done))) & this.#mask;
        this.#flags[at] = RESENT;
        if (!isSacked) {
          this.#lose(at);
          continue;
        }
        this.#flags[at] = RESENT | SACKED;
        this.#flying.remove(at);
        this.#runs[at] = 1;
        this.#bytesInFlight -= length;
        this.#sacked += 1;
      }
    }
  }

  clear(): void {
    this.#flying.clear();
    this.#missing.clear();
    this.#count = 0;
    this.#bytesInFlight = 0;
    this.#sacked = 0;
    this.#lost = 0;
    this.#reorderAt = Number.POSITIVE_INFINITY;
  }

  /** It leaves now, and is not counted in `bytesInFlight`. */
  #stamp(now: Millis, at: number): void {
    this.#sentAt[at] = now;
    this.#orders[at] = ++this.#order;
    this.#flying.push(at);
    this.#delivery.sent(now, at, this.#lengths[at]!, this.#bytesInFlight);
  }

  #lose(at: number): void {
    const length = this.#lengths[at]!;
    this.#flags[at] = this.#flags[at]! | LOST | JUDGED;
    this.#flying.remove(at);
    this.#bytesInFlight -= length;
    this.#newlyLost += length;
    this.#lost += 1;
    // A repair that got lost again goes first: all behind it wait for it.
    const first = this.#missing.first;
    if (first !== NO_PLACE && this.#starts[at]! < this.#starts[first]!) this.#missing.unshift(at);
    else this.#missing.push(at);
  }

  /** A segment arrived that was not known to have. */
  #deliver(now: Millis, at: number, minRtt: Millis): void {
    const flags = this.#flags[at]!;
    const length = this.#lengths[at]!;
    const order = this.#orders[at]!;
    if ((flags & LOST) !== 0) {
      this.#missing.remove(at);
      this.#lost -= 1;
    } else {
      this.#flying.remove(at);
      this.#bytesInFlight -= length;
    }
    this.#delivery.arrived(now, length);
    const elapsed = now - this.#sentAt[at]!;
    const isResent = (flags & RESENT) !== 0;
    // RFC 8985 §6.2: an answer sooner than any round trip is for the first transmission, not for the last.
    const isOfFirst = isResent && elapsed < minRtt;
    if ((flags & JUDGED) !== 0 && (isOfFirst || (flags & LOST) !== 0)) this.#rack.noteSpurious(order, this.#order);
    if (isOfFirst) return;
    if (!isResent) this.#rack.noteOrder(order);
    this.#rack.delivered(order, elapsed);
    if (this.#delivery.sample(now, at, order)) this.#sample = isResent ? Number.NaN : elapsed;
  }

  /** Index of the first segment that begins at or after `offset`. */
  #firstFrom(offset: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.start(middle) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #indexAt(place: number): number {
    return place === NO_PLACE ? -1 : (place - this.#head) & this.#mask;
  }

  #grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, 2 * this.#capacity);
    const move = <T extends Float64Array | Int32Array | Uint8Array>(from: T, to: T): T => {
      for (let i = 0; i < this.#count; i++) to[i] = from[(this.#head + i) & this.#mask]!;
      return to;
    };
    this.#starts = move(this.#starts, new Float64Array(capacity));
    this.#sentAt = move(this.#sentAt, new Float64Array(capacity));
    this.#orders = move(this.#orders, new Float64Array(capacity));
    this.#lengths = move(this.#lengths, new Int32Array(capacity));
    this.#runs = move(this.#runs, new Int32Array(capacity));
    this.#flags = move(this.#flags, new Uint8Array(capacity));
    this.#delivery.grow(capacity, move);
    const placeOf = (place: number): number => (place - this.#head) & this.#mask;
    this.#flying.grow(capacity, placeOf);
    this.#missing.grow(capacity, placeOf);
    this.#capacity = capacity;
    this.#mask = capacity - 1;
    this.#head = 0;
  }
}
