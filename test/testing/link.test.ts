import { expect, test } from 'vitest';
import { Random } from '../../src/testing/random.ts';
import { dial, listen, Side, text, world } from './rig.ts';

const MIB = 1024 * 1024;

test('bytes arrive whole and in order, cut at places that the writer did not choose', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  const random = new Random('bytes');
  let sent = '';
  for (let i = 0; i < 200; i++) {
    const piece = `${i}:${'x'.repeat(random.between(0, 3_000))};`;
    sent += piece;
    client.link.write(text(piece));
    if (i % 10 === 0) await w.elapse(random.between(0, 30));
  }
  await w.elapse(1_000);
  const [server] = port.sides;
  expect(server!.text).toBe(sent);
  expect(Math.min(...server!.chunks)).toBeLessThanOrEqual(8);
  expect(Math.max(...server!.chunks)).toBeGreaterThan(6_000);
  server!.link.write(text('answer'));
  await w.elapse(9);
  expect(client.text).toBe('');
  await w.elapse(1);
  expect(client.text).toBe('answer');
});

test('what was written before a link opens waits, and the bytes of a write are copied', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  const bytes = text('early');
  client.link.write(bytes);
  bytes.fill(0);
  await w.elapse(29);
  expect(port.sides[0]!.text).toBe('');
  await w.elapse(1);
  expect(port.sides[0]!.text).toBe('early');
});

test('bytes are the reader’s only until it returns', async () => {
  const w = world();
  const kept: Uint8Array[] = [];
  const side = Object.assign(new Side(), { data: (bytes: Uint8Array) => kept.push(bytes) });
  await w.host('server').listenLink({ host: '0.0.0.0', port: 1 }, () => side);
  dial(w.host('client'), 'server', 1).link.write(text('secret'));
  await w.elapse(100);
  expect(kept.every((bytes) => bytes.every((byte) => byte === 0xa5))).toBe(true);
  expect(kept.length).toBeGreaterThan(0);
});

test('write answers false above 1 MiB that waits; drain comes once, when all is there', async () => {
  const w = world({ line: { delayMs: 5, bytesPerSecond: MIB } });
  const port = await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  await w.elapse(20);
  expect(client.link.write(new Uint8Array(MIB))).toBe(true);
  expect(client.link.write(new Uint8Array(1))).toBe(false);
  expect(client.link.write(new Uint8Array(1))).toBe(false);
  await w.elapse(900);
  expect(client.log).toEqual(['open']);
  await w.elapse(200);
  expect([client.log, port.sides[0]!.text.length]).toEqual([['open', 'drain'], MIB + 2]);
  expect(client.link.write(new Uint8Array(1))).toBe(true);
});

test('a rate holds bytes up', async () => {
  const w = world();
  const port = await listen(w.host('server', { down: { bytesPerSecond: 100_000 } }), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  client.link.write(new Uint8Array(50_000));
  await w.elapse(270);
  expect(port.sides[0]!.text.length).toBeLessThan(50_000);
  expect(port.sides[0]!.text.length).toBeGreaterThan(15_000);
  await w.elapse(270);
  expect(port.sides[0]!.text.length).toBe(50_000);
});

test('close ends both sides in order, after what either had written', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  await w.elapse(100);
  const [server] = port.sides;
  server!.link.write(new Uint8Array(300_000));
  client.link.write(new Uint8Array(400_000));
  client.link.close();
  expect([client.link.write(text('no more')), client.log]).toEqual([true, ['open']]);
  await w.elapse(1_000);
  expect([server!.text.length, server!.log]).toEqual([400_000, ['open', 'closed']]);
  expect([client.text.length, client.log]).toEqual([300_000, ['open', 'closed']]);
});

test('a link closed before it opens sends what was written, or is never seen', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const [writer, silent] = [dial(w.host('client'), 'server', 9000), dial(w.host('client'), 'server', 9000)];
  writer.link.write(text('hello'));
  writer.link.close();
  silent.link.close();
  await w.elapse(1_000);
  expect([writer.log, silent.log]).toEqual([['closed'], ['closed']]);
  expect(port.sides.map((side) => [side.text, side.log])).toEqual([['hello', ['open', 'closed']]]);
});

test('destroy ends at once; over there it is an end, or a reset if bytes were lost', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const clients = [dial(w.host('client'), 'server', 9000), dial(w.host('client'), 'server', 9000)];
  await w.elapse(100);
  clients[0]!.link.write(text('sent'));
  await w.elapse(1);
  clients[1]!.link.write(text('lost'));
  for (const { link } of clients) link.destroy();
  expect(clients[0]!.log).toEqual(['open']);
  await w.elapse(1_000);
  expect(clients.map(({ log }) => log)).toEqual([
    ['open', 'closed'],
    ['open', 'closed'],
  ]);
  expect(port.sides.map((side) => [side.text, side.log])).toEqual([
    ['sent', ['open', 'closed']],
    ['', ['open', 'closed CONNECTION_RESET']],
  ]);
});

test('a listener may destroy a link as soon as it comes', async () => {
  const w = world();
  const refused = new Side();
  await w.host('server').listenLink({ host: '0.0.0.0', port: 1 }, (link) => {
    link.destroy();
    return refused;
  });
  const client = dial(w.host('client'), 'server', 1);
  await w.elapse(1_000);
  expect([client.log, refused.log]).toEqual([['open', 'closed'], ['closed']]);
});

test('links that break end on both sides with an error, others live', async () => {
  const w = world();
  w.nat('home');
  const port = await listen(w.host('server'), 9000);
  const clients = ['a', 'b', 'c'].map((name) =>
    dial(w.host(name, name === 'c' ? { behind: 'home' } : {}), 'server', 9000),
  );
  await w.elapse(100);
  clients[0]!.link.write(text('lost'));
  await w.elapse(1);
  w.breakLinks('a');
  w.rebind('home');
  await w.elapse(1_000);
  const [alive, dead] = [['open'], ['open', 'closed CONNECTION_RESET']];
  expect(clients.map(({ log }) => log)).toEqual([dead, alive, dead]);
  expect(port.sides.map(({ log, text: bytes }) => [log, bytes])).toEqual([
    [dead, ''],
    [alive, ''],
    [dead, ''],
  ]);
  clients[1]!.link.write(text('on'));
  await w.elapse(100);
  expect(port.sides[1]!.text).toBe('on');
});

test('a blocked way holds bytes until it opens, and loses the link after 30 s', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  await w.elapse(100);
  w.block('client', 'server');
  client.link.write(text('held'));
  const blocked = dial(w.host('client'), 'server', 9000);
  await w.elapse(20_000);
  expect([port.sides[0]!.text, client.log, blocked.log]).toEqual(['', ['open'], ['closed RENDEZVOUS_UNREACHABLE']]);
  w.unblock('client', 'server');
  await w.elapse(600);
  expect(port.sides[0]!.text).toBe('held');
  w.block('client', 'server');
  client.link.write(text('lost'));
  await w.elapse(31_000);
  expect(client.log).toEqual(['open', 'closed CONNECTION_LOST']);
  // The other side does not know, until it writes.
  expect(port.sides[0]!.log).toEqual(['open']);
  w.unblock('client', 'server');
  port.sides[0]!.link.write(text('anybody there?'));
  await w.elapse(1_000);
  expect(port.sides[0]!.log).toEqual(['open', 'closed CONNECTION_RESET']);
});

test('a side that ends while the way is blocked gives up after 5 s', async () => {
  const w = world();
  await listen(w.host('server'), 9000);
  const clients = [dial(w.host('client'), 'server', 9000), dial(w.host('client'), 'server', 9000)];
  await w.elapse(100);
  w.block('client', 'server');
  clients[0]!.link.write(text('held'));
  for (const { link } of clients) link.close();
  await w.elapse(4_999);
  expect(clients.map(({ log }) => log)).toEqual([['open'], ['open']]);
  await w.elapse(1);
  expect(clients.map(({ log }) => log)).toEqual([
    ['open', 'closed CONNECTION_LOST'],
    ['open', 'closed'],
  ]);
});

test('a side that got an end has 5 s for what it still has to send', async () => {
  const w = world();
  const port = await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  await w.elapse(100);
  client.link.close();
  await w.elapse(9);
  w.block('client', 'server');
  port.sides[0]!.link.write(text('held'));
  await w.elapse(5_000);
  expect(port.sides[0]!.log).toEqual(['open']);
  await w.elapse(1);
  expect(port.sides[0]!.log).toEqual(['open', 'closed CONNECTION_LOST']);
});

test('a link that was closed before it opened has its 5 s from then', async () => {
  const w = world();
  const port = await listen(w.host('server', { down: { bytesPerSecond: 10_000 } }), 9000);
  const host = w.host('client');
  w.block('client', 'server');
  const client = dial(host, 'server', 9000);
  client.link.write(new Uint8Array(30_000));
  client.link.close();
  await w.elapse(3_500);
  w.unblock('client', 'server');
  await w.elapse(4_000);
  expect([client.log, port.sides[0]!.text.length]).toEqual([['closed'], 30_000]);
});

test('a link that is closing is not told that its buffer is empty', async () => {
  const w = world();
  await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  await w.elapse(100);
  expect(client.link.write(new Uint8Array(MIB + 1))).toBe(false);
  client.link.close();
  await w.elapse(1_000);
  expect(client.log).toEqual(['open', 'closed']);
});

test('a listener that closes ends its links, waits for those that are ending, and frees the port', async () => {
  const w = world();
  const host = w.host('server');
  const sides: Side[] = [];
  const server = await host.listenLink({ host: '0.0.0.0', port: 9000 }, (link) => {
    const side = new Side();
    side.link = link;
    sides.push(side);
    return side;
  });
  await expect(host.listenLink({ host: host.address, port: 9000 }, () => new Side())).rejects.toMatchObject({
    code: 'PORT_IN_USE',
  });
  const clients = [dial(w.host('client'), 'server', 9000), dial(w.host('client'), 'server', 9000)];
  await w.elapse(100);
  sides[0]!.link.write(text('goodbye'));
  sides[0]!.link.close();
  let isClosed = false;
  server.close().then(() => {
    isClosed = true;
  });
  await w.elapse(9);
  expect(isClosed).toBe(false);
  await w.elapse(100);
  expect(isClosed).toBe(true);
  expect(clients.map((client) => [client.text, client.log])).toEqual([
    ['goodbye', ['open', 'closed']],
    ['', ['open', 'closed']],
  ]);
  w.assertQuiet();
  expect((await host.listenLink({ host: 'localhost', port: 9000 }, () => new Side())).local).toEqual({
    host: '127.0.0.1',
    port: 9000,
  });
  const [inside, outside] = [dial(host, 'localhost', 9000), dial(w.host('client'), 'server', 9000)];
  await w.elapse(100);
  expect([inside.log, outside.log]).toEqual([['open'], ['closed RENDEZVOUS_UNREACHABLE']]);
});

test('the same seed cuts at the same places, another seed at others', async () => {
  const cuts = async (seed: number): Promise<number[]> => {
    const w = world({ seed });
    const port = await listen(w.host('server'), 9000);
    dial(w.host('client'), 'server', 9000).link.write(new Uint8Array(500_000));
    await w.elapse(1_000);
    return port.sides[0]!.chunks;
  };
  expect(await cuts(1)).toEqual(await cuts(1));
  expect(await cuts(1)).not.toEqual(await cuts(2));
});
