import { expect, test } from 'vitest';
import { CONFIRM_COUNT, CONFIRM_FIRST_MS, CONFIRM_MAX_MS, TrustRevocations } from '../../src/core/trust-revocations.ts';

const NEVER = Number.POSITIVE_INFINITY;

test('pauses between repetitions double up to an hour while nothing is confirmed', () => {
  const revocations = new TrustRevocations();
  expect(revocations.pollTimeout()).toBe(NEVER);
  revocations.noteTold(0);
  const pauses: number[] = [];
  for (let i = 0, now = 0; i < 12; i++) {
    pauses.push(revocations.pollTimeout() - now);
    now = revocations.pollTimeout();
    expect(revocations.take(now, [7])).toEqual([7]);
  }
  expect(pauses.slice(0, 4)).toEqual([1, 1, 2, 4].map((factor) => factor * CONFIRM_FIRST_MS));
  expect(pauses.at(-1)).toBe(CONFIRM_MAX_MS);
});

test('a registry that confirms one is told the rest soon', () => {
  const revocations = new TrustRevocations();
  revocations.noteConfirmed(0);
  expect(revocations.pollTimeout(), 'nothing waits').toBe(NEVER);
  revocations.resume(0);
  for (let i = 0; i < 12; i++) revocations.take(revocations.pollTimeout(), [7, 8]);
  const now = revocations.pollTimeout() - CONFIRM_MAX_MS;
  revocations.noteConfirmed(now);
  expect(revocations.pollTimeout()).toBe(now + CONFIRM_FIRST_MS);
  revocations.take(now + CONFIRM_FIRST_MS, [8]);
  expect(revocations.pollTimeout()).toBe(now + 2 * CONFIRM_FIRST_MS);
});

test('when none waits any more, all begins anew', () => {
  const revocations = new TrustRevocations();
  revocations.noteTold(0);
  for (let i = 0; i < 5; i++) revocations.take(revocations.pollTimeout(), [7]);
  expect(revocations.take(revocations.pollTimeout(), [])).toEqual([]);
  expect(revocations.pollTimeout()).toBe(NEVER);
  revocations.noteTold(1_000_000);
  expect(revocations.pollTimeout()).toBe(1_000_000 + CONFIRM_FIRST_MS);
});

test('sixteen at a time, all in turn, also while some leave', () => {
  const revocations = new TrustRevocations();
  const waiting = Array.from({ length: 40 }, (_, i) => i + 1);
  const told = [0, 1, 2].map((now) => revocations.take(now, waiting));
  expect(told.map((peers) => peers.length)).toEqual([CONFIRM_COUNT, CONFIRM_COUNT, CONFIRM_COUNT]);
  expect(new Set(told.flat()).size).toBe(40);
  expect(revocations.take(3, [50])).toEqual([50]);
});
