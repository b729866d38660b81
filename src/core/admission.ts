/**
 * Which key-exchange frames are worth public-key work (DP 3.10 receiving, design: decision 7). The order is the price:
 * length, known key, rate of the source, budget, cached identity key, else a bounded queue for the look-up, then verify.
 * What passes comes out as `Verified`; what does not is counted.
 */
import { Bucket, Buckets } from '../budget.ts';
import { BUDGETS, LIMITS, type Millis, STRANGER, TRUSTED } from '../config.ts';
import { type KeyExchange as ExchangeMessage, parseKeyExchange, signedExchange } from '../wire/key-exchange.ts';
import type { Directory, Found } from './directory.ts';
import type { Jobs } from './jobs.ts';
import type { Counters } from './stats.ts';

/** Where a frame came from: directly from a path, or out of the beacon. */
export interface Origin {
  readonly path: number;
  readonly isRelayed: boolean;
  /** The node that the beacon names as sender; 0 when not relayed. */
  readonly sender: number;
  /** Groups frames for limits: the source host, or the relay source. */
  readonly source: string;
}

/** A key exchange whose sender holds the identity key that we expect of it. */
export interface Verified {
  readonly sender: number;
  readonly exchangeKey: Uint8Array;
  readonly identityKey: Uint8Array;
  readonly origin: Origin;
}

/** What admission has to know of a sender; the endpoint answers. */
export interface SenderFacts {
  readonly isTrusted: boolean;
  /** A key pinned by trust or by an earlier success. */
  readonly pinnedKey: Uint8Array | undefined;
  /** Encrypted frames of this sender come from there. Only these prove anything: exchanges can be replayed by anybody. */
  readonly isKnownSource?: boolean;
}

interface Parts {
  readonly jobs: Jobs;
  readonly directory: Directory;
  readonly counters: Counters;
  readonly facts: (sender: number, origin: Origin) => SenderFacts;
}

/** What was read of a PILA, copied. */
interface Claim extends Verified {
  readonly signature: Uint8Array;
}

/** DP 3.10: the same key again within 250 ms is the copy that came by the other road. */
const DUPLICATE_MS = 250;
const DUPLICATES = 4096;
/** Exchanges a second in the name of one trusted peer, from all places together that are not known as its own. */
const ELSEWHERE_PER_SECOND = 50;
/** A trusted peer that shows another key is told of once in this many seconds. */
const KEY_CHANGE_SECONDS = 60;

/** The gate in front of the key exchanges of one endpoint. */
export class Admission {
  readonly #parts: Parts;
  readonly #sources: readonly [Buckets, Buckets];
  readonly #elsewhere = new Buckets(ELSEWHERE_PER_SECOND, ELSEWHERE_PER_SECOND);
  readonly #verifications = new Bucket(BUDGETS.verificationsPerSecond[STRANGER]);
  readonly #lookups: readonly [Bucket, Bucket];
  readonly #alarms = new Buckets(1 / KEY_CHANGE_SECONDS, 1);
  readonly #seen = new Map<string, Millis>();
  readonly #waiting = new Map<string, number>();
  #waitingTotal = 0;
  readonly #verified: Verified[] = [];
  readonly #keyChanges: { sender: number; shown: Uint8Array; pinned: Uint8Array }[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
    const rate = BUDGETS.keyExchangesPerSourcePerSecond;
    this.#sources = [new Buckets(rate[STRANGER], rate[STRANGER]), new Buckets(rate[TRUSTED], rate[TRUSTED])];
    const lookups = BUDGETS.registryLookupsPerSecond;
    this.#lookups = [new Bucket(lookups[STRANGER]), new Bucket(lookups[TRUSTED])];
  }

  /**
   * Reads one PILA or PILK.
   *
   * @param frame - Borrowed.
   * @param ownId - Our node id.
   * @returns The message when it is well-formed, for us and within the limits; else undefined, counted.
   */
  read(now: Millis, frame: Uint8Array, origin: Origin, ownId: number): ExchangeMessage | undefined {
    const { counters } = this.#parts;
    const message = parseKeyExchange(frame);
    if (message === undefined) {
      counters.drop('exchangeMalformed');
      return undefined;
    }
    if (message.sender === ownId || message.sender === 0) {
      counters.drop('ownId');
      return undefined;
    }
    if (message.recipientHint !== undefined && message.recipientHint !== ownId) {
      counters.drop('wrongRecipient');
      return undefined;
    }
    if (!this.#isWithinRate(now, message.sender, origin)) {
      counters.drop('exchangeLimited');
      return undefined;
    }
    return message;
  }

  /** Verifies a PILA that would change something. The result comes out of `poll`, or is counted. */
  verify(now: Millis, message: ExchangeMessage, origin: Origin): void {
    const { counters, facts, directory } = this.#parts;
    const { identityKey, signature, sender } = message;
    if (identityKey === undefined || signature === undefined) return;
    if (this.#isDuplicate(now, message)) {
      counters.drop('exchangeDuplicate');
      return;
    }
    const { isTrusted, pinnedKey } = facts(sender, origin);
    // What comes in a trusted peer's name was limited per peer: it neither uses nor needs what strangers share.
    if (!isTrusted && !this.#verifications.take(now)) {
      counters.drop('exchangeBudget');
      return;
    }
    const claim: Claim = {
      sender,
      exchangeKey: message.exchangeKey.slice(),
      identityKey: identityKey.slice(),
      signature: signature.slice(),
      origin,
    };
    if (pinnedKey !== undefined && isSame(pinnedKey, identityKey)) {
      this.#checkSignature(claim);
      return;
    }
    if (pinnedKey !== undefined && isTrusted) {
      // Design, decision 11: for trusted peers the key is pinned for ever.
      counters.drop('exchangeKeyMismatch');
      if (this.#alarms.take(now, sender)) this.#tellKeyChange(claim, pinnedKey);
      return;
    }
    const cached = directory.cachedKey(now, sender);
    if (cached !== undefined && isSame(cached, identityKey)) this.#checkSignature(claim);
    else this.#lookUp(now, claim, isTrusted ? TRUSTED : STRANGER);
  }

  /** The next exchange that passed. */
  poll(): Verified | undefined {
    return this.#verified.shift();
  }

  /** The next trusted peer that showed another key than the pinned one. */
  pollKeyChange(): { sender: number; shown: Uint8Array; pinned: Uint8Array } | undefined {
    return this.#keyChanges.shift();
  }

  /**
   * A trusted peer at its own place has a bucket of its own. Anybody can use its name elsewhere, so all those together
   * have another; whoever is not trusted has one per place and name.
   */
  #isWithinRate(now: Millis, sender: number, origin: Origin): boolean {
    const { isTrusted, isKnownSource } = this.#parts.facts(sender, origin);
    const name = `${origin.source} ${sender}`;
    if (isTrusted && isKnownSource === true) return this.#sources[TRUSTED].take(now, name);
    return this.#sources[STRANGER].take(now, name) && (!isTrusted || this.#elsewhere.take(now, sender));
  }

  #lookUp(now: Millis, claim: Claim, column: 0 | 1): void {
    const { counters, directory } = this.#parts;
    const { source } = claim.origin;
    const waiting = this.#waiting.get(source) ?? 0;
    if (waiting >= LIMITS.lookupQueuePerSource || this.#waitingTotal >= LIMITS.lookupQueue) {
      counters.drop('exchangeQueueFull');
      return;
    }
    if (!this.#lookups[column].take(now)) {
      counters.drop('exchangeBudget');
      return;
    }
    this.#waiting.set(source, waiting + 1);
    this.#waitingTotal += 1;
    const then = (_: Millis, found: Found<Uint8Array>): void => {
      this.#waitingTotal -= 1;
      const left = (this.#waiting.get(source) ?? 1) - 1;
      if (left <= 0) this.#waiting.delete(source);
      else this.#waiting.set(source, left);
      if (!found.ok) counters.drop('exchangeUnknownNode');
      else if (!isSame(found.value, claim.identityKey)) counters.drop('exchangeKeyMismatch');
      else this.#checkSignature(claim);
    };
    directory.freshKey(now, claim.sender, then, column === STRANGER);
  }

  #checkSignature(claim: Claim): void {
    this.#verifySignature(claim, () => this.#verified.push(claim));
  }

  /** Only what is signed: a damaged frame is no other key. */
  #tellKeyChange(claim: Claim, pinned: Uint8Array): void {
    const { sender, identityKey: shown } = claim;
    this.#verifySignature(claim, () => this.#keyChanges.push({ sender, shown, pinned }));
  }

  #verifySignature(claim: Claim, then: () => void): void {
    const { jobs, counters } = this.#parts;
    const { identityKey: publicKey, signature } = claim;
    const message = signedExchange(claim.sender, claim.exchangeKey);
    jobs.start({ kind: 'verify', publicKey, message, signature }, (_, isValid) => {
      if (isValid === true) then();
      else counters.drop('exchangeBadSignature');
    });
  }

  /** All that is verified names the frame: of less, somebody could make a false copy that keeps the true one out. */
  #isDuplicate(now: Millis, message: ExchangeMessage): boolean {
    const text = (bytes: Uint8Array | undefined): string => String.fromCharCode(...(bytes ?? []));
    const { sender, exchangeKey, identityKey, signature } = message;
    const name = `${sender} ${text(exchangeKey)}${text(identityKey)}${text(signature)}`;
    const before = this.#seen.get(name);
    if (before !== undefined && now - before < DUPLICATE_MS) return true;
    this.#seen.delete(name);
    if (this.#seen.size >= DUPLICATES) {
      const oldest = this.#seen.keys().next();
      if (!oldest.done) this.#seen.delete(oldest.value);
    }
    this.#seen.set(name, now);
    return false;
  }
}

/** Public keys: no need for constant time. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
