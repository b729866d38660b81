/**
 * The way to one peer: straight to an address, or through the beacon (DP 4.9). The rule for now: direct; the relay when
 * direct never answered or fell silent; back when a probe sent straight was answered straight. Addresses are path ids.
 */
import type { Millis } from '../config.ts';
import { NO_PATH } from './paths.ts';

/** Why the present way was chosen, for `explain()`. */
export type PathReason =
  | 'no-contact-yet'
  | 'address-from-registry'
  | 'answered-directly'
  | 'only-the-relay-answers'
  | 'direct-path-fell-silent'
  | 'peer-wants-the-relay'
  | 'address-unknown';

const NEVER = Number.NEGATIVE_INFINITY;
/** DP 4.9: nothing received directly for this long while sending. */
const BLACK_HOLE_MS = 8_000;
/** A peer that speaks through the relay, and was not heard directly for this long, is answered there. */
const FOLLOW_MS = 1_000;
/** DP 4.9: how often a relayed peer is tried directly. */
const PROBE_MS = 15_000;
/** Each try has a second part: the first may come before the peer's NAT is open. Also what separates tries otherwise. */
const PROBE_AGAIN_MS = 1_000;

/** Path state of one peer. The owner holds and releases the path ids. */
export class Path {
  #direct = NO_PATH;
  #isProven = false;
  #isRelayed = false;
  #isRelayOnly = false;
  #reason: PathReason = 'no-contact-yet';
  #receivedAt: Millis = NEVER;
  /** First send over the direct path since something was last received over it. */
  #unansweredAt: Millis = Number.POSITIVE_INFINITY;
  #probeAt: Millis = Number.POSITIVE_INFINITY;
  #probedAt: Millis = NEVER;
  #isSecondDue = false;

  /** The address used when direct, or NO_PATH. */
  get direct(): number {
    return this.#direct;
  }

  /** Whether frames go through the beacon now. */
  get isRelayed(): boolean {
    return this.#isRelayed || this.#direct === NO_PATH;
  }

  /** There is no direct way to anybody any more. @returns The path to release, or NO_PATH. */
  leave(): number {
    const left = this.#direct;
    this.#direct = NO_PATH;
    this.#isProven = false;
    this.#unansweredAt = Number.POSITIVE_INFINITY;
    this.#probeAt = Number.POSITIVE_INFINITY;
    return left;
  }

  /** The peer does not want to be spoken to directly. */
  get isRelayOnly(): boolean {
    return this.#isRelayOnly;
  }

  /** Something authenticated arrived over the direct path. */
  get isProven(): boolean {
    return this.#isProven;
  }

  get reason(): PathReason {
    return this.#reason;
  }

  /** Takes an address from the registry or a punch. Does not displace a proven one. @returns The path to hold, if it changed. */
  suggest(path: number, isRelayOnly: boolean): boolean {
    const wasRelayOnly = this.#isRelayOnly;
    this.#isRelayOnly = isRelayOnly;
    if (isRelayOnly) {
      this.#relay('peer-wants-the-relay', 0);
      return false;
    }
    if (wasRelayOnly) this.#tryNow();
    if (this.#isProven || path === this.#direct) return false;
    this.#direct = path;
    if (this.#isRelayed) this.#tryNow();
    else this.#reason = 'address-from-registry';
    return true;
  }

  /** An authenticated frame came straight from `path`. @returns True when the peer moved there. */
  handleDirect(now: Millis, path: number): boolean {
    this.#receivedAt = now;
    this.#unansweredAt = Number.POSITIVE_INFINITY;
    const hasMoved = path !== this.#direct;
    this.#direct = path;
    this.#isProven = true;
    if (this.#isRelayed) this.#tryNow();
    else this.#reason = 'answered-directly';
    return hasMoved;
  }

  /** An authenticated frame came through the beacon: the peer knows why. A late copy beside direct ones says nothing. */
  handleRelayed(now: Millis): void {
    if (this.#isRelayed || now - this.#receivedAt < FOLLOW_MS) return;
    this.#relay(this.#isProven ? 'direct-path-fell-silent' : 'only-the-relay-answers', now);
  }

  /** A ping that we sent straight to the peer was answered straight: both directions work. */
  handleDirectAnswer(): void {
    if (this.#isRelayOnly) return;
    this.#isRelayed = false;
    this.#isProven = true;
    this.#reason = 'answered-directly';
    this.#probeAt = Number.POSITIVE_INFINITY;
  }

  /** Key exchanges over the direct path stay without an answer. */
  handleUnanswered(now: Millis): void {
    if (!this.#isRelayed) this.#relay('only-the-relay-answers', now);
  }

  /** Something changed that may open the direct path: try it now. */
  retry(now: Millis): void {
    if (this.#isRelayed && !this.#isRelayOnly) this.#probeAt = now;
  }

  /** Something that wants an answer went out over the direct path. */
  noteSent(now: Millis): void {
    if (this.isRelayed || this.#unansweredAt !== Number.POSITIVE_INFINITY) return;
    this.#unansweredAt = Math.max(now, this.#receivedAt);
  }

  /** @returns True when the direct path has to be tried: punch, and ping straight. */
  handleTimeout(now: Millis): boolean {
    if (!this.#isRelayed && now >= this.#unansweredAt + BLACK_HOLE_MS) this.#relay('direct-path-fell-silent', now);
    if (!this.#isRelayed || now < this.#probeAt) return false;
    this.#isSecondDue = !this.#isSecondDue;
    this.#probedAt = now;
    this.#probeAt = now + (this.#isSecondDue ? PROBE_AGAIN_MS : PROBE_MS);
    return true;
  }

  pollTimeout(): Millis {
    return this.#isRelayed ? this.#probeAt : this.#unansweredAt + BLACK_HOLE_MS;
  }

  #relay(reason: PathReason, now: Millis): void {
    this.#isRelayed = true;
    this.#isProven = false;
    this.#reason = reason;
    this.#unansweredAt = Number.POSITIVE_INFINITY;
    this.#isSecondDue = false;
    this.#probeAt = reason === 'peer-wants-the-relay' ? Number.POSITIVE_INFINITY : now + PROBE_MS;
  }

  /** There is reason to believe in the direct path: it is tried soon, but not with every frame that says so. */
  #tryNow(): void {
    if (!this.#isRelayOnly) this.#probeAt = Math.min(this.#probeAt, this.#probedAt + PROBE_AGAIN_MS);
  }
}
