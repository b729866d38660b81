/**
 * The registry's binary protocol (CP 1.15): heartbeat, lookup and resolve without JSON, everything else as JSON inside.
 * A link speaks it when it begins with `BINARY_PROLOGUE`. Bodies here are without the length prefix, which
 * registry.ts puts on and takes off.
 */
import { readU16, readU32, writeU16, writeU32 } from './integers.ts';
import { frame } from './registry.ts';

/** First bytes of a binary link: "PILT" and version 1. */
export const BINARY_PROLOGUE: Uint8Array = Uint8Array.of(0x50, 0x49, 0x4c, 0x54, 0x01);

/** First byte of a body. */
export const BINARY = {
  json: 0x00,
  heartbeat: 0x01,
  lookup: 0x02,
  resolve: 0x03,
  heartbeatOk: 0x81,
  lookupOk: 0x82,
  resolveOk: 0x83,
  error: 0xff,
} as const;

const SIGNATURE_BYTES = 64;
const HEARTBEAT_BYTES = 4 + SIGNATURE_BYTES;
const LOOKUP_BYTES = 4;
const RESOLVE_BYTES = 8 + SIGNATURE_BYTES;
const ERROR_TEXT_MAX = 65_000;
const UNKNOWN_AGE = 0xffff_ffff;
/** CP 1.15: readers cap the counts of lists. */
const LIST_MAX = 1024;

/** A request. Byte fields are views into the body. */
export type BinaryRequest =
  | { readonly type: 'json'; readonly body: Uint8Array }
  | { readonly type: 'heartbeat'; readonly nodeId: number; readonly signature: Uint8Array }
  | { readonly type: 'lookup'; readonly nodeId: number }
  | { readonly type: 'resolve'; readonly nodeId: number; readonly requesterId: number; readonly signature: Uint8Array }
  | { readonly type: 'short'; readonly name: 'heartbeat' | 'lookup' | 'resolve'; readonly length: number }
  | { readonly type: 'unknown'; readonly code: number };

/** What a lookup finds. */
export interface BinaryLookup {
  readonly nodeId: number;
  readonly isPublic: boolean;
  readonly networks: readonly number[];
  readonly publicKey: Uint8Array;
  readonly hostname: string;
  readonly tags: readonly string[];
  /** Empty for private nodes. */
  readonly realAddress: string;
}

/** What a resolve finds. */
export interface BinaryResolve {
  readonly nodeId: number;
  readonly realAddress: string;
  readonly lanAddresses: readonly string[];
  readonly keyAgeDays: number | undefined;
}

/** An answer. */
export type BinaryAnswer =
  | { readonly type: 'json'; readonly body: Uint8Array }
  | { readonly type: 'heartbeatOk'; readonly time: number; readonly isKeyExpiring: boolean }
  | { readonly type: 'lookupOk'; readonly found: BinaryLookup }
  | { readonly type: 'resolveOk'; readonly found: BinaryResolve }
  | { readonly type: 'error'; readonly text: string };

const ENCODER: TextEncoder = new TextEncoder();
const DECODER: TextDecoder = new TextDecoder();

/**
 * Reads a request body; bytes behind the layout are ignored:
 *
 *   0  u8   1 heartbeat: u32 node id, 64 signature
 *           2 lookup:    u32 node id
 *           3 resolve:   u32 node id, u32 requester id, 64 signature
 *           0 JSON
 *
 * @returns Undefined for an empty body, which no frame may have.
 */
export function parseBinaryRequest(body: Uint8Array): BinaryRequest | undefined {
  const code = body[0];
  if (code === undefined) return undefined;
  const length = body.length - 1;
  switch (code) {
    case BINARY.json:
      return { type: 'json', body: body.subarray(1) };
    case BINARY.heartbeat:
      if (length < HEARTBEAT_BYTES) return { type: 'short', name: 'heartbeat', length };
      return { type: 'heartbeat', nodeId: readU32(body, 1), signature: body.subarray(5, 5 + SIGNATURE_BYTES) };
    case BINARY.lookup:
      if (length < LOOKUP_BYTES) return { type: 'short', name: 'lookup', length };
      return { type: 'lookup', nodeId: readU32(body, 1) };
    case BINARY.resolve:
      if (length < RESOLVE_BYTES) return { type: 'short', name: 'resolve', length };
      return {
        type: 'resolve',
        nodeId: readU32(body, 1),
        requesterId: readU32(body, 5),
        signature: body.subarray(9, 9 + SIGNATURE_BYTES),
      };
    default:
      return { type: 'unknown', code };
  }
}

/** A heartbeat frame, prefix included. @param signature - 64 bytes over `CHALLENGE.heartbeat`. */
export function emitHeartbeat(nodeId: number, signature: Uint8Array): Uint8Array {
  return new Writer(BINARY.heartbeat, 1 + HEARTBEAT_BYTES).u32(nodeId).bytes(signature).frame();
}

/** A lookup frame, prefix included. */
export function emitLookup(nodeId: number): Uint8Array {
  return new Writer(BINARY.lookup, 1 + LOOKUP_BYTES).u32(nodeId).frame();
}

/** A resolve frame, prefix included. @param signature - 64 bytes over `CHALLENGE.resolve`. */
export function emitResolve(nodeId: number, requesterId: number, signature: Uint8Array): Uint8Array {
  return new Writer(BINARY.resolve, 1 + RESOLVE_BYTES).u32(nodeId).u32(requesterId).bytes(signature).frame();
}

/** JSON inside the binary protocol, either way, prefix included. */
export function emitBinaryJson(fields: { readonly [field: string]: unknown }): Uint8Array {
  const body = ENCODER.encode(JSON.stringify(fields));
  return new Writer(BINARY.json, 1 + body.length).bytes(body).frame();
}

/** Reads an answer body. @returns Undefined when it is malformed or of no known type. */
export function parseBinaryAnswer(body: Uint8Array): BinaryAnswer | undefined {
  const reader = new Reader(body, 1);
  switch (body[0]) {
    case BINARY.json:
      return { type: 'json', body: body.subarray(1) };
    case BINARY.heartbeatOk: {
      const time = reader.u32() * 0x1_0000_0000 + reader.u32();
      const flags = reader.u8();
      return reader.isShort ? undefined : { type: 'heartbeatOk', time, isKeyExpiring: (flags & 1) !== 0 };
    }
    case BINARY.lookupOk:
      return parseLookup(reader);
    case BINARY.resolveOk:
      return parseResolve(reader);
    case BINARY.error: {
      const text = reader.text(reader.u16());
      return reader.isShort ? undefined : { type: 'error', text };
    }
    default:
      return undefined;
  }
}

/** Heartbeat ok, prefix included: i64 Unix seconds, u8 flags (bit 0: the key expires within a day). */
export function emitHeartbeatOk(time: number, isKeyExpiring: boolean): Uint8Array {
  const high = Math.floor(time / 0x1_0000_0000);
  return new Writer(BINARY.heartbeatOk, 10)
    .u32(high)
    .u32(time)
    .u8(isKeyExpiring ? 1 : 0)
    .frame();
}

/**
 * Lookup ok, prefix included. u32 node id, u8 flags (bit 0 public), 4 zero bytes (a score in older servers),
 * u16 k, k × u16 network, then each with a u8 length in front: key, host name; u8 t, t × tag (u8 length); address
 * (u16 length); external id (u8 length, always empty).
 */
export function emitLookupOk(found: BinaryLookup): Uint8Array {
  const writer = new Writer(BINARY.lookupOk, 128)
    .u32(found.nodeId)
    .u8(found.isPublic ? 1 : 0)
    .u32(0);
  writer.u16(found.networks.length);
  for (const network of found.networks) writer.u16(network);
  writer.u8(found.publicKey.length).bytes(found.publicKey).text8(found.hostname).u8(found.tags.length);
  for (const tag of found.tags) writer.text8(tag);
  return writer.text16(found.realAddress).u8(0).frame();
}

/** Resolve ok, prefix included. u32 node id, address, u16 k, k × LAN address (each u16 length), u32 key age in days. */
export function emitResolveOk(found: BinaryResolve): Uint8Array {
  const writer = new Writer(BINARY.resolveOk, 64).u32(found.nodeId).text16(found.realAddress);
  writer.u16(found.lanAddresses.length);
  for (const address of found.lanAddresses) writer.text16(address);
  return writer.u32(found.keyAgeDays ?? UNKNOWN_AGE).frame();
}

/** Error, prefix included: u16 length, UTF-8 text. */
export function emitBinaryError(text: string): Uint8Array {
  const bytes = ENCODER.encode(text).subarray(0, ERROR_TEXT_MAX);
  return new Writer(BINARY.error, 3 + bytes.length).u16(bytes.length).bytes(bytes).frame();
}

function parseLookup(reader: Reader): BinaryAnswer | undefined {
  const nodeId = reader.u32();
  const flags = reader.u8();
  reader.u32();
  const networks = reader.list(reader.u16(), () => reader.u16());
  const publicKey = reader.bytes(reader.u8());
  const hostname = reader.text(reader.u8());
  const tags = reader.list(reader.u8(), () => reader.text(reader.u8()));
  const realAddress = reader.text(reader.u16());
  reader.bytes(reader.u8());
  if (reader.isShort) return undefined;
  return {
    type: 'lookupOk',
    found: { nodeId, isPublic: (flags & 1) !== 0, networks, publicKey, hostname, tags, realAddress },
  };
}

/** Whether a key follows behind the age (one fork writes it) makes no difference. */
function parseResolve(reader: Reader): BinaryAnswer | undefined {
  const nodeId = reader.u32();
  const realAddress = reader.text(reader.u16());
  const lanAddresses = reader.list(reader.u16(), () => reader.text(reader.u16()));
  const age = reader.u32();
  if (reader.isShort) return undefined;
  const keyAgeDays = age === UNKNOWN_AGE ? undefined : age;
  return { type: 'resolveOk', found: { nodeId, realAddress, lanAddresses, keyAgeDays } };
}

/** Reads on from an offset. Past the end it reads zeros and says `isShort`, so that layouts need one check at the end. */
class Reader {
  readonly #body: Uint8Array;
  #offset: number;
  isShort = false;

  constructor(body: Uint8Array, offset: number) {
    this.#body = body;
    this.#offset = offset;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#body[at]!;
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : readU16(this.#body, at);
  }

  u32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : readU32(this.#body, at);
  }

  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#body.subarray(Math.max(at, 0), at < 0 ? 0 : at + length);
  }

  text(length: number): string {
    return DECODER.decode(this.bytes(length));
  }

  list<T>(count: number, read: () => T): T[] {
    if (count > LIST_MAX) this.isShort = true;
    const items: T[] = [];
    for (let i = 0; i < count && !this.isShort; i++) items.push(read());
    return items;
  }

  #take(length: number): number {
    const at = this.#offset;
    if (this.isShort || at + length > this.#body.length) {
      this.isShort = true;
      return -1;
    }
    this.#offset = at + length;
    return at;
  }
}

/** Writes a body that grows. Texts are cut at what their length field can say. */
class Writer {
  #body: Uint8Array;
  #length = 1;

  constructor(type: number, room: number) {
    this.#body = new Uint8Array(room);
    this.#body[0] = type;
  }

  u8(value: number): this {
    this.#body[this.#grow(1)] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    writeU16(this.#body, at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    writeU32(this.#body, at, value);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#body.set(bytes, at);
    return this;
  }

  text8(text: string): this {
    const bytes = ENCODER.encode(text).subarray(0, 0xff);
    return this.u8(bytes.length).bytes(bytes);
  }

  text16(text: string): this {
    const bytes = ENCODER.encode(text).subarray(0, 0xffff);
    return this.u16(bytes.length).bytes(bytes);
  }

  frame(): Uint8Array {
    return frame(this.#body.subarray(0, this.#length));
  }

  #grow(more: number): number {
    const at = this.#length;
    this.#length += more;
    if (this.#length > this.#body.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#body);
      this.#body = larger;
    }
    return at;
  }
}
