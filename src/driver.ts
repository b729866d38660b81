/**
 * The only asynchronous glue between an endpoint and a runtime: sockets, links, timers, jobs and files of the `Host` on
 * one side, the endpoint's `handle*` and `poll*` on the other. Datagrams of one turn of the event loop are opened
 * together; what the application does in one go leaves together, in a microtask.
 */
import type { Host, HostPort, Link, LinkHandler, LinkTarget, Timer, UdpOptions, UdpSocket } from './carrier/host.ts';
import { connectRegistrySocket } from './carrier/registry-socket.ts';
import type { Millis } from './config.ts';
import type { Transport } from './core/carrier.ts';
import type { CongestionControlName } from './core/congestion.ts';
import { Endpoint, type EndpointOptions } from './core/endpoint.ts';
import type { Event } from './core/events.ts';
import type { Job, JobResult } from './core/jobs.ts';
import type { Datagram } from './core/outbox.ts';
import type { Profile } from './core/registration.ts';
import { BridgeSocket, type WebRoad } from './driver/bridge-socket.ts';
import type { MeetingRoom, Meetings } from './driver/meeting.ts';
import { runJob } from './driver/run-job.ts';
import { type ErrorCode, PilotError } from './errors.ts';
import { WEB_PATH } from './wire/compat.ts';

const WALL_CLOCK_MS: Millis = 1_000;
const OWNERS = 65_536;
/** A timer that is this late, or a wall clock that jumped so far: the machine slept. */
const GAP_MS: Millis = 30_000;

/** Events that the driver does not deal with itself. */
export type ApplicationEvent = Exclude<Event, { type: WorkType }>;
type WorkType = 'job' | 'openLink' | 'closeLink' | 'openBridge' | 'closeBridge' | 'sendBridge' | 'saveTrust' | 'meet';

/** Numbers that tell the endpoints on one engine apart. */
export class Owners {
  readonly #free: number[] = [];
  #made = 0;

  /** @throws PilotError `BUSY` */
  take(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#made === OWNERS) throw new PilotError('BUSY', `Cannot start an agent: ${OWNERS} run on this engine`);
    this.#made += 1;
    return this.#made - 1;
  }

  give(owner: number): void {
    this.#free.push(owner);
  }
}

/** What endpoints share: the runtime, and what speaking with others takes. */
export interface Shared {
  readonly host: Host;
  /** Of the engine, which may have yet to be loaded. */
  readonly engineName: string;
  readonly room: MeetingRoom;
  readonly owners: Owners;
  /** Those that may hold slots of the engine at the same time. */
  readonly drivers: Set<Driver>;
}

/** What one endpoint is driven with. */
export interface DriverOptions {
  readonly shared: Shared;
  /** The registry's TCP port; undefined: it is reached by WebSocket only. */
  readonly registry: LinkTarget | undefined;
  readonly web: WebRoad;
  readonly transport: Transport;
  /** Without `localPort`, which is known when the socket is bound. */
  readonly profile: Omit<Profile, 'localPort'>;
  readonly udp: { readonly host?: string; readonly port: number };
  /** Where `trust.json` is kept; omitted: nowhere. */
  readonly trustPath?: string;
  readonly trustText: string | undefined;
  readonly autoApprove: boolean;
  readonly congestionControl?: CongestionControlName | undefined;
  readonly onEvent: (event: ApplicationEvent) => void;
}

/** Drives one endpoint. */
export class Driver {
  readonly endpoint: Endpoint;
  readonly #shared: Shared;
  readonly #options: DriverOptions;
  /** None where all goes over the WebSocket. */
  readonly #socket: UdpSocket | undefined;
  readonly #bridge: BridgeSocket;
  readonly #owner: number;
  #link: Link | undefined;
  /** Counts links, so that what an old one still says is not taken for the present one's. */
  #linkNumber = 0;
  #timer: Timer | undefined;
  #timerAt: Millis = Number.POSITIVE_INFINITY;
  #turn: Timer | undefined;
  #isFlushQueued = false;
  #isDraining = false;
  #isClosed = false;
  #clockAt: Millis = 0;
  /** Unix time minus monotonic time, as last read. */
  #unixOffset: Millis;
  /** Settles when what was to be saved so far is saved. */
  #saving: Promise<void> = Promise.resolve();
  #lastFrom: HostPort | undefined;
  #lastPath = 0;

  /** Binds the socket, where there is one, then begins. @throws PilotError what the socket says. */
  static async open(options: DriverOptions): Promise<Driver> {
    const { host } = options.shared;
    let driver: Driver | undefined;
    const bind: UdpOptions = {
      ...options.udp,
      handler: {
        datagram: (bytes, from) => {
          if (driver !== undefined) driver.#handleDatagram(bytes, from);
        },
        turn: () => {
          if (driver !== undefined) driver.#handleTurn();
        },
        released: (token) => {
          if (driver !== undefined) driver.#handleReleased(token);
        },
        unreachable: (to) => {
          if (driver !== undefined) driver.#handleUnreachable(to);
        },
      },
    };
    const socket = options.transport === 'websocket' ? undefined : await host.bindUdp(bind);
    driver = new Driver(options, socket);
    driver.endpoint.start(host.now());
    driver.flush();
    return driver;
  }

  private constructor(options: DriverOptions, socket: UdpSocket | undefined) {
    const { shared, profile, trustText, autoApprove, congestionControl, transport } = options;
    const { host, room } = shared;
    this.#shared = shared;
    this.#options = options;
    this.#socket = socket;
    this.#owner = shared.owners.take();
    const now = host.now();
    this.#clockAt = now;
    this.#unixOffset = host.unixNow() - now;
    const endpoint: EndpointOptions = {
      unixOffset: this.#unixOffset,
      random: (into) => host.random(into),
      profile: { ...profile, localPort: socket?.local.port ?? 0 },
      trustText,
      autoApprove,
      congestionControl,
      transport,
      datagramBytes: socket?.datagramBytes?.bind(socket),
    };
    this.endpoint = new Endpoint(endpoint);
    if (room.loaded !== undefined) this.#meet(room.loaded);
    this.#bridge = new BridgeSocket(host, options.web, {
      open: () => this.#tell((at) => this.endpoint.handleBridge(at, 'open')),
      text: (text) => this.#tell((at) => this.endpoint.handleBridgeText(at, text)),
      bytes: (bytes) => {
        this.#handleArrival(this.endpoint.socketPath, bytes);
        this.#awaitTurn();
      },
      closed: (end) => this.#tell((at) => this.endpoint.handleBridge(at, end)),
    });
    shared.drivers.add(this);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Settles when the trust file is written. */
  get saved(): Promise<void> {
    return this.#saving;
  }

  /** Monotonic. */
  now(): Millis {
    return this.#shared.host.now();
  }

  unixNow(): Millis {
    return this.#shared.host.unixNow();
  }

  /** A timer of the application. */
  setTimer(delayMs: Millis, callback: () => void): Timer {
    return this.#shared.host.setTimer(delayMs, callback);
  }

  /**
   * Brings what speaking with others takes; the application waits for it before it names a peer.
   *
   * @throws PilotError `UNREACHABLE` when it cannot be loaded, `NOT_SUPPORTED` where it cannot run.
   */
  async meet(): Promise<void> {
    try {
      this.#meet(await this.#shared.room.load());
    } catch (error) {
      this.endpoint.failMeeting();
      throw error;
    }
  }

  /** The application called the endpoint: what came of it leaves after the present code has run. */
  flush(): void {
    if (this.#isFlushQueued || this.#isClosed) return;
    this.#isFlushQueued = true;
    queueMicrotask(() => {
      this.#isFlushQueued = false;
      if (!this.#isClosed) this.#drain(this.now());
    });
  }

  /** Opens the frames that wait, to free their slots. */
  openBatch(now: Millis): void {
    if (!this.#isClosed) this.endpoint.handleBatch(now);
  }

  /** Ends at once, after what the endpoint still has to say. */
  close(): void {
    if (this.#isClosed) return;
    const now = this.now();
    this.endpoint.close(now);
    this.#drain(now);
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#turn?.cancel();
    this.#link?.close();
    this.#bridge.close();
    this.#shared.drivers.delete(this);
    this.#shared.owners.give(this.#owner);
    this.#socket?.close();
  }

  #handleDatagram(bytes: Uint8Array, from: HostPort): void {
    this.#handleArrival(this.#pathOf(from), bytes);
    if (this.#socket?.tellsTurns !== true) this.#awaitTurn();
  }

  #handleArrival(path: number, bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const { endpoint } = this;
    const now = this.now();
    endpoint.counters.datagramsReceived += 1;
    endpoint.counters.bytesReceived += bytes.length;
    if (!endpoint.handleDatagram(now, path, bytes)) {
      // Slots are the process's: others may hold them until their turn ends.
      for (const driver of this.#shared.drivers) driver.openBatch(now);
      if (!endpoint.handleDatagram(now, path, bytes)) endpoint.counters.drop('noSlot');
    }
    // A key has to be there before the frames under it are opened, which may have come in the same turn.
    if (endpoint.hasEvents) this.#drain(now);
    if (endpoint.isBatchFull) endpoint.handleBatch(now);
  }

  /** A batch ends with the turn where nobody says that it does. */
  #awaitTurn(): void {
    if (this.#isClosed) return;
    this.#turn ??= this.#shared.host.setTimer(0, () => {
      this.#turn = undefined;
      this.#handleTurn();
    });
  }

  #handleTurn(): void {
    if (this.#isClosed) return;
    const now = this.now();
    this.endpoint.handleBatch(now);
    this.#drain(now);
  }

  #handleReleased(token: number): void {
    this.endpoint.release(token);
    // A drain that ran out of slots left streams that have more.
    if (this.endpoint.contacts.streams.ready().size > 0) this.flush();
  }

  #handleUnreachable(to: HostPort | undefined): void {
    if (to === undefined || this.#isClosed) return;
    this.endpoint.handleUnreachable(this.now(), this.endpoint.paths.intern(to.host, to.port));
    this.flush();
  }

  #pathOf(from: HostPort): number {
    const { paths } = this.endpoint;
    if (from === this.#lastFrom && paths.has(this.#lastPath) && paths.host(this.#lastPath) === from.host) {
      if (paths.port(this.#lastPath) === from.port) return this.#lastPath;
    }
    this.#lastFrom = from;
    this.#lastPath = paths.intern(from.host, from.port);
    return this.#lastPath;
  }

  /** Carries everything that waits to where it goes, until nothing is left, and sets the timer. */
  #drain(now: Millis): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    const { endpoint } = this;
    try {
      for (let isBusy = true; isBusy; ) {
        isBusy = false;
        for (let event = endpoint.pollEvent(); event !== undefined; event = endpoint.pollEvent()) {
          this.#handleEvent(now, event);
          isBusy = true;
        }
        for (let bytes = endpoint.pollLink(); bytes !== undefined; bytes = endpoint.pollLink())
          this.#link?.write(bytes);
        for (let next = endpoint.pollTransmit(now); next !== undefined; next = endpoint.pollTransmit(now)) {
          this.#transmit(next);
          isBusy = true;
        }
      }
    } finally {
      this.#isDraining = false;
    }
    this.#socket?.flush?.();
    if (now - this.#clockAt >= WALL_CLOCK_MS) this.#readWallClock(now);
    this.#setTimer(now);
  }

  #transmit({ bytes, path, token }: Datagram): void {
    const { endpoint } = this;
    if (path !== endpoint.socketPath) {
      if (this.#socket !== undefined) this.#socket.send(bytes, this.#addressOf(path), token);
      else if (token >= 0) endpoint.release(token);
      return;
    }
    if (!this.#bridge.send(bytes)) endpoint.counters.drop('carrierFull');
    if (token >= 0) endpoint.release(token);
  }

  /** The wall clock runs on while a machine sleeps and the monotonic one may not: then it jumps against it. */
  #readWallClock(now: Millis): void {
    const unixOffset = this.#shared.host.unixNow() - now;
    this.#clockAt = now;
    this.endpoint.setUnixOffset(unixOffset);
    if (unixOffset - this.#unixOffset > GAP_MS) this.endpoint.handleWake(now);
    this.#unixOffset = unixOffset;
  }

  #addressOf(path: number): HostPort {
    const { paths } = this.endpoint;
    return { host: paths.host(path), port: paths.port(path) };
  }

  /** A timer that fires too early costs less than setting one each time. */
  #setTimer(now: Millis): void {
    const at = this.endpoint.pollTimeout();
    if (at >= this.#timerAt && this.#timer !== undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY || this.#isClosed) return;
    this.#timer = this.#shared.host.setTimer(Math.max(0, at - now), () => {
      this.#timer = undefined;
      this.#timerAt = Number.POSITIVE_INFINITY;
      if (this.#isClosed) return;
      const after = this.now();
      if (after - Math.max(at, now) > GAP_MS) this.endpoint.handleWake(after);
      this.endpoint.handleTimeout(after);
      this.#drain(after);
    });
  }

  #handleEvent(now: Millis, event: Event): void {
    switch (event.type) {
      case 'job':
        this.#runJob(now, event.id, event.job);
        return;
      case 'openLink':
        this.#openLink();
        return;
      case 'closeLink':
        this.#linkNumber += 1;
        this.#link?.destroy();
        this.#link = undefined;
        return;
      case 'openBridge':
        this.#bridge.open();
        return;
      case 'closeBridge':
        this.#bridge.close();
        return;
      case 'sendBridge':
        if (!this.#bridge.send(event.message)) this.endpoint.counters.drop('carrierFull');
        return;
      case 'saveTrust':
        this.#saveTrust(now, event.text);
        return;
      case 'meet':
        this.meet().then(
          () => this.flush(),
          (error: unknown) => this.#warn('peersNotLoaded', error, 'UNREACHABLE'),
        );
        return;
      default:
        this.#options.onEvent(event);
    }
  }

  #meet({ engine, pool, makeContacts }: Meetings): void {
    if (this.endpoint.hasContacts || this.#isClosed) return;
    this.endpoint.meet(this.now(), makeContacts, { engine, pool, owner: this.#owner });
  }

  #warn(code: string, error: unknown, otherwise: ErrorCode): void {
    const cause = error instanceof PilotError ? error.code : otherwise;
    this.#options.onEvent({ type: 'diagnostic', level: 'warning', code, facts: { cause } });
  }

  #runJob(now: Millis, id: number, job: Job): void {
    let result: JobResult | Promise<JobResult>;
    try {
      result = runJob(this.#shared.host.jobs, job);
    } catch {
      // An operation that the runtime refuses is a failed one; what failed is counted where it was asked for.
      result = undefined;
    }
    if (id === 0) return;
    if (!(result instanceof Promise)) {
      this.endpoint.handleJob(now, id, result);
      return;
    }
    const finish = (done: JobResult): void => {
      if (this.#isClosed) return;
      this.endpoint.handleJob(this.now(), id, done);
      this.flush();
    };
    result.then(finish, () => finish(undefined));
  }

  #openLink(): void {
    this.#linkNumber += 1;
    const number = this.#linkNumber;
    const tell = (what: 'open' | 'closed' | Uint8Array, code?: ErrorCode): void => {
      if (number === this.#linkNumber) this.#tell((now) => this.endpoint.handleLink(now, 0, what, code));
    };
    const { registry, web, transport } = this.#options;
    const { host } = this.#shared;
    const handler: LinkHandler = {
      open: () => tell('open'),
      data: (bytes) => tell(bytes),
      drain: () => {},
      closed: (error) => tell('closed', error instanceof PilotError ? error.code : undefined),
    };
    // Where UDP is not even tried, other things than HTTP may not pass either.
    if (registry !== undefined && transport !== 'websocket') {
      this.#link = host.connectLink(registry, handler);
      return;
    }
    const { base, pin } = web;
    const target = { url: `${base}${WEB_PATH.registry}`, ...(pin === undefined ? {} : { pin }) };
    this.#link = connectRegistrySocket(host, target, handler);
  }

  /** Something came of a link. */
  #tell(say: (now: Millis) => void): void {
    if (this.#isClosed) return;
    const now = this.now();
    say(now);
    this.#drain(now);
  }

  #saveTrust(now: Millis, text: string): void {
    const { trustPath } = this.#options;
    if (trustPath === undefined) {
      this.endpoint.handleTrustSaved(now);
      return;
    }
    const saved = (): void => {
      if (this.#isClosed) return;
      this.endpoint.handleTrustSaved(this.now());
      this.flush();
    };
    const writing = this.#shared.host.files.writeAtomic(trustPath, new TextEncoder().encode(text));
    this.#saving = writing.then(saved, (error: unknown) => {
      this.#warn('trustNotSaved', error, 'IDENTITY_INVALID');
      saved();
    });
  }
}
