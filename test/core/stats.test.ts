import { expect, test } from 'vitest';
import { Counters, DROP_REASONS } from '../../src/core/stats.ts';

test('drops are counted by reason, and only those that occurred are told', () => {
  const counters = new Counters();
  expect([counters.drops(), counters.dropped('replay')]).toEqual([{}, 0]);
  counters.drop('replay');
  counters.drop('replay');
  counters.drop('ownId');
  expect(counters.drops()).toEqual({ replay: 2, ownId: 1 });
  expect(counters.dropped('replay')).toBe(2);
});

test('what is told is a copy', () => {
  const counters = new Counters();
  counters.drop('ownId');
  const told = counters.drops();
  counters.drop('ownId');
  expect(told).toEqual({ ownId: 1 });
});

test('each reason has one name', () => {
  expect(new Set(DROP_REASONS).size).toBe(DROP_REASONS.length);
});
