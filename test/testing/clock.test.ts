import { expect, test } from 'vitest';
import { Clock } from '../../src/testing/clock.ts';
import { Random } from '../../src/testing/random.ts';

test('events come in the order of their times, and at one time in the order of the calls', () => {
  const clock = new Clock();
  const log: string[] = [];
  for (const [at, name] of [
    [5, 'c'],
    [1, 'a'],
    [5, 'd'],
    [2, 'b'],
    [5, 'e'],
  ] as const) {
    clock.at(at, name, () => log.push(`${name}@${clock.now}`));
  }
  while (clock.pending > 0) clock.step();
  expect(log).toEqual(['a@1', 'b@2', 'c@5', 'd@5', 'e@5']);
});

test('an event that is asked for now comes behind all that is due now', () => {
  const clock = new Clock();
  const log: string[] = [];
  clock.after(0, 'first', () => {
    log.push('first');
    clock.after(0, 'third', () => log.push('third'));
    clock.at(-7, 'fourth', () => log.push('fourth'));
  });
  clock.after(0, 'second', () => log.push('second'));
  while (clock.pending > 0) clock.step();
  expect(log).toEqual(['first', 'second', 'third', 'fourth']);
  expect(clock.now).toBe(0);
});

test('random events and cancellations agree with a sorted list', () => {
  const random = new Random('clock');
  const clock = new Clock();
  const wanted: { at: number; id: number }[] = [];
  const got: number[] = [];
  const events = Array.from({ length: 2_000 }, (_, id) => {
    const at = random.between(0, 200);
    wanted.push({ at, id });
    return clock.at(at, 'x', () => got.push(id));
  });
  for (let i = 0; i < 1_500; i++) {
    const id = random.between(0, 1_999);
    clock.cancel(events[id]!);
    const place = wanted.findIndex((entry) => entry.id === id);
    if (place >= 0) wanted.splice(place, 1);
  }
  expect(clock.pending).toBe(wanted.length);
  while (clock.pending > 0) clock.step();
  expect(got).toEqual(wanted.sort((x, y) => x.at - y.at || x.id - y.id).map(({ id }) => id));
});

test('an event that has happened is not cancelled, nor anything in its place', () => {
  const clock = new Clock();
  let count = 0;
  const first = clock.at(1, 'first', () => {
    count += 1;
  });
  clock.at(2, 'second', () => {
    count += 1;
  });
  clock.step();
  clock.cancel(first);
  clock.step();
  expect(count).toBe(2);
});

test('time does not move past an event, backwards, or to an event that never comes', () => {
  const clock = new Clock();
  clock.advance(10);
  clock.at(20, 'x', () => {});
  expect(() => clock.advance(21)).toThrow(RangeError);
  clock.advance(5);
  expect(clock.now).toBe(10);
  clock.step();
  clock.after(Number.POSITIVE_INFINITY, 'never', () => expect.unreachable());
  clock.step();
  expect([clock.now, clock.pending, clock.labels()]).toEqual([20, 1, ['never']]);
  expect(() => clock.after(Number.NaN, 'x', () => {})).toThrow(RangeError);
});
