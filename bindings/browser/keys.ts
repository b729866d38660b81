/**
 * Keys in a browser, whoever makes them: public-key jobs, and the forms in which IndexedDB keeps an identity, of which
 * none can be read by the page.
 */
import type { PublicKeyJobs } from '../../src/carrier/host.ts';

/** An identity that can be used. */
export interface LiveIdentity {
  /** Handle of the private key in `jobs`. */
  readonly identity: number;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** An identity at rest; IndexedDB stores it by structured clone. */
export type KeptIdentity = {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
} & (
  | {
      /** Ed25519, not extractable. */
      readonly privateKey: CryptoKey;
    }
  | {
      /** AES-256-GCM, not extractable. */
      readonly wrappingKey: CryptoKey;
      /** Nonce of 12 bytes, the encrypted seed of 32, tag of 16. */
      readonly wrappedSeed: Uint8Array;
    }
);

/** Public-key jobs, and identities for them. */
export interface BrowserKeys {
  readonly jobs: PublicKeyJobs;
  /** Makes an identity. `kept` is undefined where nothing is there to keep a key with. */
  createIdentity(): Promise<{ live: LiveIdentity; kept: KeptIdentity | undefined }>;
  /** Makes a kept identity usable. */
  openIdentity(kept: KeptIdentity): Promise<LiveIdentity>;
}

/** Seeds at rest. */
export interface Vault {
  /** Encrypts a seed with a key that cannot leave the browser. The caller wipes the seed. */
  wrapSeed(seed: Uint8Array, publicKey: Uint8Array): Promise<KeptIdentity>;
  /** @returns The seed, owned by the caller, who wipes it. */
  unwrapSeed(wrappingKey: CryptoKey, wrappedSeed: Uint8Array): Promise<Uint8Array>;
}

/** Nonce of a wrapped seed, bytes (NIST SP 800-38D §5.2.1.1). */
const NONCE_BYTES = 12;

/** Wraps with AES-GCM of WebCrypto. */
export const VAULT: Vault = { wrapSeed, unwrapSeed };

async function wrapSeed(seed: Uint8Array, publicKey: Uint8Array): Promise<KeptIdentity> {
  const { subtle } = crypto;
  const algorithm = { name: 'AES-GCM', length: 256 };
  const wrappingKey = await subtle.generateKey(algorithm, false, ['encrypt', 'decrypt']);
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const sealed = await subtle.encrypt({ name: 'AES-GCM', iv: nonce }, wrappingKey, seed as Uint8Array<ArrayBuffer>);
  const wrappedSeed = new Uint8Array(NONCE_BYTES + sealed.byteLength);
  wrappedSeed.set(nonce);
  wrappedSeed.set(new Uint8Array(sealed), NONCE_BYTES);
  return { publicKey, wrappingKey, wrappedSeed };
}

async function unwrapSeed(wrappingKey: CryptoKey, wrappedSeed: Uint8Array): Promise<Uint8Array> {
  const iv = wrappedSeed.slice(0, NONCE_BYTES);
  return new Uint8Array(
    await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, wrappingKey, wrappedSeed.slice(NONCE_BYTES)),
  );
}
