// Runs the same bundled bench on every runtime and in a page of Chromium, one after the other, and keeps what each writes in bench/results.
//
//   npm run bench:runtimes                                  all
//   npm run bench:runtimes -- --runtime node-20,bun         some
//   npm run bench:runtimes -- --quick --only "M1|M6"        as in bench:micro; not whole, so kept in .cache/bench/results
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium } from '../test/runtime/chromium.mjs';
import { CACHE, install } from './install.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BENCH = join(ROOT, 'dist/bench/micro.js');
const SYSTEM = `${process.platform}-${process.arch}`;

/** Where the runtimes are. The present one comes first; the packages of the others hold nothing but a binary. */
function runtimes() {
  const installed = (path) => join(CACHE, 'node_modules', path);
  const libc = process.platform === 'linux' ? '-glibc' : '';
  const list = [
    { name: 'present', command: [process.execPath] },
    ...['22', '24', 'latest'].map((tag) => ({ name: tag, command: [installed(`node-${tag}/bin/node`)] })),
    { name: 'deno', command: [installed(`@deno/${SYSTEM}${libc}/deno`), 'run', '--allow-all'] },
    { name: 'bun', command: [installed(`@oven/bun-${SYSTEM}/bin/bun`)] },
  ];
  const found = list.filter(({ name, command }) => {
    const isThere = existsSync(command[0]);
    if (!isThere) process.stderr.write(`${name}: not installed on ${SYSTEM}\n`);
    return isThere;
  });
  // Node by its version: what is newest changes, and two may be the same.
  const named = found.map(({ name, command }) => {
    if (name === 'deno' || name === 'bun') return [name, command];
    const version = execFileSync(command[0], ['-p', 'process.versions.node'], { encoding: 'utf8' });
    return [`node-${Number.parseInt(version, 10)}`, command];
  });
  return Object.entries(Object.fromEntries(named));
}

const { values } = parseArgs({
  options: { runtime: { type: 'string' }, quick: { type: 'boolean', default: false }, only: { type: 'string' } },
});
const wanted = values.runtime?.split(',');
const passed = [...(values.quick ? ['--quick'] : []), ...(values.only === undefined ? [] : ['--only', values.only])];
const results = passed.length === 0 ? join(ROOT, 'bench/results') : join(CACHE, 'results');

/** This Node opens the page. @returns Nothing where there is no Chromium, unless it was asked for by name. */
function chromium() {
  const { missing } = findChromium();
  if (missing !== undefined) process.stderr.write(`chromium: ${missing}\n`);
  return missing === undefined || wanted !== undefined ? [['chromium', [process.execPath], '--chromium']] : [];
}

/** All, or those that are wanted; the runtimes are 0.8 GB, which a page does not need. */
function contestants() {
  const isOnlyChromium = wanted?.every((name) => name === 'chromium') === true;
  install({ runtimes: !isOnlyChromium });
  const all = [...(isOnlyChromium ? [] : runtimes()), ...(wanted?.includes('chromium') === false ? [] : chromium())];
  const unknown = wanted?.filter((name) => all.every(([known]) => known !== name)) ?? [];
  if (unknown.length > 0) throw new Error(`No runtime ${unknown}: there are ${all.map(([name]) => name).join(', ')}`);
  return wanted === undefined ? all : all.filter(([name]) => wanted.includes(name));
}

mkdirSync(results, { recursive: true });
let failures = 0;
for (const [name, command, ...options] of contestants()) {
  process.stdout.write(`\n${name}\n`);
  const [binary, ...before] = command;
  const args = [...before, BENCH, ...options, '--json', join(results, `${name}.json`), ...passed];
  if (spawnSync(binary, args, { cwd: ROOT, stdio: 'inherit' }).status !== 0) failures++;
}
process.exitCode = failures > 0 ? 1 : 0;
