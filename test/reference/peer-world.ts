/**
 * A small world for scripted peers alone: a virtual clock, datagrams that are late or lost, and a beacon that discovers,
 * relays and sends for punches. Node n is at 10.0.0.n:4000. For peers among themselves; src/testing is the real one.
 */
import { emitDelivery, emitDiscoverReply, emitPunchCommand, parseBeacon } from '../../src/wire/beacon.ts';
import { formatHostPort } from '../../src/wire/host-port.ts';
import { type Random, random } from './hostile.ts';
import { type PeerOptions, ReferencePeer } from './peer.ts';
import type { Place } from './peer-log.ts';
import type { PeerTimer, PeerTransport } from './peer-socket.ts';

/** Where the beacon of every world is. */
export const BEACON_PLACE: Place = { host: '10.0.0.254', port: 9001 };

/** How a world is made. */
export interface WorldOptions {
  readonly seed?: number;
  /** One way, ms. */
  readonly delayMs?: number;
  /** More delay at random, which reorders. */
  readonly jitterMs?: number;
  /** Chance to lose a datagram. */
  readonly loss?: number;
}

interface Happening {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** The virtual world. */
export class PeerWorld {
  now = 0;
  readonly peers: ReferencePeer[] = [];
  /** Datagrams that did not arrive. */
  lost = 0;
  /** Loses a datagram when true; called for each, after the chance. */
  drop: (bytes: Uint8Array, from: Place, to: Place) => boolean = () => false;
  readonly #options: Required<WorldOptions>;
  readonly #random: Random;
  readonly #sockets: Map<string, (bytes: Uint8Array, from: Place) => void> = new Map();
  /** Node id → place, as the beacon has it. */
  readonly #nodes: Map<number, Place> = new Map();
  #happenings: Happening[] = [];
  #order = 0;

  constructor(options: WorldOptions = {}) {
    this.#options = { seed: 1, delayMs: 10, jitterMs: 0, loss: 0, ...options };
    this.#random = random(this.#options.seed);
    this.#sockets.set(formatHostPort(BEACON_PLACE.host, BEACON_PLACE.port), (bytes, from) => this.#beacon(bytes, from));
  }

  /** A peer of this world. All peers are introduced to each other. @param options - Without `transport`. */
  add(options: Omit<PeerOptions, 'transport'> & { nodeId: number }): ReferencePeer {
    const place = placeOf(options.nodeId);
    const peer = new ReferencePeer({ ...options, transport: this.transport(place) });
    this.attach(place, (bytes, from) => peer.handleDatagram(bytes, from));
    for (const other of this.peers) {
      other.introduce(peer.introduction(place));
      peer.introduce(other.introduction(placeOf(other.nodeId)));
    }
    this.peers.push(peer);
    return peer;
  }

  /** Takes the datagrams to a place. */
  attach(place: Place, handler: (bytes: Uint8Array, from: Place) => void): void {
    this.#sockets.set(formatHostPort(place.host, place.port), handler);
  }

  /** The network as seen from a place. */
  transport(place: Place): PeerTransport {
    return {
      now: () => this.now,
      send: (bytes, to) => this.#send(bytes, place, to),
      setTimer: (delayMs, callback) => this.#at(this.now + delayMs, callback),
    };
  }

  /** Time passes. */
  run(ms: number): void {
    this.runUntil(() => false, ms);
  }

  /** Time passes until something is so. @returns Whether it became so within `limitMs`. */
  runUntil(isSo: () => boolean, limitMs: number): boolean {
    const end = this.now + limitMs;
    while (!isSo()) {
      const next = this.#happenings[0];
      if (next === undefined || next.at > end) {
        this.now = end;
        return isSo();
      }
      this.#happenings.shift();
      this.now = next.at;
      next.run();
    }
    return true;
  }

  #at(at: number, run: () => void): PeerTimer {
    const happening = { at, order: this.#order++, run };
    let low = 0;
    for (let high = this.#happenings.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (this.#happenings[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    this.#happenings.splice(low, 0, happening);
    return {
      cancel: () => {
        const index = this.#happenings.indexOf(happening);
        if (index >= 0) this.#happenings.splice(index, 1);
      },
    };
  }

  #send(bytes: Uint8Array, from: Place, to: Place): void {
    const { delayMs, jitterMs, loss } = this.#options;
    if (this.#random.chance(loss) || this.drop(bytes, from, to)) {
      this.lost += 1;
      return;
    }
    const late = jitterMs === 0 ? 0 : (this.#random.below(1000) / 1000) * jitterMs;
    const handler = this.#sockets.get(formatHostPort(to.host, to.port));
    if (handler !== undefined) this.#at(this.now + delayMs + late, () => handler(bytes, from));
  }

  #beacon(bytes: Uint8Array, from: Place): void {
    const message = parseBeacon(bytes);
    const answer = (reply: Uint8Array, to: Place): void => this.#send(reply, BEACON_PLACE, to);
    if (message?.type === 'discover') {
      if (message.nodeId !== 0) this.#nodes.set(message.nodeId, from);
      answer(emitDiscoverReply(from.host, from.port), from);
    } else if (message?.type === 'punchRequest') {
      this.#nodes.set(message.requester, from);
      const target = this.#nodes.get(message.target);
      if (target === undefined) return;
      answer(emitPunchCommand(target.host, target.port), from);
      answer(emitPunchCommand(from.host, from.port), target);
    } else if (message?.type === 'relay') {
      const target = this.#nodes.get(message.destination);
      if (target !== undefined) answer(emitDelivery(message.sender, bytes.subarray(message.frameOffset)), target);
    }
  }
}

/** Where node `nodeId` of a world is. */
export function placeOf(nodeId: number): Place {
  return { host: `10.0.0.${nodeId}`, port: 4000 };
}
