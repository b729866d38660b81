// What the checks of a host share: the host of this runtime, and steps that say what they found as lines of JSON.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBunHost } from '../../../bindings/bun/host.ts';
import { createDenoHost } from '../../../bindings/deno/host.ts';
import { findAddon } from '../../../bindings/node/addon.ts';
import { createNodeHost } from '../../../bindings/node/host.ts';
import type { Host } from '../../../src/carrier/host.ts';

export const LOOPBACK = '127.0.0.1';
const LIMIT_MS = 8_000;
const create = 'deno' in process.versions ? createDenoHost : 'bun' in process.versions ? createBunHost : createNodeHost;

/** The program's arguments: what to do, and with what. */
export const [role, argument = ''] = process.argv.slice(2) as [string?, string?];
/** What is checked. */
export const host: Host = create({ unref: role === 'unref', addon: findAddon() });
/** Of this process. */
export const directory: string = mkdtempSync(join(tmpdir(), 'pilotwire-host-'));
/** Run after the step, last first. */
export const closers: (() => unknown)[] = [];

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    host.setTimer(0, resolve);
  });

/** One line for who started this. */
export function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** One fact. A failed one does not keep the next from being tried. */
export async function step(name: string, run: () => unknown): Promise<void> {
  try {
    await run();
    say({ step: name });
  } catch (error) {
    process.exitCode = 1;
    say({ step: name, error: String((error as Error).stack ?? error) });
  }
  for (const close of closers.splice(0).reverse()) await close();
}

export function same(got: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`Expected ${b}, got ${a}`);
}

export async function fails(code: string, run: () => Promise<unknown>): Promise<void> {
  let failure: unknown = 'nothing failed';
  try {
    await run();
  } catch (error) {
    failure = error;
  }
  if ((failure as { code?: string }).code !== code) throw new Error(`Expected ${code}, got ${failure}`);
}

/** Waits for a condition. What does not come is a failure of the step, and the next one goes on. */
export async function until(isDone: () => boolean): Promise<void> {
  const deadline = host.now() + LIMIT_MS;
  while (!isDone()) {
    if (host.now() > deadline) throw new Error(`Not within ${LIMIT_MS} ms: ${isDone}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
