import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createNodeHost } from '../../../bindings/node/host.ts';

let directory: string;
let program: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilotwire-host-'));
  program = join(directory, 'open.mjs');
  await build({
    stdin: { contents: OPEN, resolveDir: fileURLToPath(new URL('../../../', import.meta.url)), loader: 'ts' },
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['@peculiar/x509'],
    logLevel: 'error',
  });
});

afterAll(() => rmSync(directory, { recursive: true }));

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Opens one of everything, then has nothing to do. */
const OPEN = `
import { createNodeHost } from './bindings/node/host.ts';
const host = createNodeHost({ unref: process.argv[2] === 'unref' });
const nothing = { open() {}, data() {}, drain() {}, closed() {} };
await host.bindUdp({ port: 0, handler: { datagram() {}, released() {}, unreachable() {} } });
host.setTimer(600_000, () => {});
const keep = setInterval(() => {}, 1000);
let accepted;
const isAccepted = new Promise((resolve) => (accepted = resolve));
const server = await host.listenLink({ host: '127.0.0.1', port: 0 }, () => (accepted(), nothing));
host.connectLink(server.local, nothing).write(new Uint8Array(1));
await isAccepted;
clearInterval(keep);
console.log('open');
setTimeout(() => { console.log('alive'); process.exit(); }, 1000).unref();
`;

test('with unref the process ends although sockets, links and timers are open', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [program, 'unref']);
  expect(stdout).toBe('open\n');
});

test('without unref they keep the process alive', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [program, 'ref']);
  expect(stdout).toBe('open\nalive\n');
});

test('the host names its runtime', () => {
  expect(createNodeHost().runtime).toBe(`node ${process.versions.node} dgram`);
});

test('now() rises, unixNow() is the date', () => {
  const host = createNodeHost();
  const first = host.now();
  expect(host.now()).toBeGreaterThanOrEqual(first);
  expect(Math.abs(host.unixNow() - Date.now())).toBeLessThan(1_000);
});

test('random() fills all of a window and nothing beside it', () => {
  const memory = new Uint8Array(new WebAssembly.Memory({ initial: 1 }).buffer);
  createNodeHost().random(memory.subarray(100, 164));
  expect(memory.subarray(100, 164).some((byte) => byte !== 0)).toBe(true);
  expect(memory.subarray(156, 164).some((byte) => byte !== 0)).toBe(true);
  expect(memory.subarray(0, 100).every((byte) => byte === 0)).toBe(true);
  expect(memory.subarray(164).every((byte) => byte === 0)).toBe(true);
});

test('a timer with delay 0 comes after this turn and before any with a delay', async () => {
  const host = createNodeHost();
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    host.setTimer(20, () => {
      order.push('20 ms');
      resolve();
    });
    host.setTimer(0, () => order.push('turn'));
    queueMicrotask(() => order.push('microtask'));
    process.nextTick(() => order.push('tick'));
    order.push('now');
  });
  expect(order[0]).toBe('now');
  expect(order.slice(1, 3).sort()).toEqual(['microtask', 'tick']);
  expect(order.slice(3)).toEqual(['turn', '20 ms']);
});

test('a timer never comes before its delay', async () => {
  const host = createNodeHost();
  const early = await Promise.all(
    [0.3, 1, 1.5, 2.9, 7.7].map(
      (delayMs) =>
        new Promise<number>((resolve) => {
          const due = host.now() + delayMs;
          host.setTimer(delayMs, () => resolve(Math.max(0, due - host.now())));
        }),
    ),
  );
  expect(early).toEqual([0, 0, 0, 0, 0]);
});

test('a cancelled timer does not come, with delay or without', async () => {
  const host = createNodeHost();
  const came: string[] = [];
  host.setTimer(0, () => came.push('turn')).cancel();
  host.setTimer(1, () => came.push('1 ms')).cancel();
  await new Promise<void>((resolve) => host.setTimer(5, resolve));
  expect(came).toEqual([]);
});

test('a delay longer than Node can count does not fire at once', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const callback = vi.fn();
  const longMs = 40 * 86_400_000;
  createNodeHost().setTimer(longMs, callback);
  vi.advanceTimersByTime(longMs - 1);
  expect(callback).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(callback).toHaveBeenCalledTimes(1);
});

test('a timer that is in parts stays unref in its second part', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const started = vi.spyOn(globalThis, 'setTimeout');
  createNodeHost({ unref: true }).setTimer(40 * 86_400_000, () => {});
  vi.advanceTimersByTime(30 * 86_400_000);
  expect(started.mock.results.map((result) => (result.value as NodeJS.Timeout).hasRef())).toEqual([false, false]);
});

test('a timer that is in parts can be cancelled in its second part', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const callback = vi.fn();
  const timer = createNodeHost().setTimer(40 * 86_400_000, callback);
  vi.advanceTimersByTime(30 * 86_400_000);
  timer.cancel();
  vi.advanceTimersByTime(30 * 86_400_000);
  expect(callback).not.toHaveBeenCalled();
});
