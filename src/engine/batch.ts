/**
 * The stages of the engine for an AEAD of the runtime that takes whole batches, of packets of any length: Wasm finds the
 * sessions and writes the headers, the AEAD does ciphers and checksums in the memory of the module, Wasm judges what came of
 * it. What the AEAD leaves, or throws at, is done in Wasm.
 */
import type { BatchAead } from './aead.ts';
import { RECORD_WORDS } from './engine.ts';
import type { NativeMemory } from './native.ts';

const RECORD_BYTES = RECORD_WORDS * 4;

/** Serves one engine. */
export class BatchStages {
  readonly #engine: NativeMemory;
  readonly #aead: BatchAead;
  readonly #receiveAt: number;
  readonly #transmitAt: number;

  constructor(engine: NativeMemory, aead: BatchAead) {
    this.#engine = engine;
    this.#aead = aead;
    this.#receiveAt = engine.receive.byteOffset;
    this.#transmitAt = engine.transmit.byteOffset;
  }

  /** A session with this index is gone, or new. */
  forget(session: number): void {
    this.#aead.forget(session);
  }

  open(owner: number, count: number): void {
    const { exports } = this.#engine;
    for (let first = 0; first < count; ) {
      const end = exports.choose(owner, first, count);
      this.#open(first, end);
      exports.judge(owner, first, end);
      first = end;
    }
  }

  seal(count: number): void {
    const { exports } = this.#engine;
    exports.write(count);
    if (this.#seal(count) > 0) exports.sealRest(count);
  }

  #open(first: number, end: number): void {
    try {
      this.#aead.open(this.#engine.memory, this.#receiveAt + first * RECORD_BYTES, end - first);
    } catch {
      // Those that it did not come to are as they were.
    }
  }

  /** @returns How many are left to Wasm. */
  #seal(count: number): number {
    try {
      return this.#aead.seal(this.#engine.memory, this.#transmitAt, count);
    } catch {
      return count;
    }
  }
}
