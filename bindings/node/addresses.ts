/**
 * Addresses between the kernel and us, for the sockets of every runtime that has Node's modules: which families a socket
 * serves, IPv4-mapped addresses, which exist only between here and the kernel, and senders as objects that are made once.
 */
import { readFileSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { HostPort, UdpOptions, UdpSocket } from '../../src/carrier/host.ts';
import { type ErrorCode, PilotError } from '../../src/errors.ts';

/** Senders remembered, direct-mapped by port; a power of two. */
const SENDERS = 1024;
/** Destinations remembered in the kernel's form; forgotten all at once. */
const DESTINATIONS = 4096;
const HIGHEST_PORT = 0xffff;
const MAPPED = '::ffff:';

/** Reduces an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) to IPv4; anything else stays as it is. */
export function reduceMapped(address: string): string {
  return address.startsWith(MAPPED) && address.includes('.') ? address.slice(MAPPED.length) : address;
}

/** Says in our words why a socket could not be bound or listened on. */
export function bindError(where: string, cause: unknown): PilotError {
  const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown reason';
  const [code, fact] = BIND_FAILURES[reason] ?? ['UNREACHABLE', reason];
  return new PilotError(code, `Cannot bind ${where}: ${fact}`, { cause });
}

const BIND_FAILURES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EADDRINUSE: ['PORT_IN_USE', 'another socket has that port'],
  EACCES: ['UNREACHABLE', 'the system forbids that port'],
  EADDRNOTAVAIL: ['UNREACHABLE', 'this machine does not have that address'],
  ENOTFOUND: ['NOT_FOUND', 'no such host name'],
  EMFILE: ['BUSY', 'too many open files'],
  ENFILE: ['BUSY', 'too many open files'],
};

/** Binds a socket that keeps the process, or does not. */
export type BindUdp = (options: UdpOptions, lifetime: { readonly unref: boolean }) => Promise<UdpSocket>;

/** Where to bind: of which family, on which literal address. */
export interface BindTarget {
  readonly isIPv6: boolean;
  readonly host: string;
  readonly port: number;
}

/**
 * Binds a UDP socket. Without a host: all addresses, of both families where the system can, else IPv4 alone.
 *
 * @throws PilotError `PORT_IN_USE`, `ADDRESS_INVALID`, `UNREACHABLE` or `BUSY`
 */
export async function bindFamilies(
  options: UdpOptions,
  bind: (target: BindTarget) => Promise<UdpSocket>,
): Promise<UdpSocket> {
  const { host, port } = options;
  if (host !== undefined) {
    const version = isIP(host);
    if (version === 0) throw new PilotError('ADDRESS_INVALID', `Cannot bind ${host}: not an IP address`);
    return await bind({ isIPv6: version === 6, host, port });
  }
  if (!isDualStack()) return await bind({ isIPv6: false, host: '0.0.0.0', port });
  try {
    return await bind({ isIPv6: true, host: '::', port });
  } catch (error) {
    // A port that is taken for one family is taken; only a missing IPv6 is a reason to go on with IPv4.
    if ((error as PilotError).code === 'PORT_IN_USE') throw error;
    return await bind({ isIPv6: false, host: '0.0.0.0', port });
  }
}

function isDualStack(): boolean {
  if (process.platform === 'openbsd') return false;
  if (process.platform !== 'linux') return true;
  try {
    // libuv leaves IPV6_V6ONLY at the system's default.
    return readFileSync('/proc/sys/net/ipv6/bindv6only', 'latin1').trim() !== '1';
  } catch (error) {
    // Deno hides /proc from who has less than all permissions; nearly every system leaves it at 0.
    return (error as Error).name === 'NotCapable';
  }
}

/** What leaves whole: MTU 1 500 without the headers of UDP and of IPv4, or IPv6. */
const ETHERNET = { 4: 1_472, 6: 1_452 } as const;
/** The largest UDP datagram over IPv4; Linux loops it back whole (MTU 65 536). */
const LOOPED_BACK = 65_507;
/** MTU 16 384 elsewhere. */
const LOOPED_BACK_ELSEWHERE = 16_336;

/**
 * The largest datagram that leaves whole towards an address: what this machine sends to itself does not go through a
 * device. A device of a larger MTU than Ethernet's is not used to the full.
 */
export function datagramBytes(host: string): number {
  if (isOwn(host)) return process.platform === 'linux' ? LOOPED_BACK : LOOPED_BACK_ELSEWHERE;
  return ETHERNET[isIPv4(host) ? 4 : 6];
}

function isOwn(host: string): boolean {
  if (host === '::1' || (isIPv4(host) && host.startsWith('127.'))) return true;
  try {
    return Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === host));
  } catch {
    // Deno asks for a permission.
    return false;
  }
}

/** A sender, kept so that a datagram from it makes no object of ours. */
class Sender implements HostPort {
  readonly host: string;
  readonly port: number;
  /** As the kernel wrote it. */
  readonly address: string;

  constructor(address: string, port: number) {
    this.host = reduceMapped(address);
    this.port = port;
    this.address = address;
  }
}

/** The senders that a socket heard last. */
export class Senders {
  readonly #senders: (Sender | undefined)[] = new Array(SENDERS).fill(undefined);

  /** The same object as long as nobody else with such a port took its place. */
  get(address: string, port: number): HostPort {
    const at = port & (SENDERS - 1);
    const known = this.#senders[at];
    if (known !== undefined && known.port === port && known.address === address) return known;
    const sender = new Sender(address, port);
    this.#senders[at] = sender;
    return sender;
  }
}

/** Destinations in the form that the kernel takes, for a socket of one family. */
export class Destinations {
  readonly #isIPv6: boolean;
  readonly #known = new Map<string, string>();

  constructor(isIPv6: boolean) {
    this.#isIPv6 = isIPv6;
  }

  /** The address as this socket's family takes it; undefined when it can reach no such place. */
  address({ host, port }: HostPort): string | undefined {
    if (port <= 0 || port > HIGHEST_PORT) return undefined;
    const known = this.#known.get(host);
    if (known !== undefined) return known;
    const version = isIP(host);
    if (version === 0 || (version === 6 && !this.#isIPv6)) return undefined;
    // An IPv6 socket takes IPv4 destinations only in mapped form; plain ones fail with EINVAL.
    const address = this.#isIPv6 && isIPv4(host) ? MAPPED + host : host;
    if (this.#known.size >= DESTINATIONS) this.#known.clear();
    this.#known.set(host, address);
    return address;
  }
}
