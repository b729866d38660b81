/**
 * Telling peers: the steps of one delivery after the other, each waiting for the one before, but never for long (CP 2.4
 * trap, 2.6, 2.8). One delivery per peer; the newest replaces what came before. It says what to send and when to try
 * again; whether anybody is trusted is decided elsewhere, and sending is the endpoint's.
 *
 *   request   sendDirect, else relayRequest; the relay alone every other time; with back-off until cancelled
 *   accept    reportTrust, then relayRespond and sendDirect
 *   reject    relayRespond and sendDirect
 *   revoke    sendDirect, then revokeTrust and tearDown
 */
import type { Millis } from '../config.ts';
import { Deadlines } from './timers.ts';
import type { RegistryAction, TrustAction } from './trust-exchange.ts';

/** What a peer is to be told. */
export type Purpose = 'request' | 'accept' | 'reject' | 'revoke';

/** One thing to tell one peer. */
export interface Delivery {
  readonly peer: number;
  readonly purpose: Purpose;
  /** The justification of a request, the reason of a rejection or revocation. */
  readonly text: string;
  /** The peer's question lies in the mailbox, so that an answer there reaches it. */
  readonly isFromMailbox: boolean;
  /** The peer knows already; only the registry is to be told. */
  readonly isTold: boolean;
}

/** One that the peer does not know of, and that it did not ask for through the mailbox. */
export function delivery(peer: number, purpose: Purpose, text = ''): Delivery {
  return { peer, purpose, text, isFromMailbox: false, isTold: false };
}

/** CP 2.6 and 2.8: how long the first step is waited for before the next is taken all the same. */
export const STEP_MS: Millis = 2_000;
/** A dial may take 29 s (DP 7.5); longer than the registry needs. */
export const TELL_MS: Millis = 30_000;
/** First pause between attempts, doubled each time. */
export const PAUSE_FIRST_MS: Millis = 10_000;
/** Longest pause. */
export const PAUSE_MAX_MS: Millis = 3_600_000;
/**
 * To tell a peer the answer, in about 20 min: whoever missed it asks again and is answered again. Neither a request nor
 * what the registry is to know has such an end.
 */
export const ANSWER_ATTEMPTS = 8;
/**
 * Deviation: CP 2.7 wants the mailbox read every 2 s while anything is outstanding, but a request is that for 30 days.
 * As the existing versions: 2 min from the last time that it was sent.
 */
export const AWAIT_MS: Millis = 120_000;
/** Beyond, answers are not carried out; whoever misses one asks again. */
export const DELIVERIES = 4_096;
/** Attempts that may be under way before one that is due has to wait for its turn. */
export const ACTIVE = 16;

interface Run {
  readonly peer: number;
  readonly purpose: Purpose;
  readonly text: string;
  isFromMailbox: boolean;
  phase: 'pause' | 'direct' | 'relay' | 'report' | 'tell';
  attempts: number;
  /** What the registry is to know, it knows. */
  isReported: boolean;
  isTold: boolean;
  /** In phase `tell`. */
  isDirectOver: boolean;
  isRelayOver: boolean;
}

/** The deliveries of one agent. */
export class TrustSteps {
  readonly #runs = new Map<number, Run>();
  readonly #deadlines: Deadlines = new Deadlines();
  /** Due, in the order in which they became so. */
  readonly #waiting = new Set<number>();
  readonly #actions: TrustAction[] = [];
  #active = 0;
  #askedAt: Millis = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#runs.size;
  }

  /** Whether a request was sent so lately that the answer may come any moment. */
  isAwaiting(now: Millis): boolean {
    return now - this.#askedAt < AWAIT_MS;
  }

  /** Whether an attempt of this kind is being made now. */
  isUnderWay(peer: number, purpose: Purpose): boolean {
    const run = this.#runs.get(peer);
    return run?.purpose === purpose && run.phase !== 'pause';
  }

  /** Begins at once. */
  start(now: Millis, delivery: Delivery): void {
    const run = this.#add(delivery);
    if (run !== undefined) this.#begin(now, run);
  }

  /** Begins as soon as few others are under way: for what is taken up again after a restart. */
  schedule(delivery: Delivery): void {
    if (this.#add(delivery) !== undefined) this.#waiting.add(delivery.peer);
  }

  /** Forgets what the peer was to be told. A revocation is not forgotten, only carried out at once. */
  cancel(peer: number): void {
    const run = this.#runs.get(peer);
    if (run === undefined) return;
    if (run.purpose === 'revoke') this.#endRevoke(run);
    else this.#remove(run);
  }

  noteDirect(now: Millis, peer: number, result: { purpose: Purpose; isDelivered: boolean }): void {
    const run = this.#runs.get(peer);
    if (run === undefined || run.purpose !== result.purpose) return;
    if (run.purpose === 'request' || run.purpose === 'revoke') {
      if (run.phase !== 'direct') return;
      if (run.purpose === 'request' && result.isDelivered) this.#pause(now, run);
      else this.#advance(now, run);
      return;
    }
    run.isDirectOver = true;
    run.isTold ||= result.isDelivered;
    this.#review(now, run);
  }

  noteRegistry(now: Millis, peer: number, result: { action: RegistryAction; isDone: boolean }): void {
    const run = this.#runs.get(peer);
    if (run === undefined) return;
    const { action, isDone } = result;
    if (action === 'relayRequest') {
      if (run.purpose === 'request' && run.phase === 'relay') this.#pause(now, run);
    } else if (action === 'reportTrust') {
      run.isReported ||= isDone;
      if (run.phase === 'report') this.#advance(now, run);
      else this.#review(now, run);
    } else if (action === 'relayRespond') {
      run.isRelayOver = true;
      run.isTold ||= isDone && run.isFromMailbox;
      this.#review(now, run);
    }
  }

  handleTimeout(now: Millis): void {
    for (let peer = this.#deadlines.pop(now); peer >= 0; peer = this.#deadlines.pop(now)) {
      const run = this.#runs.get(peer);
      if (run?.phase === 'pause') this.#waiting.add(peer);
      else if (run !== undefined) this.#advance(now, run);
    }
    for (const peer of this.#waiting) {
      if (this.#active >= ACTIVE) break;
      this.#waiting.delete(peer);
      const run = this.#runs.get(peer);
      if (run !== undefined) this.#begin(now, run);
    }
  }

  pollTimeout(): Millis {
    const hasTurn = this.#waiting.size > 0 && this.#active < ACTIVE;
    return hasTurn ? Number.NEGATIVE_INFINITY : this.#deadlines.next();
  }

  pollAction(): TrustAction | undefined {
    return this.#actions.shift();
  }

  /** @returns Undefined when there is nothing to begin: the same is under way, or there is no room. */
  #add(delivery: Delivery): Run | undefined {
    const { peer, purpose, text, isFromMailbox, isTold } = delivery;
    const before = this.#runs.get(peer);
    if (before?.purpose === 'accept' && purpose === 'accept' && before.phase !== 'pause') {
      before.isFromMailbox ||= isFromMailbox;
      before.isTold &&= isTold;
      return undefined;
    }
    this.cancel(peer);
    const run: Run = {
      peer,
      purpose,
      text,
      isFromMailbox,
      phase: 'pause',
      attempts: 0,
      isReported: purpose !== 'accept',
      isTold,
      isDirectOver: false,
      isRelayOver: false,
    };
    if (this.#runs.size >= DELIVERIES && purpose !== 'request') {
      if (purpose === 'revoke') this.#endRevoke(run);
      return undefined;
    }
    this.#runs.set(peer, run);
    return run;
  }

  #begin(now: Millis, run: Run): void {
    const { purpose, peer } = run;
    switch (purpose) {
      case 'request':
        // CP 2.4: receivers of today drop what comes directly a second time.
        if (run.attempts % 2 === 1) this.#relayRequest(now, run);
        else this.#direct(now, run);
        break;
      case 'accept':
        if (run.isReported) this.#tell(now, run);
        else {
          this.#actions.push({ type: 'reportTrust', peer });
          this.#enter(run, 'report', now + STEP_MS);
        }
        break;
      case 'reject':
        this.#tell(now, run);
        break;
      case 'revoke':
        this.#direct(now, run);
        break;
      default:
        purpose satisfies never;
    }
  }

  /** The time of a phase is over, or it has its result. */
  #advance(now: Millis, run: Run): void {
    const { phase } = run;
    switch (phase) {
      case 'pause':
        break;
      case 'direct':
        if (run.purpose === 'revoke') this.#endRevoke(run);
        else this.#relayRequest(now, run);
        break;
      case 'report':
        if (run.isTold) this.#review(now, run, true);
        else this.#tell(now, run);
        break;
      case 'relay':
      case 'tell':
        this.#review(now, run, true);
        break;
      default:
        phase satisfies never;
    }
  }

  #direct(now: Millis, run: Run): void {
    this.#sendDirect(run);
    if (run.purpose === 'request') this.#askedAt = now;
    this.#enter(run, 'direct', now + STEP_MS);
  }

  #relayRequest(now: Millis, run: Run): void {
    this.#actions.push({ type: 'relayRequest', peer: run.peer, justification: run.text });
    this.#askedAt = now;
    this.#enter(run, 'relay', now + TELL_MS);
  }

  #tell(now: Millis, run: Run): void {
    run.isDirectOver = false;
    run.isRelayOver = false;
    this.#actions.push({ type: 'relayRespond', peer: run.peer, accept: run.purpose === 'accept' });
    this.#sendDirect(run);
    this.#enter(run, 'tell', now + TELL_MS);
  }

  /** Looks whether there is anything left to do; `isOver` when this attempt has nothing more to wait for. */
  #review(now: Millis, run: Run, isOver: boolean = run.phase === 'tell' && run.isDirectOver && run.isRelayOver): void {
    if (run.isReported && run.isTold) this.#remove(run);
    else if (isOver) this.#pause(now, run);
  }

  #pause(now: Millis, run: Run): void {
    run.attempts += 1;
    if (run.purpose !== 'request' && run.attempts >= ANSWER_ATTEMPTS) {
      if (run.isReported) {
        this.#remove(run);
        return;
      }
      run.isTold = true;
    }
    this.#enter(run, 'pause', now + Math.min(PAUSE_FIRST_MS * 2 ** (run.attempts - 1), PAUSE_MAX_MS));
  }

  #endRevoke(run: Run): void {
    const { peer } = run;
    this.#actions.push({ type: 'revokeTrust', peer }, { type: 'tearDown', peer });
    this.#remove(run);
  }

  #remove(run: Run): void {
    this.#enter(run, 'pause');
    this.#runs.delete(run.peer);
    this.#deadlines.delete(run.peer);
    this.#waiting.delete(run.peer);
  }

  #enter(run: Run, phase: Run['phase'], deadline: Millis = Number.POSITIVE_INFINITY): void {
    if (run.phase !== 'pause') this.#active -= 1;
    if (phase !== 'pause') this.#active += 1;
    run.phase = phase;
    this.#deadlines.set(run.peer, deadline);
  }

  #sendDirect(run: Run): void {
    const { peer, purpose, text } = run;
    const isRequest = purpose === 'request';
    this.#actions.push({
      type: 'sendDirect',
      peer,
      messageType: `handshake_${purpose}`,
      justification: isRequest ? text : '',
      reason: isRequest ? '' : text,
    });
  }
}
