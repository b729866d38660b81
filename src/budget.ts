/**
 * Token buckets: how often something may happen. One bucket for what strangers share, a bounded table of buckets where
 * each source has its own.
 */
import type { Millis } from './config.ts';

/** One token, within what sums of fractions may lack: who comes at `nextAt` must find it. */
const ONE = 1 - 1e-9;

/** A bucket that starts full. */
export class Bucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  /** When the tokens were counted last. */
  #at: Millis = Number.NEGATIVE_INFINITY;

  /** @param perSecond - Refill rate. @param burst - Most tokens held; a second's worth unless given. */
  constructor(perSecond: number, burst: number = perSecond) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes one token if there is one. */
  take(now: Millis): boolean {
    if (now > this.#at) {
      if (this.#tokens < this.#burst) {
        this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs);
      }
      this.#at = now;
    }
    if (this.#tokens < ONE) return false;
    this.#tokens = Math.max(0, this.#tokens - 1);
    return true;
  }

  /** When the next token will be there, given that nothing else takes one. */
  nextAt(now: Millis): Millis {
    return this.#tokens >= ONE ? now : Math.max(now, this.#at + (1 - this.#tokens) / this.#perMs);
  }
}

/** A bucket per source, at most `capacity` of them; the one unused for longest leaves, which is the fullest. */
export class Buckets {
  readonly #buckets = new Map<string | number, Bucket>();
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #capacity: number;

  constructor(perSecond: number, burst: number, capacity = 4096) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#capacity = capacity;
  }

  take(now: Millis, source: string | number): boolean {
    let bucket = this.#buckets.get(source);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#capacity) {
        const oldest = this.#buckets.keys().next();
        if (!oldest.done) this.#buckets.delete(oldest.value);
      }
      bucket = new Bucket(this.#perSecond, this.#burst);
    } else {
      this.#buckets.delete(source);
    }
    this.#buckets.set(source, bucket);
    return bucket.take(now);
  }

  /** When the source's next token will be there. */
  nextAt(now: Millis, source: string | number): Millis {
    return this.#buckets.get(source)?.nextAt(now) ?? now;
  }
}
