/**
 * The engine in WebAssembly: makes memory and instance, and hands calls through. All work is in assembly/, but for long
 * packets where the runtime's AEAD is faster (native.ts); this file knows nothing of the protocol. A trap there is a bug of ours and reaches the caller as it is
 * (`WebAssembly.RuntimeError`).
 */
import { instantiateSync } from '@assemblyscript/loader';
import type { BatchAead, NativeAead } from './aead.ts';
import { BatchStages } from './batch.ts';
import { RELAXED, SIMD, SIMD_DEFLATED } from './binary.ts';
import { BATCH, type Engine, type EngineLimits, RECORD_WORDS } from './engine.ts';
import type { WasmExports } from './exports.ts';
import { NativeStages } from './native.ts';
import { SLOT_AREA_BYTES, Slots } from './slots.ts';

const PAGE_BYTES = 65_536;
/** Memory ends at 4 GiB; a session takes 736 bytes of it in the tables. */
const MAX_SESSIONS = 4_000_000;
const KEY_BYTES = 32;
const MAX_OWNER = 0xffff;
/** The module takes 32 bits. */
const MAX_FROM = 0xffff_ffff;

/** An engine and, for tests, benches and other AEADs, the exports below it. */
export interface WasmEngine extends Engine {
  readonly exports: WasmExports;
}

/** Which of the builds to run, and who helps it. */
export interface WasmEngineOptions {
  /** Omitted: relaxed SIMD where the runtime validates it. */
  readonly build?: 'simd' | 'relaxed';
  /** An AEAD of the runtime for long packets. Omitted: all are opened and sealed in Wasm. */
  readonly native?: NativeAead;
  /** One for all packets, in whole batches; `native` is not used then. @param sessions - As many may be installed. */
  readonly makeBatch?: (sessions: number) => BatchAead;
  /** Stands behind the name: why something faster is not used. */
  readonly note?: string;
}

/**
 * Makes an engine. Costs a few milliseconds and the memory that `limits` asks for, of which untouched pages are free.
 *
 * @param random - Fills with cryptographically secure bytes; called once, for the hash of the route table.
 * @throws RangeError for limits that do not fit a 32-bit memory, and for a `native.from` that is no number of bytes.
 */
export function createWasmEngine(
  limits: EngineLimits,
  random: (into: Uint8Array) => void,
  options?: WasmEngineOptions,
): WasmEngine {
  checkLimits(limits);
  // A packet is never that long: all are opened and sealed in Wasm.
  const native = options?.native?.from === Number.POSITIVE_INFINITY ? undefined : options?.native;
  if (native !== undefined && !(Number.isInteger(native.from) && native.from >= 0 && native.from <= MAX_FROM)) {
    throw new RangeError(`Cannot make an engine: native.from must be a whole number of bytes, not ${native.from}`);
  }
  const relaxed = options?.build === 'simd' ? undefined : decodeBase64(RELAXED);
  const isRelaxed = relaxed !== undefined && (options?.build === 'relaxed' || WebAssembly.validate(relaxed));
  const module = new WebAssembly.Module(isRelaxed ? relaxed : decodeBase64(SIMD));
  // The size of the tables is the module's knowledge: ask an instance that has room for its static data only.
  const slotBase = slotBaseOf(instantiate(module, new WebAssembly.Memory({ initial: 1 })), limits);
  const memory = memoryFor(slotBase);
  const exports = instantiate(module, memory);
  init(exports, limits, random);
  const build = isRelaxed ? 'wasm-relaxed' : 'wasm';
  const parts = { exports, buffer: memory.buffer, slots: new Slots(slotBase) };
  const batch = options?.makeBatch?.(limits.sessions);
  if (batch !== undefined) {
    const makeBatch = (engine: WasmEngine): BatchStages => new BatchStages(engine, batch);
    return new ModuleEngine({ ...parts, name: `${build} + ${batch.name}`, makeBatch });
  }
  const note = options?.note ?? '';
  if (native === undefined) return new ModuleEngine({ ...parts, name: `${build}${note}` });
  const name = `${build} + ${native.aead.name} ≥ ${native.from} B${note}`;
  return new ModuleEngine({ ...parts, name, makeStages: (engine) => new NativeStages(engine, native) });
}

/**
 * Makes an engine where nothing may block, as in a page: the plain SIMD build, which travels deflated, compiled beside
 * the thread. It needs no loader, for memory is all that the module imports.
 *
 * @param random - As in `createWasmEngine`.
 * @throws RangeError for limits that do not fit a 32-bit memory. WebAssembly.CompileError where a content security
 *   policy forbids Wasm, or SIMD is missing.
 */
export async function loadWasmEngine(limits: EngineLimits, random: (into: Uint8Array) => void): Promise<Engine> {
  checkLimits(limits);
  const inflated = new Blob([decodeBase64(SIMD_DEFLATED)]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  const module = await WebAssembly.compile(await new Response(inflated).arrayBuffer());
  const begin = async (memory: WebAssembly.Memory): Promise<WasmExports> =>
    (await WebAssembly.instantiate(module, { env: { memory } })).exports as WasmExports;
  const slotBase = slotBaseOf(await begin(new WebAssembly.Memory({ initial: 1 })), limits);
  const memory = memoryFor(slotBase);
  const exports = await begin(memory);
  init(exports, limits, random);
  return new ModuleEngine({
    name: 'wasm',
    exports,
    buffer: memory.buffer,
    slots: new Slots(slotBase),
  });
}

function checkLimits({ sessions }: EngineLimits): void {
  if (!Number.isInteger(sessions) || sessions < 1 || sessions > MAX_SESSIONS) {
    throw new RangeError(`Cannot make an engine: sessions must be 1 to ${MAX_SESSIONS}, not ${sessions}`);
  }
}

/** Where the tables end. */
function slotBaseOf(exports: WasmExports, { sessions }: EngineLimits): number {
  return exports.memoryNeeded(sessions) >>> 0;
}

function memoryFor(slotBase: number): WebAssembly.Memory {
  const pages = Math.ceil((slotBase + SLOT_AREA_BYTES) / PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages });
}

function init(exports: WasmExports, { sessions }: EngineLimits, random: (into: Uint8Array) => void): void {
  const secret = new Uint8Array(8);
  random(secret);
  const words = new DataView(secret.buffer);
  exports.init(sessions, words.getUint32(0), words.getUint32(4));
}

interface Parts {
  readonly name: string;
  readonly exports: WasmExports;
  readonly buffer: ArrayBuffer;
  readonly slots: Slots;
  /** Handed over, so that what loads no native AEAD does not load its stages either. */
  readonly makeStages?: (engine: WasmEngine) => NativeStages;
  readonly makeBatch?: (engine: WasmEngine) => BatchStages;
}

class ModuleEngine implements WasmEngine {
  readonly name: string;
  readonly exports: WasmExports;
  readonly memory: Uint8Array;
  readonly receive: Uint32Array;
  readonly transmit: Uint32Array;
  readonly #slots: Slots;
  readonly #keyInput: number;
  readonly #native: NativeStages | undefined;
  readonly #batch: BatchStages | undefined;

  constructor({ name, exports, buffer, slots, makeStages, makeBatch }: Parts) {
    this.exports = exports;
    this.memory = new Uint8Array(buffer);
    this.receive = new Uint32Array(buffer, exports.receiveRecords(), BATCH * RECORD_WORDS);
    this.transmit = new Uint32Array(buffer, exports.transmitRecords(), BATCH * RECORD_WORDS);
    this.#slots = slots;
    this.#keyInput = exports.keyInput();
    this.#native = makeStages?.(this);
    this.#batch = makeBatch?.(this);
    this.name = name;
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

  hasTransmit(payloadLength: number): boolean {
    return this.#slots.hasTransmit(payloadLength);
  }

  releaseTransmit(framePtr: number): void {
    this.#slots.releaseTransmit(framePtr);
  }

  install(session: { owner: number; localId: number; peerId: number; key: Uint8Array; prefix: number }): number {
    const { owner, key } = session;
    if (key.length !== KEY_BYTES) throw new RangeError(`Cannot install a session: key has ${key.length} bytes, not 32`);
    if (!(owner >= 0 && owner <= MAX_OWNER)) throw new RangeError(`Cannot install a session: owner ${owner} > 65535`);
    this.memory.set(key, this.#keyInput);
    const index = this.exports.install(owner, session.localId, session.peerId, session.prefix);
    // Indexes are used again: what belongs to the last one's key must not meet this one's frames.
    this.#native?.forget(index);
    this.#batch?.forget(index);
    return index;
  }

  wipe(session: number): void {
    this.exports.wipe(session);
    this.#native?.forget(session);
    this.#batch?.forget(session);
  }

  sealed(session: number): number {
    return this.exports.sealed(session) >>> 0;
  }

  open(owner: number, count: number): void {
    if (this.#batch !== undefined) {
      this.#batch.open(owner, count);
      return;
    }
    const index = this.exports.open(owner, count);
    if (index < count) this.#native?.open(owner, index, count);
  }

  seal(count: number): void {
    if (this.#batch !== undefined) {
      this.#batch.seal(count);
      return;
    }
    const index = this.exports.seal(count);
    if (index < count) this.#native?.seal(index, count);
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
