import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatTime, parseTime } from '../../src/core/rfc3339.ts';

const FIRST = -62_135_596_800;
const LAST = 253_402_300_799;

test.each([
  ['1970-01-01T00:00:00Z', 0],
  ['1969-12-31T23:59:59Z', -1],
  ['2023-11-14T22:13:20Z', 1_700_000_000],
  ['2000-02-29T12:00:00Z', 951_825_600],
  ['2000-03-01T00:00:00Z', 951_868_800],
  ['2100-02-28T23:59:59Z', 4_107_542_399],
  ['2100-03-01T00:00:00Z', 4_107_542_400],
  ['0001-01-01T00:00:00Z', FIRST],
  ['9999-12-31T23:59:59Z', LAST],
])('%s is %i, both ways', (text, time) => {
  expect(parseTime(text)).toBe(time);
  expect(formatTime(time)).toBe(text);
});

test.each([
  ['the example with a fraction', '1985-04-12T23:20:50.52Z', '1985-04-12T23:20:50Z'],
  ['nanoseconds', '2023-11-14T22:13:20.123456789Z', '2023-11-14T22:13:20Z'],
  ['an offset to the west', '1996-12-19T16:39:57-08:00', '1996-12-20T00:39:57Z'],
  ['an offset to the east over the new year', '2024-01-01T00:30:00+05:30', '2023-12-31T19:00:00Z'],
  ['an unknown offset', '2023-11-14T22:13:20-00:00', '2023-11-14T22:13:20Z'],
  ['a leap second', '1990-12-31T23:59:60Z', '1991-01-01T00:00:00Z'],
  ['lower-case letters', '2023-11-14t22:13:20z', '2023-11-14T22:13:20Z'],
])('%s is read', (_, text, same) => {
  expect(parseTime(text)).toBe(parseTime(same));
});

test.each([
  '',
  'now',
  '1700000000',
  '2023-11-14',
  '2023-11-14 22:13:20Z',
  '2023-11-14T22:13:20',
  '2023-11-14T22:13Z',
  '2023-11-14T22:13:20.Z',
  '2023-11-14T22:13:20,5Z',
  '2023-11-14T22:13:20+0100',
  '2023-11-14T22:13:20+24:00',
  '2023-11-14T22:13:20+01:60',
  '2023-11-14T24:00:00Z',
  '2023-11-14T22:60:00Z',
  '2023-11-14T22:13:61Z',
  '2023-00-14T22:13:20Z',
  '2023-13-14T22:13:20Z',
  '2023-11-00T22:13:20Z',
  '2023-11-31T22:13:20Z',
  '2023-02-29T22:13:20Z',
  '1900-02-29T22:13:20Z',
  '12023-11-14T22:13:20Z',
  '-023-11-14T22:13:20Z',
  ' 2023-11-14T22:13:20Z',
  '2023-11-14T22:13:20Z\n',
  '٢٠٢٣-11-14T22:13:20Z',
  `2023-11-14T22:13:20.${'1'.repeat(64)}Z`,
])('%j is no time', (text) => {
  expect(parseTime(text)).toBeUndefined();
});

test('any time comes back as it was, and as the platform has it', () => {
  fc.assert(
    fc.property(fc.integer({ min: FIRST, max: LAST }), (time) => {
      const text = formatTime(time);
      expect(text).toBe(`${new Date(time * 1000).toISOString().slice(0, 19)}Z`);
      expect(parseTime(text)).toBe(time);
    }),
    { seed: 1, numRuns: 2_000 },
  );
});

test('times in all zones are read as the platform reads them', () => {
  const zone = fc.tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }));
  fc.assert(
    fc.property(fc.integer({ min: FIRST + 86_400, max: LAST - 86_400 }), zone, (time, [sign, hour, minute]) => {
      const two = (value: number): string => `${value}`.padStart(2, '0');
      const text = `${formatTime(time).slice(0, -1)}${sign}${two(hour)}:${two(minute)}`;
      expect(parseTime(text)).toBe(Date.parse(text) / 1000);
    }),
    { seed: 1, numRuns: 500 },
  );
});

test('no text makes it throw, and what it takes it can write', () => {
  const digit = fc.constantFrom(...'0123456789-:TZ+.');
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: digit, maxLength: 30 })), (text) => {
      const time = parseTime(text);
      if (time !== undefined) expect(Number.isInteger(time)).toBe(true);
    }),
    { seed: 1 },
  );
});

test('times that four digits cannot say become the nearest that they can', () => {
  expect([formatTime(FIRST - 1), formatTime(LAST + 1)]).toEqual(['0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z']);
  expect([formatTime(Number.NEGATIVE_INFINITY), formatTime(1e300)]).toEqual([formatTime(FIRST), formatTime(LAST)]);
  expect(formatTime(1.9)).toBe('1970-01-01T00:00:01Z');
});
