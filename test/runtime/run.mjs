// The package as others get it: packed, installed into an empty project, and used on every runtime.
//
//   npm run test:runtime                       everything
//   npm run test:runtime -- --runtime deno,bun     the smoke suite on some, without the checkers
//
// A runtime that cannot be had is skipped with a line that says so; where CI=true that is a failure.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runChecks } from './checks.mjs';
import { install, runtimes } from './install.mjs';
import { runSmoke } from './pairs.mjs';
import { createProject } from './project.mjs';

/** @returns How many passed, failed and were skipped. */
export async function testRuntimes(wanted) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const count = (what, step, error) => {
    if (error === undefined) total.passed += 1;
    else total.failed += 1;
    if (error !== undefined) console.log(`FAILED: ${what}: ${step}\n${error}`);
  };
  const skip = (what) => {
    total.skipped += 1;
    console.log(`SKIPPED: ${what}`);
  };
  const hasCheckers = installed();
  let project;
  try {
    project = await createProject();
    const commands = new Map();
    for (const { name, command } of runtimes()) {
      if (wanted !== undefined && !wanted.includes(name)) continue;
      if (command !== undefined) commands.set(name, command);
      else skip(`${name} is not installed; nothing was tested on it`);
    }
    const startedAt = performance.now();
    await runSmoke(commands, project.directory, count);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(`Smoke suite on ${[...commands.keys()].join(', ')}: ${seconds} s`);
    if (!hasCheckers) skip('what checks the package is not installed');
    else if (wanted === undefined) await runChecks(project, commands, count);
  } catch (error) {
    count('package', 'is packed, installed and run', error.stack);
  } finally {
    project?.remove();
  }
  return total;
}

/** Whether all could be installed. */
function installed() {
  try {
    install({ checkers: true });
    return true;
  } catch (error) {
    console.log(`Cannot install runtimes and checkers: ${error.message}`);
    return false;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { runtime: { type: 'string' } } });
  const { passed, failed, skipped } = await testRuntimes(values.runtime?.split(','));
  const failures = process.env.CI === 'true' ? failed + skipped : failed;
  console.log(`${passed} passed, ${failures} failed`);
  process.exitCode = failures === 0 && passed > 0 ? 0 : 1;
}
