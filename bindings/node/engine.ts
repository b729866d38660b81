/** The engine as this runtime runs it: Wasm with the addon's AEAD; without one, with node:crypto for the packets that it is faster with. */
import { type BatchAead, NATIVE_FROM } from '../../src/engine/aead.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createWasmEngine } from '../../src/engine/wasm.ts';
import { type Addon, type FoundAddon, reasonOf } from './addon.ts';
import { createAead } from './aead.ts';

/** Sessions of all agents of a process together (design: decision 2). */
const SESSIONS = 16_384;

/** Runtimes that have node:crypto. */
export type Runtime = keyof typeof NATIVE_FROM;

/** Options of `createEngine`. */
export interface ProcessEngineOptions {
  /** Whose node:crypto this is. Default: the one that says so in `process.versions`. */
  readonly runtime?: Runtime;
  /** The addon, which then does all packets, or why there is none. Omitted: nobody looked for it. */
  readonly addon?: FoundAddon;
}

/** Makes it; a process needs one. @param random - Fills with cryptographically secure bytes. */
export function createEngine(random: (into: Uint8Array) => void, options: ProcessEngineOptions = {}): Engine {
  const { runtime = present(), addon } = options;
  const limits = { sessions: SESSIONS };
  if (typeof addon === 'object' && addon.kernels.length > 0) {
    return createWasmEngine(limits, random, { makeBatch: makeBatchOf(addon) });
  }
  const note = typeof addon === 'object' ? reasonOf('no AES instructions') : reasonOf(addon);
  return createWasmEngine(limits, random, { native: { aead: createAead(), from: NATIVE_FROM[runtime] }, note });
}

/** The addon's AEAD. @param kernel - One of those that the processor has; default: the fastest. */
export function makeBatchOf(addon: Addon, kernel: string = addon.kernels[0]!): (sessions: number) => BatchAead {
  return (sessions) => {
    const aead = new addon.Aead(kernel, sessions);
    return {
      name: `addon ${kernel}`,
      seal: (memory, records, count) => aead.seal(memory, records, count),
      open: (memory, records, count) => aead.open(memory, records, count),
      forget: (session) => aead.forget(session),
    };
  };
}

/** Bun and Deno run Node's modules too, but their cryptography is not Node's. */
function present(): Runtime {
  const { bun, deno } = process.versions;
  return bun !== undefined ? 'bun' : deno !== undefined ? 'deno' : 'node';
}
