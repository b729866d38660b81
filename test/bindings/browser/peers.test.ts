/** Pages and workers of a real Chromium are peers: of Node on UDP, of workers, and of each other through the relay. */
import { describe, expect, test } from 'vitest';
import type { Actor } from './actor.mjs';
import { inChromium, isSkipped, nodeActor, profile, rendezvousForPages, tab, workerOf } from './rig.ts';

const BYTES = 8 << 20;

/** Everything that two agents do with each other; `a` asks `b`, which is private, for trust. */
async function converse(a: Actor, b: Actor): Promise<void> {
  const [alice, bob] = [await a.describe(), await b.describe()];
  expect(await a.failure('dial', `${bob.address}:1000`, { timeoutMs: 300 })).toMatchObject({ code: 'DIAL_TIMEOUT' });
  await b.approveAll();
  await a.befriend(bob.address);

  await b.listen(1000);
  await a.dial(`${bob.address}:1000`);
  const [there, here] = await Promise.all([b.transfer(BYTES), a.transfer(BYTES)]);
  expect([there.length, here.length]).toEqual([BYTES, BYTES]);
  expect(here.received).toBe(there.sent);
  expect(there.received).toBe(here.sent);

  await b.collect(5000);
  await a.collect(5000);
  await a.send(`${bob.address}:5000`, 'to b');
  expect(await b.collected(1)).toEqual([`${alice.address} to b`]);
  await b.send(`${alice.address}:5000`, 'to a');
  expect(await a.collected(1)).toEqual([`${bob.address} to a`]);
  expect(await a.ping(bob.address)).toBeGreaterThan(0);

  expect(await a.failure('dial', `${bob.address}:1001`)).toMatchObject({ code: 'CONNECTION_REFUSED', isOurs: true });
  expect(await a.failure('dial', 'nobody-has-this-name:1')).toMatchObject({ code: 'NOT_FOUND', isOurs: true });
  expect(await a.failure('dial', '0:no.such.form:1')).toMatchObject({ code: 'ADDRESS_INVALID', isOurs: true });
  expect(await a.failure('listen', 5000)).toMatchObject({ code: 'resolved' });
  expect(await a.failure('collect', 5000)).toMatchObject({ code: 'PORT_IN_USE', isOurs: true });
  await a.close();
  expect(await a.failure('ping', bob.address)).toMatchObject({ code: 'CLOSED', isOurs: true });
}

describe.skipIf(isSkipped)('in Chromium', () => {
  inChromium();

  test('a page and an agent of Node on UDP', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile());
    await page.actor.start({ rendezvous: server.webUrl });
    expect(await page.actor.stats()).toMatchObject({ engine: 'wasm', host: 'page WebSocket', carrier: 'websocket' });
    const node = await nodeActor({ rendezvous: server.url });
    expect(await node.stats()).toMatchObject({ carrier: 'udp' });
    await converse(page.actor, node);
    // Curves of JavaScript are for browsers that have none.
    const scripts = page.loaded.filter((name) => name.endsWith('.js')).sort();
    const parts = ['browser-chunk-', 'browser-peers-', 'browser.js'];
    expect(scripts).toEqual(parts.map((part) => expect.stringContaining(part)));
  });

  test('an agent of Node on UDP and a page, which is named by the registry’s own URL', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile());
    await page.actor.start({ rendezvous: server.url });
    await converse(await nodeActor({ rendezvous: server.url }), page.actor);
  });

  test('a page and its worker', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile());
    const worker = await workerOf(page);
    await page.actor.start({ rendezvous: server.webUrl });
    await worker.start({ rendezvous: server.webUrl });
    expect(await worker.stats()).toMatchObject({ engine: 'wasm', host: 'worker WebSocket' });
    await converse(page.actor, worker);
  });

  test('two pages of two browsers, through the relay', async () => {
    const server = await rendezvousForPages();
    const [one, other] = [await tab(await profile()), await tab(await profile())];
    await one.actor.start({ rendezvous: server.webUrl });
    const { address } = await other.actor.start({ rendezvous: server.webUrl });
    await converse(one.actor, other.actor);
    expect(address).not.toBe('');
  });
});
