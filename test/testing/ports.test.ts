import { expect, test } from 'vitest';
import { Ports } from '../../src/testing/ports.ts';
import { Random } from '../../src/testing/random.ts';

test('every ephemeral port can be had once, and then none', () => {
  const ports = new Ports<object>('UDP', new Random('ports'));
  const socket = {};
  const had = new Set<number>();
  for (let i = 32_768; i <= 60_999; i++) {
    const port = ports.choose('::', 0);
    ports.bind('::', port, socket);
    had.add(port);
  }
  expect([had.size, Math.min(...had), Math.max(...had)]).toEqual([28_232, 32_768, 60_999]);
  expect(() => ports.choose('::', 0)).toThrow(expect.objectContaining({ code: 'PORT_IN_USE' }));
  ports.release(40_000, socket);
  expect(ports.choose('::', 0)).toBe(40_000);
});
