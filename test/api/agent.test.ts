/** Starting, finding, datagrams, failures and the end of real agents. */
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { Address, Agent } from '../../bindings/node/index.ts';
import { emitJsonFrame } from '../../src/wire/registry.ts';
import { agent, befriend, codeOf, connected, directory, eventually, friends, rendezvous } from './rig.ts';

test('agents get different addresses; one identity keeps its own', async () => {
  const server = await rendezvous();
  const home = directory();
  const alice = await agent(server.url, { home, identity: 'alice' });
  const bob = await agent(server.url);
  expect(String(alice.address)).toMatch(/^0:0000\.[0-9A-F]{4}\.[0-9A-F]{4}$/);
  expect(alice.nodeId).not.toBe(bob.nodeId);
  expect(statSync(`${home}/alice/identity.json`).mode & 0o777).toBe(0o600);
  expect(statSync(`${home}/alice`).mode & 0o777).toBe(0o700);
  await alice.close();
  const again = await agent(server.url, { home, identity: 'alice' });
  expect(again.nodeId).toBe(alice.nodeId === 0 ? again.nodeId : alice.nodeId);
  expect(Buffer.from(again.publicKey).equals(Buffer.from(alice.publicKey))).toBe(true);
});

test('an identity serves one process at a time, and a damaged one none', async () => {
  const server = await rendezvous();
  const home = directory();
  await agent(server.url, { home, identity: 'alice' });
  expect(await codeOf(agent(server.url, { home, identity: 'alice' }))).toBe('IDENTITY_IN_USE');
  const bob = await agent(server.url, { home, identity: 'bob' });
  await bob.close();
  const path = `${home}/bob/identity.json`;
  chmodSync(path, 0o644);
  expect(await codeOf(agent(server.url, { home, identity: 'bob' }))).toBe('IDENTITY_INVALID');
  chmodSync(path, 0o600);
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 50));
  expect(await codeOf(agent(server.url, { home, identity: 'bob' }))).toBe('IDENTITY_INVALID');
  await expect(agent(server.url, { home, identity: '..' })).rejects.toThrow(TypeError);
});

test('a host name belongs to one agent', async () => {
  const server = await rendezvous();
  await agent(server.url, { hostname: 'bob' });
  expect(await codeOf(agent(server.url, { hostname: 'bob' }))).toBe('ALREADY_EXISTS');
  expect(await codeOf(agent(server.url, { hostname: 'Bob!' }))).toBe('REGISTRY_REFUSED');
  const other = await agent(server.url, { hostname: 'carol' });
  expect(other.hostname).toBe('carol');
});

test('a rendezvous that is not there, plaintext to elsewhere and bad URLs are told apart', async () => {
  expect(await codeOf(agent('pilot://127.0.0.1:1', { timeoutMs: 400 }))).toBe('RENDEZVOUS_UNREACHABLE');
  expect(await codeOf(agent('pilot://192.0.2.1:9000'))).toBe('INSECURE');
  for (const url of ['http://127.0.0.1:1', 'pilot://127.0.0.1', 'pilot://127.0.0.1:70000', '']) {
    await expect(agent(url)).rejects.toThrow(TypeError);
  }
});

test('TLS with a pinned certificate; another certificate is refused', async () => {
  const server = await rendezvous({ tls: true, directory: directory() });
  expect(server.url).toMatch(/^pilots:\/\/127\.0\.0\.1:\d+#sha256=[0-9a-f]{64}$/);
  const alice = await agent(server.url);
  expect(alice.nodeId).toBeGreaterThan(0);
  const wrong = server.url.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  expect(await codeOf(agent(wrong))).toBe('TLS_PIN_MISMATCH');
  // The system knows nobody who signed it.
  expect(['RENDEZVOUS_UNREACHABLE', 'TLS_PIN_MISMATCH']).toContain(
    await codeOf(agent(server.url.replace(/#.*/, ''), { timeoutMs: 700 })),
  );
});

test('names and tags find those who show themselves', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const hidden = await agent(server.url, { hostname: 'hidden', tags: ['search'] });
  const open = await agent(server.url, { hostname: 'open', tags: ['search', 'gpu'], visibility: 'public' });
  expect((await alice.find({ tag: 'search' })).map(({ nodeId }) => nodeId)).toEqual([open.nodeId]);
  expect(await codeOf(alice.find('hidden'))).toBe('NOT_FOUND');
  expect(await alice.find('open')).toMatchObject({ nodeId: open.nodeId, tags: ['search', 'gpu'], isPublic: true });
  await befriend(alice, hidden);
  expect((await alice.find({ tag: 'search' })).map(({ hostname }) => hostname).sort()).toEqual(['hidden', 'open']);
  await eventually(() => true);
  expect(await codeOf(alice.find({ tag: 'nothing' }))).toBe('resolved');
  expect(await alice.find({ tag: 'nothing' })).toEqual([]);
});

test('a rendezvous of others that cannot find by tag is told apart', async () => {
  const server = await rendezvous();
  const refusal = emitJsonFrame({ type: 'error', error: 'request failed' });
  // Between agent and registry: what the existing network does not know is refused as it would.
  const between = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    far.pipe(near);
    near.on('data', (bytes) => (String(bytes).includes('find_nodes') ? near.write(refusal) : far.write(bytes)));
    near.on('close', () => far.destroy());
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void between.close());
  const alice = await agent(`pilot://127.0.0.1:${(between.address() as AddressInfo).port}`);
  expect(await codeOf(alice.find({ tag: 'search' }))).toBe('NOT_SUPPORTED');
  await alice.close();
});

test('datagrams arrive with their sender; what cannot be sent is an error', async () => {
  const { alice, bob } = await friends();
  const inbox = bob.datagrams(5000)[Symbol.asyncIterator]();
  await alice.send('bob:5000', Buffer.from('hello'), { sourcePort: 777 });
  const { value } = await inbox.next();
  expect(value).toMatchObject({ peerPort: 777, peer: { node: alice.nodeId } });
  expect(String(Buffer.from(value.bytes))).toBe('hello');
  const large = randomBytes(8_192);
  await alice.send('bob:5000', large);
  expect(Buffer.from((await inbox.next()).value.bytes).equals(large)).toBe(true);
  expect(await codeOf(alice.send('bob:5000', new Uint8Array(8_193)))).toBe('TOO_LARGE');
  await expect(alice.send('bob:5000', new Uint8Array(0))).rejects.toThrow(TypeError);
  await expect(alice.send('bob', Uint8Array.of(1))).rejects.toThrow(TypeError);
  expect(await codeOf(alice.send(`${alice.address}:5000`, Uint8Array.of(1)))).toBe('UNREACHABLE');
  expect(() => bob.datagrams(5000)).toThrow(expect.objectContaining({ code: 'PORT_IN_USE' }));
});

test('ping needs no trust; a node that does not exist is told apart from one that is silent', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url);
  const pong = await alice.ping(bob.address);
  expect(pong.rttMs).toBeGreaterThan(0);
  expect(await codeOf(alice.ping('4000000'))).toBe('NOT_FOUND');
  expect(await codeOf(alice.dial('4000000:7'))).toBe('NOT_FOUND');
  await bob.close();
  expect(await codeOf(alice.ping(bob.address, { timeoutMs: 300 }))).not.toBe('resolved');
});

test('explain() tells a direct path', async () => {
  const { alice, bob } = await friends();
  expect(await alice.explain('12345')).toMatchObject({ path: 'none' });
  await alice.ping(bob.address);
  await eventually(() => alice.peers().some((peer) => peer.path === 'direct'));
  expect(await alice.explain('bob')).toEqual({
    ...{ path: 'direct', reason: 'answered-directly' },
    ...{ carrier: 'udp', carrierReason: 'beacon-answers-over-udp' },
  });
});

test('the rendezvous dies and those who know each other go on', async () => {
  const { server, alice, bob } = await friends();
  await (await alice.dial('bob:7')).close();
  await server.close();
  await eventually(() => !alice.isOnline);
  const [out, back] = await connected(alice, bob, 6000);
  await Promise.all([out.close(), back.close()]);
  expect((await alice.ping(bob.address)).rttMs).toBeGreaterThan(0);
  expect(await codeOf(alice.find('carol'))).toBe('RENDEZVOUS_UNREACHABLE');
});

test('a restarted rendezvous gets its agents back, under the same port', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url, { hostname: 'alice' });
  const { port } = server;
  await server.close();
  await eventually(() => !alice.isOnline);
  await rendezvous({ port });
  await eventually(() => alice.isOnline);
  expect(alice.nodeId).toBeGreaterThan(0);
});

test('a peer that was restarted is reached again without waiting', async () => {
  const server = await rendezvous();
  const home = directory();
  const alice = await agent(server.url);
  const bob = await agent(server.url, { home, identity: 'bob', hostname: 'bob' });
  await befriend(alice, bob);
  await (await alice.dial('bob:7')).close();
  await bob.close();
  await agent(server.url, { home, identity: 'bob', hostname: 'bob' });
  const before = performance.now();
  await (await alice.dial('bob:7')).close();
  expect(performance.now() - before).toBeLessThan(15_000);
});

test('after close() everything says CLOSED, and closing twice is fine', async () => {
  const { alice, bob } = await friends();
  const pinging = codeOf(alice.ping('99999999'));
  await Promise.all([alice.close(), alice.close()]);
  expect(['CLOSED', 'NOT_FOUND']).toContain(await pinging);
  expect(await codeOf(alice.dial(`${bob.address}:7`))).toBe('CLOSED');
  expect(() => alice.listen(1)).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  expect(() => alice.stats()).toThrow(expect.objectContaining({ code: 'CLOSED' }));
});

test('start() can be called off', async () => {
  const server = await rendezvous();
  const reason = Object.assign(new Error('no'), { code: 'NO' });
  expect(await codeOf(Agent.start({ rendezvous: server.url, signal: AbortSignal.abort(reason) }))).toBe('NO');
});

test('targets are addresses, node ids or names', async () => {
  const { alice, bob } = await friends();
  for (const target of [bob.address, String(bob.address), `${bob.nodeId}`, 'bob']) {
    expect((await alice.ping(target)).bytes).toBe(32);
  }
  expect(await codeOf(alice.ping('0:A91F.0000.7C2E'))).toBe('ADDRESS_NETWORK_MISMATCH');
  expect(await codeOf(alice.ping('Not A Name'))).toBe('ADDRESS_INVALID');
  expect(Address.parse('0:0000.0000.0002').node).toBe(2);
});
