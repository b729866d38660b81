/**
 * One process of the demo: it does what the parent writes to its standard input, a JSON object per line, and answers
 * each with one line. It uses the public API and nothing else.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Agent, type Connection, PilotError } from '../index.ts';
import { serveRendezvous } from '../server.ts';

/** A request of the parent. */
export type Command =
  | { do: 'rendezvous' }
  | { do: 'start'; rendezvous: string; hostname: string; tags: string[]; home: string }
  | { do: 'tryDial'; target: string; timeoutMs: number }
  | { do: 'trust'; target: string; why: string }
  | { do: 'approve'; from: string }
  | { do: 'find'; name: string; tag: string }
  | { do: 'file'; target: string; path: string | undefined; bytes: number }
  | { do: 'rounds'; target: string; count: number }
  | { do: 'datagrams'; target: string; count: number }
  | { do: 'explain'; target: string }
  | { do: 'stats' }
  | { do: 'stop' };

/** Ports of the demo's own services. */
const FILE_PORT = 4000;
const ECHO_PORT = 4001;
const DATAGRAM_PORT = 4002;
const MESSAGE_BYTES = 64;
const CHUNK_BYTES = 256 * 1024;
/** Datagrams that may be unanswered at a time. */
const WINDOW = 64;

/** Runs until the parent says stop or goes away. */
export async function runChild(): Promise<void> {
  const session = new Child();
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await session.handle(JSON.parse(line) as Command).then(
      (value) => ({ ok: true, value }),
      (error: unknown) => ({ ok: false, code: codeOf(error), message: String((error as Error)?.message ?? error) }),
    );
    process.stdout.write(`${JSON.stringify(answer)}\n`);
    if (session.isStopped) break;
  }
  await session.stop();
  process.exit(0);
}

function codeOf(error: unknown): string {
  return error instanceof PilotError ? error.code : 'INTERNAL';
}

class Child {
  isStopped = false;
  #agent: Agent | undefined;
  #server: { close(): Promise<void> } | undefined;

  async handle(command: Command): Promise<unknown> {
    switch (command.do) {
      case 'rendezvous': {
        const server = await serveRendezvous();
        this.#server = server;
        return { url: server.url, pid: process.pid };
      }
      case 'start':
        return await this.#start(command);
      case 'tryDial':
        return await this.#tryDial(command.target, command.timeoutMs);
      case 'trust':
        return await this.#trust(command.target, command.why);
      case 'approve':
        return await this.#approve(command.from);
      case 'find':
        return await this.#find(command.name, command.tag);
      case 'file':
        return await this.#sendFile(command);
      case 'rounds':
        return await this.#rounds(command.target, command.count);
      case 'datagrams':
        return await this.#datagrams(command.target, command.count);
      case 'explain':
        return await this.#live.explain(command.target);
      case 'stats':
        return this.#live.stats();
      case 'stop':
        this.isStopped = true;
        await this.stop();
        return {};
    }
  }

  async stop(): Promise<void> {
    await this.#agent?.close();
    await this.#server?.close();
    this.#agent = undefined;
    this.#server = undefined;
  }

  get #live(): Agent {
    if (this.#agent === undefined) throw new PilotError('CLOSED', 'The agent is not started');
    return this.#agent;
  }

  async #start(options: { rendezvous: string; hostname: string; tags: string[]; home: string }): Promise<unknown> {
    const { rendezvous, hostname, tags, home } = options;
    const before = performance.now();
    const agent = await Agent.start({ rendezvous, hostname, tags, home, identity: hostname });
    this.#agent = agent;
    void this.#serveFiles(agent);
    void this.#serveEcho(agent);
    void this.#serveDatagrams(agent);
    return { address: String(agent.address), pid: process.pid, startMs: performance.now() - before };
  }

  async #serveFiles(agent: Agent): Promise<void> {
    for await (const connection of agent.listen(FILE_PORT)) {
      void this.#receiveFile(connection).catch(() => connection.abort());
    }
  }

  /** Answers with the hash of all that came. */
  async #receiveFile(connection: Connection): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of connection.readable) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    const writer = connection.writable.getWriter();
    await writer.write(new TextEncoder().encode(JSON.stringify({ bytes, sha256: hash.digest('hex') })));
    await writer.close();
    await connection.close();
  }

  async #serveEcho(agent: Agent): Promise<void> {
    for await (const connection of agent.listen(ECHO_PORT)) {
      connection.readable.pipeTo(connection.writable).catch(() => connection.abort());
    }
  }

  async #serveDatagrams(agent: Agent): Promise<void> {
    for await (const { peer, peerPort, bytes } of agent.datagrams(DATAGRAM_PORT)) {
      agent.send(`${peer}:${peerPort}`, bytes).catch(() => {});
    }
  }

  async #tryDial(target: string, timeoutMs: number): Promise<unknown> {
    try {
      const connection = await this.#live.dial(`${target}:${ECHO_PORT}`, { timeoutMs });
      connection.abort();
      return { isRefused: false, code: undefined };
    } catch (error) {
      return { isRefused: true, code: codeOf(error) };
    }
  }

  async #trust(target: string, why: string): Promise<unknown> {
    const before = performance.now();
    const agent = this.#live;
    await agent.trust.request(target, why);
    await agent.trust.wait(target, { timeoutMs: 15_000 });
    return { trustMs: performance.now() - before };
  }

  async #approve(from: string): Promise<unknown> {
    const agent = this.#live;
    for await (const request of agent.trust.requests()) {
      if (String(request.peer) !== from) continue;
      await request.approve();
      return { peer: from, justification: request.justification };
    }
    throw new PilotError('CLOSED', 'The agent was closed');
  }

  async #find(name: string, tag: string): Promise<unknown> {
    const byName = await this.#live.find(name);
    const byTag = await this.#live.find({ tag });
    return { byName: String(byName.address), byTag: byTag.map((found) => String(found.address)) };
  }

  async #sendFile(options: { target: string; path: string | undefined; bytes: number }): Promise<unknown> {
    const source = options.path === undefined ? randomChunks(options.bytes) : createReadStream(options.path);
    const beforeDial = performance.now();
    const connection = await this.#live.dial(`${options.target}:${FILE_PORT}`);
    const dialMs = performance.now() - beforeDial;
    const writer = connection.writable.getWriter();
    const hash = createHash('sha256');
    let bytes = 0;
    const before = performance.now();
    for await (const chunk of source) {
      const piece = chunk as Uint8Array;
      hash.update(piece);
      bytes += piece.length;
      await writer.write(piece);
    }
    await writer.close();
    const ms = performance.now() - before;
    let text = '';
    for await (const chunk of connection.readable) text += new TextDecoder().decode(chunk);
    await connection.close();
    const theirs = JSON.parse(text) as { bytes: number; sha256: string };
    const sha256 = hash.digest('hex');
    const isSame = theirs.sha256 === sha256 && theirs.bytes === bytes;
    return { bytes, ms, dialMs, megabytesPerSecond: bytes / 1e3 / ms, sha256, theirs: theirs.sha256, isSame };
  }

  async #rounds(target: string, count: number): Promise<unknown> {
    const connection = await this.#live.dial(`${target}:${ECHO_PORT}`);
    const writer = connection.writable.getWriter();
    const reader = connection.readable.getReader();
    const message = randomBytes(MESSAGE_BYTES);
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const before = performance.now();
      await writer.write(message);
      for (let got = 0; got < MESSAGE_BYTES; ) {
        const { done, value } = await reader.read();
        if (done) throw new PilotError('CONNECTION_LOST', 'The echo ended early');
        got += value.length;
      }
      times.push(performance.now() - before);
    }
    await writer.close();
    await connection.close();
    times.sort((a, b) => a - b);
    return { count, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
  }

  /** Sends datagrams and counts those that come back; loss is allowed, and told. */
  async #datagrams(target: string, count: number): Promise<unknown> {
    const agent = this.#live;
    const port = 50_000;
    const answers = agent.datagrams(port);
    let received = 0;
    let isOver = false;
    const reading = (async () => {
      for await (const _ of answers) {
        received += 1;
        if (isOver) break;
      }
    })();
    const { address } = await agent.find(target);
    const before = performance.now();
    let lastMs = before;
    for (let sent = 0; sent < count; sent++) {
      const message = randomBytes(MESSAGE_BYTES);
      await agent.send(`${address}:${DATAGRAM_PORT}`, message, { sourcePort: port });
      const deadline = performance.now() + 200;
      while (sent + 1 - received >= WINDOW && performance.now() < deadline) await new Promise(setImmediate);
      lastMs = performance.now();
    }
    const deadline = performance.now() + 500;
    while (received < count && performance.now() < deadline) {
      lastMs = performance.now();
      await new Promise(setImmediate);
    }
    isOver = true;
    answers.close();
    await reading;
    return { sent: count, returned: received, perSecond: (received / (lastMs - before)) * 1000 };
  }
}

/** Different bytes each time, cheap to make: one random block, counted. */
function* randomChunks(bytes: number): Iterable<Uint8Array> {
  const block = randomBytes(CHUNK_BYTES);
  for (let sent = 0; sent < bytes; sent += CHUNK_BYTES) {
    block.writeUInt32BE(sent, 0);
    yield Uint8Array.from(block.subarray(0, Math.min(CHUNK_BYTES, bytes - sent)));
  }
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
