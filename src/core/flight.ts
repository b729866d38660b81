/**
 * The segments that are sent and not yet acknowledged: what is in flight, what arrived out of order, what is lost. A ring
 * of numbers, one column per fact. Boundaries never change (DP 5.6: peers match segments by their first number). It
 * decides nothing but "lost": by three later deliveries (RFC 6675) or by time (RACK, RFC 8985). Offsets are stream
 * offsets, not sequence numbers.
 */
import type { Bytes, Millis } from '../config.ts';
import type { Rtt } from './rtt.ts';

const SACKED = 1;
const LOST = 2;
/** Sent more than once: never a sample (RFC 6298 §3). */
const RESENT = 4;

const FIRST_CAPACITY = 16;
/** Clocks and timers are about 1 ms coarse. */
const CLOCK_MS = 1;

/** The retransmission queue of one connection. */
export class Flight {
  #capacity = 0;
  #mask = 0;
  #head = 0;
  #count = 0;
  #starts = new Float64Array(0);
  #lengths = new Int32Array(0);
  #sentAt = new Float64Array(0);
  /** Place of the last transmission among all transmissions. */
  #orders = new Float64Array(0);
  /** Bytes that had been delivered in all when it was sent. */
  #deliveredThen = new Float64Array(0);
  #flags = new Uint8Array(0);
  #bytesInFlight = 0;
  #sacked = 0;
  #lost = 0;
  #order = 0;
  /** The three latest transmissions known to have arrived: a segment sent before all three of them is lost. */
  #latest = -1;
  #second = -1;
  #third = -1;
  #latestRtt: Millis = 0;
  #deliveredInAll: Bytes = 0;
  // What the acknowledgement being handled told.
  #delivered: Bytes = 0;
  #sampleOrder = -1;
  #sample: Millis = Number.NaN;
  #rate = 0;
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
    return this.#delivered;
  }

  /** Round-trip time of the present acknowledgement, NaN when it allows none (DP 5.15). */
  get sample(): Millis {
    return this.#isTainted ? Number.NaN : this.#sample;
  }

  /** Bytes per ms delivered during the flight of the newest segment of the present acknowledgement; 0: not known. */
  get rate(): number {
    return this.#rate;
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
      this.#lost -= 1;
      this.#bytesInFlight += this.#lengths[at]!;
    }
    this.#flags[at] = (flags & ~LOST) | RESENT;
    this.#stamp(now, at);
  }

  /** Begins an acknowledgement: `delivered`, `sample` and `rate` start anew. */
  begin(): void {
    this.#delivered = 0;
    this.#sampleOrder = -1;
    this.#sample = Number.NaN;
    this.#rate = 0;
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
    for (let i = this.#firstFrom(left); i < this.#count; i++) {
      const at = (this.#head + i) & this.#mask;
      if (this.#starts[at]! + this.#lengths[at]! > right) return;
      if ((this.#flags[at]! & SACKED) !== 0) continue;
      this.#deliver(now, at, minRtt);
      this.#flags[at] = (this.#flags[at]! & ~LOST) | SACKED;
      this.#sacked += 1;
    }
  }

  /** Marks what must be lost by now, and sets `reorderAt` for what may be. @returns How many are newly lost. */
  detectLoss(now: Millis, rtt: Rtt): number {
    let found = 0;
    this.#reorderAt = Number.POSITIVE_INFINITY;
    const patience = Math.max(rtt.srtt, this.#latestRtt) + rtt.min / 4 + CLOCK_MS;
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#head + i) & this.#mask;
      const flags = this.#flags[at]!;
      if ((flags & (SACKED | LOST)) !== 0) continue;
      const order = this.#orders[at]!;
      if (order > this.#latest) {
        // All behind a segment that was sent once were sent after it.
        if ((flags & RESENT) === 0) break;
        continue;
      }
      const deadline = this.#sentAt[at]! + patience;
      if (order < this.#third || deadline <= now) {
        this.lose(i);
        found++;
      } else if (deadline < this.#reorderAt) {
        this.#reorderAt = deadline;
      }
    }
    return found;
  }

  /** Marks one segment lost that is in flight. @returns False when it is not in flight, or was sent again already. */
  loseOnce(i: number): boolean {
    const flags = this.#flags[(this.#head + i) & this.#mask]!;
    if (flags !== 0) return false;
    this.lose(i);
    return true;
  }

  lose(i: number): void {
    const at = (this.#head + i) & this.#mask;
    this.#flags[at] = this.#flags[at]! | LOST;
    this.#bytesInFlight -= this.#lengths[at]!;
    this.#lost += 1;
  }

  /**
   * The timer ran out: everything not selectively acknowledged is lost. When the oldest is selectively acknowledged, the
   * peer has parked or forgotten it, and all such marks are void (DP 5.15).
   */
  loseAll(): void {
    const isVoid = this.#count > 0 && this.isSacked(0);
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#head + i) & this.#mask;
      if (isVoid && (this.#flags[at]! & SACKED) !== 0) {
        this.#flags[at] = this.#flags[at]! & ~SACKED;
        this.#sacked -= 1;
        this.#bytesInFlight += this.#lengths[at]!;
      }
      if ((this.#flags[at]! & (SACKED | LOST)) === 0) this.lose(i);
    }
    this.#reorderAt = Number.POSITIVE_INFINITY;
  }

  /** Index of the oldest lost segment, or -1. */
  nextLost(): number {
    if (this.#lost === 0) return -1;
    for (let i = 0; i < this.#count; i++) {
      if ((this.#flags[(this.#head + i) & this.#mask]! & LOST) !== 0) return i;
    }
    return -1;
  }

  /** Index of the newest segment that is in flight, or -1. */
  newestInFlight(): number {
    for (let i = this.#count - 1; i >= 0; i--) {
      if ((this.#flags[(this.#head + i) & this.#mask]! & (SACKED | LOST)) === 0) return i;
    }
    return -1;
  }

  /**
   * Cuts what is too large into pieces of at most `most` bytes, which count as lost: they go again. What was selectively
   * acknowledged stays whole.
   */
  split(most: Bytes): void {
    const entries = Array.from({ length: this.#count }, (_, i) => {
      const at = (this.#head + i) & this.#mask;
      const [start, length, flags] = [this.#starts[at]!, this.#lengths[at]!, this.#flags[at]!];
      const isWhole = length <= most || (flags & SACKED) !== 0;
      return {
        start,
        length,
        flags,
        isWhole,
        sentAt: this.#sentAt[at]!,
        order: this.#orders[at]!,
        deliveredThen: this.#deliveredThen[at]!,
      };
    });
    if (entries.every(({ isWhole }) => isWhole)) return;
    this.clear();
    for (const { start, length, flags, isWhole, sentAt, order, deliveredThen } of entries) {
      for (let done = 0; done < length; ) {
        const piece = isWhole ? length : Math.min(most, length - done);
        const i = this.push(sentAt, start + done, piece);
        const at = (this.#head + i) & this.#mask;
        this.#orders[at] = order;
        this.#deliveredThen[at] = deliveredThen;
        this.#flags[at] = isWhole ? flags & ~LOST : RESENT;
        if ((flags & SACKED) !== 0) {
          this.#sacked += 1;
          this.#bytesInFlight -= piece;
        } else if (!isWhole || (flags & LOST) !== 0) {
          this.lose(i);
        }
        done += piece;
      }
    }
  }

  clear(): void {
    this.#count = 0;
    this.#bytesInFlight = 0;
    this.#sacked = 0;
    this.#lost = 0;
    this.#reorderAt = Number.POSITIVE_INFINITY;
  }

  #stamp(now: Millis, at: number): void {
    this.#sentAt[at] = now;
    this.#orders[at] = ++this.#order;
    this.#deliveredThen[at] = this.#deliveredInAll;
  }

  /** A segment arrived that was not known to have. */
  #deliver(now: Millis, at: number, minRtt: Millis): void {
    const flags = this.#flags[at]!;
    const length = this.#lengths[at]!;
    if ((flags & LOST) !== 0) this.#lost -= 1;
    else this.#bytesInFlight -= length;
    this.#delivered += length;
    this.#deliveredInAll += length;
    const order = this.#orders[at]!;
    const elapsed = now - this.#sentAt[at]!;
    // RFC 8985 §6.2: an answer sooner than any round trip is for the first transmission, not for the last.
    if ((flags & RESENT) !== 0 && elapsed < minRtt) return;
    if (order > this.#latest) {
      this.#third = this.#second;
      this.#second = this.#latest;
      this.#latest = order;
      this.#latestRtt = elapsed;
    } else if (order > this.#second) {
      this.#third = this.#second;
      this.#second = order;
    } else if (order > this.#third) {
      this.#third = order;
    }
    if ((flags & RESENT) === 0 && order > this.#sampleOrder) {
      this.#sampleOrder = order;
      this.#sample = elapsed;
      this.#rate = elapsed > 0 ? (this.#deliveredInAll - this.#deliveredThen[at]!) / elapsed : 0;
    }
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

  #grow(): void {
    const capacity = Math.max(FIRST_CAPACITY, 2 * this.#capacity);
    this.#starts = this.#moved(this.#starts, new Float64Array(capacity));
    this.#sentAt = this.#moved(this.#sentAt, new Float64Array(capacity));
    this.#orders = this.#moved(this.#orders, new Float64Array(capacity));
    this.#deliveredThen = this.#moved(this.#deliveredThen, new Float64Array(capacity));
    this.#lengths = this.#moved(this.#lengths, new Int32Array(capacity));
    this.#flags = this.#moved(this.#flags, new Uint8Array(capacity));
    this.#capacity = capacity;
    this.#mask = capacity - 1;
    this.#head = 0;
  }

  #moved<T extends Float64Array | Int32Array | Uint8Array>(from: T, to: T): T {
    for (let i = 0; i < this.#count; i++) to[i] = from[(this.#head + i) & this.#mask]!;
    return to;
  }
}
