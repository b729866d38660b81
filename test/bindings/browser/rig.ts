/**
 * Headless Chromium and a site on loopback that serves the bundle with the content security policy of the README; pages,
 * workers and Node as actors. Where there is no Chromium the tests are skipped with one line; where CI=true they fail.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import * as pilotwire from '../../../bindings/node/index.ts';
import { type RendezvousOptions, type RendezvousServer, serveRendezvous } from '../../../bindings/node/server.ts';
import { findChromium } from '../../runtime/chromium.mjs';
import { type Actor, createActor } from './actor.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const DIST = join(HERE, '../../../dist');
/** The name of a machine that is not this one, for all that the browser knows. */
export const OTHER_HOST = 'elsewhere.test';

const found = findChromium();
/** Whether there is a Chromium. */
export const isSkipped: boolean = found.missing !== undefined && process.env.CI !== 'true';
if (found.missing !== undefined) {
  console.log(`SKIPPED: nothing was tested in a browser. ${found.missing}`);
}

/** What a page is served with. */
export interface SiteOptions {
  /** Replaces the policy of the README. */
  readonly policy?: string;
}

let browser: Browser;
let site: Server;
/** Policies by the first part of the path. */
const policies = new Map<string, string>();

/** The policy that the README prints. */
export function policyOfReadme(): string {
  const readme = readFileSync(join(HERE, '../../../README.md'), 'utf8');
  const printed = /Content-Security-Policy: (.+)/.exec(readme)?.[1];
  if (printed === undefined) throw new Error('The README prints no policy');
  return printed.replace('wss://rendezvous.example', 'ws://127.0.0.1:*');
}

/** Starts browser and site before the tests of a file, and ends them after. */
export function inChromium(): void {
  beforeAll(async () => {
    if (found.missing !== undefined) throw new Error(found.missing);
    site = createServer((request, response) => {
      const [, place = '', name = ''] = (request.url ?? '/').split('?')[0]!.split('/');
      const file = contents(name);
      if (file === undefined) {
        response.writeHead(404).end();
        return;
      }
      const type = name === '' ? 'text/html' : 'text/javascript';
      const policy = policies.get(place) ?? policyOfReadme();
      response.writeHead(200, { 'content-type': type, 'content-security-policy': policy }).end(file);
    });
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch({
      executablePath: found.path,
      chromiumSandbox: !found.args.includes('--no-sandbox'),
      args: [`--host-resolver-rules=MAP ${OTHER_HOST} 127.0.0.1`],
    });
  });
  afterAll(async () => {
    await browser?.close();
    site?.close();
  });
}

function contents(name: string): string | Buffer | undefined {
  if (name === '') return '<!doctype html><title>test</title><script type="module" src="page.mjs"></script>';
  if (/^(actor|page)\.mjs$/.test(name)) return readFileSync(join(HERE, name));
  return /^browser[\w-]*\.js$/.test(name) ? readFileSync(join(DIST, name)) : undefined;
}

/** Where the site is. */
export function siteOrigin(host = '127.0.0.1'): string {
  return `http://${host}:${(site.address() as AddressInfo).port}`;
}

/** A rendezvous that lets the site's pages in, ended with the test. */
export async function rendezvousForPages(options: RendezvousOptions = {}): Promise<RendezvousServer> {
  const server = await serveRendezvous({ allowedOrigins: [siteOrigin(), siteOrigin(OTHER_HOST)], ...options });
  onTestFinished(() => server.close());
  return server;
}

/** A profile of its own: its pages share a store and locks with no other. */
export async function profile(): Promise<BrowserContext> {
  const context = await browser.newContext();
  onTestFinished(() => context.close());
  return context;
}

/** A tab that has its actor. */
export interface Tab {
  readonly page: Page;
  readonly actor: Actor;
  /** Names of what the page loaded. */
  readonly loaded: string[];
}

/** Opens a tab of the site. */
export async function tab(context: BrowserContext, options: SiteOptions & { host?: string } = {}): Promise<Tab> {
  const page = await context.newPage();
  const loaded: string[] = [];
  page.on('request', (request) => loaded.push(request.url().split('/').at(-1) ?? ''));
  page.on('pageerror', (error) => {
    throw error;
  });
  const place = options.policy === undefined ? 'plain' : `policy-${policies.size}`;
  if (options.policy !== undefined) policies.set(place, options.policy);
  await page.goto(`${siteOrigin(options.host)}/${place}/`);
  return { page, actor: actorIn(page, 'actor'), loaded };
}

/** The actor of a tab's worker. */
export async function workerOf({ page }: Tab): Promise<Actor> {
  await page.evaluate('startWorker()');
  return actorIn(page, 'workerActor');
}

/** An agent of this process on UDP. */
export async function nodeActor(options: object): Promise<Actor> {
  const actor = createActor(pilotwire);
  await actor.start(options);
  onTestFinished(() => actor.close());
  return actor;
}

function actorIn(page: Page, variable: string): Actor {
  const call =
    (name: string) =>
    (...args: unknown[]): Promise<unknown> =>
      page.evaluate(`${variable}.${name}(...${JSON.stringify(args)})`);
  return new Proxy({}, { get: (_, name) => (name === 'then' ? undefined : call(String(name))) }) as Actor;
}
