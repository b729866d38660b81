/**
 * The engine in WebAssembly: makes memory and instance, and hands calls through. All work is in assembly/; this file
 * knows its exports and nothing of the protocol. A trap there is a bug of ours and reaches the caller as it is
 * (`WebAssembly.RuntimeError`).
 */
import { instantiateSync } from '@assemblyscript/loader';
import { RELAXED, SIMD } from './binary.ts';
import { BATCH, type Engine, type EngineLimits, RECORD_WORDS } from './engine.ts';
import { SLOT_AREA_BYTES, Slots } from './slots.ts';

const PAGE_BYTES = 65_536;
/** Memory ends at 4 GiB; a session takes 736 bytes of it in the tables. */
const MAX_SESSIONS = 4_000_000;
const KEY_BYTES = 32;
const MAX_OWNER = 0xffff;

/** Status words of a receive record between the stages `parse`, `aead`, `retry` and `finish` (assembly/pipeline.ts). */
export const STAGE = {
  /** Has a session; payloadPtr and payloadLen are those of the ciphertext, the tag of 16 bytes stands behind. */
  parsed: 16,
  /** The tag verified, the plaintext is in place: `finish` comes next. */
  opened: 17,
  /** The tag was wrong and the ciphertext is untouched: `retry` comes next. */
  refused: 18,
} as const;

/** What the module exports (assembly/index.ts). Pointers are byte offsets into the memory; the caller keeps them in it. */
export type WasmExports = {
  memoryNeeded(sessions: number): number;
  init(sessions: number, secretLow: number, secretHigh: number): void;
  receiveRecords(): number;
  transmitRecords(): number;
  keyInput(): number;
  install(owner: number, localId: number, peerId: number, prefix: number): number;
  wipe(session: number): void;
  sealed(session: number): number;
  /** Uses up send counters without sealing. */
  spend(session: number, frames: number): void;
  sessionCount(): number;
  open(owner: number, count: number): void;
  seal(count: number): void;
  /** The stages of `open` for a batch: `parse`, then `aead` and `retry` until it answers 0, then `finish`. */
  parse(owner: number, count: number): void;
  aead(count: number): void;
  retry(owner: number, count: number): number;
  finish(count: number): void;
  /** The kernels themselves, for tests and benches; a context of `contextBytes()` bytes is the caller's, 16-byte aligned. */
  crc32(ptr: number, len: number): number;
  contextBytes(): number;
  gcmExpand(keyPtr: number, contextPtr: number): void;
  /** Where the hashes of all messages with this aad, 0 to 16 bytes, start: 16 bytes for `gcmSeal` and `gcmOpen`. */
  gcmAad(contextPtr: number, aadPtr: number, aadLen: number, startPtr: number): void;
  gcmSeal(contextPtr: number, noncePtr: number, startPtr: number, aadLen: number, dataPtr: number, len: number): void;
  /** 1 when the tag verified; 0 leaves the data as it was. */
  gcmOpen(contextPtr: number, noncePtr: number, startPtr: number, aadLen: number, dataPtr: number, len: number): number;
};

/** An engine and, for tests, benches and other AEADs, the exports below it. */
export interface WasmEngine extends Engine {
  readonly exports: WasmExports;
}

/** Which of the builds to run. */
export interface WasmEngineOptions {
  /** Omitted: relaxed SIMD where the runtime validates it. */
  readonly build?: 'simd' | 'relaxed';
}

/**
 * Makes an engine. Costs a few milliseconds and the memory that `limits` asks for, of which untouched pages are free.
 *
 * @param random - Fills with cryptographically secure bytes; called once, for the hash of the route table.
 * @throws RangeError for limits that do not fit a 32-bit memory.
 */
export function createWasmEngine(
  limits: EngineLimits,
  random: (into: Uint8Array) => void,
  options?: WasmEngineOptions,
): WasmEngine {
  const { sessions } = limits;
  if (!Number.isInteger(sessions) || sessions < 1 || sessions > MAX_SESSIONS) {
    throw new RangeError(`Cannot make an engine: sessions must be 1 to ${MAX_SESSIONS}, not ${sessions}`);
  }
  const relaxed = options?.build === 'simd' ? undefined : decodeBase64(RELAXED);
  const isRelaxed = relaxed !== undefined && (options?.build === 'relaxed' || WebAssembly.validate(relaxed));
  const module = new WebAssembly.Module(isRelaxed ? relaxed : decodeBase64(SIMD));
  // The size of the tables is the module's knowledge: ask an instance that has room for its static data only.
  const slotBase = instantiate(module, new WebAssembly.Memory({ initial: 1 })).memoryNeeded(sessions) >>> 0;
  const pages = Math.ceil((slotBase + SLOT_AREA_BYTES) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const exports = instantiate(module, memory);
  const secret = new Uint8Array(8);
  random(secret);
  const words = new DataView(secret.buffer);
  exports.init(sessions, words.getUint32(0), words.getUint32(4));
  return new ModuleEngine(isRelaxed ? 'wasm-relaxed' : 'wasm', exports, memory.buffer, new Slots(slotBase));
}

class ModuleEngine implements WasmEngine {
  readonly name: string;
  readonly exports: WasmExports;
  readonly memory: Uint8Array;
  readonly receive: Uint32Array;
  readonly transmit: Uint32Array;
  readonly #slots: Slots;
  readonly #keyInput: number;

  constructor(name: string, exports: WasmExports, buffer: ArrayBuffer, slots: Slots) {
    this.name = name;
    this.exports = exports;
    this.memory = new Uint8Array(buffer);
    this.receive = new Uint32Array(buffer, exports.receiveRecords(), BATCH * RECORD_WORDS);
    this.transmit = new Uint32Array(buffer, exports.transmitRecords(), BATCH * RECORD_WORDS);
    this.#slots = slots;
    this.#keyInput = exports.keyInput();
  }

  get sessionCount(): number {
    return this.exports.sessionCount();
  }

  claimReceive(length: number): number {
    return this.#slots.claimReceive(length);
  }

  releaseReceive(ptr: number): void {
    this.#slots.releaseReceive(ptr);
  }

  claimTransmit(payloadLength: number): number {
    return this.#slots.claimTransmit(payloadLength);
  }

  releaseTransmit(framePtr: number): void {
    this.#slots.releaseTransmit(framePtr);
  }

  install(session: { owner: number; localId: number; peerId: number; key: Uint8Array; prefix: number }): number {
    const { owner, key } = session;
    if (key.length !== KEY_BYTES) throw new RangeError(`Cannot install a session: key has ${key.length} bytes, not 32`);
    if (!(owner >= 0 && owner <= MAX_OWNER)) throw new RangeError(`Cannot install a session: owner ${owner} > 65535`);
    this.memory.set(key, this.#keyInput);
    return this.exports.install(owner, session.localId, session.peerId, session.prefix);
  }

  wipe(session: number): void {
    this.exports.wipe(session);
  }

  sealed(session: number): number {
    return this.exports.sealed(session) >>> 0;
  }

  open(owner: number, count: number): void {
    this.exports.open(owner, count);
  }

  seal(count: number): void {
    this.exports.seal(count);
  }
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): WasmExports {
  // Not the loader's own view of the exports: its wrappers collect the arguments of each call into an array.
  return instantiateSync(module, { env: { memory } }).instance.exports as WasmExports;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  // A plain loop: `Uint8Array.from` with a callback takes ten times as long when cold.
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
