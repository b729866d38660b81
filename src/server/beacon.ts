/**
 * The beacon: tells nodes their reflexive address, coordinates punches, relays frames (DP 4). It has no socket and no
 * clock. Endpoints are what it must get right: whoever holds a node's endpoint gets its relayed frames, so an endpoint
 * moves only on good grounds (design: decision 12; endpoints.ts). Everything else here is best effort.
 */
import type { Millis } from '../config.ts';
import {
  BEACON,
  type BeaconMessage,
  type DiscoverMessage,
  emitDiscoverReply,
  emitNotify,
  emitPunchCommand,
  emitSync,
  parseBeacon,
  RELAY_BYTES,
  writeDeliveryHeader,
} from '../wire/beacon.ts';
import { readU32 } from '../wire/integers.ts';
import { Budget, isLocalHost } from './budget.ts';
import { Carried, type CarriedNode } from './carried.ts';
import {
  type Endpoint,
  type EndpointAuthority,
  type EndpointCount,
  Endpoints,
  type Origin,
  type VerifyJob,
} from './endpoints.ts';
import { Tally } from './tally.ts';

export type { EndpointAuthority, Origin, VerifyJob } from './endpoints.ts';

/** How a beacon behaves; figures are the newer column of DP 4.7. Sources that are trusted may do a hundred times as much. */
export interface BeaconOptions {
  /** What it calls itself to other beacons. */
  readonly id?: number;
  /** What the registry knows of a node. Omitted: this beacon stands alone. Undefined answer: there is no such node. */
  readonly authority?: (nodeId: number) => EndpointAuthority | undefined;
  /** Whether `requester` may learn where `target` is. Omitted: everyone may. */
  readonly mayPunch?: (requester: number, target: number) => boolean;
  /** Beacons whose announcements count. */
  readonly peers?: readonly Origin[];
  /** Omitted: this machine's own addresses. */
  readonly isTrustedSource?: (host: string) => boolean;
  /** Most nodes known at a time. */
  readonly nodes?: number;
  readonly relayPacketsPerSecond?: number;
  readonly punchesPerSecond?: number;
  /** Between any two punch requests; 0, the default, is none: 100 ms would starve a private server. */
  readonly punchGapMs?: Millis;
}

/** What is counted. */
export type BeaconCount =
  | EndpointCount
  | 'datagrams'
  | 'discovers'
  | 'punches'
  | 'relayed'
  | 'forwarded'
  | 'notified'
  | 'syncs'
  | 'malformed'
  | 'unexpectedType'
  | 'nodesFull'
  | 'punchLimited'
  | 'punchNotAllowed'
  | 'punchUnknown'
  | 'punchRelayOnly'
  | 'foreignSender'
  | 'relayLimited'
  | 'relayUnknown'
  | 'syncFromStranger'
  | 'notifyUnknown';

/** A datagram to send. Borrowed, the object too, until the next call of any method of the beacon. */
export interface BeaconTransmit {
  /** The path that the node's endpoint came in on; -1 for a configured beacon that was not heard yet. */
  readonly path: number;
  /** Empty, and the port 0, where the path is a link. */
  readonly host: string;
  readonly port: number;
  readonly bytes: Uint8Array;
}

interface Peer extends Origin {
  nodeIds: ReadonlySet<number>;
  path: number;
  heardAt: Millis;
}

const RELAY_SENDER = 1;
const RELAY_DESTINATION = 5;
/** Where a delivery begins in the buffer of its relay: the headers end at the same byte. */
const DELIVERY_OFFSET = 4;
const SWEEP_MS = 60_000;
const SYNC_MS = 10_000;
/** DP 4.6. */
const PEER_FORGET_MS = 90_000;
const NOTIFY_MS = 1_000;
const NOTIFY_MAIL = 1;
/** What one datagram of IPv4 holds. */
const SYNC_NODES = 16_375;
const SOURCES = 65_536;
const NO_PATH = -1;

/** One beacon. Drain `pollTransmit` and `pollJob` after every call. */
export class Beacon {
  readonly tally: Tally<BeaconCount> = new Tally<BeaconCount>();
  readonly #id: number;
  readonly #endpoints: Endpoints;
  readonly #carried: Carried = new Carried();
  readonly #mayPunch: (requester: number, target: number) => boolean;
  readonly #isTrusted: (host: string) => boolean;
  readonly #peers: Peer[];
  readonly #punches: Budget;
  readonly #relays: Budget;
  readonly #punchGapMs: Millis;
  #punchedAt: Millis = Number.NEGATIVE_INFINITY;
  #sweepAt: Millis = Number.NEGATIVE_INFINITY;
  #syncAt: Millis = Number.POSITIVE_INFINITY;
  /** Nodes that are to be poked, and when. */
  readonly #due = new Map<number, Millis>();
  /** Transmits, reused; those from `#next` to `#count` wait. */
  readonly #queue: { path: number; host: string; port: number; bytes: Uint8Array }[] = [];
  #next = 0;
  #count = 0;

  constructor(options: BeaconOptions = {}) {
    this.#id = options.id ?? 1;
    this.#endpoints = new Endpoints(this.tally, { authority: options.authority, limit: options.nodes ?? 500_000 });
    this.#mayPunch = options.mayPunch ?? (() => true);
    this.#isTrusted = options.isTrustedSource ?? isLocalHost;
    this.#peers = (options.peers ?? []).map(({ host, port }) => ({
      host,
      port,
      nodeIds: new Set<number>(),
      path: NO_PATH,
      heardAt: Number.NEGATIVE_INFINITY,
    }));
    const perSecond = options.punchesPerSecond ?? 1;
    this.#punches = new Budget({ perSecond, burst: Math.max(1, perSecond), capacity: SOURCES });
    const relays = options.relayPacketsPerSecond ?? 4_000;
    this.#relays = new Budget({ perSecond: relays, burst: relays, capacity: SOURCES });
    this.#punchGapMs = options.punchGapMs ?? 0;
    if (this.#peers.length > 0) this.#syncAt = Number.NEGATIVE_INFINITY;
  }

  /** Nodes whose endpoint is known. */
  get nodeCount(): number {
    return this.#endpoints.size;
  }

  /** Nodes that have a link. */
  get carriedCount(): number {
    return this.#carried.size;
  }

  /** A node proved who it is on a link: what is for it goes there, whatever its endpoint was. */
  attach(nodeId: number, link: { path: number; isTrusted: boolean }): void {
    this.#carried.attach(nodeId, link);
  }

  /** The link ended. One that was replaced before leaves its successor alone. */
  detach(nodeId: number, path: number): void {
    this.#carried.detach(nodeId, path);
  }

  /**
   * Takes one message of a node's link (DP 4.11). There are no endpoints to tell or to punch to: a Discover gets no
   * reply, and a punch request nothing.
   *
   * @param bytes - As in `handleDatagram`.
   * @returns False: it speaks for another node than the one that proved itself (design: decision 12).
   */
  handleCarried(now: Millis, nodeId: number, bytes: Uint8Array): boolean {
    this.tally.add('datagrams');
    const message = parseBeacon(bytes);
    switch (message?.type) {
      case undefined:
        this.tally.add('malformed');
        return true;
      case 'relay':
        if (message.sender !== nodeId) return this.#isForeign();
        if (this.#relays.take(now, nodeId, this.#carried.get(nodeId)?.isTrusted === true))
          this.#forward(now, bytes, false);
        else this.tally.add('relayLimited');
        return true;
      case 'discover':
        if (message.nodeId !== nodeId && message.nodeId !== 0) return this.#isForeign();
        this.tally.add('discovers');
        return true;
      case 'punchRequest':
        if (message.requester !== nodeId) return this.#isForeign();
        this.tally.add('punchRelayOnly');
        return true;
      default:
        this.tally.add('unexpectedType');
        return true;
    }
  }

  /**
   * Takes one datagram.
   *
   * @param path - What the answer is to be sent through; whatever it is, it comes back in `pollTransmit`.
   * @param bytes - Borrowed until the transmits are drained: a relayed frame goes out in the buffer it came in, which
   * is written to.
   */
  handleDatagram(now: Millis, path: number, from: Origin, bytes: Uint8Array): void {
    this.tally.add('datagrams');
    if (bytes[0] === BEACON.relay && bytes.length >= RELAY_BYTES) {
      this.#relay(now, from, bytes);
      return;
    }
    const message = parseBeacon(bytes);
    switch (message?.type) {
      case undefined:
        this.tally.add('malformed');
        break;
      case 'discover':
        this.#discover(now, path, from, message);
        break;
      case 'punchRequest':
        this.#punch(now, path, from, message);
        break;
      case 'sync':
        this.#sync(now, path, from, message);
        break;
      default:
        // Replies, deliveries and pokes are for nodes.
        this.tally.add('unexpectedType');
    }
  }

  /** Result of a job from `pollJob`. Unknown ids are ignored. */
  handleJob(now: Millis, id: number, isValid: boolean): void {
    this.#endpoints.handleVerified(now, id, isValid);
  }

  /** A signature to verify; the bytes are owned by the caller. */
  pollJob(): VerifyJob | undefined {
    return this.#endpoints.pollJob();
  }

  /** Pokes a node: something waits for it at the registry (DP 4.6). At most once a second; later ones wait. */
  notify(now: Millis, nodeId: number): void {
    const endpoint = this.#carried.get(nodeId) ?? this.#endpoints.get(now, nodeId);
    if (endpoint === undefined) {
      this.tally.add('notifyUnknown');
      return;
    }
    if (this.#due.has(nodeId)) return;
    const dueAt = endpoint.notifiedAt + NOTIFY_MS;
    if (dueAt > now) this.#due.set(nodeId, dueAt);
    else this.#poke(now, endpoint);
  }

  handleTimeout(now: Millis): void {
    for (const [nodeId, dueAt] of this.#due) {
      if (dueAt > now) continue;
      this.#due.delete(nodeId);
      const endpoint = this.#carried.get(nodeId) ?? this.#endpoints.get(now, nodeId);
      if (endpoint !== undefined) this.#poke(now, endpoint);
    }
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + SWEEP_MS;
      this.#endpoints.sweep(now);
    }
    if (now >= this.#syncAt) {
      this.#syncAt = now + SYNC_MS;
      const known = new Set([...this.#carried.ids(SYNC_NODES), ...this.#endpoints.ids(now, SYNC_NODES)]);
      const announcement = emitSync(this.#id, [...known].slice(0, SYNC_NODES));
      for (const peer of this.#peers) this.#push(peer.path, peer.host, peer.port, announcement);
    }
  }

  pollTimeout(): Millis {
    let at = Math.min(this.#sweepAt, this.#syncAt);
    for (const dueAt of this.#due.values()) at = Math.min(at, dueAt);
    return at;
  }

  /** The next datagram to send. */
  pollTransmit(): BeaconTransmit | undefined {
    if (this.#next === this.#count) {
      this.#next = 0;
      this.#count = 0;
      return undefined;
    }
    const transmit = this.#queue[this.#next];
    this.#next += 1;
    return transmit;
  }

  /** DP 4.2. */
  #discover(now: Millis, path: number, from: Origin, message: DiscoverMessage): void {
    this.tally.add('discovers');
    if (message.nodeId !== 0 && !this.#endpoints.hasRoom(now, message.nodeId)) {
      this.tally.add('nodesFull');
      return;
    }
    // The true mapping, also where the endpoint is held back: that is the asker's business.
    this.#push(path, from.host, from.port, emitDiscoverReply(from.host, from.port));
    if (message.nodeId === 0) return;
    // It showed that it can sign, and is not silent: nobody takes a place in its name that it would fall back to.
    if (message.signature === undefined && this.#carried.get(message.nodeId) !== undefined) {
      this.tally.add('endpointHeld');
      return;
    }
    this.#endpoints.discover(now, { path, from, isTrusted: this.#isTrusted(from.host) }, message);
  }

  /** DP 4.4. The reference lets a punch request move the requester's endpoint; here it needs the same grounds. */
  #punch(now: Millis, path: number, from: Origin, message: Extract<BeaconMessage, { type: 'punchRequest' }>): void {
    const isGapOver = now - this.#punchedAt >= this.#punchGapMs;
    if (!isGapOver || !this.#punches.take(now, from.host, this.#isTrusted(from.host))) {
      this.tally.add('punchLimited');
      return;
    }
    this.#punchedAt = now;
    // A node on a link has no endpoint, or one that it left: the two go on through the relay.
    if (this.#carried.get(message.requester) !== undefined || this.#carried.get(message.target) !== undefined) {
      this.tally.add('punchRelayOnly');
      return;
    }
    const requester = this.#endpoints.claim(now, message.requester, { path, from });
    const target = this.#endpoints.get(now, message.target);
    if (requester === undefined || target === undefined || requester === target) {
      this.tally.add('punchUnknown');
      return;
    }
    if (!this.#mayPunch(message.requester, message.target)) {
      this.tally.add('punchNotAllowed');
      return;
    }
    this.tally.add('punches');
    this.#push(requester.path, requester.host, requester.port, emitPunchCommand(target.host, target.port));
    this.#push(target.path, target.host, target.port, emitPunchCommand(requester.host, requester.port));
  }

  /** DP 4.5. Header in place: `05 sender destination` becomes `.... 06 sender` in front of the same frame. */
  #relay(now: Millis, from: Origin, bytes: Uint8Array): void {
    const isFromPeer = this.#peers.length > 0 && this.#peerAt(from) !== undefined;
    const sender = readU32(bytes, RELAY_SENDER);
    if (!isFromPeer && !this.#mayRelay(now, sender, from)) {
      this.tally.add('relayLimited');
      return;
    }
    this.#forward(now, bytes, isFromPeer);
  }

  /** To the node's link, else to its endpoint, else to the beacon that announced it (DP 4.5). */
  #forward(now: Millis, bytes: Uint8Array, isFromPeer: boolean): void {
    const sender = readU32(bytes, RELAY_SENDER);
    const destination = readU32(bytes, RELAY_DESTINATION);
    const carried = this.#carried.get(destination);
    if (carried !== undefined) {
      this.tally.add('relayed');
      writeDeliveryHeader(bytes, DELIVERY_OFFSET, sender);
      this.#push(carried.path, '', 0, bytes.subarray(DELIVERY_OFFSET));
      return;
    }
    const target = this.#endpoints.get(now, destination);
    if (target !== undefined) {
      this.tally.add('relayed');
      if (target.isExtended) {
        bytes[0] = BEACON.deliveryExtended;
        this.#push(target.path, target.host, target.port, bytes);
      } else {
        writeDeliveryHeader(bytes, DELIVERY_OFFSET, sender);
        this.#push(target.path, target.host, target.port, bytes.subarray(DELIVERY_OFFSET));
      }
      return;
    }
    // What came from a beacon never goes to another: two that both announce a node would play ball.
    const peer = isFromPeer ? undefined : this.#peerOf(now, destination);
    if (peer === undefined) {
      this.tally.add('relayUnknown');
      return;
    }
    this.tally.add('forwarded');
    this.#push(peer.path, peer.host, peer.port, bytes);
  }

  /**
   * A sender at its known endpoint has a budget of its own. All others share one per source address: they may be right
   * (a mapping that just changed) or forged, and receivers authenticate what they get.
   */
  #mayRelay(now: Millis, sender: number, from: Origin): boolean {
    const own = this.#endpoints.get(now, sender);
    const isKnown = own !== undefined && own.port === from.port && own.host === from.host;
    if (isKnown) own.seenAt = now;
    return this.#relays.take(now, isKnown ? sender : from.host, this.#isTrusted(from.host));
  }

  /** DP 4.6; from configured peers only, for anyone can write the message. */
  #sync(now: Millis, path: number, from: Origin, message: Extract<BeaconMessage, { type: 'sync' }>): void {
    const peer = this.#peerAt(from);
    if (peer === undefined) {
      this.tally.add('syncFromStranger');
      return;
    }
    this.tally.add('syncs');
    peer.nodeIds = new Set(message.nodeIds);
    peer.path = path;
    peer.heardAt = now;
  }

  #peerAt(from: Origin): Peer | undefined {
    return this.#peers.find((peer) => peer.port === from.port && peer.host === from.host);
  }

  #peerOf(now: Millis, nodeId: number): Peer | undefined {
    return this.#peers.find((peer) => now - peer.heardAt <= PEER_FORGET_MS && peer.nodeIds.has(nodeId));
  }

  /** Over links, too: the reference pokes none, but its nodes take it from there (DP 4.5, receiver rule). */
  #poke(now: Millis, target: Endpoint | CarriedNode): void {
    target.notifiedAt = now;
    this.tally.add('notified');
    const { host, port } = 'host' in target ? target : { host: '', port: 0 };
    this.#push(target.path, host, port, emitNotify(NOTIFY_MAIL));
  }

  #isForeign(): false {
    this.tally.add('foreignSender');
    return false;
  }

  #push(path: number, host: string, port: number, bytes: Uint8Array): void {
    const slot = this.#queue[this.#count];
    if (slot === undefined) {
      this.#queue.push({ path, host, port, bytes });
    } else {
      slot.path = path;
      slot.host = host;
      slot.port = port;
      slot.bytes = bytes;
    }
    this.#count += 1;
  }
}
