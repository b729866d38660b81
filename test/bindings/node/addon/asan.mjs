// `npm run test:asan`: the addon under AddressSanitizer and UndefinedBehaviorSanitizer, through its tests, those of the
// engine, and the program that opens, floods, closes, exits and ends workers. Any report is a failure.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAddon } from '../../../../bindings/node/addon/build.mjs';
import { bundleLife } from './program.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../../..');
const TESTS = [
  'test/bindings/node/addon/aead.test.ts',
  'test/bindings/node/addon/udp.test.ts',
  'test/engine/batch.test.ts',
];
const LIVES = ['exit', 'worker', 'close', 'idle'];
const REPORT = /AddressSanitizer|runtime error:/;

const { path, missing } = buildAddon({ isSanitized: true });
if (missing !== undefined) {
  console.log(`SKIPPED: ${missing}`);
  process.exit(process.env.CI === 'true' ? 1 : 0);
}

const library = execFileSync(process.env.CXX || 'c++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
const env = {
  ...process.env,
  PILOTWIRE_ADDON: path,
  LD_PRELOAD: library,
  // V8 uses SIGSEGV for the bounds of Wasm memory, and does not give back what it holds at the end.
  ASAN_OPTIONS: 'detect_leaks=0:handle_segv=0:allow_user_segv_handler=1:abort_on_error=0:exitcode=99',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1:exitcode=99',
};
let failed = 0;
let passed = 0;

function check(what, args, expected) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, env, encoding: 'utf8' });
  const output = stdout + stderr;
  if (status === expected && !REPORT.test(output)) {
    passed += 1;
    return;
  }
  failed += 1;
  console.log(`FAILED: ${what}: ${status}\n${output.slice(-8_000)}`);
}

const directory = mkdtempSync(join(tmpdir(), 'pilotwire-asan-'));
try {
  const program = await bundleLife(directory);
  for (const wait of ['libuv', 'thread']) {
    for (const what of LIVES)
      check(`${what} by ${wait}`, ['--expose-gc', program, what, wait], what === 'exit' ? 7 : 0);
  }
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  check('tests', [vitest, 'run', '--testTimeout=300000', ...TESTS], 0);
} finally {
  rmSync(directory, { recursive: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
