/**
 * The commands that the control socket knows, as bytes (CP 5.3, 5.5): parse for the server, emit for the client. All
 * others are answered with an Error frame; commands of our own would begin at 0x80.
 */
import type { ErrorCode } from '../errors.ts';
import { readU32, writeU16, writeU32 } from '../wire/integers.ts';
import type { ControlAnswer } from './control.ts';
import { emitFrame, FRAME_MAX } from './framing.ts';

/** First byte of a frame. */
export const COMMAND = {
  error: 0x0a,
  info: 0x0d,
  infoAnswer: 0x0e,
  handshake: 0x0f,
  handshakeAnswer: 0x10,
} as const;

/** Second byte of a Handshake frame. */
export const SUB = { send: 1, approve: 2, reject: 3, pending: 4, trusted: 5, revoke: 6, wait: 7 } as const;

/** Name of a sub-command, as it stands in error texts. */
export type SubName = keyof typeof SUB;

/** The one code of Error frames (CP 5.3). */
const ERROR_CODE = 1;
const ERROR_TEXT = 2;
const NODE = 1;
const NODE_END = 5;
const WAIT_END = 9;

/** A Handshake frame, read. */
export type HandshakeRequest =
  | { readonly sub: 'pending' | 'trusted' }
  | { readonly sub: 'approve' | 'revoke'; readonly nodeId: number }
  | { readonly sub: 'send' | 'reject'; readonly nodeId: number; readonly text: string }
  | { readonly sub: 'wait'; readonly nodeId: number; readonly timeoutMs: number };

const ENCODER: TextEncoder = new TextEncoder();
const DECODER: TextDecoder = new TextDecoder();
const STRICT: TextDecoder = new TextDecoder('utf-8', { fatal: true });
const NO_PAYLOAD: Uint8Array = new Uint8Array(0);
const NAMES: ReadonlyMap<number, SubName> = new Map(Object.entries(SUB).map(([name, sub]) => [sub, name as SubName]));

/** An Info frame. */
export function emitInfo(): Uint8Array {
  return emitFrame(COMMAND.info, NO_PAYLOAD);
}

/**
 * A Handshake frame's payload:
 *
 *   0  u8   sub-command
 *   1  u32  node id, but for `pending` and `trusted`
 *   5  n    UTF-8 for `send` and `reject`; u32 milliseconds for `wait`
 */
export function emitHandshake(request: HandshakeRequest): Uint8Array {
  const text = 'text' in request ? ENCODER.encode(request.text) : NO_PAYLOAD;
  const hasNode = 'nodeId' in request;
  const tail = request.sub === 'wait' ? WAIT_END - NODE_END : text.length;
  const payload = new Uint8Array(NODE + (hasNode ? NODE_END - NODE : 0) + tail);
  payload[0] = SUB[request.sub];
  if (hasNode) writeU32(payload, NODE, request.nodeId);
  if (request.sub === 'wait') writeU32(payload, NODE_END, request.timeoutMs);
  else payload.set(text, payload.length - text.length);
  return emitFrame(COMMAND.handshake, payload);
}

/** Reads a Handshake frame's payload. @returns The text of the error when it is none. */
export function parseHandshake(payload: Uint8Array): HandshakeRequest | string {
  const [number] = payload;
  if (number === undefined) return 'handshake: missing sub-command';
  const sub = NAMES.get(number);
  if (sub === undefined) return `handshake: unknown sub-command ${hexByte(number)}`;
  if (sub === 'pending' || sub === 'trusted') return { sub };
  if (payload.length < NODE_END) return `handshake ${sub}: missing node id`;
  const nodeId = readU32(payload, NODE);
  if (sub === 'approve' || sub === 'revoke') return { sub, nodeId };
  if (sub !== 'wait') return { sub, nodeId, text: DECODER.decode(payload.subarray(NODE_END)) };
  if (payload.length < WAIT_END) return 'handshake wait: missing timeout';
  return { sub, nodeId, timeoutMs: readU32(payload, NODE_END) };
}

/** A frame with a JSON object. @throws RangeError for one that does not fit; those who make it have cut it. */
export function emitAnswer(command: number, answer: ControlAnswer): Uint8Array {
  return emitFrame(command, ENCODER.encode(JSON.stringify(answer)));
}

/** Reads the payload of an answer. @returns Undefined when it is no JSON object. */
export function parseAnswer(payload: Uint8Array): ControlAnswer | undefined {
  try {
    const value: unknown = JSON.parse(STRICT.decode(payload));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as ControlAnswer) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * An Error frame's payload:
 *
 *   0  u16  code, always 1
 *   2  n    UTF-8 text, cut where it would not fit
 */
export function emitError(text: string): Uint8Array {
  const encoded = ENCODER.encode(text).subarray(0, FRAME_MAX - 1 - ERROR_TEXT);
  const payload = new Uint8Array(ERROR_TEXT + encoded.length);
  writeU16(payload, 0, ERROR_CODE);
  payload.set(encoded, ERROR_TEXT);
  return emitFrame(COMMAND.error, payload);
}

/** The text of an Error frame. */
export function parseError(payload: Uint8Array): string {
  return DECODER.decode(payload.subarray(ERROR_TEXT));
}

/** The text of the error for a command that nobody serves. */
export function unknownCommand(command: number): string {
  return `unknown command: ${hexByte(command)}`;
}

/** What the text of an Error frame probably means. Texts are free (CP 5.6), so this helps people, and decides nothing. */
export function errorCodeOf(text: string): ErrorCode {
  return TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? 'REGISTRY_REFUSED';
}

const TEXTS: readonly (readonly [RegExp, ErrorCode])[] = [
  [/^unknown command|unknown sub-command/, 'NOT_SUPPORTED'],
  [/was not trusted|no pending request|not found/, 'NOT_FOUND'],
  [/table of trusted nodes is full/, 'BUSY'],
  [/is no other node/, 'UNREACHABLE'],
];

function hexByte(value: number): string {
  return `0x${value.toString(16).toUpperCase().padStart(2, '0')}`;
}
