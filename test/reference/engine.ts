/**
 * Plain twin of the Wasm engine: the same contract (src/engine/engine.ts) over node:crypto, maps and objects. Slow and
 * simple; every engine must agree with it.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import {
  BATCH,
  type Engine,
  type EngineLimits,
  FRAME_HEADER,
  PAYLOAD_OFFSET,
  RECORD_WORDS,
  RX,
  RX_NOTE,
  STATUS,
  TX,
} from '../../src/engine/engine.ts';
import { SLOT_AREA_BYTES, Slots } from '../../src/engine/slots.ts';
import { emitPacket, type Packet, parsePacket } from './packet.ts';
import { Epochs } from './replay.ts';

const TAG = 16;
const MAX_TRIES = 8;
const LAST_COUNTER = 2 ** 32 - 1;
const NOBODY = 0xffffffff;
const CONTROL = 3;
/** Zero is no pointer. */
const SLOT_BASE = 64;

interface Session {
  readonly index: number;
  readonly owner: number;
  readonly localId: number;
  readonly peerId: number;
  readonly key: Uint8Array;
  readonly prefix: number;
  readonly epochs: Epochs;
  sealed: number;
}

/** A frame taken apart. */
interface Frame {
  sender: number;
  prefix: number;
  counter: bigint;
}

/** Makes a PILS frame around any plaintext (DP 3.5). */
export function sealFrame(key: Uint8Array, frame: Frame, plaintext: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER + plaintext.length + TAG);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x50494c53);
  view.setUint32(4, frame.sender);
  view.setUint32(8, frame.prefix);
  view.setBigUint64(12, frame.counter);
  const cipher = createCipheriv('aes-256-gcm', key, bytes.subarray(8, 20));
  cipher.setAAD(bytes.subarray(4, 8));
  bytes.set(cipher.update(plaintext), FRAME_HEADER);
  cipher.final();
  bytes.set(cipher.getAuthTag(), FRAME_HEADER + plaintext.length);
  return bytes;
}

/** The plaintext of a PILS frame; undefined when it is none or the tag is wrong. */
export function openFrame(key: Uint8Array, frame: Uint8Array): Uint8Array | undefined {
  if (readFrame(frame) === undefined) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, frame.subarray(8, 20));
  decipher.setAAD(frame.subarray(4, 8));
  decipher.setAuthTag(frame.subarray(frame.length - TAG));
  const plaintext = decipher.update(frame.subarray(FRAME_HEADER, frame.length - TAG));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(plaintext);
}

function readFrame(frame: Uint8Array): Frame | undefined {
  if (frame.length < FRAME_HEADER + TAG) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0) !== 0x50494c53) return undefined;
  return { sender: view.getUint32(4), prefix: view.getUint32(8), counter: view.getBigUint64(12) };
}

/** The reference engine. */
export class ReferenceEngine implements Engine {
  readonly name = 'reference';
  readonly memory: Uint8Array = new Uint8Array(SLOT_BASE + SLOT_AREA_BYTES);
  readonly receive: Uint32Array = new Uint32Array(BATCH * RECORD_WORDS);
  readonly transmit: Uint32Array = new Uint32Array(BATCH * RECORD_WORDS);
  readonly #slots: Slots = new Slots(SLOT_BASE);
  readonly #limits: EngineLimits;
  /** By index; holes are free. */
  readonly #sessions: (Session | undefined)[] = [];
  /** Indexes to use again, the last one freed first. */
  readonly #free: number[] = [];
  /** By owner and peer, the newest first. */
  readonly #routes: Map<string, Session[]> = new Map();

  constructor(limits: EngineLimits) {
    this.#limits = limits;
  }

  get sessionCount(): number {
    return this.#sessions.length - this.#free.length;
  }

  claimReceive(length: number): number {
    return this.#slots.claimReceive(length);
  }

  releaseReceive(ptr: number): void {
    this.#slots.releaseReceive(ptr);
  }

  claimTransmit(payloadLength: number): number {
    return this.#slots.claimTransmit(payloadLength);
  }

  hasTransmit(payloadLength: number): boolean {
    return this.#slots.hasTransmit(payloadLength);
  }

  releaseTransmit(framePtr: number): void {
    this.#slots.releaseTransmit(framePtr);
  }

  install(session: { owner: number; localId: number; peerId: number; key: Uint8Array; prefix: number }): number {
    if (this.sessionCount === this.#limits.sessions) return -1;
    const index = this.#free.pop() ?? this.#sessions.length;
    const added: Session = { ...session, key: session.key.slice(), index, epochs: new Epochs(), sealed: 0 };
    this.#sessions[index] = added;
    const route = `${added.owner}/${added.peerId}`;
    this.#routes.set(route, [added, ...(this.#routes.get(route) ?? [])]);
    return index;
  }

  wipe(index: number): void {
    const session = this.#sessions[index];
    if (session === undefined) return;
    session.key.fill(0);
    const route = `${session.owner}/${session.peerId}`;
    this.#routes.set(
      route,
      this.#routes.get(route)!.filter((other) => other !== session),
    );
    this.#sessions[index] = undefined;
    this.#free.push(index);
  }

  sealed(index: number): number {
    return this.#sessions[index]?.sealed ?? 0;
  }

  /** Uses up send counters without sealing. */
  spend(index: number, frames: number): void {
    const session = this.#sessions[index];
    if (session !== undefined) session.sealed = Math.min(session.sealed + frames, LAST_COUNTER);
  }

  open(owner: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const record = this.receive.subarray(i * RECORD_WORDS, (i + 1) * RECORD_WORDS);
      const frame = this.memory.subarray(record[RX.framePtr]!, record[RX.framePtr]! + record[RX.frameLen]!);
      record.fill(0, RX.status);
      record[RX.session] = NOBODY;
      record[RX.status] = this.#openFrame(owner, frame, record);
    }
  }

  seal(count: number): void {
    for (let i = 0; i < count; i++) {
      const record = this.transmit.subarray(i * RECORD_WORDS, (i + 1) * RECORD_WORDS);
      record[TX.frameLen] = 0;
      record[TX.status] = this.#sealRecord(record);
    }
  }

  #openFrame(owner: number, bytes: Uint8Array, record: Uint32Array): number {
    const frame = readFrame(bytes);
    if (frame === undefined) return STATUS.NOT_PILS;
    record[RX.sender] = frame.sender;
    const sessions = this.#routes.get(`${owner}/${frame.sender}`) ?? [];
    if (sessions.length === 0) return STATUS.NO_SESSION;
    const holders = sessions.filter((session) => session.epochs.holds(frame.prefix));
    const others = sessions.filter((session) => !session.epochs.isRetired(frame.prefix));
    const candidates = (holders.length > 0 ? holders : others).slice(0, MAX_TRIES);
    const first = candidates[0];
    if (first === undefined) return answer(record, sessions[0]!, 0, STATUS.RETIRED);
    for (const session of candidates) {
      const plaintext = openFrame(session.key, bytes);
      if (plaintext !== undefined) return this.#finish(session, frame, bytes, plaintext, record);
    }
    return answer(record, first, 0, STATUS.AEAD_FAILED);
  }

  #finish(session: Session, frame: Frame, bytes: Uint8Array, plaintext: Uint8Array, record: Uint32Array): number {
    const verdict = session.epochs.accept(frame.prefix, frame.counter);
    const note =
      (verdict.isNew ? RX_NOTE.newEpoch : 0) |
      (verdict.isNewest ? RX_NOTE.newest : 0) |
      (frame.prefix === session.prefix ? RX_NOTE.prefixCollision : 0);
    // Whatever is refused from here on leaves no plaintext behind.
    const packetBytes = bytes.subarray(FRAME_HEADER, FRAME_HEADER + plaintext.length);
    packetBytes.fill(0);
    if (verdict.status !== 'OK') return answer(record, session, note, STATUS[verdict.status]);
    const packet = parsePacket(plaintext);
    if (packet === 'bad_checksum') return answer(record, session, note, STATUS.BAD_CHECKSUM);
    if (typeof packet === 'string') return answer(record, session, note, STATUS.BAD_PACKET);
    if (!isHonest(packet, frame.sender)) return answer(record, session, note, STATUS.SPOOFED);
    packetBytes.set(plaintext);
    writeHeader(record, packet, packetBytes.byteOffset + PAYLOAD_OFFSET - FRAME_HEADER);
    return answer(record, session, note, STATUS.OK);
  }

  #sealRecord(record: Uint32Array): number {
    const payloadLen = record[TX.payloadLen]!;
    if (payloadLen > 0xffff) return STATUS.BAD_PACKET;
    const session = this.#sessions[record[TX.session]!];
    if (session === undefined || session.sealed === LAST_COUNTER) return STATUS.EXHAUSTED;
    session.sealed++;
    const framePtr = record[TX.framePtr]!;
    const payloadPtr = framePtr + PAYLOAD_OFFSET;
    const packet = emitPacket(readHeader(record, this.memory.subarray(payloadPtr, payloadPtr + payloadLen)));
    const frame = { sender: session.localId, prefix: session.prefix, counter: BigInt(session.sealed) };
    const bytes = sealFrame(session.key, frame, packet);
    this.memory.set(bytes, framePtr);
    record[TX.frameLen] = bytes.length;
    return STATUS.OK;
  }
}

/** DP 3.13 step 2, with the exception for old keepalives. */
function isHonest(packet: Packet, sender: number): boolean {
  if (packet.sourceNode === sender) return true;
  const isKeepalive = packet.protocol === CONTROL && packet.payload.length === 0 && packet.destinationPort === 0;
  return packet.sourceNode === 0 && isKeepalive;
}

function answer(record: Uint32Array, session: Session, note: number, status: number): number {
  record[RX.session] = session.index;
  record[RX.note] = note | (session.epochs.retiredCount << 8);
  return status;
}

function writeHeader(record: Uint32Array, packet: Packet, payloadPtr: number): void {
  record[RX.payloadPtr] = payloadPtr;
  record[RX.payloadLen] = packet.payload.length;
  record[RX.kind] = (packet.version << 12) | (packet.flags << 8) | packet.protocol;
  record[RX.networks] = (packet.sourceNetwork << 16) | packet.destinationNetwork;
  record[RX.sourceNode] = packet.sourceNode;
  record[RX.destinationNode] = packet.destinationNode;
  record[RX.ports] = (packet.sourcePort << 16) | packet.destinationPort;
  record[RX.seq] = packet.seq;
  record[RX.ack] = packet.ack;
  record[RX.window] = packet.window;
}

function readHeader(record: Uint32Array, payload: Uint8Array): Partial<Packet> {
  return {
    flags: (record[TX.kind]! >> 8) & 15,
    protocol: record[TX.kind]! & 0xff,
    sourceNetwork: record[TX.networks]! >>> 16,
    destinationNetwork: record[TX.networks]! & 0xffff,
    sourceNode: record[TX.sourceNode]!,
    destinationNode: record[TX.destinationNode]!,
    sourcePort: record[TX.ports]! >>> 16,
    destinationPort: record[TX.ports]! & 0xffff,
    seq: record[TX.seq]!,
    ack: record[TX.ack]!,
    window: record[TX.window]! & 0xffff,
    payload,
  };
}
