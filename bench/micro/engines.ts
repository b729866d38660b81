/**
 * The engines under test: one per build that the runtime takes, and room in their memory for the kernels' own data.
 */
import { createAead } from '../../bindings/node/aead.ts';
import { RELAXED } from '../../src/engine/binary.ts';
import { SLOTS } from '../../src/engine/engine.ts';
import { createWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';

/** Builds of the engine that this runtime takes. */
export const BUILDS: readonly ('simd' | 'relaxed')[] = WebAssembly.validate(fromBase64(RELAXED))
  ? ['simd', 'relaxed']
  : ['simd'];

/** All that can be subjects. */
export const WASM: readonly string[] = ['wasm', 'wasm-relaxed'];

/** Makes an engine. */
export function makeEngine(build: 'simd' | 'relaxed', sessions = 64): WasmEngine {
  return createWasmEngine({ sessions }, random, { build });
}

/** An engine of the best build, packets of `from` bytes and more through node:crypto. */
export function makeDispatching(from: number): WasmEngine {
  return createWasmEngine({ sessions: 64 }, random, { native: { aead: createAead(), from } });
}

/** In all runtimes. */
function random(into: Uint8Array): void {
  crypto.getRandomValues(into as Uint8Array<ArrayBuffer>);
}

/** One engine of each build. */
export function makeEngines(): WasmEngine[] {
  return BUILDS.map((build) => makeEngine(build));
}

/** A piece of engine memory that nobody else uses. */
export interface Area {
  readonly start: number;
  readonly length: number;
}

/** Takes all receive slots of an engine, which lie one behind the other. */
export function takeArea(engine: WasmEngine): Area {
  let start = 0;
  for (let i = 0; i < SLOTS.rx.count; i++) start ||= engine.claimReceive(SLOTS.rx.bytes);
  for (let i = 0; i < SLOTS.rxLarge.count; i++) engine.claimReceive(SLOTS.rxLarge.bytes);
  return { start, length: SLOTS.rx.count * SLOTS.rx.bytes + SLOTS.rxLarge.count * SLOTS.rxLarge.bytes };
}

/**
 * The same function once more, with type feedback of its own: called for two engines, one function would see two kinds
 * of everything and be slower than it ever is where there is one engine.
 *
 * @param factory - Uses nothing but its parameters.
 */
export function fresh<T>(factory: T): T {
  const { eval: evaluate } = globalThis;
  return evaluate(`(${String(factory)})`) as T;
}

/** Bytes of a base64 text. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...atob(text)].map((character) => character.charCodeAt(0)));
}

/** Numbers that look random and are the same in every run: 32 bits each. */
export class Random {
  #counter: number;

  constructor(seed: number) {
    this.#counter = seed;
  }

  /** 0 … 2^32 − 1. */
  next(): number {
    // A counter with a large odd step, its bits mixed by multiplications and shifts.
    this.#counter = (this.#counter + 0x9e37_79b9) | 0;
    let mixed = Math.imul(this.#counter ^ (this.#counter >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** 0 … n − 1. */
  below(n: number): number {
    return Math.floor((this.next() / 2 ** 32) * n);
  }
}

/** `length` bytes that look random and are the same in every run. */
export function pattern(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = new Random(seed);
  return Uint8Array.from({ length }, () => random.next() >>> 24);
}
