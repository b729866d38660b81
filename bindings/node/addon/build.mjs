// Builds the native addon, which is optional, with node-gyp:
//
//   node bindings/node/addon/build.mjs           what the package uses, in build/Release
//   node bindings/node/addon/build.mjs --asan    under AddressSanitizer and UndefinedBehaviorSanitizer, in build/Debug
//
// Only what changed is compiled again. No headers are fetched: those that came with this Node are used, or those that npm's
// setting `nodedir` names.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const TOOLS = [
  ['c++', process.env.CXX || 'c++'],
  ['make', process.env.MAKE || 'make'],
  ['python3', process.env.PYTHON || 'python3'],
];
/** Debian's packages with all of them. */
const PACKAGES = ['g++', 'make', 'python3'];

/**
 * Builds it. Its report goes where errors go.
 *
 * @param isSanitized - For tests that look for errors of memory.
 * @param mayInstall - Whether Debian's compiler is installed where there is none.
 * @returns `path` of the addon; or `missing`, one line that says why there is none, and `hasFailed` when it should be there.
 */
export function buildAddon({ isSanitized = false, mayInstall = false } = {}) {
  if (process.platform !== 'linux') return { missing: `The addon is for Linux, not for ${process.platform}` };
  let absent = absentTools();
  if (absent.length > 0 && mayInstall && installTools()) absent = absentTools();
  if (absent.length > 0) {
    return { missing: `The addon cannot be built without ${absent.join(', ')}: install ${PACKAGES.join(', ')}` };
  }
  const gyp = nodeGyp();
  if (gyp === undefined) return { missing: 'The addon cannot be built without the package node-gyp: run npm ci' };
  const words = isStale() ? ['configure', 'build'] : ['build'];
  const kind = isSanitized ? 'Debug' : 'Release';
  const args = [gyp, ...words, '-C', HERE, '--loglevel=error', isSanitized ? '--debug' : '--release', ...headers()];
  const env = { ...process.env, MAKEFLAGS: '-s' };
  const { status } = spawnSync(process.execPath, args, { env, stdio: ['ignore', 2, 2] });
  const path = join(HERE, 'build', kind, 'pilotwire.node');
  return status === 0 && existsSync(path)
    ? { path }
    : { missing: 'The addon does not compile: see above', hasFailed: true };
}

function absentTools() {
  return TOOLS.filter(([, command]) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status !== 0).map(
    ([name]) => name,
  );
}

function installTools() {
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: ['ignore', 2, 2] };
  const run = (...args) => spawnSync('apt-get', args, options).status === 0;
  return run('update') && run('install', '--yes', '--no-install-recommends', ...PACKAGES);
}

function nodeGyp() {
  try {
    const require = createRequire(import.meta.url);
    return join(dirname(require.resolve('node-gyp/package.json')), 'bin/node-gyp.js');
  } catch {
    return undefined;
  }
}

/** Whether the list of files changed after the last configuration, or there was none. */
function isStale() {
  const made = join(HERE, 'build/Makefile');
  return !existsSync(made) || statSync(made).mtimeMs < statSync(join(HERE, 'binding.gyp')).mtimeMs;
}

/** A Node that was unpacked or installed by a system has its headers beside it. */
function headers() {
  const prefix = dirname(dirname(process.execPath));
  const isThere = existsSync(join(prefix, 'include/node/node_api.h'));
  return process.env.npm_config_nodedir === undefined && isThere ? [`--nodedir=${prefix}`] : [];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { path, missing } = buildAddon({ isSanitized: process.argv.includes('--asan') });
  if (missing !== undefined) console.error(`NOT BUILT: ${missing}`);
  else console.log(path);
  process.exitCode = missing === undefined ? 0 : 1;
}
