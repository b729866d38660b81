/**
 * Takes segments out of the streams that have some and puts them in slots, a few of each in turn, within what the peers
 * of the existing network bear: relayed packets and SYNs are paced (DP 9.9, 9.11).
 */
import { Bucket, Buckets } from '../budget.ts';
import type { Bytes, Millis } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import { FLAG, PROTOCOL } from '../wire/packet.ts';
import type { Segment } from './connection.ts';
import { pathOf } from './control.ts';
import { type Departures, noFields, type PacketFields, type Way } from './departures.ts';
import { NO_PATH, type Paths } from './paths.ts';
import type { Peer } from './peer.ts';
import type { Peers } from './peers.ts';
import type { Reset, Stream, Streams } from './streams.ts';
import { Deadlines } from './timers.ts';

/** Segments of one stream before others get their turn, and bytes. */
const QUANTUM = 8;
const QUANTUM_BYTES: Bytes = 65_536;
/** Segments per call, so that the caller can send what there is. */
const TURN = 64;
/** DP 9.11: a beacon drops what a source sends above this. */
const RELAYED_PER_SECOND = 4_000;
const RELAYED_BURST = 256;
/** DP 9.9: what a peer of the existing network takes. */
const SYN_PER_SECOND = 10;

interface Parts {
  readonly engine: Engine;
  readonly peers: Peers;
  readonly streams: Streams;
  readonly departures: Departures;
  readonly paths: Paths;
  /** The largest datagram that leaves whole towards a host. */
  readonly datagramBytes: (host: string) => Bytes;
}

/** The streams' way out. */
export class Pump {
  readonly #parts: Parts;
  readonly #engine: Engine;
  readonly #peers: Peers;
  readonly #streams: Streams;
  readonly #departures: Departures;
  readonly #relayed = new Bucket(RELAYED_PER_SECOND, RELAYED_BURST);
  readonly #syns = new Buckets(SYN_PER_SECOND, SYN_PER_SECOND);
  readonly #delays = new Deadlines();
  readonly #segment: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
  readonly #way: Way = { session: 0, peer: 0, path: NO_PATH };
  readonly #fields: PacketFields = noFields(PROTOCOL.stream);

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#engine = parts.engine;
    this.#peers = parts.peers;
    this.#streams = parts.streams;
    this.#departures = parts.departures;
  }

  /** Stages up to a batch of segments. @returns False when nothing more can be sent now. */
  fill(now: Millis): boolean {
    this.#sendResets(now);
    let left = TURN;
    for (const stream of this.#streams.ready()) {
      if (left <= 0) return true;
      const sent = this.#drain(now, stream, left);
      if (sent < 0) return false;
      left -= sent;
    }
    return left < TURN;
  }

  handleTimeout(now: Millis): void {
    for (let id = this.#delays.pop(now); id >= 0; id = this.#delays.pop(now)) {
      const stream = this.#streams.get(id);
      if (stream !== undefined) this.#streams.touch(now, stream);
    }
  }

  pollTimeout(): Millis {
    return this.#delays.next();
  }

  /** @returns How many segments were staged, at most `left`; -1: no slot is free. */
  #drain(now: Millis, stream: Stream, left: number): number {
    const { peer, connection } = stream;
    const session = peer.exchange.sendSession(now);
    if (session < 0) {
      peer.isHeld = true;
      this.#streams.park(stream);
      return 0;
    }
    const path = pathOf(peer);
    if (connection.isBlackHole) peer.mtu?.handleBlackHole(now);
    connection.setSegmentBytes(peer.segmentBytes);
    const { segmentBytes } = connection;
    const most = Math.min(left, QUANTUM, Math.ceil(QUANTUM_BYTES / segmentBytes));
    for (let sent = 0; sent < most; sent++) {
      const isSyn = connection.state === 'SYN_SENT' && !peer.isOwn;
      const delayedUntil = this.#nextAt(now, stream, path, isSyn);
      if (delayedUntil > now) {
        this.#streams.park(stream);
        this.#delays.set(stream.id, delayedUntil);
        return sent;
      }
      // What the connection gives away counts as sent: there has to be a slot, whatever it chooses.
      if (!this.#departures.canClaim(0) || !this.#departures.canClaim(segmentBytes)) return -1;
      if (!connection.pollTransmit(now, this.#segment)) {
        this.#streams.settle(now, stream);
        return sent;
      }
      const slot = this.#departures.claim(this.#segment.payloadLength);
      if (path === NO_PATH) this.#relayed.take(now);
      if (isSyn) this.#syns.take(now, peer.id);
      connection.copyPayload(this.#segment, this.#engine.memory, this.#departures.payloadAt(slot));
      this.#stage(slot, stream, session, path);
      this.#note(now, stream);
      if (this.#segment.payloadLength === segmentBytes && path !== NO_PATH) this.#wantLarger(now, peer, path);
      // DP 4.10: what opens a connection and stays without an answer goes both ways. Receivers take the second for a
      // repetition; and where only one direction works directly, the other side learns of it.
      const isOpening = (this.#segment.flags & FLAG.SYN) !== 0;
      if (path !== NO_PATH && isOpening && connection.synSends > 1) this.#copyToRelay(slot, stream, session);
    }
    this.#streams.rotate(stream);
    return most;
  }

  /** When the stream's next packet may leave. */
  #nextAt(now: Millis, stream: Stream, path: number, isSyn: boolean): Millis {
    const relayedAt = path === NO_PATH ? this.#relayed.nextAt(now) : now;
    return isSyn ? Math.max(relayedAt, this.#syns.nextAt(now, stream.peer.id)) : relayedAt;
  }

  #stage(slot: number, stream: Stream, session: number, path: number): void {
    const segment = this.#segment;
    const fields = this.#address(stream);
    fields.flags = segment.flags;
    fields.seq = segment.seq;
    fields.ack = segment.ack;
    fields.windowSegments = segment.windowSegments;
    const way = this.#way;
    way.session = session;
    way.peer = stream.peer.id;
    way.path = path;
    this.#departures.stage(slot, segment.payloadLength, fields, way);
  }

  #copyToRelay(slot: number, stream: Stream, session: number): void {
    const copy = this.#departures.claim(this.#segment.payloadLength);
    if (copy === 0) return;
    const start = this.#departures.payloadAt(slot);
    const end = start + this.#segment.payloadLength;
    this.#engine.memory.copyWithin(this.#departures.payloadAt(copy), start, end);
    this.#stage(copy, stream, session, NO_PATH);
  }

  #note(now: Millis, stream: Stream): void {
    const { peer } = stream;
    peer.sentAt = now;
    const wantsAnswer = this.#segment.payloadLength > 0 || (this.#segment.flags & (FLAG.SYN | FLAG.FIN)) !== 0;
    if (wantsAnswer && peer.noteSent(now)) this.#peers.schedule(peer);
  }

  #wantLarger(now: Millis, peer: Peer, path: number): void {
    // The runtime may have to look at its interfaces: it is asked only when a probe is to follow.
    if (!peer.isSizeOpen) return;
    const { datagramBytes, paths } = this.#parts;
    if (peer.wantLarger(now, datagramBytes(paths.host(path)))) this.#peers.touch(peer);
  }

  #sendResets(now: Millis): void {
    for (let reset = this.#streams.pollReset(); reset !== undefined; reset = this.#streams.pollReset()) {
      const { peer, packet } = reset;
      const session = peer.exchange.sendSession(now);
      const slot = session < 0 ? 0 : this.#departures.claim(0);
      // A RST that is lost is sent again when the SYN comes again.
      if (slot === 0) continue;
      const fields = this.#address({ peer, ...packet });
      fields.flags = FLAG.RST;
      fields.seq = 0;
      fields.ack = 0;
      fields.windowSegments = 0;
      this.#departures.stage(slot, 0, fields, { session, peer: peer.id, path: pathOf(peer) });
    }
  }

  /** Always from the address that was called (DP 1.6). */
  #address(from: Pick<Stream, 'peer'> & Reset['packet']): PacketFields {
    const fields = this.#fields;
    fields.sourceNetwork = from.localNetwork;
    fields.destinationNetwork = from.network;
    fields.destinationNode = from.peer.id;
    fields.sourcePort = from.localPort;
    fields.destinationPort = from.peerPort;
    return fields;
  }
}
