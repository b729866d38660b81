import { expect, test } from 'vitest';
import { Deadlines } from '../../src/core/timers.ts';
import { Random } from '../engine/rig.ts';

test('the nearest comes first, and only when it is due', () => {
  const deadlines = new Deadlines();
  expect([deadlines.next(), deadlines.pop(1e9)]).toEqual([Number.POSITIVE_INFINITY, -1]);
  deadlines.set(1, 30);
  deadlines.set(2, 10);
  deadlines.set(3, 20);
  expect([deadlines.next(), deadlines.size]).toEqual([10, 3]);
  expect([deadlines.pop(9), deadlines.pop(10), deadlines.pop(19), deadlines.pop(30), deadlines.pop(30)]).toEqual([
    -1, 2, -1, 3, 1,
  ]);
  expect(deadlines.size).toBe(0);
});

test('a deadline that is set again moves; Infinity and delete remove it', () => {
  const deadlines = new Deadlines();
  deadlines.set(1, 10);
  deadlines.set(2, 20);
  deadlines.set(1, 30);
  expect(deadlines.next()).toBe(20);
  deadlines.set(1, 5);
  expect(deadlines.next()).toBe(5);
  deadlines.set(1, Number.POSITIVE_INFINITY);
  deadlines.delete(7);
  expect([deadlines.next(), deadlines.size]).toEqual([20, 1]);
  deadlines.delete(2);
  expect(deadlines.next()).toBe(Number.POSITIVE_INFINITY);
});

test('a time in the past is due at once', () => {
  const deadlines = new Deadlines();
  deadlines.set(4, Number.NEGATIVE_INFINITY);
  expect([deadlines.pop(-1e9), deadlines.size]).toEqual([4, 0]);
});

test('it agrees with a sorted list after any operations', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Random(seed);
    const deadlines = new Deadlines();
    const twin = new Map<number, number>();
    for (let i = 0; i < 200; i++) {
      const key = random.next(40);
      const what = random.next(10);
      if (what < 6) {
        const at = random.next(100);
        deadlines.set(key, at);
        twin.set(key, at);
      } else if (what < 8) {
        deadlines.delete(key);
        twin.delete(key);
      } else {
        const now = random.next(100);
        const popped = deadlines.pop(now);
        const least = Math.min(...twin.values());
        expect(popped < 0 ? least > now : twin.get(popped) === least, `seed ${seed}`).toBe(true);
        twin.delete(popped);
      }
      const isSame = deadlines.size === twin.size && deadlines.next() === Math.min(...twin.values());
      if (!isSame) expect.fail(`seed ${seed}, step ${i}`);
    }
  }
});
