/**
 * When the SYN exchange of one connection repeats itself and when it is given up (DP 4.10, 5.4). What is sent is the
 * connection's business.
 */
import type { Millis } from '../config.ts';

/** DP 4.10: when the SYN goes again, counted from the first, and when the dial fails. */
const SYN_AGAIN_MS: readonly Millis[] = [250, 750, 1750, 3250, 5250, 9250];
const DIAL_MS: Millis = 17_250;
/** When an unanswered SYN+ACK goes again, and how long SYN_RECEIVED may last: longer than a dialler of 1.9 tries. */
const SYN_ACK_AGAIN_MS: readonly Millis[] = [1000, 3000, 7000, 15_000];
const SYN_RECEIVED_MS: Millis = 30_000;

/** Timer of one SYN exchange. */
export class SynTimer {
  readonly #schedule: readonly Millis[];
  readonly #limitMs: Millis;
  readonly #isDialler: boolean;
  #beganAt: Millis;
  #repeats = 0;
  #at: Millis;
  #sends = 0;
  #sentAt: Millis = 0;

  /** A listener's waits for the SYN until `begin`. */
  constructor(now: Millis, role: 'dialler' | 'listener') {
    this.#isDialler = role === 'dialler';
    this.#schedule = this.#isDialler ? SYN_AGAIN_MS : SYN_ACK_AGAIN_MS;
    this.#limitMs = this.#isDialler ? DIAL_MS : SYN_RECEIVED_MS;
    this.#beganAt = now;
    this.#at = now + this.#limitMs;
    if (this.#isDialler) this.begin(now);
  }

  /** How often a SYN or SYN+ACK has left. */
  get sends(): number {
    return this.#sends;
  }

  /** The schedule starts. */
  begin(now: Millis): void {
    this.#beganAt = now;
    this.#repeats = 0;
    this.#at = now + this.#schedule[0]!;
  }

  /** A SYN or SYN+ACK left. */
  sent(now: Millis): void {
    // DP 4.10: a dial waits for the key first. The time for that is over, the time for the SYN begins.
    if (this.#sends === 0 && this.#isDialler) this.begin(now);
    this.#sends += 1;
    this.#sentAt = now;
  }

  /** Time since the only transmission; undefined after several: then it is not clear which was answered (RFC 6298 §3). */
  sample(now: Millis): Millis | undefined {
    return this.#sends === 1 ? now - this.#sentAt : undefined;
  }

  /** @returns Whether it is time to repeat, to give up, or neither. */
  handleTimeout(now: Millis): 'repeat' | 'over' | undefined {
    if (now < this.#at) return undefined;
    const limit = this.#beganAt + this.#limitMs;
    if (now >= limit) return 'over';
    const schedule = this.#schedule;
    while (this.#repeats < schedule.length && this.#beganAt + schedule[this.#repeats]! <= now) this.#repeats += 1;
    this.#at = this.#repeats < schedule.length ? this.#beganAt + schedule[this.#repeats]! : limit;
    return 'repeat';
  }

  pollTimeout(): Millis {
    return this.#at;
  }
}
