import { expect, test } from 'vitest';
import { bitFlips, noise, random, truncations } from './hostile.ts';

test('truncations are all proper prefixes, each in a buffer of its own', () => {
  const cuts = [...truncations(Uint8Array.of(1, 2, 3))];
  expect(cuts).toEqual([new Uint8Array(0), Uint8Array.of(1), Uint8Array.of(1, 2)]);
  expect(cuts.map((cut) => cut.buffer.byteLength)).toEqual([0, 1, 2]);
});

test('bit flips are all copies with one bit inverted', () => {
  const flips = [...bitFlips(Uint8Array.of(0x00, 0xff))];
  expect(flips.length).toBe(16);
  expect(flips[0]).toEqual(Uint8Array.of(0x80, 0xff));
  expect(flips[15]).toEqual(Uint8Array.of(0x00, 0xfe));
  expect(new Set(flips.map((flip) => flip.join())).size).toBe(16);
});

test('one seed gives one sequence, another seed another', () => {
  expect(random(1).bytes(64)).toEqual(random(1).bytes(64));
  expect(random(1).bytes(64)).not.toEqual(random(2).bytes(64));
  expect([...noise(Uint8Array.of(1, 2), 5, 20)]).toEqual([...noise(Uint8Array.of(1, 2), 5, 20)]);
});

test('random values fill their range evenly', () => {
  const source = random(1);
  const counts = new Array<number>(10).fill(0);
  let hits = 0;
  for (let i = 0; i < 10_000; i++) {
    counts[source.below(10)]! += 1;
    if (source.chance(0.25)) hits += 1;
  }
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  expect(Math.abs(hits - 2_500)).toBeLessThan(200);
});
