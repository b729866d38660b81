import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createFiles } from '../../../bindings/node/files.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const isLinux = process.platform === 'linux';
const isPosix = process.platform !== 'win32';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const mode = (path: string): number => statSync(path).mode & 0o777;

let base: string;
let directory: string;
let count = 0;
/** A program that locks the path it is given, says so, and holds it until its input ends (or as its second argument says). */
let locker: string;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'pilotwire-files-'));
  locker = join(base, 'locker.mjs');
  await build({
    stdin: { contents: LOCKER, resolveDir: ROOT, loader: 'ts' },
    outfile: locker,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
  });
});

afterAll(() => rmSync(base, { recursive: true }));

beforeEach(() => {
  directory = join(base, `${count++}`);
  mkdirSync(directory);
});

const LOCKER = `
import { createFiles } from './bindings/node/files.ts';
const [path, end] = process.argv.slice(2);
createFiles().lock(path).then((unlock) => {
  console.log('locked');
  if (end === 'exit') process.exit(0);
  process.stdin.resume().on('end', () => unlock());
}, (error) => console.log(error.code));
`;

/** Starts the program and waits for its first line. */
async function lockElsewhere(path: string): Promise<{ child: ChildProcess; answer: string }> {
  const child = spawn(process.execPath, [locker, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answer = await new Promise<string>((resolve) => {
    child.stdout!.once('data', (data) => resolve(String(data).trim()));
  });
  return { child, answer };
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

describe('read and writeAtomic', () => {
  test('a file that does not exist is undefined', async () => {
    expect(await createFiles().read(join(directory, 'none'))).toBeUndefined();
    expect(await createFiles().read(join(directory, 'no', 'directory'), { secret: true })).toBeUndefined();
  });

  test('what was written is read, also over an older file, and nothing is left beside it', async () => {
    const files = createFiles();
    const path = join(directory, 'state');
    await files.writeAtomic(path, bytes('a longer first text'));
    await files.writeAtomic(path, bytes('second'));
    expect(Buffer.from((await files.read(path))!).toString()).toBe('second');
    expect(readdirSync(directory)).toEqual(['state']);
  });

  test.runIf(isPosix)('files get mode 0600 and directories made for them 0700, whatever was there', async () => {
    const files = createFiles();
    const path = join(directory, 'home', 'alice', 'identity.json');
    await files.writeAtomic(path, bytes('{}'));
    expect(mode(path)).toBe(0o600);
    expect(mode(join(directory, 'home'))).toBe(0o700);
    expect(mode(join(directory, 'home', 'alice'))).toBe(0o700);
    chmodSync(path, 0o666);
    await files.writeAtomic(path, bytes('{}'));
    expect(mode(path)).toBe(0o600);
  });

  test('two writes at once land in the order of the calls', async () => {
    const files = createFiles();
    const path = join(directory, 'state');
    await Promise.all([files.writeAtomic(path, new Uint8Array(4 << 20)), files.writeAtomic(path, bytes('last'))]);
    expect(readFileSync(path, 'utf8')).toBe('last');
  });

  test('the bytes may change as soon as writeAtomic() returned its promise', async () => {
    const path = join(directory, 'state');
    const text = bytes('as it was');
    const written = createFiles().writeAtomic(path, text);
    text.fill(0);
    await written;
    expect(readFileSync(path, 'utf8')).toBe('as it was');
  });

  test('a write that fails leaves the old file, nothing beside it, and later writes work', async () => {
    const files = createFiles();
    const path = join(directory, 'taken');
    mkdirSync(join(path, 'full'), { recursive: true });
    await expect(files.writeAtomic(path, bytes('x'))).rejects.toMatchObject({ name: 'PilotError' });
    expect(readdirSync(directory)).toEqual(['taken']);
    rmSync(path, { recursive: true });
    await files.writeAtomic(path, bytes('y'));
    expect(readFileSync(path, 'utf8')).toBe('y');
  });

  test('a write that waited behind one that failed is made', async () => {
    const files = createFiles();
    const path = join(directory, 'taken');
    mkdirSync(join(path, 'full'), { recursive: true });
    const first = files.writeAtomic(path, bytes('x')).catch(() => rmSync(path, { recursive: true }));
    await files.writeAtomic(path, bytes('y'));
    await first;
    expect(readFileSync(path, 'utf8')).toBe('y');
  });

  test.runIf(isPosix).each([0o640, 0o604, 0o660, 0o620, 0o601])(
    'a secret with mode %o is refused, with a hint',
    async (bits) => {
      const path = join(directory, 'identity.json');
      writeFileSync(path, 'secret');
      chmodSync(path, bits);
      await expect(createFiles().read(path, { secret: true })).rejects.toMatchObject({
        code: 'IDENTITY_INVALID',
        hint: expect.stringContaining('chmod 600'),
      });
      expect(Buffer.from((await createFiles().read(path))!).toString()).toBe('secret');
    },
  );

  test.runIf(isPosix).each([0o600, 0o400])('a secret with mode %o is read', async (bits) => {
    const path = join(directory, 'identity.json');
    writeFileSync(path, 'secret');
    chmodSync(path, bits);
    expect(Buffer.from((await createFiles().read(path, { secret: true }))!).toString()).toBe('secret');
  });

  test('a directory is no secret file', async () => {
    await expect(createFiles().read(directory, { secret: true })).rejects.toMatchObject({ code: 'IDENTITY_INVALID' });
  });
});

describe('lock', () => {
  test('two hosts in one process exclude each other', async () => {
    const path = join(directory, 'identity.json');
    const unlock = await createFiles().lock(path);
    await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
    await unlock();
    const again = await createFiles().lock(path);
    // The first holder's function is spent: it must not release the second's lock, nor its release at exit.
    const listeners = process.listenerCount('exit');
    await unlock();
    expect(process.listenerCount('exit')).toBe(listeners);
    await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
    await again();
    expect(readdirSync(directory)).toEqual([]);
  });

  test('two paths do not exclude each other', async () => {
    const files = createFiles();
    const unlocks = [await files.lock(join(directory, 'alice')), await files.lock(join(directory, 'bob'))];
    for (const unlock of unlocks) await unlock();
  });

  test('another process is excluded while we hold, and we are while it holds', async () => {
    const path = join(directory, 'identity.json');
    const unlock = await createFiles().lock(path);
    const refused = await lockElsewhere(path);
    expect(refused.answer).toBe('IDENTITY_IN_USE');
    refused.child.stdin!.end();
    await unlock();

    const holder = await lockElsewhere(path);
    expect(holder.answer).toBe('locked');
    await expect(createFiles().lock(path)).rejects.toMatchObject({
      code: 'IDENTITY_IN_USE',
      message: expect.stringContaining(`process ${holder.child.pid}`),
    });
    holder.child.stdin!.end();
    await exited(holder.child);
    await (await createFiles().lock(path))();
  });

  test('the lock of a killed process is taken over', async () => {
    const path = join(directory, 'identity.json');
    const { child, answer } = await lockElsewhere(path);
    expect(answer).toBe('locked');
    child.kill('SIGKILL');
    await exited(child);
    expect(existsSync(`${path}.lock`)).toBe(true);
    const unlock = await createFiles().lock(path);
    await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
    await unlock();
    expect(readdirSync(directory)).toEqual([]);
  });

  test.runIf(isLinux)('the lock of a process that ended but was never waited for is taken over', async () => {
    const path = join(directory, 'identity.json');
    // `sleep` becomes the parent of the locker and waits for no child.
    const parent = spawn('sh', ['-c', '"$0" "$1" "$2" exit & exec sleep 30', process.execPath, locker, path]);
    try {
      // Its exit handler removes the lock, so write what a killed one leaves.
      await new Promise((resolve) => parent.stdout.once('data', resolve));
      const children = () => readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, 'utf8').trim();
      const pid = Number(children());
      const fields = (): string[] => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
      while (fields()[0] !== 'Z') await new Promise((resolve) => setImmediate(resolve));
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
      writeFileSync(`${path}.lock`, JSON.stringify({ pid, startTime: fields()[19], boot, token: 'x' }));
      await (await createFiles().lock(path))();
    } finally {
      parent.kill();
    }
  });

  test('a process that exits without unlocking leaves no lock file', async () => {
    const path = join(directory, 'identity.json');
    expect(execFileSync(process.execPath, [locker, path, 'exit']).toString().trim()).toBe('locked');
    expect(readdirSync(directory)).toEqual([]);
  });

  test('a lock whose process id now belongs to a later process is taken over', async () => {
    if (!isLinux) return;
    const path = join(directory, 'identity.json');
    const { child } = await lockElsewhere(path);
    const text = readFileSync(`${path}.lock`, 'utf8');
    const holder = JSON.parse(text);
    expect(holder).toMatchObject({
      pid: child.pid,
      startTime: expect.stringMatching(/^\d+$/),
      boot: expect.any(String),
    });
    for (const change of [{ startTime: `${Number(holder.startTime) - 1}` }, { boot: 'before' }]) {
      writeFileSync(`${path}.lock`, JSON.stringify({ ...holder, ...change }));
      await (await createFiles().lock(path))();
    }
    writeFileSync(`${path}.lock`, text);
    await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
    child.stdin!.end();
    await exited(child);
  });

  test('without a start time a running process id holds the lock', async () => {
    const path = join(directory, 'identity.json');
    writeFileSync(`${path}.lock`, JSON.stringify({ pid: process.pid, token: 'x' }));
    await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
  });

  test.each(['', '{"pid":', 'null', '{"pid":-1,"token":"x"}', '{"pid":1.5,"token":"x"}', '{"pid":1}'])(
    'a lock file of %j is respected while young and taken over when old',
    async (content) => {
      const path = join(directory, 'identity.json');
      writeFileSync(`${path}.lock`, content);
      await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
      utimesSync(`${path}.lock`, 1, 1);
      await (await createFiles().lock(path))();
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  test('unlock() leaves a lock that was removed by hand and taken by another', async () => {
    const path = join(directory, 'identity.json');
    const unlock = await createFiles().lock(path);
    rmSync(`${path}.lock`);
    const { child, answer } = await lockElsewhere(path);
    expect(answer).toBe('locked');
    await unlock();
    await expect(createFiles().lock(path)).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
    child.stdin!.end();
    await exited(child);
  });

  test('of several processes that find a stale lock, one gets it', async () => {
    const path = join(directory, 'identity.json');
    const first = await lockElsewhere(path);
    first.child.kill('SIGKILL');
    await exited(first.child);
    const rivals = await Promise.all(Array.from({ length: 4 }, () => lockElsewhere(path)));
    expect(rivals.map((one) => one.answer).sort()).toEqual([
      'IDENTITY_IN_USE',
      'IDENTITY_IN_USE',
      'IDENTITY_IN_USE',
      'locked',
    ]);
    for (const { child } of rivals) child.stdin!.end();
    for (const { child } of rivals) await exited(child);
  });

  test.runIf(isPosix)('the directory for a lock is made with mode 0700, the lock file with 0600', async () => {
    const path = join(directory, 'alice', 'identity.json');
    const unlock = await createFiles().lock(path);
    expect(mode(join(directory, 'alice'))).toBe(0o700);
    expect(mode(`${path}.lock`)).toBe(0o600);
    await unlock();
  });

  test('many locks in one process add one exit listener', async () => {
    const before = process.listenerCount('exit');
    const unlocks = [];
    for (let i = 0; i < 20; i++) unlocks.push(await createFiles().lock(join(directory, `${i}`)));
    expect(process.listenerCount('exit')).toBe(before + 1);
    for (const unlock of unlocks) await unlock();
    expect(process.listenerCount('exit')).toBe(before);
  });
});
