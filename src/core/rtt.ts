/**
 * Round-trip time and the retransmission timeout made of it. RFC 6298 with the constants of DP 5.15. Which segments may
 * be sampled is the sender's business.
 */
import type { Millis } from '../config.ts';

/** DP 5.15. */
export const INITIAL_RTO_MS: Millis = 1000;
/** Deviation: RFC 6298 §2.4 wants 1 s; 200 ms as the existing network does (DP 5.15), safe with delayed ACKs of 40 ms. */
export const MIN_RTO_MS: Millis = 200;
/** DP 5.15. */
export const MAX_RTO_MS: Millis = 10_000;

/** DP 5.15: the least that is added to the smoothed time. */
const GRANULARITY_MS = 10;
/** How long a minimum counts; a path may have become longer since. */
const MINIMUM_AGE_MS = 10_000;

/** Estimator of one connection. */
export class Rtt {
  #srtt: Millis = 0;
  #rttvar: Millis = 0;
  #min: Millis = Number.POSITIVE_INFINITY;
  #minAt: Millis = Number.NEGATIVE_INFINITY;
  #hasSample = false;

  get hasSample(): boolean {
    return this.#hasSample;
  }

  /** Smoothed round-trip time; 0 before the first sample. */
  get srtt(): Millis {
    return this.#srtt;
  }

  get rttvar(): Millis {
    return this.#rttvar;
  }

  /** The smallest of the last 10 s or so; 0 before the first sample. */
  get min(): Millis {
    return this.#hasSample ? this.#min : 0;
  }

  /** Retransmission timeout without back-off, 200 ms to 10 s. */
  get rto(): Millis {
    if (!this.#hasSample) return INITIAL_RTO_MS;
    const rto = this.#srtt + Math.max(GRANULARITY_MS, 4 * this.#rttvar);
    return Math.min(MAX_RTO_MS, Math.max(MIN_RTO_MS, rto));
  }

  /**
   * Feeds one acknowledgement into the estimator (RFC 6298 §2).
   *
   * @param sample - Time between send and ack, ≥ 0; from a segment sent once (§3, Karn's algorithm).
   */
  update(now: Millis, sample: Millis): void {
    if (sample <= this.#min || now - this.#minAt > MINIMUM_AGE_MS) {
      this.#min = sample;
      this.#minAt = now;
    }
    if (!this.#hasSample) {
      this.#hasSample = true;
      this.#srtt = sample;
      this.#rttvar = sample / 2;
      return;
    }
    this.#rttvar = 0.75 * this.#rttvar + 0.25 * Math.abs(this.#srtt - sample);
    this.#srtt = 0.875 * this.#srtt + 0.125 * sample;
  }

  /** The timeout after `attempts` expiries in a row: doubled each time, at most 10 s (DP 5.15). */
  backedOff(attempts: number): Millis {
    return Math.min(MAX_RTO_MS, this.rto * 2 ** Math.min(attempts, 16));
  }
}
