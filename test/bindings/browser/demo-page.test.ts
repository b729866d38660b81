/** The page of `pilotwire rendezvous --demo-page`, as people meet it: two browsers, the command's own server, its files. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Running, start } from '../../cli/processes.ts';
import { inChromium, isSkipped, policyOfReadme, profile } from './rig.ts';

const FILE_BYTES = 10_000_000;

async function serve(): Promise<{ running: Running; pageUrl: string }> {
  const running = start(['rendezvous', '--port', '0', '--demo-page', '--json']);
  onTestFinished(async () => {
    await running.stop();
  });
  const { data } = JSON.parse(await running.firstLine()) as { data: { pageUrl: string } };
  return { running, pageUrl: data.pageUrl };
}

/** A browser of its own that shows the page, and whatever it complained of. */
async function open(pageUrl: string): Promise<{ page: Page; address: string; complaints: string[] }> {
  const page = await (await profile()).newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(`${error}`));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(pageUrl);
  await page.getByText('Online', { exact: true }).waitFor();
  return { page, address: (await page.locator('#address').textContent()) ?? '', complaints };
}

/** `a` asks, `b` approves. */
async function befriend(a: Page, b: Page, address: string): Promise<void> {
  await a.getByLabel('Address, node id or name').fill(address);
  await a.getByLabel('Why').fill('<b>to try it</b>');
  await a.getByRole('button', { name: 'Ask' }).click();
  await b.getByText('“<b>to try it</b>”').waitFor();
  await b.getByRole('button', { name: /^Approve/ }).click();
  await a.getByText('trusts this page').waitFor();
}

async function say(from: Page, to: Page, text: string): Promise<void> {
  await from.getByLabel('Message').fill(text);
  await from.getByLabel('Message').press('Enter');
  await from.getByRole('log').getByText(text).waitFor();
  await to.getByRole('log').getByText(text).waitFor();
}

async function hashIn(page: Page, name: string, word: string): Promise<string | null> {
  const item = page.locator('#files li', { hasText: name });
  await item.getByText(word).waitFor();
  return await item.getAttribute('data-sha256');
}

test('a fixed list of files with their types and the policy of the README, and nothing else', async () => {
  const { pageUrl } = await serve();
  const get = (path: string): Promise<Response> => fetch(new URL(path, pageUrl));
  const types = {
    '/': 'text/html',
    '/style.css': 'text/css',
    '/app.js': 'text/javascript',
    '/icon.svg': 'image/svg+xml',
  };
  for (const [path, type] of Object.entries({
    ...types,
    '/streams.js': 'text/javascript',
    '/browser.js': 'text/javascript',
  })) {
    const { status, headers } = await get(path);
    expect([path, status, headers.get('content-type')]).toEqual([path, 200, `${type}; charset=utf-8`]);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    const given = (headers.get('content-security-policy') ?? '').split('; ');
    const [road, rest] = [/^connect-src /, policyOfReadme().split('; ')];
    // The rendezvous is the page's own server, and the page has a style and an icon.
    expect(given).toEqual(expect.arrayContaining(rest.filter((directive) => !road.test(directive))));
    expect(given).toContain("connect-src 'self'");
    expect(given.join()).not.toMatch(/unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')|\*/);
  }
  const text = await (await get('/app.js')).text();
  const file = readFileSync(new URL('../../../examples/browser/app.js', import.meta.url), 'utf8');
  expect(text.trimEnd()).toBe(file.trimEnd());
  expect(await (await get('/health')).text()).toBe('ok\n');
  for (const path of [
    '/index.html',
    '/package.json',
    '/../package.json',
    '/%2e%2e/package.json',
    '/cli.js',
    '/app.js/',
  ]) {
    expect([path, (await get(path)).status]).toEqual([path, 404]);
  }
});

test('the package has every file of the page', () => {
  const words = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const cwd = fileURLToPath(new URL('../../..', import.meta.url));
  const [{ files }] = JSON.parse(
    execFileSync('npm', words, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  const paths = (files as { path: string }[]).map(({ path }) => path);
  const page = readdirSync(join(cwd, 'examples/browser')).map((name) => `examples/browser/${name}`);
  expect(page).toContain('examples/browser/index.html');
  expect(paths).toEqual(expect.arrayContaining([...page, 'dist/browser.js']));
});

test('without the flag there is no page', async () => {
  const running = start(['rendezvous', '--port', '0', '--json']);
  onTestFinished(async () => {
    await running.stop();
  });
  const { data } = JSON.parse(await running.firstLine()) as { data: { port: number; pageUrl?: string } };
  expect(data.pageUrl).toBeUndefined();
  expect((await fetch(`http://127.0.0.1:${data.port}/`)).status).toBe(404);
});

describe.skipIf(isSkipped)('in Chromium', () => {
  inChromium();

  test('two pages trust each other, chat both ways and send a file of 10 MB', async () => {
    const { pageUrl } = await serve();
    const [alice, bob] = [await open(pageUrl), await open(pageUrl)];
    expect(alice.address).not.toBe(bob.address);
    await befriend(alice.page, bob.page, bob.address);
    await say(alice.page, bob.page, 'hello, bob & <i>all</i>');
    await say(bob.page, alice.page, 'hello, alice');
    await alice.page.locator('#rtt', { hasText: / ms$/ }).waitFor();
    expect(await alice.page.locator('#path').textContent()).toBe('relay, by WebSocket');

    const buffer = randomBytes(FILE_BYTES);
    const file = { name: 'ten.bin', mimeType: 'application/octet-stream', buffer };
    const wanted = createHash('sha256').update(buffer).digest('hex');
    await bob.page.locator('#file').setInputFiles(file);
    expect(await hashIn(bob.page, file.name, 'Arrived, hash compared')).toBe(wanted);
    expect(await hashIn(alice.page, file.name, 'Save')).toBe(wanted);
    const [download] = await Promise.all([
      alice.page.waitForEvent('download'),
      alice.page.getByRole('link', { name: 'Save' }).click(),
    ]);
    expect(
      createHash('sha256')
        .update(readFileSync(await download.path()))
        .digest('hex'),
    ).toBe(wanted);
    expect(download.suggestedFilename()).toBe(file.name);
    expect([...alice.complaints, ...bob.complaints]).toEqual([]);
  }, 90_000);
});
