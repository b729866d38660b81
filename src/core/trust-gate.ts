/**
 * What lets in a peer that our own table does not: the reply window and the registry's word (DP 7.2 rows 3 and 4).
 * Both are short-lived, bounded, and never saved.
 */
import { type Millis, TIMERS } from '../config.ts';
import { PORT } from '../wire/packet.ts';

/** CP 2.10: peers that we contacted. */
export const CONTACTS = 4_096;
/** Answers of each kind. Refusals of strangers do not displace those who may enter. */
export const REGISTRY_ANSWERS = 4_096;
/** DP 7.2: how long an answer of the registry counts. */
export const POSITIVE_MS: Millis = 60_000;
/** DP 7.2: how long a refusal of the registry counts. */
export const NEGATIVE_MS: Millis = 5_000;
const NEVER: Millis = Number.NEGATIVE_INFINITY;

/** Passing answers to "may this one in". */
export class TrustGate {
  readonly #contacts = new Map<number, Millis>();
  readonly #admitted = new Map<number, Millis>();
  /** Refused, or asked for and not answered yet. */
  readonly #refused = new Map<number, Millis>();

  get size(): number {
    return this.#contacts.size + this.#admitted.size + this.#refused.size;
  }

  /** We dialled the peer or asked it for trust. Nothing that a peer does may lead here (CP 2.10). */
  noteContact(now: Millis, peer: number): void {
    insert(this.#contacts, peer, now + TIMERS.trustReplyWindowMs, CONTACTS);
  }

  /** DP 7.2 row 3: whether the peer may be answering us. */
  isReply(now: Millis, peer: number, port: number): boolean {
    if (port !== PORT.data && port !== PORT.trust) return false;
    return now < (this.#contacts.get(peer) ?? NEVER);
  }

  /** DP 7.2 row 4. After `'ask'` the answer is `'drop'` until one is noted, or the registry was silent too long. */
  ask(now: Millis, peer: number): 'admit' | 'drop' | 'ask' {
    if (this.isAdmitted(now, peer)) return 'admit';
    if (now < (this.#refused.get(peer) ?? NEVER)) return 'drop';
    insert(this.#refused, peer, now + TIMERS.registryAnswerMs, REGISTRY_ANSWERS);
    return 'ask';
  }

  /** Whether the registry's word lets the peer in now. */
  isAdmitted(now: Millis, peer: number): boolean {
    return now < (this.#admitted.get(peer) ?? NEVER);
  }

  /** @param isTrusted - Undefined: nobody could be asked, so that the next packet asks again. */
  noteAnswer(now: Millis, peer: number, isTrusted: boolean | undefined): void {
    this.#admitted.delete(peer);
    this.#refused.delete(peer);
    if (isTrusted === undefined) return;
    if (isTrusted) insert(this.#admitted, peer, now + POSITIVE_MS, REGISTRY_ANSWERS);
    else insert(this.#refused, peer, now + NEGATIVE_MS, REGISTRY_ANSWERS);
  }

  /** Trust ended: nothing from before counts, and the registry may not have heard of it yet. */
  close(now: Millis, peer: number): void {
    this.#contacts.delete(peer);
    this.noteAnswer(now, peer, false);
  }

  sweep(now: Millis): void {
    for (const table of [this.#contacts, this.#admitted, this.#refused]) {
      for (const [peer, until] of table) if (until <= now) table.delete(peer);
    }
  }
}

/** Puts `peer` last; the first leaves a full table. */
function insert(table: Map<number, Millis>, peer: number, until: Millis, limit: number): void {
  table.delete(peer);
  if (table.size >= limit) {
    for (const oldest of table.keys()) {
      table.delete(oldest);
      break;
    }
  }
  table.set(peer, until);
}
