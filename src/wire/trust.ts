/**
 * The trust handshake's message on port 444 (CP 2.3): one JSON object per stream, without framing. The signature covers
 * the two node ids and nothing else, so every check of CP 2.4 is still to be made by whoever reads it.
 */
import { fromBase64, toBase64 } from './base64.ts';

const TYPES = ['handshake_request', 'handshake_accept', 'handshake_reject', 'handshake_revoke'] as const;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** One message. Fields that were missing or empty are undefined, empty or 0 (CP 2.3: readers tolerate that). */
export interface TrustMessage {
  readonly type: (typeof TYPES)[number];
  /** The sender. */
  readonly nodeId: number;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array | undefined;
  /** Why, in a request; the sender's own words, of any length that fits. */
  readonly justification: string;
  /** Ed25519 over `trustText(sender, receiver)`, 64 bytes. */
  readonly signature: Uint8Array | undefined;
  /** Why, in a rejection or revocation. */
  readonly reason: string;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** Go's encoder writes these as escapes, in lower-case hex. */
const GO_ESCAPED = /[<>&\u2028\u2029]/g;

/**
 * Reads what has arrived so far of a stream, which the caller bounds in bytes and time (CP 2.2). Each call reads from
 * the start: call once per batch, not once per segment, or a stream of tiny segments costs its square.
 *
 * @returns `'incomplete'` while more bytes could still make it a message; undefined when none can.
 */
export function parseTrustMessage(bytes: Uint8Array): TrustMessage | 'incomplete' | undefined {
  const extent = scanObject(bytes);
  if (extent !== 'whole') return extent;
  let fields: Record<string, unknown>;
  try {
    // Invalid UTF-8 becomes U+FFFD, as in Go. A byte-order mark is no JSON and was refused by the scan.
    fields = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const type = TYPES.find((known) => known === fields.type);
  const nodeId = readInteger(fields.node_id, 0, 0xffff_ffff);
  const timestamp = readInteger(fields.timestamp, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  const justification = readText(fields.justification);
  const reason = readText(fields.reason);
  const publicKey = readBytes(fields.public_key, KEY_BYTES);
  const signature = readBytes(fields.signature, SIGNATURE_BYTES);
  if (type === undefined || nodeId === undefined || timestamp === undefined) return undefined;
  if (justification === undefined || reason === undefined) return undefined;
  if (publicKey === undefined || signature === undefined) return undefined;
  return {
    type,
    nodeId,
    publicKey: publicKey.length === 0 ? undefined : publicKey,
    justification,
    signature: signature.length === 0 ? undefined : signature,
    reason,
    timestamp,
  };
}

/**
 * Writes a message: all seven fields, in the order and with the escapes of the existing network. Receivers there read
 * one segment (CP 2.2), so the caller keeps the texts short enough for that.
 */
export function emitTrustMessage(message: TrustMessage): Uint8Array {
  const text = JSON.stringify({
    type: message.type,
    node_id: message.nodeId,
    public_key: message.publicKey === undefined ? '' : toBase64(message.publicKey),
    justification: message.justification,
    signature: message.signature === undefined ? '' : toBase64(message.signature),
    reason: message.reason,
    timestamp: message.timestamp,
  });
  const escaped = text.replace(GO_ESCAPED, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return new TextEncoder().encode(escaped);
}

/** What every message between these two signs, as ASCII, whatever its type. */
export function trustText(from: number, to: number): string {
  return `handshake:${from}:${to}`;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Follows strings and nesting, without a stack, to see whether the object has ended; JSON.parse judges the rest. */
function scanObject(bytes: Uint8Array): 'whole' | 'incomplete' | undefined {
  let start = 0;
  while (start < bytes.length && isWhiteSpace(bytes[start]!)) start++;
  if (start === bytes.length) return 'incomplete';
  if (bytes[start] !== OPEN_BRACE) return undefined;
  let depth = 0;
  let isText = false;
  for (let i = start; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (isText) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) isText = false;
    } else if (byte === QUOTE) isText = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return 'whole';
    }
  }
  return 'incomplete';
}

function isWhiteSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Go leaves a field alone that is missing or null. */
function readInteger(value: unknown, low: number, high: number): number | undefined {
  if (value === undefined || value === null) return 0;
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high
    ? (value as number)
    : undefined;
}

function readText(value: unknown): string | undefined {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : undefined;
}

/** @returns The bytes, none for an empty field, or undefined when it holds anything but `length` bytes. */
function readBytes(value: unknown, length: number): Uint8Array | undefined {
  const text = readText(value);
  const bytes = text === undefined ? undefined : fromBase64(text);
  return bytes?.length === 0 || bytes?.length === length ? bytes : undefined;
}
