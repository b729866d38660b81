/**
 * Small files with secrets in them: read with a look at who else may, written so that a crash leaves the old or the
 * new one, and locked against a second agent. Modes are those of POSIX; Windows keeps a user's directory private by
 * other means. Node has no `flock`, so a lock is a file that names its holder.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, linkSync, openSync, readFileSync, renameSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Files } from '../../src/carrier/host.ts';
import type { Millis } from '../../src/config.ts';
import { PilotError } from '../../src/errors.ts';

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
const OTHERS_MAY = 0o077;
/** A lock file that cannot be parsed is one just being written, until it is this old. */
const TORN_LOCK_MS: Millis = 5_000;
/** Rounds against others who take the same stale lock; every round but the last ends with somebody holding it. */
const LOCK_ROUNDS = 4;

/** Who holds a lock; the text of the lock file, as JSON. */
interface Holder {
  readonly pid: number;
  /** Clock ticks from boot to the start of the process, and which boot: a later process with that pid differs. */
  readonly startTime?: string;
  readonly boot?: string;
  /** Tells this lock from every other. */
  readonly token: string;
}

/** Files of the operating system, for one host. */
export function createFiles(): Files {
  return new NodeFiles();
}

class NodeFiles implements Files {
  /** The last write to each path, so that two writes land in the order of the calls. */
  readonly #writes = new Map<string, Promise<void>>();

  async read(path: string, options: { secret?: boolean } = {}): Promise<Uint8Array | undefined> {
    try {
      const file = await open(path, 'r');
      try {
        const status = await file.stat();
        if (!status.isFile()) throw new PilotError('IDENTITY_INVALID', `Cannot read ${path}: not a file`);
        if (options.secret) refuseShared(path, status.mode);
        return await file.readFile();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw ourError(`Cannot read ${path}`, error);
    }
  }

  async writeAtomic(path: string, bytes: Uint8Array): Promise<void> {
    const key = resolve(path);
    // The caller may change its bytes as soon as this returns, and the write may have to wait.
    const copy = Uint8Array.from(bytes);
    const before = this.#writes.get(key) ?? Promise.resolve();
    const write = before
      .catch(() => {})
      .then(() => replace(path, copy))
      .finally(() => {
        copy.fill(0);
        if (this.#writes.get(key) === write) this.#writes.delete(key);
      });
    this.#writes.set(key, write);
    await write;
  }

  async lock(path: string): Promise<() => Promise<void>> {
    await makeDirectory(path);
    const lockPath = `${resolve(path)}.lock`;
    const token = acquire(path, lockPath);
    holdUntilExit(lockPath, token);
    return async () => release(lockPath, token);
  }
}

function refuseShared(path: string, mode: number): void {
  if (process.platform === 'win32' || (mode & OTHERS_MAY) === 0) return;
  const shown = (mode & 0o777).toString(8).padStart(4, '0');
  throw new PilotError('IDENTITY_INVALID', `Cannot use ${path}: its mode is ${shown}, wanted 0600`, {
    hint: `others may have read the key; if not: chmod 600 ${path}`,
  });
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  } catch (error) {
    throw ourError(`Cannot make ${dirname(path)}`, error);
  }
}

async function replace(path: string, bytes: Uint8Array): Promise<void> {
  await makeDirectory(path);
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`);
  try {
    const file = await open(beside, 'wx', FILE_MODE);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await unlink(beside).catch(() => {});
    throw ourError(`Cannot write ${path}`, error);
  }
  await syncDirectory(dirname(path));
}

/** Makes the new name last through a power cut; some systems do not open directories, and the file is there anyway. */
async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch {
    return;
  }
}

/** Takes the lock. All of it is synchronous, to keep the moments between look and deed short. */
function acquire(path: string, lockPath: string): string {
  const own = describe(process.pid, randomBytes(16).toString('hex'));
  let pid: number | undefined;
  try {
    for (let round = 0; round < LOCK_ROUNDS; round++) {
      if (createLock(lockPath, JSON.stringify(own))) return own.token;
      const text = readLock(lockPath);
      if (text === undefined) continue;
      const holder = parseHolder(text);
      pid = holder?.pid;
      if (holder === undefined ? !isOld(lockPath) : isAlive(holder)) break;
      removeStale(lockPath, text);
    }
  } catch (error) {
    throw ourError(`Cannot lock ${path}`, error);
  }
  throw new PilotError(
    'IDENTITY_IN_USE',
    `Cannot lock ${path}: held by ${pid ? `process ${pid}` : 'another process'}`,
    {
      hint: `end that process or take another identity; if no agent runs: remove ${lockPath}`,
    },
  );
}

function createLock(lockPath: string, text: string): boolean {
  let file: number;
  try {
    file = openSync(lockPath, 'wx', FILE_MODE);
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
  try {
    writeSync(file, text);
  } finally {
    closeSync(file);
  }
  return true;
}

function readLock(lockPath: string): string | undefined {
  try {
    return readFileSync(lockPath, 'latin1');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    if (!Number.isSafeInteger(value?.pid) || value!.pid! <= 0 || typeof value!.token !== 'string') return undefined;
    return value as Holder;
  } catch {
    return undefined;
  }
}

function isOld(lockPath: string): boolean {
  try {
    return Date.now() - statSync(lockPath).mtimeMs > TORN_LOCK_MS;
  } catch {
    return true;
  }
}

function describe(pid: number, token: string): Holder {
  const running = linuxProcess(pid);
  return running === undefined ? { pid, token } : { pid, token, startTime: running.startTime, boot: running.boot };
}

/** Whether the process that wrote this runs. In doubt it does: two agents with one key are worse than a refusal. */
function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (isCode(error, 'ESRCH')) return false;
  }
  const running = linuxProcess(holder.pid);
  if (running === undefined || holder.startTime === undefined) return true;
  if (running.state === 'Z' || running.state === 'X') return false;
  return running.startTime === holder.startTime && running.boot === holder.boot;
}

/** proc(5): the name in field 2 may hold blanks and parentheses; behind the last one stand field 3, the state, to 22. */
function linuxProcess(pid: number): { state: string; startTime: string; boot: string } | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    const [state, startTime] = [fields[0], fields[19]];
    return state === undefined || startTime === undefined ? undefined : { state, startTime, boot };
  } catch {
    return undefined;
  }
}

/** Moves the lock away first: of several who found it stale, one moves it, and sees whether it is what was judged. */
function removeStale(lockPath: string, judged: string): void {
  const aside = `${lockPath}.${randomBytes(8).toString('hex')}`;
  try {
    renameSync(lockPath, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  try {
    if (readLock(aside) !== judged) linkSync(aside, lockPath);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    unlinkSync(aside);
  }
}

/**
 * Locks of this process, path → token. Module state, because the exit is the process's and one listener must do for
 * any number of hosts.
 */
const HELD = new Map<string, string>();

function holdUntilExit(lockPath: string, token: string): void {
  if (HELD.size === 0) process.on('exit', releaseAll);
  HELD.set(lockPath, token);
}

function release(lockPath: string, token: string): void {
  if (HELD.get(lockPath) !== token) return;
  HELD.delete(lockPath);
  if (HELD.size === 0) process.off('exit', releaseAll);
  removeOwn(lockPath, token);
}

function releaseAll(): void {
  for (const [lockPath, token] of HELD) removeOwn(lockPath, token);
}

/** A lock that somebody removed by hand and another agent took again is not ours to remove. */
function removeOwn(lockPath: string, token: string): void {
  try {
    if (parseHolder(readFileSync(lockPath, 'latin1'))?.token === token) unlinkSync(lockPath);
  } catch {
    // Gone, or its directory is; a leftover names a process that has ended.
  }
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === code;
}

function ourError(action: string, cause: unknown): PilotError {
  if (cause instanceof PilotError) return cause;
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new PilotError('IDENTITY_INVALID', `${action}: ${reason}`, { cause });
}
