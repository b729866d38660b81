/** Identities of a real browser: kept where nobody can read them, one agent each, the same after a reload. */
import { describe, expect, test } from 'vitest';
import {
  inChromium,
  isSkipped,
  nodeActor,
  OTHER_HOST,
  profile,
  rendezvousForPages,
  type Tab,
  tab,
  workerOf,
} from './rig.ts';

/** Makes the browser one that has not learnt the curves. */
const WITHOUT_CURVES = `
  const { generateKey, importKey } = SubtleCrypto.prototype;
  const refusing = (original) => function (...args) {
    const name = args.map((arg) => arg?.name ?? arg).find((arg) => arg === 'Ed25519' || arg === 'X25519');
    return name === undefined ? original.apply(this, args) : Promise.reject(new DOMException(name, 'NotSupportedError'));
  };
  SubtleCrypto.prototype.generateKey = refusing(generateKey);
  SubtleCrypto.prototype.importKey = refusing(importKey);
`;

/** Everything in the store, as names of types. */
async function storedTypes({ page }: Tab): Promise<unknown> {
  return await page.evaluate(`(async () => {
    const open = indexedDB.open('pilotwire');
    const database = await new Promise((resolve) => { open.onsuccess = () => resolve(open.result); });
    const store = database.transaction('identities').objectStore('identities');
    const all = store.getAll();
    const values = await new Promise((resolve) => { all.onsuccess = () => resolve(all.result); });
    database.close();
    const describe = (part) => part instanceof CryptoKey
      ? part.type + ' ' + part.algorithm.name + (part.extractable ? ' extractable' : '') + ' ' + part.usages
      : part.constructor.name + ' ' + part.length;
    return values.map((value) => Object.fromEntries(Object.entries(value).map(([name, part]) => [name, describe(part)])));
  })()`);
}

describe.skipIf(isSkipped)('in Chromium', () => {
  inChromium();

  test('a reload keeps address, key and trust', async () => {
    const server = await rendezvousForPages();
    const node = await nodeActor({ rendezvous: server.url });
    await node.approveAll();
    const page = await tab(await profile());
    const before = await page.actor.start({ rendezvous: server.webUrl });
    const { address } = await node.describe();
    await page.actor.befriend(address);
    await page.page.reload();
    expect(await page.actor.start({ rendezvous: server.webUrl })).toEqual(before);
    expect(await page.actor.friends()).toEqual([address]);
    expect(await page.actor.ping(address)).toBeGreaterThan(0);
  });

  test('the key can be used, and not be read', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile());
    await page.actor.start({ rendezvous: server.webUrl, identity: 'alice' });
    expect(await storedTypes(page)).toEqual([{ publicKey: 'Uint8Array 32', privateKey: 'private Ed25519 sign' }]);
  });

  test('two tabs are two agents, and each is itself after a reload although a lower number is free', async () => {
    const server = await rendezvousForPages();
    const context = await profile();
    const [first, second] = [await tab(context), await tab(context)];
    const one = await first.actor.start({ rendezvous: server.webUrl });
    const two = await second.actor.start({ rendezvous: server.webUrl });
    expect(two.key).not.toBe(one.key);
    await first.page.close();
    await second.page.reload();
    expect(await second.actor.start({ rendezvous: server.webUrl })).toEqual(two);
    const third = await tab(context);
    expect(await third.actor.start({ rendezvous: server.webUrl })).toEqual(one);
  });

  test('a named identity has one user among pages and workers, and is free when that one ends', async () => {
    const server = await rendezvousForPages();
    const context = await profile();
    const [first, second] = [await tab(context), await tab(context)];
    const options = { rendezvous: server.webUrl, identity: 'alice' };
    const one = await first.actor.start(options);
    const inUse = { code: 'IDENTITY_IN_USE', isOurs: true };
    expect(await second.actor.failure('start', options)).toMatchObject(inUse);
    const worker = await workerOf(second);
    expect(await worker.failure('start', options)).toMatchObject(inUse);
    await first.actor.close();
    expect(await worker.start(options)).toEqual(one);
    expect(await second.actor.failure('start', { ...options, identity: '../alice' })).toMatchObject({
      code: 'TypeError',
    });
  });

  test('a worker without a name has a fresh key, and so has a page that wants none kept', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile());
    const worker = await workerOf(page);
    const { key } = await worker.start({ rendezvous: server.webUrl });
    await page.page.reload();
    const again = await workerOf(page);
    expect((await again.start({ rendezvous: server.webUrl })).key).not.toBe(key);
    const options = { rendezvous: server.webUrl, isKept: false };
    const first = await page.actor.start(options);
    await page.page.reload();
    expect((await page.actor.start(options)).key).not.toBe(first.key);
  });

  test('without the curves the noble libraries are loaded; the identity is kept, wrapped', async () => {
    const server = await rendezvousForPages();
    const node = await nodeActor({ rendezvous: server.url });
    await node.approveAll();
    const context = await profile();
    await context.addInitScript(WITHOUT_CURVES);
    const page = await tab(context);
    const before = await page.actor.start({ rendezvous: server.webUrl, identity: 'alice' });
    expect(page.loaded.some((name) => name.startsWith('browser-noble-keys-'))).toBe(true);
    expect(await storedTypes(page)).toEqual([
      { publicKey: 'Uint8Array 32', wrappingKey: 'secret AES-GCM encrypt,decrypt', wrappedSeed: 'Uint8Array 60' },
    ]);
    await page.page.reload();
    expect(await page.actor.start({ rendezvous: server.webUrl, identity: 'alice' })).toEqual(before);
    const { address } = await node.describe();
    await page.actor.befriend(address);
    expect(await page.actor.ping(address)).toBeGreaterThan(0);
  });

  test('a page over plain HTTP has an agent in memory, and hears why no other', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile(), { host: OTHER_HOST });
    const named = await page.actor.failure('start', { rendezvous: server.webUrl, identity: 'alice' });
    expect(named).toMatchObject({ code: 'NOT_SUPPORTED', isOurs: true });
    expect(named.hint).toContain('https://');
    const { key } = await page.actor.start({ rendezvous: server.webUrl });
    await page.page.reload();
    expect((await page.actor.start({ rendezvous: server.webUrl })).key).not.toBe(key);
  });
});
