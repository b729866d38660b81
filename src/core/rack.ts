/**
 * When a segment that others overtook is lost: after three later deliveries (RFC 6675 counted in transmissions, so that
 * it holds for repairs as well), or after a time (RACK, RFC 8985). A path that was seen to reorder is given time only.
 * It knows the order and the times of transmissions, and no segments.
 */
import type { Millis } from '../config.ts';
import type { Rtt } from './rtt.ts';

/** RFC 8985 §6.2 step 4: quarters of the smallest round-trip time that a segment is waited for. */
const WINDOW_SHARE = 1 / 4;
/** RFC 8985 §6.2 step 4: episodes of losses after which the window is one quarter again. */
const EPISODES_WIDE = 16;
/** Clocks and timers are about 1 ms coarse. */
const CLOCK_MS: Millis = 1;

/** Loss detection of one connection. */
export class Rack {
  /** The three latest transmissions known to have arrived. */
  #latest = -1;
  #second = -1;
  #third = -1;
  #latestRtt: Millis = 0;
  /** The latest before the acknowledgement being handled. */
  #latestBefore = -1;
  #isReordering = false;
  #quarters = 1;
  #quartersFrom = -1;
  #episodes = 0;

  /** An acknowledgement begins. Within one, the order of its blocks says nothing. */
  begin(): void {
    this.#latestBefore = this.#latest;
  }

  /** A transmission arrived. @param order - Its place among all. @param elapsed - Since then. */
  delivered(order: number, elapsed: Millis): void {
    if (order > this.#latest) {
      this.#third = this.#second;
      this.#second = this.#latest;
      this.#latest = order;
      this.#latestRtt = elapsed;
    } else if (order > this.#second) {
      this.#third = this.#second;
      this.#second = order;
    } else if (order > this.#third) {
      this.#third = order;
    }
  }

  /** A segment that was sent once arrived: later than one that was sent after it? */
  noteOrder(order: number): void {
    if (order < this.#latestBefore) this.#isReordering = true;
  }

  /**
   * What was taken for lost had only been slow. RFC 8985 widens the window by DSACK, at most once per round trip; peers
   * here send none, so an answer that no repair can have caused stands for it.
   *
   * @param order - Of the transmission. @param newest - Of the newest there is.
   */
  noteSpurious(order: number, newest: number): void {
    this.#isReordering = true;
    if (order < this.#quartersFrom) return;
    this.#quarters += 1;
    this.#quartersFrom = newest;
    this.#episodes = 0;
  }

  /** Another episode of losses began. */
  noteEpisode(): void {
    this.#episodes += 1;
    if (this.#episodes > EPISODES_WIDE) this.#quarters = 1;
  }

  /** Whether something that was sent later has arrived. */
  isOvertaken(order: number): boolean {
    return order < this.#latest;
  }

  /** When an overtaken transmission counts as lost. It rises with the order of transmissions. */
  deadline(order: number, sentAt: Millis, rtt: Rtt): Millis {
    if (order < this.#third && !this.#isReordering) return Number.NEGATIVE_INFINITY;
    const window = Math.min(rtt.srtt, this.#quarters * WINDOW_SHARE * rtt.min);
    return sentAt + Math.max(rtt.srtt, this.#latestRtt) + window + CLOCK_MS;
  }
}
