/**
 * The beacon's WebSocket road (DP 4.11): every client proves its node id by signing a challenge, then its messages go
 * to the beacon, and what the beacon has for it comes back. Clients that say anything else, say nothing, or do not read
 * are closed with a code that tells why (wire/compat.ts); the others do not notice.
 */
import type { Host, MaybePromise, ServerWebSocketHandler, ServerWebSocketLink, WebSocketEnd } from '../carrier/host.ts';
import { BUDGETS, type Bytes, type Millis, STRANGER, WAITING_MESSAGE_BYTES } from '../config.ts';
import { toHex } from '../wire/base64.ts';
import {
  CHALLENGE_PASSED,
  type Challenge,
  type ChallengeReply,
  challengeText,
  emitChallenge,
  parseChallengeReply,
  WEB_CLOSE,
} from '../wire/compat.ts';
import type { Beacon, EndpointAuthority } from './beacon.ts';
import { Budget, sourceOf } from './budget.ts';
import { Tally } from './tally.ts';

/** What is counted of clients: how they came, and why they had to go. */
export type BridgeCount =
  | 'bridgeOpened'
  | 'bridgeProven'
  | 'bridgeReplaced'
  | 'bridgeUnproven'
  | 'bridgeStale'
  | 'bridgeNotRegistered'
  | 'bridgeBadSignature'
  | 'bridgeVerifyBudget'
  | 'bridgeForeignSender'
  | 'bridgeText'
  | 'bridgeSilent'
  | 'bridgeSlow'
  | 'bridgeDropped';

/** Bounds of one client and of all. */
export const BRIDGE_LIMITS = {
  /** Until the challenge is answered, and how old it may be by the wall clock (DP 4.11). */
  proofMs: 10_000,
  toleranceMs: 30_000,
  pingMs: 30_000,
  idleMs: 90_000,
  /** Waits for one client, and for all: more is dropped, as on a full line. */
  waitingBytes: 1_048_576,
  allWaitingBytes: 67_108_864,
  /** A client that takes nothing for so long while something waits. */
  stallMs: 10_000,
} as const;

/** What the bridge needs of the server. */
export interface BridgeParts {
  readonly host: Host;
  readonly beacon: Beacon;
  /** What the registry has of a node now. */
  readonly authority: (nodeId: number) => MaybePromise<EndpointAuthority | undefined>;
  /** Runs after the beacon got something: it may have something to send. */
  readonly onHeard: () => void;
}

/** Who is at the other end of a link. */
export interface BridgeCaller {
  readonly host: string;
  /** May do a hundred times as much. */
  readonly isTrusted: boolean;
}

interface Client extends BridgeCaller {
  readonly link: ServerWebSocketLink;
  readonly path: number;
  readonly challenge: Challenge;
  readonly openedAt: Millis;
  /** 0 until proven. */
  nodeId: number;
  isVerifying: boolean;
  seenAt: Millis;
  pingAt: Millis;
  sentBytes: Bytes;
  /** Of those, how many the network had taken at the last tick, and when that last became more. */
  takenBytes: Bytes;
  takenAt: Millis;
}

const NONCE_BYTES = 32;
const SOURCES = 65_536;
const ENCODER: TextEncoder = new TextEncoder();

/** All clients of one beacon. */
export class Bridge {
  readonly tally: Tally<BridgeCount> = new Tally<BridgeCount>();
  readonly #parts: BridgeParts;
  /** By path. */
  readonly #clients = new Map<number, Client>();
  readonly #byNode = new Map<number, Client>();
  /** Closed by us, and not gone yet: what waits for them still takes room. */
  readonly #leaving = new Set<Client>();
  readonly #verifications: Budget = new Budget({
    perSecond: BUDGETS.verificationsPerSecond[STRANGER],
    burst: BUDGETS.verificationsPerSecond[STRANGER],
    capacity: SOURCES,
  });
  /** Waiting for all clients: as counted at the last tick, and what was sent since. */
  #waitingBytes: Bytes = 0;
  #nextPath = 1;

  constructor(parts: BridgeParts) {
    this.#parts = parts;
  }

  /** Takes a link that a client opened. */
  accept(link: ServerWebSocketLink, caller: BridgeCaller): ServerWebSocketHandler {
    const now = this.#parts.host.now();
    const nonce = new Uint8Array(NONCE_BYTES);
    this.#parts.host.random(nonce);
    const challenge = { nonce: toHex(nonce), ts: Math.floor(this.#parts.host.unixNow() / 1_000) };
    const client: Client = {
      ...{ link, host: caller.host, isTrusted: caller.isTrusted, path: this.#nextPath++, challenge, openedAt: now },
      ...{ nodeId: 0, isVerifying: false, seenAt: now, pingAt: now + BRIDGE_LIMITS.pingMs },
      ...{ sentBytes: 0, takenBytes: 0, takenAt: now },
    };
    this.#clients.set(client.path, client);
    this.tally.add('bridgeOpened');
    return {
      open: () => link.send(emitChallenge(challenge)),
      message: (message) => this.#handleMessage(client, message),
      alive: () => {
        client.seenAt = this.#parts.host.now();
      },
      closed: (end) => this.#handleClosed(client, end),
    };
  }

  /** Sends a beacon's datagram to the client of a path. @param bytes - Borrowed. */
  send(path: number, bytes: Uint8Array): void {
    const client = this.#clients.get(path);
    if (client === undefined) return;
    // Never less than the link adds: a client that reads must not look as if it did not.
    const cost = bytes.length + WAITING_MESSAGE_BYTES;
    const isFull = client.link.bufferedBytes + cost > BRIDGE_LIMITS.waitingBytes;
    if (isFull || this.#waitingBytes + cost > BRIDGE_LIMITS.allWaitingBytes) {
      this.tally.add('bridgeDropped');
      return;
    }
    client.sentBytes += cost;
    this.#waitingBytes += cost;
    client.link.send(bytes);
  }

  /** Asks for signs of life and ends what gives none. To be called about once a second. */
  handleTick(): void {
    const now = this.#parts.host.now();
    this.#waitingBytes = 0;
    for (const { link } of this.#leaving) this.#waitingBytes += link.bufferedBytes;
    for (const client of this.#clients.values()) {
      const { link } = client;
      const waiting = link.bufferedBytes;
      this.#waitingBytes += waiting;
      const taken = client.sentBytes - waiting;
      if (waiting === 0 || taken > client.takenBytes) client.takenAt = now;
      client.takenBytes = taken;
      if (client.nodeId === 0 && now - client.openedAt >= BRIDGE_LIMITS.proofMs) {
        this.#refuse(client, 'bridgeUnproven', WEB_CLOSE.notProven);
      } else if (now - client.takenAt >= BRIDGE_LIMITS.stallMs) {
        this.#refuse(client, 'bridgeSlow', WEB_CLOSE.slow);
      } else if (now - client.seenAt >= BRIDGE_LIMITS.idleMs) {
        this.#refuse(client, 'bridgeSilent', WEB_CLOSE.silent);
      } else if (now >= client.pingAt) {
        client.pingAt = now + BRIDGE_LIMITS.pingMs;
        link.ping();
      }
    }
  }

  /** Tells all clients that the server goes away. */
  close(): void {
    for (const client of [...this.#clients.values()]) this.#close(client, WEB_CLOSE.goingAway, 'the server ends');
  }

  #handleMessage(client: Client, message: Uint8Array | string): void {
    // What was under way when we closed it.
    if (!this.#clients.has(client.path)) return;
    client.seenAt = this.#parts.host.now();
    if (client.nodeId === 0) {
      this.#prove(client, message);
    } else if (typeof message === 'string') {
      this.#refuse(client, 'bridgeText', WEB_CLOSE.wrongKind);
    } else if (this.#parts.beacon.handleCarried(client.seenAt, client.nodeId, message)) {
      this.#parts.onHeard();
    } else {
      this.#refuse(client, 'bridgeForeignSender', WEB_CLOSE.foreignSender);
    }
  }

  /** The one answer to the challenge, in the order of the price. */
  #prove(client: Client, message: Uint8Array | string): void {
    const { host } = this.#parts;
    const reply = typeof message === 'string' && !client.isVerifying ? parseChallengeReply(message) : undefined;
    if (reply === undefined) {
      this.#refuse(client, 'bridgeUnproven', WEB_CLOSE.notProven);
      return;
    }
    if (Math.abs(host.unixNow() - client.challenge.ts * 1_000) > BRIDGE_LIMITS.toleranceMs) {
      this.#refuse(client, 'bridgeStale', WEB_CLOSE.notProven);
      return;
    }
    client.isVerifying = true;
    if (!this.#verifications.take(host.now(), sourceOf(client.host), client.isTrusted)) {
      this.#refuse(client, 'bridgeVerifyBudget', WEB_CLOSE.busy);
      return;
    }
    whenDone(this.#parts.authority(reply.nodeId), (authority) => this.#verify(client, reply, authority));
  }

  /** The registry's key counts, and the one that was sent must be that. */
  #verify(client: Client, reply: ChallengeReply, authority: EndpointAuthority | undefined): void {
    if (authority === undefined) {
      this.#refuse(client, 'bridgeNotRegistered', WEB_CLOSE.notRegistered);
      return;
    }
    const { publicKey } = authority;
    if (!publicKey.every((byte, i) => byte === reply.publicKey[i])) {
      this.#refuse(client, 'bridgeBadSignature', WEB_CLOSE.notProven);
      return;
    }
    const text = ENCODER.encode(challengeText(reply.nodeId, client.challenge));
    whenDone(this.#parts.host.jobs.verify(publicKey, text, reply.signature), (isValid) => {
      if (isValid === true) this.#admit(client, reply.nodeId);
      else this.#refuse(client, 'bridgeBadSignature', WEB_CLOSE.notProven);
    });
  }

  /** The newest link of a node is the one; the other end of the older is told not to come back. */
  #admit(client: Client, nodeId: number): void {
    if (!this.#clients.has(client.path)) return;
    const older = this.#byNode.get(nodeId);
    client.nodeId = nodeId;
    this.#byNode.set(nodeId, client);
    this.#parts.beacon.attach(nodeId, client);
    this.tally.add('bridgeProven');
    client.link.send(CHALLENGE_PASSED);
    if (older !== undefined) this.#refuse(older, 'bridgeReplaced', WEB_CLOSE.replaced);
  }

  #refuse(client: Client, count: BridgeCount, code: number): void {
    if (!this.#clients.has(client.path)) return;
    this.tally.add(count);
    this.#close(client, code, count);
  }

  #close(client: Client, code: number, reason: string): void {
    this.#forget(client);
    this.#leaving.add(client);
    client.link.close(code, reason);
  }

  #handleClosed(client: Client, _end: WebSocketEnd): void {
    this.#leaving.delete(client);
    this.#forget(client);
  }

  #forget(client: Client): void {
    this.#clients.delete(client.path);
    if (this.#byNode.get(client.nodeId) === client) this.#byNode.delete(client.nodeId);
    if (client.nodeId !== 0) this.#parts.beacon.detach(client.nodeId, client.path);
  }
}

/** Now or later; a failure is no answer. */
function whenDone<T>(result: MaybePromise<T>, then: (result: T | undefined) => void): void {
  if (result instanceof Promise) result.then(then, () => then(undefined));
  else then(result);
}
