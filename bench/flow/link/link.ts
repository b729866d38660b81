/**
 * Two namespaces joined by link.c: a path with a delay, a rate, a queue and loss, for TCP and UDP alike. Built with the
 * machine's C compiler when it is needed first.
 */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { start, stop } from '../children.ts';
import { adopt, type Network, namespacePair, namespacesMissing } from '../namespaces.ts';

/** How the path is; the same in both directions. */
export interface PathOptions {
  /** One way. */
  readonly delayMs: number;
  readonly megabitsPerSecond: number;
  readonly queueBytes: number;
  /** 0 to 1. */
  readonly loss: number;
  readonly seed: number;
}

/** What passed, by direction: from the server, from the client. */
export interface Passed {
  readonly frames: number;
  readonly bytes: number;
  /** By a full queue. */
  readonly dropped: number;
  readonly lost: number;
}

/** Frames between two namespaces go this way. */
export interface Link extends Network {
  /** Also begins to count anew. */
  set(options: PathOptions): Promise<void>;
  count(): Promise<readonly [Passed, Passed]>;
}

// From dist/bench, where all of this is one file.
const ROOT = new URL('../../', import.meta.url);
const SOURCE: string = fileURLToPath(new URL('bench/flow/link/link.c', ROOT));
const CACHE: string = fileURLToPath(new URL('.cache/bench/link/', ROOT));

/** Why there can be no link here; undefined: there can. */
export function linkMissing(): string | undefined {
  if (spawnSync('cc', ['--version']).status !== 0) return 'no C compiler: apt-get install gcc libc6-dev';
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  return namespacesMissing();
}

/** Builds the emulator and joins two namespaces by it. */
export async function openLink(): Promise<Link> {
  const program = built();
  const network = namespacePair();
  const { server, client } = network;
  const child = start([program, server.device, client.device], {});
  const answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { done, value } = await answers.next();
    if (done) throw new Error('the link ended');
    return value;
  };
  await next();
  adopt(server);
  adopt(client);
  // One question at a time; nobody here asks two.
  const ask = (line: string): Promise<string> => {
    child.stdin!.write(`${line}\n`);
    return next();
  };
  return {
    server,
    client,
    set: async ({ delayMs, megabitsPerSecond, queueBytes, loss, seed }) => {
      const answer = await ask(`set ${delayMs} ${megabitsPerSecond} ${queueBytes} ${loss} ${seed}`);
      if (answer !== 'ok') throw new Error(`the link answered ${answer}`);
    },
    count: async () => parsed(await ask('count')),
    close: async () => {
      await ended(child);
      await network.close();
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  child.stdin!.end();
  await stop(child);
}

function built(): string {
  const source = readFileSync(SOURCE);
  const program = `${CACHE}link-${createHash('sha256').update(source).digest('hex').slice(0, 16)}`;
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  execFileSync('cc', ['-O2', '-o', program, SOURCE], { stdio: ['ignore', 2, 2] });
  return program;
}

function parsed(line: string): readonly [Passed, Passed] {
  const numbers = line.split(' ').slice(1).map(Number);
  const at = (i: number): Passed => {
    const [frames, bytes, dropped, lost] = numbers.slice(i * 4) as [number, number, number, number];
    return { frames, bytes, dropped, lost };
  };
  return [at(0), at(1)];
}
