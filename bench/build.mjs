// Builds the benches into dist/bench: one bundle for all runtimes, one for a page with its peers beside it, and a module with
// nothing but the route table, which both hold.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { wasm } from '../build.mjs';
import { CACHE, install } from './install.mjs';

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

const OPTIONS = {
  absWorkingDir: ROOT,
  outdir: 'dist/bench',
  bundle: true,
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
};

/** What the sources call ROUTES_MODULE. */
function routesModule() {
  return { ROUTES_MODULE: JSON.stringify(readFileSync(join(ROOT, 'dist/bench/routes.wasm'), 'base64')) };
}

async function bundle() {
  await build({ ...OPTIONS, entryPoints: { micro: 'bench/micro/index.ts' }, platform: 'node', define: routesModule() });
}

/** Peers that are for a page, by the path under which they are loaded. */
const PAGE_PEERS = ['@noble/ciphers/aes.js', '@stablelib/aes', '@stablelib/gcm', 'crc-32', 'hash-wasm'];

/** In a page runtime.ts is another, and the modules of Node are there to be imported, but empty. */
const IN_PAGE = {
  name: 'in-page',
  setup({ onResolve, onLoad }) {
    const path = join(ROOT, 'bench/micro/page-runtime.ts');
    onResolve({ filter: /\/runtime\.ts$/ }, ({ kind }) => (kind === 'import-statement' ? { path } : undefined));
    onResolve({ filter: /^node:/ }, ({ path: name }) => ({ path: name, namespace: 'no-node' }));
    // CommonJS, of which any name can be imported.
    onLoad({ filter: /./, namespace: 'no-node' }, () => ({ contents: 'module.exports = {};' }));
  },
};

async function page() {
  const files = PAGE_PEERS.map((path) => [path, `peers/${path.replace(/\W+/g, '-')}`]);
  const manifest = (name) => JSON.parse(readFileSync(join(CACHE, 'node_modules', name, 'package.json'), 'utf8'));
  const peers = files.map(([path, file]) => {
    const name = path.match(/^(@[^/]+\/)?[^/]+/)[0];
    return [path, { version: manifest(name).version, url: `/${file}.js` }];
  });
  const modules = files.map(([path, file]) => ({ in: path, out: file }));
  await build({
    ...OPTIONS,
    absWorkingDir: CACHE,
    outdir: join(ROOT, 'dist/bench'),
    entryPoints: modules,
    platform: 'browser',
  });
  const define = { ...routesModule(), PAGE_PEERS: JSON.stringify(Object.fromEntries(peers)) };
  const entryPoints = { page: 'bench/micro/page.ts' };
  await build({ ...OPTIONS, entryPoints, platform: 'browser', define, plugins: [IN_PAGE] });
}

install({ runtimes: false });
if (isStale()) wasm();
routes();
await bundle();
await page();
