/**
 * What the engine does with a frame, written in JavaScript as well as we can: the peer of M5. Frame header, session by
 * sender, AEAD, epoch and window, packet header, CRC, source; AEAD and CRC are the best that a runtime has (js-crypto.ts). One
 * object per session, one for the packet, no view where bytes can be read, no BigInt; views and copies are those that were
 * fastest of six variants.
 */

const MAGIC = 0x50494c53;
const FRAME_HEADER = 20;
const PACKET_HEADER = 34;
const TAG = 16;
/** Bits and words of the replay window. */
const WINDOW = 1024;
const WINDOW_WORDS = WINDOW / 32;

/** What became of a frame; `ok` is zero as in the engine. */
export const OUTCOME = { ok: 0, notPils: 1, noSession: 2, refused: 4, replay: 5, badPacket: 8, spoofed: 10 } as const;

/** What a receiver does not do itself. */
export interface Primitives {
  /** Opens what stands in a frame behind its header of 20 bytes. @returns Undefined when the tag does not verify. */
  decrypt(frame: Uint8Array): Uint8Array | undefined;
  crc32(bytes: Uint8Array): number;
}

interface Session {
  readonly decrypt: Primitives['decrypt'];
  /** Of the newest epoch; -1 before the first frame. */
  prefix: number;
  highest: number;
  readonly window: Int32Array;
}

/** The packet that `open` read last. */
export interface JsPacket {
  payload: Uint8Array;
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
    payload: new Uint8Array(0),
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
  readonly #crc32: Primitives['crc32'];

  constructor(crc32: Primitives['crc32']) {
    this.#crc32 = crc32;
  }

  /** Adds a session, or makes the one there is as good as new. @param decrypt - Has the key. */
  install(peerId: number, decrypt: Primitives['decrypt']): void {
    this.#sessions.set(peerId, { decrypt, prefix: -1, highest: 0, window: new Int32Array(WINDOW_WORDS) });
  }

  /** Opens a frame into `packet`. */
  open(frame: Uint8Array): number {
    if (frame.length < FRAME_HEADER + TAG || u32(frame, 0) !== MAGIC) return OUTCOME.notPils;
    const sender = u32(frame, 4);
    const session = this.#sessions.get(sender);
    if (session === undefined) return OUTCOME.noSession;
    const plaintext = session.decrypt(frame);
    if (plaintext === undefined) return OUTCOME.refused;
    if (!isNew(session, u32(frame, 8), u32(frame, 12) * 0x1_0000_0000 + u32(frame, 16))) return OUTCOME.replay;
    return this.#read(plaintext, sender);
  }

  #read(bytes: Uint8Array, sender: number): number {
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
    const { packet } = this;
    if (this.#crc32(bytes.length === end ? bytes : bytes.subarray(0, end)) !== expected) return OUTCOME.badPacket;
    const sourceNode = u32(bytes, 6);
    if (sourceNode !== sender) return OUTCOME.spoofed;
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
