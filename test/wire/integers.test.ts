import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../../src/wire/integers.ts';

test('integers are written as DataView writes them and read back', () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(u16, u32, fc.maxSafeNat(), (short, word, long) => {
      const bytes = new Uint8Array(15);
      writeU16(bytes, 1, short);
      writeU32(bytes, 3, word);
      writeU64(bytes, 7, long);
      const view = new DataView(bytes.buffer);
      expect([view.getUint16(1), view.getUint32(3), view.getBigUint64(7)]).toEqual([short, word, BigInt(long)]);
      expect([readU16(bytes, 1), readU32(bytes, 3), readU64(bytes, 7)]).toEqual([short, word, long]);
      expect(bytes[0]).toBe(0);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('readU64 refuses what a number cannot hold exactly', () => {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(Number.MAX_SAFE_INTEGER));
  expect(readU64(bytes, 0)).toBe(Number.MAX_SAFE_INTEGER);
  for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    view.setBigUint64(0, value);
    expect(readU64(bytes, 0)).toBeUndefined();
  }
});
