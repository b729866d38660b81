/** Engines that hand packets over to an AEAD of the runtime, and an AEAD that one can look into and break. */
import { createAead } from '../../bindings/node/aead.ts';
import type { Aead, AeadMessage } from '../../src/engine/aead.ts';
import { createWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';
import { Random } from './rig.ts';

/** node:crypto, with a list of what it was asked for and of the handles that are not forgotten. */
export class WatchedAead implements Aead<object> {
  readonly name = 'watched';
  readonly #aead = createAead();
  readonly #keys = new Map<object, ReturnType<typeof this.importReal>>();
  /** Keys in the order of their import. */
  readonly imported: Uint8Array[] = [];
  /** Lengths of packets. */
  readonly sealed: number[] = [];
  readonly opened: number[] = [];
  /** Nonces under which something was sealed, or was about to be. */
  readonly nonces: string[] = [];
  /** What throws. */
  broken: { importKey?: boolean; seal?: boolean; open?: boolean } = {};
  /** Runs before a broken `seal` throws. */
  beforeThrow: (message: AeadMessage) => void = () => {};

  /** Handles that are still good. */
  get live(): number {
    return this.#keys.size;
  }

  importReal(key: Uint8Array) {
    return this.#aead.importKey(key);
  }

  importKey(key: Uint8Array): object {
    if (this.broken.importKey) throw new Error('no import');
    this.imported.push(key.slice());
    const handle = {};
    this.#keys.set(handle, this.importReal(key));
    return handle;
  }

  forget(handle: object): void {
    if (!this.#keys.delete(handle)) throw new Error('forgotten twice');
  }

  seal(handle: object, message: AeadMessage): void {
    this.nonces.push(Buffer.from(message.nonce).toString('hex'));
    if (this.broken.seal) {
      this.beforeThrow(message);
      throw new Error('no seal');
    }
    this.sealed.push(message.data.length);
    this.#aead.seal(this.#keyOf(handle), message);
  }

  open(handle: object, message: AeadMessage): boolean {
    if (this.broken.open) throw new Error('no open');
    this.opened.push(message.data.length);
    return this.#aead.open(this.#keyOf(handle), message);
  }

  #keyOf(handle: object) {
    const key = this.#keys.get(handle);
    if (key === undefined) throw new Error('used after it was forgotten');
    return key;
  }
}

/** An engine of the best build whose packets of `from` bytes and more are the AEAD's. */
export function createDispatching(limits: { sessions: number }, aead: Aead, from: number): WasmEngine {
  const random = new Random(limits.sessions);
  return createWasmEngine(limits, (into) => into.set(random.bytes(into.length)), { native: { aead, from } });
}
