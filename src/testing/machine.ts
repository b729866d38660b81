/**
 * A virtual machine: one plug into the network, ports, a disk and a wall clock, shared by the programs that run on it
 * and kept when they end.
 */
import type { HostPort, UdpOptions } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { canonicalHost, isEvery, isLoopback, isSameFamily } from './address.ts';
import type { Clock } from './clock.ts';
import type { LinkNetwork } from './dial.ts';
import { Disk } from './files.ts';
import type { Network } from './network.ts';
import { Ports } from './ports.ts';
import type { Random } from './random.ts';
import type { DatagramSink, Receiver, Station, StationOptions, Topology } from './topology.ts';
import { VirtualUdpSocket } from './udp.ts';

/** What machines of one world share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly topology: Topology;
  readonly network: Network;
  readonly links: LinkNetwork;
  /** Unix time when the world began. */
  readonly startUnixMs: Millis;
}

/** How a machine is. */
export interface MachineOptions extends StationOptions {
  /** Something on the way drops UDP. Default false. */
  readonly isUdpBlocked?: boolean;
  /** How much the wall clock is ahead. Default 0. */
  readonly skewMs?: Millis;
  /** The longest time that bytes stay lent to a UDP socket. Default 0: they are read before `send` returns. */
  readonly lateReleaseMs?: Millis;
  /** Whether sockets hear that a port or an address is not there (ICMP). Default false, as where nobody asks the kernel for it. */
  readonly reportsUnreachable?: boolean;
  /** Public-key jobs answer by promise, after half of this to all of it. Default 0: at once. */
  readonly jobDelayMs?: Millis;
}

/** One machine. */
export class Machine implements Receiver {
  readonly name: string;
  readonly disk: Disk = new Disk();
  readonly surroundings: Surroundings;
  readonly station: Station;
  readonly jobDelayMs: Millis;
  readonly #options: MachineOptions;
  readonly #random: Random;
  readonly #udp: Ports<VirtualUdpSocket>;
  /** How much the wall clock is ahead; set it to let the clock jump. */
  skewMs: Millis;

  constructor(name: string, parts: { surroundings: Surroundings; random: Random; options: MachineOptions }) {
    this.name = name;
    this.surroundings = parts.surroundings;
    this.#random = parts.random;
    this.#options = parts.options;
    this.#udp = new Ports<VirtualUdpSocket>('UDP', parts.random.fork('ports'));
    this.skewMs = parts.options.skewMs ?? 0;
    this.jobDelayMs = parts.options.jobDelayMs ?? 0;
    this.station = parts.surroundings.topology.addStation(name, this, parts.options);
    this.station.isUdpBlocked = parts.options.isUdpBlocked ?? false;
  }

  /** Its address in its LAN or on the internet. */
  get address(): string {
    return this.station.address;
  }

  /** The wall clock, in whole milliseconds as runtimes tell it. */
  get unixMs(): Millis {
    return Math.floor(this.surroundings.startUnixMs + this.surroundings.clock.now + this.skewMs);
  }

  /** Stands still: timers come late, datagrams are lost, links hold. */
  sleep(forMs: Millis): void {
    this.station.asleepUntil = this.surroundings.clock.now + forMs;
  }

  /** What programs left open: sockets and locks. */
  leftovers(): string[] {
    const sockets = this.#udp.all().map(({ local }) => `UDP port ${local.port} of ${this.name}`);
    const listeners = this.surroundings.links.ports(this.station).all();
    return [
      ...sockets,
      ...listeners.map(() => `listener of ${this.name}`),
      ...this.disk.locked.map((path) => `lock on ${path} of ${this.name}`),
    ];
  }

  /** @throws PilotError `ADDRESS_INVALID`, `UNREACHABLE` or `PORT_IN_USE` */
  bindUdp(options: UdpOptions, gone: (socket: VirtualUdpSocket) => void): VirtualUdpSocket {
    const host = this.ownAddress(options.host ?? '::');
    const port = this.#udp.choose(host, options.port);
    const { clock } = this.surroundings;
    const socket: VirtualUdpSocket = new VirtualUdpSocket({
      clock,
      random: this.#random.fork(`late ${port}`),
      local: { host, port },
      handler: options.handler,
      lateReleaseMs: this.#options.lateReleaseMs ?? 0,
      transmit: (bytes, to) => this.#transmit(socket, bytes, to),
      closed: () => {
        this.#udp.release(port, socket);
        gone(socket);
      },
    });
    this.#udp.bind(host, port, socket);
    return socket;
  }

  sinkAt(to: HostPort): DatagramSink | undefined {
    const socket = this.#udp.find(to.host, to.port);
    return socket && ((bytes, from) => socket.deliver(bytes, from));
  }

  /** An address that can be bound here, in canonical text. @throws PilotError `ADDRESS_INVALID` or `UNREACHABLE` */
  ownAddress(host: string): string {
    const address = host === 'localhost' ? '127.0.0.1' : canonicalHost(host);
    if (address === undefined) throw new PilotError('ADDRESS_INVALID', `Cannot bind ${host}: it is not an IP address`);
    if (isEvery(address) || isLoopback(address) || address === this.address) return address;
    throw new PilotError('UNREACHABLE', `Cannot bind ${host}: ${this.name} does not have that address`);
  }

  /** A socket of one address sends from there, another from where the way to the receiver begins. */
  #transmit(socket: VirtualUdpSocket, bytes: Uint8Array, to: HostPort): boolean {
    const { host, port } = socket.local;
    // 0.0.0.0 and :: as a target mean the own machine.
    const target = isEvery(to.host) ? { host: to.host === '::' ? '::1' : '127.0.0.1', port: to.port } : to;
    const own = isLoopback(target.host) ? target.host : this.address;
    const from = isEvery(host) ? own : host;
    const isReachable = isLoopback(from) === isLoopback(target.host) || from === this.address;
    if (!isReachable || !isSameFamily(from, target.host) || !this.#hasAddress(from)) return false;
    const { network } = this.surroundings;
    const departure = { from: { host: from, port }, to: target, bytes };
    if (!this.#options.reportsUnreachable) network.send(this.station, departure);
    else network.send(this.station, { ...departure, refused: () => socket.refused(to) });
    return true;
  }

  /** A socket may be bound to an address that the machine had. */
  #hasAddress(host: string): boolean {
    return isLoopback(host) || host === this.address;
  }
}
