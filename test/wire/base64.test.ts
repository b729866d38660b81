import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBase64, fromHex, toBase64, toHex } from '../../src/wire/base64.ts';
import { random } from '../reference/hostile.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

test.each([
  ['', ''],
  ['f', 'Zg=='],
  ['fo', 'Zm8='],
  ['foo', 'Zm9v'],
  ['foob', 'Zm9vYg=='],
  ['fooba', 'Zm9vYmE='],
  ['foobar', 'Zm9vYmFy'],
])('RFC 4648 §10: %j is %j', (text, encoded) => {
  expect(toBase64(ascii(text))).toBe(encoded);
  expect(fromBase64(encoded)).toEqual(ascii(text));
});

test('the public key of CP 11 is read and written as published', () => {
  const hex = '03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8';
  const text = 'A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=';
  expect(toBase64(fromHex(hex)!)).toBe(text);
  expect(toHex(fromBase64(text)!)).toBe(hex);
});

test.each([
  ['padding is missing', 'Zg'],
  ['padding is short', 'Zg='],
  ['padding is long', 'Zg==='],
  ['there is only padding', '===='],
  ['three are padding', 'Z==='],
  ['padding is in the middle', 'Zg==Zg=='],
  ['padding comes before the end', 'Z=g='],
  ['white space is inside', 'Zm9v\nZm9v'],
  ['white space is behind', 'Zm9v   '],
  ['the alphabet is the URL one', '-_-_'],
  ['a letter is not ASCII', 'Zm9é'],
  ['a letter is far from ASCII', 'Zm9\u{ffff}'],
  ['unused bits of one byte are set', 'Zh=='],
  ['unused bits of two bytes are set', 'Zm9='],
  ['one letter stands behind', 'Zm9vY'],
])('fromBase64 refuses a text when %s', (_, text) => {
  expect(fromBase64(text)).toBeUndefined();
});

test('both forms read back what they write, as the platform writes it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
      expect(fromBase64(toBase64(bytes))).toEqual(bytes);
      expect(toHex(bytes)).toBe(Buffer.from(bytes).toString('hex'));
      expect(fromHex(toHex(bytes))).toEqual(bytes);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('whatever fromBase64 takes, toBase64 writes again: one text per value', () => {
  const source = random(1);
  const letters = 'AQgwZ09+/==\n-';
  let taken = 0;
  for (let i = 0; i < 20_000; i++) {
    let text = '';
    for (let n = source.below(9); n > 0; n--) text += letters[source.below(letters.length)];
    const bytes = fromBase64(text);
    if (bytes === undefined) continue;
    taken++;
    expect(toBase64(bytes)).toBe(text);
  }
  expect(taken).toBeGreaterThan(100);
});

test('hex is read in either case and refused when odd or not hex', () => {
  expect(fromHex('00fFA9')).toEqual(Uint8Array.of(0, 255, 0xa9));
  expect(fromHex('')).toEqual(new Uint8Array(0));
  for (const text of ['0', 'abc', '0g', ' 0', '0x', '+1', 'é0']) expect(fromHex(text)).toBeUndefined();
});
