/**
 * Key exchange as existing daemons do it (DP 3.10, 3.12, 3.14; appendix D 6, 7, 11): no roles, no tie-break, and the same
 * X25519 pair for every peer until the restart.
 */
import { writeVarint } from '../../src/wire/control.ts';
import { emitPila, emitPilk, type KeyExchange, PILA_BYTES, signedExchange } from '../../src/wire/key-exchange.ts';
import type { Random } from './hostile.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { Contact } from './peer-contact.ts';
import { exchangeOf, type PeerExchange, type PeerIdentity, sameBytes, verifies } from './peer-keys.ts';
import type { LoggedFrame, Place } from './peer-log.ts';
import { PeerSession } from './peer-session.ts';
import type { PeerTransport } from './peer-socket.ts';

const RETRY_MS = 4000;
const SENDS = 6;
const UNANSWERED_BEFORE_RELAY = 2;
const COOLDOWN_MS = 5000;
const DUPLICATE_MS = 250;
const SILENCE_MS = 6000;
const REPLY_MS = 1000;
const SALVAGE_MS = 5000;
/** FORK's trailer: capability bits, then flags. */
const GOSSIP = 1;
const FLAG_REQUEST = 1;
const FLAG_RESPONSE = 2;

/** Who the peer is. The node id may come later, from the registry. */
export interface PeerSelf {
  nodeId: number;
  readonly identity: PeerIdentity;
  exchange: PeerExchange;
}

/** What the key exchange needs of the rest. */
export interface ExchangeSetup {
  readonly self: PeerSelf;
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly random: Random;
  /** Whether a beacon is known. */
  readonly hasRelay: () => boolean;
  /** Sends a frame along the contact's path, or by force. */
  readonly sendFrame: (contact: Contact, frame: Uint8Array, way?: 'direct' | 'relay') => unknown;
  /** Sends what was sealed for later: a plaintext packet. */
  readonly sendPlaintext: (contact: Contact, packet: Uint8Array) => void;
  /** The Ed25519 key that the registry has for a node; undefined when it cannot say. */
  readonly lookup: (nodeId: number, answer: (key: Uint8Array | undefined) => void) => void;
  readonly isTrusted: (nodeId: number) => boolean;
  /** Where a PILA came from becomes the contact's path. */
  readonly learnPath: (contact: Contact, from: Place, relayed: number | undefined) => void;
}

/** A key-exchange frame on its way through the checks. */
interface Arrival {
  readonly frame: LoggedFrame;
  readonly message: KeyExchange;
  readonly contact: Contact;
}

/** Key exchange with all nodes. */
export class KeyExchanges {
  readonly #setup: ExchangeSetup;
  /** Frames of the running second by source. */
  readonly #rates: Map<string, { second: number; count: number }> = new Map();

  constructor(setup: ExchangeSetup) {
    this.#setup = setup;
  }

  /** A packet waits for a key, or a key is wanted. */
  begin(contact: Contact): void {
    const { behaviour, transport } = this.#setup;
    if (!behaviour.retransmitsExchange) {
      this.sendPila(contact);
      return;
    }
    const { exchange } = contact;
    if (exchange.timer !== undefined || transport.now() < exchange.cooldownUntil) return;
    this.#attempt(contact);
  }

  /** Whether the cooldown after giving up lasts (DP 3.14: then packets are refused). */
  isCoolingDown(contact: Contact): boolean {
    return this.#setup.transport.now() < contact.exchange.cooldownUntil;
  }

  /** One PILA along the contact's path, and over the relay where the generation does that. */
  sendPila(contact: Contact, flags: number = FLAG_REQUEST): void {
    const { behaviour, sendFrame, hasRelay } = this.#setup;
    const pila = this.pila(flags);
    sendFrame(contact, pila);
    if (behaviour.relayCopy && !contact.isRelayed && hasRelay()) sendFrame(contact, pila, 'relay');
  }

  sendPilk(contact: Contact): void {
    const { self, behaviour, sendFrame, hasRelay } = this.#setup;
    const pilk = emitPilk(self.nodeId, self.exchange.publicKey);
    sendFrame(contact, pilk);
    if (behaviour.relayCopy && !contact.isRelayed && hasRelay()) sendFrame(contact, pilk, 'relay');
  }

  /** The PILA that this peer sends. */
  pila(flags: number = FLAG_REQUEST): Uint8Array {
    const { nodeId, identity, exchange } = this.#setup.self;
    const signature = identity.sign(signedExchange(nodeId, exchange.publicKey));
    const pila = emitPila({
      sender: nodeId,
      exchangeKey: exchange.publicKey,
      identityKey: identity.publicKey,
      signature,
    });
    if (!this.#setup.behaviour.forkTrailer) return pila;
    const bytes = new Uint8Array(PILA_BYTES + 2);
    bytes.set(pila);
    writeVarint(bytes, writeVarint(bytes, PILA_BYTES, GOSSIP), flags);
    return bytes;
  }

  /** A PILS came for which there is no key, or a session was lost. */
  recover(contact: Contact): void {
    const { behaviour, transport } = this.#setup;
    const now = transport.now();
    if (behaviour.silentAfterRestart || now - contact.exchange.lastRecoveryAt < behaviour.recoveryMs) return;
    contact.exchange.lastRecoveryAt = now;
    contact.exchange.isKeyDue = true;
    if (behaviour.retransmitsExchange) this.begin(contact);
    else this.sendPila(contact);
  }

  /** A PILA or PILK arrived. Sets the outcome, at once or when the registry has answered. */
  handle(frame: LoggedFrame, contact: Contact): void {
    const message = frame.exchange;
    if (message === undefined) {
      frame.outcome = 'malformed';
    } else if (!this.#isWithinRate(frame)) {
      frame.outcome = 'rate_limited';
    } else if (message.sender === this.#setup.self.nodeId) {
      frame.outcome = 'own_id';
    } else if (this.#setup.behaviour.strictTrust && !this.#setup.isTrusted(message.sender)) {
      frame.outcome = 'not_trusted';
    } else {
      const arrival = { frame, message, contact };
      if (message.authenticated) this.#handlePila(arrival);
      else this.#handlePilk(arrival);
    }
  }

  #attempt(contact: Contact): void {
    const { exchange } = contact;
    const { behaviour, transport, hasRelay } = this.#setup;
    exchange.timer = undefined;
    if (exchange.sends === SENDS) {
      contact.stopExchange();
      contact.pending.length = 0;
      exchange.cooldownUntil = transport.now() + COOLDOWN_MS;
      return;
    }
    if (exchange.sends === UNANSWERED_BEFORE_RELAY && hasRelay()) contact.isRelayed = true;
    this.sendPila(contact);
    exchange.sends += 1;
    // DP 3.10: never behind the first.
    if (behaviour.keyRequest && exchange.sends > 1) this.sendPilk(contact);
    exchange.timer = transport.setTimer(RETRY_MS, () => this.#attempt(contact));
  }

  #handlePila(arrival: Arrival): void {
    const { contact, message } = arrival;
    const { lookup } = this.#setup;
    const carried = message.identityKey!;
    if (contact.identityKey !== undefined && sameBytes(contact.identityKey, carried)) {
      this.#verify(arrival);
      return;
    }
    // DP 3.10: on a mismatch the cached key is dropped and the registry asked once more.
    arrival.frame.outcome = 'waits_for_registry';
    lookup(message.sender, (key) => {
      if (key === undefined) arrival.frame.outcome = 'key_unknown';
      else if (!sameBytes(key, carried)) arrival.frame.outcome = 'wrong_identity';
      else {
        contact.identityKey = key;
        this.#verify(arrival);
      }
    });
  }

  #verify(arrival: Arrival): void {
    const { frame, message } = arrival;
    const signed = signedExchange(message.sender, message.exchangeKey);
    if (!verifies(message.identityKey!, signed, message.signature!)) frame.outcome = 'bad_signature';
    else this.#install(arrival);
  }

  #install(arrival: Arrival): void {
    const { frame, message, contact } = arrival;
    const { self, behaviour, transport, random, learnPath } = this.#setup;
    const now = transport.now();
    const key = self.exchange.agree(message.exchangeKey);
    if (key === undefined) {
      frame.outcome = 'bad_point';
      return;
    }
    frame.outcome = 'ok';
    // DP 3.15: a new session counts as traffic.
    contact.lastTrafficAt = now;
    const isSame = contact.session !== undefined && sameBytes(contact.session.theirKey, message.exchangeKey);
    if (!isSame || behaviour.epochRestartOnPila) {
      contact.session = new PeerSession({
        key,
        theirKey: message.exchangeKey.slice(),
        prefix: random.next(),
        now,
        windowBeforeAead: behaviour.windowBeforeAead,
      });
    }
    contact.stopExchange();
    learnPath(contact, frame.place, frame.relayed);
    if (this.#replies(arrival, isSame, now)) {
      contact.exchange.lastReplyAt = now;
      this.sendPila(contact, FLAG_RESPONSE);
    }
    contact.exchange.lastPilaAt = now;
    const salvaged = isSame ? [] : contact.recent.filter(({ at }) => now - at <= SALVAGE_MS);
    contact.recent = [];
    for (const packet of contact.pending.splice(0)) this.#setup.sendPlaintext(contact, packet);
    for (const { bytes } of salvaged) this.#setup.sendPlaintext(contact, bytes);
  }

  #replies(arrival: Arrival, isSame: boolean, now: number): boolean {
    const { message, contact, frame } = arrival;
    const { behaviour } = this.#setup;
    if (!message.authenticated) return true;
    if (!isSame) return true;
    if (behaviour.forkTrailer && isForkRequest(frame.bytes)) return now - contact.exchange.lastReplyAt >= REPLY_MS;
    if (behaviour.replyRule === 'apr') return false;
    // The copies that took the direct way and the relay.
    if (now - contact.exchange.lastPilaAt <= DUPLICATE_MS) return false;
    return now - contact.lastOpenedAt > SILENCE_MS && now - contact.exchange.lastReplyAt >= REPLY_MS;
  }

  #handlePilk(arrival: Arrival): void {
    const { message, contact, frame } = arrival;
    const { behaviour, lookup, learnPath } = this.#setup;
    const answer = (key: Uint8Array | undefined): void => {
      if (key === undefined) {
        if (behaviour.acceptsAnonymous) this.#install(arrival);
        else frame.outcome = 'key_unknown';
        return;
      }
      frame.outcome = 'answered';
      contact.identityKey = key;
      if (contact.endpoint === undefined) learnPath(contact, frame.place, frame.relayed);
      this.sendPila(contact, FLAG_RESPONSE);
    };
    if (contact.identityKey !== undefined) answer(contact.identityKey);
    else lookup(message.sender, answer);
  }

  #isWithinRate(frame: LoggedFrame): boolean {
    const { behaviour, transport } = this.#setup;
    const source = frame.relayed === undefined ? frame.place.host : `#${frame.relayed}`;
    const second = Math.floor(transport.now() / 1000);
    const rate = this.#rates.get(source);
    if (rate === undefined || rate.second !== second) {
      this.#rates.set(source, { second, count: 1 });
      return true;
    }
    rate.count += 1;
    return rate.count <= behaviour.exchangesPerSecond;
  }
}

/** Whether FORK's trailer asks for an answer: two one-byte varints, the second with bit 0. */
function isForkRequest(pila: Uint8Array): boolean {
  if (pila.length !== PILA_BYTES + 2) return false;
  return (pila[PILA_BYTES + 1]! & FLAG_REQUEST) !== 0;
}

/** A fresh X25519 pair out of the generator. */
export function freshExchange(random: Random): PeerExchange {
  return exchangeOf(random.bytes(32));
}
