// Where Chromium is, for all that runs in a page. A machine may have it already; Debian's is installed only where that was
// asked for, since nobody expects a test to change the system.
import { spawnSync } from 'node:child_process';
import { aptInstall, isExecutable, mayInstall, onPath } from './debian.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const HINT = "install Debian's package chromium, or let CHROMIUM_PATH name an executable";

/**
 * Finds a Chromium that starts: CHROMIUM_PATH, else the first of three names on PATH. Where there is none, CI=true or
 * PILOTWIRE_INSTALL=1 and the user is root, it is installed with apt-get, which takes a minute.
 *
 * @returns `path`, `version` such as `156.0.8078.79` and the `args` that it needs here; or `missing`, one line that says why
 *   there is none and what to do.
 */
export function findChromium({ env = process.env, isRoot = process.getuid?.() === 0 } = {}) {
  const named = env.CHROMIUM_PATH;
  // Who names one wants that one: another in its place would be a surprise.
  if (named) return started(named, { env, isRoot }) ?? { missing: `CHROMIUM_PATH=${named} is no Chromium that starts` };
  const found = firstOnPath({ env, isRoot });
  if (found !== undefined) return found;
  if (!mayInstall({ env, isRoot })) return { missing: `No Chromium on this machine: ${HINT}` };
  if (!aptInstall(['chromium'], env)) return { missing: `apt-get could not install chromium: ${HINT}` };
  return firstOnPath({ env, isRoot }) ?? { missing: `The installed chromium does not start: ${HINT}` };
}

function firstOnPath(where) {
  for (const name of NAMES) {
    for (const path of onPath(name, where.env)) {
      const found = started(path, where);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** That one, if it tells its version: a name may also stand for a script that only says where to get it. */
function started(path, { env, isRoot }) {
  if (!isExecutable(path)) return undefined;
  const { status, stdout } = spawnSync(path, ['--version'], { env, encoding: 'utf8', timeout: 30_000 });
  const version = /\d+(\.\d+)+/.exec(stdout ?? '')?.[0];
  if (status !== 0 || version === undefined) return undefined;
  // Its sandbox needs to change the user, and root's it refuses to change.
  return { path, version, args: isRoot ? ['--no-sandbox'] : [] };
}
