/** Congestion control over one bottleneck in virtual time: how long a transfer takes, what it queues, and who gets what. */
import { describe, expect, test } from 'vitest';
import type { CongestionControlName } from '../../src/core/congestion.ts';
import { type FlowOptions, fairness, median, Path } from './path-rig.ts';

const MBIT = 125_000;
const BYTES = 5_000_000;

/** A transfer over 100 Mbit/s with a queue of one round trip. @returns Seconds. */
function transfer(rttMs: number, loss: number, flow: FlowOptions = {}): number {
  const times = [1, 2, 3].map((seed) => {
    const path = new Path({ seed, rttMs, bytesPerSecond: 100 * MBIT, queue: 1, loss });
    path.add({ bytes: BYTES, ...flow });
    path.run(300_000);
    expect(path.flows[0]!.isDone).toBe(true);
    return path.flows[0]!.seconds;
  });
  return median(times);
}

/** Bytes per second of each flow between two times, divided by the whole rate. */
function shares(path: Path, fromMs: number, toMs: number, bytesPerSecond: number): number[] {
  return path.flows.map(({ progress, startMs }) => {
    const at = (ms: number): number => progress[Math.round((ms - startMs) / 100)]!;
    return (((at(toMs) - at(fromMs)) / (toMs - fromMs)) * 1000) / bytesPerSecond;
  });
}

describe('a transfer of 5 MB', () => {
  test.each([
    { rttMs: 30, loss: 0, most: 0.75 },
    { rttMs: 30, loss: 0.005, most: 1 },
    { rttMs: 30, loss: 0.02, most: 1.2 },
    { rttMs: 85, loss: 0, most: 1.4 },
    { rttMs: 85, loss: 0.005, most: 1.7 },
    { rttMs: 85, loss: 0.02, most: 2.2 },
  ])('takes at most $most s over $rttMs ms with a loss of $loss', ({ rttMs, loss, most }) => {
    expect(transfer(rttMs, loss)).toBeLessThan(most);
  });

  test('takes CUBIC many times as long where packets get lost', () => {
    expect(transfer(30, 0.02, { congestionControl: 'cubic' })).toBeGreaterThan(6);
  });

  test('fills no queue of four round trips', () => {
    const path = new Path({ seed: 1, rttMs: 30, bytesPerSecond: 100 * MBIT, queue: 4, jitterMs: 0.5 });
    path.add();
    path.run(10_001);
    expect(median(path.flows[0]!.rtts)).toBeLessThan(1.5 * 30);
    expect(path.dropped).toBe(0);
    expect(shares(path, 2_000, 10_000, 100 * MBIT)[0]).toBeGreaterThan(0.85);
  });
});

describe('two flows through 20 Mbit/s', () => {
  function contest(queue: number, first: FlowOptions, second: FlowOptions): number[] {
    const path = new Path({ seed: 1, rttMs: 30, bytesPerSecond: 20 * MBIT, queue, jitterMs: 0.5 });
    path.add(first);
    path.add(second);
    path.run(40_001);
    return shares(path, 10_000, 40_000, 20 * MBIT);
  }

  test.each([0.5, 1, 4])('share alike, the later one too, with a queue of %f round trips', (queue) => {
    for (const startMs of [0, 5_000]) expect(fairness(contest(queue, {}, { startMs }))).toBeGreaterThan(0.9);
  });

  test('find what the other leaves', () => {
    const path = new Path({ seed: 1, rttMs: 30, bytesPerSecond: 20 * MBIT, queue: 1, jitterMs: 0.5 });
    path.add({ bytes: 10_000_000 });
    path.add();
    path.run(20_001);
    const [first] = path.flows;
    expect(first!.isDone).toBe(true);
    const freeMs = Math.ceil(first!.doneMs / 100) * 100 + 3_000;
    const [, rest] = shares(path, freeMs, freeMs + 5_000, 20 * MBIT);
    expect(rest).toBeGreaterThan(0.8);
  });

  test.each([0.5, 1, 4])('leave CUBIC a third, with a queue of %f round trips', (queue) => {
    const cubic: CongestionControlName = 'cubic';
    const [ours, theirs] = contest(queue, {}, { congestionControl: cubic }) as [number, number];
    expect(theirs).toBeGreaterThan((ours + theirs) / 3);
    // Nor does CUBIC take all.
    expect(ours).toBeGreaterThan(0.1);
  });
});

test('a path that becomes ten times as wide is found to be', () => {
  const path = new Path({ seed: 1, rttMs: 30, bytesPerSecond: 10 * MBIT, queue: 1, jitterMs: 0.5 });
  path.add();
  path.run(5_000);
  path.there.change({ bytesPerSecond: 100 * MBIT, queueBytes: 375_000 });
  path.run(13_001);
  expect(shares(path, 11_000, 13_000, 100 * MBIT)[0]).toBeGreaterThan(0.8);
});

test('a path of 2 Mbit/s through a queue of half a round trip is used', () => {
  const path = new Path({ seed: 2, rttMs: 60, bytesPerSecond: 2 * MBIT, queue: 0.5 });
  path.add();
  path.run(30_001);
  expect(shares(path, 5_000, 30_000, 2 * MBIT)[0]).toBeGreaterThan(0.6);
});
