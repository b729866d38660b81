import { expect, test } from 'vitest';
import { Line, type LineOptions } from '../../src/testing/line.ts';
import { Random } from '../../src/testing/random.ts';

function line(options: LineOptions, seed = 'line'): Line {
  return new Line(new Random(seed), options);
}

/** Sends many packets, one each ms. @returns Exits by packet; nothing for those that were dropped. */
function run(options: LineOptions, count = 20_000): number[][] {
  const one = line(options);
  return Array.from({ length: count }, (_, now) => {
    const exits = one.enter(now, 100);
    return typeof exits === 'string' ? [] : [...exits];
  });
}

test('loss and duplication have the rates that were asked for', () => {
  const exits = run({ loss: 0.1, duplication: 0.05 });
  const lost = exits.filter(({ length }) => length === 0).length / exits.length;
  const doubled = exits.filter(({ length }) => length === 2).length / exits.length;
  expect(Math.abs(lost - 0.1)).toBeLessThan(0.01);
  expect(Math.abs(doubled - 0.045)).toBeLessThan(0.006);
});

test('jitter spreads the delay and keeps the order', () => {
  const delays = run({ delayMs: 50, jitterMs: 30 }).map(([exit], sent) => exit! - sent);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(50);
  expect(Math.max(...delays)).toBeLessThan(80);
  expect(new Set(delays).size).toBeGreaterThan(100);
  const exits = delays.map((delay, sent) => sent + delay);
  expect(exits.every((exit, i) => i === 0 || exit >= exits[i - 1]!)).toBe(true);
});

test('as many packets are passed by later ones as was asked for', () => {
  const exits = run({ delayMs: 10, reordering: 0.03, reorderMs: 40 }).map(([exit]) => exit!);
  const passed = exits.filter((exit, i) => exits.slice(i + 1, i + 60).some((later) => later < exit)).length;
  expect(Math.abs(passed / exits.length - 0.03)).toBeLessThan(0.006);
});

test('a packet above the MTU is dropped, one at it is not', () => {
  const one = line({ mtuBytes: 1_280 });
  expect([one.enter(0, 1_280), one.enter(0, 1_281)]).toEqual([[0], 'aboveMtu']);
});

test('a rate spaces packets, its queue is bounded, and an idle line takes any packet', () => {
  const one = line({ bytesPerSecond: 100_000, queueBytes: 2_500, delayMs: 3 });
  expect(Array.from({ length: 4 }, () => one.enter(0, 1_000))).toEqual([[13], [23], 'queueFull', 'queueFull']);
  expect(one.enter(0, 500)).toEqual([28]);
  expect(one.enter(10, 1_000)).toEqual([38]);
  expect(one.enter(1_000, 9_000)).toEqual([1_093]);
});

test('options that change hold for what enters from then on', () => {
  const one = line({ delayMs: 50 });
  expect(one.enter(0, 1)).toEqual([50]);
  one.change({ delayMs: 10 });
  // Order is kept: nothing overtakes.
  expect(one.enter(1, 1)).toEqual([50]);
  expect(one.enter(100, 1)).toEqual([110]);
  one.change({ loss: 1 });
  expect(one.enter(101, 1)).toBe('lost');
});

test('figures that mean nothing are refused', () => {
  for (const options of [
    { loss: 2 },
    { duplication: 1.1 },
    { reordering: -0.1 },
    { delayMs: -1 },
    { mtuBytes: Number.NaN },
  ]) {
    expect(() => line(options)).toThrow(RangeError);
    expect(() => line({}).change(options)).toThrow(RangeError);
  }
});
