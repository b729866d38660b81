import { expect, test } from 'vitest';
import { BASE_SEGMENT, PathMtu } from '../../src/core/path-mtu.ts';
import { OVERHEAD } from '../../src/engine/engine.ts';

const ETHERNET = 1_472;
const LOOPBACK = 65_507;
const OWN = 65_408;

/** A path that carries segments of up to `carries` bytes, probed until nothing is due within a minute. */
function search(mtu: PathMtu, carries: number, start = 0): { sizes: number[]; now: number } {
  let now = start;
  const sizes: number[] = [];
  while (mtu.pollTimeout() < start + 60_000 || sizes.length === 0) {
    const probe = mtu.poll();
    if (probe !== undefined) {
      sizes.push(probe.size);
      now += 20;
      if (probe.size <= carries) mtu.handleAnswer(now, probe.number);
    } else {
      now = mtu.pollTimeout();
      mtu.handleTimeout(now);
    }
  }
  return { sizes, now };
}

test('nothing is asked until somebody wants more', () => {
  const mtu = new PathMtu();
  expect(mtu.poll()).toBeUndefined();
  expect(mtu.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
});

test('the largest is asked first, and mostly that is all', () => {
  const mtu = new PathMtu();
  expect(mtu.want(0, ETHERNET, OWN)).toBe(true);
  expect(search(mtu, ETHERNET - OVERHEAD).sizes).toEqual([1_402]);
  expect(mtu.segmentBytes).toBe(1_402);
  expect(mtu.want(1, ETHERNET, OWN)).toBe(false);
});

test('what the host loops back is used to the full, after a lost probe too', () => {
  const mtu = new PathMtu();
  mtu.want(0, LOOPBACK, OWN);
  expect(mtu.poll()?.size).toBe(OWN);
  mtu.handleTimeout(1_000);
  expect(search(mtu, OWN, 1_000).sizes).toEqual([OWN]);
  expect(mtu.segmentBytes).toBe(OWN);
});

test('a path that carries less is climbed from below, each size once', () => {
  const mtu = new PathMtu();
  mtu.want(0, ETHERNET, OWN);
  const { sizes, now } = search(mtu, 1_350);
  expect(sizes).toEqual([1_402, 1_302, 1_342, 1_374]);
  expect(mtu.segmentBytes).toBe(1_342);
  // Again after ten minutes, not before.
  expect(mtu.want(now + 1, ETHERNET, OWN)).toBe(false);
  mtu.handleTimeout(mtu.pollTimeout());
  expect(mtu.isSettled).toBe(false);
  expect(mtu.segmentBytes).toBe(1_342);
  mtu.want(700_000, ETHERNET, OWN);
  search(mtu, 1_402, 700_000);
  expect(mtu.segmentBytes).toBe(1_402);
});

test('a path that carries no more than all do leaves it at that', () => {
  const mtu = new PathMtu();
  mtu.want(0, ETHERNET, OWN);
  expect(search(mtu, BASE_SEGMENT).sizes).toEqual([1_402, 1_302]);
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
});

test('a peer that takes no more is not asked', () => {
  const mtu = new PathMtu();
  expect(mtu.want(0, ETHERNET, BASE_SEGMENT)).toBe(false);
  expect(mtu.poll()).toBeUndefined();
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
});

test('late and foreign answers say nothing', () => {
  const mtu = new PathMtu();
  mtu.want(0, ETHERNET, OWN);
  const { number } = mtu.poll()!;
  mtu.handleAnswer(1, number + 1);
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
  mtu.handleTimeout(1_000);
  mtu.handleAnswer(1_001, number);
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
});

test('where the host loops back it is tried again soon: a peer that stood still looks like a path that lost them', () => {
  const mtu = new PathMtu();
  mtu.want(0, LOOPBACK, OWN);
  search(mtu, OWN);
  mtu.handleBlackHole(5_000);
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
  mtu.handleTimeout(10_000);
  mtu.want(10_000, LOOPBACK, OWN);
  search(mtu, OWN, 10_000);
  expect(mtu.segmentBytes).toBe(OWN);
});

test('large segments that get lost end it for ten minutes, another path begins anew', () => {
  const mtu = new PathMtu();
  mtu.want(0, ETHERNET, OWN);
  search(mtu, 1_402);
  mtu.handleBlackHole(5_000);
  expect(mtu.segmentBytes).toBe(BASE_SEGMENT);
  expect(mtu.want(6_000, ETHERNET, OWN)).toBe(false);
  mtu.reset();
  expect(mtu.want(7_000, ETHERNET, OWN)).toBe(true);
});
