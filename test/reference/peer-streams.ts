/**
 * Ports, SYNs, dials and the sweep (DP 5.2–5.5, 5.14, 5.18, 5.19). The limits on connections and accept queues (DP 5.4,
 * rows 7 to 9) are not modelled.
 */
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import type { Random } from './hostile.ts';
import type { Packet } from './packet.ts';
import type { Behaviour } from './peer-behaviour.ts';
import { PeerConnection, type PeerEnds } from './peer-connection.ts';
import type { PeerExchange } from './peer-keys.ts';
import type { PeerLog } from './peer-log.ts';
import type { PeerTimer, PeerTransport } from './peer-socket.ts';

const KEY_POLL_MS = 10;
const KEY_WAIT_MS = 10_000;
const SYN_PER_SECOND = 10;
const DIAL_CAP_MS = 8000;
const DIRECT_TRIES = 3;
const RACE_MS = 200;
const RACE_AGAIN_MS = 3000;
const RACE_TRIES = 3;
const SWEEP_MS = 15_000;
const LINGER_MS = 10_000;
const SLOW_DIAL_MS = 5000;
const KEEPALIVE_MS = 60_000;
const LAST_PORT = 65_535;

/** Takes a connection; sets its callbacks before it returns. */
export type Acceptor = (connection: PeerConnection) => void;

/** What the streams need of the rest. */
export interface StreamsSetup {
  readonly self: { readonly nodeId: number; readonly exchange: PeerExchange };
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly random: Random;
  readonly log: PeerLog;
  readonly send: (nodeId: number, fields: Partial<Packet>, way?: 'direct' | 'relay') => boolean;
  readonly block: (ms: number, expired: () => void) => () => void;
  /** DP 7.2: whether a node may open a stream to a port; may answer later. */
  readonly gate: (nodeId: number, port: number, answer: (isAdmitted: boolean) => void) => void;
  /** Whether a dial goes directly now and could go over the relay. */
  readonly canFlip: (nodeId: number) => boolean;
  readonly hasKey: (nodeId: number) => boolean;
  /** Begins a key exchange. */
  readonly reach: (nodeId: number) => void;
  /** A dial takes to the relay, or NEW takes that back. */
  readonly setRelayed: (nodeId: number, isRelayed: boolean) => void;
}

interface Dial {
  sends: number;
  delayMs: number;
  flipped: boolean;
  timers: PeerTimer[];
}

/** All connections of one peer. */
export class PeerStreams {
  readonly connections: Map<string, PeerConnection> = new Map();
  readonly #setup: StreamsSetup;
  readonly #listeners: Map<number, Acceptor> = new Map();
  readonly #buckets: Map<number, { tokens: number; at: number }> = new Map();
  readonly #dials: Map<PeerConnection, Dial> = new Map();
  #nextPort: number;
  #sweep: PeerTimer | undefined;

  constructor(setup: StreamsSetup) {
    this.#setup = setup;
    this.#nextPort = setup.behaviour.ephemeralFirst;
  }

  listen(port: number, accept: Acceptor): void {
    this.#listeners.set(port, accept);
  }

  unlisten(port: number): void {
    this.#listeners.delete(port);
  }

  /** The next ephemeral port. */
  takePort(): number {
    const port = this.#nextPort;
    this.#nextPort = port === LAST_PORT ? this.#setup.behaviour.ephemeralFirst : port + 1;
    return port;
  }

  /** Opens a connection; `onOpen` or `onClosed` tells the outcome. */
  dial(nodeId: number, port: number, network = 0): PeerConnection {
    const { self } = this.#setup;
    const ends: PeerEnds = {
      network,
      localNode: self.nodeId,
      localPort: this.takePort(),
      remoteNode: nodeId,
      remotePort: port,
    };
    const connection = this.#make(ends, (opened) => this.#endDial(opened));
    const dial: Dial = { sends: 0, delayMs: this.#setup.behaviour.dialFirstMs, flipped: false, timers: [] };
    this.#dials.set(connection, dial);
    if (this.#setup.behaviour.waitsForKey && !this.#setup.hasKey(nodeId)) {
      this.#setup.reach(nodeId);
      this.#awaitKey(connection, dial, this.#setup.transport.now() + KEY_WAIT_MS);
    } else {
      this.#begin(connection, dial);
    }
    return connection;
  }

  hasConnection(nodeId: number): boolean {
    for (const connection of this.connections.values()) {
      if (connection.ends.remoteNode === nodeId && connection.state !== 'TIME_WAIT') return true;
    }
    return false;
  }

  /** A stream packet (DP 5.2). */
  handlePacket(packet: Packet): void {
    const connection = this.connections.get(keyOf(packet));
    if ((packet.flags & FLAG.SYN) !== 0 && (packet.flags & FLAG.ACK) === 0) {
      this.#handleSyn(packet, connection);
      return;
    }
    // Nobody is told about packets of unknown connections (DP 5.11).
    if (connection === undefined) this.#setup.log.count('unknown_connection');
    else connection.handlePacket(packet);
  }

  /** The process is gone: no FIN, no RST. */
  reset(): void {
    for (const connection of [...this.connections.values()]) connection.finish('forgotten');
    for (const dial of this.#dials.values()) for (const timer of dial.timers) timer.cancel();
    this.#dials.clear();
    this.#buckets.clear();
    this.#sweep?.cancel();
    this.#sweep = undefined;
    this.#nextPort = this.#setup.behaviour.ephemeralFirst;
  }

  /** DP 5.4, in the order of its checks. */
  #handleSyn(packet: Packet, known: PeerConnection | undefined): void {
    const { log, gate } = this.#setup;
    const accept = this.#listeners.get(packet.destinationPort);
    if (accept === undefined) {
      this.#refuse(packet);
      return;
    }
    if (known !== undefined && !this.#handleRepeatedSyn(known)) return;
    gate(packet.sourceNode, packet.destinationPort, (isAdmitted) => {
      if (!isAdmitted) log.count('syn_not_trusted');
      else if (!this.#takeToken(packet.sourceNode)) log.count('syn_rate_limited');
      else if (!this.connections.has(keyOf(packet))) this.#accept(packet, accept);
    });
  }

  /** @returns Whether the SYN shall be treated as a new one. */
  #handleRepeatedSyn(known: PeerConnection): boolean {
    if (this.#setup.behaviour.synAckNumber === 'next') {
      known.sendSynAck();
      return false;
    }
    if (known.state === 'TIME_WAIT' || known.isHoldingFin) {
      known.finish('closed');
      return true;
    }
    known.sendSynAck();
    return false;
  }

  #accept(packet: Packet, accept: Acceptor): void {
    const ends: PeerEnds = {
      network: packet.sourceNetwork,
      // DP 5.4: the answer comes from the address that was called.
      localNode: packet.destinationNode,
      localPort: packet.destinationPort,
      remoteNode: packet.sourceNode,
      remotePort: packet.sourcePort,
    };
    const connection = this.#make(ends, accept);
    connection.accept(packet);
    if (!this.#setup.behaviour.acceptsOnFinalAck) accept(connection);
  }

  #refuse(packet: Packet): void {
    this.#setup.send(packet.sourceNode, {
      protocol: PROTOCOL.stream,
      flags: FLAG.RST,
      sourceNetwork: packet.destinationNetwork,
      sourceNode: packet.destinationNode,
      destinationNetwork: packet.sourceNetwork,
      sourcePort: packet.destinationPort,
      destinationPort: packet.sourcePort,
    });
  }

  #takeToken(nodeId: number): boolean {
    const { transport, behaviour } = this.#setup;
    const now = transport.now();
    const bucket = this.#buckets.get(nodeId) ?? { tokens: behaviour.synBurst, at: now };
    this.#buckets.set(nodeId, bucket);
    bucket.tokens = Math.min(behaviour.synBurst, bucket.tokens + ((now - bucket.at) / 1000) * SYN_PER_SECOND);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #make(ends: PeerEnds, opened: (connection: PeerConnection) => void): PeerConnection {
    const { behaviour, transport, random, send, block } = this.#setup;
    const key = keyOf({
      destinationPort: ends.localPort,
      sourceNetwork: ends.network,
      sourceNode: ends.remoteNode,
      sourcePort: ends.remotePort,
    });
    const connection = new PeerConnection({
      behaviour,
      transport,
      random,
      ends,
      emit: (fields) => send(ends.remoteNode, { ...addressed(ends), ...fields }),
      block,
      opened,
      gone: (gone) => {
        if (this.connections.get(key) === gone) this.connections.delete(key);
        this.#endDial(gone);
      },
    });
    this.connections.set(key, connection);
    this.#sweep ??= transport.setTimer(SWEEP_MS, () => this.#onSweep());
    return connection;
  }

  /** DP 4.10: NEW waits up to 10 s for a key before its first SYN; on a poll, as dials do there (DP app. D 4). */
  #awaitKey(connection: PeerConnection, dial: Dial, until: number): void {
    const { transport, hasKey } = this.#setup;
    if (connection.state !== 'SYN_SENT') return;
    if (hasKey(connection.ends.remoteNode) || transport.now() >= until) {
      this.#begin(connection, dial);
      return;
    }
    dial.timers = [transport.setTimer(KEY_POLL_MS, () => this.#awaitKey(connection, dial, until))];
  }

  #begin(connection: PeerConnection, dial: Dial): void {
    this.#attempt(connection, dial);
    this.#race(connection, dial);
  }

  /** DP 4.10: three direct tries, then the relay with the first back-off again. */
  #attempt(connection: PeerConnection, dial: Dial): void {
    const { behaviour, transport, canFlip, setRelayed } = this.#setup;
    if (connection.state !== 'SYN_SENT') {
      this.#endDial(connection);
      return;
    }
    const { remoteNode } = connection.ends;
    if (dial.sends > behaviour.dialRetries) {
      connection.finish('timeout');
      return;
    }
    if (dial.sends === DIRECT_TRIES && canFlip(remoteNode)) {
      setRelayed(remoteNode, true);
      dial.flipped = true;
      dial.delayMs = 2 * behaviour.dialFirstMs;
    }
    dial.sends += 1;
    this.#sendSyn(connection);
    dial.timers = [transport.setTimer(dial.delayMs, () => this.#attempt(connection, dial)), ...dial.timers.slice(1)];
    dial.delayMs = Math.min(DIAL_CAP_MS, 2 * dial.delayMs);
  }

  #sendSyn(connection: PeerConnection, way?: 'direct' | 'relay'): void {
    const { ends } = connection;
    this.#setup.send(ends.remoteNode, { ...addressed(ends), ...connection.sendSyn() }, way);
  }

  #race(connection: PeerConnection, dial: Dial): void {
    const { behaviour, transport, canFlip } = this.#setup;
    if (!behaviour.racesRelay || !canFlip(connection.ends.remoteNode)) return;
    for (let i = 0; i < RACE_TRIES; i++) {
      const copy = (): void => {
        if (connection.state === 'SYN_SENT') this.#sendSyn(connection, 'relay');
      };
      dial.timers.push(transport.setTimer(RACE_MS + i * RACE_AGAIN_MS, copy));
    }
  }

  #endDial(connection: PeerConnection): void {
    const dial = this.#dials.get(connection);
    if (dial === undefined) return;
    this.#dials.delete(connection);
    for (const timer of dial.timers) timer.cancel();
    // DP 4.10: kept by the older ones, which makes the relay sticky (DP app. D 12).
    if (dial.flipped && !this.#setup.behaviour.relaySticky) this.#setup.setRelayed(connection.ends.remoteNode, false);
  }

  /** DP 5.18, 5.19, every 15 s. */
  #onSweep(): void {
    const { transport, behaviour } = this.#setup;
    this.#sweep = undefined;
    const now = transport.now();
    for (const [key, connection] of [...this.connections]) {
      const age = now - connection.stateSince;
      const isLeaving = connection.state === 'TIME_WAIT' || connection.state === 'FIN_WAIT';
      if (isLeaving && age >= LINGER_MS) connection.finish('closed');
      else if (connection.state === 'SYN_SENT' && behaviour.forgetsSlowDials && age >= SLOW_DIAL_MS) {
        this.connections.delete(key);
      } else if (connection.state === 'ESTABLISHED') this.#checkIdle(connection, now);
    }
    if (this.connections.size > 0) this.#sweep ??= transport.setTimer(SWEEP_MS, () => this.#onSweep());
  }

  #checkIdle(connection: PeerConnection, now: number): void {
    // The idle limit of 120 s is never reached: three keepalives are through before.
    if (connection.hasUnansweredKeepalives) {
      if (this.#setup.behaviour.idleEndsWith === 'rst') connection.abort();
      else connection.close();
    } else if (now - connection.lastActivityAt > KEEPALIVE_MS) {
      connection.sendKeepalive();
    }
  }
}

/** DP 5.2: the local address is kept as data, not as part of the key. */
function keyOf(packet: Pick<Packet, 'destinationPort' | 'sourceNetwork' | 'sourceNode' | 'sourcePort'>): string {
  return `${packet.destinationPort}/${packet.sourceNetwork}:${packet.sourceNode}/${packet.sourcePort}`;
}

function addressed(ends: PeerEnds): Partial<Packet> {
  return {
    protocol: PROTOCOL.stream,
    sourceNetwork: ends.network,
    sourceNode: ends.localNode,
    destinationNetwork: ends.network,
    destinationNode: ends.remoteNode,
    sourcePort: ends.localPort,
    destinationPort: ends.remotePort,
  };
}
