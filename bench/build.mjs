// Builds the benches into dist/bench: one bundle for all runtimes, and a module with nothing but the route table.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { wasm } from '../build.mjs';
import { install } from './install.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * The engine exports no bare look-up, so M7 has a module of its own around the same assembly/route.ts. What it adds is the
 * loop over a batch, which a host that looks up many keys in one call would need.
 */
const ROUTES = `
import { place, ROUTE_BYTES, routeCapacity } from '../../assembly/layout';
import { routeFind, routeInit } from '../../assembly/route';

export { routeFind as find, routeSet as set } from '../../assembly/route';

export function memoryNeeded(entries: u32): usize {
  return place(entries);
}

export function init(entries: u32, secretLow: u32, secretHigh: u32): void {
  place(entries);
  routeInit((<u64>secretHigh << 32) | secretLow);
}

export function tableBytes(): usize {
  return <usize>routeCapacity * ROUTE_BYTES;
}

/** Looks up count pairs (owner, node), 8 bytes each, and writes count values. */
export function findBatch(pairsPtr: usize, valuesPtr: usize, count: u32): void {
  for (let i: u32 = 0; i < count; ++i) {
    const pair = pairsPtr + (<usize>i << 3);
    store<u32>(valuesPtr + (<usize>i << 2), routeFind(load<u32>(pair), load<u32>(pair, 4)));
  }
}
`;

function routes() {
  const require = createRequire(import.meta.url);
  const asc = join(dirname(require.resolve('assemblyscript/package.json')), 'bin/asc.js');
  mkdirSync(join(ROOT, 'dist/bench'), { recursive: true });
  writeFileSync(join(ROOT, 'dist/bench/routes.ts'), ROUTES);
  const args = ['dist/bench/routes.ts', '--target', 'release', '--outFile', 'dist/bench/routes.wasm'];
  execFileSync(process.execPath, [asc, ...args], { cwd: ROOT, stdio: 'inherit' });
}

/** Whether src/engine/binary.ts is missing, or older than what it is made of. */
function isStale() {
  const binary = join(ROOT, 'src/engine/binary.ts');
  if (!existsSync(binary)) return true;
  const builtAt = statSync(binary).mtimeMs;
  const sources = readdirSync(join(ROOT, 'assembly'), { recursive: true }).map((name) => join('assembly', name));
  return [...sources, 'asconfig.json'].some((path) => statSync(join(ROOT, path)).mtimeMs > builtAt);
}

async function bundle() {
  await build({
    absWorkingDir: ROOT,
    entryPoints: { micro: 'bench/micro/index.ts' },
    outdir: 'dist/bench',
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
}

install({ runtimes: false });
if (isStale()) wasm();
routes();
await bundle();
