/**
 * Revocations that the registry has not confirmed are told it again until it does, with back-off, some at a time and all
 * in turn: while it holds the pair, it lets the peer see our address (CP 1.8.2).
 */
import type { Millis } from '../config.ts';

/** First pause, doubled as long as nothing is confirmed. Longer than the registry has to answer. */
export const CONFIRM_FIRST_MS: Millis = 10_000;
/** Longest pause. */
export const CONFIRM_MAX_MS: Millis = 3_600_000;
/** Told at once. */
export const CONFIRM_COUNT = 16;

const NEVER: Millis = Number.POSITIVE_INFINITY;

/** When which revocation is told again. */
export class TrustRevocations {
  #at: Millis = NEVER;
  #pauseMs: Millis = CONFIRM_FIRST_MS;
  #turn = 0;

  /** Some were left over from before a restart: begins at once. */
  resume(now: Millis): void {
    this.#at = now;
  }

  /** The registry was told one; it has to be told again unless it confirms. */
  noteTold(now: Millis): void {
    this.#at = Math.min(this.#at, now + this.#pauseMs);
  }

  /** The registry works. */
  noteConfirmed(now: Millis): void {
    this.#pauseMs = CONFIRM_FIRST_MS;
    if (this.#at !== NEVER) this.#at = Math.min(this.#at, now + CONFIRM_FIRST_MS);
  }

  /** Takes those that are to be told now. @param waiting - All that are not confirmed. */
  take(now: Millis, waiting: readonly number[]): number[] {
    if (waiting.length === 0) {
      this.#at = NEVER;
      this.#pauseMs = CONFIRM_FIRST_MS;
      return [];
    }
    const first = this.#turn % waiting.length;
    const chosen = [...waiting.slice(first), ...waiting.slice(0, first)].slice(0, CONFIRM_COUNT);
    this.#turn = first + chosen.length;
    this.#at = now + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, CONFIRM_MAX_MS);
    return chosen;
  }

  pollTimeout(): Millis {
    return this.#at;
  }
}
