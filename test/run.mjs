// `npm test`: formatter, linter and types, then every test, then the package on every runtime. Ends with one line that
// sums all runners; a skipped test counts as failed where CI=true.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testRuntimes } from './runtime/run.mjs';

const directory = mkdtempSync(join(tmpdir(), 'pilotwire-test-'));
const report = join(directory, 'report.json');
const isStrict = process.env.CI === 'true';

function run(command, args) {
  return spawnSync(command, args, { stdio: 'inherit' }).status === 0;
}

let passed = 0;
let failed = 0;
let skipped = 0;

if (run('npm', ['run', '--silent', 'lint'])) passed += 1;
else failed += 1;

const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const isGreen = run('npx', ['--no-install', 'vitest', 'run', ...reporters, ...process.argv.slice(2)]);
try {
  const result = JSON.parse(readFileSync(report, 'utf8'));
  passed += result.numPassedTests;
  failed += result.numFailedTests;
  skipped += result.numPendingTests + result.numTodoTests;
  // A file that could not be loaded fails without a test of its own.
  if (!isGreen && result.numFailedTests === 0) failed += 1;
} catch {
  failed += 1;
}
rmSync(directory, { recursive: true, force: true });

// Arguments choose some of vitest's files; who wants those has no use for the rest.
if (process.argv.length === 2) {
  const runtimes = await testRuntimes();
  passed += runtimes.passed;
  failed += runtimes.failed;
  skipped += runtimes.skipped;
}

if (isStrict) failed += skipped;
else if (skipped > 0) console.log(`SKIPPED: ${skipped} tests`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
