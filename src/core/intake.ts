/**
 * The road of a datagram from its first byte to the part that understands it (DP 3.1, 5.1): beacon messages, key
 * exchanges, and encrypted frames, which wait for their batch. What nobody takes is counted here.
 */
import type { Millis } from '../config.ts';
import { type Engine, RECORD_WORDS, RX } from '../engine/engine.ts';
import { readU32 } from '../wire/integers.ts';
import { MAGIC, PROTOCOL } from '../wire/packet.ts';
import type { Origin } from './admission.ts';
import { Arrivals } from './arrivals.ts';
import type { BeaconLink } from './beacon-link.ts';
import type { Carrier } from './carrier.ts';
import type { Control } from './control.ts';
import type { Datagrams } from './datagrams.ts';
import type { Departures } from './departures.ts';
import type { Gate } from './gate.ts';
import { NO_PATH, type Paths } from './paths.ts';
import type { Peer } from './peer.ts';
import type { Peers } from './peers.ts';
import type { Registration } from './registration.ts';
import type { Counters, DropReason } from './stats.ts';
import type { StreamPacket, Streams } from './streams.ts';
import type { Tunnels } from './tunnels.ts';

interface Parts {
  readonly engine: Engine;
  readonly owner: number;
  readonly counters: Counters;
  readonly carrier: Carrier;
  /** The path that stands for the WebSocket. */
  readonly socketPath: number;
  readonly paths: Paths;
  readonly peers: Peers;
  readonly departures: Departures;
  readonly beacon: BeaconLink;
  readonly registration: Registration;
  readonly tunnels: Tunnels;
  readonly control: Control;
  readonly gate: Gate;
  readonly streams: Streams;
  readonly datagrams: Datagrams;
}

/** What became of a datagram. */
export const INTAKE = {
  /** Handled, or dropped and counted. */
  done: 0,
  /** Waits for `handleBatch`. */
  waits: 1,
  /** Not taken: no slot is free. */
  full: 2,
} as const;

const FRAME_MAGIC_BYTES = 4;
/** A smaller first byte is a beacon message. */
const BEACON_TYPES = 0x10;
/** Where a frame names its sender. */
const SENDER = 4;
const SENDER_END = 8;

/** Frames that are never taken, by their magic. */
const REFUSED: { readonly [magic: number]: DropReason } = {
  [MAGIC.PILT]: 'plaintext',
  [MAGIC.PILP]: 'punch',
  [MAGIC.PILF]: 'fragment',
};

/** The incoming half of one endpoint. */
export class Intake {
  readonly #parts: Parts;
  readonly #arrivals: Arrivals;
  readonly #origins: Origin[] = [];
  /** One object for all packets. */
  readonly #packet: { -readonly [field in keyof StreamPacket]: StreamPacket[field] };

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#arrivals = new Arrivals(parts.engine, parts.owner);
    const segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
    this.#packet = { network: 0, localNetwork: 0, peerPort: 0, localPort: 0, segment };
  }

  /** Whether the next encrypted frame would find the batch full. */
  get isFull(): boolean {
    return this.#arrivals.isFull;
  }

  /** Takes a datagram. @param bytes - Borrowed. @returns One of `INTAKE`. */
  handle(now: Millis, path: number, bytes: Uint8Array): number {
    if (bytes.length === 0) return this.#drop('tooShort');
    const isCarried = path === this.#parts.socketPath;
    if (isCarried !== (this.#parts.carrier.name === 'websocket')) return this.#drop('otherCarrier');
    // Over the WebSocket there is nobody but the beacon, and nothing without its envelope (DP 4.11).
    if (isCarried) return bytes[0]! >= BEACON_TYPES ? this.#drop('beaconUnasked') : this.#handleBeacon(now, bytes);
    if (bytes[0]! >= BEACON_TYPES) return this.#handleFrame(now, bytes, this.#originOf(path));
    if (path !== this.#parts.departures.beaconPath) return this.#drop('notFromBeacon');
    return this.#handleBeacon(now, bytes);
  }

  /** Opens the frames that wait and hands their packets on. */
  handleBatch(now: Millis): void {
    const count = this.#arrivals.open();
    for (let i = 0; i < count; i++) {
      const origin = this.#arrivals.origin(i);
      const peer = this.#parts.tunnels.handleRecord(now, i * RECORD_WORDS, origin);
      if (peer !== undefined) this.#dispatch(now, peer, i * RECORD_WORDS, origin);
    }
    this.#arrivals.release();
  }

  /** Forgets what waits. */
  close(): void {
    this.#arrivals.release();
  }

  #handleFrame(now: Millis, bytes: Uint8Array, origin: Origin): number {
    if (bytes.length < FRAME_MAGIC_BYTES) return this.#drop('tooShort');
    const magic = readU32(bytes, 0);
    if (magic !== MAGIC.PILS && magic !== MAGIC.PILA && magic !== MAGIC.PILK) {
      return this.#drop(REFUSED[magic] ?? 'unknownMagic');
    }
    if (bytes.length < SENDER_END) return this.#drop('tooShort');
    // DP 3.2: honest senders name the same node in the envelope and in the frame.
    if (origin.isRelayed && readU32(bytes, SENDER) !== origin.sender) return this.#drop('relayMismatch');
    if (magic === MAGIC.PILS) return this.#arrivals.add(bytes, origin) ? INTAKE.waits : INTAKE.full;
    this.#parts.tunnels.handleExchange(now, bytes, origin);
    return INTAKE.done;
  }

  #handleBeacon(now: Millis, bytes: Uint8Array): number {
    const { beacon, departures, registration, tunnels, paths, carrier } = this.#parts;
    const news = beacon.handle(now, bytes);
    switch (news?.type) {
      case 'frame': {
        const source = `relay ${news.sender}`;
        const origin = { path: departures.beaconPath, isRelayed: true, sender: news.sender, source };
        return this.#handleFrame(now, bytes.subarray(news.offset), origin);
      }
      case 'reflexive':
        if (carrier.name === 'websocket' || !registration.handleReflexive(now, news.host, news.port)) {
          return this.#drop('beaconUnasked');
        }
        carrier.handleReflexive();
        break;
      case 'punch':
        if (carrier.name === 'websocket') return this.#drop('beaconUnasked');
        tunnels.punch(paths.intern(news.host, news.port));
        break;
      case 'notify':
        registration.handleNotify(now);
    }
    return INTAKE.done;
  }

  /** One object per path, so that a frame costs none. */
  #originOf(path: number): Origin {
    const known = this.#origins[path];
    const source = this.#parts.paths.host(path);
    if (known !== undefined && known.source === source) return known;
    const origin = { path, isRelayed: false, sender: 0, source };
    this.#origins[path] = origin;
    return origin;
  }

  /** Hands an authenticated packet to its protocol. */
  #dispatch(now: Millis, peer: Peer, at: number, origin: Origin): void {
    const { receive, memory } = this.#parts.engine;
    const start = receive[at + RX.payloadPtr]!;
    const payload = memory.subarray(start, start + receive[at + RX.payloadLen]!);
    const packet = this.#read(at, payload.length);
    const { streams, gate, datagrams, control, peers } = this.#parts;
    switch (receive[at + RX.kind]! & 0xff) {
      case PROTOCOL.stream:
        // Connections that exist were let in before; trust that ends takes them down (trust-delivery.ts).
        if (streams.find(peer, packet) !== undefined || gate.admitsStream(now, peer, packet)) {
          streams.handle(now, peer, packet, payload);
        }
        return;
      case PROTOCOL.datagram:
        if (payload.length === 0) this.#drop('badPacket');
        else if (gate.admits(now, peer, packet.localPort)) {
          peer.usedAt = now;
          datagrams.handle(peer, packet, payload);
        }
        return;
      case PROTOCOL.control:
        control.handle(now, peer, packet, { payload, from: origin.isRelayed ? NO_PATH : origin.path });
        peers.touch(peer);
        return;
      default:
        this.#drop('unknownProtocol');
    }
  }

  #read(at: number, payloadLength: number): StreamPacket {
    const { receive } = this.#parts.engine;
    const ports = receive[at + RX.ports]!;
    const networks = receive[at + RX.networks]!;
    const packet = this.#packet;
    packet.network = networks >>> 16;
    packet.localNetwork = networks & 0xffff;
    packet.peerPort = ports >>> 16;
    packet.localPort = ports & 0xffff;
    const { segment } = packet;
    segment.flags = (receive[at + RX.kind]! >>> 8) & 0xf;
    segment.seq = receive[at + RX.seq]!;
    segment.ack = receive[at + RX.ack]!;
    segment.windowSegments = receive[at + RX.window]!;
    segment.payloadLength = payloadLength;
    return packet;
  }

  #drop(reason: DropReason): number {
    this.#parts.counters.drop(reason);
    return INTAKE.done;
  }
}
