/** The engine as this runtime runs it: Wasm for all packets but those that its node:crypto is faster with. */
import { NATIVE_FROM } from '../../src/engine/aead.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createWasmEngine } from '../../src/engine/wasm.ts';
import { createAead } from './aead.ts';

/** Sessions of all agents of a process together (design: decision 2). */
const SESSIONS = 16_384;

/** Runtimes that have node:crypto. */
export type Runtime = keyof typeof NATIVE_FROM;

/**
 * Makes it; a process needs one.
 *
 * @param random - Fills with cryptographically secure bytes.
 * @param runtime - Whose node:crypto this is. Default: the one that says so in `process.versions`.
 */
export function createEngine(random: (into: Uint8Array) => void, runtime: Runtime = present()): Engine {
  const native = { aead: createAead(), from: NATIVE_FROM[runtime] };
  return createWasmEngine({ sessions: SESSIONS }, random, { native });
}

/** Bun and Deno run Node's modules too, but their cryptography is not Node's. */
function present(): Runtime {
  const { bun, deno } = process.versions;
  return bun !== undefined ? 'bun' : deno !== undefined ? 'deno' : 'node';
}
