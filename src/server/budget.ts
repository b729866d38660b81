/**
 * How often something may happen, per source: token buckets in a bounded table. Sources on this machine may do a
 * hundred times as much (design: decision 8), for agents there share one address.
 */
import type { Millis } from '../config.ts';

/** What a trusted source may do, as a multiple of what others may. */
export const TRUSTED_FACTOR = 100;

/** Whether an address is this machine's own. @param host - Canonical text. */
export function isLocalHost(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/** A bucket that starts full. */
export class Bucket {
  #tokens: number;
  #at: Millis = Number.NEGATIVE_INFINITY;

  /** @param burst - Tokens to begin with. */
  constructor(burst: number) {
    this.#tokens = burst;
  }

  /** Takes one token if there is one. @param perSecond - Refill rate. @param burst - Most tokens held. */
  take(now: Millis, perSecond: number, burst: number): boolean {
    if (now > this.#at) {
      this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1000);
      this.#at = now;
    }
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** A bucket per source. When the table is full the oldest leaves. */
export class Budget {
  readonly #buckets = new Map<string, Bucket>();
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #capacity: number;

  constructor(limits: { perSecond: number; burst: number; capacity: number }) {
    this.#perSecond = limits.perSecond;
    this.#burst = limits.burst;
    this.#capacity = limits.capacity;
  }

  /** @param isTrusted - This source may do a hundred times as much. */
  take(now: Millis, source: string, isTrusted: boolean): boolean {
    const factor = isTrusted ? TRUSTED_FACTOR : 1;
    let bucket = this.#buckets.get(source);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#capacity) {
        const oldest = this.#buckets.keys().next();
        if (!oldest.done) this.#buckets.delete(oldest.value);
      }
      bucket = new Bucket(this.#burst * factor);
      this.#buckets.set(source, bucket);
    }
    return bucket.take(now, this.#perSecond * factor, this.#burst * factor);
  }
}
