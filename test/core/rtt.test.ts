import { expect, test } from 'vitest';
import { INITIAL_RTO_MS, MAX_RTO_MS, MIN_RTO_MS, Rtt } from '../../src/core/rtt.ts';

test('the timeout is 1 s before the first sample', () => {
  const rtt = new Rtt();
  expect(rtt.rto).toBe(INITIAL_RTO_MS);
  expect(rtt).toMatchObject({ hasSample: false, srtt: 0, min: 0 });
});

test('the first sample sets SRTT = R and RTTVAR = R/2', () => {
  const rtt = new Rtt();
  rtt.update(0, 100);
  expect(rtt).toMatchObject({ srtt: 100, rttvar: 50, rto: 300 });
});

test('later samples weigh 1/8 and 1/4, the variation with the old SRTT', () => {
  const rtt = new Rtt();
  rtt.update(0, 400);
  rtt.update(1, 800);
  expect(rtt.rttvar).toBe(0.75 * 200 + 0.25 * 400);
  expect(rtt.srtt).toBe(0.875 * 400 + 0.125 * 800);
  expect(rtt.rto).toBe(450 + 4 * 250);
});

test('at least 10 ms are added to SRTT', () => {
  const rtt = new Rtt();
  for (let i = 0; i < 200; i++) rtt.update(i, 500);
  expect(rtt.rto).toBeCloseTo(510);
});

test('the timeout stays within 200 ms and 10 s', () => {
  const fast = new Rtt();
  fast.update(0, 1);
  expect(fast.rto).toBe(MIN_RTO_MS);
  const slow = new Rtt();
  slow.update(0, 60_000);
  expect(slow.rto).toBe(MAX_RTO_MS);
});

test('back-off doubles each time and stops at 10 s', () => {
  const rtt = new Rtt();
  rtt.update(0, 10);
  expect([0, 1, 2, 3, 4, 5, 6, 100].map((n) => rtt.backedOff(n))).toEqual([
    200, 400, 800, 1600, 3200, 6400, 10_000, 10_000,
  ]);
});

test('the minimum is forgotten after 10 s', () => {
  const rtt = new Rtt();
  rtt.update(0, 20);
  rtt.update(5000, 50);
  expect(rtt.min).toBe(20);
  rtt.update(10_001, 60);
  expect(rtt.min).toBe(60);
});
