import { expect, test } from 'vitest';
import { BufferPool, ByteRing, FIRST_RING_BYTES } from '../../src/core/buffer.ts';
import { seeded, stream } from './connection-harness.ts';

test('a ring starts with nothing, then has 4 KiB and doubles', () => {
  const pool = new BufferPool();
  const ring = new ByteRing(pool.send, 20_000);
  expect(ring.capacity).toBe(0);
  for (const [bytes, capacity] of [
    [1, FIRST_RING_BYTES],
    [4097, 8192],
    [8193, 16_384],
    [16_385, 20_000],
  ] as const) {
    expect(ring.reserve(bytes, 0)).toBe(true);
    expect(ring.capacity).toBe(capacity);
    expect(pool.used).toBe(capacity);
  }
  expect(ring.reserve(20_001, 0)).toBe(false);
  ring.release();
  expect(pool.used).toBe(0);
});

test('a pool that is nearly used up gives its rest and then refuses', () => {
  const pool = new BufferPool(8000);
  const ring = new ByteRing(pool.send, 20_000);
  expect(ring.reach).toBe(6000);
  expect(ring.reserve(5000, 0)).toBe(true);
  expect(ring.capacity).toBe(6000);
  expect(ring.reserve(6001, 0)).toBe(false);
  expect(pool.used).toBe(6000);
});

test('neither direction can take the whole pool', () => {
  const pool = new BufferPool(1000);
  expect(pool.send.take(751)).toBe(false);
  expect(pool.send.take(750)).toBe(true);
  expect(pool.receive.available).toBe(250);
  expect(pool.receive.take(251)).toBe(false);
  expect(pool.receive.take(250)).toBe(true);
});

test('an empty ring keeps its memory unless others need it', () => {
  const pool = new BufferPool(10_000);
  const ring = new ByteRing(pool.receive, 4096);
  ring.reserve(1, 0);
  ring.yield();
  expect(ring.capacity).toBe(4096);
  pool.send.take(2000);
  ring.yield();
  expect(ring.capacity).toBe(0);
});

test('bytes come out as they went in, over the edge and through growth', () => {
  const random = seeded(3);
  const pool = new BufferPool();
  const ring = new ByteRing(pool.send, 50_000);
  let start = 0;
  let end = 0;
  for (let i = 0; i < 2000; i++) {
    const length = Math.floor(random() * (random() < 0.5 ? 60 : 4000));
    if (end - start + length <= 50_000 && random() < 0.55) {
      const bytes = stream(end - 3, end + length + 2);
      expect(ring.reserve(end - start + length, end - start)).toBe(true);
      ring.copyIn(end - start, bytes, 3, 3 + length);
      end += length;
    } else {
      const taken = Math.min(length, end - start);
      const skip = Math.floor(random() * (end - start - taken + 1));
      const into = new Uint8Array(taken + 5);
      ring.copyOut(skip, into, 2, taken);
      expect(into.subarray(2, 2 + taken)).toEqual(stream(start + skip, start + skip + taken));
      if (taken > 0) expect(ring.byteAt(skip)).toBe(into[2]);
      ring.drop(taken);
      start += taken;
    }
  }
  expect(end).toBeGreaterThan(500_000);
});
