import { expect, test } from 'vitest';
import { Bucket, Buckets } from '../src/budget.ts';

/** How many of `tries` succeed at `now`. */
function taken(bucket: Bucket, now: number, tries: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (bucket.take(now)) count += 1;
  return count;
}

test('a bucket starts full, holds a second unless told, and fills at its rate', () => {
  const bucket = new Bucket(10);
  expect(taken(bucket, 0, 100)).toBe(10);
  expect(taken(bucket, 99, 100)).toBe(0);
  expect(taken(bucket, 500, 100)).toBe(5);
  expect(taken(bucket, 60_000, 100)).toBe(10);
  const wide = new Bucket(10, 64);
  expect([taken(wide, 0, 100), taken(wide, 1_000, 100)]).toEqual([64, 10]);
});

test('time that stands still or goes back gives nothing', () => {
  const bucket = new Bucket(10);
  taken(bucket, 1_000, 100);
  expect([taken(bucket, 1_000, 10), taken(bucket, 0, 10), taken(bucket, 1_100, 10)]).toEqual([0, 0, 1]);
});

test('at nextAt() there is a token, whatever fractions add up to', () => {
  for (const rate of [3, 7, 10, 4_000, 0.3]) {
    const bucket = new Bucket(rate, 1);
    let now = 17.3;
    bucket.take(now);
    for (let i = 0; i < 1_000; i++) {
      const at = bucket.nextAt(now);
      const isLater = at > now;
      now = at;
      if (!isLater || !bucket.take(now)) expect.fail(`rate ${rate}, token ${i}`);
    }
    expect(now, `rate ${rate}`).toBeCloseTo(17.3 + (1_000 * 1_000) / rate, 1);
  }
});

test('nextAt() counts what flowed in since the last token went', () => {
  const bucket = new Bucket(1);
  bucket.take(0);
  expect(bucket.nextAt(0)).toBe(1_000);
  expect(bucket.nextAt(900)).toBe(1_000);
  expect(bucket.nextAt(2_000)).toBe(2_000);
  expect(new Bucket(5).nextAt(3)).toBe(3);
});

test('each source has a bucket of its own', () => {
  const buckets = new Buckets(1, 2);
  expect([buckets.take(0, 'a'), buckets.take(0, 'a'), buckets.take(0, 'a'), buckets.take(0, 'b')]).toEqual([
    true,
    true,
    false,
    true,
  ]);
});

test('a table that is full forgets who asked least recently, not who asks all the time', () => {
  const buckets = new Buckets(0.001, 1, 100);
  expect(buckets.take(0, 'flooder')).toBe(true);
  let again = 0;
  for (let i = 0; i < 1_000; i++) {
    buckets.take(1, i);
    if (buckets.take(1, 'flooder')) again += 1;
  }
  expect(again).toBe(0);
  expect(buckets.take(1, 0)).toBe(true);
});
