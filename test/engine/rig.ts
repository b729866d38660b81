/**
 * What the engine tests share: one engine with verbs to deliver frames and to send packets, a peer that makes frames with
 * node:crypto, and a seeded generator.
 */
import { type Engine, FRAME_HEADER, PAYLOAD_OFFSET, RECORD_WORDS, RX, STATUS, TX } from '../../src/engine/engine.ts';
import { sealFrame } from '../reference/engine.ts';
import { emitPacket, type Packet } from '../reference/packet.ts';

export type StatusName = keyof typeof STATUS;

/** What `open` answered for one frame. */
export interface Opened {
  status: StatusName;
  session: number;
  note: number;
  sender: number;
  /** Only when OK. */
  packet: Packet | undefined;
  /** The ciphertext's place after the call, tag excluded. */
  slot: Uint8Array;
}

/** Makes an engine under test. */
export type CreateEngine = (limits: { sessions: number }) => Engine;

/** Uses up send counters of a session, which nobody has time to seal. */
export type Spend = (engine: Engine, session: number, frames: number) => void;

const STATUS_NAMES = Object.keys(STATUS) as StatusName[];

export function statusName(value: number): StatusName {
  const name = STATUS_NAMES.find((candidate) => STATUS[candidate] === value);
  if (name === undefined) throw new Error(`unknown status ${value}`);
  return name;
}

/** Claims slots for frames and points the receive records at them. @returns The slots. */
export function place(engine: Engine, frames: readonly Uint8Array[]): number[] {
  return frames.map((frame, i) => {
    const ptr = engine.claimReceive(frame.length);
    engine.memory.set(frame, ptr);
    engine.receive[i * RECORD_WORDS + RX.framePtr] = ptr;
    engine.receive[i * RECORD_WORDS + RX.frameLen] = frame.length;
    return ptr;
  });
}

/** Delivers up to 64 frames in one batch and releases the slots. */
export function deliverAll(engine: Engine, owner: number, frames: readonly Uint8Array[]): Opened[] {
  const slots = place(engine, frames);
  engine.open(owner, frames.length);
  const answers = frames.map((frame, i) => readRecord(engine, i, frame.length));
  for (const ptr of slots) engine.releaseReceive(ptr);
  return answers;
}

/** Delivers one frame. */
export function deliver(engine: Engine, owner: number, frame: Uint8Array): Opened {
  return deliverAll(engine, owner, [frame])[0]!;
}

function readRecord(engine: Engine, index: number, frameLength: number): Opened {
  const record = engine.receive.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS);
  const ptr = record[RX.framePtr]!;
  const status = statusName(record[RX.status]!);
  const end = Math.max(FRAME_HEADER, frameLength - 16);
  return {
    status,
    session: record[RX.session]!,
    note: record[RX.note]!,
    sender: record[RX.sender]!,
    packet: status === 'OK' ? readPacket(engine, record) : undefined,
    slot: engine.memory.slice(ptr + FRAME_HEADER, ptr + end),
  };
}

function readPacket(engine: Engine, record: Uint32Array): Packet {
  const ptr = record[RX.payloadPtr]!;
  return {
    version: record[RX.kind]! >>> 12,
    flags: (record[RX.kind]! >>> 8) & 15,
    protocol: record[RX.kind]! & 0xff,
    sourceNetwork: record[RX.networks]! >>> 16,
    sourceNode: record[RX.sourceNode]!,
    destinationNetwork: record[RX.networks]! & 0xffff,
    destinationNode: record[RX.destinationNode]!,
    sourcePort: record[RX.ports]! >>> 16,
    destinationPort: record[RX.ports]! & 0xffff,
    seq: record[RX.seq]!,
    ack: record[RX.ack]!,
    window: record[RX.window]!,
    payload: engine.memory.slice(ptr, ptr + record[RX.payloadLen]!),
  };
}

/** Seals one packet. @returns The frame, or the status that refused it. */
export function send(engine: Engine, session: number, packet: Partial<Packet>): Uint8Array | StatusName {
  const payload = packet.payload ?? new Uint8Array(0);
  const framePtr = engine.claimTransmit(payload.length);
  if (framePtr === 0) throw new Error('no transmit slot');
  writePacket(engine, 0, { framePtr, session, packet });
  engine.seal(1);
  const status = statusName(engine.transmit[TX.status]!);
  const frame = engine.memory.slice(framePtr, framePtr + engine.transmit[TX.frameLen]!);
  engine.releaseTransmit(framePtr);
  return status === 'OK' ? frame : status;
}

/** Fills transmit record `index`. */
export function writePacket(
  engine: Engine,
  index: number,
  what: { framePtr: number; session: number; packet: Partial<Packet> },
): void {
  const { framePtr, session, packet } = what;
  const payload = packet.payload ?? new Uint8Array(0);
  engine.memory.set(payload, framePtr + PAYLOAD_OFFSET);
  const record = engine.transmit.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS);
  record[TX.framePtr] = framePtr;
  record[TX.session] = session;
  record[TX.payloadLen] = payload.length;
  record[TX.kind] = ((packet.flags ?? 0) << 8) | (packet.protocol ?? 0);
  record[TX.networks] = ((packet.sourceNetwork ?? 0) << 16) | (packet.destinationNetwork ?? 0);
  record[TX.sourceNode] = packet.sourceNode ?? 0;
  record[TX.destinationNode] = packet.destinationNode ?? 0;
  record[TX.ports] = ((packet.sourcePort ?? 0) << 16) | (packet.destinationPort ?? 0);
  record[TX.seq] = packet.seq ?? 0;
  record[TX.ack] = packet.ack ?? 0;
  record[TX.window] = packet.window ?? 0;
}

/** A peer as the engine sees it: makes honest frames under any prefix and counter. */
export class Peer {
  readonly nodeId: number;
  readonly key: Uint8Array;

  constructor(nodeId: number, keyByte: number) {
    this.nodeId = nodeId;
    this.key = new Uint8Array(32).map((_, i) => (keyByte * 37 + i * 11) & 0xff);
  }

  /** A frame around `plaintext`, or around a small packet. */
  frame(prefix: number, counter: number | bigint, plaintext?: Uint8Array): Uint8Array {
    return sealFrame(this.key, { sender: this.nodeId, prefix, counter: BigInt(counter) }, plaintext ?? this.packet());
  }

  packet(fields?: Partial<Packet>): Uint8Array {
    const payload = Uint8Array.of(1, 2, 3, 4, 5);
    return emitPacket({ protocol: 2, sourceNode: this.nodeId, destinationNode: LOCAL, payload, ...fields });
  }

  /** Adds a session with this peer. */
  install(engine: Engine, owner: number = 0, prefix: number = OUR_PREFIX): number {
    return engine.install({ owner, localId: LOCAL, peerId: this.nodeId, key: this.key, prefix });
  }
}

/** Our own node id. */
export const LOCAL = 1;
/** Our send prefix, unlike any that a test uses for a peer. */
export const OUR_PREFIX = 0x0a0b0c0d;

/** A small seeded generator (mulberry32): `next(n)` is in 0 … n − 1. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(length).map(() => this.next(256));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.next(list.length)]!;
  }
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
