/**
 * What a scripted peer knows of one other node: key, session, path, and the packets that wait or may be sent again
 * (DP 3.9, 3.14, 4.9).
 */
import type { Place } from './peer-log.ts';
import type { PeerSession } from './peer-session.ts';
import type { PeerTimer } from './peer-socket.ts';

const DIRECT_FRAMES_TO_LEAVE = 3;
const BLACK_HOLE_MS = 8000;
const BLACK_HOLE_OBSERVATIONS = 3;
/** DP does not say how far apart; without a distance one burst after a pause would do. */
const OBSERVATION_MS = 1000;

/** Key exchange with one node. */
export interface ExchangeState {
  /** PILA sent without an answer. */
  sends: number;
  timer: PeerTimer | undefined;
  cooldownUntil: number;
  /** A repeated PILA is followed by a PILK. */
  isKeyDue: boolean;
  lastReplyAt: number;
  lastPilaAt: number;
  lastRecoveryAt: number;
}

/** A packet as it went out, for the salvage. */
export interface SentPacket {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** One node. */
export class Contact {
  readonly nodeId: number;
  /** Ed25519, as the registry or the test says. */
  identityKey: Uint8Array | undefined;
  /** Where it is; undefined until somebody said so. */
  endpoint: Place | undefined;
  session: PeerSession | undefined;
  /** All goes through the beacon. */
  isRelayed = false;
  /** Direct frames do not lead away from the relay. */
  isPinned = false;
  /** Something authenticated came directly, be it a PILA. */
  hasDirect = false;
  /** The relay is only where the key came from (DP 4.10). */
  isRelayedByKey = false;
  /** Whether a first contact was begun. */
  isAdded = false;
  readonly pending: Uint8Array[] = [];
  recent: SentPacket[] = [];
  readonly exchange: ExchangeState = {
    sends: 0,
    timer: undefined,
    cooldownUntil: Number.NEGATIVE_INFINITY,
    isKeyDue: false,
    lastReplyAt: Number.NEGATIVE_INFINITY,
    lastPilaAt: Number.NEGATIVE_INFINITY,
    lastRecoveryAt: Number.NEGATIVE_INFINITY,
  };
  lastSendAt = Number.NEGATIVE_INFINITY;
  lastOpenedAt = Number.NEGATIVE_INFINITY;
  /** Application traffic, for the end of upkeep. */
  lastTrafficAt = Number.NEGATIVE_INFINITY;
  #directFrames = 0;
  #directSince = Number.NEGATIVE_INFINITY;
  #observations = 0;
  #observedAt = Number.NEGATIVE_INFINITY;

  constructor(nodeId: number) {
    this.nodeId = nodeId;
  }

  /** A frame authenticated that came straight from `from`. @param isSticky - The relay is never left. */
  receivedDirectly(now: number, from: Place, isSticky: boolean): void {
    this.endpoint = from;
    this.hasDirect = true;
    this.#directFrames += 1;
    this.#directSince = now;
    this.#observations = 0;
    if (this.#directFrames < DIRECT_FRAMES_TO_LEAVE || this.isPinned || isSticky) return;
    this.isRelayed = false;
  }

  /** A frame authenticated that came through the beacon. */
  receivedRelayed(): void {
    this.#observations = 0;
  }

  /** A frame is about to go directly. @returns Whether nothing comes back that way: the relay then, pinned. */
  observeDirectSend(now: number): boolean {
    if (this.#directSince === Number.NEGATIVE_INFINITY) this.#directSince = now;
    if (now - this.#directSince <= BLACK_HOLE_MS || now - this.#observedAt < OBSERVATION_MS) return false;
    this.#observedAt = now;
    this.#observations += 1;
    if (this.#observations < BLACK_HOLE_OBSERVATIONS) return false;
    this.isRelayed = true;
    this.isPinned = true;
    this.#directFrames = 0;
    return true;
  }

  /** Keeps a packet for the salvage. */
  remember(now: number, bytes: Uint8Array, most: number): void {
    if (most === 0) return;
    this.recent.push({ at: now, bytes });
    if (this.recent.length > most) this.recent.shift();
  }

  /** Forgets keys and path, keeps what the registry says. */
  reset(): void {
    this.session = undefined;
    this.isRelayed = false;
    this.isPinned = false;
    this.hasDirect = false;
    this.isRelayedByKey = false;
    this.isAdded = false;
    this.pending.length = 0;
    this.recent = [];
    this.stopExchange();
    this.exchange.lastPilaAt = Number.NEGATIVE_INFINITY;
    this.exchange.lastReplyAt = Number.NEGATIVE_INFINITY;
    this.exchange.lastRecoveryAt = Number.NEGATIVE_INFINITY;
    this.exchange.cooldownUntil = Number.NEGATIVE_INFINITY;
    this.#directFrames = 0;
    this.#directSince = Number.NEGATIVE_INFINITY;
    this.#observations = 0;
  }

  stopExchange(): void {
    this.exchange.timer?.cancel();
    this.exchange.timer = undefined;
    this.exchange.sends = 0;
    this.exchange.isKeyDue = false;
  }
}
