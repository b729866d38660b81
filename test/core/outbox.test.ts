import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { Outbox } from '../../src/core/outbox.ts';

const CAPACITY = 4096;

test('datagrams leave in the order they came, with path and token', () => {
  const outbox = new Outbox();
  outbox.push(Uint8Array.of(1), 5);
  outbox.push(Uint8Array.of(2), 6, 77);
  expect(outbox.size).toBe(2);
  expect(outbox.poll()).toEqual({ bytes: Uint8Array.of(1), path: 5, token: -1 });
  expect(outbox.poll()).toEqual({ bytes: Uint8Array.of(2), path: 6, token: 77 });
  expect(outbox.poll()).toBeUndefined();
});

test('a full one takes nothing, and says so', () => {
  const outbox = new Outbox();
  for (let i = 0; i < CAPACITY; i++) outbox.push(Uint8Array.of(0), i);
  expect([outbox.size, outbox.push(Uint8Array.of(0), 0)]).toEqual([CAPACITY, false]);
  expect(outbox.poll()?.path).toBe(0);
  expect(outbox.push(Uint8Array.of(0), CAPACITY)).toBe(true);
  const left = Array.from({ length: CAPACITY }, () => outbox.poll()?.path);
  expect(left).toEqual(Array.from({ length: CAPACITY }, (_, i) => i + 1));
  expect(outbox.size).toBe(0);
});

test('one that is never quite empty keeps nothing of what left it', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const outbox = new Outbox();
  const left: WeakRef<Uint8Array>[] = [];
  outbox.push(new Uint8Array(1), 0);
  for (let i = 1; i <= 3 * CAPACITY; i++) {
    outbox.push(new Uint8Array(1), i);
    const next = outbox.poll()!;
    if (next.path !== i - 1) throw new Error('out of order');
    left.push(new WeakRef(next.bytes));
  }
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect(outbox.size).toBe(1);
  expect(left.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(CAPACITY);
});
