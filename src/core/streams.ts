/**
 * The connections of one endpoint: which packet belongs to which, who may open one, which of them has something to
 * send, and when each wants to be woken. The state of one connection is in connection.ts; trust was decided before.
 */
import { Bucket, Buckets } from '../budget.ts';
import { BUDGETS, LIMITS, type Millis, STRANGER, TRUSTED } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { FLAG } from '../wire/packet.ts';
import type { BufferPool } from './buffer.ts';
import type { CongestionControlName } from './congestion.ts';
import { Connection, type Segment } from './connection.ts';
import type { ConnectionId } from './events.ts';
import { EVENT } from './events.ts';
import type { Peer } from './peer.ts';
import type { Ports } from './ports.ts';
import type { Counters } from './stats.ts';
import { Deadlines } from './timers.ts';

/** One connection and where it belongs. */
export interface Stream {
  readonly id: ConnectionId;
  readonly peer: Peer;
  readonly role: 'dialler' | 'listener';
  /** Network part of the peer's address as it called us, or as we called it. */
  readonly network: number;
  readonly localNetwork: number;
  readonly peerPort: number;
  localPort: number;
  connection: Connection;
  /** The application knows of it: a dial, or accepted and announced. */
  isAnnounced: boolean;
  redials: number;
  /** Why core ended it, where the connection itself cannot know. */
  failure?: ErrorCode;
  /** Whether the peer was trusted when it began: strangers and trusted peers have limits of their own. */
  readonly isTrusted: boolean;
}

/** A stream packet's fields, as the engine read them. */
export interface StreamPacket {
  readonly network: number;
  readonly localNetwork: number;
  readonly peerPort: number;
  readonly localPort: number;
  readonly segment: Segment;
}

/** A reset for a SYN that found no connection. */
export interface Reset {
  readonly peer: Peer;
  readonly packet: Omit<StreamPacket, 'segment'>;
}

/** What happened on a connection, for the application. */
export type StreamNews = { type: 'accepted'; stream: Stream } | { type: 'bits'; stream: Stream; bits: number };

interface Parts {
  readonly ports: Ports;
  readonly pool: BufferPool;
  readonly counters: Counters;
  readonly random: (into: Uint8Array) => void;
  readonly congestionControl?: CongestionControlName | undefined;
}

const MAX_REDIALS = 3;
const MAX_RESETS = 256;

/** The connection table. */
export class Streams {
  readonly #parts: Parts;
  readonly #streams = new Map<ConnectionId, Stream>();
  readonly #deadlines = new Deadlines();
  /** Connections by port and kind of peer. */
  readonly #perPort = new Map<number, number>();
  readonly #synAll: readonly [Bucket, Bucket];
  readonly #synPerSource: readonly [Buckets, Buckets];
  #ready = new Set<Stream>();
  readonly #news: StreamNews[] = [];
  readonly #resets: Reset[] = [];
  #nextId = 1;

  constructor(parts: Parts) {
    this.#parts = parts;
    const all = BUDGETS.synPerSecond;
    const rate = BUDGETS.synPerSourcePerSecond;
    const burst = BUDGETS.synPerSourceBurst;
    this.#synAll = [new Bucket(all[STRANGER]), new Bucket(all[TRUSTED])];
    this.#synPerSource = [new Buckets(rate[STRANGER], burst[STRANGER]), new Buckets(rate[TRUSTED], burst[TRUSTED])];
  }

  get size(): number {
    return this.#streams.size;
  }

  get(id: ConnectionId): Stream | undefined {
    return this.#streams.get(id);
  }

  all(): IterableIterator<Stream> {
    return this.#streams.values();
  }

  /** Starts a connection. @returns Undefined when the table or the ephemeral ports are used up. */
  dial(now: Millis, peer: Peer, to: { network: number; port: number }): Stream | undefined {
    if (this.#streams.size >= LIMITS.connections) return undefined;
    const localPort = this.#freePort(now, peer, to);
    if (localPort === undefined) return undefined;
    const stream: Stream = {
      id: this.#nextId++,
      peer,
      role: 'dialler',
      network: to.network,
      localNetwork: to.network,
      peerPort: to.port,
      localPort,
      connection: this.#create(now, 'dialler', peer.mayBeOwn(now)),
      isAnnounced: true,
      redials: 0,
      isTrusted: peer.isTrusted,
    };
    this.#add(stream);
    return stream;
  }

  /** A packet of protocol 1 from a peer whose right to speak was decided. @param payload - Borrowed. */
  handle(now: Millis, peer: Peer, packet: StreamPacket, payload: Uint8Array): void {
    const stream = this.find(peer, packet);
    if (stream !== undefined) {
      const isSyn = (packet.segment.flags & (FLAG.SYN | FLAG.ACK)) === FLAG.SYN;
      if (!isSyn || !stream.connection.yieldsToSyn(packet.segment)) {
        stream.connection.handleSegment(now, packet.segment, payload);
        this.touch(now, stream);
        if (!isSyn || stream.connection.state !== 'CLOSED') return;
      }
      // DP 5.4 rule 2: a SYN that meets TIME_WAIT, or ends what was left of a restarted peer, is a new connection.
      this.#giveWay(now, stream);
    }
    if ((packet.segment.flags & (FLAG.SYN | FLAG.ACK)) === FLAG.SYN) this.#accept(now, peer, packet, payload);
    else this.#parts.counters.drop('noConnection');
  }

  find(peer: Peer, packet: Omit<StreamPacket, 'segment'>): Stream | undefined {
    const id = peer.streams.get(keyOf(packet.network, packet.localPort, packet.peerPort));
    return id === undefined ? undefined : this.#streams.get(id);
  }

  /** The connection was written to, read from, fed or woken: look at its timer, its events and its wish to send. */
  touch(now: Millis, stream: Stream): void {
    const { connection } = stream;
    const bits = connection.takeEvents();
    if (!stream.isAnnounced && (bits & EVENT.connected) !== 0) this.#announce(stream);
    if (stream.isAnnounced && bits !== 0) {
      if ((bits & EVENT.closed) !== 0 && connection.isStale && this.#redial(now, stream)) return;
      this.#news.push({ type: 'bits', stream, bits });
    }
    this.#deadlines.set(stream.id, connection.pollTimeout());
    this.#ready.add(stream);
  }

  handleTimeout(now: Millis): void {
    for (let id = this.#deadlines.pop(now); id >= 0; id = this.#deadlines.pop(now)) {
      const stream = this.#streams.get(id);
      if (stream === undefined) continue;
      stream.connection.handleTimeout(now);
      this.touch(now, stream);
    }
  }

  pollTimeout(): Millis {
    return this.#deadlines.next();
  }

  pollNews(): StreamNews | undefined {
    return this.#news.shift();
  }

  pollReset(): Reset | undefined {
    return this.#resets.shift();
  }

  /** Streams that may have something to send. The caller sends what it can and calls `settle` or leaves them. */
  ready(): ReadonlySet<Stream> {
    return this.#ready;
  }

  /** The stream has nothing to send for now; a closed one leaves the table. */
  settle(now: Millis, stream: Stream): void {
    this.#ready.delete(stream);
    this.#deadlines.set(stream.id, stream.connection.pollTimeout());
    const bits = stream.connection.takeEvents();
    if (bits !== 0 && stream.isAnnounced) this.#news.push({ type: 'bits', stream, bits });
    if (stream.connection.state === 'CLOSED') this.#remove(now, stream);
  }

  /** The stream cannot send now: `touch` or `wake` brings it back. */
  park(stream: Stream): void {
    this.#ready.delete(stream);
  }

  /** The stream had its turn and has more: others come first. */
  rotate(stream: Stream): void {
    this.#ready.delete(stream);
    this.#ready.add(stream);
  }

  /** Something changed for a peer (a key, a path): its streams may send again. */
  wake(peer: Peer): void {
    for (const id of peer.streams.values()) {
      const stream = this.#streams.get(id);
      if (stream !== undefined) this.#ready.add(stream);
    }
  }

  #accept(now: Millis, peer: Peer, packet: StreamPacket, payload: Uint8Array): void {
    const { ports, counters } = this.#parts;
    const listener = ports.listener(packet.localPort);
    if (listener === undefined) {
      this.#reset(peer, packet);
      return;
    }
    const { isTrusted } = peer;
    const column = isTrusted ? TRUSTED : STRANGER;
    if (!this.#synPerSource[column].take(now, peer.id) || !this.#synAll[column].take(now)) {
      counters.drop('synLimited');
      return;
    }
    const onPort = this.#perPort.get(placeOf(packet.localPort, isTrusted)) ?? 0;
    const isFull = listener.backlog[column] >= LIMITS.acceptQueue || onPort >= LIMITS.connectionsPerPort;
    if (isFull || this.#streams.size >= LIMITS.connections) {
      counters.drop('connectionsFull');
      this.#reset(peer, packet);
      return;
    }
    const { network, localNetwork, peerPort, localPort } = packet;
    const connection = this.#create(now, 'listener', true);
    const id = this.#nextId++;
    const stream: Stream = {
      id,
      peer,
      role: 'listener',
      network,
      localNetwork,
      peerPort,
      localPort,
      connection,
      isAnnounced: false,
      redials: 0,
      isTrusted,
    };
    listener.backlog[column] += 1;
    this.#add(stream);
    connection.handleSegment(now, packet.segment, payload);
    this.touch(now, stream);
  }

  #announce(stream: Stream): void {
    stream.isAnnounced = true;
    this.#leaveQueue(stream);
    this.#news.push({ type: 'accepted', stream });
  }

  /** The SYN exchange is complete, or it came to nothing. */
  #leaveQueue(stream: Stream): void {
    const backlog = this.#parts.ports.listener(stream.localPort)?.backlog;
    const column = stream.isTrusted ? TRUSTED : STRANGER;
    // The listener may be another than the one that counted it.
    if (backlog !== undefined && backlog[column] > 0) backlog[column] -= 1;
  }

  #reset(peer: Peer, packet: Omit<StreamPacket, 'segment'>): void {
    const { network, localNetwork, peerPort, localPort } = packet;
    if (this.#resets.length >= MAX_RESETS) return;
    this.#resets.push({ peer, packet: { network, localNetwork, peerPort, localPort } });
  }

  #create(now: Millis, role: 'dialler' | 'listener', offersOwn: boolean): Connection {
    const { random, pool, congestionControl } = this.#parts;
    const bytes = new Uint8Array(4);
    random(bytes);
    // DP 5.3: below 2^30, because the comparison of old peers does not wrap.
    const initialSeq = new DataView(bytes.buffer).getUint32(0) >>> 2;
    return new Connection({ now, role, initialSeq, offersOwn, pool, congestionControl });
  }

  /** The peer answered for an older connection on these ports: try again from another port. */
  #redial(now: Millis, stream: Stream): boolean {
    if (stream.role !== 'dialler' || stream.redials >= MAX_REDIALS) return false;
    const localPort = this.#freePort(now, stream.peer, { network: stream.network, port: stream.peerPort });
    if (localPort === undefined) return false;
    this.#reset(stream.peer, stream);
    this.#unbind(now, stream);
    stream.redials += 1;
    stream.localPort = localPort;
    stream.connection = this.#create(now, 'dialler', stream.peer.mayBeOwn(now));
    this.#bind(stream);
    this.touch(now, stream);
    return true;
  }

  /** Another connection takes the place of this one. What the application has not read yet stays until it did. */
  #giveWay(now: Millis, stream: Stream): void {
    const { connection, peer } = stream;
    peer.streams.delete(keyOf(stream.network, stream.localPort, stream.peerPort));
    if (connection.state !== 'CLOSED' && connection.readableBytes > 0) return;
    connection.abort(now);
    this.settle(now, stream);
  }

  #freePort(now: Millis, peer: Peer, to: { network: number; port: number }): number | undefined {
    return this.#parts.ports.ephemeral(now, peer.id, (port) => peer.streams.has(keyOf(to.network, port, to.port)));
  }

  #add(stream: Stream): void {
    this.#streams.set(stream.id, stream);
    this.#bind(stream);
    this.#deadlines.set(stream.id, stream.connection.pollTimeout());
    this.#ready.add(stream);
  }

  #remove(now: Millis, stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#ready.delete(stream);
    this.#deadlines.delete(stream.id);
    this.#unbind(now, stream);
    if (!stream.isAnnounced) this.#leaveQueue(stream);
  }

  #bind(stream: Stream): void {
    stream.peer.streams.set(keyOf(stream.network, stream.localPort, stream.peerPort), stream.id);
    const place = placeOf(stream.localPort, stream.isTrusted);
    this.#perPort.set(place, (this.#perPort.get(place) ?? 0) + 1);
  }

  /** The port counts one less, and rests if it was ours to choose. */
  #unbind(now: Millis, stream: Stream): void {
    const { peer, localPort } = stream;
    const key = keyOf(stream.network, localPort, stream.peerPort);
    if (peer.streams.get(key) === stream.id) peer.streams.delete(key);
    const place = placeOf(localPort, stream.isTrusted);
    const onPort = (this.#perPort.get(place) ?? 1) - 1;
    if (onPort <= 0) this.#perPort.delete(place);
    else this.#perPort.set(place, onPort);
    if (stream.role === 'dialler') this.#parts.ports.rest(now, peer.id, localPort);
  }
}

/** Where connections of a kind are counted. */
function placeOf(port: number, isTrusted: boolean): number {
  return port * 2 + (isTrusted ? TRUSTED : STRANGER);
}

/** 48 bits: an exact double. */
function keyOf(network: number, localPort: number, peerPort: number): number {
  return network * 0x1_0000_0000 + localPort * 0x1_0000 + peerPort;
}
