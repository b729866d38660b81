/**
 * Control packets (DP 5.12): pings and their answers, capabilities between our own, keepalives. What is swallowed here
 * never reaches the application. Keys and paths are not looked at but through the peer.
 */
import { Buckets } from '../budget.ts';
import { BUDGETS, LIMITS, type Millis, STRANGER, TRUSTED } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import type { ErrorCode } from '../errors.ts';
import {
  CAPABILITY,
  emitCapabilities,
  MTU_ANSWER_BYTES,
  type MtuMessage,
  PATH_PROBE,
  parseCapabilities,
  parseMtuMessage,
  writeMtuMessage,
} from '../wire/control.ts';
import { EPHEMERAL_FIRST, EPHEMERAL_LAST, FLAG, PORT, PROTOCOL } from '../wire/packet.ts';
import { type Departures, noFields, type PacketFields, type Way } from './departures.ts';
import type { Outcome, Pong, Ticket } from './events.ts';
import type { MtuProbe } from './path-mtu.ts';
import { NO_PATH } from './paths.ts';
import type { Peer } from './peer.ts';
import type { Counters } from './stats.ts';
import type { StreamPacket } from './streams.ts';

/** What became of a ping of the application: `{ rttMs, bytes }`, or why there is none. */
export interface PingAnswer {
  readonly ticket: Ticket;
  readonly outcome: Outcome;
}

/** A ping of the application. */
export interface PingRequest {
  readonly ticket: Ticket;
  /** Owned by core from now on. */
  readonly payload: Uint8Array;
  readonly deadline: Millis;
}

interface Parts {
  readonly engine: Engine;
  readonly departures: Departures;
  readonly counters: Counters;
  readonly random: (into: Uint8Array) => void;
}

/** Ours, as told to others (design: decision 6). */
const OWN_CAPABILITIES: Uint8Array = emitCapabilities({
  version: 1,
  bits: CAPABILITY.halfClose | CAPABILITY.pathMtu,
  segmentBytes: LIMITS.ownSegmentBytes,
  receiveBytes: LIMITS.readableBytes,
});
/** A ping that core itself sends, to prove a key or a path. */
const PROBE_BYTES = 8;
const PROBE_MS: Millis = 4_000;
/** Nobody waits for the answer. */
export const NO_TICKET = 0;
const NOTHING: Uint8Array = new Uint8Array(0);

/** The control protocol of one endpoint. */
export class Control {
  readonly #parts: Parts;
  readonly #pongs: readonly [Buckets, Buckets];
  readonly #answers: PingAnswer[] = [];
  readonly #fields: PacketFields = noFields(PROTOCOL.control);

  constructor(parts: Parts) {
    this.#parts = parts;
    const rate = BUDGETS.pongsPerSecond;
    this.#pongs = [new Buckets(rate[STRANGER], rate[STRANGER]), new Buckets(rate[TRUSTED], rate[TRUSTED])];
  }

  /**
   * Handles one control packet of an authenticated peer.
   *
   * @param arrival - `payload` is borrowed; `from` is the path that it came over, or NO_PATH: through the beacon. The answer goes back there, so that it
   *   proves that way.
   */
  handle(now: Millis, peer: Peer, packet: StreamPacket, arrival: { payload: Uint8Array; from: number }): void {
    const { payload, from } = arrival;
    const { localPort: port, segment } = packet;
    if (port === PORT.capabilities) {
      this.#handleOwn(now, peer, payload, from);
      return;
    }
    if ((segment.flags & FLAG.ACK) !== 0) {
      this.#handlePong(now, peer, port, from !== NO_PATH);
      return;
    }
    if (port !== PORT.ping) {
      this.#parts.counters.drop('controlUnknown');
      return;
    }
    // DP 3.13: an empty one is a keepalive.
    if (payload.length === 0) return;
    // DP appendix D 10: what could be a pong is never answered; a path probe of the existing network has no source port.
    if (segment.ack !== 0 || (packet.peerPort === 0 && !isPathProbe(payload))) {
      this.#parts.counters.drop('controlUnknown');
      return;
    }
    if (payload.length > LIMITS.segmentBytes || !this.#pongs[peer.isTrusted ? TRUSTED : STRANGER].take(now, peer.id)) {
      this.#parts.counters.drop('controlLimited');
      return;
    }
    const header = this.#header(peer, 0, packet.peerPort);
    header.flags = FLAG.ACK;
    header.seq = segment.seq;
    header.ack = (segment.seq + 1) >>> 0;
    header.sourceNetwork = packet.localNetwork;
    header.destinationNetwork = packet.network;
    this.#send(peer, payload, { session: peer.exchange.sendSession(now), path: from });
    peer.sentAt = now;
  }

  /** Sends a ping, at once or when there is a key. */
  ping(now: Millis, peer: Peer, request: PingRequest): void {
    const session = peer.exchange.sendSession(now);
    if (this.#ping(now, peer, { ...request, session, path: pathOf(peer), isProbe: false })) return;
    if (session >= 0 || peer.waitingPings.length >= LIMITS.pendingPackets) {
      this.#fail(request.ticket, 'BUSY');
      return;
    }
    peer.isHeld = true;
    peer.waitingPings.push(request);
  }

  /** There is a key now: pings that waited for it go. */
  flush(now: Millis, peer: Peer): void {
    for (const request of peer.waitingPings.splice(0)) this.ping(now, peer, request);
  }

  /** Pings whose time is over are answered. */
  expire(now: Millis, peer: Peer): void {
    for (const [port, ping] of peer.pings) {
      if (ping.deadline > now) continue;
      peer.pings.delete(port);
      this.#fail(ping.ticket, 'NOT_TRUSTED_OR_SILENT');
    }
    while (peer.waitingPings.some((ping) => ping.deadline <= now)) {
      const at = peer.waitingPings.findIndex((ping) => ping.deadline <= now);
      for (const ping of peer.waitingPings.splice(at, 1)) this.#fail(ping.ticket, 'NOT_TRUSTED_OR_SILENT');
    }
  }

  /** All pings to the peer fail. */
  fail(peer: Peer, code: ErrorCode): void {
    for (const ping of [...peer.pings.values(), ...peer.waitingPings]) this.#fail(ping.ticket, code);
    peer.pings.clear();
    peer.waitingPings.length = 0;
  }

  /** Sends a ping under one session, to prove its key (design: decision 9). */
  proveKey(now: Millis, peer: Peer, session: number): void {
    const payload = this.#probePayload();
    const deadline = now + PROBE_MS;
    this.#ping(now, peer, { ticket: NO_TICKET, payload, deadline, session, path: pathOf(peer), isProbe: false });
  }

  /** Sends a ping straight to the peer's address although data goes through the relay (DP 4.12, last point). */
  proveDirect(now: Millis, peer: Peer): void {
    if (peer.path.direct === NO_PATH) return;
    const session = peer.exchange.sendSession(now);
    const payload = this.#probePayload();
    const path = peer.path.direct;
    this.#ping(now, peer, { ticket: NO_TICKET, payload, deadline: now + PROBE_MS, session, path, isProbe: true });
  }

  /** Tells the peer what we can do. */
  sendCapabilities(now: Millis, peer: Peer): void {
    this.#sendOwn(now, peer, OWN_CAPABILITIES, pathOf(peer));
  }

  /** Asks whether the direct path carries a packet of that size. */
  probeMtu(now: Millis, peer: Peer, probe: MtuProbe): void {
    const payload = new Uint8Array(probe.size);
    writeMtuMessage(payload, { isAnswer: false, number: probe.number });
    this.#sendOwn(now, peer, payload, peer.path.direct);
  }

  /** DP 2.4: source is us, the rest zero. */
  sendKeepalive(now: Millis, peer: Peer): void {
    this.#header(peer, 0, 0).destinationNode = 0;
    this.#send(peer, NOTHING, { session: peer.exchange.sendSession(now), path: pathOf(peer) });
    peer.sentAt = now;
  }

  /** What became of the next ping of the application. */
  pollAnswer(): PingAnswer | undefined {
    return this.#answers.shift();
  }

  /** What only our own say to each other. */
  #handleOwn(now: Millis, peer: Peer, payload: Uint8Array, from: number): void {
    const message = parseMtuMessage(payload);
    if (message !== undefined) {
      this.#handleMtu(now, peer, message, from);
      return;
    }
    const capabilities = parseCapabilities(payload);
    if (capabilities === undefined) this.#parts.counters.drop('controlUnknown');
    else peer.handleCapabilities(now, capabilities);
  }

  #handleMtu(now: Millis, peer: Peer, { isAnswer, number }: MtuMessage, from: number): void {
    if (isAnswer) {
      peer.mtu?.handleAnswer(now, number);
      return;
    }
    if (!this.#pongs[peer.isTrusted ? TRUSTED : STRANGER].take(now, peer.id)) {
      this.#parts.counters.drop('controlLimited');
      return;
    }
    const answer = new Uint8Array(MTU_ANSWER_BYTES);
    writeMtuMessage(answer, { isAnswer: true, number });
    this.#sendOwn(now, peer, answer, from);
  }

  #sendOwn(now: Millis, peer: Peer, payload: Uint8Array, path: number): void {
    this.#header(peer, PORT.capabilities, PORT.capabilities);
    this.#send(peer, payload, { session: peer.exchange.sendSession(now), path });
    peer.sentAt = now;
  }

  #handlePong(now: Millis, peer: Peer, port: number, isDirect: boolean): void {
    const ping = peer.pings.get(port);
    if (ping === undefined) {
      this.#parts.counters.drop('controlUnknown');
      return;
    }
    peer.pings.delete(port);
    if (ping.isProbe && isDirect) peer.path.handleDirectAnswer();
    if (ping.ticket === NO_TICKET) return;
    const value: Pong = { rttMs: now - ping.sentAt, bytes: ping.bytes };
    this.#answers.push({ ticket: ping.ticket, outcome: { ok: true, value } });
  }

  #fail(ticket: Ticket, code: ErrorCode): void {
    if (ticket !== NO_TICKET)
      this.#answers.push({ ticket, outcome: { ok: false, code, message: 'No answer to the ping' } });
  }

  #ping(
    now: Millis,
    peer: Peer,
    what: {
      ticket: number;
      payload: Uint8Array;
      deadline: Millis;
      session: number;
      path: number;
      isProbe: boolean;
    },
  ): boolean {
    const { ticket, payload, deadline, session, path, isProbe } = what;
    const port = this.#freePort(peer);
    if (session < 0 || !peer.addPing(port, { ticket, sentAt: now, deadline, isProbe, bytes: payload.length })) {
      return false;
    }
    this.#header(peer, port, PORT.ping);
    if (!this.#send(peer, payload, { session, path })) {
      peer.pings.delete(port);
      return false;
    }
    if (ticket === NO_TICKET) peer.sentAt = now;
    else peer.noteSent(now);
    return true;
  }

  #header(peer: Peer, sourcePort: number, destinationPort: number): PacketFields {
    const fields = this.#fields;
    fields.flags = 0;
    fields.sourceNetwork = 0;
    fields.destinationNetwork = 0;
    fields.destinationNode = peer.id;
    fields.sourcePort = sourcePort;
    fields.destinationPort = destinationPort;
    fields.seq = 0;
    fields.ack = 0;
    return fields;
  }

  #send(peer: Peer, payload: Uint8Array, way: { session: number; path: number }): boolean {
    const { departures, engine } = this.#parts;
    if (way.session < 0) return false;
    const slot = departures.claim(payload.length);
    if (slot === 0) {
      this.#parts.counters.drop('noSlot');
      return false;
    }
    engine.memory.set(payload, departures.payloadAt(slot));
    const full: Way = { session: way.session, peer: peer.id, path: way.path };
    departures.stage(slot, payload.length, this.#fields, full);
    return true;
  }

  #probePayload(): Uint8Array {
    const payload = new Uint8Array(PROBE_BYTES);
    this.#parts.random(payload);
    return payload;
  }

  /** A source port that no ping to this peer uses. */
  #freePort(peer: Peer): number {
    const drawn = new Uint8Array(2);
    this.#parts.random(drawn);
    const count = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;
    let offset = (drawn[0]! * 256 + drawn[1]!) % count;
    while (peer.pings.has(EPHEMERAL_FIRST + offset)) offset = (offset + 1) % count;
    return EPHEMERAL_FIRST + offset;
  }
}

/** Straight to the peer, or NO_PATH: through the beacon. */
export function pathOf(peer: Peer): number {
  return peer.path.isRelayed ? NO_PATH : peer.path.direct;
}

function isPathProbe(payload: Uint8Array): boolean {
  return payload.length === PATH_PROBE.length && PATH_PROBE.every((byte, i) => byte === payload[i]);
}
