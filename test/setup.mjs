// Runs once before all tests: bundles what tests start as separate processes, so that they never run a stale build,
// and builds the addon where there is a compiler.
import { buildAddon } from '../bindings/node/addon/build.mjs';
import { bundle } from '../build.mjs';

export default async function setup() {
  await bundle();
  const mayInstall = process.getuid?.() === 0 && (process.env.CI === 'true' || process.env.PILOTWIRE_INSTALL === '1');
  const { missing, hasFailed } = buildAddon({ mayInstall });
  if (hasFailed) throw new Error(missing);
  // Its tests are skipped, which is a failure where CI=true (run.mjs).
  if (missing !== undefined) console.log(`SKIPPED: the tests of the addon. ${missing}`);
}
