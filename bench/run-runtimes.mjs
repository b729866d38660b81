// Runs the same bundled bench on every runtime and in a page of Chromium, one after the other, and keeps what each writes in bench/results.
//
//   npm run bench:runtimes                                  all
//   npm run bench:runtimes -- --runtime node-20,bun         some
//   npm run bench:runtimes -- --quick --only "M1|M6"        as in bench:micro; not whole, so kept in .cache/bench/results
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium } from '../test/runtime/chromium.mjs';
import { install, runtimes } from '../test/runtime/install.mjs';
import { CACHE } from './install.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BENCH = join(ROOT, 'dist/bench/micro.js');

/** The present one comes first. Node goes by its version: what is newest changes, and two may be the same. */
function named() {
  const list = [{ name: 'node', command: [process.execPath] }, ...runtimes()];
  const found = list.flatMap(({ name, command }) => {
    if (command === undefined) {
      process.stderr.write(`${name}: not installed on this system\n`);
      return [];
    }
    if (!name.startsWith('node')) return [[name, command]];
    const version = execFileSync(command[0], ['-p', 'process.versions.node'], { encoding: 'utf8' });
    return [[`node-${Number.parseInt(version, 10)}`, command]];
  });
  return Object.entries(Object.fromEntries(found));
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

/** All, or those that are wanted; the runtimes are 1 GB, which a page does not need. */
function contestants() {
  const isOnlyChromium = wanted?.every((name) => name === 'chromium') === true;
  if (!isOnlyChromium) install({ checkers: false });
  const all = [...(isOnlyChromium ? [] : named()), ...(wanted?.includes('chromium') === false ? [] : chromium())];
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
