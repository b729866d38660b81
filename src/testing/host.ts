/**
 * A program on a virtual machine, as `Host` shows it the world. Several may share a machine; each has its own timers,
 * sockets and randomness, and can be ended without a word, as a crash does.
 */
import type {
  Files,
  Host,
  HostPort,
  Link,
  LinkHandler,
  LinkServer,
  LinkTarget,
  ListenOptions,
  PublicKeyJobs,
  Timer,
  UdpOptions,
  UdpSocket,
  WebSocketHandler,
  WebSocketLink,
  WebSocketTarget,
} from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { canonicalHost } from './address.ts';
import type { ClockEvent } from './clock.ts';
import { delayedJobs } from './jobs.ts';
import type { VirtualLink } from './link.ts';
import { ListeningPort } from './listen.ts';
import type { Machine } from './machine.ts';
import type { Random } from './random.ts';
import { dialWebSocket } from './web-socket.ts';

/** What a program leaves behind when it is ended. */
interface Resource {
  abandon(): void;
}

const DEAD_TIMER: Timer = { cancel() {}, unref() {} };

/** One program's view of its machine. */
export class VirtualHost implements Host {
  readonly runtime = 'simulated';
  /** Of the machine. */
  readonly name: string;
  /** Shared with other programs there. */
  readonly machine: Machine;
  readonly files: Files;
  readonly jobs: PublicKeyJobs;
  readonly #random: Random;
  readonly #timers = new Set<ClockEvent>();
  readonly #resources = new Set<Resource>();
  readonly #label: string;
  #isRunning = true;

  /** @param random - Of this program alone: one that is started again must not draw the same keys. */
  constructor(machine: Machine, random: Random, jobs: PublicKeyJobs) {
    this.name = machine.name;
    this.machine = machine;
    this.#random = random;
    this.#label = `timer of ${machine.name}`;
    this.files = machine.disk.mount(this);
    const { jobDelayMs } = machine;
    const jitter = random.fork('jobs');
    this.jobs =
      jobDelayMs === 0
        ? jobs
        : delayedJobs(jobs, (callback) => this.setTimer((jobDelayMs * (1 + jitter.next())) / 2, callback));
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Its machine's address. */
  get address(): string {
    return this.machine.address;
  }

  // Functions of their own, for callers may pass them on without the host.
  readonly now = (): Millis => this.machine.surroundings.clock.now;

  readonly unixNow = (): Millis => this.machine.unixMs;

  readonly random = (into: Uint8Array): void => this.#random.fill(into);

  readonly setTimer = (delayMs: Millis, callback: () => void): Timer => {
    if (!this.#isRunning) return DEAD_TIMER;
    const { clock } = this.machine.surroundings;
    let event: ClockEvent;
    const fire = (): void => {
      this.#timers.delete(event);
      const { asleepUntil } = this.machine.station;
      if (asleepUntil > clock.now) arm(asleepUntil);
      else callback();
    };
    const arm = (at: Millis): void => {
      event = clock.at(at, this.#label, fire);
      this.#timers.add(event);
    };
    arm(clock.now + Math.max(0, delayMs));
    const cancel = (): void => {
      clock.cancel(event);
      this.#timers.delete(event);
    };
    return { cancel, unref() {} };
  };

  /** Names are those of hosts and NATs of this world, and localhost. */
  async resolve(name: string): Promise<string> {
    if (canonicalHost(name) !== undefined) return name;
    const address = this.machine.surroundings.topology.addressOf(name);
    if (address === undefined)
      throw new PilotError('NOT_FOUND', `Cannot find host ${name}: this world has no such name`);
    return address;
  }

  async bindUdp(options: UdpOptions): Promise<UdpSocket> {
    this.#check();
    const socket = this.machine.bindUdp(options, (closed) => this.#resources.delete(closed));
    this.#resources.add(socket);
    return socket;
  }

  connectLink(target: LinkTarget, handler: LinkHandler): VirtualLink {
    const { links } = this.machine.surroundings;
    const link: VirtualLink = links.dial(this.machine.station, target, handler, () => this.#resources.delete(link));
    this.#resources.add(link);
    if (!this.#isRunning) this.#abandon();
    return link;
  }

  connectWebSocket(target: WebSocketTarget, handler: WebSocketHandler): WebSocketLink {
    const { protocol, hostname, port } = new URL(target.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    const isSecure = protocol === 'wss:';
    const trust = target.pin === undefined ? { serverName: host } : { serverName: host, pin: target.pin };
    const to = { host, port: Number(port) || (isSecure ? 443 : 80), ...(isSecure ? { tls: trust } : {}) };
    return dialWebSocket(target, handler, (below) => this.connectLink(to, below));
  }

  async listenLink(options: ListenOptions, accept: (link: Link, remote: HostPort) => LinkHandler): Promise<LinkServer> {
    this.#check();
    const host = this.machine.ownAddress(options.host);
    const ports = this.machine.surroundings.links.ports(this.machine.station);
    const port = ports.choose(host, options.port);
    const server: ListeningPort = new ListeningPort({
      local: { host, port },
      certificate: options.tls?.certificate,
      web: options.web,
      accept,
      closed: () => {
        ports.release(port, server);
        this.#resources.delete(server);
      },
    });
    ports.bind(host, port, server);
    this.#resources.add(server);
    return server;
  }

  /** Ends the program as a crash does: it hears nothing more, its sockets close, its locks and timers go. */
  kill(): void {
    this.#isRunning = false;
    this.#abandon();
    for (const timer of this.#timers) this.machine.surroundings.clock.cancel(timer);
    this.#timers.clear();
    this.machine.disk.unlockAll(this);
  }

  #abandon(): void {
    for (const resource of [...this.#resources]) resource.abandon();
  }

  #check(): void {
    if (!this.#isRunning) throw new PilotError('CLOSED', `Cannot open a socket: the program on ${this.name} was ended`);
  }
}
