/**
 * One X25519 pair of ours towards one peer, and the PILA that offers it (DP 3.4). The private half lives only as long as
 * something can still be derived from it: session keys survive it, so that whoever takes the machine later cannot.
 */
import type { Millis } from '../config.ts';
import { emitPila, signedExchange, TUNNEL_INFO } from '../wire/key-exchange.ts';
import type { Jobs } from './jobs.ts';
import { isSameKey } from './same-key.ts';

/** What making an offer needs of its endpoint. */
export interface OfferParts {
  readonly jobs: Jobs;
  readonly random: (into: Uint8Array) => void;
  readonly identity: number;
  readonly identityKey: Uint8Array;
  readonly nodeId: number;
}

/** Keys of the peer that one pair is combined with; more come from nobody honest. */
const MAX_DERIVED = 16;

/** An open or closed offer. */
export class Offer {
  /** We began: it is repeated until it is answered. */
  readonly isOurs: boolean;
  readonly publicKey: Uint8Array;
  readonly pila: Uint8Array;
  /** When the PILA last left. */
  sentAt: Millis = Number.NEGATIVE_INFINITY;
  readonly #jobs: Jobs;
  readonly #peerId: number;
  readonly #exchange: number;
  readonly #derived: Uint8Array[] = [];
  readonly #running = new Set<Uint8Array>();
  #isClosed = false;

  /** @param made - Private half behind a handle, which is the offer's from now on. */
  constructor(
    jobs: Jobs,
    who: { peerId: number; isOurs: boolean },
    made: { exchange: number; publicKey: Uint8Array },
    pila: Uint8Array,
  ) {
    this.isOurs = who.isOurs;
    this.publicKey = made.publicKey;
    this.pila = pila;
    this.#jobs = jobs;
    this.#peerId = who.peerId;
    this.#exchange = made.exchange;
  }

  /** Whether a derivation runs. */
  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** No further key of the peer may be combined with it. */
  get isSpent(): boolean {
    return this.#isClosed || this.#derived.length >= MAX_DERIVED;
  }

  /** Whether the pair was combined with this key. Never twice: the same session key would begin its counter again. */
  hasDerived(peerKey: Uint8Array): boolean {
    return this.#derived.some((key) => isSameKey(key, peerKey));
  }

  /** Whether that is under way. */
  isDeriving(peerKey: Uint8Array): boolean {
    for (const key of this.#running) if (isSameKey(key, peerKey)) return true;
    return false;
  }

  /** Agrees on a session key. @param peerKey - Kept. @param then - Owns the key; undefined: no such point. */
  derive(peerKey: Uint8Array, then: (now: Millis, key: Uint8Array | undefined) => void): void {
    this.#derived.push(peerKey);
    this.#running.add(peerKey);
    this.#jobs.start(
      { kind: 'agree', exchange: this.#exchange, peerKey, info: TUNNEL_INFO },
      (now, key) => {
        this.#running.delete(peerKey);
        if (this.#isClosed) this.#forget();
        then(now, key instanceof Uint8Array ? key : undefined);
      },
      this.#peerId,
    );
  }

  /** The private half goes, now or when the last derivation is done. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forget();
  }

  #forget(): void {
    if (this.#running.size === 0) this.#jobs.post({ kind: 'forget', handle: this.#exchange });
  }
}

/** Makes a fresh pair and signs its PILA. @param then - Gets undefined when the runtime could not. */
export function openOffer(
  parts: OfferParts,
  who: { peerId: number; isOurs: boolean },
  then: (now: Millis, offer: Offer | undefined) => void,
): void {
  const { jobs, identity, identityKey } = parts;
  const { peerId } = who;
  const secret = new Uint8Array(32);
  parts.random(secret);
  const handleMade = (now: Millis, made: unknown): void => {
    if (!isPair(made)) {
      then(now, undefined);
      return;
    }
    const sender = parts.nodeId;
    const handleSigned = (at: Millis, signature: unknown): void => {
      if (!(signature instanceof Uint8Array)) {
        jobs.post({ kind: 'forget', handle: made.exchange });
        then(at, undefined);
        return;
      }
      const fields = { sender, exchangeKey: made.publicKey, identityKey, signature, recipientHint: peerId };
      then(at, new Offer(jobs, who, made, emitPila(fields)));
    };
    jobs.start({ kind: 'sign', identity, message: signedExchange(sender, made.publicKey) }, handleSigned, peerId);
  };
  jobs.start({ kind: 'createExchange', random: secret }, handleMade, peerId);
}

function isPair(made: unknown): made is { exchange: number; publicKey: Uint8Array } {
  return typeof made === 'object' && made !== null && 'exchange' in made && 'publicKey' in made;
}
