/**
 * That a trusted peer shows another key is told once in a while, not each time: whoever can cause it could drown all
 * other news.
 */
import type { Millis } from '../config.ts';

/** How long the same peer is not told of again. */
export const ALARM_MS: Millis = 300_000;
/** Peers remembered; the oldest leaves. */
export const ALARMS = 1_024;

/** When each peer was last told of. */
export class KeyAlarm {
  readonly #toldAt = new Map<number, Millis>();

  /** Whether to tell of it now. */
  isDue(now: Millis, peer: number): boolean {
    if (now - (this.#toldAt.get(peer) ?? Number.NEGATIVE_INFINITY) < ALARM_MS) return false;
    this.#toldAt.delete(peer);
    const oldest = this.#toldAt.keys().next();
    if (this.#toldAt.size >= ALARMS && !oldest.done) this.#toldAt.delete(oldest.value);
    this.#toldAt.set(peer, now);
    return true;
  }

  /** Trust ended: the next key is none of the old story. */
  forget(peer: number): void {
    this.#toldAt.delete(peer);
  }
}
