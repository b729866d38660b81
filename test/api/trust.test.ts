/** Trust between real agents: who gets in, who does not, and what ends with it. */
import { expect, test } from 'vitest';
import { agent, befriend, codeOf, connected, directory, eventually, friends, readAll, rendezvous } from './rig.ts';

test('a stranger gets no sign of life, listener or not', async () => {
  const server = await rendezvous();
  const bob = await agent(server.url, { hostname: 'bob' });
  const mallory = await agent(server.url);
  bob.listen(1000);
  for (const port of [1000, 1001]) {
    expect(await codeOf(mallory.dial(`${bob.address}:${port}`, { timeoutMs: 700 }))).toBe('DIAL_TIMEOUT');
  }
  await mallory.send(`${bob.address}:5000`, Uint8Array.of(1));
  await eventually(() => (bob.stats().drops.untrusted ?? 0) >= 3);
  expect(bob.connections()).toEqual([]);
});

test('a request names its reason, and approval works in both directions', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url);
  await alice.trust.request(bob.address, 'to share results');
  await eventually(() => bob.trust.pending().length === 1);
  const [request] = bob.trust.pending();
  expect(request?.justification).toBe('to share results');
  expect(request?.peer.node).toBe(alice.nodeId);
  await request?.approve();
  await alice.trust.wait(bob.address);
  expect(alice.trust.list().map(({ peer }) => peer.node)).toEqual([bob.nodeId]);
  expect(bob.trust.list().map(({ peer }) => peer.node)).toEqual([alice.nodeId]);
  await connected(alice, bob, 1000);
  await connected(bob, alice, 1001);
});

test('two that ask each other need no approval', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url);
  await Promise.all([alice.trust.request(bob.address), bob.trust.request(alice.address)]);
  await Promise.all([alice.trust.wait(bob.address), bob.trust.wait(alice.address)]);
});

test('a rejection is told with its reason', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url);
  await alice.trust.request(bob.address);
  await eventually(() => bob.trust.pending().length === 1);
  const waiting = alice.trust.wait(bob.address);
  await bob.trust.reject(alice.address, 'not today');
  await expect(waiting).rejects.toMatchObject({
    code: 'TRUST_REJECTED',
    message: expect.stringContaining('not today'),
  });
});

test('revoking closes what is open and shuts the door on both sides', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  const reading = codeOf(readAll(back));
  await bob.trust.revoke(alice.address);
  expect(['NOT_TRUSTED', 'CONNECTION_RESET']).toContain(await reading);
  await codeOf(out.closed);
  await eventually(() => alice.trust.list().length === 0);
  expect(bob.trust.list()).toEqual([]);
  expect(await codeOf(alice.dial(`${bob.address}:7`, { timeoutMs: 700 }))).toBe('DIAL_TIMEOUT');
  await befriend(alice, bob);
  await connected(alice, bob, 3000);
});

test('an answer that was not asked for makes no trust', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url);
  expect(await codeOf(bob.trust.approve(alice.address))).toBe('NOT_FOUND');
  expect(alice.trust.list()).toEqual([]);
});

test('trust and address outlive the process of an identity', async () => {
  const server = await rendezvous();
  const home = directory();
  const alice = await agent(server.url, { home, identity: 'alice' });
  const bob = await agent(server.url, { home, identity: 'bob', hostname: 'bob' });
  await befriend(alice, bob);
  const before = String(bob.address);
  await bob.close();
  const again = await agent(server.url, { home, identity: 'bob', hostname: 'bob' });
  expect(String(again.address)).toBe(before);
  expect(again.trust.list().map(({ peer }) => peer.node)).toEqual([alice.nodeId]);
  const connection = await alice.dial('bob:7');
  await connection.close();
});

test('autoApprove lets in whoever asks', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url, { autoApprove: true });
  await alice.trust.request(bob.address);
  await alice.trust.wait(bob.address);
  await (await alice.dial(`${bob.address}:7`)).close();
});

test('a public agent is open to everybody', async () => {
  const server = await rendezvous();
  const alice = await agent(server.url);
  const bob = await agent(server.url, { visibility: 'public', hostname: 'bob' });
  await (await alice.dial('bob:7')).close();
  expect(bob.trust.list()).toEqual([]);
});
