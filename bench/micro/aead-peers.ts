/**
 * The peers of the AEAD benches, each at its best: node:crypto with a `KeyObject`, stablelib with its key set up once,
 * results into memory that is there where the library takes any. noble sets up its key in every call and takes none; it has
 * no other way.
 */
import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import { pattern } from './engines.ts';
import { HAS_NODE, loadPeer, note, versionOf } from './runtime.ts';

/** One peer for one size of packet. */
export interface AeadPeer {
  readonly name: string;
  readonly version: string;
  readonly isAsync?: boolean;
  seal(count: number): unknown;
  open(count: number): unknown;
  /** Sets up the key. */
  expand?(count: number): void;
}

const TAG = 16;
const ALGORITHM = 'aes-256-gcm';

/** The key, nonce and aad of all contestants. */
export const SECRETS: { readonly key: Uint8Array; readonly nonce: Uint8Array; readonly aad: Uint8Array } = {
  key: pattern(32, 7),
  nonce: pattern(12, 8),
  aad: pattern(4, 9),
};

/** The peers that this runtime has. @param only - Name of the one wanted. */
export async function aeadPeers(size: number, only?: string): Promise<AeadPeer[]> {
  const makers = { 'node:crypto': nodeCrypto, webcrypto, noble, stablelib };
  const peers: AeadPeer[] = [];
  for (const [name, make] of Object.entries(makers)) {
    if (only !== undefined && only !== name) continue;
    const peer = await make(size);
    if (peer !== undefined) peers.push(peer);
  }
  return peers;
}

function nodeCrypto(size: number): AeadPeer | undefined {
  if (!HAS_NODE) {
    note('node:crypto', 'not in a page');
    return undefined;
  }
  const key = createSecretKey(SECRETS.key);
  const { nonce, aad } = SECRETS;
  const data = Buffer.from(pattern(size));
  const first = createCipheriv(ALGORITHM, key, nonce);
  first.setAAD(aad);
  const sealed = first.update(data);
  first.final();
  const tag = first.getAuthTag();
  return {
    name: 'node:crypto',
    version: versionOf('openssl'),
    seal(count) {
      for (let i = 0; i < count; i++) {
        const cipher = createCipheriv(ALGORITHM, key, nonce);
        cipher.setAAD(aad);
        cipher.update(data);
        cipher.final();
        cipher.getAuthTag();
      }
    },
    open(count) {
      for (let i = 0; i < count; i++) {
        const decipher = createDecipheriv(ALGORITHM, key, nonce);
        decipher.setAAD(aad);
        decipher.setAuthTag(tag);
        decipher.update(sealed);
        decipher.final();
      }
    },
  };
}

async function webcrypto(size: number): Promise<AeadPeer | undefined> {
  const { subtle } = globalThis.crypto;
  const algorithm = {
    name: 'AES-GCM',
    iv: Uint8Array.from(SECRETS.nonce),
    additionalData: Uint8Array.from(SECRETS.aad),
    tagLength: 128,
  };
  try {
    const key = await subtle.importKey('raw', Uint8Array.from(SECRETS.key), 'AES-GCM', false, ['encrypt', 'decrypt']);
    const data = pattern(size);
    const sealed = new Uint8Array(await subtle.encrypt(algorithm, key, data));
    return {
      name: 'webcrypto',
      version: versionOf('openssl'),
      isAsync: true,
      seal: async (count) => {
        for (let i = 0; i < count; i++) await subtle.encrypt(algorithm, key, data);
      },
      open: async (count) => {
        for (let i = 0; i < count; i++) await subtle.decrypt(algorithm, key, sealed);
      },
    };
  } catch (error) {
    note('webcrypto', error);
    return undefined;
  }
}

interface Noble {
  gcm(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
  ): {
    encrypt(data: Uint8Array): Uint8Array;
    decrypt(data: Uint8Array): Uint8Array;
  };
}

async function noble(size: number): Promise<AeadPeer | undefined> {
  const peer = await loadPeer<Noble>('@noble/ciphers', '/aes.js');
  if (peer === undefined) return undefined;
  const { gcm } = peer.module;
  const { key, nonce, aad } = SECRETS;
  const data = pattern(size);
  const sealed = gcm(key, nonce, aad).encrypt(data);
  return {
    name: 'noble',
    version: peer.version,
    seal(count) {
      for (let i = 0; i < count; i++) gcm(key, nonce, aad).encrypt(data);
    },
    open(count) {
      for (let i = 0; i < count; i++) gcm(key, nonce, aad).decrypt(sealed);
    },
  };
}

interface StablelibAes {
  AES: new (key: Uint8Array, noDecryption: boolean) => object;
}

interface StablelibGcm {
  GCM: new (
    cipher: object,
  ) => {
    seal(nonce: Uint8Array, data: Uint8Array, aad: Uint8Array, output: Uint8Array): Uint8Array;
    open(nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array, output: Uint8Array): Uint8Array | null;
  };
}

/** stablelib with its key set up. */
export interface Stablelib {
  readonly version: string;
  readonly context: InstanceType<StablelibGcm['GCM']>;
  /** Sets up the key once more. */
  expand(): object;
}

/** Loads stablelib. @returns Undefined when this runtime cannot. */
export async function makeStablelib(key: Uint8Array): Promise<Stablelib | undefined> {
  const cipher = await loadPeer<StablelibAes>('@stablelib/aes');
  const mode = await loadPeer<StablelibGcm>('@stablelib/gcm');
  if (cipher === undefined || mode === undefined) return undefined;
  const { AES } = cipher.module;
  const { GCM } = mode.module;
  const expand = () => new GCM(new AES(key, true));
  return { version: mode.version, context: expand(), expand };
}

async function stablelib(size: number): Promise<AeadPeer | undefined> {
  const { key, nonce, aad } = SECRETS;
  const made = await makeStablelib(key);
  if (made === undefined) return undefined;
  const { version, context, expand: expandKey } = made;
  const data = pattern(size);
  const output = new Uint8Array(size + TAG);
  const sealed = context.seal(nonce, data, aad, output).slice();
  const opened = new Uint8Array(size);
  return {
    name: 'stablelib',
    version,
    seal(count) {
      for (let i = 0; i < count; i++) context.seal(nonce, data, aad, output);
    },
    open(count) {
      for (let i = 0; i < count; i++) {
        if (context.open(nonce, sealed, aad, opened) === null) throw new Error('stablelib refused its own message');
      }
    },
    expand(count) {
      for (let i = 0; i < count; i++) expandKey();
    },
  };
}
