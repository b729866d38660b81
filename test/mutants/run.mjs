// `npm run test:mutants -- [--only PATTERN] [--jobs N] [--named] [--keep]`: takes one rule away at a time and wants the
// tests to notice. A mutant is a small patch in a folder beside this file:
//
//   # DP 9.13: AEAD first, then the windows          the rule that it removes
//   # test/engine/wasm.test.ts                       the test files that should turn red: they run first
//   diff --git …
//
// All work is done in copies of the project. Only tests that are green without a mutant can kill one. Where the named
// tests stay green the whole suite runs (not with --named); if that stays green too, the mutant survived, which is a
// defect of the tests. A patch that does not apply, and Wasm that does not compile, are errors. Ends with
// `N killed, N survived`.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, '../..');
/** A mutant may never end. For a few test files, and for the whole suite on a busy machine. */
const LIMIT_MS = 300_000;
const SUITE_LIMIT_MS = 1_800_000;
/** Behind the name of a test file that gave no results. */
const LOST = ': no results';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '1' },
    named: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

/** Every patch below this folder whose name holds the pattern. */
function findMutants(pattern) {
  const names = readdirSync(HERE, { recursive: true }).filter((name) => name.endsWith('.patch'));
  return names
    .map((name) => name.split(sep).join('/'))
    .filter((name) => name.includes(pattern))
    .sort()
    .map(readMutant);
}

function readMutant(name) {
  const lines = readFileSync(join(HERE, name), 'utf8').split('\n');
  const [rule, tests] = lines.slice(0, 2).map((line) => line.replace(/^# /, ''));
  const files = lines.filter((line) => line.startsWith('+++ b/')).map((line) => line.slice('+++ b/'.length));
  return { name: name.replace(/\.patch$/, ''), path: join(HERE, name), rule, tests: tests.split(' '), files };
}

/** A copy of the project to work in; packages are shared. */
function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'pilotwire-mutants-'));
  const isLeftOut = (path) =>
    /^(\.git|node_modules|dist|bindings\/node\/addon\/build|\.cache)(\/|$)/.test(
      relative(ROOT, path).split(sep).join('/'),
    );
  cpSync(ROOT, copy, { recursive: true, filter: (path) => !isLeftOut(path) });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Runs a command in a group of its own, which is ended as a whole. */
function run(cwd, args, limitMs = LIMIT_MS) {
  return new Promise((done) => {
    const child = spawn(process.execPath, args, { cwd, stdio: 'ignore', detached: true });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      process.kill(-child.pid, 'SIGKILL');
    }, limitMs);
    child.on('close', (code) => {
      clearTimeout(timer);
      done({ isGreen: code === 0, isLate });
    });
  });
}

/** Runs tests. @returns The names of those that failed and of those that passed, or undefined when they did not end. */
async function runTests(copy, files, expected = files) {
  const report = `${copy}.json`;
  rmSync(report, { force: true });
  const vitest = join('node_modules', 'vitest', 'vitest.mjs');
  const options = ['--reporter=json', `--outputFile.json=${report}`];
  const limitMs = files.length === 0 ? SUITE_LIMIT_MS : LIMIT_MS;
  const { isLate } = await run(copy, [vitest, 'run', ...files, ...options], limitMs);
  if (isLate) return undefined;
  const failed = [];
  const passed = [];
  let text = '';
  try {
    text = readFileSync(report, 'utf8');
  } catch {
    return { failed: ['(no report)'], passed };
  }
  for (const { name, status, assertionResults } of JSON.parse(text).testResults) {
    const file = relative(copy, name);
    // A file that does not load fails without a test of its own.
    if (status === 'failed' && assertionResults.length === 0) failed.push(`${file}${LOST}`);
    for (const { fullName, status: outcome } of assertionResults) {
      if (outcome === 'failed') failed.push(`${file}: ${fullName}`);
      if (outcome === 'passed') passed.push(`${file}: ${fullName}`);
    }
  }
  // Nor does one whose process ended, for want of memory or otherwise.
  const reported = new Set([...failed, ...passed].map(fileOf));
  for (const file of expected) if (!reported.has(file)) failed.push(`${file}${LOST}`);
  return { failed, passed };
}

const fileOf = (name) => name.slice(0, name.indexOf(':'));

/** Whether a test was green before. A file without results may have held any. */
function wasGreen(baseline, name) {
  if (!name.endsWith(LOST)) return baseline.has(name) || name === '(no report)';
  return [...baseline].some((other) => fileOf(other) === fileOf(name));
}

/** Applies one patch, looks whether anything turns red, and puts the copy back. */
async function judge(copy, mutant, baseline) {
  const applied = spawnSync('git', ['apply', '--whitespace=nowarn', mutant.path], { cwd: copy, encoding: 'utf8' });
  if (applied.status !== 0) return { verdict: 'error', by: `does not apply: ${applied.stderr.trim().split('\n')[0]}` };
  const touchesWasm = mutant.files.some((file) => file.startsWith('assembly/'));
  try {
    if (touchesWasm && !(await run(copy, ['build.mjs', 'wasm'])).isGreen) {
      return { verdict: 'error', by: 'does not compile' };
    }
    for (const files of flags.named ? [mutant.tests] : [mutant.tests, []]) {
      const expected = files.length > 0 ? files : new Set([...baseline].map(fileOf));
      const result = await runTests(copy, files, expected);
      if (result === undefined) return { verdict: 'killed', by: 'a test that never ends' };
      const red = result.failed.filter((name) => wasGreen(baseline, name));
      if (red.length > 0) return { verdict: 'killed', by: `${files.length === 0 ? 'elsewhere: ' : ''}${red[0]}` };
    }
    return { verdict: 'survived', by: '' };
  } finally {
    const touched = touchesWasm ? [...mutant.files, 'src/engine/binary.ts'] : mutant.files;
    for (const file of touched) cpSync(join(baselineCopy, file), join(copy, file));
  }
}

/** Throws the copies away. */
function clear() {
  for (const copy of [baselineCopy, ...copies]) {
    rmSync(`${copy}.json`, { force: true });
    if (!flags.keep) rmSync(copy, { recursive: true, force: true });
  }
}

const mutants = findMutants(flags.only);
const jobs = Math.max(1, Number.parseInt(flags.jobs, 10));
const copies = [];
// The first copy stays as it is: the project may be worked on while this runs.
const baselineCopy = makeCopy();
for (let i = 0; i < jobs; i++) {
  const copy = mkdtempSync(join(tmpdir(), 'pilotwire-mutants-'));
  cpSync(baselineCopy, copy, { recursive: true, verbatimSymlinks: true });
  copies.push(copy);
}
let stop = false;
process.on('SIGINT', () => {
  stop = true;
});

const first = flags.named ? [...new Set(mutants.flatMap(({ tests }) => tests))] : [];
console.log(
  `${mutants.length} mutants; ${first.length === 0 ? 'the whole suite' : 'their tests'} without any of them first`,
);
const before = await runTests(copies[0], first);
if (before === undefined || before.passed.length === 0) {
  console.log('The tests do not run without a mutant either');
  clear();
  process.exit(1);
}
for (const name of before.failed) console.log(`RED WITHOUT A MUTANT: ${name}`);
const baseline = new Set(before.passed);

const results = [];
const queue = [...mutants];
async function work(copy) {
  for (let mutant = queue.shift(); mutant !== undefined && !stop; mutant = queue.shift()) {
    const start = Date.now();
    const result = await judge(copy, mutant, baseline);
    const seconds = ((Date.now() - start) / 1000).toFixed(1);
    results.push({ ...mutant, ...result });
    console.log(`${result.verdict.padEnd(8)} ${mutant.name.padEnd(44)} ${seconds.padStart(6)} s  ${result.by}`);
  }
}
await Promise.all(copies.map(work));
clear();

const of = (verdict) => results.filter((result) => result.verdict === verdict);
for (const verdict of ['survived', 'error']) {
  if (of(verdict).length > 0) console.log(`\n${verdict}:`);
  for (const { name, rule, by } of of(verdict)) console.log(`  ${name}: ${rule}${by === '' ? '' : ` (${by})`}`);
}
if (of('error').length > 0) console.log(`${of('error').length} errors`);
console.log(`${of('killed').length} killed, ${of('survived').length} survived`);
process.exitCode = of('killed').length === mutants.length && mutants.length > 0 ? 0 : 1;
