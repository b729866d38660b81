/**
 * Public-key operations on node:crypto, answered at once. Private keys are `KeyObject`s behind numbers and never leave
 * OpenSSL's memory; the only copies that JavaScript can wipe are those made for the import, and they are wiped there.
 * RFC 8410 §7 first, for the DER around 32 raw bytes.
 */
import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  sign as signWith,
  verify as verifyWith,
} from 'node:crypto';
import type { PublicKeyJobs } from '../../src/carrier/host.ts';

/** PKCS #8 and SubjectPublicKeyInfo up to the raw key: RFC 8410 §7, §4. The object identifiers are 1.3.101.112 and .110. */
const ED25519_PKCS8: Uint8Array = Uint8Array.from(Buffer.from('302e020100300506032b657004220420', 'hex'));
const X25519_PKCS8: Uint8Array = Uint8Array.from(Buffer.from('302e020100300506032b656e04220420', 'hex'));
const ED25519_SPKI: Uint8Array = Uint8Array.from(Buffer.from('302a300506032b6570032100', 'hex'));
const X25519_SPKI: Uint8Array = Uint8Array.from(Buffer.from('302a300506032b656e032100', 'hex'));
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** Imported verification keys; the one unused for longest goes first. */
const CACHED_KEYS = 1024;
const NO_SALT: Uint8Array = new Uint8Array(0);

/** What `createPublicKeyJobs` makes: every answer is there when the call returns. */
export interface SynchronousKeyJobs extends PublicKeyJobs {
  importIdentity(seed: Uint8Array): { identity: number; publicKey: Uint8Array };
  sign(identity: number, message: Uint8Array): Uint8Array;
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  createExchange(random: Uint8Array): { exchange: number; publicKey: Uint8Array };
  agree(exchange: number, peerPublicKey: Uint8Array, info: string): Uint8Array | undefined;
}

/** Public-key operations with a key store of their own: handles of one mean nothing to another. */
export function createPublicKeyJobs(): SynchronousKeyJobs {
  return new NodeKeyJobs();
}

class NodeKeyJobs implements SynchronousKeyJobs {
  readonly #identities = new Map<number, KeyObject>();
  readonly #exchanges = new Map<number, KeyObject>();
  readonly #verifiers = new Map<string, KeyObject>();
  #lastHandle = 0;

  importIdentity(seed: Uint8Array): { identity: number; publicKey: Uint8Array } {
    const key = privateKey(ED25519_PKCS8, seed);
    const identity = ++this.#lastHandle;
    this.#identities.set(identity, key);
    return { identity, publicKey: rawPublicKey(key) };
  }

  sign(identity: number, message: Uint8Array): Uint8Array {
    const key = this.#identities.get(identity);
    if (key === undefined) throw new RangeError(`Cannot sign: no identity has handle ${identity}`);
    return signWith(null, message, key);
  }

  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    try {
      return verifyWith(null, message, this.#verifier(publicKey), signature);
    } catch {
      return false;
    }
  }

  createExchange(random: Uint8Array): { exchange: number; publicKey: Uint8Array } {
    const key = privateKey(X25519_PKCS8, random);
    const exchange = ++this.#lastHandle;
    this.#exchanges.set(exchange, key);
    return { exchange, publicKey: rawPublicKey(key) };
  }

  agree(exchange: number, peerPublicKey: Uint8Array, info: string): Uint8Array | undefined {
    const key = this.#exchanges.get(exchange);
    // A key that was forgotten while its job waited is no mistake of the caller.
    if (key === undefined || peerPublicKey.length !== KEY_BYTES) return undefined;
    const shared = sharedSecret(key, peerPublicKey);
    if (shared === undefined) return undefined;
    // DP 3.10 and 8: HKDF-SHA256, empty salt, 32 bytes.
    const derived = new Uint8Array(hkdfSync('sha256', shared, NO_SALT, info, KEY_BYTES));
    shared.fill(0);
    return derived;
  }

  forget(handle: number): void {
    this.#identities.delete(handle);
    this.#exchanges.delete(handle);
  }

  #verifier(publicKey: Uint8Array): KeyObject {
    const name = Buffer.from(publicKey.buffer, publicKey.byteOffset, KEY_BYTES).toString('latin1');
    let key = this.#verifiers.get(name);
    if (key === undefined) {
      key = importPublicKey(ED25519_SPKI, publicKey);
      const oldest = this.#verifiers.size >= CACHED_KEYS ? this.#verifiers.keys().next().value : undefined;
      if (oldest !== undefined) this.#verifiers.delete(oldest);
    } else {
      this.#verifiers.delete(name);
    }
    this.#verifiers.set(name, key);
    return key;
  }
}

function privateKey(prefix: Uint8Array, raw: Uint8Array): KeyObject {
  if (raw.length !== KEY_BYTES) throw new RangeError(`Cannot import a private key: ${raw.length} bytes, wanted 32`);
  // Its own memory: Buffer.concat would leave the secret in the shared pool.
  const der = Buffer.alloc(prefix.length + KEY_BYTES);
  der.set(prefix);
  der.set(raw, prefix.length);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return key;
}

function importPublicKey(prefix: Uint8Array, raw: Uint8Array): KeyObject {
  const der = Buffer.alloc(prefix.length + KEY_BYTES);
  der.set(prefix);
  der.set(raw, prefix.length);
  return createPublicKey({ key: der, format: 'der', type: 'spki' });
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES));
}

/** X25519; undefined when the peer's point is of low order, which makes the result all zero (RFC 7748 §6.1). */
function sharedSecret(key: KeyObject, peerPublicKey: Uint8Array): Uint8Array | undefined {
  let shared: Uint8Array;
  try {
    shared = diffieHellman({ privateKey: key, publicKey: importPublicKey(X25519_SPKI, peerPublicKey) });
  } catch {
    return undefined;
  }
  // OpenSSL refuses these itself; other libraries behind node:crypto need not.
  let bits = 0;
  for (let i = 0; i < shared.length; i++) bits |= shared[i]!;
  return bits === 0 ? undefined : shared;
}
