/**
 * What the engine does with a frame, written in JavaScript as well as we can: the peer of M5. Frame header, session by
 * sender, AEAD by node:crypto, epoch and window, packet header, CRC by zlib, source. One object per session, one for the
 * packet, no view where bytes can be read, no BigInt; views and copies are those that were fastest of six variants.
 */
import { createDecipheriv, type KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';

const MAGIC = 0x50494c53;
const FRAME_HEADER = 20;
const PACKET_HEADER = 34;
const TAG = 16;
/** Bits and words of the replay window. */
const WINDOW = 1024;
const WINDOW_WORDS = WINDOW / 32;

/** What became of a frame; `ok` is zero as in the engine. */
export const OUTCOME = { ok: 0, notPils: 1, noSession: 2, refused: 4, replay: 5, badPacket: 8, spoofed: 10 } as const;

interface Session {
  readonly key: KeyObject;
  /** Of the newest epoch; -1 before the first frame. */
  prefix: number;
  highest: number;
  readonly window: Int32Array;
}

/** The packet that `open` read last. */
export interface JsPacket {
  payload: Buffer;
  payloadLength: number;
  kind: number;
  sourceNetwork: number;
  sourceNode: number;
  destinationNetwork: number;
  destinationNode: number;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  window: number;
}

/** Receives for one identity. */
export class JsReceiver {
  readonly packet: JsPacket = {
    payload: Buffer.alloc(0),
    payloadLength: 0,
    kind: 0,
    sourceNetwork: 0,
    sourceNode: 0,
    destinationNetwork: 0,
    destinationNode: 0,
    sourcePort: 0,
    destinationPort: 0,
    seq: 0,
    ack: 0,
    window: 0,
  };
  readonly #sessions = new Map<number, Session>();
  readonly #nonce = Buffer.alloc(12);
  readonly #aad = Buffer.alloc(4);
  readonly #tag = Buffer.alloc(TAG);

  /** Adds a session, or makes the one there is as good as new. */
  install(peerId: number, key: KeyObject): void {
    this.#sessions.set(peerId, { key, prefix: -1, highest: 0, window: new Int32Array(WINDOW_WORDS) });
  }

  /** Opens a frame into `packet`. */
  open(frame: Buffer): number {
    if (frame.length < FRAME_HEADER + TAG || u32(frame, 0) !== MAGIC) return OUTCOME.notPils;
    const sender = u32(frame, 4);
    const session = this.#sessions.get(sender);
    if (session === undefined) return OUTCOME.noSession;
    const plaintext = this.#decrypt(session, frame);
    if (plaintext === undefined) return OUTCOME.refused;
    if (!isNew(session, u32(frame, 8), u32(frame, 12) * 0x1_0000_0000 + u32(frame, 16))) return OUTCOME.replay;
    return this.#read(plaintext, sender);
  }

  #decrypt(session: Session, frame: Buffer): Buffer | undefined {
    const end = frame.length - TAG;
    // Copying these few bytes is cheaper than three views of them.
    for (let i = 0; i < 4; i++) this.#aad[i] = frame[4 + i]!;
    for (let i = 0; i < 12; i++) this.#nonce[i] = frame[8 + i]!;
    for (let i = 0; i < TAG; i++) this.#tag[i] = frame[end + i]!;
    const decipher = createDecipheriv('aes-256-gcm', session.key, this.#nonce);
    decipher.setAAD(this.#aad);
    decipher.setAuthTag(this.#tag);
    const plaintext = decipher.update(frame.subarray(FRAME_HEADER, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  }

  #read(bytes: Buffer, sender: number): number {
    if (bytes.length < PACKET_HEADER) return OUTCOME.badPacket;
    const payloadLength = u16(bytes, 2);
    const end = PACKET_HEADER + payloadLength;
    const kind = u16(bytes, 0);
    if (bytes.length < end || kind >> 12 !== 1) return OUTCOME.badPacket;
    const expected = u32(bytes, 30);
    bytes[30] = 0;
    bytes[31] = 0;
    bytes[32] = 0;
    bytes[33] = 0;
    if (crc32(bytes.length === end ? bytes : bytes.subarray(0, end)) !== expected) return OUTCOME.badPacket;
    const sourceNode = u32(bytes, 6);
    if (sourceNode !== sender) return OUTCOME.spoofed;
    const { packet } = this;
    packet.payload = bytes;
    packet.payloadLength = payloadLength;
    packet.kind = kind;
    packet.sourceNetwork = u16(bytes, 4);
    packet.sourceNode = sourceNode;
    packet.destinationNetwork = u16(bytes, 10);
    packet.destinationNode = u32(bytes, 12);
    packet.sourcePort = u16(bytes, 16);
    packet.destinationPort = u16(bytes, 18);
    packet.seq = u32(bytes, 20);
    packet.ack = u32(bytes, 24);
    packet.window = u16(bytes, 28);
    return OUTCOME.ok;
  }
}

/** Notes the counter. @returns False for one that came before, or is too old to tell. */
function isNew(session: Session, prefix: number, counter: number): boolean {
  const { window } = session;
  if (prefix !== session.prefix) {
    session.prefix = prefix;
    session.highest = counter;
    window.fill(0);
  } else if (counter > session.highest) {
    const steps = counter - session.highest;
    if (steps >= WINDOW) window.fill(0);
    else for (let at = session.highest + 1; at <= counter; at++) window[(at % WINDOW) >> 5]! &= ~(1 << (at & 31));
    session.highest = counter;
  } else if (session.highest - counter >= WINDOW) {
    return false;
  }
  const word = (counter % WINDOW) >> 5;
  const bit = 1 << (counter & 31);
  if ((window[word]! & bit) !== 0) return false;
  window[word]! |= bit;
  return true;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
