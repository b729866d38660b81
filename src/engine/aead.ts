/**
 * An AEAD of the runtime that takes the place of our kernel for long packets: a native one costs microseconds to call and
 * next to nothing for a byte, ours the other way round. From which length on it pays is measured, per runtime.
 */

/** One packet for `Aead.seal` and `Aead.open`. All of it is borrowed until the call returns. */
export interface AeadMessage {
  /** 12 bytes. */
  readonly nonce: Uint8Array;
  /** 4 bytes. */
  readonly aad: Uint8Array;
  /** Plaintext or ciphertext, changed in place. */
  readonly data: Uint8Array;
  /** 16 bytes: written by `seal`, read by `open`. */
  readonly tag: Uint8Array;
}

/**
 * AES-256-GCM of the runtime, synchronous, in constant time for keys, plaintext and tags. Whatever throws leaves the data
 * as it was: the kernel in Wasm does its work then.
 */
export interface Aead<Handle = unknown> {
  /** As `stats.engine` shows it. */
  readonly name: string;
  /** @param key - 32 bytes, borrowed. */
  importKey(key: Uint8Array): Handle;
  /** The handle is of no use any more; what can be wiped is wiped. */
  forget(handle: Handle): void;
  seal(handle: Handle, message: AeadMessage): void;
  /** @returns Whether the tag verified; if not, the data is as it was. */
  open(handle: Handle, message: AeadMessage): boolean;
}

/**
 * AES-256-GCM and CRC-32 of the runtime for whole batches, in place, in constant time for keys, plaintext and tags. What it
 * throws at, or leaves as it was, the kernel in Wasm does.
 */
export interface BatchAead {
  /** As `stats.engine` shows it. */
  readonly name: string;
  /**
   * Seals transmit records that are WRITTEN, whose keys stand where their words say (exports.ts).
   *
   * @param records - Byte offset of the first record in `memory`. @returns How many records are WRITTEN still.
   */
  seal(memory: Uint8Array, records: number, count: number): number;
  /** Opens receive records that are PARSED. A packet that is refused is as it was. */
  open(memory: Uint8Array, records: number, count: number): void;
  /** The session is gone, or there is a new one with its index: what was made of its key is wiped. */
  forget(session: number): void;
}

/** An AEAD and when it is used. */
export interface NativeAead {
  readonly aead: Aead;
  /** Packets of at least so many bytes, header of 34 bytes included; `Infinity`: none. */
  readonly from: number;
}

/**
 * From how many bytes of packet on the engine is faster with the runtime's node:crypto than with its own kernel, both
 * whole: bench/README.md, M3 `crossing`. In Deno it never is.
 */
export const NATIVE_FROM: Readonly<Record<'node' | 'bun' | 'deno', number>> = {
  node: 1500,
  bun: 272,
  deno: Number.POSITIVE_INFINITY,
};
