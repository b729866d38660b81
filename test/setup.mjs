// Runs once before all tests: bundles what tests start as separate processes, so that they never run a stale build.
import { bundle } from '../build.mjs';

export default async function setup() {
  await bundle();
}
