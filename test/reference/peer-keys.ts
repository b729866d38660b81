/**
 * Keys of the scripted peer on node:crypto, all synchronous (DP 3.4, 3.6). The DER prefixes are those of RFC 8410.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { TUNNEL_INFO } from '../../src/wire/key-exchange.ts';

const ED25519_PRIVATE: Uint8Array = Buffer.from('302e020100300506032b657004220420', 'hex');
const ED25519_PUBLIC: Uint8Array = Buffer.from('302a300506032b6570032100', 'hex');
const X25519_PRIVATE: Uint8Array = Buffer.from('302e020100300506032b656e04220420', 'hex');
const X25519_PUBLIC: Uint8Array = Buffer.from('302a300506032b656e032100', 'hex');

/** An Ed25519 pair. */
export interface PeerIdentity {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** @returns 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/** An X25519 pair. */
export interface PeerExchange {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The tunnel key with the holder of `publicKey`; undefined for a point of low order. */
  agree(publicKey: Uint8Array): Uint8Array | undefined;
}

/** 32 bytes out of a text: its SHA-256, as the vectors make their seeds. */
export function seedOf(text: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(text).digest());
}

/** @param seed - 32 bytes. */
export function identityOf(seed: Uint8Array): PeerIdentity {
  const key = privateKey(ED25519_PRIVATE, seed);
  return { publicKey: publicKeyOf(key), sign: (message) => new Uint8Array(sign(null, message, key)) };
}

/** @param secret - 32 bytes. */
export function exchangeOf(secret: Uint8Array): PeerExchange {
  const key = privateKey(X25519_PRIVATE, secret);
  const agree = (theirs: Uint8Array): Uint8Array | undefined => {
    try {
      const shared = diffieHellman({ privateKey: key, publicKey: publicKey(X25519_PUBLIC, theirs) });
      if (shared.every((byte) => byte === 0)) return undefined;
      return new Uint8Array(hkdfSync('sha256', shared, new Uint8Array(0), TUNNEL_INFO, 32));
    } catch {
      return undefined;
    }
  };
  return { publicKey: publicKeyOf(key), agree };
}

/** Whether the holder of the Ed25519 key signed; false for malformed keys. */
export function verifies(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(null, message, publicKey(ED25519_PUBLIC, key), signature);
  } catch {
    return false;
  }
}

/** Whether two byte strings are equal. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function privateKey(prefix: Uint8Array, raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([prefix, raw]), format: 'der', type: 'pkcs8' });
}

function publicKey(prefix: Uint8Array, raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([prefix, raw]), format: 'der', type: 'spki' });
}

function publicKeyOf(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32));
}
