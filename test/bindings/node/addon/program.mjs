// The program that drives the addon (life.ts), for Node.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** @returns The path of the program. */
export async function bundleLife(directory) {
  const outfile = join(directory, 'life.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('life.ts', import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'es2022',
    logLevel: 'error',
  });
  return outfile;
}
