import { expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import { NO_PATH, Paths } from '../../src/core/paths.ts';

test('an address has one path, and a path tells its address', () => {
  const paths = new Paths();
  const a = paths.intern('192.0.2.1', 4000);
  expect(paths.intern('192.0.2.1', 4000)).toBe(a);
  expect(paths.intern('192.0.2.1', 4001)).not.toBe(a);
  expect(paths.intern('::1', 4000)).not.toBe(a);
  expect([paths.host(a), paths.port(a), paths.has(a), paths.size]).toEqual(['192.0.2.1', 4000, true, 3]);
  expect(paths.has(NO_PATH)).toBe(false);
  expect(() => paths.host(77)).toThrow(RangeError);
});

test('a flood of addresses is bounded and takes none that is held', () => {
  const paths = new Paths();
  const held = paths.intern('192.0.2.1', 1);
  paths.hold(held);
  for (let i = 0; i < 3 * LIMITS.paths; i++) paths.intern(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5);
  expect(paths.size).toBeLessThanOrEqual(LIMITS.paths);
  expect(paths.host(held)).toBe('192.0.2.1');
  paths.release(held);
  for (let i = 0; i < 2 * LIMITS.paths; i++) paths.intern(`11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5);
  expect(paths.intern('192.0.2.1', 1)).not.toBe(undefined);
  expect(paths.size).toBeLessThanOrEqual(LIMITS.paths);
});

test('what is in use though not held outlives what is not', () => {
  const paths = new Paths();
  const busy = paths.intern('192.0.2.1', 1);
  for (let i = 0; i < 3 * LIMITS.paths; i++) {
    paths.intern(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5);
    if (i % 1_000 === 0) expect(paths.intern('192.0.2.1', 1)).toBe(busy);
  }
});

test('holds are counted', () => {
  const paths = new Paths();
  const held = paths.intern('192.0.2.1', 1);
  paths.hold(held);
  paths.hold(held);
  paths.release(held);
  for (let i = 0; i < 2 * LIMITS.paths; i++) paths.intern(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5);
  expect(paths.host(held)).toBe('192.0.2.1');
});

test('a path that was held and released many times leaves as any other', () => {
  const paths = new Paths();
  const path = paths.intern('192.0.2.1', 1);
  for (let i = 0; i < 1_000; i++) {
    paths.hold(path);
    paths.release(path);
  }
  for (let i = 0; i < LIMITS.paths; i++) paths.intern(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5);
  expect(paths.has(path)).toBe(false);
  expect(paths.size).toBe(LIMITS.paths / 2 + 1);
});

test('no path needs no holding', () => {
  const paths = new Paths();
  paths.hold(NO_PATH);
  paths.release(NO_PATH);
  expect(paths.size).toBe(0);
});
