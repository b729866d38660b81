/**
 * The bench in a page of headless Chromium: serves the bundle on loopback, opens the page and waits for what it measured.
 * Served with the two headers that isolate a page from others, or its clock would have steps of 100 µs instead of 5.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { findChromium } from '../../test/runtime/chromium.mjs';
import { absent } from './absent.ts';
import type { Measured, Selection } from './run.ts';
import { loadPeer } from './runtime.ts';

/** What of playwright-core is used. */
interface Playwright {
  readonly chromium: { launch(options: object): Promise<Browser> };
}

interface Browser {
  version(): string;
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

interface Page {
  on(event: 'console', listener: (message: { text(): string }) => void): void;
  on(event: 'pageerror', listener: (error: Error) => void): void;
  on(event: 'crash', listener: () => void): void;
  goto(url: string): Promise<unknown>;
  evaluate(script: string): Promise<unknown>;
}

const HEADERS = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cache-control': 'no-store',
};
const PAGE =
  '<!doctype html><title>bench</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>';
const SCRIPT = /^\/(page|peers\/[\w-]+)\.js$/;
/** M8 and M7 `bytes` weigh the heap. */
const SWITCHES = ['--enable-precise-memory-info', '--js-flags=--expose-gc'];

/** `run`, in a page. */
export async function inChromium(selection: Selection, say: (line: string) => void): Promise<Measured> {
  const found = findChromium();
  if (found.missing !== undefined) throw new Error(found.missing);
  const playwright = await loadPeer<Playwright>('playwright-core');
  if (playwright === undefined) throw new Error(absent.at(-1));
  const server = await served();
  try {
    const { port } = server.address() as AddressInfo;
    const browser = await playwright.module.chromium.launch({
      executablePath: found.path,
      chromiumSandbox: !found.args.includes('--no-sandbox'),
      args: SWITCHES,
    });
    try {
      const url = `http://127.0.0.1:${port}/?runtime=${encodeURIComponent(`chromium ${browser.version()}`)}`;
      return await measured(await browser.newPage(), url, { selection, say });
    } finally {
      await browser.close();
    }
  } finally {
    server.close();
  }
}

interface Wanted {
  readonly selection: Selection;
  say(line: string): void;
}

async function measured(page: Page, url: string, { selection, say }: Wanted): Promise<Measured> {
  const failure = new Promise<never>((_, reject) => {
    page.on('pageerror', reject);
    page.on('crash', () => reject(new Error('The page crashed')));
  });
  page.on('console', (message) => say(message.text()));
  const work = async (): Promise<unknown> => {
    await page.goto(url);
    if (!(await page.evaluate('crossOriginIsolated')))
      throw new Error('The page is not isolated: its clock is too coarse');
    return page.evaluate(`measure(${JSON.stringify(selection)})`);
  };
  return (await Promise.race([work(), failure])) as Measured;
}

/** Serves the page, its script and the peers, and nothing else. */
async function served(): Promise<Server> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (pathname === '/') {
      response.writeHead(200, { ...HEADERS, 'content-type': 'text/html' }).end(PAGE);
      return;
    }
    const script = SCRIPT.test(pathname)
      ? await readFile(new URL(`.${pathname}`, import.meta.url)).catch(() => undefined)
      : undefined;
    if (script === undefined) response.writeHead(404).end();
    else response.writeHead(200, { ...HEADERS, 'content-type': 'text/javascript' }).end(script);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
