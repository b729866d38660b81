/**
 * Plain twin of assembly/packet.ts and assembly/crc32.ts: the 34-byte packet header of DP 2.1 with its CRC-32, written to
 * be obviously right. Other tests use it to make and read packets.
 */

/** One packet. `payload` is a view of the bytes that were parsed. */
export interface Packet {
  version: number;
  flags: number;
  protocol: number;
  sourceNetwork: number;
  sourceNode: number;
  destinationNetwork: number;
  destinationNode: number;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  /** Segments. */
  window: number;
  payload: Uint8Array;
}

/** Why bytes are no packet, in the order of the checks (DP 2.3). */
export type PacketFault = 'too_short' | 'truncated' | 'bad_version' | 'bad_checksum';

const HEADER = 34;
const CHECKSUM = 30;

/** Parses a packet; bytes behind it are ignored. */
export function parsePacket(bytes: Uint8Array): Packet | PacketFault {
  if (bytes.length < HEADER) return 'too_short';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = HEADER + view.getUint16(2);
  if (bytes.length < end) return 'truncated';
  if (view.getUint8(0) >> 4 !== 1) return 'bad_version';
  if (view.getUint32(CHECKSUM) !== packetChecksum(bytes.subarray(0, end))) return 'bad_checksum';
  return {
    version: 1,
    flags: view.getUint8(0) & 15,
    protocol: view.getUint8(1),
    sourceNetwork: view.getUint16(4),
    sourceNode: view.getUint32(6),
    destinationNetwork: view.getUint16(10),
    destinationNode: view.getUint32(12),
    sourcePort: view.getUint16(16),
    destinationPort: view.getUint16(18),
    seq: view.getUint32(20),
    ack: view.getUint32(24),
    window: view.getUint16(28),
    payload: bytes.subarray(HEADER, end),
  };
}

/**
 * Emits a packet; fields left out are 0, the version 1.
 *
 * @throws RangeError for a payload above 65535 bytes.
 */
export function emitPacket(fields: Partial<Packet>): Uint8Array {
  const payload = fields.payload ?? new Uint8Array(0);
  if (payload.length > 0xffff) throw new RangeError(`Cannot emit packet: payload of ${payload.length} bytes`);
  const bytes = new Uint8Array(HEADER + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, ((fields.version ?? 1) << 4) | ((fields.flags ?? 0) & 15));
  view.setUint8(1, fields.protocol ?? 0);
  view.setUint16(2, payload.length);
  view.setUint16(4, fields.sourceNetwork ?? 0);
  view.setUint32(6, fields.sourceNode ?? 0);
  view.setUint16(10, fields.destinationNetwork ?? 0);
  view.setUint32(12, fields.destinationNode ?? 0);
  view.setUint16(16, fields.sourcePort ?? 0);
  view.setUint16(18, fields.destinationPort ?? 0);
  view.setUint32(20, fields.seq ?? 0);
  view.setUint32(24, fields.ack ?? 0);
  view.setUint16(28, fields.window ?? 0);
  bytes.set(payload, HEADER);
  view.setUint32(CHECKSUM, packetChecksum(bytes));
  return bytes;
}

/** CRC-32 of a whole packet with its checksum field taken as zero (DP 2.2). */
export function packetChecksum(packet: Uint8Array): number {
  const copy = packet.slice();
  copy.fill(0, CHECKSUM, HEADER);
  return crc32(copy);
}

/** CRC-32/IEEE as zlib and PNG have it. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});
