/**
 * Public-key operations on WebCrypto, answered by promise. Private keys are `CryptoKey`s that cannot be exported; only a
 * session key, the result of `agree`, comes out. W3C Web Cryptography, RFC 8410 §7 for the DER around a seed.
 */
import type { PublicKeyJobs } from '../../src/carrier/host.ts';
import { type BrowserKeys, type KeptIdentity, type LiveIdentity, VAULT } from './keys.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** PKCS #8 up to the raw Ed25519 seed: RFC 8410 §7. */
const PKCS8: readonly number[] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const KEY_BITS: number = 8 * KEY_BYTES;
/** Imported verification keys; the one unused for longest goes first. */
const CACHED_KEYS = 256;

/** Keys of WebCrypto, with a store of their own: handles of one mean nothing to another. */
export function createWebKeys(): BrowserKeys {
  return new WebKeys(crypto.subtle);
}

class WebKeys implements BrowserKeys, PublicKeyJobs {
  readonly jobs: PublicKeyJobs = this;
  readonly #subtle: SubtleCrypto;
  readonly #keys = new Map<number, CryptoKey>();
  readonly #verifiers = new Map<string, Promise<CryptoKey>>();
  #lastHandle = 0;

  constructor(subtle: SubtleCrypto) {
    this.#subtle = subtle;
  }

  async createIdentity(): Promise<{ live: LiveIdentity; kept: KeptIdentity }> {
    const pair = (await this.#subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair;
    const publicKey = await this.#exportRaw(pair.publicKey);
    const { privateKey } = pair;
    return { live: { identity: this.#add(privateKey), publicKey }, kept: { publicKey, privateKey } };
  }

  async openIdentity(kept: KeptIdentity): Promise<LiveIdentity> {
    if ('privateKey' in kept) return { identity: this.#add(kept.privateKey), publicKey: kept.publicKey };
    // Made before this browser learnt the curve.
    const seed = await VAULT.unwrapSeed(kept.wrappingKey, kept.wrappedSeed);
    const live = await this.importIdentity(seed);
    seed.fill(0);
    return live;
  }

  async importIdentity(seed: Uint8Array): Promise<LiveIdentity> {
    if (seed.length !== KEY_BYTES) throw new RangeError(`Cannot import an identity: ${seed.length} bytes, wanted 32`);
    const der = new Uint8Array(PKCS8.length + KEY_BYTES);
    der.set(PKCS8);
    der.set(seed, PKCS8.length);
    // The public half is told only by an export, so for a moment there is a key that can be.
    const open = await this.#subtle.importKey('pkcs8', der, 'Ed25519', true, ['sign']);
    const { x } = await this.#subtle.exportKey('jwk', open);
    const closed = await this.#subtle.importKey('pkcs8', der, 'Ed25519', false, ['sign']);
    der.fill(0);
    return { identity: this.#add(closed), publicKey: fromBase64Url(x ?? '') };
  }

  async sign(identity: number, message: Uint8Array): Promise<Uint8Array> {
    const key = this.#keys.get(identity);
    if (key === undefined) throw new RangeError(`Cannot sign: no identity has handle ${identity}`);
    return new Uint8Array(await this.#subtle.sign('Ed25519', key, message as Bytes));
  }

  async verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    // The key may have to be waited for, and arguments are the caller's again when this returns.
    const [signed, claim] = [message.slice(), signature.slice()];
    try {
      return await this.#subtle.verify('Ed25519', await this.#verifier(publicKey), claim, signed);
    } catch {
      return false;
    }
  }

  /** The pair is of the browser's own randomness, so that its private half never is bytes here. */
  async createExchange(_random: Uint8Array): Promise<{ exchange: number; publicKey: Uint8Array }> {
    const pair = (await this.#subtle.generateKey('X25519', false, ['deriveBits'])) as CryptoKeyPair;
    return { exchange: this.#add(pair.privateKey), publicKey: await this.#exportRaw(pair.publicKey) };
  }

  async agree(exchange: number, peerPublicKey: Uint8Array, info: string): Promise<Uint8Array | undefined> {
    const key = this.#keys.get(exchange);
    // A key that was forgotten while its job waited is no mistake of the caller.
    if (key === undefined || peerPublicKey.length !== KEY_BYTES) return undefined;
    const shared = await this.#sharedSecret(key, peerPublicKey.slice());
    if (shared === undefined) return undefined;
    const secret = await this.#subtle.importKey('raw', shared, 'HKDF', false, ['deriveBits']);
    shared.fill(0);
    // DP 3.10 and 8: HKDF-SHA256, empty salt, 32 bytes.
    const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info: new TextEncoder().encode(info) };
    return new Uint8Array(await this.#subtle.deriveBits(hkdf, secret, KEY_BITS));
  }

  forget(handle: number): void {
    this.#keys.delete(handle);
  }

  /** Undefined when the peer's point is of low order, which makes the result all zero (RFC 7748 §6.1). */
  async #sharedSecret(key: CryptoKey, peerPublicKey: Bytes): Promise<Bytes | undefined> {
    let shared: Bytes;
    try {
      const peer = await this.#subtle.importKey('raw', peerPublicKey, 'X25519', true, []);
      shared = new Uint8Array(await this.#subtle.deriveBits({ name: 'X25519', public: peer }, key, KEY_BITS));
    } catch {
      return undefined;
    }
    // Browsers refuse these themselves since the standard says so; the first ones did not.
    let bits = 0;
    for (let i = 0; i < shared.length; i++) bits |= shared[i]!;
    return bits === 0 ? undefined : shared;
  }

  #verifier(publicKey: Uint8Array): Promise<CryptoKey> {
    const name = String.fromCharCode(...publicKey);
    let key = this.#verifiers.get(name);
    if (key === undefined) {
      key = this.#subtle.importKey('raw', publicKey as Bytes, 'Ed25519', true, ['verify']);
      const oldest = this.#verifiers.size >= CACHED_KEYS ? this.#verifiers.keys().next().value : undefined;
      if (oldest !== undefined) this.#verifiers.delete(oldest);
    } else {
      this.#verifiers.delete(name);
    }
    this.#verifiers.set(name, key);
    return key;
  }

  async #exportRaw(key: CryptoKey): Promise<Uint8Array> {
    return new Uint8Array(await this.#subtle.exportKey('raw', key));
  }

  #add(key: CryptoKey): number {
    this.#lastHandle += 1;
    this.#keys.set(this.#lastHandle, key);
    return this.#lastHandle;
  }
}

function fromBase64Url(text: string): Uint8Array {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (byte) => byte.charCodeAt(0));
}
