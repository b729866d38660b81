/**
 * Messages between nodes and beacons, and between beacons (DP 4.1–4.6); a first byte below 0x10 tells them from frames.
 * Nothing here is authenticated but the signed Discover (design: decision 12) and the grant: who may say what is for
 * the endpoint and the beacon to decide.
 */
import { ipBytes, ipText } from './host-port.ts';
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './integers.ts';

/** First byte. */
export const BEACON = {
  discover: 1,
  discoverReply: 2,
  punchRequest: 3,
  punchCommand: 4,
  relay: 5,
  delivery: 6,
  sync: 7,
  discoverExtended: 8,
  deliveryExtended: 9,
  notify: 10,
} as const;

/** Bytes in front of the frame in a relay. */
export const RELAY_BYTES = 9;
/** Bytes in front of the frame in a delivery. */
export const DELIVERY_BYTES = 5;

const TYPE = 0;
const DISCOVER_NODE = 1;
const DISCOVER_KEY = 5;
const DISCOVER_SIGNED_AT = 37;
const DISCOVER_SIGNATURE = 45;
const DISCOVER_END = 109;
const ENDPOINT_LENGTH = 1;
const ENDPOINT_IP = 2;
const PUNCH_REQUESTER = 1;
const PUNCH_TARGET = 5;
const PUNCH_EXPIRES = 9;
const PUNCH_SIGNATURE = 17;
const PUNCH_END = 81;
const SENDER = 1;
const DESTINATION = 5;
const SYNC_BEACON = 1;
const SYNC_COUNT = 5;
const SYNC_NODES = 7;
const SYNC_MAX_NODES = 0xffff;
const NOTIFY_KIND = 1;
const NOTIFY_BYTES = 2;

/** What a beacon message says. Keys and signatures are views into the message: borrowed as long as it is. */
export type BeaconMessage =
  | DiscoverMessage
  | { readonly type: 'discoverReply' | 'punchCommand'; readonly host: string; readonly port: number }
  | {
      readonly type: 'punchRequest';
      readonly requester: number;
      readonly target: number;
      /** `expiresAt` in Unix seconds; signed by the target's key. */
      readonly grant: { readonly expiresAt: number; readonly signature: Uint8Array } | undefined;
    }
  | { readonly type: 'relay'; readonly sender: number; readonly destination: number; readonly frameOffset: number }
  | {
      readonly type: 'delivery';
      readonly sender: number;
      /** Only in the extended form. */
      readonly destination: number | undefined;
      readonly frameOffset: number;
    }
  | { readonly type: 'sync'; readonly beaconId: number; readonly nodeIds: readonly number[] }
  | { readonly type: 'notify'; readonly kind: number };

/** A node says where it is. */
export interface DiscoverMessage {
  readonly type: 'discover';
  /** 0: only asks for its own reflexive address. */
  readonly nodeId: number;
  readonly publicKey: Uint8Array | undefined;
  /** Unix ms; given together with `signature`. */
  readonly signedAt: number | undefined;
  /** Ed25519 over `discoverText`. */
  readonly signature: Uint8Array | undefined;
  /** Wants extended deliveries. */
  readonly extended: boolean;
}

/** What a Discover carries beside the node id: nothing, the key, or all three. */
export interface DiscoverOptions {
  readonly publicKey?: Uint8Array;
  readonly signedAtMs?: number;
  readonly signature?: Uint8Array;
}

/** Reads any message. Types not listed and short messages are nothing; bytes behind a layout are ignored. */
export function parseBeacon(bytes: Uint8Array): BeaconMessage | undefined {
  switch (bytes[TYPE]) {
    case BEACON.discover:
    case BEACON.discoverExtended:
      return parseDiscover(bytes);
    case BEACON.discoverReply:
      return parseEndpoint(bytes, 'discoverReply');
    case BEACON.punchCommand:
      return parseEndpoint(bytes, 'punchCommand');
    case BEACON.punchRequest:
      return parsePunchRequest(bytes);
    case BEACON.relay:
      if (bytes.length < RELAY_BYTES) return undefined;
      return {
        type: 'relay',
        sender: readU32(bytes, SENDER),
        destination: readU32(bytes, DESTINATION),
        frameOffset: RELAY_BYTES,
      };
    case BEACON.delivery:
      if (bytes.length < DELIVERY_BYTES) return undefined;
      return { type: 'delivery', sender: readU32(bytes, SENDER), destination: undefined, frameOffset: DELIVERY_BYTES };
    case BEACON.deliveryExtended:
      // Same layout as a relay (DP 4.5).
      if (bytes.length < RELAY_BYTES) return undefined;
      return {
        type: 'delivery',
        sender: readU32(bytes, SENDER),
        destination: readU32(bytes, DESTINATION),
        frameOffset: RELAY_BYTES,
      };
    case BEACON.sync:
      return parseSync(bytes);
    case BEACON.notify:
      return bytes.length < NOTIFY_BYTES ? undefined : { type: 'notify', kind: bytes[NOTIFY_KIND]! };
    default:
      return undefined;
  }
}

/**
 * Discover, 5, 37 or 109 bytes:
 *
 *   0   u8   1, or 8 when the sender wants extended deliveries
 *   1   u32  node id, 0: only tell me my address     ends here: plain
 *   5   32   Ed25519 public key                      ends here: with key
 *   37  u64  Unix time in ms
 *   45  64   Ed25519 signature over `discoverText`   ends here: signed
 *
 * @param options - Signed only when all three are given.
 */
export function emitDiscover(nodeId: number, options?: DiscoverOptions): Uint8Array {
  const { publicKey, signedAtMs, signature } = options ?? {};
  const isSigned = publicKey !== undefined && signedAtMs !== undefined && signature !== undefined;
  const length = isSigned ? DISCOVER_END : publicKey !== undefined ? DISCOVER_SIGNED_AT : DISCOVER_KEY;
  const bytes = new Uint8Array(length);
  bytes[TYPE] = BEACON.discover;
  writeU32(bytes, DISCOVER_NODE, nodeId);
  if (publicKey !== undefined) bytes.set(publicKey, DISCOVER_KEY);
  if (isSigned) {
    writeU64(bytes, DISCOVER_SIGNED_AT, signedAtMs);
    bytes.set(signature, DISCOVER_SIGNATURE);
  }
  return bytes;
}

/** What a signed Discover signs, as ASCII. @param unixMs - An integer; the beacon wants it to rise. */
export function discoverText(nodeId: number, unixMs: number): string {
  return `pilot-discover:${nodeId}:${unixMs}`;
}

/** The receiver's own reflexive address; layout as in `emitPunchCommand`. @param host - An IP address. */
export function emitDiscoverReply(host: string, port: number): Uint8Array {
  return emitEndpoint(BEACON.discoverReply, host, port);
}

/**
 * Discover reply and punch command:
 *
 *   0    u8   2 or 4
 *   1    u8   length L of the IP address: 4, or 16 where it is not IPv4-mapped
 *   2    L    IP address
 *   2+L  u16  UDP port
 *
 * @param host - An IP address: whom to punch to.
 */
export function emitPunchCommand(host: string, port: number): Uint8Array {
  return emitEndpoint(BEACON.punchCommand, host, port);
}

/**
 * Punch request, 9 or 81 bytes. We send no grant:
 *
 *   0   u8   3
 *   1   u32  requester node id
 *   5   u32  target node id               ends here, or goes on with a grant
 *   9   u64  end of the grant in Unix seconds
 *   17  64   Ed25519 signature by the target's key
 */
export function emitPunchRequest(requester: number, target: number): Uint8Array {
  const bytes = new Uint8Array(PUNCH_EXPIRES);
  bytes[TYPE] = BEACON.punchRequest;
  writeU32(bytes, PUNCH_REQUESTER, requester);
  writeU32(bytes, PUNCH_TARGET, target);
  return bytes;
}

/**
 * Relay, node → beacon and beacon → beacon, 9 bytes in front of the frame:
 *
 *   0  u8   5 (9 in an extended delivery, which is laid out alike)
 *   1  u32  sender node id
 *   5  u32  destination node id
 */
export function writeRelayHeader(bytes: Uint8Array, offset: number, sender: number, destination: number): void {
  bytes[offset + TYPE] = BEACON.relay;
  writeU32(bytes, offset + SENDER, sender);
  writeU32(bytes, offset + DESTINATION, destination);
}

/**
 * Delivery, beacon → node, 5 bytes in front of the frame:
 *
 *   0  u8   6
 *   1  u32  sender node id
 */
export function writeDeliveryHeader(bytes: Uint8Array, offset: number, sender: number): void {
  bytes[offset + TYPE] = BEACON.delivery;
  writeU32(bytes, offset + SENDER, sender);
}

/** Whether it is a delivery of nothing at all: what a relay without a frame becomes. */
export function isEmptyDelivery(bytes: Uint8Array, sender: number): boolean {
  return bytes.length === DELIVERY_BYTES && bytes[TYPE] === BEACON.delivery && readU32(bytes, SENDER) === sender;
}

/** A whole delivery; copies the frame. */
export function emitDelivery(sender: number, frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(DELIVERY_BYTES + frame.length);
  writeDeliveryHeader(bytes, 0, sender);
  bytes.set(frame, DELIVERY_BYTES);
  return bytes;
}

/**
 * Sync, beacon → beacon; replaces what that beacon said before (DP 4.6):
 *
 *   0  u8     7
 *   1  u32    beacon id
 *   5  u16    number of nodes n
 *   7  n × 4  node ids
 *
 * @throws RangeError for more than 65535 nodes. A datagram of IPv4 holds 16375.
 */
export function emitSync(beaconId: number, nodeIds: ArrayLike<number>): Uint8Array {
  if (nodeIds.length > SYNC_MAX_NODES) throw new RangeError(`Sync names at most 65535 nodes: got ${nodeIds.length}`);
  const bytes = new Uint8Array(SYNC_NODES + 4 * nodeIds.length);
  bytes[TYPE] = BEACON.sync;
  writeU32(bytes, SYNC_BEACON, beaconId);
  writeU16(bytes, SYNC_COUNT, nodeIds.length);
  for (let i = 0; i < nodeIds.length; i++) writeU32(bytes, SYNC_NODES + 4 * i, nodeIds[i]!);
  return bytes;
}

/**
 * Notify, beacon → node, exactly 2 bytes (some receivers refuse more, DP 4.6):
 *
 *   0  u8  10
 *   1  u8  kind; 1: poll the registry for trust requests
 */
export function emitNotify(kind: number): Uint8Array {
  return Uint8Array.of(BEACON.notify, kind);
}

function parseDiscover(bytes: Uint8Array): BeaconMessage | undefined {
  if (bytes.length < DISCOVER_KEY) return undefined;
  const isSigned = bytes.length >= DISCOVER_END;
  const signedAt = isSigned ? readU64(bytes, DISCOVER_SIGNED_AT) : undefined;
  // A time that no number holds cannot be the one that was signed.
  if (isSigned && signedAt === undefined) return undefined;
  return {
    type: 'discover',
    nodeId: readU32(bytes, DISCOVER_NODE),
    publicKey: bytes.length >= DISCOVER_SIGNED_AT ? bytes.subarray(DISCOVER_KEY, DISCOVER_SIGNED_AT) : undefined,
    signedAt,
    signature: isSigned ? bytes.subarray(DISCOVER_SIGNATURE, DISCOVER_END) : undefined,
    extended: bytes[TYPE] === BEACON.discoverExtended,
  };
}

function parseEndpoint(bytes: Uint8Array, type: 'discoverReply' | 'punchCommand'): BeaconMessage | undefined {
  const ipLength = bytes[ENDPOINT_LENGTH];
  if (ipLength !== 4 && ipLength !== 16) return undefined;
  const portOffset = ENDPOINT_IP + ipLength;
  if (bytes.length < portOffset + 2) return undefined;
  const port = readU16(bytes, portOffset);
  // Nothing can be sent to port 0; runtimes throw when asked to.
  if (port === 0) return undefined;
  return { type, host: ipText(bytes.subarray(ENDPOINT_IP, portOffset)), port };
}

function parsePunchRequest(bytes: Uint8Array): BeaconMessage | undefined {
  if (bytes.length < PUNCH_EXPIRES) return undefined;
  const hasGrant = bytes.length >= PUNCH_END;
  const expiresAt = hasGrant ? readU64(bytes, PUNCH_EXPIRES) : undefined;
  if (hasGrant && expiresAt === undefined) return undefined;
  return {
    type: 'punchRequest',
    requester: readU32(bytes, PUNCH_REQUESTER),
    target: readU32(bytes, PUNCH_TARGET),
    grant: expiresAt === undefined ? undefined : { expiresAt, signature: bytes.subarray(PUNCH_SIGNATURE, PUNCH_END) },
  };
}

/** A count that the bytes do not back is refused whole, so nothing is allocated for it. */
function parseSync(bytes: Uint8Array): BeaconMessage | undefined {
  if (bytes.length < SYNC_NODES) return undefined;
  const count = readU16(bytes, SYNC_COUNT);
  if (bytes.length < SYNC_NODES + 4 * count) return undefined;
  const nodeIds = new Array<number>(count);
  for (let i = 0; i < count; i++) nodeIds[i] = readU32(bytes, SYNC_NODES + 4 * i);
  return { type: 'sync', beaconId: readU32(bytes, SYNC_BEACON), nodeIds };
}

function emitEndpoint(type: number, host: string, port: number): Uint8Array {
  const ip = ipBytes(host);
  if (ip === undefined) throw new TypeError(`Host must be an IP address: got ${host}`);
  const bytes = new Uint8Array(ENDPOINT_IP + ip.length + 2);
  bytes[TYPE] = type;
  bytes[ENDPOINT_LENGTH] = ip.length;
  bytes.set(ip, ENDPOINT_IP);
  writeU16(bytes, ENDPOINT_IP + ip.length, port);
  return bytes;
}
