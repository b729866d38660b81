/**
 * What a sender does while the peer's window is closed (RFC 9293 §3.8.6.1, DP 5.18): it asks, less and less often, and
 * gives up in the end.
 */
import type { Millis } from '../config.ts';

/** DP 5.18. */
const FIRST_MS: Millis = 500;
const MOST_MS: Millis = 30_000;
const MOST = 30;
/**
 * No reference version answers an empty ACK (DP 5.18), so a window update that got lost would close the window for
 * ever: from here on one segment is sent beyond the window.
 */
const EMPTY_TO_REFERENCE = 3;

const NEVER = Number.POSITIVE_INFINITY;

/** What to send when the time has come. */
export type ProbeStep = 'segment' | 'empty' | 'beyond' | 'give up';

/** The probes of one sender. */
export class WindowProbe {
  #at: Millis = NEVER;
  #intervalMs: Millis = FIRST_MS;
  #unanswered = 0;
  #empty = 0;
  #isWanted = false;
  /** One segment may leave although the window is closed. */
  isBeyondAllowed = false;

  /** The window is closed and something waits for it. */
  get isRunning(): boolean {
    return this.#at !== NEVER;
  }

  pollTimeout(): Millis {
    return this.#at;
  }

  /** Something waits. */
  start(now: Millis): void {
    if (this.#at === NEVER) this.#at = now + this.#intervalMs;
  }

  stop(): void {
    this.#at = NEVER;
  }

  /** The window closed just now. */
  rewind(): void {
    this.#intervalMs = FIRST_MS;
  }

  /** The window opened. */
  reset(): void {
    this.#empty = 0;
    this.isBeyondAllowed = false;
    this.#isWanted = false;
  }

  /** Anything came from the peer: it lives. */
  heard(): void {
    this.#unanswered = 0;
  }

  /** The time came. @param isUnderWay - Something sent is not acknowledged, and can go again. */
  step(now: Millis, isUnderWay: boolean, isReference: boolean): ProbeStep {
    if (this.#unanswered === MOST) {
      this.#at = NEVER;
      return 'give up';
    }
    this.#unanswered += 1;
    this.#intervalMs = Math.min(MOST_MS, 2 * this.#intervalMs);
    this.#at = now + this.#intervalMs;
    if (isUnderWay) return 'segment';
    if (isReference && this.#empty >= EMPTY_TO_REFERENCE) {
      this.isBeyondAllowed = true;
      return 'beyond';
    }
    this.#empty += 1;
    this.#isWanted = true;
    return 'empty';
  }

  /** Whether an empty ACK should go as a probe. Reading clears it. */
  take(): boolean {
    const was = this.#isWanted;
    this.#isWanted = false;
    return was;
  }

  clear(): void {
    this.#at = NEVER;
    this.#isWanted = false;
  }
}
