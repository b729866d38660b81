import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import {
  CAPABILITY,
  type Capabilities,
  emitCapabilities,
  MTU_ANSWER_BYTES,
  PATH_PROBE,
  parseCapabilities,
  parseMtuMessage,
  readVarint,
  varintLength,
  writeMtuMessage,
  writeVarint,
} from '../../src/wire/control.ts';
import { bitFlips, hostile, truncations } from '../reference/hostile.ts';

const SAMPLE: Capabilities = {
  version: 1,
  bits: CAPABILITY.halfClose | 0x100,
  segmentBytes: 1152,
  receiveBytes: 1_048_576,
};
const SAMPLE_HEX = `50574350${'01'}${'8102'}${'00000480'}${'00100000'}`;

test('the path probe is the payload of the vector in DP 2.4', () => {
  expect(toHex(PATH_PROBE)).toBe('7061746870726f62652e7631');
});

describe('capabilities', () => {
  test('are mark, version, varint bits, segment, receive buffer', () => {
    expect(toHex(emitCapabilities(SAMPLE))).toBe(SAMPLE_HEX);
    expect(parseCapabilities(fromHex(SAMPLE_HEX)!)).toEqual(SAMPLE);
  });

  test('of a later version are read, and what it appends is ignored', () => {
    const later = `50574350ff${'8102'}${'00000480'}${'00100000'}ffffff`;
    expect(parseCapabilities(fromHex(later)!)).toEqual({ ...SAMPLE, version: 255 });
  });

  test('with bits beyond 32 keep the known ones', () => {
    const bits = 2 ** 34 + CAPABILITY.halfClose;
    const read = parseCapabilities(emitCapabilities({ ...SAMPLE, bits }))!;
    expect(read.bits).toBe(bits);
    expect(read.bits & CAPABILITY.halfClose).toBe(CAPABILITY.halfClose);
  });

  test.each([
    ['the mark is another', `50574351${SAMPLE_HEX.slice(8)}`],
    ['the bits never end', `5057435001${'80'.repeat(20)}`],
    ['the bits take six bytes', `5057435001${'80'.repeat(5)}00${'00'.repeat(8)}`],
    ['nothing follows', '5057435001'],
    ['there is nothing', ''],
  ])('are refused when %s', (_, hex) => {
    expect(parseCapabilities(fromHex(hex)!)).toBeUndefined();
  });

  test('cut short are refused', () => {
    for (const cut of truncations(fromHex(SAMPLE_HEX)!)) expect(parseCapabilities(cut)).toBeUndefined();
  });

  test('with a flipped bit are refused or differ', () => {
    for (const flipped of bitFlips(fromHex(SAMPLE_HEX)!)) expect(parseCapabilities(flipped)).not.toEqual(SAMPLE);
  });

  test('out of hostile bytes stay in range', () => {
    for (const bytes of hostile(fromHex(SAMPLE_HEX)!)) {
      const read = parseCapabilities(bytes);
      if (read === undefined) continue;
      expect(read.version).toBeLessThan(256);
      expect(read.bits).toBeLessThan(2 ** 35);
      expect(read.segmentBytes).toBeLessThan(2 ** 32);
      expect(read.receiveBytes).toBeLessThan(2 ** 32);
    }
  });

  test('are read back as they were written', () => {
    const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
    const capabilities = fc.record({
      version: fc.integer({ min: 0, max: 255 }),
      bits: fc.oneof(u32, fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 2 ** 35 - 1 })),
      segmentBytes: u32,
      receiveBytes: u32,
    });
    fc.assert(
      fc.property(capabilities, (value) => {
        expect(parseCapabilities(emitCapabilities(value))).toEqual(value);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});

describe('varints', () => {
  test.each([
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [16_383, 'ff7f'],
    [16_384, '808001'],
    [624_485, 'e58e26'],
    [0xffff_ffff, 'ffffffff0f'],
    [2 ** 35 - 1, 'ffffffff7f'],
  ])('%i is %s', (value, hex) => {
    const bytes = new Uint8Array(varintLength(value));
    expect(writeVarint(bytes, 0, value)).toBe(bytes.length);
    expect(toHex(bytes)).toBe(hex);
    expect(readVarint(bytes, 0)).toEqual({ value, end: bytes.length });
    for (const cut of truncations(bytes)) expect(readVarint(cut, 0)).toBeUndefined();
  });

  test('are read at their offset', () => {
    expect(readVarint(fromHex('ffffac02ff')!, 2)).toEqual({ value: 300, end: 4 });
    expect(readVarint(fromHex('00')!, 1)).toBeUndefined();
  });
});

describe('messages about the MTU', () => {
  test('are mark and number, and zeros', () => {
    const probe = new Uint8Array(12).fill(7);
    writeMtuMessage(probe, { isAnswer: false, number: 0xfedcba98 });
    expect(toHex(probe)).toBe('50574d50fedcba9800000000');
    expect(parseMtuMessage(probe)).toEqual({ isAnswer: false, number: 0xfedcba98 });
    const answer = new Uint8Array(MTU_ANSWER_BYTES);
    writeMtuMessage(answer, { isAnswer: true, number: 1 });
    expect(toHex(answer)).toBe('50574d4100000001');
    expect(parseMtuMessage(answer)).toEqual({ isAnswer: true, number: 1 });
  });

  test('are nothing else', () => {
    const answer = fromHex('50574d4100000001')!;
    for (const cut of truncations(answer)) expect(parseMtuMessage(cut)).toBeUndefined();
    for (const flipped of bitFlips(answer)) {
      const read = parseMtuMessage(flipped);
      if (read !== undefined) expect(read).not.toEqual({ isAnswer: true, number: 1 });
    }
    expect(parseMtuMessage(fromHex(SAMPLE_HEX)!)).toBeUndefined();
    for (const bytes of hostile(answer)) parseMtuMessage(bytes);
  });
});
