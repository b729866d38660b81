/**
 * Public-key operations on the noble libraries, for browsers whose WebCrypto lacks the curves and for pages that have
 * none: a chunk of its own, loaded only there. Private keys are bytes in the memory of the page; at rest they are wrapped
 * with a key that the browser does not give away.
 */
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { PublicKeyJobs } from '../../src/carrier/host.ts';
import type { BrowserKeys, KeptIdentity, LiveIdentity, Vault } from './keys.ts';

const KEY_BYTES = 32;
/** RFC 8032 as it stands; the libraries' default accepts more (ZIP 215). */
const STRICT = { zip215: false };

/**
 * Keys of the noble libraries, with a store of their own: handles of one mean nothing to another.
 *
 * @param vault - Wraps seeds. Handed over, lest a chunk that two share is one more to load for every page.
 */
export function createNobleKeys(vault: Vault): BrowserKeys {
  return new NobleKeys(vault);
}

class NobleKeys implements BrowserKeys, PublicKeyJobs {
  readonly jobs: PublicKeyJobs = this;
  readonly #identities = new Map<number, Uint8Array>();
  readonly #exchanges = new Map<number, Uint8Array>();
  readonly #vault: Vault;
  #lastHandle = 0;

  constructor(vault: Vault) {
    this.#vault = vault;
  }

  async createIdentity(): Promise<{ live: LiveIdentity; kept: KeptIdentity | undefined }> {
    const seed = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    const live = this.importIdentity(seed);
    // Undefined in pages that came over plain HTTP from another machine, whatever the types say.
    const hasWebCrypto = (crypto.subtle as SubtleCrypto | undefined) !== undefined;
    const kept = hasWebCrypto ? await this.#vault.wrapSeed(seed, live.publicKey) : undefined;
    seed.fill(0);
    return { live, kept };
  }

  async openIdentity(kept: KeptIdentity): Promise<LiveIdentity> {
    // A browser that once had the curves and lost them; the key is not to be read.
    if ('privateKey' in kept) throw new RangeError('Cannot use a key of WebCrypto without it');
    const seed = await this.#vault.unwrapSeed(kept.wrappingKey, kept.wrappedSeed);
    const live = this.importIdentity(seed);
    seed.fill(0);
    return live;
  }

  importIdentity(seed: Uint8Array): LiveIdentity {
    const publicKey = ed25519.getPublicKey(seed);
    return { identity: this.#add(this.#identities, seed), publicKey };
  }

  sign(identity: number, message: Uint8Array): Uint8Array {
    const key = this.#identities.get(identity);
    if (key === undefined) throw new RangeError(`Cannot sign: no identity has handle ${identity}`);
    return ed25519.sign(message, key);
  }

  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    try {
      return ed25519.verify(signature, message, publicKey, STRICT);
    } catch {
      return false;
    }
  }

  createExchange(random: Uint8Array): { exchange: number; publicKey: Uint8Array } {
    const publicKey = x25519.getPublicKey(random);
    return { exchange: this.#add(this.#exchanges, random), publicKey };
  }

  agree(exchange: number, peerPublicKey: Uint8Array, info: string): Uint8Array | undefined {
    const key = this.#exchanges.get(exchange);
    if (key === undefined || peerPublicKey.length !== KEY_BYTES) return undefined;
    let shared: Uint8Array;
    try {
      shared = x25519.getSharedSecret(key, peerPublicKey);
    } catch {
      // Of low order: the result would be all zero (RFC 7748 §6.1).
      return undefined;
    }
    // DP 3.10 and 8: HKDF-SHA256, empty salt, 32 bytes.
    const derived = hkdf(sha256, shared, undefined, new TextEncoder().encode(info), KEY_BYTES);
    shared.fill(0);
    return derived;
  }

  forget(handle: number): void {
    for (const keys of [this.#identities, this.#exchanges]) {
      keys.get(handle)?.fill(0);
      keys.delete(handle);
    }
  }

  #add(keys: Map<number, Uint8Array>, key: Uint8Array): number {
    this.#lastHandle += 1;
    keys.set(this.#lastHandle, key.slice());
    return this.#lastHandle;
  }
}
