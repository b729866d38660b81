/**
 * Control packets and datagrams (DP 5.12, 5.13).
 */
import { FLAG, PORT, PROTOCOL } from '../../src/wire/packet.ts';
import type { Packet } from './packet.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { PeerLog } from './peer-log.ts';

/** Takes a datagram that came for a port. */
export type DatagramHandler = (payload: Uint8Array, from: { nodeId: number; port: number; network: number }) => void;

/** What this part needs of the rest. */
export interface ControlSetup {
  readonly self: { readonly nodeId: number };
  readonly behaviour: Behaviour;
  readonly log: PeerLog;
  readonly send: (nodeId: number, fields: Partial<Packet>) => void;
  readonly gate: (nodeId: number, port: number, answer: (isAdmitted: boolean) => void) => void;
  /** NEW in strict mode answers no pings of strangers (DP 7.3). */
  readonly isTrusted: (nodeId: number) => boolean;
}

/** Pings, pongs and datagrams of one peer. */
export class PeerControl {
  /** Payloads of the pongs that came, with the sender. */
  readonly pongs: { readonly nodeId: number; readonly packet: Packet }[] = [];
  /** Datagrams that came for a port where nobody listens are not here. */
  readonly datagrams: { readonly nodeId: number; readonly port: number; readonly payload: Uint8Array }[] = [];
  readonly #setup: ControlSetup;
  readonly #handlers: Map<number, DatagramHandler> = new Map();
  #pongsAnswered = 0;

  constructor(setup: ControlSetup) {
    this.#setup = setup;
  }

  /** Listens for datagrams; they are kept in `datagrams` as well. */
  listen(port: number, handler: DatagramHandler = () => {}): void {
    this.#handlers.set(port, handler);
  }

  handleControl(packet: Packet): void {
    const { behaviour, log, isTrusted } = this.#setup;
    if (packet.destinationPort === PORT.ping && (packet.flags & FLAG.ACK) === 0) {
      if (!behaviour.strictTrust || isTrusted(packet.sourceNode)) this.#answer(packet);
      return;
    }
    if ((packet.flags & FLAG.ACK) === 0) {
      log.count('control_dropped');
      return;
    }
    this.pongs.push({ nodeId: packet.sourceNode, packet });
    // DP app. D 10: for ever, were it not for the cap.
    if (packet.destinationPort !== PORT.ping || !behaviour.pongToEveryPong) return;
    if (this.#pongsAnswered >= behaviour.pongCap) return;
    this.#pongsAnswered += 1;
    this.#answer(packet);
  }

  handleDatagram(packet: Packet): void {
    const { gate, log } = this.#setup;
    if (packet.payload.length === 0) return;
    gate(packet.sourceNode, packet.destinationPort, (isAdmitted) => {
      const handler = this.#handlers.get(packet.destinationPort);
      if (!isAdmitted) log.count('datagram_not_trusted');
      else if (handler === undefined) log.count('datagram_no_listener');
      else {
        const { sourceNode: nodeId, sourcePort, sourceNetwork: network, destinationPort: port, payload } = packet;
        this.datagrams.push({ nodeId, port, payload });
        handler(payload, { nodeId, port: sourcePort, network });
      }
    });
  }

  #answer(packet: Packet): void {
    const { self, send } = this.#setup;
    const isUnset = packet.destinationNode === 0;
    send(packet.sourceNode, {
      protocol: PROTOCOL.control,
      flags: FLAG.ACK,
      sourceNetwork: packet.destinationNetwork,
      sourceNode: isUnset ? self.nodeId : packet.destinationNode,
      destinationNetwork: packet.sourceNetwork,
      sourcePort: PORT.ping,
      destinationPort: packet.sourcePort,
      seq: packet.seq,
      ack: (packet.seq + 1) >>> 0,
      payload: packet.payload,
    });
  }
}
