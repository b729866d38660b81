/**
 * Key exchange with one peer: which pair of ours is on offer, when it goes again, what is answered and when keys are
 * changed (DP 3.10, 3.12, design: decisions 9 and 10). It gets exchanges whose signature was verified and hears what the
 * engine authenticated; it puts frames and probes out. Which session sends is keyring.ts's decision. Not here: who may
 * speak to us (admission.ts), where frames go (peer.ts).
 */
import { Bucket } from '../budget.ts';
import { type Millis, TIMERS } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import { emitPilk } from '../wire/key-exchange.ts';
import type { Jobs } from './jobs.ts';
import { Keyring, type Session } from './keyring.ts';
import { type Offer, openOffer } from './offer.ts';
import { isSameKey } from './same-key.ts';
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

const NEVER = Number.NEGATIVE_INFINITY;
const FOREVER = Number.POSITIVE_INFINITY;
/** When a key exchange is repeated, after the first send; the last value repeats. DP 3.10 has 4 s throughout; NEW peers answer either. */
const RETRY_MS = [500, 1_000, 2_000, TIMERS.keyExchangeRetryMs] as const;
/** Unanswered sends after which copies go through the relay too. */
const RELAY_AFTER = 2;
/** Design, decision 9: one candidate a second. The second at once is for the true one behind a replayed one. */
const CANDIDATES_PER_SECOND = 1;
const CANDIDATE_BURST = 2;
/** A repeated exchange is answered again after this, doubling: both sides may be without proof for long. */
const ANSWER_AGAIN_MS = 250;
const MAX_ANSWER_DOUBLINGS = 4;
/** DP 3.10: an unchanged key is answered when nothing was opened for this long … */
const SILENT_MS = 6_000;
/** … and the last such answer is this old. */
const SILENT_ANSWER_MS = 1_000;
/** How often the age and the use of the current key are looked at. */
const AGE_CHECK_MS = 60_000;
const ROTATE_AFTER_FRAMES = 2 ** 31;
const ROTATE_AFTER_RETIRED = 64;
const ROTATE_FORCED_MS = 10_000;
/** DP 3.12: frames that cannot be opened lead to an exchange this rarely; forged ones to ever fewer. */
const UNREADABLE_MS = 3_000;
const UNREADABLE_MAX_MS = 48_000;
const HASTEN_MS = 1_000;
/** What the application sent stays unanswered: the key is tested with a ping, then offered anew (DP appendix D 11). */
const SILENCE_PROBE_MS = 4_000;
const SILENCE_OFFER_MS = 8_000;
const UNPROVEN_OFFER_MS = 2_000;

/** Key agreement with one peer. */
export class KeyExchange {
  readonly #context: ExchangeContext;
  readonly #peerId: number;
  readonly #keyring: Keyring;
  readonly #candidates = new Bucket(CANDIDATES_PER_SECOND, CANDIDATE_BURST);
  #offer: Offer | undefined;
  #isOpening = false;
  /** Keys of the peer that wait for the offer being made. */
  #pending: Uint8Array[] = [];
  #attempts = 0;
  #nextAttemptAt: Millis = FOREVER;
  /** A session came of our own offer; it is repeated all the same until a frame proves that the peer has it too. */
  #isAnswered = false;
  /** An exchange that was wanted in the cooldown begins then. */
  #beginAt: Millis = FOREVER;
  #cooldownUntil: Millis = NEVER;
  #answeredAt: Millis = NEVER;
  #answers = 0;
  /** A forced rotation is due then. */
  #rotateAt: Millis = FOREVER;
  #rotatedAt: Millis = NEVER;
  #unreadableAt: Millis = NEVER;
  #unreadableMs: Millis = UNREADABLE_MS;
  /** First send of the application since the peer's last sign of life. */
  #sentAt: Millis = FOREVER;
  #isTested = false;
  #isProbing = false;
  /** When the age of the current key is looked at next. */
  #ageCheckAt: Millis = FOREVER;
  #isPeerOurs = false;
  #isClosed = false;
  readonly #frames: ExchangeFrame[] = [];

  constructor(context: ExchangeContext, peerId: number) {
    this.#context = context;
    this.#peerId = peerId;
    this.#keyring = new Keyring(context.engine);
  }

  /** Whether any key for sending exists, proven or not. */
  get hasSession(): boolean {
    return this.#keyring.canSend;
  }

  /** Whether some frame was authenticated under a key in use. */
  get isProven(): boolean {
    return this.#keyring.isProven;
  }

  /** Exchanges sent without an answer since the last success. */
  get unanswered(): number {
    return this.#isAnswered ? 0 : this.#attempts;
  }

  /** Whether an exchange of ours waits for its answer, or for its turn. */
  get isWaiting(): boolean {
    const isScheduled = this.#beginAt !== FOREVER || (this.#rotateAt !== FOREVER && !this.hasSession);
    return this.#isOpening || isScheduled || (this.#isAttempting && !this.#isAnswered);
  }

  /** Starts an exchange with a fresh pair, unless one runs or has its time; in the cooldown it starts when that is over. */
  begin(now: Millis): void {
    if (this.#isClosed || this.#isOpening || this.#isAttempting || this.#rotateAt !== FOREVER) return;
    if (now < this.#cooldownUntil) this.#beginAt = this.#cooldownUntil;
    else this.#open(true);
  }

  /**
   * The session to seal with, or -1: none yet, or data has to wait for a candidate to prove itself.
   * @returns Engine session index.
   */
  sendSession(now: Millis): number {
    return this.#keyring.sendSession(now);
  }

  /** Something that wants an answer goes out now. Not counted: pings that were asked for here, or there were no end of them. */
  noteSent(now: Millis): void {
    if (!this.#isProbing) this.#sentAt = Math.min(this.#sentAt, now);
  }

  /** Ours answer a pair with a fresh one; the others keep theirs and switch to the new session at once. */
  notePeerKind(isOurs: boolean): void {
    this.#isPeerOurs = isOurs;
  }

  /** Whether a verified exchange with this key would change nothing. Costs no public-key work. */
  isUnchanged(exchangeKey: Uint8Array): boolean {
    const offer = this.#offer;
    if (this.#keyring.repeated(exchangeKey, offer) !== undefined) return true;
    if (offer?.isDeriving(exchangeKey) || this.#pending.some((key) => isSameKey(key, exchangeKey))) return true;
    // What answers a question of ours gets its chance: a candidate that is none costs little.
    return !(this.#isAttempting && !this.#isAnswered) && this.#keyring.isOutdated(exchangeKey);
  }

  /** An exchange that changes nothing: answers by the rules of DP 3.10, with the pair already known to the peer. */
  handleUnchanged(now: Millis, exchangeKey: Uint8Array): void {
    const session = this.#keyring.repeated(exchangeKey, this.#offer);
    if (session === undefined) {
      // Under way already, or replaced since: somebody replays.
      this.#context.counters.drop('exchangeDuplicate');
      return;
    }
    const { offer, authenticatedAt } = session;
    if (offer === this.#offer) this.#isAnswered = true;
    const isUnproven = authenticatedAt === NEVER;
    if (!isUnproven && now - authenticatedAt <= SILENT_MS) return;
    const wait = isUnproven ? ANSWER_AGAIN_MS * 2 ** Math.min(this.#answers, MAX_ANSWER_DOUBLINGS) : SILENT_ANSWER_MS;
    if (now - Math.max(this.#answeredAt, offer.sentAt) < wait) return;
    this.#answers += 1;
    this.#answer(now, offer);
  }

  /** An exchange whose signature, sender and identity key hold. @param exchangeKey - Copied if kept. */
  handleVerified(now: Millis, exchangeKey: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.isUnchanged(exchangeKey)) {
      this.handleUnchanged(now, exchangeKey);
      return;
    }
    if (!this.#candidates.take(now)) {
      this.#context.counters.drop('candidateLimited');
      return;
    }
    this.#pending.push(exchangeKey.slice());
    if (this.#isOpening) return;
    const offer = this.#offer;
    // An answer, or the peer's own exchange crossing ours: the pair offered serves both.
    if (offer === undefined || offer.isSpent || offer.hasDerived(exchangeKey)) this.#open(false);
    else this.#derivePending(offer);
  }

  /** A PILK asks for our key (DP 3.10); it is never a session source. */
  handleKeyRequest(now: Millis): void {
    const offer = this.#offer ?? this.#keyring.current?.offer;
    if (offer === undefined) this.begin(now);
    else if (now - Math.max(this.#answeredAt, offer.sentAt) >= SILENT_ANSWER_MS) this.#answer(now, offer);
  }

  /**
   * The engine authenticated a frame.
   *
   * @param retired - How many prefixes of the session are retired.
   * @returns True when it promoted a candidate or proved a first session: capabilities start anew.
   */
  handleAuthenticated(now: Millis, index: number, note: { retired: number; isCollision: boolean }): boolean {
    const keyring = this.#keyring;
    const session = keyring.find(index);
    if (session === undefined) return false;
    this.#sentAt = FOREVER;
    this.#isTested = false;
    const news = keyring.handleAuthenticated(now, session);
    if (news === 'replaced') {
      this.#context.counters.rekeys += 1;
      this.#rotateAt = FOREVER;
    }
    const isNew = news === 'replaced' || news === 'proven';
    if (isNew) this.#beginAt = FOREVER;
    this.#settle(session);
    if (note.isCollision) session.isSending = false;
    const isForced = (note.isCollision && !keyring.current?.isSending) || note.retired >= ROTATE_AFTER_RETIRED;
    if (isForced && session === keyring.current) this.#wantRotation(now);
    // The peer uses a key that we replaced, and not the new one: exchanges crossed so that each took the other's.
    if (news === 'outdated') this.handleUnreadable(now);
    return isNew;
  }

  /** Frames of this peer cannot be opened: offer a fresh key, unless the present one works. Nothing is given up. */
  handleUnreadable(now: Millis): void {
    if (this.#keyring.isFresh(now) || this.#keyring.isProving(now)) return;
    if (this.#isAttempting) {
      this.#hasten(now);
      return;
    }
    const since = now - this.#unreadableAt;
    if (since < this.#unreadableMs) return;
    // Whoever forges frames gets a key exchange out of us more and more rarely.
    const isAgain = since < 2 * UNREADABLE_MAX_MS;
    this.#unreadableMs = isAgain ? Math.min(2 * this.#unreadableMs, UNREADABLE_MAX_MS) : UNREADABLE_MS;
    this.#unreadableAt = now;
    this.begin(now);
  }

  /** The session sealed its last frame, or is about to. */
  handleExhausted(now: Millis, index: number): void {
    const session = this.#keyring.find(index);
    if (session === undefined) return;
    session.isSending = false;
    if (session === this.#keyring.current) this.#wantRotation(now);
  }

  /** @param mayRotate - We are the one of the two who begins the hourly rotation. */
  handleTimeout(now: Millis, mayRotate: boolean): void {
    if (this.#isClosed) return;
    if (now >= this.#beginAt) {
      this.#beginAt = FOREVER;
      this.begin(now);
    }
    if (now >= this.#nextAttemptAt) this.#attempt(now);
    this.#keyring.handleTimeout(now);
    this.#closeIdleOffer();
    this.#rotateWhenDue(now);
    this.#watchSilence(now);
    const { current } = this.#keyring;
    if (current === undefined || now < this.#ageCheckAt) return;
    this.#ageCheckAt = now + AGE_CHECK_MS;
    if (now - current.authenticatedAt >= AGE_CHECK_MS) return;
    const isOld = mayRotate && now - current.createdAt >= TIMERS.keyRotationMs;
    if (isOld || this.#context.engine.sealed(current.index) >= ROTATE_AFTER_FRAMES) this.begin(now);
  }

  pollTimeout(): Millis {
    const rotateAt = this.#isOpening || this.#isAttempting ? FOREVER : this.#rotateAt;
    const at = Math.min(this.#nextAttemptAt, this.#beginAt, rotateAt, this.#silenceAt(), this.#ageCheckAt);
    return Math.min(at, this.#keyring.pollTimeout());
  }

  /** The next frame to send to the peer. */
  pollFrame(): ExchangeFrame | undefined {
    return this.#frames.shift();
  }

  /** The next session to send a ping under, or -1. */
  pollProbe(): number {
    const session = this.#keyring.pollProbe();
    this.#isProbing = session >= 0;
    return session;
  }

  /** Wipes everything. The object is dead afterwards. */
  close(): void {
    this.#isClosed = true;
    this.#keyring.close();
    this.#closeOffer();
    this.#pending = [];
    this.#frames.length = 0;
    this.#beginAt = FOREVER;
    this.#rotateAt = FOREVER;
    this.#sentAt = FOREVER;
    this.#ageCheckAt = FOREVER;
  }

  get #isAttempting(): boolean {
    return this.#nextAttemptAt !== FOREVER;
  }

  #open(isOurs: boolean): void {
    this.#closeOffer();
    this.#isOpening = true;
    this.#beginAt = FOREVER;
    this.#attempts = 0;
    this.#answers = 0;
    this.#isAnswered = false;
    openOffer(this.#context, { peerId: this.#peerId, isOurs }, (now, offer) => {
      this.#isOpening = false;
      if (this.#isClosed) offer?.close();
      else if (offer === undefined) this.#fail(now);
      else this.#opened(now, offer);
    });
  }

  #opened(now: Millis, offer: Offer): void {
    this.#offer = offer;
    if (offer.isOurs) this.#attempt(now);
    this.#derivePending(offer);
    this.#guess(offer);
  }

  /** The runtime made no key: as if nobody had answered, so that whoever waits hears of it. */
  #fail(now: Millis): void {
    this.#pending = [];
    this.#attempts = TIMERS.keyExchangeAttempts;
    this.#nextAttemptAt = now;
  }

  #attempt(now: Millis): void {
    const offer = this.#offer;
    if (offer === undefined || this.#attempts >= TIMERS.keyExchangeAttempts) {
      this.#giveUp(now);
      return;
    }
    const relayCopy = this.#attempts >= RELAY_AFTER;
    this.#frames.push({ frame: offer.pila, relayCopy, isAnswer: false });
    // DP 3.10: without a session, and behind an unanswered send only, a PILK asks for the peer's key. A session that is
    // silent counts as none: a restarted peer of 1.9 answers our first PILA and no other, and that answer may be lost.
    if (this.#attempts > 0 && !this.#keyring.isFresh(now)) {
      this.#frames.push({ frame: emitPilk(this.#context.nodeId, offer.publicKey), relayCopy, isAnswer: false });
    }
    offer.sentAt = now;
    this.#nextAttemptAt = now + (RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)] ?? TIMERS.keyExchangeRetryMs);
    this.#attempts += 1;
  }

  /** The peer can be heard: what it did not answer may reach it now. Counts as no attempt, since anybody can cause it. */
  #hasten(now: Millis): void {
    const offer = this.#offer;
    if (offer === undefined || now - offer.sentAt < HASTEN_MS) return;
    offer.sentAt = now;
    this.#frames.push({ frame: offer.pila, relayCopy: false, isAnswer: false });
  }

  #giveUp(now: Millis): void {
    this.#nextAttemptAt = FOREVER;
    if (!this.#isAnswered) this.#cooldownUntil = now + TIMERS.keyExchangeCooldownMs;
    const { current } = this.#keyring;
    // A session that may no longer send is of no use; but nobody is asked for ever.
    if (current?.isSending === false && now - current.authenticatedAt < AGE_CHECK_MS) this.#wantRotation(now);
  }

  /**
   * A peer of the existing network has one key and changes to the new session as soon as it hears of our pair; versions
   * until 1.9 do not even answer (DP 3.10). So the session that it has then is made without waiting for an answer.
   */
  #guess(offer: Offer): void {
    const { current, isProven } = this.#keyring;
    if (!offer.isOurs || this.#isPeerOurs || current === undefined || !isProven) return;
    if (!offer.hasDerived(current.peerKey)) this.#derive(offer, current.peerKey, true);
  }

  #derivePending(offer: Offer): void {
    for (const peerKey of this.#pending.splice(0)) if (!offer.hasDerived(peerKey)) this.#derive(offer, peerKey, false);
  }

  #derive(offer: Offer, peerKey: Uint8Array, isGuess: boolean): void {
    // Who answers our question first has our key; anybody else needs it.
    const needsAnswer = !isGuess && (!offer.isOurs || this.#isAnswered);
    offer.derive(peerKey, (now, key) => {
      if (key === undefined && !this.#isClosed) this.#context.counters.drop('exchangeBadPoint');
      const isInstalled = key !== undefined && !this.#isClosed && this.#install(now, { offer, peerKey }, key);
      key?.fill(0);
      if (!isInstalled) {
        this.#closeIdleOffer();
        return;
      }
      if (!isGuess && offer === this.#offer) this.#isAnswered = true;
      if (needsAnswer) this.#answer(now, offer);
    });
  }

  #install(now: Millis, made: { offer: Offer; peerKey: Uint8Array }, key: Uint8Array): boolean {
    const { engine, owner, nodeId: localId, counters } = this.#context;
    const index = engine.install({ owner, localId, peerId: this.#peerId, key, prefix: this.#drawPrefix() });
    if (index < 0) {
      counters.drop('sessionsFull');
      return false;
    }
    counters.keyExchanges += 1;
    if (this.#keyring.current === undefined) this.#ageCheckAt = now + AGE_CHECK_MS;
    this.#keyring.add(now, index, made);
    return true;
  }

  #answer(now: Millis, offer: Offer): void {
    this.#answeredAt = now;
    offer.sentAt = now;
    this.#frames.push({ frame: offer.pila, relayCopy: false, isAnswer: true });
  }

  /** DP 3.16 point 2: the top bit follows the order of the ids, so the two directions never draw the same prefix. */
  #drawPrefix(): number {
    const bytes = new Uint8Array(4);
    this.#context.random(bytes);
    const drawn = new DataView(bytes.buffer).getUint32(0);
    return (this.#context.nodeId < this.#peerId ? drawn & 0x7fffffff : drawn | 0x80000000) >>> 0;
  }

  /** A session from the pair on offer is in use: the peer has our key, and nothing more is derived from this pair. */
  #settle(session: Session): void {
    if (session !== this.#keyring.current || session.offer !== this.#offer) return;
    this.#isAnswered = true;
    this.#closeOffer();
  }

  #closeIdleOffer(): void {
    const offer = this.#offer;
    if (offer === undefined || offer.isBusy || this.#isAttempting || this.#keyring.needs(offer)) return;
    this.#closeOffer();
  }

  #closeOffer(): void {
    this.#offer?.close();
    this.#offer = undefined;
    this.#nextAttemptAt = FOREVER;
  }

  /** Another pair as soon as there may be one: at most every 10 s, and not while one is on its way. */
  #wantRotation(now: Millis): void {
    this.#rotateAt = Math.min(this.#rotateAt, Math.max(now, this.#rotatedAt + ROTATE_FORCED_MS));
    this.#rotateWhenDue(now);
  }

  #rotateWhenDue(now: Millis): void {
    if (now < this.#rotateAt || this.#isOpening || this.#isAttempting) return;
    this.#rotateAt = FOREVER;
    this.#rotatedAt = now;
    this.begin(now);
  }

  #watchSilence(now: Millis): void {
    if (now < this.#silenceAt()) return;
    if (this.#keyring.isProven && !this.#isTested) {
      this.#isTested = true;
      this.#keyring.probeCurrent();
      return;
    }
    this.#sentAt = FOREVER;
    this.#isTested = false;
    this.begin(now);
  }

  /** When silence has to be looked at. */
  #silenceAt(): Millis {
    if (this.#keyring.current === undefined || this.#isOpening || this.#isAttempting) return FOREVER;
    if (!this.#keyring.isProven) return this.#sentAt + UNPROVEN_OFFER_MS;
    return this.#sentAt + (this.#isTested ? SILENCE_OFFER_MS : SILENCE_PROBE_MS);
  }
}
