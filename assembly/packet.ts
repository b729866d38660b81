/**
 * The packet inside a frame (DP 2.1): 34 bytes of header, then the payload. Reads into and writes from the words of a
 * record (layout.ts).
 *
 *   0  u16  version << 12 | flags << 8 | protocol      2  u16  payload length
 *   4  u16  source network        6  u32  source node
 *  10  u16  destination network  12  u32  destination node
 *  16  u16  source port          18  u16  destination port
 *  20  u32  seq    24  u32  ack  28  u16  window (segments)   30  u32  CRC-32 with these four bytes zero
 */
import { loadU16, loadU32, storeU16, storeU32 } from './bytes';
import { crc32 } from './crc32';
import {
  RECORD_ACK, RECORD_DESTINATION_NODE, RECORD_KIND, RECORD_NETWORKS, RECORD_PAYLOAD_LEN, RECORD_PAYLOAD_PTR,
  RECORD_PORTS, RECORD_SEQ, RECORD_SOURCE_NODE, RECORD_WINDOW,
} from './layout';
import { BAD_CHECKSUM, BAD_PACKET, OK, SPOOFED } from './status';

export const PACKET_HEADER: usize = 34;
/** The length field has 16 bits. */
export const MAX_PAYLOAD: u32 = 0xffff;

const KIND: usize = 0;
const PAYLOAD_LEN: usize = 2;
const SOURCE_NETWORK: usize = 4;
const SOURCE_NODE: usize = 6;
const DESTINATION_NETWORK: usize = 10;
const DESTINATION_NODE: usize = 12;
const PORTS: usize = 16;
const SEQ: usize = 20;
const ACK: usize = 24;
const WINDOW: usize = 28;
const CHECKSUM: usize = 30;

const VERSION: u32 = 1;
const PROTOCOL_CONTROL: u32 = 3;

/**
 * Checks a packet of at most `len` bytes in the order of DP 2.3, then its source (DP 3.13). Bytes behind the packet are
 * ignored.
 *
 * @param sender - The node id outside, which the AEAD authenticated.
 * @param isSummed - The host found the CRC right.
 */
export function checkPacket(ptr: usize, len: usize, sender: u32, isSummed: bool): u32 {
  if (len < PACKET_HEADER) return BAD_PACKET;
  const payloadLen = <usize>loadU16(ptr + PAYLOAD_LEN);
  if (len < PACKET_HEADER + payloadLen) return BAD_PACKET;
  const kind = loadU16(ptr + KIND);
  if (kind >> 12 != VERSION) return BAD_PACKET;
  if (!isSummed && !isSumRight(ptr, PACKET_HEADER + payloadLen)) return BAD_CHECKSUM;
  const source = loadU32(ptr + SOURCE_NODE);
  if (source == sender) return OK;
  // DP 3.13 step 2: keepalives of peers up to 1.12.0 carry no source.
  const isKeepalive = source == 0 && payloadLen == 0 && (kind & 0xff) == PROTOCOL_CONTROL && loadU16(ptr + PORTS + 2) == 0;
  return isKeepalive ? OK : SPOOFED;
}

function isSumRight(ptr: usize, len: usize): bool {
  const expected = loadU32(ptr + CHECKSUM);
  storeU32(ptr + CHECKSUM, 0);
  const actual = crc32(ptr, len);
  storeU32(ptr + CHECKSUM, expected);
  return actual == expected;
}

/** Copies the header of a checked packet into the words of `record`. */
export function readHeader(ptr: usize, record: usize): void {
  store<u32>(record, <u32>(ptr + PACKET_HEADER), RECORD_PAYLOAD_PTR);
  store<u32>(record, loadU16(ptr + PAYLOAD_LEN), RECORD_PAYLOAD_LEN);
  store<u32>(record, loadU16(ptr + KIND), RECORD_KIND);
  store<u32>(record, (loadU16(ptr + SOURCE_NETWORK) << 16) | loadU16(ptr + DESTINATION_NETWORK), RECORD_NETWORKS);
  store<u32>(record, loadU32(ptr + SOURCE_NODE), RECORD_SOURCE_NODE);
  store<u32>(record, loadU32(ptr + DESTINATION_NODE), RECORD_DESTINATION_NODE);
  store<u32>(record, loadU32(ptr + PORTS), RECORD_PORTS);
  store<u32>(record, loadU32(ptr + SEQ), RECORD_SEQ);
  store<u32>(record, loadU32(ptr + ACK), RECORD_ACK);
  store<u32>(record, loadU16(ptr + WINDOW), RECORD_WINDOW);
}

/** Zeroes the words that `readHeader` writes: a refused packet leaves nothing of itself in its record. */
export function clearHeader(record: usize): void {
  // `memory.fill` is a call out of the compiled code, 10 ns (bench/README.md).
  store<u64>(record, 0, RECORD_PAYLOAD_PTR);
  store<u64>(record, 0, RECORD_PAYLOAD_PTR + 8);
  store<u64>(record, 0, RECORD_PAYLOAD_PTR + 16);
  store<u64>(record, 0, RECORD_PAYLOAD_PTR + 24);
  store<u64>(record, 0, RECORD_PAYLOAD_PTR + 32);
}

/** Writes the header in front of a payload of `payloadLen` ≤ `MAX_PAYLOAD` bytes that stands at `ptr` + 34, CRC included. */
export function emitPacket(ptr: usize, record: usize, payloadLen: u32): void {
  emitHeader(ptr, record, payloadLen);
  storeU32(ptr + CHECKSUM, crc32(ptr, PACKET_HEADER + <usize>payloadLen));
}

/** The same with a CRC of 0, for a host that makes it. */
export function emitHeader(ptr: usize, record: usize, payloadLen: u32): void {
  storeU16(ptr + KIND, (VERSION << 12) | (load<u32>(record, RECORD_KIND) & 0xfff));
  storeU16(ptr + PAYLOAD_LEN, payloadLen);
  const networks = load<u32>(record, RECORD_NETWORKS);
  storeU16(ptr + SOURCE_NETWORK, networks >> 16);
  storeU32(ptr + SOURCE_NODE, load<u32>(record, RECORD_SOURCE_NODE));
  storeU16(ptr + DESTINATION_NETWORK, networks);
  storeU32(ptr + DESTINATION_NODE, load<u32>(record, RECORD_DESTINATION_NODE));
  storeU32(ptr + PORTS, load<u32>(record, RECORD_PORTS));
  storeU32(ptr + SEQ, load<u32>(record, RECORD_SEQ));
  storeU32(ptr + ACK, load<u32>(record, RECORD_ACK));
  storeU16(ptr + WINDOW, load<u32>(record, RECORD_WINDOW));
  storeU32(ptr + CHECKSUM, 0);
}
