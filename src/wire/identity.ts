/**
 * The identity file (CP 7.6): an Ed25519 key pair in JSON, shared with the existing implementation. Losing it is losing
 * the address. No error text here, so that no key can slip into one.
 */
import { fromBase64, toBase64 } from './base64.ts';

const SEED_BYTES = 32;
const PUBLIC_KEY_BYTES = 32;

/**
 * Reads the file. The public key must be there and equal the second half of the private one; whether it belongs to the
 * seed only the import can tell.
 *
 * @returns The 32-byte seed, owned by the caller, who wipes it.
 */
export function parseIdentity(text: string): Uint8Array | undefined {
  let fields: { private_key?: unknown; public_key?: unknown } | null;
  try {
    fields = JSON.parse(text);
  } catch {
    return undefined;
  }
  const privateKey = readKey(fields?.private_key, SEED_BYTES + PUBLIC_KEY_BYTES);
  const publicKey = readKey(fields?.public_key, PUBLIC_KEY_BYTES);
  if (privateKey === undefined) return undefined;
  const isPair = publicKey?.every((byte, i) => byte === privateKey[SEED_BYTES + i]) === true;
  const seed = isPair ? privateKey.slice(0, SEED_BYTES) : undefined;
  privateKey.fill(0);
  return seed;
}

/**
 * Writes the file, without a final newline:
 *
 *   private_key  base64 of 64 bytes: seed, public key
 *   public_key   base64 of 32 bytes
 */
export function emitIdentity(seed: Uint8Array, publicKey: Uint8Array): string {
  const privateKey = new Uint8Array(SEED_BYTES + PUBLIC_KEY_BYTES);
  privateKey.set(seed);
  privateKey.set(publicKey, SEED_BYTES);
  const text = JSON.stringify({ private_key: toBase64(privateKey), public_key: toBase64(publicKey) }, null, 2);
  privateKey.fill(0);
  return text;
}

function readKey(value: unknown, length: number): Uint8Array | undefined {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
  return bytes?.length === length ? bytes : undefined;
}
