import { expect, test } from 'vitest';
import { MAGIC, seqDiff, seqLess } from '../../src/wire/packet.ts';

test('every magic spells its name', () => {
  for (const [name, value] of Object.entries(MAGIC)) {
    expect(String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)).toBe(name);
  }
});

test.each([
  [0, 1, true, -1],
  [1, 0, false, 1],
  [5, 5, false, 0],
  [0xffffffff, 0, true, -1],
  [0, 0xffffffff, false, 1],
  [0xfffffff0, 16, true, -32],
  [0, 0x7fffffff, true, -0x7fffffff],
  [0x7fffffff, 0xffffffff, true, -0x80000000],
])('sequence numbers %i and %i compare modulo 2^32', (a, b, isLess, difference) => {
  expect(seqLess(a, b)).toBe(isLess);
  expect(seqDiff(a, b)).toBe(difference);
});
