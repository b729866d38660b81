// Installs what the benches compare with into .cache/bench. The runtimes that they run on are those of test/runtime.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installLocked } from '../test/runtime/install.mjs';

const BENCH = dirname(fileURLToPath(import.meta.url));

/** Where the peers are: a folder with a package.json and node_modules. */
export const CACHE = join(dirname(BENCH), '.cache/bench');

/**
 * Installs what the lock file says, unless it is there already.
 *
 * @param isWhole - Also the peers of bench/flow, which are ten times as much.
 */
export function install({ isWhole = false } = {}) {
  installLocked(BENCH, CACHE, isWhole);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) install();
