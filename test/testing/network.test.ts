import { expect, test } from 'vitest';
import type { Dependence } from '../../src/testing/nat.ts';
import { Ear, text, world } from './rig.ts';

const KINDS: Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'];

test('a datagram takes the time of both lines, and its receiver sees who sent it', async () => {
  const w = world();
  const [a, b] = [w.host('a', { up: { delayMs: 7 } }), w.host('b', { address: '203.0.113.9' })];
  const [from, to] = [await Ear.on(a, 1000), await Ear.on(b, 2000)];
  from.say('hello', '203.0.113.9', 2000);
  await w.run(11.9);
  expect(to.heard).toEqual([]);
  await w.run(12);
  expect(to.heard).toEqual([`hello from ${a.address}:1000`]);
});

test('sending never calls the receiver in the same turn, not even on the own machine', async () => {
  const w = world({ line: {} });
  const [a, b] = [w.host('a'), w.host('b')];
  const [one, two, far] = [await Ear.on(a), await Ear.on(a), await Ear.on(b)];
  one.say('loop', '127.0.0.1', two.socket.local.port);
  one.say('own', a.address, two.socket.local.port);
  one.say('far', b.address, far.socket.local.port);
  expect([two.heard, far.heard]).toEqual([[], []]);
  await w.settle();
  const { port } = one.socket.local;
  expect(two.heard).toEqual([`loop from 127.0.0.1:${port}`, `own from ${a.address}:${port}`]);
  expect(far.heard).toEqual([`far from ${a.address}:${port}`]);
});

for (const mapping of KINDS) {
  for (const filtering of KINDS) {
    test(`through a NAT with ${mapping} mapping and ${filtering} filtering`, async () => {
      const w = world();
      w.nat('home', { address: '198.51.100.1', mapping, filtering, ports: 'random' });
      const inside = await Ear.on(w.host('inside', { behind: 'home' }), 4000);
      const [near, far] = [w.host('near'), w.host('far')];
      const ears = [await Ear.on(near, 1), await Ear.on(near, 2), await Ear.on(far, 1), await Ear.on(far, 2)];
      const hosts = [near, near, far, far];
      inside.say('first', near.address, 1);
      await w.elapse(100);
      const [first] = ears[0]!.take().map((heard) => Number(heard.split(':').at(-1)));
      ears.forEach((ear, i) => {
        ear.say(`${i}`, '198.51.100.1', first!);
      });
      await w.elapse(100);
      const dependence = KINDS.indexOf(filtering);
      expect(inside.take().map((heard) => heard[0])).toEqual([['0', '1', '2', '3'], ['0', '1'], ['0']][dependence]);
      ears.forEach((_, i) => {
        inside.say('all', hosts[i]!.address, (i % 2) + 1);
      });
      await w.elapse(100);
      const isFirst = ears.map((ear) => ear.take()[0] === `all from 198.51.100.1:${first}`);
      const shared = [
        [true, true, true, true],
        [true, true, false, false],
        [true, false, false, false],
      ];
      expect(isFirst).toEqual(shared[KINDS.indexOf(mapping)]);
    });
  }
}

test('hosts behind one NAT reach each other directly, by hairpin only where the NAT does it', async () => {
  for (const hairpinning of [false, true]) {
    const w = world();
    w.nat('home', { address: '198.51.100.1', hairpinning, filtering: 'endpoint-independent' });
    const [a, b] = [w.host('a', { behind: 'home' }), w.host('b', { behind: 'home' })];
    const [alice, bob] = [await Ear.on(a, 4000), await Ear.on(b, 4000)];
    const server = await Ear.on(w.host('server', { address: '203.0.113.1' }), 1);
    alice.say('direct', b.address, 4000);
    bob.say('map', '203.0.113.1', 1);
    await w.elapse(100);
    expect(bob.take()).toEqual([`direct from ${a.address}:4000`]);
    expect(server.take()).toEqual(['map from 198.51.100.1:4000']);
    alice.say('hairpin', '198.51.100.1', 4000);
    await w.elapse(100);
    // RFC 4787 REQ-9a: the source is the outside address and port.
    expect(bob.take()).toEqual(hairpinning ? ['hairpin from 198.51.100.1:4001'] : []);
    expect(w.stats().dropped).toEqual(hairpinning ? {} : { natNoHairpin: 1 });
  }
});

test('a hairpinned datagram is filtered like any other', async () => {
  const w = world();
  w.nat('home', { address: '198.51.100.1', hairpinning: true });
  const alice = await Ear.on(w.host('a', { behind: 'home' }), 4000);
  const bob = await Ear.on(w.host('b', { behind: 'home' }), 5000);
  w.host('server', { address: '203.0.113.1' });
  bob.say('map', '203.0.113.1', 1);
  await w.elapse(100);
  alice.say('refused', '198.51.100.1', 5000);
  await w.elapse(100);
  bob.say('opens', '198.51.100.1', 4000);
  alice.say('let in', '198.51.100.1', 5000);
  await w.elapse(100);
  expect(bob.take()).toEqual(['let in from 198.51.100.1:4000']);
  expect(alice.take()).toEqual(['opens from 198.51.100.1:5000']);
  expect(w.stats().dropped).toEqual({ natFiltered: 1, noSocket: 1 });
});

test('a NAT without a free port drops what wants one', async () => {
  const w = world();
  const { nat } = w.nat('home');
  const ear = await Ear.on(w.host('inside', { behind: 'home' }), 4000);
  for (let i = 0; i < 64_512; i++) {
    nat.outbound(0, { host: '192.168.1.99', port: 1_024 + i }, { host: '203.0.113.1', port: 1 });
  }
  ear.say('x', w.host('server').address, 1);
  await w.elapse(100);
  expect(w.stats()).toEqual({ sent: 1, duplicated: 0, delivered: 0, inFlight: 0, dropped: { natPortsFull: 1 } });
});

test('a NAT behind a NAT maps twice', async () => {
  const w = world();
  w.nat('carrier', { address: '198.51.100.1', lan: '100.64.0' });
  w.nat('home', { behind: 'carrier', ports: 'random' });
  const inside = await Ear.on(w.host('inside', { behind: 'home' }), 4000);
  const server = await Ear.on(w.host('server'), 1);
  inside.say('out', w.host('server').address, 1);
  await w.elapse(100);
  const [from] = server.take();
  expect(from).toMatch(/^out from 198\.51\.100\.1:\d+$/);
  server.say('back', '198.51.100.1', Number(from!.split(':')[1]));
  await w.elapse(100);
  expect(inside.take()).toEqual([`back from ${w.host('server').address}:1`]);
});

test('two homes with the same LAN addresses are two LANs', async () => {
  const w = world();
  w.nat('one');
  w.nat('two');
  const [a, b] = [w.host('a', { behind: 'one' }), w.host('b', { behind: 'two' })];
  expect([a.address, b.address]).toEqual(['192.168.1.2', '192.168.1.2']);
  const c = w.host('c', { behind: 'two' });
  const [alice, carol] = [await Ear.on(a, 4000), await Ear.on(c, 4000)];
  alice.say('lost', c.address, 4000);
  await w.elapse(100);
  expect(carol.heard).toEqual([]);
  expect(w.stats().dropped).toEqual({ noRoute: 1 });
});

test('a binding that timed out refuses what comes in', async () => {
  const w = world();
  w.nat('home', { address: '198.51.100.1', timeoutMs: 30_000 });
  const inside = await Ear.on(w.host('inside', { behind: 'home' }), 4000);
  const server = await Ear.on(w.host('server', { address: '203.0.113.1' }), 1);
  inside.say('out', '203.0.113.1', 1);
  await w.elapse(29_900);
  server.say('in time', '198.51.100.1', 4000);
  await w.elapse(200);
  server.say('too late', '198.51.100.1', 4000);
  await w.elapse(100);
  expect(inside.take()).toEqual(['in time from 203.0.113.1:1']);
  expect(w.stats().dropped).toEqual({ natNoMapping: 1 });
});

test('a NAT that gets another address forgets its mappings; a machine that does keeps its sockets', async () => {
  const w = world();
  w.nat('home', { address: '198.51.100.1' });
  const inside = await Ear.on(w.host('inside', { behind: 'home' }), 4000);
  const s = w.host('server', { address: '203.0.113.1' });
  const server = await Ear.on(s, 1);
  inside.say('one', '203.0.113.1', 1);
  await w.elapse(100);
  w.rebind('home', '198.51.100.77');
  server.say('old', '198.51.100.1', 4000);
  server.say('new', '198.51.100.77', 4000);
  await w.elapse(100);
  inside.say('two', '203.0.113.1', 1);
  await w.elapse(100);
  expect(server.take()).toEqual(['one from 198.51.100.1:4000', 'two from 198.51.100.77:4000']);
  expect(inside.take()).toEqual([]);
  expect(w.stats().dropped).toEqual({ noRoute: 1, natNoMapping: 1 });
  w.rebind('server');
  expect(s.address).not.toBe('203.0.113.1');
  server.say('moved', '198.51.100.77', 4000);
  inside.say('three', s.address, 1);
  await w.elapse(100);
  expect(server.take()).toEqual(['three from 198.51.100.77:4000']);
});

test('a socket of an address that the machine lost neither sends nor receives', async () => {
  const w = world();
  const [a, b] = [w.host('a', { address: '203.0.113.1' }), w.host('b', { address: '203.0.113.2' })];
  const [bound, other] = [await Ear.on(a, 1, '203.0.113.1'), await Ear.on(b, 1)];
  w.rebind('a', '203.0.113.3');
  bound.say('x', '203.0.113.2', 1);
  other.say('y', '203.0.113.3', 1);
  await w.elapse(100);
  expect([bound.heard, other.heard, bound.refused]).toEqual([[], [], ['203.0.113.2:1']]);
});

test('a machine that moves behind a NAT is seen by its address', async () => {
  const w = world();
  w.nat('cafe', { address: '198.51.100.5' });
  const a = w.host('a', { address: '203.0.113.1' });
  const [roamer, server] = [await Ear.on(a, 4000), await Ear.on(w.host('server', { address: '203.0.113.2' }), 1)];
  roamer.say('before', '203.0.113.2', 1);
  // What is on its way to the old place is lost.
  server.say('late', '203.0.113.1', 4000);
  await w.elapse(9);
  w.move('a', { behind: 'cafe' });
  await w.elapse(100);
  roamer.say('after', '203.0.113.2', 1);
  await w.elapse(100);
  expect(server.take()).toEqual(['before from 203.0.113.1:4000', 'after from 198.51.100.5:4000']);
  expect(roamer.take()).toEqual([]);
  expect(w.stats().dropped).toEqual({ noRoute: 1 });
});

test('block, scripted loss and lines between two machines concern those two only', async () => {
  const w = world();
  const [a, b, c] = [w.host('a'), w.host('b'), w.host('c')];
  const ears = { a: await Ear.on(a, 1), b: await Ear.on(b, 1), c: await Ear.on(c, 1) };
  const all = (): void => {
    for (const [name, ear] of Object.entries(ears)) {
      for (const to of [a, b, c]) if (to.name !== name) ear.say(`${name}${to.name}`, to.address, 1);
    }
  };
  const heard = async (): Promise<string[]> => {
    all();
    await w.elapse(100);
    return Object.values(ears)
      .flatMap((ear) => ear.take().map((line) => line.slice(0, 2)))
      .sort();
  };
  w.block('a', 'b');
  expect(await heard()).toEqual(['ac', 'bc', 'ca', 'cb']);
  w.unblock('b', 'a');
  w.cut(({ sender, receiver, bytes }) => sender === 'c' && receiver === 'a' && bytes[0] === 'c'.charCodeAt(0));
  expect(await heard()).toEqual(['ab', 'ac', 'ba', 'bc', 'cb']);
  w.cut(undefined);
  w.between('a', 'b', { loss: 1 });
  expect(await heard()).toEqual(['ac', 'ba', 'bc', 'ca', 'cb']);
  w.between('a', 'b', { loss: 0, delayMs: 50 });
  all();
  await w.elapse(59);
  expect(ears.b.take()).toHaveLength(1);
  await w.elapse(1);
  expect(ears.b.take()).toHaveLength(1);
  expect(w.stats().dropped).toEqual({ blocked: 2, cut: 1, lost: 1 });
});

test('where UDP is blocked nothing leaves or comes in, but the machine hears itself', async () => {
  const w = world();
  const [a, b] = [w.host('a', { isUdpBlocked: true }), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  one.say('out', b.address, 1);
  two.say('in', a.address, 1);
  one.say('self', '127.0.0.1', 1);
  await w.elapse(100);
  expect([one.take(), two.take()]).toEqual([['self from 127.0.0.1:1'], []]);
  expect(w.stats()).toEqual({ sent: 3, duplicated: 0, delivered: 1, inFlight: 0, dropped: { udpBlocked: 2 } });
});

test('sizes count headers: at an MTU of 1280, 1252 bytes pass over IPv4 and 1232 over IPv6', async () => {
  const w = world({ line: { mtuBytes: 1_280 } });
  for (const [from, to, most] of [
    ['203.0.113.1', '203.0.113.2', 1_252],
    ['2001:db8::1', '2001:db8::2', 1_232],
  ] as const) {
    const a = await Ear.on(w.host(from, { address: from }), 1);
    const b = await Ear.on(w.host(to, { address: to }), 1);
    for (const length of [most, most + 1]) a.socket.send(new Uint8Array(length), { host: to, port: 1 }, -1);
    await w.elapse(10);
    expect(b.take()).toHaveLength(1);
  }
  expect(w.stats().dropped).toEqual({ aboveMtu: 2 });
});

test('ICMP is told only to machines that listen for it, as late as an answer would come', async () => {
  const w = world();
  const [a, b] = [w.host('a', { reportsUnreachable: true }), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  await w.run(1_000);
  one.say('no port', b.address, 9);
  one.say('no host', '203.0.113.200', 9);
  two.say('no port', a.address, 9);
  await w.elapse(19);
  expect(one.refused).toEqual(['203.0.113.200:9']);
  await w.elapse(1);
  expect([one.refused, two.refused]).toEqual([['203.0.113.200:9', `${b.address}:9`], []]);
  expect(w.stats().dropped).toEqual({ noSocket: 2, noRoute: 1 });
});

test('loss, duplicates and reordering of a world add up, and every datagram is accounted for', async () => {
  const w = world({ line: { delayMs: 5, loss: 0.05, duplication: 0.02, reordering: 0.02 } });
  const [a, b] = [w.host('a'), w.host('b')];
  const [one, two] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  for (let i = 0; i < 5_000; i++) {
    one.say(`${i}`, b.address, 1);
    await w.elapse(1);
  }
  const during = w.stats();
  await w.elapse(100);
  const { sent, duplicated, delivered, inFlight, dropped } = w.stats();
  expect(during.inFlight).toBeGreaterThan(0);
  expect([sent, inFlight]).toEqual([5_000, 0]);
  expect(sent + duplicated - delivered).toBe(dropped.lost);
  expect(two.heard).toHaveLength(delivered);
  // Two lines: 1 - 0.95², and 1 - 0.98².
  expect(Math.abs(dropped.lost! / sent - 0.0975)).toBeLessThan(0.012);
  expect(Math.abs(duplicated / sent - 0.037)).toBeLessThan(0.008);
  const order = two.heard.map((line) => Number.parseInt(line, 10));
  expect(order).not.toEqual([...order].sort((x, y) => x - y));
});

test('bytes that arrive are the sender’s at the time of sending, and the receiver’s only until it returns', async () => {
  const w = world({ line: { duplication: 1 } });
  const [a, b] = [w.host('a'), w.host('b')];
  const kept: Uint8Array[] = [];
  const seen: string[] = [];
  const handler = {
    datagram: (bytes: Uint8Array) => {
      kept.push(bytes);
      seen.push(new TextDecoder().decode(bytes));
    },
    released() {},
    unreachable() {},
  };
  await b.bindUdp({ port: 1, handler });
  const socket = (await Ear.on(a)).socket;
  const bytes = text('whole');
  socket.send(bytes, { host: b.address, port: 1 }, 0);
  bytes.fill(0);
  await w.elapse(100);
  expect(seen).toEqual(['whole', 'whole', 'whole', 'whole']);
  expect(kept.map((one) => one.every((byte) => byte === 0xa5))).toEqual([true, true, true, true]);
});
