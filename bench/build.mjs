// Builds the benches into dist/bench.
//
//   node bench/build.mjs micro   one bundle for all runtimes, one for a page with its peers beside it, and a module with
//                                nothing but the route table, which both hold
//   node bench/build.mjs flow    the package, and what measures it: one bundle for the parent, one for its processes
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildAddon } from '../bindings/node/addon/build.mjs';
import { bundle as bundlePackage, wasm } from '../build.mjs';
import { mayInstall } from '../test/runtime/debian.mjs';
import { CACHE, install } from './install.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** A table of more routes than an engine has room for: assembly/route.ts alone, as a beacon would have it. */
const ROUTES = `
import { ROUTE_TABLE_BYTES, routeBytes, routeFind, routeFindBatch, routeInit, routeSet } from '../../assembly/route';

const TABLE: usize = memory.data(ROUTE_TABLE_BYTES, 64);
const RECORDS: usize = memory.data(64 * 64, 64);

export function areaPtr(): usize {
  return (__heap_base + 63) & ~63;
}

export function areaBytes(entries: u32): usize {
  return routeBytes(entries);
}

export function init(entries: u32, secretLow: u32, secretHigh: u32): void {
  routeInit(TABLE, areaPtr(), entries, (<u64>secretHigh << 32) | secretLow);
}

export function set(owner: u32, node: u32, value: u32): bool {
  return routeSet(TABLE, owner, node, value);
}

export function find(owner: u32, node: u32): u32 {
  return routeFind(TABLE, owner, node);
}

export function recordsPtr(): usize {
  return RECORDS;
}

export function findBatch(owner: u32, count: u32): void {
  routeFindBatch(TABLE, owner, RECORDS, count);
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
  return [...sources, 'asconfig.json', 'build.mjs'].some((path) => statSync(join(ROOT, path)).mtimeMs > builtAt);
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

async function flow() {
  const { missing } = buildAddon({ mayInstall: mayInstall() });
  if (missing !== undefined) process.stderr.write(`*** without addon: ${missing}\n`);
  const entryPoints = { flow: 'bench/flow/index.ts', 'flow-worker': 'bench/flow/worker.ts' };
  await build({ ...OPTIONS, entryPoints, platform: 'node', external: ['@peculiar/x509'] });
}

const isFlow = process.argv[2] === 'flow';
install({ isWhole: isFlow });
if (isStale()) wasm();
if (isFlow) {
  await bundlePackage();
  await flow();
} else {
  routes();
  await bundle();
  await page();
}
