/**
 * Which bytes behind a gap have arrived: a sorted list of ranges in stream offsets. The bytes themselves already stand at
 * their place in the receive ring. The caller bounds it: by segments as the existing network (DP 5.6), or by ranges.
 */

/** Most ranges that a report names (DP 5.8). */
const MAX_BLOCKS = 4;
const FIRST_CAPACITY = 8;

/** Ranges of received bytes beyond the next expected one. */
export class Assembler {
  #capacity = 0;
  #starts = new Float64Array(0);
  #ends = new Float64Array(0);
  #segments = new Uint32Array(0);
  /** When a range last grew, as a rising number; the newest is reported first (RFC 2018 §4). */
  #stamps = new Float64Array(0);
  #size = 0;
  #total = 0;
  #taken = 0;
  #clock = 0;

  /** Number of ranges. */
  get size(): number {
    return this.#size;
  }

  /** Number of segments in them. */
  get segments(): number {
    return this.#total;
  }

  /** End of the last range, 0 without one. */
  get end(): number {
    return this.#size === 0 ? 0 : this.#ends[this.#size - 1]!;
  }

  /** Whether all of `[start, end)` is here already. */
  covers(start: number, end: number): boolean {
    for (let i = this.#size - 1; i >= 0 && this.#ends[i]! >= end; i--) {
      if (start >= this.#starts[i]!) return true;
    }
    return false;
  }

  /** Notes that `[start, end)` arrived as one segment. */
  add(start: number, end: number): void {
    // What arrives mostly continues the last range.
    let from = this.#size;
    while (from > 0 && this.#ends[from - 1]! >= start) from--;
    let to = from;
    let segments = 1;
    while (to < this.#size && this.#starts[to]! <= end) {
      start = Math.min(start, this.#starts[to]!);
      end = Math.max(end, this.#ends[to]!);
      segments += this.#segments[to]!;
      to++;
    }
    this.#replace(from, to - from);
    this.#starts[from] = start;
    this.#ends[from] = end;
    this.#segments[from] = segments;
    this.#stamps[from] = ++this.#clock;
    this.#total += 1;
  }

  /**
   * Takes out the first range when it begins at or before `next`.
   *
   * @returns Its end, or `next` when there is a gap; `lastTaken` then tells how many segments it had.
   */
  take(next: number): number {
    this.#taken = 0;
    if (this.#size === 0 || this.#starts[0]! > next) return next;
    const end = this.#ends[0]!;
    this.#taken = this.#segments[0]!;
    this.#total -= this.#taken;
    this.#starts.copyWithin(0, 1, this.#size);
    this.#ends.copyWithin(0, 1, this.#size);
    this.#segments.copyWithin(0, 1, this.#size);
    this.#stamps.copyWithin(0, 1, this.#size);
    this.#size -= 1;
    return Math.max(end, next);
  }

  /** Segments in what the last `take` returned. */
  get lastTaken(): number {
    return this.#taken;
  }

  /**
   * Writes up to four ranges as pairs of offsets, the one that grew last first.
   *
   * @param out - At least 8 numbers.
   * @returns The number of pairs.
   */
  blocks(out: Float64Array): number {
    const count = Math.min(this.#size, MAX_BLOCKS);
    let newest = Number.POSITIVE_INFINITY;
    for (let n = 0; n < count; n++) {
      let best = -1;
      for (let i = 0; i < this.#size; i++) {
        const stamp = this.#stamps[i]!;
        if (stamp < newest && (best < 0 || stamp > this.#stamps[best]!)) best = i;
      }
      newest = this.#stamps[best]!;
      out[2 * n] = this.#starts[best]!;
      out[2 * n + 1] = this.#ends[best]!;
    }
    return count;
  }

  clear(): void {
    this.#size = 0;
    this.#total = 0;
  }

  /** Makes `count` entries at `from` into one. */
  #replace(from: number, count: number): void {
    if (this.#size + 1 > this.#capacity) this.#grow();
    if (count !== 1) {
      this.#starts.copyWithin(from + 1, from + count, this.#size);
      this.#ends.copyWithin(from + 1, from + count, this.#size);
      this.#segments.copyWithin(from + 1, from + count, this.#size);
      this.#stamps.copyWithin(from + 1, from + count, this.#size);
      this.#size += 1 - count;
    }
  }

  #grow(): void {
    this.#capacity = Math.max(FIRST_CAPACITY, 2 * this.#capacity);
    this.#starts = copy(this.#starts, new Float64Array(this.#capacity));
    this.#ends = copy(this.#ends, new Float64Array(this.#capacity));
    this.#stamps = copy(this.#stamps, new Float64Array(this.#capacity));
    const segments = new Uint32Array(this.#capacity);
    segments.set(this.#segments);
    this.#segments = segments;
  }
}

function copy(from: Float64Array<ArrayBuffer>, to: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  to.set(from);
  return to;
}
