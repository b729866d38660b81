/**
 * Packets on their way out: staged in slots of engine memory, sealed together, queued with the path they take. Frames
 * through the beacon get its envelope in the headroom in front (DP 4.5), so that nothing is copied.
 */
import { BATCH, type Engine, PAYLOAD_OFFSET, RECORD_WORDS, STATUS, TX } from '../engine/engine.ts';
import { RELAY_BYTES, writeRelayHeader } from '../wire/beacon.ts';
import type { Outbox } from './outbox.ts';
import { NO_PATH } from './paths.ts';
import type { Counters } from './stats.ts';

/** The header fields of one packet (DP 2.1). The object may be reused after `stage`. */
export interface PacketFields {
  protocol: number;
  flags: number;
  sourceNetwork: number;
  destinationNetwork: number;
  /** 0 for a keepalive, else the peer. */
  destinationNode: number;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  windowSegments: number;
}

/** Fields that are all zero but for the protocol, to be filled in and reused. @param protocol - One of PROTOCOL. */
export function noFields(protocol: number): PacketFields {
  return {
    protocol,
    flags: 0,
    sourceNetwork: 0,
    destinationNetwork: 0,
    destinationNode: 0,
    sourcePort: 0,
    destinationPort: 0,
    seq: 0,
    ack: 0,
    windowSegments: 0,
  };
}

/** Under which key and on which way a packet leaves. */
export interface Way {
  /** Engine session index. */
  session: number;
  peer: number;
  /** The direct path, or NO_PATH: through the beacon. */
  path: number;
}

interface Staged {
  framePtr: number;
  peer: number;
  session: number;
  path: number;
}

/** The outgoing half of one endpoint. */
export class Departures {
  readonly #engine: Engine;
  readonly #outbox: Outbox;
  readonly #counters: Counters;
  readonly #staged: Staged[] = Array.from({ length: BATCH }, () => ({ framePtr: 0, peer: 0, session: 0, path: 0 }));
  #count = 0;
  readonly #exhausted: { peer: number; session: number }[] = [];
  /** Our node id, 0 before registration. */
  nodeId = 0;
  /** Where the beacon is, or NO_PATH. */
  beaconPath: number = NO_PATH;

  constructor(engine: Engine, outbox: Outbox, counters: Counters) {
    this.#engine = engine;
    this.#outbox = outbox;
    this.#counters = counters;
  }

  /** Takes a slot for a payload. @returns The frame pointer, or 0 when none is free. */
  claim(payloadLength: number): number {
    return this.#engine.claimTransmit(payloadLength);
  }

  /** Whether `claim` would find a slot. */
  canClaim(payloadLength: number): boolean {
    return this.#engine.hasTransmit(payloadLength);
  }

  /** Where the payload of a claimed slot stands in engine memory. */
  payloadAt(framePtr: number): number {
    return framePtr + PAYLOAD_OFFSET;
  }

  /** Gives back a slot that was not staged. */
  unclaim(framePtr: number): void {
    this.#engine.releaseTransmit(framePtr);
  }

  /** Puts a packet in line; its payload stands in the slot already. A full line is sealed first. */
  stage(framePtr: number, payloadLength: number, fields: PacketFields, way: Way): void {
    if (this.#count === BATCH) this.seal();
    const { transmit } = this.#engine;
    const at = this.#count * RECORD_WORDS;
    transmit[at + TX.framePtr] = framePtr;
    transmit[at + TX.session] = way.session;
    transmit[at + TX.payloadLen] = payloadLength;
    transmit[at + TX.kind] = (fields.flags << 8) | fields.protocol;
    transmit[at + TX.networks] = (fields.sourceNetwork << 16) | fields.destinationNetwork;
    transmit[at + TX.sourceNode] = this.nodeId;
    transmit[at + TX.destinationNode] = fields.destinationNode;
    transmit[at + TX.ports] = (fields.sourcePort << 16) | fields.destinationPort;
    transmit[at + TX.seq] = fields.seq;
    transmit[at + TX.ack] = fields.ack;
    transmit[at + TX.window] = fields.windowSegments;
    const staged = this.#staged[this.#count]!;
    staged.framePtr = framePtr;
    staged.peer = way.peer;
    staged.session = way.session;
    staged.path = way.path;
    this.#count += 1;
  }

  /** Seals what is staged and queues it. The slots stay lent until the driver gives them back. */
  seal(): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    this.#engine.seal(count);
    const { transmit, memory } = this.#engine;
    for (let i = 0; i < count; i++) {
      const { framePtr, peer, session, path } = this.#staged[i]!;
      if (transmit[i * RECORD_WORDS + TX.status] !== STATUS.OK) {
        this.#engine.releaseTransmit(framePtr);
        this.#exhausted.push({ peer, session });
        continue;
      }
      const end = framePtr + transmit[i * RECORD_WORDS + TX.frameLen]!;
      const isRelayed = path === NO_PATH;
      const start = isRelayed ? framePtr - RELAY_BYTES : framePtr;
      if (isRelayed) writeRelayHeader(memory, start, this.nodeId, peer);
      const via = isRelayed ? this.beaconPath : path;
      if (via === NO_PATH || !this.#outbox.push(memory.subarray(start, end), via, framePtr)) {
        this.#engine.releaseTransmit(framePtr);
        this.#counters.drop(via === NO_PATH ? 'noPath' : 'outboxFull');
        continue;
      }
      this.#counters.framesSealed += 1;
    }
  }

  /** The next session that sealed no more: its counter is used up, or it is gone. */
  pollExhausted(): { peer: number; session: number } | undefined {
    return this.#exhausted.shift();
  }

  /** Queues a frame that needs no sealing (a key exchange), straight or in the beacon's envelope. Copied when relayed. */
  sendPlain(frame: Uint8Array, peer: number, path: number): void {
    let bytes = frame;
    if (path === NO_PATH) {
      bytes = new Uint8Array(RELAY_BYTES + frame.length);
      writeRelayHeader(bytes, 0, this.nodeId, peer);
      bytes.set(frame, RELAY_BYTES);
    }
    this.sendBare(bytes, path === NO_PATH ? this.beaconPath : path);
  }

  /** Queues bytes of their own for a path. */
  sendBare(bytes: Uint8Array, path: number): void {
    this.#outbox.post(this.#counters, bytes, path);
  }
}
