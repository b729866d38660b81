/**
 * The words of the WebSocket road to a beacon (DP 4.11): the client proves its node id once, by three text messages;
 * afterwards one binary message is one beacon datagram. The same port has the registry, where one text message is one
 * JSON object, without the length in front that TCP needs.
 */
import { fromBase64, toBase64 } from './base64.ts';

/** Paths on the rendezvous' TCP port. */
export const WEB_PATH = { beacon: '/v1/compat', registry: '/v1/registry', health: '/health' } as const;

/** The subprotocol of both. */
export const WEB_PROTOCOL = 'pilot.v1';

/** Longest message of the beacon's road, in bytes. */
export const COMPAT_MESSAGE_BYTES = 65_536;

/** How the server closes a link, and why. Those from 4000 on are ours; the existing network documents none. */
export const WEB_CLOSE = {
  normal: 1000,
  goingAway: 1001,
  /** Text where bytes are wanted, or the other way round. */
  wrongKind: 1003,
  tooBig: 1009,
  busy: 1013,
  /** The same node opened another link: it must not be opened again from here. */
  replaced: 4000,
  notProven: 4001,
  /** The registry does not know the node: register first. */
  notRegistered: 4002,
  /** A relay in another node's name. */
  foreignSender: 4003,
  /** Nothing was heard for too long. */
  silent: 4004,
  /** It does not read what it gets. */
  slow: 4005,
} as const;

/** What the server asks to be signed. */
export interface Challenge {
  /** 64 hex digits. */
  readonly nonce: string;
  /** Unix seconds. */
  readonly ts: number;
}

/** What the client answers. */
export interface ChallengeReply {
  readonly nodeId: number;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes, over `challengeText`. */
  readonly signature: Uint8Array;
}

const NONCE = /^[0-9a-fA-F]{64}$/;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const HIGHEST_ID = 0xffff_ffff;
/** All three messages are far shorter. */
const LONGEST_TEXT = 1_024;

/** What the client signs, as ASCII. */
export function challengeText(nodeId: number, { ts, nonce }: Challenge): string {
  return `compat_auth:${nodeId}:${ts}:${nonce}`;
}

/** The first message: server → client. */
export function emitChallenge({ nonce, ts }: Challenge): string {
  return JSON.stringify({ type: 'auth_challenge', nonce, ts });
}

/** @returns Undefined for anything else: what is signed must have the form of a challenge and no other. */
export function parseChallenge(message: string): Challenge | undefined {
  const { type, nonce, ts } = parseFields(message);
  if (type !== 'auth_challenge' || typeof nonce !== 'string' || !NONCE.test(nonce)) return undefined;
  return typeof ts === 'number' && Number.isSafeInteger(ts) && ts >= 0 ? { nonce, ts } : undefined;
}

/** The second message: client → server. */
export function emitChallengeReply({ nodeId, publicKey, signature }: ChallengeReply): string {
  const fields = { node_id: nodeId, public_key: toBase64(publicKey), sig: toBase64(signature) };
  return JSON.stringify({ type: 'auth_reply', ...fields });
}

/** @returns Undefined for anything that is not a whole reply. Nothing in it is verified. */
export function parseChallengeReply(message: string): ChallengeReply | undefined {
  const { type, node_id: nodeId, public_key: key, sig } = parseFields(message);
  if (type !== 'auth_reply' || typeof key !== 'string' || typeof sig !== 'string') return undefined;
  if (typeof nodeId !== 'number' || !Number.isInteger(nodeId) || nodeId < 1 || nodeId > HIGHEST_ID) return undefined;
  const publicKey = fromBase64(key);
  const signature = fromBase64(sig);
  if (publicKey?.length !== KEY_BYTES || signature?.length !== SIGNATURE_BYTES) return undefined;
  return { nodeId, publicKey, signature };
}

/** The third message: server → client. */
export const CHALLENGE_PASSED = '{"type":"auth_ok"}';

/** Whether a message is the third one. */
export function isChallengePassed(message: string): boolean {
  return parseFields(message).type === 'auth_ok';
}

function parseFields(message: string): { readonly [field: string]: unknown } {
  if (message.length > LONGEST_TEXT) return {};
  try {
    const value: unknown = JSON.parse(message);
    return typeof value === 'object' && value !== null ? (value as { readonly [field: string]: unknown }) : {};
  } catch {
    // Hostile text is no exception.
    return {};
  }
}
