import { expect, test } from 'vitest';
import { Random } from '../../src/testing/random.ts';

function words(random: Random, count = 8): number[] {
  return Array.from({ length: count }, () => random.word());
}

test('the same seed gives the same numbers, another seed others', () => {
  expect(words(new Random(7))).toEqual(words(new Random('7')));
  expect(words(new Random(7))).not.toEqual(words(new Random(8)));
  const firsts = new Set(Array.from({ length: 1_000 }, (_, seed) => new Random(seed).word()));
  expect(firsts.size).toBe(1_000);
});

test('a fork does not depend on what was drawn before, and does not change it', () => {
  const [used, fresh] = [new Random(1), new Random(1)];
  words(used);
  expect(words(used.fork('a'))).toEqual(words(fresh.fork('a')));
  expect(words(fresh.fork('a'))).not.toEqual(words(fresh.fork('b')));
  words(fresh);
  expect(words(used)).toEqual(words(fresh));
});

test('numbers are spread evenly', () => {
  const random = new Random('spread');
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) counts[random.between(0, 9)]! += 1;
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  let ones = 0;
  const bytes = new Uint8Array(100_003);
  random.fill(bytes);
  for (const byte of bytes) for (let bit = 0; bit < 8; bit++) ones += (byte >> bit) & 1;
  expect(Math.abs(ones / (bytes.length * 8) - 0.5)).toBeLessThan(0.003);
  expect(new Set(bytes).size).toBe(256);
});

test('between has both ends, chance is exact at 0 and 1', () => {
  const random = new Random(3);
  const seen = new Set(Array.from({ length: 200 }, () => random.between(-1, 1)));
  expect([...seen].sort((a, b) => a - b)).toEqual([-1, 0, 1]);
  for (let i = 0; i < 100; i++) expect([random.chance(0), random.chance(1)]).toEqual([false, true]);
  let hits = 0;
  for (let i = 0; i < 100_000; i++) if (random.chance(0.02)) hits += 1;
  expect(Math.abs(hits - 2_000)).toBeLessThan(200);
});

test('the numbers of a seed are those of an independent implementation, so a printed seed stays good', () => {
  expect(words(new Random(1), 4)).toEqual([350_175_097, 640_680_501, 3_603_964_963, 713_971_460]);
  expect(words(new Random('x').fork('y'), 2)).toEqual([1_442_710_059, 1_382_222_024]);
});
