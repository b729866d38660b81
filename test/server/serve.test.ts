import { expect, test } from 'vitest';
import { type RendezvousServer, serveRendezvous } from '../../src/server/serve.ts';
import { MemoryStore } from '../../src/server/store/memory.ts';
import type { Store } from '../../src/server/store/store.ts';
import { discoverText, emitDiscover, emitPunchRequest } from '../../src/wire/beacon.ts';
import { CHALLENGE, emitJsonFrame, type RegistryFields } from '../../src/wire/registry.ts';
import { type Client, LoopHost } from './loop-host.ts';
import { hex, Identity } from './rig.ts';

const alice = new Identity('alice');
const bob = new Identity('bob');

/** A store whose answers come a turn later, and that fails on demand. */
class SlowStore implements Store {
  readonly #store = new MemoryStore();
  isBroken = false;
  isClosed = false;

  async execute(operation: Parameters<Store['execute']>[0]): Promise<Awaited<ReturnType<Store['execute']>>> {
    if (this.isBroken) throw new Error('disk full');
    return this.#store.execute(operation);
  }

  counts(): ReturnType<Store['counts']> {
    return this.#store.counts();
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** Lets all promises that are ready run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

function answers(client: Client): RegistryFields[] {
  return client.received.splice(0).map((bytes) => JSON.parse(Buffer.from(bytes.subarray(4)).toString()));
}

async function ask(client: Client, fields: RegistryFields): Promise<RegistryFields> {
  client.send(emitJsonFrame(fields));
  await settle();
  const got = answers(client);
  expect(got).toHaveLength(1);
  return got[0]!;
}

async function join(client: Client, identity: Identity): Promise<number> {
  const listen_addr = '127.0.0.1:4000';
  const signature = identity.sign(CHALLENGE.register(listen_addr, identity.key));
  return (await ask(client, { type: 'register', listen_addr, public_key: identity.key, signature })).node_id as number;
}

function start(loop: LoopHost, options = {}): Promise<RendezvousServer> {
  return serveRendezvous(loop.host, options);
}

test('the beacon is on the next port, and beacon_list and the URL say where all is', async () => {
  const loop = new LoopHost();
  const server = await start(loop);
  expect([server.port, server.beaconPort, server.url]).toEqual([20_000, 20_001, 'pilot://127.0.0.1:20000']);
  const client = loop.connect();
  expect((await ask(client, { type: 'beacon_list' })).beacons).toEqual([{ id: 1, addr: '127.0.0.1:20001' }]);
  await server.close();
  expect([loop.taken.size, loop.isUdpClosed, client.isClosed, loop.timerCount]).toEqual([0, true, true, 0]);
});

test('with a free port, another pair is tried while the port after it is taken', async () => {
  const loop = new LoopHost();
  loop.taken.add('udp 20001').add('udp 20002');
  const server = await start(loop);
  expect([server.port, server.beaconPort]).toEqual([20_002, 20_003]);
  expect([...loop.taken].filter((port) => port.startsWith('tcp'))).toEqual(['tcp 20002']);
});

test('a port that was named is not replaced, and nothing stays bound', async () => {
  const loop = new LoopHost();
  loop.taken.add('udp 9001');
  await expect(start(loop, { port: 9_000 })).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  expect([...loop.taken]).toEqual(['udp 9001']);
  await expect(start(loop, { port: 65_535 })).rejects.toMatchObject({ code: 'PORT_IN_USE' });
});

test('with TLS the URL pins the certificate', async () => {
  const tls = { certificate: 'c', key: 'k', pin: 'abcd' };
  const server = await start(new LoopHost(), { tls, advertiseHost: '2001:db8::1' });
  expect(server.url).toBe('pilots://[2001:db8::1]:20000#sha256=abcd');
});

for (const isSlow of [false, true]) {
  const kind = isSlow ? 'that take their time' : 'that answer at once';
  test(`two agents find trust, a poke and each other with store and keys ${kind}`, async () => {
    const loop = new LoopHost(isSlow);
    const server = await start(loop, isSlow ? { store: new SlowStore() } : {});
    const client = loop.connect();
    const [a, b] = [await join(client, alice), await join(client, bob)];
    const at = { a: { host: '127.0.0.1', port: 1 }, b: { host: '127.0.0.1', port: 2 } };
    const discover = (identity: Identity, id: number, from: { host: string; port: number }, ms: number): void => {
      const signature = identity.signBytes(discoverText(id, ms));
      loop.datagram(emitDiscover(id, { publicKey: identity.publicKey, signedAtMs: ms, signature }), from);
    };
    // A store that takes its time lets the beacon know only with the second Discover.
    for (const ms of [1, 2]) {
      discover(alice, a, at.a, ms);
      discover(bob, b, at.b, ms);
      await settle();
    }
    expect(server.stats().beaconNodes).toBe(2);
    loop.sent.length = 0;
    const request = { type: 'request_handshake', from_node_id: a, to_node_id: b, justification: '' };
    await ask(client, { ...request, signature: alice.sign(CHALLENGE.requestHandshake(a, b)) });
    expect(loop.sent).toEqual([{ to: at.b, bytes: '0a01' }]);
    const respond = { type: 'respond_handshake', node_id: b, peer_id: a, accept: true };
    loop.datagram(emitPunchRequest(a, b), at.a);
    expect(server.stats().beacon.punchNotAllowed, 'no trust yet').toBe(1);
    await ask(client, { ...respond, signature: bob.sign(CHALLENGE.respondHandshake(b, a)) });
    expect((await ask(client, { type: 'check_trust', node_id: a, peer_id: b })).trusted).toBe(true);
    loop.sent.length = 0;
    loop.now += 2_000;
    loop.datagram(emitPunchRequest(a, b), at.a);
    expect(loop.sent.map(({ to }) => to)).toEqual(isSlow ? [] : [at.a, at.b]);
    loop.sent.length = 0;
    loop.datagram(hex('050000000100000002aabb'), at.a);
    expect(loop.sent).toEqual([{ to: at.b, bytes: '0600000001aabb' }]);
  });
}

test('pipelined requests are answered in order, also when each takes its time', async () => {
  const loop = new LoopHost(true);
  await start(loop, { store: new SlowStore() });
  const client = loop.connect();
  for (let id = 1; id <= 9; id++) client.send(emitJsonFrame({ type: 'lookup', node_id: id }));
  await settle();
  await settle();
  expect(answers(client).map(({ error }) => error)).toEqual(
    Array.from({ length: 9 }, (_, i) => `node ${i + 1}: node not found`),
  );
});

test('one link gives way to others after 64 requests, and all are answered', async () => {
  const loop = new LoopHost();
  await start(loop);
  const client = loop.connect();
  const many = Buffer.concat(Array.from({ length: 200 }, () => emitJsonFrame({ type: 'lookup', node_id: 1 })));
  client.send(many);
  expect(client.received.length).toBeLessThanOrEqual(64);
  loop.elapse(1);
  expect(client.received).toHaveLength(200);
});

test('a store that fails answers with an error and goes on', async () => {
  const loop = new LoopHost();
  const store = new SlowStore();
  const server = await start(loop, { store });
  const client = loop.connect();
  store.isBroken = true;
  expect(await ask(client, { type: 'lookup', node_id: 1 })).toEqual({
    type: 'error',
    error: 'request failed',
    code: 'BUSY',
  });
  store.isBroken = false;
  expect((await ask(client, { type: 'lookup', node_id: 1 })).code).toBe('NOT_FOUND');
  expect(server.stats().storeFailures).toBe(1);
  await server.close();
  expect(store.isClosed).toBe(true);
});

test('a link that does not read its answers is not answered further, and is closed', async () => {
  const loop = new LoopHost();
  const server = await start(loop);
  const client = loop.connect();
  client.isFull = true;
  client.send(emitJsonFrame({ type: 'lookup', node_id: 1 }));
  client.send(emitJsonFrame({ type: 'lookup', node_id: 2 }));
  expect(client.received).toHaveLength(1);
  client.isFull = false;
  client.drain();
  expect(client.received).toHaveLength(2);
  client.isFull = true;
  client.send(emitJsonFrame({ type: 'lookup', node_id: 3 }));
  loop.elapse(31_000);
  expect(client.isClosed).toBe(true);
  expect(server.stats()).toMatchObject({ openLinks: 0, links: { stalled: 1 } });
});

test('idle links are closed by the tick; more links than allowed are closed at once', async () => {
  const loop = new LoopHost();
  const server = await start(loop, { links: 1 });
  const client = loop.connect();
  expect(loop.connect().isClosed).toBe(true);
  expect(server.stats().links).toMatchObject({ linksFull: 1, linksOpened: 1 });
  loop.elapse(301_000);
  expect(client.isClosed).toBe(true);
  expect(loop.connect().isClosed).toBe(false);
});

test('half requests of all links together are bounded, and a link that ends gives its share back', async () => {
  const loop = new LoopHost();
  const server = await start(loop);
  const half = new Uint8Array(250_000).fill(0x20);
  new DataView(half.buffer).setUint32(0, 256 * 1024);
  const clients = Array.from({ length: 268 }, () => loop.connect());
  for (const client of clients) client.send(half);
  expect(server.stats().links.inputFull).toBeUndefined();
  const last = loop.connect();
  last.send(half);
  expect(last.isClosed).toBe(true);
  expect(server.stats()).toMatchObject({ openLinks: 268, links: { inputFull: 1 } });
  clients[0]!.end();
  const next = loop.connect();
  next.send(half);
  expect(next.isClosed).toBe(false);
});

test('an answer that comes after the link ended is thrown away', async () => {
  const loop = new LoopHost(true);
  const server = await start(loop, { store: new SlowStore() });
  const client = loop.connect();
  client.send(emitJsonFrame({ type: 'lookup', node_id: 1 }));
  client.end();
  await settle();
  expect(client.received).toEqual([]);
  expect(server.stats().openLinks).toBe(0);
});

test('a relayed frame is copied before the buffer it came in is used again, and buffers come back', async () => {
  const loop = new LoopHost();
  const server = await start(loop);
  const client = loop.connect();
  await join(client, alice);
  loop.datagram(emitDiscover(1), { host: '127.0.0.1', port: 1 });
  loop.release();
  const relay = hex('050000000900000001aabb');
  loop.datagram(relay, { host: '127.0.0.1', port: 9 });
  relay.fill(0);
  const [first] = loop.lent;
  expect(Buffer.from(first!.bytes).toString('hex')).toBe('0600000009aabb');
  loop.release();
  loop.datagram(hex('050000000900000001ccdd'), { host: '127.0.0.1', port: 9 });
  expect(loop.lent[0]!.bytes.buffer).toBe(first!.bytes.buffer);
  for (let i = 0; i < 300; i++) loop.datagram(hex('050000000900000001eeff'), { host: '127.0.0.1', port: 9 });
  expect(loop.lent).toHaveLength(256);
  expect(server.stats().beacon.relayed).toBe(302);
});
