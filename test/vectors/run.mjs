// `npm run vectors -- DIR`: every check of recorded vectors, over the files of another folder in the same formats; without
// DIR over this one. Ends with `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, '../..');
/** Tests that read vectors say so in their names. */
const NAMES = 'recorded|published case';
const FILES = [
  ...['test/wire/', 'test/engine/', 'test/assembly/', 'test/server/', 'test/core/', 'test/replay/', 'test/ipc/'],
  'test/bindings/node/keys.test.ts',
];
/** The files that are checked; sessions besides, as many as there are. */
const CHECKED = [
  ...['addresses', 'socket-addresses', 'packets', 'packets-malformed', 'tunnel-keyexchange', 'tunnel-frames'],
  ...['tunnel-replay-window', 'stream-sack', 'identity', 'handshake-444', 'beacon', 'registry-binary', 'registry-json'],
];

const folder = resolve(process.argv[2] ?? HERE);
if (!existsSync(folder) || !statSync(folder).isDirectory()) {
  console.error(`No such folder: ${folder}`);
  console.log('0 passed, 1 failed');
  process.exit(1);
}
const absent = CHECKED.filter((name) => !existsSync(join(folder, `${name}.json`)));
const sessions = readdirSync(folder).filter((name) => name.endsWith('.pcap'));
console.log(`Vectors of ${folder}: ${CHECKED.length - absent.length} files, ${sessions.length} sessions`);
for (const name of absent) console.log(`MISSING: ${name}.json`);

const directory = mkdtempSync(join(tmpdir(), 'pilotwire-vectors-'));
const report = join(directory, 'report.json');
const options = ['--reporter=json', `--outputFile.json=${report}`, '--passWithNoTests'];
const run = spawnSync('npx', ['--no-install', 'vitest', 'run', ...FILES, '-t', NAMES, ...options], {
  cwd: ROOT,
  env: { ...process.env, PILOTWIRE_VECTORS: folder },
  encoding: 'utf8',
});

let passed = 0;
let failed = 0;
try {
  for (const file of JSON.parse(readFileSync(report, 'utf8')).testResults) {
    const results = file.assertionResults;
    passed += results.filter(({ status }) => status === 'passed').length;
    const red = results.filter(({ status }) => status === 'failed');
    for (const { fullName, failureMessages } of red) {
      console.log(`FAILED: ${fullName}\n${indented(failureMessages[0] ?? '')}`);
    }
    failed += red.length;
    // A file that could not be loaded has no tests of its own.
    if (file.status === 'failed' && red.length === 0) {
      failed += 1;
      console.log(`FAILED: ${file.name}\n${indented(file.message ?? '')}`);
    }
  }
} catch {
  failed += 1;
  console.log(run.stdout, run.stderr);
}
rmSync(directory, { recursive: true, force: true });

if (run.status !== 0 && failed === 0) failed += 1;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** The first lines of a message. */
function indented(text) {
  const lines = text.split('\n').slice(0, 12);
  return lines.map((line) => `    ${line}`).join('\n');
}
