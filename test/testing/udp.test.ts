import { expect, test } from 'vitest';
import { Ear, text, world } from './rig.ts';

test('ports are the machine’s: one socket each per address, any free one for 0', async () => {
  const w = world();
  const a = w.host('a');
  const every = await Ear.on(a, 4000);
  expect(every.socket.local).toEqual({ host: '::', port: 4000 });
  for (const address of [undefined, '0.0.0.0', '127.0.0.1', a.address]) {
    await expect(Ear.on(a, 4000, address)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  }
  await expect(Ear.on(w.host('a'), 4000), 'another program').rejects.toMatchObject({ code: 'PORT_IN_USE' });
  every.socket.close();
  const [own, loop] = [await Ear.on(a, 4000, a.address), await Ear.on(a, 4000, '127.0.0.1')];
  own.say('to loop', '127.0.0.1', 4000);
  loop.say('not out', a.address, 4000);
  await w.settle();
  expect(loop.heard).toEqual([`to loop from ${a.address}:4000`]);
  expect([own.heard, loop.refused]).toEqual([[], [`${a.address}:4000`]]);
  const free = new Set<number>();
  for (let i = 0; i < 500; i++) free.add((await Ear.on(a)).socket.local.port);
  expect(free.size).toBe(500);
});

test('what cannot be bound is refused with a code', async () => {
  const a = world().host('a');
  await expect(Ear.on(a, 1, 'localhost.example')).rejects.toMatchObject({ code: 'ADDRESS_INVALID' });
  await expect(Ear.on(a, 1, '203.0.113.99')).rejects.toMatchObject({ code: 'UNREACHABLE' });
  await expect(Ear.on(a, 65_536)).rejects.toThrow(RangeError);
});

test('what cannot be sent is given back, and the sender is told', async () => {
  const w = world();
  const ear = await Ear.on(w.host('a'));
  ear.socket.send(text('x'), { host: 'a.name', port: 1 }, 1);
  ear.socket.send(text('x'), { host: '203.0.113.1', port: 0 }, 2);
  ear.socket.send(new Uint8Array(65_508), { host: '203.0.113.1', port: 1 }, 3);
  ear.socket.send(text('x'), { host: '2001:db8::1', port: 1 }, 4);
  expect([ear.released, ear.refused.length]).toEqual([[1, 2, 3, 4], 4]);
  expect(w.stats().sent).toBe(0);
});

test('without late release, bytes go back before send returns', async () => {
  const ear = await Ear.on(world().host('a'));
  ear.socket.send(text('x'), { host: '203.0.113.1', port: 1 }, 5);
  expect(ear.released).toEqual([5]);
});

test('with late release, bytes are read when they go back, in order, and go back once', async () => {
  const w = world();
  const [a, b] = [w.host('a', { lateReleaseMs: 20 }), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  for (let token = 0; token < 20; token++) {
    const to = { host: b.address, port: 1 };
    one.socket.send(text(`${token}`), to, token % 5 === 4 ? -1 : token);
    to.port = 9;
  }
  expect(one.released).toEqual([]);
  await w.elapse(5);
  expect(one.released.length).toBeLessThan(16);
  await w.elapse(100);
  const tokens = Array.from({ length: 20 }, (_, i) => i);
  expect(one.released).toEqual(tokens.filter((token) => token % 5 !== 4));
  expect(two.heard.map((line) => Number.parseInt(line, 10))).toEqual(tokens);
});

test('late release catches a buffer that was used again before it came back', async () => {
  const w = world({ seed: 77 });
  const ear = await Ear.on(w.host('a', { lateReleaseMs: 10 }));
  const slot = text('first');
  ear.socket.send(slot, { host: '203.0.113.1', port: 1 }, 3);
  slot.set(text('other'));
  await expect(w.elapse(100)).rejects.toThrow(/seed 77.*Lent bytes changed before token 3/);
});

test('a token that is still out cannot be lent again', async () => {
  const w = world();
  const ear = await Ear.on(w.host('a', { lateReleaseMs: 10 }));
  const to = { host: '203.0.113.1', port: 1 };
  ear.socket.send(text('x'), to, 3);
  expect(() => ear.socket.send(text('y'), to, 3)).toThrow(TypeError);
  await w.elapse(100);
  ear.socket.send(text('y'), to, 3);
  await w.elapse(100);
  expect(ear.released).toEqual([3, 3]);
});

test('bytes without a token may change at once', async () => {
  const w = world();
  const [a, b] = [w.host('a', { lateReleaseMs: 10 }), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  const bytes = text('first');
  one.socket.send(bytes, { host: b.address, port: 1 }, -1);
  bytes.fill(0);
  await w.elapse(100);
  expect(two.heard).toEqual([`first from ${a.address}:1`]);
});

test('a socket that closes gives lent bytes back a turn later and sends nothing more', async () => {
  const w = world();
  const [a, b] = [w.host('a', { lateReleaseMs: 10 }), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  one.socket.send(text('x'), { host: b.address, port: 1 }, 0);
  await w.elapse(100);
  one.socket.send(text('x'), { host: b.address, port: 1 }, 1);
  one.socket.close();
  expect(one.released).toEqual([0]);
  await w.elapse(100);
  one.socket.send(text('y'), { host: b.address, port: 1 }, 2);
  expect([one.released, one.refused, two.heard.length]).toEqual([[0, 1, 2], [], 1]);
  two.socket.close();
  w.assertQuiet();
});

test('what arrives for a socket that was closed meanwhile is dropped', async () => {
  const w = world();
  const [a, b] = [w.host('a'), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  one.say('x', b.address, 1);
  await w.elapse(5);
  two.socket.close();
  await w.elapse(100);
  expect(two.heard).toEqual([]);
  expect(w.stats().dropped).toEqual({ noSocket: 1 });
});
