import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import { emitSack, looksLikeSack, parseSack, SACK_MAX_BLOCKS, sackLength } from '../../src/wire/sack.ts';
import { bitFlips, hostile, truncations } from '../reference/hostile.ts';
import { isOurs, readVectors } from '../vectors/folder.ts';

interface Block {
  Left: number;
  Right: number;
}
interface Vector {
  blocks?: Block[];
  decoded: Block[] | null;
  ok: boolean;
  payload: string;
}

const VECTORS = readVectors<Vector[]>('stream-sack');
const POISON = 0xdeadbeef;

function parsed(bytes: Uint8Array): number[] | undefined {
  const out = new Uint32Array(2 * SACK_MAX_BLOCKS).fill(POISON);
  const n = parseSack(bytes, out);
  expect([...out.subarray(2 * n)].every((word) => word === POISON)).toBe(true);
  return n === 0 ? undefined : [...out.subarray(0, 2 * n)];
}

const edges = (blocks: Block[]): number[] => blocks.flatMap(({ Left, Right }) => [Left, Right]);

describe('recorded payloads', () => {
  const emitted = VECTORS.filter((vector) => vector.blocks !== undefined);
  test.each(emitted)('$payload is made of its blocks, four at most', ({ blocks, payload }) => {
    const bytes = new Uint8Array(64);
    const length = emitSack(bytes, 3, Uint32Array.from(edges(blocks!)), blocks!.length);
    expect(toHex(bytes.subarray(3, 3 + length))).toBe(payload);
    expect(bytes.subarray(3 + length).every((byte) => byte === 0)).toBe(true);
  });

  test.each(VECTORS)(
    '$payload is read as recorded, unless longer (DP 5.8: exactly 5 + 8n)',
    ({ payload, ok, decoded }) => {
      const bytes = fromHex(payload)!;
      expect(looksLikeSack(bytes)).toBe(ok);
      const isExact = ok && bytes.length === sackLength(decoded!.length);
      expect(parsed(bytes)).toEqual(isExact ? edges(decoded!) : undefined);
    },
  );

  test.runIf(isOurs)('two of them are longer than their blocks', () => {
    expect(
      VECTORS.filter(({ payload, ok, decoded }) => ok && payload.length / 2 > sackLength(decoded!.length)),
    ).toHaveLength(2);
  });
});

test('the vector of DP 5.8: one block [4096, 5248)', () => {
  const bytes = new Uint8Array(sackLength(1));
  expect(emitSack(bytes, 0, Uint32Array.of(4096, 5248), 1)).toBe(13);
  expect(toHex(bytes)).toBe('5341434b010000100000001480');
  expect(parsed(bytes)).toEqual([4096, 5248]);
});

test('nothing is written without a block', () => {
  const bytes = new Uint8Array(8);
  expect(emitSack(bytes, 0, new Uint32Array(8), 0)).toBe(0);
  expect(bytes).toEqual(new Uint8Array(8));
});

test.each([
  ['n = 0', '5341434b00', 40],
  ['n = 5', '5341434b05', 60],
  ['n = 255', '5341434bff', 4_000],
  ['one byte short', '5341434b01', 12],
  ['lower case', '5361434b01', 13],
])('data with %s is data for everybody', (_, start, length) => {
  const bytes = new Uint8Array(length);
  bytes.set(fromHex(start)!);
  expect(looksLikeSack(bytes)).toBe(false);
  expect(parsed(bytes)).toBeUndefined();
});

test('user data that begins like a SACK is data for us, and known to be dangerous', () => {
  const bytes = new Uint8Array(1_152).fill(0x20);
  bytes.set(fromHex('5341434b03')!);
  expect(parsed(bytes)).toBeUndefined();
  expect(looksLikeSack(bytes)).toBe(true);
  // What our sender does: the first byte alone makes the rest harmless.
  expect(looksLikeSack(bytes.subarray(0, 1))).toBe(false);
  expect(looksLikeSack(bytes.subarray(1))).toBe(false);
});

describe('hostile payloads', () => {
  const sample = new Uint8Array(sackLength(3));
  emitSack(sample, 0, Uint32Array.of(0xffffff00, 5, 100, 200, 300, 400), 3);

  test('no truncation is a SACK', () => {
    for (const cut of truncations(sample)) {
      expect(parsed(cut)).toBeUndefined();
      expect(looksLikeSack(cut)).toBe(false);
    }
  });

  test('a flipped bit is refused or shows', () => {
    const original = parsed(sample);
    for (const flipped of bitFlips(sample)) expect(parsed(flipped)).not.toEqual(original);
  });

  test('never more than four blocks, and none without looking like it', () => {
    for (const bytes of hostile(sample)) {
      const words = parsed(bytes);
      if (words === undefined) continue;
      expect(words.length).toBeLessThanOrEqual(8);
      expect(looksLikeSack(bytes)).toBe(true);
      expect(bytes.length).toBe(5 + 4 * words.length);
    }
  });
});

test('parse reads back what emit writes', () => {
  const block = fc.tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 0xffff_ffff }));
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 4 }), (blocks) => {
      const bytes = new Uint8Array(sackLength(blocks.length));
      expect(emitSack(bytes, 0, Uint32Array.from(blocks.flat()), blocks.length)).toBe(bytes.length);
      expect(parsed(bytes)).toEqual(blocks.flat());
      expect(looksLikeSack(bytes)).toBe(true);
    }),
    { seed: 1, numRuns: 200 },
  );
});
