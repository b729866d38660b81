/** Agents over real WebSockets: with others on UDP, behind TLS, through a server that ends and comes back. */
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { Agent, Connection } from '../../bindings/node/index.ts';
import { MemoryStore, type Store, serveRendezvous } from '../../bindings/node/server.ts';
import { builtInWebSocket } from '../../bindings/node/websocket.ts';
import {
  agent,
  befriend,
  codeOf,
  connected,
  directory,
  eventually,
  readAll,
  rendezvous,
  sha256,
  writeAll,
} from './rig.ts';

const MIB = 1024 * 1024;
const WEB = { transport: 'websocket' } as const;

/** A TCP proxy in front of a port, whose links can be broken. */
async function proxy(to: number): Promise<{ port: number; breakAll: () => number }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const breakAll = (): number => {
    const { size } = sockets;
    for (const socket of sockets) socket.resetAndDestroy();
    return size;
  };
  onTestFinished(() => {
    breakAll();
    server.close();
  });
  return { port: (server.address() as { port: number }).port, breakAll };
}

async function exchange(from: Agent, to: Agent, port: number, length = 2 * MIB): Promise<void> {
  const [near, far] = await connected(from, to, port);
  const [there, back] = [randomBytes(length), randomBytes(length)];
  const [gotFar, gotNear] = await Promise.all([
    readAll(far),
    readAll(near),
    writeAll(near, there),
    writeAll(far, back),
  ]);
  expect([sha256(gotFar), sha256(gotNear)]).toEqual([sha256(there), sha256(back)]);
  await Promise.all([near.close(), far.close()]);
}

/** Reads until so much is there, and leaves the rest. */
async function read({ readable }: Connection, length: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const reader = readable.getReader();
  for (let got = 0; got < length; got += chunks.at(-1)?.length ?? 0) {
    const { value } = await reader.read();
    if (value === undefined) break;
    chunks.push(value);
  }
  reader.releaseLock();
  return Buffer.concat(chunks);
}

test('an agent on a WebSocket and one on UDP: trust, streams both ways, datagrams, pings', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url, { hostname: 'alice', ...WEB });
  const bob = await agent(server.url, { hostname: 'bob' });
  await befriend(alice, bob);
  await exchange(alice, bob, 1000);
  await exchange(bob, alice, 1001);
  for (const [from, to] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    const inbox = to.datagrams(5000);
    const next = inbox[Symbol.asyncIterator]().next();
    await from.send(`${to.nodeId}:5000`, Uint8Array.of(1, 2, 3));
    expect([...((await next).value?.bytes ?? [])]).toEqual([1, 2, 3]);
    inbox.close();
    expect((await from.ping(to.address)).bytes).toBe(32);
  }
  expect(await alice.explain('bob')).toEqual({
    ...{ path: 'relay', reason: 'websocket-carries-relays-only' },
    ...{ carrier: 'websocket', carrierReason: 'asked-for' },
  });
  expect(await bob.explain('alice')).toMatchObject({ path: 'relay', carrier: 'udp' });
  expect(server.stats()).toMatchObject({ carriedNodes: 1, openWebSockets: 2, web: { bridgeProven: 1 } });
});

test('a link that breaks in the middle of a stream is opened again, under the same address', async () => {
  const server = await rendezvous();
  const through = await proxy(server.port);
  const alice = await agent(`ws://127.0.0.1:${through.port}`, { hostname: 'alice' });
  const bob = await agent(server.url, { hostname: 'bob' });
  await befriend(alice, bob);
  const { nodeId } = alice;
  const news: string[] = [];
  alice.on('diagnostics', ({ code }) => news.push(code));
  const [near, far] = await connected(alice, bob, 1000);
  const sent = randomBytes(2 * MIB);
  const writing = writeAll(near, sent);
  const half = await read(far, MIB);
  expect(through.breakAll()).toBeGreaterThan(0);
  const rest = await readAll(far);
  await writing;
  expect(sha256(Buffer.concat([half, rest]))).toBe(sha256(sent));
  expect(news.filter((code) => code.startsWith('carrier'))).toEqual(['carrierLost', 'carrier']);
  expect(alice.nodeId).toBe(nodeId);
  expect(server.stats().web).toMatchObject({ bridgeProven: 2 });
});

test('a rendezvous that ends and starts again gets its WebSockets back', async () => {
  const memory = new MemoryStore();
  const store: Store = { execute: (one) => memory.execute(one), counts: () => memory.counts(), close: async () => {} };
  const first = await serveRendezvous({ store });
  const { port, beaconPort } = first;
  const alice = await agent(first.url, { hostname: 'alice', ...WEB });
  const bob = await agent(first.url, { hostname: 'bob', ...WEB });
  await befriend(alice, bob);
  const ids = [alice.nodeId, bob.nodeId];
  await first.close();
  const second = await rendezvous({ port, beaconPort, store });
  await eventually(() => second.stats().carriedNodes === 2);
  await exchange(alice, bob, 1000, 100_000);
  expect([alice.nodeId, bob.nodeId]).toEqual(ids);
});

test('wss: with the server’s own certificate and its pin', async () => {
  const server = await rendezvous({ tls: true, directory: directory() });
  expect(server.webUrl).toMatch(/^wss:\/\/127\.0\.0\.1:\d+#sha256=[0-9a-f]{64}$/);
  const alice = await agent(server.url, { hostname: 'alice', ...WEB });
  const bob = await agent(server.webUrl, { hostname: 'bob' });
  await befriend(alice, bob);
  await exchange(alice, bob, 1000, 500_000);
  expect(bob.stats()).toMatchObject({ carrier: 'websocket', carrierReason: 'asked-for' });
});

test('wss: another pin, and a certificate that nobody vouches for, are refused before anything is sent', async () => {
  const server = await rendezvous({ tls: true, directory: directory() });
  const code = (url: string): Promise<string> => codeOf(agent(url, { ...WEB, timeoutMs: 1_500 }));
  const wrong = server.webUrl.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  expect(await code(wrong)).toBe('TLS_PIN_MISMATCH');
  expect(await code(wrong.replace('wss:', 'pilots:'))).toBe('TLS_PIN_MISMATCH');
  expect(await code(server.webUrl.replace(/#.*/, ''))).toBe('RENDEZVOUS_UNREACHABLE');
  expect(server.stats().web).toEqual({});
});

test('what is no rendezvous, or one below another path, is refused with a code', async () => {
  const server = await rendezvous();
  const start = agent(`ws://127.0.0.1:${server.port}/elsewhere`, { timeoutMs: 2_000 });
  // Node's own class does not tell what the server answered.
  const code = builtInWebSocket() === undefined ? 'NOT_SUPPORTED' : 'RENDEZVOUS_UNREACHABLE';
  await expect(start).rejects.toMatchObject({ code });
  await expect(agent('ws://192.0.2.1:9000')).rejects.toMatchObject({ code: 'INSECURE' });
  await expect(agent(server.webUrl, { transport: 'udp' })).rejects.toBeInstanceOf(TypeError);
  await expect(agent(server.url, { transport: 'pigeon' as never })).rejects.toBeInstanceOf(TypeError);
});
