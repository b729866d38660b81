/**
 * Compiles some functions of assembly/ to a module of their own, with the options of asconfig.json, in a temporary
 * folder. So the kernels are tested alone, and their exports need not be those of the package.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const PAGE = 65_536;

/** The targets of asconfig.json that ship. */
export type Target = 'release' | 'relaxed';

/** A compiled module and its memory. Numbers in, numbers out; pointers are byte offsets. */
export interface Kernel {
  exports: Record<string, (...args: number[]) => number>;
  bytes: Uint8Array;
  /** The first byte that no static area uses, a multiple of 64. */
  free: number;
}

/** Compiles `names` exported by `assembly/<file>.ts`, for each file of `exported`. */
export function compile(exported: Record<string, string[]>, target: Target): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), 'pilotwire-'));
  try {
    const entry = join(folder, 'entry.ts');
    const out = join(folder, 'kernel.wasm');
    const lines = Object.entries(exported).map(([file, names]) => {
      const path = relative(folder, join(ROOT, 'assembly', file)).replaceAll('\\', '/');
      return `export { ${names.join(', ')} } from '${path}';\n`;
    });
    writeFileSync(entry, `${lines.join('')}export function freePtr(): usize { return __heap_base; }\n`);
    const asc = join(dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')), 'bin/asc.js');
    execFileSync(process.execPath, [asc, relative(ROOT, entry), '--target', target, '--outFile', out], { cwd: ROOT });
    return new Uint8Array(readFileSync(out));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Instantiates a module with `pages` of memory. */
export function instantiate(binary: Uint8Array<ArrayBuffer>, pages: number): Kernel {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory } });
  const exports = instance.exports as Kernel['exports'];
  return { exports, bytes: new Uint8Array(memory.buffer, 0, pages * PAGE), free: (exports.freePtr!() + 63) & -64 };
}
