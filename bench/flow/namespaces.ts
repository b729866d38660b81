/**
 * Two network namespaces of the bench's own, joined by a pair of veth devices as two machines by a cable: MTU 1 500, and
 * nothing left to a network card that is not there (no segmentation, no coalescing, no skipped checksums), for everybody.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { onPath } from '../../test/runtime/debian.mjs';

/** Both ends of a network. */
export interface Network {
  readonly server: End;
  readonly client: End;
  close(): Promise<void>;
}

/** One end. */
export interface End {
  readonly namespace: string;
  readonly device: string;
  readonly host: string;
}

const PREFIX = 'pwflow';
const MTU = 1500;
/** What else the kernel would do in bulk, and real cards do. */
const OFFLOADS = ['tso', 'gso', 'gro', 'tx', 'rx', 'sg'];
/** Documentation's own addresses (RFC 2544 §C.2.2: benchmarks). */
const NETWORK = '198.18.0.0/24';
const HOSTS = { server: '198.18.0.1', client: '198.18.0.2' };

const open = new Set<string>();
let count = 0;

/** Words that run a program in a namespace; none: in this one. */
export function inside(namespace: string | undefined): string[] {
  return namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
}

/** Why there can be no namespaces here; undefined: there can. */
export function namespacesMissing(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const missing = ['ip', 'ethtool'].filter((name) => onPath(name).length === 0);
  return missing.length === 0 ? undefined : `no ${missing.join(', no ')}: apt-get install iproute2 ethtool`;
}

/** Two namespaces without anything between them yet. */
export function namespacePair(): Network {
  const stem = `${PREFIX}${process.pid}n${count++}`;
  const ends = { server: end(stem, 's', HOSTS.server), client: end(stem, 'c', HOSTS.client) };
  for (const { namespace } of [ends.server, ends.client]) {
    ip('netns', 'add', namespace);
    open.add(namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    // Every connection begins anew.
    sysctl(namespace, 'net.ipv4.tcp_no_metrics_save=1');
    sysctl(namespace, 'net.ipv6.conf.all.disable_ipv6=1');
  }
  const close = async (): Promise<void> => {
    for (const { namespace } of [ends.server, ends.client]) remove(namespace);
  };
  return { ...ends, close };
}

/** Both joined by a cable. */
export function wiredPair(): Network {
  const network = namespacePair();
  const { server, client } = network;
  ip('link', 'add', server.device, 'type', 'veth', 'peer', 'name', client.device);
  for (const one of [server, client]) {
    adopt(one);
    for (const offload of OFFLOADS)
      tool('ip', 'netns', 'exec', one.namespace, 'ethtool', '-K', one.device, offload, 'off');
  }
  return network;
}

/** Takes a device that was made here into its namespace and gives it its address. */
export function adopt({ namespace, device, host }: End): void {
  ip('link', 'set', device, 'netns', namespace);
  ip('-n', namespace, 'addr', 'add', `${host}/24`, 'dev', device);
  ip('-n', namespace, 'link', 'set', device, 'mtu', String(MTU), 'up');
  // What is compared with is CUBIC, whatever this machine prefers. A route may say so where the setting is not ours to change.
  ip('-n', namespace, 'route', 'replace', NETWORK, 'dev', device, 'src', host, 'congctl', 'cubic');
}

/** For the end of this process, also a bad one. */
export function removeNamespaces(): void {
  for (const namespace of open) remove(namespace);
}

function end(stem: string, side: string, host: string): End {
  return { namespace: stem + side, device: `${stem}${side}`.slice(-15), host };
}

function remove(namespace: string): void {
  open.delete(namespace);
  // Its devices go with it, and with a veth its other end.
  spawnSync('ip', ['netns', 'del', namespace]);
}

function sysctl(namespace: string, setting: string): void {
  tool('ip', 'netns', 'exec', namespace, 'sysctl', '-qw', setting);
}

function ip(...args: string[]): void {
  tool('ip', ...args);
}

function tool(file: string, ...args: string[]): void {
  execFileSync(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
