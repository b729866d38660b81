// Debian's packages, for what npm does not have. Nobody expects a test or a bench to change the system, so nothing is
// installed but where that was asked for.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Whether packages may be installed: CI=true or PILOTWIRE_INSTALL=1, and the user is root. */
export function mayInstall({ env = process.env, isRoot = process.getuid?.() === 0 } = {}) {
  return isRoot && (env.CI === 'true' || env.PILOTWIRE_INSTALL === '1');
}

/** Installs packages with apt-get. @returns Whether that worked. */
export function aptInstall(packages, env = process.env) {
  // Its report goes where errors go: the caller's output is a result.
  const options = { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: ['ignore', 2, 2] };
  const run = (...args) => spawnSync('apt-get', args, options).status === 0;
  return run('update') && run('install', '--yes', '--no-install-recommends', ...packages);
}

/** The files on PATH with that name which may be executed, in order. */
export function onPath(name, env = process.env) {
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).filter(isExecutable);
}

/** Whether there is such a file. */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
