/**
 * Key-exchange frames (DP 3.4). Parsing proves nothing: a PILA counts once its signature was verified over
 * `signedExchange`, and the recipient hint behind it never counts as more than a hint (design: decision 5).
 */
import { readU32, writeU32 } from './integers.ts';
import { MAGIC } from './packet.ts';

/** Length of a PILA without trailer. */
export const PILA_BYTES = 136;
/** Length of a PILK. */
export const PILK_BYTES = 40;
/** HKDF info of the tunnel key (DP 3.6). */
export const TUNNEL_INFO = 'pilot-tunnel-v1';

const SENDER = 4;
const EXCHANGE_KEY = 8;
const IDENTITY_KEY = 40;
const SIGNATURE = 72;

/** Two empty varints, which are what another implementation reads here (DP 3.4), then `PW`: as u32. */
const HINT_MARK = 0x00005057;
const HINT = PILA_BYTES;
const HINT_RECIPIENT = HINT + 4;
const HINTED_BYTES = HINT + 8;

/** `auth`, without colon or NUL. */
const SIGNED_MARK = 0x61757468;
const SIGNED_SENDER = 4;
const SIGNED_EXCHANGE_KEY = 8;
const SIGNED_BYTES = 40;

/** What a key-exchange frame says. Keys and signature are views into the frame: borrowed as long as it is. */
export interface KeyExchange {
  /** PILA. The signature still has to be verified. */
  readonly authenticated: boolean;
  readonly sender: number;
  /** X25519, 32 bytes. */
  readonly exchangeKey: Uint8Array;
  /** Ed25519, 32 bytes; PILA only. */
  readonly identityKey: Uint8Array | undefined;
  /** 64 bytes; PILA only. */
  readonly signature: Uint8Array | undefined;
  /** Whom the sender means, where it said so. Not signed. */
  readonly recipientHint: number | undefined;
}

/** The fields of a PILA. */
export interface PilaFields {
  readonly sender: number;
  readonly exchangeKey: Uint8Array;
  readonly identityKey: Uint8Array;
  readonly signature: Uint8Array;
  readonly recipientHint?: number | undefined;
}

/**
 * Reads either frame. Bytes behind the layout are ignored.
 *
 *   0    u32  PILK or PILA
 *   4    u32  sender node id
 *   8    32   X25519 public key of the sender          PILK ends here: 40 bytes
 *   40   32   Ed25519 public key of the sender
 *   72   64   Ed25519 signature over `signedExchange`  PILA ends here: 136 bytes
 *   136  2    two varints, both 0                      from here optional, not signed
 *   138  2    `PW`
 *   140  u32  node id of the recipient
 */
export function parseKeyExchange(frame: Uint8Array): KeyExchange | undefined {
  if (frame.length < PILK_BYTES) return undefined;
  const magic = readU32(frame, 0);
  const authenticated = magic === MAGIC.PILA;
  if (authenticated ? frame.length < PILA_BYTES : magic !== MAGIC.PILK) return undefined;
  const hasHint = authenticated && frame.length >= HINTED_BYTES && readU32(frame, HINT) === HINT_MARK;
  return {
    authenticated,
    sender: readU32(frame, SENDER),
    exchangeKey: frame.subarray(EXCHANGE_KEY, IDENTITY_KEY),
    identityKey: authenticated ? frame.subarray(IDENTITY_KEY, SIGNATURE) : undefined,
    signature: authenticated ? frame.subarray(SIGNATURE, PILA_BYTES) : undefined,
    recipientHint: hasHint ? readU32(frame, HINT_RECIPIENT) : undefined,
  };
}

/** Makes a PILA of 136 bytes, or 144 with a recipient hint. */
export function emitPila(fields: PilaFields): Uint8Array {
  const frame = new Uint8Array(fields.recipientHint === undefined ? PILA_BYTES : HINTED_BYTES);
  writeU32(frame, 0, MAGIC.PILA);
  writeU32(frame, SENDER, fields.sender);
  frame.set(fields.exchangeKey, EXCHANGE_KEY);
  frame.set(fields.identityKey, IDENTITY_KEY);
  frame.set(fields.signature, SIGNATURE);
  if (fields.recipientHint !== undefined) {
    writeU32(frame, HINT, HINT_MARK);
    writeU32(frame, HINT_RECIPIENT, fields.recipientHint);
  }
  return frame;
}

/** Makes a PILK of 40 bytes. */
export function emitPilk(sender: number, exchangeKey: Uint8Array): Uint8Array {
  const frame = new Uint8Array(PILK_BYTES);
  writeU32(frame, 0, MAGIC.PILK);
  writeU32(frame, SENDER, sender);
  frame.set(exchangeKey, EXCHANGE_KEY);
  return frame;
}

/**
 * What a PILA signs, 40 bytes:
 *
 *   0  4    `auth`
 *   4  u32  sender node id
 *   8  32   X25519 public key of the sender
 */
export function signedExchange(sender: number, exchangeKey: Uint8Array): Uint8Array {
  const message = new Uint8Array(SIGNED_BYTES);
  writeU32(message, 0, SIGNED_MARK);
  writeU32(message, SIGNED_SENDER, sender);
  message.set(exchangeKey, SIGNED_EXCHANGE_KEY);
  return message;
}
