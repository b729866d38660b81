/**
 * How a connection ends: when our FIN may go, how often, and how long each side is waited for (DP 5.10 and its lines
 * "Ours"; design "Closing"). Two profiles: between our own a FIN ends one direction; a reference peer answers it with
 * FIN+ACK and drops what it had not sent, so towards it our FIN waits. It changes no state of the connection; it says
 * what should happen.
 */
import type { Millis } from '../config.ts';
import type { Receiver } from './receive.ts';
import type { Sender } from './sender.ts';

/** DP 5.10: how long data may stay without progress before FIN goes all the same. */
const FLUSH_MS: Millis = 5_000;
/** After `close()`, without progress: peers sweep FIN_WAIT after 10 s (DP 5.10). */
const GIVE_UP_MS: Millis = 15_000;
/** After `close()`, all acknowledged: how long the peer may take to end its own direction. */
const LINGER_MS: Millis = 5_000;
/** Design "Closing": a reference peer that was silent this long has no answer to lose. */
const SILENCE_MS: Millis = 2_000;
/** DP 5.10: how long a FIN that came too early is held when nothing else comes. */
const HOLD_MS: Millis = 15_000;
/** DP 5.10: a reference peer answers a FIN with its own or not at all. */
const ANSWER_MS: Millis = 10_000;
/** Between our own a FIN is repeated at least this often: the peer answers for the 10 s of its TIME_WAIT only. */
const OWN_AGAIN_MS: Millis = 2_000;
/** Transmissions of a FIN: as many as of data (DP 5.15). */
const MAX_SENDS = 9;

const NEVER = Number.POSITIVE_INFINITY;
const ALWAYS = Number.NEGATIVE_INFINITY;

/** What should happen now. */
export const OUTCOME = {
  none: 0,
  /** Both directions are over: TIME_WAIT. */
  over: 1,
  /** All of ours arrived, the peer does not end: forget it. */
  forgotten: 2,
  /** The peer went silent with something missing. */
  lost: 3,
} as const;

/** The end of one connection. */
export class Closing {
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  #isOwn = false;
  #shutdownAt: Millis = NEVER;
  #closedAt: Millis = NEVER;
  #heardAt: Millis = ALWAYS;
  #peerDoneAt: Millis = NEVER;
  #isQueued = false;
  #isWanted = false;
  #isReply = false;
  #sends = 0;
  #firstSentAt: Millis = NEVER;
  #againAt: Millis = NEVER;
  #ackedAt: Millis = NEVER;

  constructor(sender: Sender, receiver: Receiver) {
    this.#sender = sender;
    this.#receiver = receiver;
  }

  open(isOwn: boolean): void {
    this.#isOwn = isOwn;
  }

  /** Nothing more will be written. */
  get isShutdown(): boolean {
    return this.#shutdownAt !== NEVER;
  }

  /** Nothing more will be written or read. */
  get isClosed(): boolean {
    return this.#closedAt !== NEVER;
  }

  get isPeerDone(): boolean {
    return this.#peerDoneAt !== NEVER;
  }

  get isSent(): boolean {
    return this.#sends > 0;
  }

  get isAcknowledged(): boolean {
    return this.#ackedAt !== NEVER;
  }

  /** Our FIN is FIN+ACK, the answer to the peer's. */
  get isReply(): boolean {
    return this.#isReply;
  }

  shutdown(now: Millis): void {
    if (!this.isShutdown) this.#shutdownAt = now;
  }

  close(now: Millis): void {
    this.shutdown(now);
    if (!this.isClosed) this.#closedAt = now;
  }

  /** Anything came from the peer. */
  heard(now: Millis): void {
    this.#heardAt = now;
  }

  /** The peer's FIN was reached in order. */
  peerDone(now: Millis): void {
    this.#peerDoneAt = now;
  }

  acknowledged(now: Millis): void {
    if (this.isAcknowledged) return;
    this.#ackedAt = now;
    this.#againAt = NEVER;
    this.#isWanted = false;
  }

  /** Looks at what changed and at the time. @returns One of `OUTCOME`. */
  step(now: Millis): number {
    if (!this.#isQueued && this.#queueAt() <= now) {
      this.#isQueued = true;
      this.#isWanted = true;
    }
    if (this.isPeerDone && (this.#isOwn ? this.isAcknowledged : this.#isQueued)) {
      this.#isReply = !this.#isOwn && this.#sends === 0;
      return OUTCOME.over;
    }
    if (this.#lostAt() <= now) return OUTCOME.lost;
    if (this.#endAt() > now) return OUTCOME.none;
    return this.#sender.isAllAcknowledged ? OUTCOME.forgotten : OUTCOME.lost;
  }

  /** @param isOver - Only the FIN itself is still of interest: TIME_WAIT. */
  pollTimeout(isOver: boolean): Millis {
    if (isOver) return this.#againAt;
    const queueAt = this.#isQueued ? NEVER : this.#queueAt();
    return Math.min(this.#againAt, queueAt, this.#lostAt(), this.#endAt());
  }

  handleTimeout(now: Millis): void {
    if (this.#againAt > now) return;
    this.#againAt = NEVER;
    if (this.#sends === MAX_SENDS) return;
    // Data in front of it has its own timer, and a FIN alone would not help.
    if (this.#sender.flight.count > 0) this.#againAt = now + this.#sender.rtt.rto;
    else this.#isWanted = true;
  }

  /** Whether a FIN should leave now; the caller sends it. */
  poll(now: Millis): boolean {
    if (!this.#isWanted) return false;
    // Between our own it may overtake acknowledgements (the receiver holds it), but not data that was never sent.
    if (this.#isOwn && !this.#sender.isAllSent) return false;
    this.#isWanted = false;
    if (this.#sends === 0) this.#firstSentAt = now;
    const againMs = this.#sender.rtt.backedOff(this.#sends);
    this.#againAt = now + (this.#isOwn ? Math.min(againMs, OWN_AGAIN_MS) : againMs);
    this.#sends += 1;
    return true;
  }

  /** When our FIN may be queued. */
  #queueAt(): Millis {
    const { isAllAcknowledged, progressAt } = this.#sender;
    if (this.#isOwn) return this.isShutdown ? ALWAYS : NEVER;
    // DP 5.10: everything acknowledged first; the limit counts from the last progress, so that a slow path is not cut off.
    if (this.isPeerDone) return isAllAcknowledged ? ALWAYS : Math.max(this.#peerDoneAt, progressAt) + FLUSH_MS;
    if (this.isClosed) return isAllAcknowledged ? ALWAYS : Math.max(this.#closedAt, progressAt) + FLUSH_MS;
    if (!this.isShutdown || !isAllAcknowledged) return NEVER;
    // Who left a gap has something to repair, and may be waiting for a long timeout.
    return Math.max(this.#shutdownAt, this.#heardAt) + (this.#receiver.hasGap ? HOLD_MS : SILENCE_MS);
  }

  /** When the peer's end is given up although somebody still reads. */
  #lostAt(): Millis {
    if (this.#receiver.isFinHeld) return this.#heardAt + HOLD_MS;
    if (this.isClosed || this.#sends === 0) return NEVER;
    if (!this.#isOwn) return this.isPeerDone ? NEVER : Math.max(this.#firstSentAt, this.#heardAt) + ANSWER_MS;
    const isExhausted = this.#sends === MAX_SENDS && this.#againAt === NEVER && !this.isAcknowledged && !this.#isWanted;
    return isExhausted ? ALWAYS : NEVER;
  }

  /** When it is over in any case after `close()`. */
  #endAt(): Millis {
    if (!this.isClosed) return NEVER;
    const since = Math.max(this.#closedAt, this.#sender.progressAt, this.isAcknowledged ? this.#ackedAt : ALWAYS);
    return since + (this.isAcknowledged ? LINGER_MS : GIVE_UP_MS);
  }
}
