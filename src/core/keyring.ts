/**
 * The sessions with one peer (design: decision 9): the current one, candidates that have to prove themselves, and old
 * ones that still receive. It says which of them sends and which to ping, and wipes what is over. How they come about
 * is in key-exchange.ts; bytes are the engine's.
 */
import { type Millis, TIMERS } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import type { Offer } from './offer.ts';
import { isSameKey } from './same-key.ts';

/** One session key. */
export interface Session {
  readonly index: number;
  /** The pair of ours behind it. */
  readonly offer: Offer;
  readonly peerKey: Uint8Array;
  readonly createdAt: Millis;
  /** When it last authenticated a frame. */
  authenticatedAt: Millis;
  /** Probes sent under it so far. */
  probes: number;
  wipeAt: Millis;
  /** False when its counter is used up, or its nonces are no longer only ours. */
  isSending: boolean;
}

const NEVER = Number.NEGATIVE_INFINITY;
/** The current key is alive when it authenticated something this recently. */
const FRESH_MS: Millis = 3_000;
/** Probes under a candidate. */
const PROBE_MS = [0, 250, 1_000] as const;
/** How long data waits for a candidate to prove itself when the current key is silent. */
const HOLD_MS = 500;
/** A replayed exchange must not displace the true one. */
const MAX_CANDIDATES = 2;
/** With the current one and the candidates less than the eight that the engine tries. */
const MAX_OLD = 4;
/** Keys of the peer that were replaced. Its old exchanges cannot be told from new ones otherwise. */
const MAX_OUTDATED = 32;

/** All sessions with one peer. */
export class Keyring {
  readonly #engine: Engine;
  #current: Session | undefined;
  /** The newest last, as in the list of old ones. */
  #candidates: Session[] = [];
  #old: Session[] = [];
  readonly #outdated: Uint8Array[] = [];
  #probes: Session[] = [];
  /** When the current key, alive so far, has to prove itself against the newest candidate. */
  #contestAt: Millis = Number.POSITIVE_INFINITY;
  #holdUntil: Millis = Number.POSITIVE_INFINITY;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The session that data goes under, proven or not. */
  get current(): Session | undefined {
    return this.#current;
  }

  /** Whether some session can send, now or after the hold. */
  get canSend(): boolean {
    return this.#current !== undefined && (this.#current.isSending || this.#candidates.length > 0);
  }

  /** Whether a frame was authenticated under the current key. */
  get isProven(): boolean {
    return this.#current !== undefined && this.#current.authenticatedAt !== NEVER;
  }

  /** Whether the current key authenticated something in the last 3 s. */
  isFresh(now: Millis): boolean {
    return this.#current !== undefined && now - this.#current.authenticatedAt < FRESH_MS;
  }

  /** Whether a session still has its chance to prove itself. */
  isProving(now: Millis): boolean {
    return this.#live().some(
      ({ authenticatedAt, createdAt }) => authenticatedAt === NEVER && now - createdAt < FRESH_MS,
    );
  }

  /** Whether an unproven session came from this pair: its PILA may have to go again. */
  needs(offer: Offer): boolean {
    return this.#live().some((session) => session.offer === offer && session.authenticatedAt === NEVER);
  }

  /** Adds a session that the engine just installed: as the current one if there is none, else as candidate. */
  add(now: Millis, index: number, made: { offer: Offer; peerKey: Uint8Array }): void {
    const session = {
      ...made,
      index,
      createdAt: now,
      authenticatedAt: NEVER,
      probes: 0,
      wipeAt: Number.POSITIVE_INFINITY,
      isSending: true,
    };
    if (this.#current === undefined) {
      // The first probe is spared: whoever began has something to send.
      session.probes = 1;
      this.#current = session;
      return;
    }
    session.wipeAt = now + TIMERS.candidateMs;
    if (this.#candidates.length >= MAX_CANDIDATES) this.#wipe(this.#candidates.shift());
    this.#candidates.push(session);
    this.#probeWhenDue(now, session);
    if (this.isFresh(now)) this.#contestAt = this.#current.authenticatedAt + FRESH_MS;
    else this.#contest(now);
  }

  /** The session with this index, whatever it is used for. Asked for each frame: the current one costs nothing. */
  find(index: number): Session | undefined {
    if (this.#current?.index === index) return this.#current;
    const hasIndex = (session: Session): boolean => session.index === index;
    return this.#candidates.find(hasIndex) ?? this.#old.find(hasIndex);
  }

  /**
   * The session that an exchange with this key of the peer would only repeat.
   *
   * @param offer - The pair on offer. While we ask for an answer, sessions of earlier pairs are none.
   */
  repeated(peerKey: Uint8Array, offer: Offer | undefined): Session | undefined {
    const same = this.#live().filter((session) => isSameKey(session.peerKey, peerKey));
    const made = same.find((session) => session.offer === offer);
    if (made !== undefined || offer?.isOurs) return made;
    return same.find((session) => session === this.#current) ?? same.at(-1);
  }

  /** Whether the peer has replaced this key: who shows it replays. */
  isOutdated(peerKey: Uint8Array): boolean {
    if (this.#live().some((session) => isSameKey(session.peerKey, peerKey))) return false;
    const old = this.#old.filter((session) => session.authenticatedAt !== NEVER).map((session) => session.peerKey);
    return [...this.#outdated, ...old].some((key) => isSameKey(key, peerKey));
  }

  /** A frame was authenticated under a session. @returns What that changed; `outdated`: nothing, but the current key is silent. */
  handleAuthenticated(now: Millis, session: Session): 'replaced' | 'proven' | 'outdated' | undefined {
    const isFirst = session.authenticatedAt === NEVER;
    session.authenticatedAt = now;
    const current = this.#current;
    if (session === current || current === undefined) {
      this.#contestAt = this.#hasWon() ? Number.POSITIVE_INFINITY : now + FRESH_MS;
      return isFirst ? 'proven' : undefined;
    }
    if (this.#candidates.includes(session)) {
      this.#replace(now, session, current);
      return 'replaced';
    }
    return this.isFresh(now) ? undefined : 'outdated';
  }

  /** The session to seal with, or -1: none, or data has to wait for a candidate to prove itself. */
  sendSession(now: Millis): number {
    const current = this.#current;
    if (current === undefined) return -1;
    const candidate = this.#candidates.at(-1);
    if (candidate === undefined) return current.isSending ? current.index : -1;
    if (!current.isSending) return now < candidate.createdAt + HOLD_MS ? -1 : candidate.index;
    if (this.#hasWon() || this.isFresh(now)) return current.index;
    const contestedAt = Math.max(candidate.createdAt, current.authenticatedAt + FRESH_MS);
    return now < contestedAt + HOLD_MS ? -1 : candidate.index;
  }

  /** Asks for a ping under the current session. */
  probeCurrent(): void {
    if (this.#current?.isSending) this.#probe(this.#current);
  }

  handleTimeout(now: Millis): void {
    for (const session of this.#old.filter(({ wipeAt }) => wipeAt <= now)) {
      this.#old = this.#old.filter((other) => other !== session);
      this.#outdate(session);
      this.#wipe(session);
    }
    for (const session of this.#candidates.filter(({ wipeAt }) => wipeAt <= now)) {
      this.#candidates = this.#candidates.filter((other) => other !== session);
      this.#wipe(session);
    }
    for (const session of this.#live()) if (session.authenticatedAt === NEVER) this.#probeWhenDue(now, session);
    if (now >= this.#holdUntil) this.#holdUntil = Number.POSITIVE_INFINITY;
    if (now >= this.#contestAt) this.#contest(now);
  }

  pollTimeout(): Millis {
    let at = Math.min(this.#holdUntil, this.#contestAt);
    for (const session of this.#old) at = Math.min(at, session.wipeAt);
    for (const session of this.#live()) {
      at = Math.min(at, session.wipeAt);
      if (session.authenticatedAt === NEVER) at = Math.min(at, probeAt(session));
    }
    return at;
  }

  /** The next session to send a ping under, or -1. */
  pollProbe(): number {
    return this.#probes.shift()?.index ?? -1;
  }

  /** Wipes all. */
  close(): void {
    for (const session of [...this.#live(), ...this.#old]) this.#wipe(session);
    this.#current = undefined;
    this.#candidates = [];
    this.#old = [];
    this.#holdUntil = Number.POSITIVE_INFINITY;
    this.#contestAt = Number.POSITIVE_INFINITY;
  }

  #live(): Session[] {
    return this.#current === undefined ? this.#candidates : [this.#current, ...this.#candidates];
  }

  #replace(now: Millis, session: Session, before: Session): void {
    this.#candidates = this.#candidates.filter((other) => other !== session);
    this.#old = this.#old.filter((other) => other !== session);
    // The others only receive until their time is over.
    for (const other of this.#candidates) other.probes = PROBE_MS.length;
    session.wipeAt = Number.POSITIVE_INFINITY;
    this.#current = session;
    before.wipeAt = now + TIMERS.oldSessionMs;
    this.#old.push(before);
    const oldest = this.#old.length > MAX_OLD ? this.#old.shift() : undefined;
    if (oldest !== undefined) this.#outdate(oldest);
    this.#wipe(oldest);
    this.#holdUntil = Number.POSITIVE_INFINITY;
    this.#contestAt = Number.POSITIVE_INFINITY;
  }

  /** The first to authenticate wins. It may fall silent later; a candidate that was silent all the time is no better. */
  #hasWon(): boolean {
    const candidate = this.#candidates.at(-1);
    return candidate === undefined || (this.#current?.authenticatedAt ?? NEVER) > candidate.createdAt;
  }

  /** Both are asked, and data waits for the first to answer. */
  #contest(now: Millis): void {
    this.#contestAt = Number.POSITIVE_INFINITY;
    const candidate = this.#candidates.at(-1);
    if (candidate === undefined) return;
    this.#holdUntil = now + HOLD_MS;
    this.#probe(candidate);
    this.probeCurrent();
  }

  #probeWhenDue(now: Millis, session: Session): void {
    if (probeAt(session) > now) return;
    // A wake-up that comes late sends one.
    while (probeAt(session) <= now) session.probes += 1;
    this.#probe(session);
    if (!this.isFresh(now) && !this.#hasWon()) this.probeCurrent();
  }

  #probe(session: Session): void {
    if (!this.#probes.includes(session)) this.#probes.push(session);
  }

  /** Only what the peer proved and has replaced since. A peer of the existing network keeps its key for all sessions. */
  #outdate(session: Session): void {
    const { peerKey } = session;
    const isInUse = this.#live().some((other) => isSameKey(other.peerKey, peerKey));
    if (isInUse || session.authenticatedAt === NEVER || this.isOutdated(peerKey)) return;
    this.#outdated.push(peerKey);
    if (this.#outdated.length > MAX_OUTDATED) this.#outdated.shift();
  }

  #wipe(session: Session | undefined): void {
    if (session === undefined) return;
    // The engine uses the index again: a probe that waits would go under another's key.
    this.#probes = this.#probes.filter((other) => other !== session);
    this.#engine.wipe(session.index);
  }
}

function probeAt(session: Session): Millis {
  const delay = PROBE_MS[session.probes];
  return delay === undefined ? Number.POSITIVE_INFINITY : session.createdAt + delay;
}
