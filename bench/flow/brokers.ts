/**
 * Brokers, which come from Debian: found on PATH, installed where that was asked for, started on a port of their own, each
 * with what it needs to be at its best (no limit for slow subscribers, no storage, no delay).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aptInstall, mayInstall, onPath } from '../../test/runtime/debian.mjs';
import { start, stop } from './children.ts';
import { inside } from './namespaces.ts';

/** Peers that have one. */
export type BrokerName = 'nats' | 'redis' | 'mqtt';

/** By the name of the peer. */
export const BROKER_OF: Readonly<Record<string, BrokerName>> = { nats: 'nats', redis: 'redis', mqtt: 'mqtt' };

/** Where it is to run. */
export interface BrokerPlace {
  readonly host: string;
  readonly namespace?: string | undefined;
}

/** A broker under way. */
export interface Broker {
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  close(): Promise<void>;
}

interface Kind {
  readonly program: string;
  readonly package: string;
  readonly versionFlag: string;
  /** Its arguments; `folder` is for what it has to read from a file. */
  args(host: string, port: number, folder: string): string[];
}

const KINDS: { readonly [name in BrokerName]: Kind } = {
  nats: {
    program: 'nats-server',
    package: 'nats-server',
    versionFlag: '--version',
    args: (host, port) => ['--addr', host, '--port', String(port), '--log', '/dev/null'],
  },
  redis: {
    program: 'redis-server',
    package: 'redis-server',
    versionFlag: '--version',
    args: (host, port, folder) => [
      ...['--bind', host, '--port', String(port), '--protected-mode', 'no', '--dir', folder, '--logfile', '/dev/null'],
      ...['--save', '', '--appendonly', 'no', '--client-output-buffer-limit', 'pubsub 0 0 0'],
    ],
  },
  mqtt: {
    program: 'mosquitto',
    package: 'mosquitto',
    versionFlag: '-h',
    args(host, port, folder) {
      const lines = [
        `listener ${port} ${host}`,
        'allow_anonymous true',
        'max_queued_messages 0',
        'set_tcp_nodelay true',
      ];
      const file = join(folder, 'mosquitto.conf');
      writeFileSync(file, `${[...lines, 'log_dest none', 'persistence false'].join('\n')}\n`);
      return ['-c', file];
    },
  },
};

const PATIENCE = 100;
const PAUSE_MS = 50;

/** Installs what is missing of these, where that was asked for. @returns A line for each that is still missing, what to do. */
export function missingBrokers(names: readonly BrokerName[]): Map<BrokerName, string> {
  const missing = (): BrokerName[] => names.filter((name) => programOf(name) === undefined);
  const packages = missing().map((name) => KINDS[name].package);
  if (packages.length > 0 && mayInstall()) aptInstall(packages);
  const hint = 'as root with PILOTWIRE_INSTALL=1 it is installed, or: apt-get install';
  return new Map(missing().map((name) => [name, `no ${KINDS[name].program}: ${hint} ${KINDS[name].package}`]));
}

/** Starts one that is not missing, and waits until it answers. */
export async function startBroker(name: BrokerName, { host, namespace }: BrokerPlace): Promise<Broker> {
  const kind = KINDS[name];
  const program = programOf(name)!;
  const folder = mkdtempSync(join(tmpdir(), 'pilotwire-flow-'));
  const port = await freePort();
  const child = start([...inside(namespace), program, ...kind.args(host, port, folder)], {});
  child.stdout?.resume();
  const close = async (): Promise<void> => {
    await stop(child);
    rmSync(folder, { recursive: true });
  };
  // Into another namespace there is no way from here: its clients try again.
  for (let i = 0; namespace === undefined && !(await isAnswering(host, port)); i++) {
    if (i === PATIENCE) {
      await close();
      throw new Error(`${program} does not answer`);
    }
    await pause();
  }
  if (namespace !== undefined) await pause(10 * PAUSE_MS);
  return { port, pid: child.pid!, version: versionOf(program, kind.versionFlag), close };
}

function programOf(name: BrokerName): string | undefined {
  return onPath(KINDS[name].program)[0];
}

function versionOf(program: string, flag: string): string {
  const { stdout } = spawnSync(program, [flag], { encoding: 'utf8' });
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? 'unknown';
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function isAnswering(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function pause(ms: number = PAUSE_MS): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
