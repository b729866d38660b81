// Installs what stands beside the project's own dependencies into .cache: the runtimes, and what checks the package.
//
//   node test/runtime/install.mjs              all
//   node test/runtime/install.mjs --runtimes   the runtimes alone (1 GB)
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(dirname(HERE));
const LISTS = ['package.json', 'package-lock.json', '.npmrc'];
const SYSTEM = `${process.platform}-${process.arch}`;

/** Where the runtimes are: a folder with a package.json and node_modules. */
export const CACHE = join(ROOT, '.cache/runtime');

/**
 * Installs what the lock file of a folder says into another, unless it is there already.
 *
 * @param isWhole - Whether devDependencies are wanted too.
 */
export function installLocked(folder, cache, isWhole) {
  const hash = createHash('sha256');
  for (const name of LISTS) hash.update(readFileSync(join(folder, name)));
  const wanted = hash.digest('hex');
  const stamp = join(cache, 'installed');
  const [installed, extent] = existsSync(stamp) ? readFileSync(stamp, 'utf8').split(' ') : [];
  if (installed === wanted && (!isWhole || extent === 'whole')) return;

  mkdirSync(cache, { recursive: true });
  for (const name of LISTS) copyFileSync(join(folder, name), join(cache, name));
  // No package here needs its install script: binaries come as optional packages of their own.
  const omitted = isWhole ? [] : ['--omit=dev'];
  execFileSync('npm', ['ci', '--ignore-scripts', ...omitted], { cwd: cache, stdio: ['ignore', 2, 'inherit'] });
  writeFileSync(stamp, `${wanted} ${isWhole ? 'whole' : 'dependencies'}`);
}

/** Installs the runtimes and, where wanted, the checkers. */
export function install({ checkers }) {
  installLocked(HERE, CACHE, checkers);
}

/**
 * The runtimes: a name, and the command that runs a file with all that it asks for. One that is not made for this
 * system, or was not installed, has no command.
 */
export function runtimes() {
  const libc = process.platform === 'linux' ? '-glibc' : '';
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const list = [
    ...['20', '22', '24', 'latest'].map((tag) => [`node-${tag}`, `node-${tag}/bin/node`, []]),
    ['deno', `@deno/${SYSTEM}${libc}/deno${suffix}`, ['run', '--allow-all']],
    ['bun', `@oven/bun-${SYSTEM}/bin/bun${suffix}`, []],
  ];
  return list.map(([name, path, words]) => {
    const binary = join(CACHE, 'node_modules', path);
    return { name, command: existsSync(binary) ? [binary, ...words] : undefined };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install({ checkers: !process.argv.includes('--runtimes') });
}
