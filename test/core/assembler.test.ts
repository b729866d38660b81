import { expect, test } from 'vitest';
import { Assembler } from '../../src/core/assembler.ts';
import { seeded } from './connection-harness.ts';

function blocks(a: Assembler): number[][] {
  const out = new Float64Array(8);
  const pairs: number[][] = [];
  for (let i = 0, n = a.blocks(out); i < n; i++) pairs.push([out[2 * i]!, out[2 * i + 1]!]);
  return pairs;
}

test('ranges that touch or overlap become one', () => {
  const a = new Assembler();
  a.add(10, 20);
  a.add(30, 40);
  a.add(20, 30);
  expect(blocks(a)).toEqual([[10, 40]]);
  expect(a.segments).toBe(3);
  a.add(5, 50);
  expect(blocks(a)).toEqual([[5, 50]]);
  expect(a.end).toBe(50);
});

test('take() gives the first range only when nothing is missing in front of it', () => {
  const a = new Assembler();
  a.add(10, 20);
  a.add(30, 40);
  expect(a.take(9)).toBe(9);
  expect(a.lastTaken).toBe(0);
  expect(a.take(10)).toBe(20);
  expect(a.lastTaken).toBe(1);
  expect(a.take(35)).toBe(40);
  expect(a.size).toBe(0);
});

test('a range behind the next expected byte never moves it back', () => {
  const a = new Assembler();
  a.add(10, 20);
  expect(a.take(25)).toBe(25);
  expect(a.size).toBe(0);
});

test('at most four blocks are reported, the one that grew last first', () => {
  const a = new Assembler();
  for (const start of [10, 30, 50, 70, 90]) a.add(start, start + 5);
  expect(blocks(a)).toEqual([
    [90, 95],
    [70, 75],
    [50, 55],
    [30, 35],
  ]);
  a.add(15, 18);
  expect(blocks(a)[0]).toEqual([10, 18]);
});

test('covers() knows what is here already', () => {
  const a = new Assembler();
  a.add(10, 20);
  expect(a.covers(10, 20)).toBe(true);
  expect(a.covers(12, 13)).toBe(true);
  expect(a.covers(9, 11)).toBe(false);
  expect(a.covers(19, 21)).toBe(false);
});

test('segments and ranges are counted, for the caller to bound them', () => {
  const a = new Assembler();
  for (let i = 0; i < 3; i++) a.add(10 + i, 11 + i);
  a.add(20, 21);
  expect([a.segments, a.size]).toEqual([4, 2]);
  a.take(10);
  expect([a.segments, a.size]).toEqual([1, 1]);
});

test('agrees with a set of bytes over random ranges', () => {
  const random = seeded(1);
  for (let round = 0; round < 200; round++) {
    const a = new Assembler();
    const here = new Set<number>();
    let next = 0;
    for (let i = 0; i < 60; i++) {
      const start = next + 1 + Math.floor(random() * 100);
      const end = start + 1 + Math.floor(random() * 15);
      const isAllHere = Array.from({ length: end - start }, (_, k) => here.has(start + k)).every(Boolean);
      expect(a.covers(start, end)).toBe(isAllHere);
      a.add(start, end);
      for (let k = start; k < end; k++) here.add(k);
      if (random() < 0.2) next += 1 + Math.floor(random() * 20);
      let expected = next;
      while (here.has(expected)) expected += 1;
      for (let end = a.take(next); a.lastTaken > 0; end = a.take(next)) next = end;
      expect(next).toBe(expected);
    }
  }
});
