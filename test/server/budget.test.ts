import { expect, test } from 'vitest';
import { Budget, isLocalHost } from '../../src/server/budget.ts';

/** How many of `tries` succeed at 0. */
function taken(budget: Budget, source: string | number, isTrusted: boolean, tries: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (budget.take(0, source, isTrusted)) count += 1;
  return count;
}

test('a flooder that asks all the time gets no fresh bucket when the table is full', () => {
  for (const isTrusted of [false, true]) {
    const budget = new Budget({ perSecond: 1, burst: 2, capacity: 100 });
    const all = isTrusted ? 200 : 2;
    expect(taken(budget, '192.0.2.66', isTrusted, all + 1)).toBe(all);
    let again = 0;
    for (let i = 0; i < 1_000; i++) {
      budget.take(0, `198.51.100.${i}`, isTrusted);
      again += taken(budget, '192.0.2.66', isTrusted, 1);
    }
    expect(again).toBe(0);
  }
});

test('a trusted source may do a hundred times as much, at once and in a second', () => {
  const budget = new Budget({ perSecond: 3, burst: 5, capacity: 100 });
  expect([taken(budget, 'a', false, 1_000), taken(budget, 'b', true, 1_000)]).toEqual([5, 500]);
  let [strange, trusted] = [0, 0];
  for (let i = 0; i < 1_000; i++) {
    if (budget.take(1_000, 'a', false)) strange += 1;
    if (budget.take(1_000, 'b', true)) trusted += 1;
  }
  expect([strange, trusted]).toEqual([3, 300]);
});

test('strangers neither use nor push out what a trusted source has', () => {
  const budget = new Budget({ perSecond: 1, burst: 1, capacity: 10 });
  expect(taken(budget, '127.0.0.1', true, 99)).toBe(99);
  for (let i = 0; i < 100; i++) budget.take(0, `192.0.2.${i}`, false);
  expect(taken(budget, '127.0.0.1', false, 1), 'as a stranger it is another').toBe(1);
  expect(taken(budget, '127.0.0.1', true, 10), 'the last of its hundred, and no new ones').toBe(1);
});

test('a number and its text are two sources', () => {
  const budget = new Budget({ perSecond: 1, burst: 1, capacity: 10 });
  expect([budget.take(0, 7, false), budget.take(0, '7', false), budget.take(0, 7, false)]).toEqual([true, true, false]);
});

test("this machine's own addresses are 127.0.0.0/8 and ::1", () => {
  expect(['127.0.0.1', '127.9.8.7', '::1'].map(isLocalHost)).toEqual([true, true, true]);
  expect(['128.0.0.1', '192.0.2.127', '::2', '1270.0.0.1', ''].map(isLocalHost)).toEqual(Array(5).fill(false));
});
