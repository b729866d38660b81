/**
 * The registry's language over a byte link (CP 1.2–1.5): length-prefixed frames, JSON bodies, and the exact texts that
 * requests sign. The binary form of the three most frequent requests is in registry-binary.ts.
 */
import { readU32, writeU32 } from './integers.ts';

/** Length of the prefix in front of every frame. */
export const FRAME_PREFIX_BYTES = 4;

/** A reader gives a buffer above this back as soon as it is empty: most links are idle most of the time. */
const KEEP_BYTES = 16 * 1024;

/** A request or an answer: a JSON object. What its fields hold is for the reader to check. */
export interface RegistryFields {
  readonly [field: string]: unknown;
}

/**
 * What the key named in the comment signs, as UTF-8 (CP 1.5). Ids are decimal without leading zeros. None has a nonce
 * or a time, which only the link's TLS makes up for.
 */
export const CHALLENGE = {
  /** The key that registers. `listenAddress` and `publicKey` exactly as they stand in the request. */
  register: (listenAddress: string, publicKey: string): string => `register:${listenAddress}:${publicKey}`,
  heartbeat: (nodeId: number): string => `heartbeat:${nodeId}`,
  /** The present key. Without `newPublicKey` as servers until April 2026 want it. */
  rotateKey: (nodeId: number, newPublicKey?: string): string =>
    newPublicKey === undefined ? `rotate:${nodeId}` : `rotate:${nodeId}:${newPublicKey}`,
  setKeyExpiry: (nodeId: number): string => `set_key_expiry:${nodeId}`,
  deregister: (nodeId: number): string => `deregister:${nodeId}`,
  setVisibility: (nodeId: number): string => `set_visibility:${nodeId}`,
  setHostname: (nodeId: number): string => `set_hostname:${nodeId}`,
  setTags: (nodeId: number): string => `set_tags:${nodeId}`,
  /** The requester, as in all that follow with two ids. */
  resolve: (requesterId: number, nodeId: number): string => `resolve:${requesterId}:${nodeId}`,
  lookup: (requesterId: number, nodeId: number): string => `lookup:${requesterId}:${nodeId}`,
  resolveHostname: (requesterId: number): string => `resolve_hostname:${requesterId}`,
  listNodes: (requesterId: number, networkId: number): string => `list_nodes:${requesterId}:${networkId}`,
  /** Ours, not in the reference. `tag` exactly as it stands in the request. */
  findNodes: (requesterId: number, tag: string): string => `find_nodes:${requesterId}:${tag}`,
  /** One of the pair. */
  checkTrust: (nodeId: number, peerId: number): string => `check_trust:${nodeId}:${peerId}`,
  reportTrust: (nodeId: number, peerId: number): string => `report_trust:${nodeId}:${peerId}`,
  revokeTrust: (nodeId: number, peerId: number): string => `revoke_trust:${nodeId}:${peerId}`,
  requestHandshake: (from: number, to: number): string => `handshake:${from}:${to}`,
  pollHandshakes: (nodeId: number): string => `poll_handshakes:${nodeId}`,
  respondHandshake: (nodeId: number, peerId: number): string => `respond:${nodeId}:${peerId}`,
  /** One of the two. */
  punch: (nodeA: number, nodeB: number): string => `punch:${nodeA}:${nodeB}`,
} as const;

const ENCODER: TextEncoder = new TextEncoder();
const DECODER: TextDecoder = new TextDecoder('utf-8', { fatal: true });

/**
 * A JSON frame (CP 1.2):
 *
 *   0  u32  length n of the body; never 0x50494C54, which begins the binary protocol
 *   4  n    UTF-8 JSON object
 *
 * @returns A buffer of its own.
 */
export function emitJsonFrame(fields: RegistryFields): Uint8Array {
  return frame(ENCODER.encode(JSON.stringify(fields)));
}

/** Puts the prefix in front of a body. */
export function frame(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_PREFIX_BYTES + body.length);
  writeU32(bytes, 0, body.length);
  bytes.set(body, FRAME_PREFIX_BYTES);
  return bytes;
}

/** Reads a body. @returns The object, `null` for the JSON value null, undefined for anything else. */
export function parseJson(body: Uint8Array): RegistryFields | null | undefined {
  try {
    const value: unknown = JSON.parse(DECODER.decode(body));
    if (value === null) return null;
    return typeof value === 'object' && !Array.isArray(value) ? (value as RegistryFields) : undefined;
  } catch {
    // Hostile bytes are no exception: neither bad UTF-8 nor bad JSON.
    return undefined;
  }
}

/**
 * Cuts a byte stream into frames. It holds what was received and not yet taken, never what a prefix promises, so that
 * a prefix alone costs its sender as much as us.
 */
export class FrameReader {
  readonly #limit: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** Where the next prefix stands that was not looked at yet. */
  #boundary = 0;

  /** @param limit - Largest body in bytes; a longer prefix breaks the stream. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes received and not taken. */
  get bufferedBytes(): number {
    return this.#end - this.#start;
  }

  /** Whether the stream announced a frame above the limit. It is then of no use. */
  get isBroken(): boolean {
    return this.#boundary < 0;
  }

  /**
   * Takes bytes off the link, copied. @returns False when a prefix exceeds the limit: close the link. Whole frames in
   * front of it can still be taken.
   */
  push(bytes: Uint8Array): boolean {
    if (this.isBroken) return false;
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
    while (this.#boundary + FRAME_PREFIX_BYTES <= this.#end) {
      const length = readU32(this.#buffer, this.#boundary);
      if (length > this.#limit) {
        this.#end = this.#boundary;
        this.#boundary = -1;
        return false;
      }
      this.#boundary += FRAME_PREFIX_BYTES + length;
    }
    return true;
  }

  /** The next whole body, which may be empty. Borrowed until the next `push`. */
  next(): Uint8Array | undefined {
    const body = this.#start + FRAME_PREFIX_BYTES;
    if (body > this.#end) return undefined;
    const end = body + readU32(this.#buffer, this.#start);
    if (end > this.#end) return undefined;
    const found = this.#buffer.subarray(body, end);
    this.#start = end;
    if (end === this.#end && end > KEEP_BYTES && !this.isBroken) {
      this.#buffer = new Uint8Array(0);
      this.#start = this.#end = this.#boundary = 0;
    }
    return found;
  }

  /** Makes room behind `#end`: by moving what is left to the front, or by doubling. */
  #reserve(more: number): void {
    const held = this.#end - this.#start;
    if (this.#end + more > this.#buffer.length || held === 0) {
      const boundary = this.#boundary - this.#start;
      const target = held + more > this.#buffer.length ? new Uint8Array(roomFor(held + more)) : this.#buffer;
      if (target === this.#buffer) target.copyWithin(0, this.#start, this.#end);
      else target.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = target;
      this.#boundary = boundary;
      this.#start = 0;
      this.#end = held;
    }
  }
}

/** The power of two that holds `bytes`, so that a long frame is copied a bounded number of times. */
function roomFor(bytes: number): number {
  let room = 512;
  while (room < bytes) room *= 2;
  return room;
}
