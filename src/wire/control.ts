/**
 * Payloads of control packets: the path probe (DP 2.4) and the capabilities that ours tell each other under encryption
 * (design: decision 6). No security rule may depend on either.
 */
import { readU32, writeU32 } from './integers.ts';

/** Asks whether a path carries frames: `pathprobe.v1`. */
export const PATH_PROBE: Uint8Array = Uint8Array.from('pathprobe.v1', (letter) => letter.charCodeAt(0));

/** Bits of `Capabilities.bits`. */
export const CAPABILITY = {
  /** After its FIN the other side may go on sending. */
  halfClose: 1,
  /** It answers probes of the path's MTU. */
  pathMtu: 2,
} as const;

/** What one of ours can do. Held for one session and the connections opened after it arrived. */
export interface Capabilities {
  readonly version: number;
  /** `CAPABILITY` bits; unknown ones mean nothing. Less than 2^35. */
  readonly bits: number;
  /** The largest segment that it takes. */
  readonly segmentBytes: number;
  /** What it can hold per connection. */
  readonly receiveBytes: number;
}

/** `PWCP` */
const MARK = 0x50574350;
const VERSION = 4;
const BITS = 5;
/** Behind the varint. */
const TAIL_BYTES = 8;

/** Five bytes hold 35 bits, enough for any u32. */
const VARINT_MAX_BYTES = 5;

/**
 * Writes the payload:
 *
 *   0    4    `PWCP`
 *   4    u8   version
 *   5    v    bits, unsigned LEB128 in 1 to 5 bytes
 *   5+v  u32  largest segment in bytes
 *   9+v  u32  receive buffer in bytes
 */
export function emitCapabilities(capabilities: Capabilities): Uint8Array {
  const bytes = new Uint8Array(BITS + varintLength(capabilities.bits) + TAIL_BYTES);
  writeU32(bytes, 0, MARK);
  bytes[VERSION] = capabilities.version;
  const tail = writeVarint(bytes, BITS, capabilities.bits);
  writeU32(bytes, tail, capabilities.segmentBytes);
  writeU32(bytes, tail + 4, capabilities.receiveBytes);
  return bytes;
}

/** Reads the payload of any version: later ones append. Bytes behind the layout are ignored. */
export function parseCapabilities(bytes: Uint8Array): Capabilities | undefined {
  if (bytes.length < BITS || readU32(bytes, 0) !== MARK) return undefined;
  const bits = readVarint(bytes, BITS);
  if (bits === undefined || bytes.length < bits.end + TAIL_BYTES) return undefined;
  return {
    version: bytes[VERSION]!,
    bits: bits.value,
    segmentBytes: readU32(bytes, bits.end),
    receiveBytes: readU32(bytes, bits.end + 4),
  };
}

/** `PWMP`, `PWMA` */
const MTU_PROBE = 0x50574d50;
const MTU_ANSWER = 0x50574d41;
const MTU_NUMBER = 4;
const MTU_BYTES = 8;

/** What one of ours asks, and answers, about the size of packets. */
export interface MtuMessage {
  readonly isAnswer: boolean;
  /** u32; an answer repeats the probe's. */
  readonly number: number;
}

/**
 * Writes a probe of the path's MTU, or the answer to one:
 *
 *   0  4    `PWMP`, or `PWMA` for the answer
 *   4  u32  number
 *   8  …    zeros
 *
 * @param bytes - The whole payload: 8 bytes, or for a probe as many as are to be tried.
 */
export function writeMtuMessage(bytes: Uint8Array, { isAnswer, number }: MtuMessage): void {
  writeU32(bytes, 0, isAnswer ? MTU_ANSWER : MTU_PROBE);
  writeU32(bytes, MTU_NUMBER, number);
  bytes.fill(0, MTU_BYTES);
}

/** Reads the payload; undefined: it is none. */
export function parseMtuMessage(bytes: Uint8Array): MtuMessage | undefined {
  if (bytes.length < MTU_BYTES) return undefined;
  const mark = readU32(bytes, 0);
  if (mark !== MTU_PROBE && mark !== MTU_ANSWER) return undefined;
  return { isAnswer: mark === MTU_ANSWER, number: readU32(bytes, MTU_NUMBER) };
}

/** Bytes of an answer. */
export const MTU_ANSWER_BYTES: number = MTU_BYTES;

/** Bytes that `writeVarint` takes. @param value - An integer from 0 to 2^35 − 1. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Writes unsigned LEB128. @param value - An integer from 0 to 2^35 − 1. @returns The offset behind it. */
export function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[offset++] = (rest % 0x80) | 0x80;
  bytes[offset++] = rest;
  return offset;
}

/** Reads unsigned LEB128 of at most five bytes. @returns The value and the offset behind it. */
export function readVarint(bytes: Uint8Array, offset: number): { value: number; end: number } | undefined {
  const limit = Math.min(bytes.length, offset + VARINT_MAX_BYTES);
  let value = 0;
  // A factor instead of shifts: 35 bits do not fit JavaScript's 32-bit operators.
  for (let factor = 1; offset < limit; factor *= 0x80) {
    const byte = bytes[offset++]!;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: offset };
  }
  return undefined;
}
