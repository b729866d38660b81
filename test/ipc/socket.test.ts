// The control socket of Node, as the operating system sees it.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectControl, listenControl } from '../../bindings/node/ipc.ts';
import type { ControlClock, ControlHandler, ControlLink, ControlListener } from '../../src/ipc/link.ts';
import { COMMAND, emitInfo } from '../../src/ipc/messages.ts';
import { ControlServer } from '../../src/ipc/server.ts';
import { framesOf, TestControl } from './rig.ts';
import { temporaryDirectory } from './temporary.ts';

const mode = (path: string): number => statSync(path).mode & 0o777;
const IGNORE: ControlHandler = { data() {}, drain() {}, closed() {} };
const CLOCK: ControlClock = {
  now: () => performance.now(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

let path: string;
const listeners: ControlListener[] = [];

beforeEach(() => {
  path = join(temporaryDirectory(), 'agent', 'pilot.sock');
});

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
});

async function listen(accept: (link: ControlLink) => ControlHandler = () => IGNORE): Promise<ControlListener> {
  const listener = await listenControl(path, accept);
  listeners.push(listener);
  return listener;
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  );

describe('the place', () => {
  test('folder 0700, socket 0600, and nothing beside it', async () => {
    await listen();
    expect(mode(dirname(path))).toBe(0o700);
    expect(mode(path)).toBe(0o600);
    expect(readdirSync(dirname(path))).toEqual(['pilot.sock']);
  });

  test('a folder that others may enter is refused', async () => {
    mkdirSync(dirname(path), { recursive: true });
    chmodSync(dirname(path), 0o750);
    expect(await codeOf(listen())).toBe('IDENTITY_INVALID');
    expect(existsSync(path)).toBe(false);
  });

  test('a path that no socket can have is refused, not cut', async () => {
    path = join(dirname(path), 'x'.repeat(100), 'pilot.sock');
    expect(await codeOf(listen())).toBe('IDENTITY_INVALID');
    expect(await codeOf(connectControl(path, IGNORE))).toBe('IDENTITY_INVALID');
  });

  test('close() takes the name away, but not that of a successor', async () => {
    const first = await listen();
    await first.close();
    expect(existsSync(path)).toBe(false);
    const second = await listen();
    await first.close();
    expect(existsSync(path)).toBe(true);
    const beside = join(dirname(path), 'other.sock');
    await leaveSocket(beside);
    renameSync(beside, path);
    await second.close();
    expect(existsSync(path)).toBe(true);
  });

  test('a second listener is refused while the first one lives', async () => {
    await listen();
    expect(await codeOf(listen())).toBe('PORT_IN_USE');
    const link = await connectControl(path, IGNORE);
    expect(link).toBeDefined();
    link?.destroy();
  });

  test('the socket of a dead process is replaced', async () => {
    mkdirSync(dirname(path), { mode: 0o700 });
    await leaveSocket(path);
    expect(existsSync(path)).toBe(true);
    expect(await connectControl(path, IGNORE)).toBeUndefined();
    await listen();
    expect(await connectControl(path, IGNORE)).toBeDefined();
  });

  test('nobody there, no socket there: undefined', async () => {
    expect(await connectControl(path, IGNORE)).toBeUndefined();
    mkdirSync(dirname(path), { mode: 0o700 });
    writeFileSync(path, 'not a socket');
    expect(await connectControl(path, IGNORE)).toBeUndefined();
  });

  test.runIf(process.getuid?.() === 0)('a socket of another user is not trusted', async () => {
    const { chownSync, lchownSync } = await import('node:fs');
    await listen();
    chownSync(path, 12_345, 12_345);
    expect(await codeOf(connectControl(path, IGNORE))).toBe('IDENTITY_INVALID');
    // Nor a link that another user made to one of ours.
    chownSync(path, 0, 0);
    const link = join(dirname(path), 'link.sock');
    symlinkSync(path, link);
    lchownSync(link, 12_345, 12_345);
    expect(await codeOf(connectControl(link, IGNORE))).toBe('IDENTITY_INVALID');
  });
});

describe('the server behind it', () => {
  test('a client that does not read is cut off', async () => {
    const control = new TestControl();
    const text = 'x'.repeat(1_000_000);
    control.info = async () => ({ text });
    const server = new ControlServer(control, CLOCK, { writeTimeoutMs: 100 });
    await listen((link) => server.accept(link));
    const socket = connect(path).pause();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    for (let i = 0; i < 300; i++) socket.write(emitInfo());
    await expect.poll(() => server.stats().slowClients).toBe(1);
    expect(server.stats().clients).toBe(0);
    // What the system held for us is ours; then comes the end.
    socket.resume();
    await closed;
    expect(server.stats().pauses).toBeGreaterThan(0);
  });

  test('a client that reads late gets every answer whole and in order', async () => {
    const control = new TestControl();
    let count = 0;
    control.info = async () => ({ count: count++, text: 'x'.repeat(200_000) });
    const server = new ControlServer(control, CLOCK);
    await listen((link) => server.accept(link));
    const received: Buffer[] = [];
    const socket: Socket = connect(path).pause();
    socket.on('data', (data) => received.push(data));
    for (let i = 0; i < 40; i++) socket.write(emitInfo());
    await expect.poll(() => server.stats().pauses).toBeGreaterThan(0);
    socket.resume();
    await expect.poll(() => framesOf(...received).length).toBe(40);
    const numbers = framesOf(...received).map(({ command, payload }) => {
      expect(command).toBe(COMMAND.infoAnswer);
      return (JSON.parse(new TextDecoder().decode(payload)) as { count: number }).count;
    });
    expect(numbers).toEqual([...numbers.keys()]);
    socket.destroy();
    await expect.poll(() => server.stats().clients).toBe(0);
  });
});

/** A process that binds a socket and dies without a word. */
async function leaveSocket(where: string): Promise<void> {
  const code = `require('net').createServer().listen(${JSON.stringify(where)}, () => process.kill(process.pid, 'SIGKILL'))`;
  const child: ChildProcess = spawn(process.execPath, ['-e', code]);
  await new Promise((resolve) => child.once('close', resolve));
}
