import { crc32 as zlibCrc32 } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { crc32 as twin } from '../reference/crc32.ts';
import { random } from '../reference/hostile.ts';
import { readVectors } from '../vectors/folder.ts';
import { compile, instantiate, type Kernel, type Target } from './compile.ts';

const LONGEST = 65_535;

interface TableEntry {
  crc32: string;
  data: string;
  len: number;
}

const table = readVectors<{ crc32: TableEntry[] }>('packets').crc32;

function tableData(entry: TableEntry): Uint8Array {
  if (entry.data.startsWith('ascii ')) return new TextEncoder().encode(entry.data.slice(6));
  expect(entry.data).toBe('byte i = (7*i+3) mod 256');
  return Uint8Array.from({ length: entry.len }, (_, i) => 7 * i + 3);
}

test('the twin agrees with zlib and with the recorded table', () => {
  const source = random(1);
  for (let length = 0; length <= 300; length++) {
    const bytes = source.bytes(length);
    expect(twin(bytes)).toBe(zlibCrc32(bytes));
  }
  for (const entry of table) expect(twin(tableData(entry)).toString(16).padStart(8, '0')).toBe(entry.crc32);
});

describe.each<Target>(['release', 'relaxed'])('crc32, target %s', (target) => {
  let binary: Uint8Array<ArrayBuffer>;
  let kernel: Kernel;

  beforeAll(() => {
    binary = compile({ crc32: ['crc32Init', 'crc32'] }, target);
    if (!WebAssembly.validate(binary)) return;
    kernel = instantiate(binary, 2);
    kernel.exports.crc32Init!();
  });

  function crc32At(ptr: number, bytes: Uint8Array): number {
    kernel.bytes.set(bytes, ptr);
    return kernel.exports.crc32!(ptr, bytes.length) >>> 0;
  }

  test('the plain build validates everywhere', () => {
    if (target === 'release') expect(WebAssembly.validate(binary)).toBe(true);
    expect(binary.length).toBeGreaterThan(1_000);
  });

  test('every length to 300 at every alignment gives the CRC of zlib, whatever stands around', (context) => {
    if (kernel === undefined) return context.skip();
    const source = random(2);
    for (let length = 0; length <= 300; length++) {
      const bytes = source.bytes(length);
      const expected = zlibCrc32(bytes);
      for (let alignment = 0; alignment < 16; alignment++) {
        kernel.bytes.fill(source.next(), kernel.free, kernel.free + 400);
        expect(crc32At(kernel.free + 32 + alignment, bytes), `${length} at ${alignment}`).toBe(expected);
      }
    }
  });

  test('long messages give the CRC of zlib', (context) => {
    if (kernel === undefined) return context.skip();
    const source = random(3);
    for (const length of [1_234, 4_095, 4_096, 4_097, 8_192, 65_507, LONGEST]) {
      const bytes = source.bytes(length);
      expect(crc32At(kernel.free + 5, bytes)).toBe(zlibCrc32(bytes));
    }
  });

  test('the recorded table is met', (context) => {
    if (kernel === undefined) return context.skip();
    for (const entry of table) {
      expect(crc32At(kernel.free, tableData(entry)).toString(16).padStart(8, '0')).toBe(entry.crc32);
    }
  });

  test('a message may end with the memory: nothing behind it is read', (context) => {
    if (kernel === undefined) return context.skip();
    const source = random(4);
    for (let length = 0; length <= 40; length++) {
      const bytes = source.bytes(length);
      expect(crc32At(kernel.bytes.length - length, bytes)).toBe(zlibCrc32(bytes));
    }
  });

  test('the bytes are not changed', (context) => {
    if (kernel === undefined) return context.skip();
    const bytes = random(5).bytes(1_000);
    crc32At(kernel.free + 3, bytes);
    expect(kernel.bytes.slice(kernel.free + 3, kernel.free + 1_003)).toEqual(bytes);
  });
});
