/** What happens to pages: they are hidden, frozen, cut off and let down by policies; the agent comes back as itself. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { serveRendezvous } from '../../../bindings/node/server.ts';
import { eventually } from '../../api/rig.ts';
import type { Actor } from './actor.mjs';
import {
  inChromium,
  isSkipped,
  nodeActor,
  policyOfReadme,
  profile,
  rendezvousForPages,
  siteOrigin,
  tab,
} from './rig.ts';

const BYTES = 1 << 20;

/** What browsers do to the timers of hidden pages; headless ones hide none. */
const HIDDEN = `
  Object.defineProperty(document, 'visibilityState', { value: 'hidden' });
  Object.defineProperty(document, 'hidden', { value: true });
  const inTime = setTimeout;
  globalThis.setTimeout = (callback, delayMs = 0, ...args) => {
    const due = performance.now() + delayMs;
    return inTime(callback, 1_000 * Math.ceil(due / 1_000) - performance.now(), ...args);
  };
`;

/** Waits until the page's agent was told so. */
async function hears(actor: Actor, code: string): Promise<void> {
  let news: string[] = [];
  await eventually(() => {
    void Promise.resolve(actor.news()).then((all) => {
      news = all;
    });
    return news.includes(code);
  });
}

/** Pings until one is answered. @returns How long that took, in ms. */
async function reaches(actor: Actor, address: string): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const { code } = await actor.failure('ping', address);
    const took = performance.now() - startedAt;
    if (code === 'resolved') return took;
    if (took > 20_000) throw new Error(`No answer to pings for ${took} ms: ${code}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe.skipIf(isSkipped)('in Chromium', () => {
  inChromium();

  test('WebSockets that were cut are opened again: same address, same trust', async () => {
    const server = await rendezvousForPages();
    const node = await nodeActor({ rendezvous: server.url });
    await node.approveAll();
    const page = await tab(await profile());
    const before = await page.actor.start({ rendezvous: server.webUrl });
    const { address } = await node.describe();
    await page.actor.befriend(address);
    await page.actor.ping(address);
    const { openWebSockets } = server.stats();
    expect(openWebSockets).toBe(2);
    await page.page.evaluate('cut()');
    await hears(page.actor, 'carrierLost');
    await reaches(page.actor, address);
    await page.actor.online();
    expect(await page.actor.describe()).toEqual(before);
    expect(server.stats().openWebSockets).toBe(openWebSockets);
  });

  test('a rendezvous that was started anew has the page back under the same address', async () => {
    const options = { allowedOrigins: [siteOrigin()] };
    const first = await serveRendezvous(options);
    const page = await tab(await profile());
    const before = await page.actor.start({ rendezvous: first.webUrl });
    await first.close();
    await hears(page.actor, 'registryOffline');
    const second = await serveRendezvous({ ...options, port: first.port, beaconPort: first.beaconPort });
    onTestFinished(() => second.close());
    await eventually(() => second.stats().carriedNodes === 1, 20_000);
    await page.actor.online();
    expect(await page.actor.describe()).toEqual(before);
  });

  test('a hidden page, whose timers come once a second, trusts, pings and transfers', async () => {
    const server = await rendezvousForPages();
    const node = await nodeActor({ rendezvous: server.url });
    await node.approveAll();
    const context = await profile();
    await context.addInitScript(HIDDEN);
    const page = await tab(context);
    await page.actor.start({ rendezvous: server.webUrl });
    const { address } = await node.describe();
    await page.actor.befriend(address);
    expect(await page.actor.ping(address)).toBeGreaterThan(0);
    await node.listen(1000);
    await page.actor.dial(`${address}:1000`);
    const [there, here] = await Promise.all([node.transfer(BYTES), page.actor.transfer(BYTES)]);
    expect(here.received).toBe(there.sent);
    expect(there.received).toBe(here.sent);
  });

  test('a page that stood still has what came meanwhile, and goes on', async () => {
    const server = await rendezvousForPages();
    const node = await nodeActor({ rendezvous: server.url });
    await node.approveAll();
    const page = await tab(await profile());
    const before = await page.actor.start({ rendezvous: server.webUrl });
    const peer = (await node.describe()).address;
    await page.actor.befriend(peer);
    await page.actor.collect(5000);

    const standing = page.page.evaluate('{ const end = performance.now() + 2_000; while (performance.now() < end); }');
    for (let i = 0; i < 4; i++) {
      await node.send(`${before.address}:5000`, `${i}`);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    await standing;
    expect(await page.actor.collected(4)).toEqual([0, 1, 2, 3].map((i) => `${peer} ${i}`));
    expect(await page.actor.ping(peer)).toBeGreaterThan(0);
    expect(await page.actor.describe()).toEqual(before);
  });

  test('a policy without Wasm, and one without the rendezvous, are named in the hint', async () => {
    const server = await rendezvousForPages();
    const policy = policyOfReadme();
    const withoutWasm = await tab(await profile(), { policy: policy.replace("'wasm-unsafe-eval'", '') });
    const options = { rendezvous: server.webUrl, timeoutMs: 3_000 };
    const engine = await withoutWasm.actor.failure('start', options);
    expect(engine).toMatchObject({ code: 'NOT_SUPPORTED', isOurs: true });
    expect(engine.hint).toContain('wasm-unsafe-eval');
    const withoutLink = await tab(await profile(), {
      policy: policy.replace(/connect-src [^;]+/, "connect-src 'self'"),
    });
    expect(await withoutLink.actor.failure('start', options)).toMatchObject({
      code: 'RENDEZVOUS_UNREACHABLE',
      isOurs: true,
    });
  });

  test('an origin that the rendezvous does not allow is refused', async () => {
    const server = await rendezvousForPages({ allowedOrigins: [] });
    const page = await tab(await profile());
    const refused = await page.actor.failure('start', { rendezvous: server.webUrl, timeoutMs: 3_000 });
    expect(refused).toMatchObject({ code: 'RENDEZVOUS_UNREACHABLE', isOurs: true });
    expect(server.stats().carriedNodes).toBe(0);
  });

  test('UDP, asked for by name, is refused with a hint', async () => {
    const server = await rendezvousForPages();
    const page = await tab(await profile());
    const refused = await page.actor.failure('start', { rendezvous: server.url, transport: 'udp' });
    expect(refused).toMatchObject({ code: 'NOT_SUPPORTED', isOurs: true });
    expect(refused.hint).toContain('websocket');
  });
});
