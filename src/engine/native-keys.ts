/**
 * Handles of session keys in the runtime's AEAD, kept for those that talk. Bounded, by second chance, like the expanded
 * keys in Wasm (assembly/contexts.ts): a handle is spared once if it was of use again since it was made or last passed
 * over.
 */

import type { Aead } from './aead.ts';

/** As many as there are expanded keys in Wasm (assembly/layout.ts). */
const CACHED_KEYS = 1024;

/** One key. */
export interface NativeKey {
  readonly handle: unknown;
  /** Whether a frame of it verified or was sealed, but for the one that it was made for, since it was last passed over. */
  isUsed: boolean;
  /** Whether the last long frame that came for it verified. */
  isProven: boolean;
}

/** By session index. Whoever wipes or installs a session has to call `forget`. */
export class NativeKeys {
  readonly #aead: Aead;
  /** Oldest first. */
  readonly #keys = new Map<number, NativeKey>();

  constructor(aead: Aead) {
    this.#aead = aead;
  }

  get(session: number): NativeKey | undefined {
    return this.#keys.get(session);
  }

  /** @param bytes - 32 bytes, borrowed. @throws What the AEAD throws. */
  add(session: number, bytes: Uint8Array): NativeKey {
    const key: NativeKey = { handle: this.#aead.importKey(bytes), isUsed: false, isProven: false };
    if (this.#keys.size >= CACHED_KEYS) this.#evict();
    this.#keys.set(session, key);
    return key;
  }

  /** Nothing happens when there is none. */
  forget(session: number): void {
    const key = this.#keys.get(session);
    if (key === undefined) return;
    this.#keys.delete(session);
    this.#aead.forget(key.handle);
  }

  #evict(): void {
    for (const [session, key] of this.#keys) {
      if (!key.isUsed) {
        this.forget(session);
        return;
      }
      // To the end of the line, which the loop comes to in its turn.
      key.isUsed = false;
      this.#keys.delete(session);
      this.#keys.set(session, key);
    }
  }
}
