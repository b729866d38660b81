/**
 * When to ask after the tail of a flight (RFC 8985 §7.2): nothing that was sent later can show that it is lost, and the
 * retransmission timeout is long. Once per flight; the answer starts it anew.
 */
import type { Millis } from '../config.ts';

/** What peers may delay an acknowledgement; DP 5.9: up to 40 ms for a single segment. */
const SINGLE_DELAY_MS: Millis = 45;
const DELAY_MS: Millis = 7;

const NEVER = Number.POSITIVE_INFINITY;

/** The probe of one sender. */
export class TailProbe {
  #at: Millis = NEVER;
  #isSent = false;

  pollTimeout(): Millis {
    return this.#at;
  }

  /** Something was acknowledged: the next tail may be asked after. */
  renew(): void {
    this.#isSent = false;
  }

  /** Sets it for `count` segments in flight, unless it was sent or the retransmission timer, due at `rtoAt`, is sooner. */
  arm(now: Millis, srtt: Millis, count: number, rtoAt: Millis): void {
    const at = now + 2 * srtt + (count === 1 ? SINGLE_DELAY_MS : DELAY_MS);
    this.#at = !this.#isSent && at < rtoAt ? at : NEVER;
  }

  disarm(): void {
    this.#at = NEVER;
  }

  /** Whether it is due. Then it counts as sent. */
  take(now: Millis): boolean {
    if (this.#at > now) return false;
    this.#at = NEVER;
    this.#isSent = true;
    return true;
  }
}
