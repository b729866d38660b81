/**
 * A world: machines, the network between them, and virtual time, all of it decided by one seed. Programs of this
 * package run in it unchanged, for `Host` is all they know of the outside. Time moves only in `run` and its kin, one
 * event after the other, each followed by everything that promises had to do because of it.
 */
import type { PublicKeyJobs } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { Clock } from './clock.ts';
import { LinkNetwork } from './dial.ts';
import { VirtualHost } from './host.ts';
import type { LineOptions } from './line.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { type Arrival, type Drop, Network, type TraceEntry } from './network.ts';
import { Random } from './random.ts';
import { type Gateway, type GatewayOptions, Topology } from './topology.ts';
import { Turns } from './turns.ts';

/** What a world is made of. */
export interface WorldOptions {
  /** Decides everything that is left to chance. */
  readonly seed: number;
  /** Public-key operations of the runtime that the simulator runs on; shared by all hosts. They answer at once. */
  readonly jobs: PublicKeyJobs;
  /** Unix time at which the world begins; default 1 800 000 000 000 (January 2027). */
  readonly startUnixMs?: Millis;
  /** Each direction between a machine or NAT and the internet, unless it says otherwise. Default: 5 ms of delay. */
  readonly line?: LineOptions;
  /** Is told what becomes of each datagram. */
  readonly trace?: (entry: TraceEntry) => void;
}

/** What became of datagrams. `sent + duplicated = delivered + all dropped + inFlight`. */
export interface WorldStats {
  readonly sent: number;
  /** Second copies. */
  readonly duplicated: number;
  readonly delivered: number;
  readonly inFlight: number;
  /** By reason; only those that are not zero. */
  readonly dropped: Partial<Record<Drop, number>>;
}

const START_UNIX_MS = 1_800_000_000_000;
const LINE: LineOptions = { delayMs: 5 };
const LIMIT_MS: Millis = 60_000;
/** More events than this at one time: something asks for a timer of 0 ms for ever. */
const EVENTS_PER_TIME = 300_000;

/** One world. */
export class World {
  readonly seed: number;
  readonly #clock: Clock = new Clock();
  readonly #network: Network;
  readonly #links: LinkNetwork;
  readonly #topology: Topology;
  readonly #startUnixMs: Millis;
  readonly #random: Random;
  readonly #jobs: PublicKeyJobs;
  readonly #machines = new Map<string, Machine>();
  #programs = 0;
  #isRunning = false;

  constructor(options: WorldOptions) {
    const random = new Random(options.seed);
    this.seed = options.seed;
    this.#random = random;
    this.#jobs = options.jobs;
    this.#startUnixMs = options.startUnixMs ?? START_UNIX_MS;
    const clock = this.#clock;
    const topology = new Topology(random.fork('topology'), options.line ?? LINE);
    const network = new Network(clock, random.fork('network'), topology);
    network.onTrace = options.trace;
    this.#topology = topology;
    this.#network = network;
    this.#links = new LinkNetwork({ clock, random: random.fork('links'), network, topology });
  }

  /** Virtual time since the world began. */
  get now(): Millis {
    return this.#clock.now;
  }

  /**
   * Puts a machine into the world and starts a program on it. With a name that is known: another program on that
   * machine, as after a restart, which shares address, ports and files.
   *
   * @param name - Also resolves as a host name.
   */
  host(name: string, options?: MachineOptions): VirtualHost {
    let machine = this.#machines.get(name);
    if (machine !== undefined && options !== undefined) throw new RangeError(`Cannot add ${name}: the name is taken`);
    if (machine === undefined) {
      const surroundings = {
        clock: this.#clock,
        topology: this.#topology,
        network: this.#network,
        links: this.#links,
        startUnixMs: this.#startUnixMs,
      };
      const random = this.#random.fork(`machine ${name}`);
      machine = new Machine(name, { surroundings, random, options: options ?? {} });
      this.#machines.set(name, machine);
    }
    const random = this.#random.fork(`program ${this.#programs++} on ${name}`);
    return new VirtualHost(machine, random, this.#jobs);
  }

  /** Puts a NAT into the world, with a LAN behind it: hosts go there with `behind: name`. */
  nat(name: string, options?: GatewayOptions): Gateway {
    return this.#topology.addGateway(name, options);
  }

  /** Cuts two machines off from each other, for datagrams and links. */
  block(a: string, b: string): void {
    this.#network.block(this.#topology.station(a).name, this.#topology.station(b).name);
  }

  unblock(a: string, b: string): void {
    this.#network.unblock(a, b);
  }

  /** Puts one more line, or other options of it, between two machines, in this direction. */
  between(from: string, to: string, options: LineOptions): void {
    this.#network.between(this.#topology.station(from).name, this.#topology.station(to).name, options);
  }

  /** Drops the datagrams that `isCut` answers true to, until it is set to undefined. */
  cut(isCut: ((arrival: Arrival) => boolean) | undefined): void {
    this.#network.cut = isCut;
  }

  /** Tells what becomes of each datagram, to one at a time. */
  trace(hook: ((entry: TraceEntry) => void) | undefined): void {
    this.#network.onTrace = hook;
  }

  /** Breaks the links of a machine, or those through a NAT. */
  breakLinks(name: string): void {
    this.#links.breakLinks(name);
  }

  /**
   * Gives a machine or a NAT another address; a NAT forgets its mappings. Links break, UDP sockets of all addresses
   * live on.
   *
   * @param address - Omitted: the next free one. The present one: a NAT that restarts.
   */
  rebind(name: string, address?: string): void {
    const member = this.#topology.member(name);
    this.#links.breakLinks(name);
    this.#topology.readdress(member, address);
    if (member.kind === 'gateway') member.nat.forget();
  }

  /** Plugs a machine in elsewhere. @param to - `behind` omitted: on the internet. */
  move(name: string, to: { readonly behind?: string; readonly address?: string }): void {
    this.#links.breakLinks(name);
    this.#topology.move(this.#topology.station(name), to.behind, to.address);
  }

  /** Says which pin (lower-case hex SHA-256) a listener's certificate has; see dial.ts for what TLS is here. */
  registerCertificate(certificate: string, pin: string): void {
    this.#links.registerCertificate(certificate, pin);
  }

  /** Does what is due now. No time passes. */
  async settle(): Promise<void> {
    await this.run(this.now);
  }

  /** Lets time pass. */
  async elapse(forMs: Millis): Promise<void> {
    await this.run(this.now + forMs);
  }

  /**
   * Runs to a time. What is due at that time happens, too.
   *
   * @param untilMs - `Infinity`: until nothing is left to happen.
   * @throws Error for what a callback threw: its cause is that, its message names the seed.
   */
  async run(untilMs: Millis): Promise<void> {
    await this.#run(untilMs, () => false);
    if (untilMs !== Number.POSITIVE_INFINITY) this.#clock.advance(untilMs);
  }

  /** Runs until something is so. @throws PilotError `TIMEOUT` when it is not so in time, or nothing is left to happen */
  async runUntil(isSo: () => boolean, limitMs: Millis = LIMIT_MS): Promise<void> {
    const until = this.now + limitMs;
    if (await this.#run(until, isSo)) return;
    const { next } = this.#clock;
    const fact = next === Number.POSITIVE_INFINITY ? 'nothing is left to happen' : `not so within ${limitMs} ms`;
    throw new PilotError('TIMEOUT', `${this.#name} waits in vain at ${this.now} ms: ${fact}`);
  }

  /** Runs until a promise is settled. @returns Its value. @throws What it was rejected with, or `TIMEOUT` */
  async finish<T>(promise: Promise<T>, limitMs: Millis = LIMIT_MS): Promise<T> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await this.runUntil(() => isSettled, limitMs);
    return await promise;
  }

  stats(): WorldStats {
    const { sent = 0, duplicated = 0, delivered = 0, ...dropped } = this.#network.tally.all();
    const lost = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    return { sent, duplicated, delivered, inFlight: sent + duplicated - delivered - lost, dropped };
  }

  /** What is not over: events to come, sockets, links and locks. */
  leftovers(): string[] {
    const machines = [...this.#machines.values()];
    return [...this.#clock.labels(), ...this.#links.leftovers(), ...machines.flatMap((machine) => machine.leftovers())];
  }

  /** @throws Error when anything is left: a timer, a datagram, lent bytes, a socket, a link, a lock */
  assertQuiet(): void {
    const left = this.leftovers();
    if (left.length > 0) throw new Error(`${this.#name} is not quiet at ${this.now} ms: ${left.join(', ')}`);
  }

  get #name(): string {
    return `World with seed ${this.seed}`;
  }

  /** @returns Whether it stopped because `isSo`. */
  async #run(untilMs: Millis, isSo: () => boolean): Promise<boolean> {
    if (this.#isRunning) throw new TypeError(`Cannot run: ${this.#name} runs already, await that first`);
    this.#isRunning = true;
    const turns = new Turns();
    try {
      // What the caller began before may have got stuck in promises.
      await turns.end();
      let events = 0;
      while (!isSo()) {
        const { next, now } = this.#clock;
        if (next > untilMs || next === Number.POSITIVE_INFINITY) return false;
        events = next > now ? 1 : events + 1;
        if (events > EVENTS_PER_TIME) throw new Error('Time stands still: events keep coming at this time');
        this.#clock.step();
        await turns.end();
      }
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${this.#name} failed at ${this.now} ms: ${reason}`, { cause: error });
    } finally {
      turns.close();
      this.#isRunning = false;
    }
  }
}
