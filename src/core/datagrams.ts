/**
 * The unreliable service (DP 5.13): datagrams out, at once or when there is a key, and datagrams in for whoever takes
 * them. Delivery is not promised. Who may send to us was decided before.
 */
import { LIMITS, type Millis } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import type { ErrorCode } from '../errors.ts';
import { PROTOCOL } from '../wire/packet.ts';
import { pathOf } from './control.ts';
import type { Departures } from './departures.ts';
import type { Outcome, Ticket } from './events.ts';
import type { Peer, WaitingDatagram } from './peer.ts';
import type { Ports } from './ports.ts';
import type { Counters } from './stats.ts';
import type { StreamPacket } from './streams.ts';

/** A datagram for the application. */
export interface ReceivedDatagram {
  readonly peer: number;
  /** Network part of the sender's address. */
  readonly network: number;
  readonly peerPort: number;
  readonly port: number;
  /** Owned by the receiver of this object. */
  readonly bytes: Uint8Array;
}

interface Parts {
  readonly engine: Engine;
  readonly departures: Departures;
  readonly ports: Ports;
  readonly counters: Counters;
}

/** Datagrams of one endpoint. */
export class Datagrams {
  readonly #parts: Parts;
  readonly #received: ReceivedDatagram[] = [];
  readonly #answers: { ticket: Ticket; outcome: Outcome }[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Sends or keeps a datagram. @param datagram - `sourcePort` 0: any. Its bytes are copied. */
  send(now: Millis, peer: Peer, datagram: WaitingDatagram): void {
    peer.usedAt = now;
    if (peer.exchange.sendSession(now) >= 0) {
      this.#emit(now, peer, datagram);
      return;
    }
    // A flush comes when there is a key, or when a candidate proved itself.
    peer.isHeld = true;
    if (!peer.queue({ ...datagram, bytes: datagram.bytes.slice() })) this.#fail(datagram.ticket, 'BUSY');
  }

  /** There is a key now: what waited for it goes. */
  flush(now: Millis, peer: Peer): void {
    for (const datagram of peer.waiting.splice(0)) this.send(now, peer, datagram);
  }

  /** All that waits for the peer fails. */
  fail(peer: Peer, code: ErrorCode): void {
    for (const datagram of peer.waiting.splice(0)) this.#fail(datagram.ticket, code);
  }

  /** Takes one from an admitted peer. @param payload - Borrowed, not empty. */
  handle(peer: Peer, packet: StreamPacket, payload: Uint8Array): void {
    const { ports, counters } = this.#parts;
    if (!ports.takesDatagrams(packet.localPort)) {
      counters.drop('datagramNoListener');
    } else if (this.#received.length >= LIMITS.datagramQueue) {
      counters.drop('datagramQueueFull');
    } else {
      const { network, peerPort, localPort: port } = packet;
      this.#received.push({ peer: peer.id, network, peerPort, port, bytes: payload.slice() });
    }
  }

  poll(): ReceivedDatagram | undefined {
    return this.#received.shift();
  }

  pollAnswer(): { ticket: Ticket; outcome: Outcome } | undefined {
    return this.#answers.shift();
  }

  #emit(now: Millis, peer: Peer, datagram: WaitingDatagram): void {
    const { departures, engine, ports } = this.#parts;
    const { bytes, network, port } = datagram;
    const sourcePort = datagram.sourcePort || ports.ephemeral(now, peer.id, () => false);
    const slot = sourcePort === undefined ? 0 : departures.claim(bytes.length);
    if (slot === 0 || sourcePort === undefined) {
      this.#fail(datagram.ticket, 'BUSY');
      return;
    }
    engine.memory.set(bytes, departures.payloadAt(slot));
    const fields = {
      protocol: PROTOCOL.datagram,
      flags: 0,
      sourceNetwork: network,
      destinationNetwork: network,
      destinationNode: peer.id,
      sourcePort,
      destinationPort: port,
      seq: 0,
      ack: 0,
      windowSegments: 0,
    };
    const way = { session: peer.exchange.sendSession(now), peer: peer.id, path: pathOf(peer) };
    departures.stage(slot, bytes.length, fields, way);
    peer.sentAt = now;
    this.#answers.push({ ticket: datagram.ticket, outcome: { ok: true, value: undefined } });
  }

  #fail(ticket: Ticket, code: ErrorCode): void {
    this.#answers.push({ ticket, outcome: { ok: false, code, message: 'Cannot send the datagram' } });
  }
}
