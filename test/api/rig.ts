/** Real agents on a real rendezvous, all on loopback; ended with the test. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Agent, type Connection, type ProcessAgentOptions } from '../../bindings/node/index.ts';
import { type RendezvousOptions, type RendezvousServer, serveRendezvous } from '../../bindings/node/server.ts';

/** A rendezvous that ends with the test. */
export async function rendezvous(options: RendezvousOptions = {}): Promise<RendezvousServer> {
  const server = await serveRendezvous(options);
  onTestFinished(() => server.close());
  return server;
}

/** An agent that ends with the test. */
export async function agent(url: string, options: Partial<ProcessAgentOptions> = {}): Promise<Agent> {
  const made = await Agent.start({ rendezvous: url, ...options });
  onTestFinished(() => made.close());
  return made;
}

/** A directory that is gone after the test. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'pilotwire-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Lets `asker` and `giver` trust each other. */
export async function befriend(asker: Agent, giver: Agent): Promise<void> {
  const requests = giver.trust.requests();
  const approving = (async () => {
    for await (const request of requests) {
      if (request.peer.node !== asker.nodeId) continue;
      await request.approve();
      return;
    }
  })();
  await asker.trust.request(giver.address, 'a test');
  await asker.trust.wait(giver.address, { timeoutMs: 10_000 });
  await approving;
}

/** A rendezvous and two agents that trust each other. */
export async function friends(): Promise<{ server: RendezvousServer; alice: Agent; bob: Agent }> {
  const server = await rendezvous();
  const alice = await agent(server.url, { hostname: 'alice' });
  const bob = await agent(server.url, { hostname: 'bob' });
  await befriend(alice, bob);
  return { server, alice, bob };
}

/** Both ends of a new connection to a port of `to`. */
export async function connected(from: Agent, to: Agent, port = 1000): Promise<[Connection, Connection]> {
  const listener = to.listen(port);
  const accepting = listener[Symbol.asyncIterator]().next();
  const dialled = await from.dial(`${to.address}:${port}`);
  const accepted = (await accepting).value as Connection;
  return [dialled, accepted];
}

/** Reads to the end. */
export async function readAll(connection: Connection): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of connection.readable) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Writes and ends the direction. */
export async function writeAll(connection: Connection, bytes: Uint8Array): Promise<void> {
  const writer = connection.writable.getWriter();
  await writer.write(bytes);
  await writer.close();
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The code that a promise rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'resolved',
    (error: { code?: string; name?: string }) => error.code ?? error.name ?? 'unknown',
  );
}

/** Waits until something that happens elsewhere is true; the time only bounds a failure. */
export async function eventually(isTrue: () => boolean, limitMs = 10_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error('It never became true');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
