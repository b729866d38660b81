/**
 * Whether the other end of an idle connection lives (DP 5.18): our own empty ACKs, and the answers to those of the peer.
 * No reference version answers one, so towards them it only keeps the connection and the NAT open.
 */
import type { Millis } from '../config.ts';

const IDLE_MS: Millis = 45_000;
const ANSWER_MS: Millis = 10_000;
/** Without a sign of life our own is lost. */
const MOST_TO_OWN = 3;

/** Keepalives of one connection. */
export class Keepalive {
  #heardAt: Millis;
  #sentAt: Millis;
  #answeredAt: Millis = Number.NEGATIVE_INFINITY;
  /** Those since the last sign of life, and whether the present packet answers one. */
  #unanswered = 0;
  #isAnswer = false;

  constructor(now: Millis) {
    this.#heardAt = now;
    this.#sentAt = now;
  }

  /** When the next is due, if nothing is under way. */
  get dueAt(): Millis {
    return Math.max(this.#heardAt, this.#sentAt) + IDLE_MS;
  }

  /** A packet of the peer came. */
  heard(now: Millis): void {
    this.#heardAt = now;
    this.#isAnswer = this.#unanswered > 0;
    this.#unanswered = 0;
  }

  /** A packet left. */
  sent(now: Millis): void {
    this.#sentAt = now;
  }

  /** It is due. @returns False when the peer, one of ours, is lost. */
  handleDue(now: Millis, isOwn: boolean): boolean {
    if (isOwn && this.#unanswered === MOST_TO_OWN) return false;
    this.#unanswered += 1;
    this.#sentAt = now;
    return true;
  }

  /**
   * An empty ACK with nothing new asks whether we live.
   *
   * @param isUrgent - The window was opened and the peer may not know.
   * @param isProbing - We ask for a window ourselves, which says all that an answer would.
   * @returns Whether to answer: once per 10 s, lest two of us answer each other for ever.
   */
  takeProbe(now: Millis, isUrgent: boolean, isProbing: boolean): boolean {
    const isDue = now - this.#answeredAt >= ANSWER_MS && !isProbing;
    if (!isUrgent && !isDue) return false;
    this.#answeredAt = now;
    return true;
  }

  /** Whether the present packet answers one of ours. */
  get isAnswer(): boolean {
    return this.#isAnswer;
  }

  /** What was sent or received just now looks like a probe, and its copies will. */
  noteAnswered(now: Millis): void {
    this.#answeredAt = now;
  }
}
