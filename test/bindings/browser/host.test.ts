/** What a browser lends, as far as Node has the same: timers, and a clear no to what a page cannot. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { createBrowserHost } from '../../../bindings/browser/host.ts';
import { TurnTimers, waitTimer } from '../../../bindings/browser/timers.ts';
import { createPublicKeyJobs } from '../../../bindings/node/keys.ts';
import type { Files, LinkHandler, WebSocketEnd } from '../../../src/carrier/host.ts';
import { codeOf } from '../../api/rig.ts';

const FILES = {} as Files;
const create = () => createBrowserHost({ files: FILES, jobs: createPublicKeyJobs() });
const TARGET = { url: 'wss://127.0.0.1:1/', protocol: 'pilot.v1', maxMessageBytes: 65_536 };

test('a delay of 0 is after the present turn, in the order of the calls, unless cancelled', async () => {
  const turns = new TurnTimers();
  const called: string[] = [];
  const first = turns.set(() => called.push('first'));
  const second = turns.set(() => called.push('second'));
  await new Promise<void>((resolve) => {
    turns.set(() => {
      called.push('third');
      // Too late, and it must not hit one that came after.
      first.cancel();
      turns.set(resolve);
    });
    second.cancel();
    queueMicrotask(() => called.push('microtask'));
  });
  expect(called).toEqual(['microtask', 'first', 'third']);
});

test('a timer never fires before it is due, however early the browser is; a late one fires once', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const inTime = setTimeout;
  vi.stubGlobal('setTimeout', (callback: () => void, ms: number) => inTime(callback, Math.max(1, ms - 1)));
  onTestFinished(() => {
    vi.unstubAllGlobals();
  });
  let calls = 0;
  waitTimer(10.4, () => {
    calls += 1;
  });
  const due = performance.now() + 10.4;
  while (calls === 0) vi.advanceTimersToNextTimer();
  expect(performance.now()).toBeGreaterThanOrEqual(due);
  vi.advanceTimersByTime(100_000);
  expect(calls).toBe(1);
  const cancelled = waitTimer(5, () => {
    calls += 1;
  });
  cancelled.cancel();
  vi.advanceTimersByTime(100_000);
  expect(calls).toBe(1);
});

test('a timer longer than a browser counts waits all the same', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  let calls = 0;
  waitTimer(2 ** 31 + 1_000, () => {
    calls += 1;
  });
  vi.advanceTimersByTime(2 ** 31 + 999);
  expect(calls).toBe(0);
  vi.advanceTimersByTime(2);
  expect(calls).toBe(1);
});

test('random() fills more than the browser gives at a time', () => {
  const bytes = new Uint8Array(200_000);
  create().random(bytes);
  for (let at = 0; at < bytes.length; at += 50_000) {
    expect(bytes.subarray(at, at + 64).some((byte) => byte !== 0)).toBe(true);
  }
});

test('sockets that a page cannot have end in NOT_SUPPORTED with a hint', async () => {
  const host = create();
  const handler = { datagram() {}, released() {}, unreachable() {} };
  const error = await host.bindUdp({ port: 0, handler }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'NOT_SUPPORTED', hint: expect.stringContaining('websocket') });
  expect(await codeOf(host.listenLink({ host: '127.0.0.1', port: 0 }, () => ({}) as LinkHandler))).toBe(
    'NOT_SUPPORTED',
  );
  const closed = await new Promise<unknown>((resolve) => {
    host.connectLink({ host: '127.0.0.1', port: 9 }, { open() {}, data() {}, drain() {}, closed: resolve });
  });
  expect(closed).toMatchObject({ code: 'NOT_SUPPORTED' });
});

test('a pin, which browsers cannot keep, is refused instead of ignored', async () => {
  const end = await new Promise<WebSocketEnd>((resolve) => {
    create().connectWebSocket({ ...TARGET, pin: '00'.repeat(32) }, { open() {}, message() {}, closed: resolve });
  });
  expect(end).toMatchObject({ code: 1006, error: { code: 'NOT_SUPPORTED' } });
});
