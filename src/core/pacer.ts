/**
 * Spreads segments over time at a rate that the law of congestion control asks for (RFC 9002 §7.7): a bucket of bytes that
 * fills at that rate. Segments leave in small bursts, because the timers of a runtime are about 1 ms coarse.
 */
import type { Bytes, Millis } from '../config.ts';

/** Segments that may leave at once however slow the pace, when nothing has left for a while. */
const BURST_SEGMENTS = 10;
/** What may be saved up at least, in time: a late timer must not cost throughput. */
const BURST_MS: Millis = 4;
/** What is waited for: a timer for each segment would be late for most. */
const QUANTUM_MS: Millis = 1;

/** A bucket of bytes. */
export class Pacer {
  #segment: Bytes;
  #tokens: Bytes;
  #at: Millis = Number.NEGATIVE_INFINITY;

  constructor(segmentBytes: Bytes) {
    this.#segment = segmentBytes;
    this.#tokens = BURST_SEGMENTS * segmentBytes;
  }

  /** Segments are of another size from now on. */
  setSegmentBytes(segmentBytes: Bytes): void {
    this.#segment = segmentBytes;
  }

  /** When a segment may leave: `now`, or later. @param rate - Bytes per ms. */
  ready(now: Millis, rate: number): Millis {
    if (rate === Number.POSITIVE_INFINITY) {
      this.#tokens = Math.max(this.#tokens, 0);
      this.#at = now;
      return now;
    }
    if (now > this.#at) {
      const most = Math.max(BURST_SEGMENTS * this.#segment, BURST_MS * rate);
      this.#tokens =
        this.#at === Number.NEGATIVE_INFINITY ? most : Math.min(most, this.#tokens + (now - this.#at) * rate);
      this.#at = now;
    }
    // A debt of less than one segment is allowed, and paid back before the next.
    if (this.#tokens > 0) return now;
    return now + Math.max(QUANTUM_MS, (1 - this.#tokens) / rate);
  }

  sent(bytes: Bytes): void {
    this.#tokens -= bytes;
  }
}
