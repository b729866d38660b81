import { expect, test } from 'vitest';
import { type AckSample, checkControl, createAckSample, MAX_WINDOW_BYTES } from '../../src/core/congestion.ts';
import { Cubic } from '../../src/core/cubic.ts';
import { Pacer } from '../../src/core/pacer.ts';

const SEGMENT = 1000;

function ack(control: Cubic, now: number, over: Partial<AckSample> = {}): void {
  control.onAck({
    ...createAckSample(),
    now,
    delivered: SEGMENT,
    bytesInFlight: control.window,
    isWindowLimited: true,
    isRecovering: false,
    srtt: 50,
    minRtt: 50,
    deliveryRate: 0,
    ...over,
  });
}

test('the initial window is ten segments', () => {
  expect(new Cubic(SEGMENT).window).toBe(10 * SEGMENT);
});

test('slow start adds what was delivered', () => {
  const control = new Cubic(SEGMENT);
  ack(control, 0, { delivered: 7000 });
  expect(control.window).toBe(17_000);
});

test('a window that did not limit does not grow', () => {
  const control = new Cubic(SEGMENT);
  ack(control, 0, { isWindowLimited: false });
  ack(control, 0, { isRecovering: true });
  expect(control.window).toBe(10_000);
});

test('the window never exceeds 64 MiB', () => {
  const control = new Cubic(SEGMENT);
  for (let i = 0; i < 10; i++) ack(control, i, { delivered: 40_000_000 });
  expect(control.window).toBe(MAX_WINDOW_BYTES);
});

test('a loss reduces the window to 0.7, a timeout to one segment', () => {
  const control = new Cubic(SEGMENT);
  control.onLoss(0, 0);
  expect(control.window).toBe(7000);
  control.onTimeout(0);
  expect(control.window).toBe(SEGMENT);
  expect(control.threshold).toBeCloseTo(4900);
});

test('timeouts in a row do not lower the threshold further', () => {
  const control = new Cubic(SEGMENT);
  control.onTimeout(0);
  control.onTimeout(400);
  expect(control.threshold).toBe(7000);
});

test('after a loss the window is back at its peak after about K seconds and then grows beyond', () => {
  const control = new Cubic(SEGMENT);
  ack(control, 0, { delivered: 190_000 });
  control.onLoss(0, 0);
  const k = Math.cbrt((200 * 0.3) / 0.4);
  const windows: number[] = [];
  for (let ms = 0; ms < 2 * k * 1000; ms += 50) {
    for (let sent = 0; sent < control.window; sent += 10 * SEGMENT) ack(control, ms, { delivered: 10 * SEGMENT });
    windows.push(control.window / SEGMENT);
  }
  const half = windows[Math.floor(windows.length / 2)]!;
  expect(half).toBeGreaterThan(185);
  expect(half).toBeLessThan(215);
  expect(windows.at(-1)).toBeGreaterThan(230);
  for (let i = 1; i < windows.length; i++) expect(windows[i]! >= windows[i - 1]!).toBe(true);
});

test('pacing is twice the window per round trip in slow start, 1.2 times later', () => {
  const control = new Cubic(SEGMENT);
  expect(control.pacingRate).toBe(Number.POSITIVE_INFINITY);
  ack(control, 0, { isWindowLimited: false });
  expect(control.pacingRate).toBe((2 * 10_000) / 50);
  control.onLoss(0, 0);
  ack(control, 0, { isWindowLimited: false });
  expect(control.pacingRate).toBeCloseTo((1.2 * 7000) / 50);
});

test('a pacer lets ten segments go at once and then one per interval', () => {
  const pacer = new Pacer(SEGMENT);
  const rate = 100;
  let sent = 0;
  while (pacer.ready(0, rate) <= 0) {
    pacer.sent(SEGMENT);
    sent += 1;
  }
  expect(sent).toBe(10);
  const next = pacer.ready(0, rate);
  expect(next).toBeGreaterThan(0);
  expect(pacer.ready(next, rate)).toBe(next);
  let total = 0;
  for (let ms = 0; ms <= 1000; ms += 1) {
    while (pacer.ready(ms, rate) <= ms) {
      pacer.sent(SEGMENT);
      total += SEGMENT;
    }
  }
  expect(total).toBeGreaterThan(99_000);
  expect(total).toBeLessThan(102_000);
});

test('a pacer saves up no more than a burst', () => {
  const pacer = new Pacer(SEGMENT);
  pacer.ready(0, 100);
  let sent = 0;
  while (pacer.ready(60_000, 100) <= 60_000 && sent < 100) {
    pacer.sent(SEGMENT);
    sent += 1;
  }
  expect(sent).toBe(10);
});

test('without a rate nothing is paced', () => {
  const pacer = new Pacer(SEGMENT);
  for (let i = 0; i < 1000; i++) pacer.sent(SEGMENT);
  expect(pacer.ready(5, Number.POSITIVE_INFINITY)).toBe(5);
});

test('a law that is not there is refused by name', () => {
  checkControl(undefined);
  checkControl('cubic');
  expect(() => checkControl('reno' as 'rate')).toThrow('want rate or cubic');
});
