// Installs what the benches compare with into .cache/bench: the peers, and where asked for the runtimes (0.8 GB).
//
//   node bench/install.mjs              the peers
//   node bench/install.mjs --runtimes   the runtimes too
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BENCH = dirname(fileURLToPath(import.meta.url));
const LISTS = ['package.json', 'package-lock.json', '.npmrc'];

/** Where the peers and runtimes are: a folder with a package.json and node_modules. */
export const CACHE = join(dirname(BENCH), '.cache/bench');

/** Installs what the lock file says, unless it is there already. */
export function install({ runtimes }) {
  const hash = createHash('sha256');
  for (const name of LISTS) hash.update(readFileSync(join(BENCH, name)));
  const wanted = hash.digest('hex');
  const stamp = join(CACHE, 'installed');
  const [installed, extent] = existsSync(stamp) ? readFileSync(stamp, 'utf8').split(' ') : [];
  if (installed === wanted && (!runtimes || extent === 'runtimes')) return;

  mkdirSync(CACHE, { recursive: true });
  for (const name of LISTS) copyFileSync(join(BENCH, name), join(CACHE, name));
  // No package here needs its install script: the binaries of the runtimes come as optional packages of their own.
  const omitted = runtimes ? [] : ['--omit=dev'];
  execFileSync('npm', ['ci', '--ignore-scripts', ...omitted], { cwd: CACHE, stdio: ['ignore', 2, 'inherit'] });
  writeFileSync(stamp, `${wanted} ${runtimes ? 'runtimes' : 'peers'}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) install({ runtimes: process.argv.includes('--runtimes') });
