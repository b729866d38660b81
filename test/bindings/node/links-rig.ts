// Links of both sides that write down what they hear, and a certificate; used by the tests of links.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, vi } from 'vitest';
import { createFiles } from '../../../bindings/node/files.ts';
import { connectLink, type DialOptions, type ListenLimits, listenLink } from '../../../bindings/node/links.ts';
import { loadOrCreateCertificate, type ServerCertificate } from '../../../bindings/node/tls.ts';
import type { HostPort, Link, LinkHandler, LinkServer, LinkTarget } from '../../../src/carrier/host.ts';
import type { PilotError } from '../../../src/errors.ts';

export const MIB = 1024 * 1024;
export const LOOPBACK = '127.0.0.1';

/** Of this test file; there from `beforeAll` on. */
export let directory: string;
export let tls: ServerCertificate;
/** Run after the test, last first. */
export const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilotwire-links-'));
  tls = await loadOrCreateCertificate(createFiles(), directory);
});

afterAll(() => rmSync(directory, { recursive: true }));

afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export const text = (words: string): Uint8Array => new TextEncoder().encode(words);

/** What one end of a link hears, in order; `until` waits for the next call that makes the condition true. */
export class End implements LinkHandler {
  readonly calls: string[] = [];
  readonly chunks: Buffer[] = [];
  byteCount = 0;
  error: PilotError | undefined;
  link!: Link;
  remote: HostPort | undefined;
  #wake: (() => void) | undefined;

  open(): void {
    this.#called('open');
  }

  data(bytes: Uint8Array): void {
    this.chunks.push(Buffer.from(bytes));
    this.byteCount += bytes.length;
    if (this.calls.at(-1) === 'data') this.#wake?.();
    else this.#called('data');
  }

  drain(): void {
    this.#called('drain');
  }

  closed(error?: Error): void {
    this.error = error as PilotError | undefined;
    this.#called('closed');
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  has(call: string): boolean {
    return this.calls.includes(call);
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #called(name: string): void {
    this.calls.push(name);
    this.#wake?.();
  }
}

export interface Served {
  server: LinkServer;
  ends: End[];
  /** The next link that is accepted and open. */
  next(): Promise<End>;
}

export async function serve(secure = false, limits: ListenLimits = {}, host = LOOPBACK): Promise<Served> {
  const ends: End[] = [];
  let shown = 0;
  let wake: (() => void) | undefined;
  const server = await listenLink(
    { host, port: 0, ...(secure ? { tls } : {}) },
    (link, remote) => {
      const end = new End();
      Object.assign(end, { link, remote });
      ends.push(end);
      wake?.();
      return end;
    },
    limits,
  );
  cleanups.push(() => server.close());
  const next = async (): Promise<End> => {
    while (ends.length <= shown) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return ends[shown++]!;
  };
  return { server, ends, next };
}

export function dial(target: LinkTarget, options?: DialOptions): End {
  const end = new End();
  end.link = connectLink(target, end, options);
  cleanups.push(() => end.link.destroy());
  return end;
}

export function pinned(server: LinkServer, pin = tls.pin): LinkTarget {
  return { ...server.local, tls: { serverName: 'localhost', pin } };
}

/** A bare TCP client, for what `connectLink` would never do. */
export function raw(server: LinkServer, allowHalfOpen = false): Socket {
  const socket = connect({ ...server.local, allowHalfOpen });
  socket.on('error', () => {});
  cleanups.push(() => socket.destroy());
  return socket;
}

export const once = (socket: Socket, event: string): Promise<unknown> =>
  new Promise((resolve) => socket.once(event, resolve));
