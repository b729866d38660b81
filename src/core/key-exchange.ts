/**
 * The tunnel keys with one peer: which X25519 pair of ours is offered, which sessions exist, and which one sends
 * (DP 3.10, design: decisions 9 and 10). It gets key exchanges whose signature was verified and tells what the engine
 * authenticated; it puts frames and probes out. Not here: who may speak to us (admission.ts), where frames go (peer.ts).
 */
import { type Millis, TIMERS } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import { emitPila, emitPilk, signedExchange, TUNNEL_INFO } from '../wire/key-exchange.ts';
import type { Jobs } from './jobs.ts';
import type { Counters } from './stats.ts';

/** What a key exchange needs from its endpoint. */
export interface ExchangeContext {
  readonly engine: Engine;
  /** Sixteen bits that tell this endpoint's sessions from others of the process. */
  readonly owner: number;
  readonly random: (into: Uint8Array) => void;
  readonly jobs: Jobs;
  readonly counters: Counters;
  readonly identity: number;
  readonly identityKey: Uint8Array;
  /** Our node id; 0 before registration. */
  nodeId: number;
}

/** A frame that this exchange wants sent to its peer. */
export interface ExchangeFrame {
  readonly frame: Uint8Array;
  /** Send a copy through the relay as well. */
  readonly relayCopy: boolean;
  /** An answer goes back where the question came from. */
  readonly isAnswer: boolean;
}

interface Pair {
  readonly exchange: number;
  readonly publicKey: Uint8Array;
  readonly pila: Uint8Array;
  sessions: number;
  sentAt: Millis;
}

interface Session {
  readonly index: number;
  readonly pair: Pair;
  readonly peerKey: Uint8Array;
  readonly createdAt: Millis;
  authenticatedAt: Millis;
  /** Probes sent under it so far. */
  probes: number;
  wipeAt: Millis;
  isSending: boolean;
}

const NEVER = Number.NEGATIVE_INFINITY;
/** When a key exchange is repeated, after the first send; the last value repeats. DP 3.10 has 4 s throughout; NEW peers answer either. */
const RETRY_MS = [500, 1_000, 2_000, TIMERS.keyExchangeRetryMs] as const;
/** Unanswered sends after which copies go through the relay too. */
const RELAY_AFTER = 2;
/** Design, decision 9: probes under a candidate. */
const PROBE_MS = [0, 250, 1_000] as const;
/** The current key is alive when it authenticated something this recently. */
const FRESH_MS = 3_000;
/** How long data waits for a candidate to prove itself when the current key is silent. */
const HOLD_MS = 500;
/** Candidates derived from one pair of ours: a replayed exchange must not displace the true one. */
const MAX_CANDIDATES = 2;
const ANSWER_AGAIN_MS = 250;
/** DP 3.10: an unchanged key is answered when nothing was opened for this long … */
const SILENT_MS = 6_000;
/** … and the last such answer is this old. */
const SILENT_ANSWER_MS = 1_000;
/** How often the age and the use of the current key are looked at. */
const AGE_CHECK_MS = 60_000;
const ROTATE_AFTER_FRAMES = 2 ** 31;
const ROTATE_AFTER_RETIRED = 64;
const ROTATE_FORCED_MS = 10_000;

/** Key agreement with one peer. */
export class KeyExchange {
  readonly #context: ExchangeContext;
  readonly #peerId: number;
  #open: Pair | undefined;
  #isOpening = false;
  #current: Session | undefined;
  #candidates: Session[] = [];
  #old: Session[] = [];
  #attempts = 0;
  #nextAttemptAt: Millis = Number.POSITIVE_INFINITY;
  #cooldownUntil: Millis = NEVER;
  #answeredAt: Millis = NEVER;
  #candidateAt: Millis = NEVER;
  #rotatedAt: Millis = NEVER;
  /** When the age of the current key is looked at next. */
  #ageCheckAt: Millis = Number.POSITIVE_INFINITY;
  /** Data waits until then for a candidate to prove itself. */
  #holdUntil: Millis = Number.POSITIVE_INFINITY;
  #isClosed = false;
  readonly #frames: ExchangeFrame[] = [];
  #probe: number[] = [];

  constructor(context: ExchangeContext, peerId: number) {
    this.#context = context;
    this.#peerId = peerId;
  }

  /** Whether any key for sending exists, proven or not. */
  get hasSession(): boolean {
    return this.#current !== undefined;
  }

  /** Whether some frame was authenticated under a key in use. */
  get isProven(): boolean {
    return this.#current !== undefined && this.#current.authenticatedAt !== NEVER;
  }

  /** Exchanges sent without an answer since the last success. */
  get unanswered(): number {
    return this.#attempts;
  }

  /** Whether an exchange of ours waits for its answer. */
  get isWaiting(): boolean {
    return this.#nextAttemptAt !== Number.POSITIVE_INFINITY || this.#isOpening;
  }

  /** Starts an exchange with a fresh pair, unless one runs or the peer is in its cooldown. */
  begin(now: Millis): void {
    if (this.isWaiting || now < this.#cooldownUntil || this.#isClosed) return;
    this.#attempts = 0;
    this.#openPair(now, (at, pair) => {
      this.#nextAttemptAt = at;
      this.#attempt(at, pair);
    });
  }

  /**
   * The session to seal with, or -1: none yet, or data has to wait for a candidate to prove itself.
   * @returns Engine session index.
   */
  sendSession(now: Millis): number {
    const current = this.#current;
    if (current === undefined) return -1;
    const candidate = this.#candidates.at(-1);
    if (candidate === undefined) return current.isSending ? current.index : -1;
    if (current.isSending && now - current.authenticatedAt <= FRESH_MS) return current.index;
    return now - candidate.createdAt < HOLD_MS ? -1 : candidate.index;
  }

  /** Whether a verified exchange with this key would change nothing. Costs no public-key work. */
  isUnchanged(exchangeKey: Uint8Array): boolean {
    const session = this.#findByPeerKey(exchangeKey);
    return session !== undefined && (this.#open === undefined || session.pair === this.#open);
  }

  /** An exchange that changes nothing: answers by the rules of DP 3.10, with the pair already known to the peer. */
  handleUnchanged(now: Millis, exchangeKey: Uint8Array): void {
    const session = this.#findByPeerKey(exchangeKey);
    if (session === undefined) return;
    const isUnproven = session.authenticatedAt === NEVER;
    const silence = now - Math.max(session.authenticatedAt, session.createdAt);
    const wait = isUnproven ? ANSWER_AGAIN_MS : SILENT_ANSWER_MS;
    if ((isUnproven || silence > SILENT_MS) && now - this.#answeredAt >= wait) this.#answer(now, session.pair);
  }

  /** An exchange whose signature, sender and identity key hold. @param exchangeKey - Copied if kept. */
  handleVerified(now: Millis, exchangeKey: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.isUnchanged(exchangeKey)) {
      this.handleUnchanged(now, exchangeKey);
      return;
    }
    const peerKey = exchangeKey.slice();
    const open = this.#open;
    if (open !== undefined) {
      // An answer, or the peer's own exchange crossing ours: the pair offered serves both.
      this.#derive(now, { pair: open, peerKey });
      return;
    }
    if (this.#isOpening || now - this.#candidateAt < 1_000) {
      this.#context.counters.drop('candidateLimited');
      return;
    }
    this.#candidateAt = now;
    this.#openPair(now, (at, pair) => this.#derive(at, { pair, peerKey }));
  }

  /** A PILK asks for our key (DP 3.10); it is never a session source. */
  handleKeyRequest(now: Millis): void {
    if (now - this.#answeredAt < SILENT_ANSWER_MS) return;
    const pair = this.#open ?? this.#current?.pair;
    if (pair === undefined) this.begin(now);
    else this.#answer(now, pair);
  }

  /**
   * The engine authenticated a frame.
   *
   * @param retired - How many prefixes of the session are retired.
   * @returns True when it promoted a candidate or proved a first session: capabilities start anew.
   */
  handleAuthenticated(now: Millis, index: number, note: { retired: number; isCollision: boolean }): boolean {
    const session = this.#find(index);
    if (session === undefined) return false;
    const isFirst = session.authenticatedAt === NEVER;
    session.authenticatedAt = now;
    if (this.#candidates.includes(session)) this.#promote(now, session);
    if (session === this.#current) this.#settle(session);
    if (note.isCollision && session.isSending) {
      session.isSending = false;
      this.#rotate(now, true);
    } else if (note.retired >= ROTATE_AFTER_RETIRED) {
      this.#rotate(now, true);
    }
    return isFirst;
  }

  /** Frames of this peer cannot be opened: offer a fresh key, at most every 3 s; nothing that works is given up. */
  handleUnreadable(now: Millis): void {
    if (now - this.#rotatedAt < FRESH_MS) return;
    this.#rotatedAt = now;
    this.begin(now);
  }

  /** The session sealed its last frame, or is about to. */
  handleExhausted(now: Millis, index: number): void {
    const session = this.#find(index);
    if (session === undefined) return;
    session.isSending = false;
    this.#rotate(now, true);
  }

  /** @param mayRotate - We are the one of the two who begins the hourly rotation. */
  handleTimeout(now: Millis, mayRotate: boolean): void {
    if (now >= this.#nextAttemptAt && this.#open !== undefined) this.#attempt(now, this.#open);
    this.#old = this.#old.filter((session) => !this.#expire(now, session));
    this.#candidates = this.#candidates.filter((session) => !this.#expire(now, session));
    if (this.#candidates.length === 0 && this.#open !== undefined && this.#nextAttemptAt === Number.POSITIVE_INFINITY) {
      if (this.#current?.pair !== this.#open || this.#current.authenticatedAt !== NEVER) this.#closeOpen();
    }
    for (const session of this.#candidates) this.#probeWhenDue(now, session);
    if (now >= this.#holdUntil) this.#holdUntil = Number.POSITIVE_INFINITY;
    const current = this.#current;
    if (current === undefined) return;
    if (current.authenticatedAt === NEVER) this.#probeWhenDue(now, current);
    if (now < this.#ageCheckAt) return;
    this.#ageCheckAt = now + AGE_CHECK_MS;
    const isDue =
      mayRotate && now - current.createdAt >= TIMERS.keyRotationMs && now - current.authenticatedAt < AGE_CHECK_MS;
    if (isDue || this.#context.engine.sealed(current.index) >= ROTATE_AFTER_FRAMES) this.#rotate(now, false);
  }

  pollTimeout(): Millis {
    let at = this.#nextAttemptAt;
    for (const session of this.#old) at = Math.min(at, session.wipeAt);
    for (const session of this.#candidates) {
      at = Math.min(at, session.wipeAt, this.#probeAt(session));
    }
    const current = this.#current;
    if (current?.authenticatedAt === NEVER) at = Math.min(at, this.#probeAt(current));
    return Math.min(at, this.#holdUntil, this.#ageCheckAt);
  }

  /** The next frame to send to the peer. */
  pollFrame(): ExchangeFrame | undefined {
    return this.#frames.shift();
  }

  /** The next session to send a ping under, or -1. */
  pollProbe(): number {
    return this.#probe.shift() ?? -1;
  }

  /** Wipes everything. The object is dead afterwards. */
  close(): void {
    this.#isClosed = true;
    for (const session of [...this.#old, ...this.#candidates]) this.#wipe(session);
    if (this.#current !== undefined) this.#wipe(this.#current);
    this.#old = [];
    this.#candidates = [];
    this.#current = undefined;
    this.#closeOpen();
    this.#nextAttemptAt = Number.POSITIVE_INFINITY;
    this.#ageCheckAt = Number.POSITIVE_INFINITY;
    this.#holdUntil = Number.POSITIVE_INFINITY;
  }

  #openPair(now: Millis, then: (now: Millis, pair: Pair) => void): void {
    this.#closeOpen();
    this.#isOpening = true;
    const { jobs, random, identity, identityKey } = this.#context;
    const secret = new Uint8Array(32);
    random(secret);
    jobs.start({ kind: 'createExchange', random: secret }, (_, made) => {
      if (made === undefined || typeof made !== 'object' || !('exchange' in made)) {
        this.#isOpening = false;
        return;
      }
      const sender = this.#context.nodeId;
      jobs.start({ kind: 'sign', identity, message: signedExchange(sender, made.publicKey) }, (at, signature) => {
        this.#isOpening = false;
        if (!(signature instanceof Uint8Array) || this.#isClosed) {
          jobs.post({ kind: 'forget', handle: made.exchange });
          return;
        }
        const recipientHint = this.#peerId;
        const pila = emitPila({ sender, exchangeKey: made.publicKey, identityKey, signature, recipientHint });
        const pair = { exchange: made.exchange, publicKey: made.publicKey, pila, sessions: 0, sentAt: NEVER };
        this.#open = pair;
        then(Math.max(at, now), pair);
      });
    });
  }

  #attempt(now: Millis, pair: Pair): void {
    if (this.#attempts >= TIMERS.keyExchangeAttempts) {
      this.#nextAttemptAt = Number.POSITIVE_INFINITY;
      this.#cooldownUntil = now + TIMERS.keyExchangeCooldownMs;
      if (this.#candidates.length === 0) this.#closeOpen();
      return;
    }
    const relayCopy = this.#attempts >= RELAY_AFTER;
    this.#frames.push({ frame: pair.pila, relayCopy, isAnswer: false });
    // DP 3.10: without a session, and behind an unanswered send only, a PILK asks for the peer's key.
    if (this.#attempts > 0 && this.#current === undefined) {
      const frame = emitPilk(this.#context.nodeId, pair.publicKey);
      this.#frames.push({ frame, relayCopy, isAnswer: false });
    }
    pair.sentAt = now;
    this.#nextAttemptAt = now + (RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)] ?? TIMERS.keyExchangeRetryMs);
    this.#attempts += 1;
  }

  #derive(now: Millis, what: { pair: Pair; peerKey: Uint8Array }): void {
    const { pair, peerKey } = what;
    pair.sessions += 1;
    const job = { kind: 'agree', exchange: pair.exchange, peerKey, info: TUNNEL_INFO } as const;
    this.#context.jobs.start(job, (at, key) => {
      pair.sessions -= 1;
      if (this.#isClosed) return;
      if (!(key instanceof Uint8Array)) {
        this.#context.counters.drop('exchangeBadPoint');
        this.#releasePair(pair);
        return;
      }
      this.#install(Math.max(at, now), { pair, peerKey, key });
      this.#answer(Math.max(at, now), pair);
    });
  }

  #install(now: Millis, what: { pair: Pair; peerKey: Uint8Array; key: Uint8Array }): void {
    const { engine, owner, nodeId, counters } = this.#context;
    const prefix = this.#drawPrefix();
    const peerId = this.#peerId;
    const index = engine.install({ owner, localId: nodeId, peerId, key: what.key, prefix });
    what.key.fill(0);
    if (index < 0) {
      counters.drop('sessionsFull');
      this.#releasePair(what.pair);
      return;
    }
    counters.keyExchanges += 1;
    what.pair.sessions += 1;
    const session: Session = {
      index,
      pair: what.pair,
      peerKey: what.peerKey,
      createdAt: now,
      authenticatedAt: NEVER,
      probes: 0,
      wipeAt: now + TIMERS.candidateMs,
      isSending: true,
    };
    this.#attempts = 0;
    this.#nextAttemptAt = Number.POSITIVE_INFINITY;
    if (this.#current === undefined) {
      // The first probe is spared: whoever began has something to send.
      session.probes = 1;
      this.#current = session;
      this.#ageCheckAt = now + AGE_CHECK_MS;
      return;
    }
    this.#holdUntil = now + HOLD_MS;
    if (this.#candidates.length >= MAX_CANDIDATES) {
      const oldest = this.#candidates.shift();
      if (oldest !== undefined) this.#wipe(oldest);
    }
    this.#candidates.push(session);
    this.#probeWhenDue(now, session);
  }

  #answer(now: Millis, pair: Pair): void {
    this.#answeredAt = now;
    pair.sentAt = now;
    this.#frames.push({ frame: pair.pila, relayCopy: false, isAnswer: true });
  }

  /** DP 3.16 point 2: the top bit follows the order of the ids, so the two directions never draw the same prefix. */
  #drawPrefix(): number {
    const bytes = new Uint8Array(4);
    this.#context.random(bytes);
    const drawn = new DataView(bytes.buffer).getUint32(0);
    return (this.#context.nodeId < this.#peerId ? drawn & 0x7fffffff : drawn | 0x80000000) >>> 0;
  }

  #promote(now: Millis, session: Session): void {
    this.#candidates = this.#candidates.filter((other) => other !== session);
    for (const other of this.#candidates) this.#wipe(other);
    this.#candidates = [];
    const before = this.#current;
    this.#current = session;
    this.#context.counters.rekeys += 1;
    if (before !== undefined) {
      before.wipeAt = now + TIMERS.oldSessionMs;
      this.#old.push(before);
      if (this.#old.length > MAX_CANDIDATES) this.#wipe(this.#old.shift() as Session);
    }
  }

  /** The current session is proven: its pair is no longer on offer, other candidates are false. */
  #settle(session: Session): void {
    if (this.#open === session.pair && this.#candidates.length === 0) {
      this.#open = undefined;
      this.#nextAttemptAt = Number.POSITIVE_INFINITY;
      this.#attempts = 0;
    }
  }

  #rotate(now: Millis, isForced: boolean): void {
    if (isForced && now - this.#rotatedAt < ROTATE_FORCED_MS) return;
    this.#rotatedAt = now;
    this.begin(now);
  }

  #probeAt(session: Session): Millis {
    const delay = PROBE_MS[session.probes];
    return delay === undefined ? Number.POSITIVE_INFINITY : session.createdAt + delay;
  }

  #probeWhenDue(now: Millis, session: Session): void {
    if (this.#probeAt(session) > now) return;
    session.probes += 1;
    this.#probe.push(session.index);
    const current = this.#current;
    if (current?.isSending && now - current.authenticatedAt > FRESH_MS) this.#probe.push(current.index);
  }

  #expire(now: Millis, session: Session): boolean {
    if (now < session.wipeAt) return false;
    this.#wipe(session);
    return true;
  }

  #wipe(session: Session): void {
    this.#context.engine.wipe(session.index);
    session.pair.sessions -= 1;
    this.#releasePair(session.pair);
  }

  #closeOpen(): void {
    const pair = this.#open;
    this.#open = undefined;
    if (pair !== undefined) this.#releasePair(pair);
  }

  #releasePair(pair: Pair): void {
    if (pair.sessions <= 0 && pair !== this.#open) this.#context.jobs.post({ kind: 'forget', handle: pair.exchange });
  }

  #find(index: number): Session | undefined {
    if (this.#current?.index === index) return this.#current;
    return this.#candidates.find((s) => s.index === index) ?? this.#old.find((s) => s.index === index);
  }

  #findByPeerKey(key: Uint8Array): Session | undefined {
    const isSame = (session: Session): boolean => session.peerKey.every((byte, i) => byte === key[i]);
    if (this.#open !== undefined) {
      const offered = [...this.#candidates, ...(this.#current ? [this.#current] : [])].find(
        (session) => session.pair === this.#open && isSame(session),
      );
      if (offered !== undefined) return offered;
    }
    if (this.#current !== undefined && isSame(this.#current)) return this.#current;
    return undefined;
  }
}
