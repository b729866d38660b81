/**
 * An agent: an address, a key, and everything that an application does with them. `Agent.start` is what a binding
 * exports with its runtime filled in.
 */
import { LIMITS } from '../config.ts';
import { checkControl } from '../core/congestion.ts';
import { type ConnectionId, EVENT, type Pong } from '../core/events.ts';
import { NO_PATH } from '../core/paths.ts';
import { type ApplicationEvent, Driver } from '../driver.ts';
import { ERROR_CODES, PilotError } from '../errors.ts';
import { Address } from '../wire/address.ts';
import { formatHostPort } from '../wire/host-port.ts';
import { PORT } from '../wire/packet.ts';
import { Connection } from './connection.ts';
import { Dials } from './dials.ts';
import type { OpenIdentity } from './identity.ts';
import { Questions } from './questions.ts';
import { AsyncQueue } from './queue.ts';
import { parseRendezvousUrl, type Rendezvous } from './rendezvous-url.ts';
import type {
  AgentOptions,
  AgentRuntime,
  AgentStats,
  CallOptions,
  Diagnostic,
  Explanation,
  FoundAgent,
  Listener,
  PeerInfo,
  ReceivedDatagram,
} from './shapes.ts';
import { parseTarget, parseTargetPort } from './target.ts';
import { AgentTrust } from './trust.ts';
import { waitFor } from './wait.ts';

const START_MS = 15_000;
const PING_MS = 5_000;
const PING_BYTES = 32;

/** A running agent. */
export class Agent {
  readonly trust: AgentTrust;
  readonly #runtime: AgentRuntime;
  readonly #identity: OpenIdentity;
  #driver: Driver | undefined;
  #hostname: string | undefined;
  readonly #questions: Questions = new Questions(() => this.#live());
  readonly #connections = new Map<ConnectionId, Connection>();
  readonly #dials: Dials = new Dials(() => this.#live());
  readonly #listeners = new Map<number, AsyncQueue<Connection>>();
  readonly #datagrams = new Map<number, AsyncQueue<ReceivedDatagram>>();
  readonly #diagnostics = new Set<(news: Diagnostic) => void>();
  readonly #stateWaiters = new Set<() => void>();
  #startError: PilotError | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Registers and begins to listen. Bindings export it without the first argument.
   *
   * @throws PilotError `RENDEZVOUS_UNREACHABLE`, `NOT_SUPPORTED` (no WebSockets there), `TLS_PIN_MISMATCH`, `INSECURE`, `IDENTITY_IN_USE`, `IDENTITY_INVALID`,
   *   `ALREADY_EXISTS` (the host name is taken), `REGISTRY_REFUSED` (it is none). TypeError for options of the wrong form.
   */
  static async start(runtime: AgentRuntime, options: AgentOptions): Promise<Agent> {
    options.signal?.throwIfAborted();
    checkControl(options.congestionControl);
    const rendezvous = parseRendezvousUrl(options.rendezvous, {
      isInsecureAllowed: options.insecure === true,
      transport: options.transport ?? 'auto',
    });
    const identity = await runtime.openIdentity(options.identity);
    const agent = new Agent(runtime, identity);
    try {
      await agent.#open(rendezvous, options);
      return agent;
    } catch (error) {
      await agent.close();
      throw error;
    }
  }

  private constructor(runtime: AgentRuntime, identity: OpenIdentity) {
    this.#runtime = runtime;
    this.#identity = identity;
    this.trust = new AgentTrust({
      driver: () => this.#live(),
      resolve: (target, signal) => this.#resolve(target, signal),
    });
  }

  /** Stable for the identity's key. */
  get address(): Address {
    return new Address(0, this.nodeId);
  }

  get nodeId(): number {
    return this.#driver?.endpoint.nodeId ?? 0;
  }

  get hostname(): string | undefined {
    return this.#hostname;
  }

  /** Ed25519, 32 bytes. */
  get publicKey(): Uint8Array {
    return this.#identity.publicKey;
  }

  /** Whether the rendezvous answers now. Peers that are known are spoken to without it. */
  get isOnline(): boolean {
    return this.#driver?.endpoint.isOnline ?? false;
  }

  /**
   * Opens a stream connection.
   *
   * @param target - `name:port`, `nodeId:port` or `address:port`; there is no default port.
   * @throws PilotError `DIAL_TIMEOUT`, `CONNECTION_REFUSED`, `NOT_FOUND`, `BUSY`
   */
  async dial(target: string, options: CallOptions = {}): Promise<Connection> {
    const { target: node, port } = parseTargetPort(target);
    const peer = await this.#questions.resolve(node, options.signal);
    const stream = await this.#dials.dial(peer, port, options);
    const connection = new Connection(this.#live(), stream);
    this.#connections.set(stream.id, connection);
    return connection;
  }

  /**
   * Accepts connections on a port. Those that are not taken wait, at most 64.
   *
   * @throws PilotError `PORT_IN_USE`
   */
  listen(port: number): Listener<Connection> {
    checkPort(port);
    const { endpoint } = this.#live();
    if (!endpoint.ports.listen(port)) throw portInUse(port);
    const queue = new AsyncQueue<Connection>(LIMITS.acceptQueue, () => {
      this.#listeners.delete(port);
      endpoint.ports.unlisten(port);
      for (const connection of queue.drain()) connection.abort();
    });
    this.#listeners.set(port, queue);
    return listenerOf(queue);
  }

  /**
   * Sends one datagram. Resolves when it was handed to the network; delivery is not promised.
   *
   * @param target - As in `dial`.
   * @throws PilotError `TOO_LARGE` above 8192 bytes, `NOT_TRUSTED_OR_SILENT`, `UNREACHABLE`, `BUSY`
   */
  async send(target: string, bytes: Uint8Array, options: { sourcePort?: number } = {}): Promise<void> {
    if (!(bytes instanceof Uint8Array) || bytes.length === 0) {
      throw new TypeError('Cannot send a datagram: want a Uint8Array with at least one byte');
    }
    if (bytes.length > LIMITS.datagramBytes) {
      throw new PilotError(
        'TOO_LARGE',
        `Cannot send a datagram of ${bytes.length} bytes: at most ${LIMITS.datagramBytes}`,
      );
    }
    const { target: node, port } = parseTargetPort(target);
    const peer = await this.#questions.resolve(node);
    const sourcePort = options.sourcePort ?? 0;
    await this.#questions.ask((driver, ticket) => {
      const to = { network: peer.network, port, sourcePort };
      driver.endpoint.contacts.sendDatagram(driver.now(), peer.node, to, { bytes, ticket });
    });
  }

  /** Receives datagrams on a port. At most 1024 wait; more are dropped and counted. @throws PilotError `PORT_IN_USE` */
  datagrams(port: number): Listener<ReceivedDatagram> {
    checkPort(port);
    const { endpoint } = this.#live();
    if (!endpoint.ports.bindDatagrams(port)) throw portInUse(port);
    const queue = new AsyncQueue<ReceivedDatagram>(LIMITS.datagramQueue, () => {
      this.#datagrams.delete(port);
      endpoint.ports.unbindDatagrams(port);
    });
    this.#datagrams.set(port, queue);
    return listenerOf(queue);
  }

  /** Measures the round trip to a peer, which need not trust us. @throws PilotError `NOT_TRUSTED_OR_SILENT` */
  async ping(target: string | Address, options: CallOptions = {}): Promise<Pong> {
    const peer = await this.#resolve(target, options.signal);
    const driver = this.#live();
    const deadline = driver.now() + (options.timeoutMs ?? PING_MS);
    const payload = new Uint8Array(PING_BYTES);
    this.#runtime.shared.host.random(payload);
    const value = await this.#questions.ask((_, ticket) => {
      driver.endpoint.contacts.ping(driver.now(), peer.node, { payload, ticket, deadline });
    }, options.signal);
    return value as Pong;
  }

  /** Finds an agent by name. @throws PilotError `NOT_FOUND`: nobody has it, or it does not show itself to us. */
  find(target: string | Address): Promise<FoundAgent>;
  /** Finds agents by tag: those that are public, trusted, or in a shared network. @throws PilotError `NOT_SUPPORTED` */
  find(by: { readonly tag: string }): Promise<FoundAgent[]>;
  async find(what: string | Address | { readonly tag: string }): Promise<FoundAgent | FoundAgent[]> {
    if (typeof what === 'object' && 'tag' in what) return await this.#questions.findByTag(what.tag);
    return await this.#questions.lookup((await this.#resolve(what)).node);
  }

  /** How the peer is reached, and why. */
  async explain(target: string | Address): Promise<Explanation> {
    const peer = await this.#resolve(target);
    return this.#live().endpoint.contacts.explain(peer.node);
  }

  /** Peers that were spoken to lately. */
  peers(): PeerInfo[] {
    const { endpoint } = this.#live();
    if (!endpoint.hasContacts) return [];
    const { contacts } = endpoint;
    return [...contacts.peers.all()].map((peer) => ({
      address: new Address(0, peer.id),
      isTrusted: peer.isTrusted,
      isEncrypted: peer.exchange.hasSession,
      endpoint: peer.path.direct === NO_PATH ? undefined : endpoint.paths.text(peer.path.direct),
      ...contacts.explain(peer.id),
    }));
  }

  /** Connections that are open or opening. */
  connections(): Connection[] {
    return [...this.#connections.values()];
  }

  stats(): AgentStats {
    const { endpoint } = this.#live();
    const { host, engineName } = this.#runtime.shared;
    const { counters } = endpoint;
    return {
      engine: engineName,
      host: host.runtime,
      carrier: endpoint.carrier.name,
      carrierReason: endpoint.carrier.reason,
      peers: endpoint.hasContacts ? endpoint.contacts.peers.size : 0,
      connections: this.#connections.size,
      datagramsReceived: counters.datagramsReceived,
      datagramsSent: counters.datagramsSent,
      bytesReceived: counters.bytesReceived,
      bytesSent: counters.bytesSent,
      keyExchanges: counters.keyExchanges,
      rekeys: counters.rekeys,
      drops: counters.drops(),
    };
  }

  /** Our UDP address as the beacon sees it, `host:port`; undefined while none answered. */
  get endpoint(): string | undefined {
    const { reflexive } = this.#live().endpoint;
    return reflexive === undefined ? undefined : formatHostPort(reflexive.host, reflexive.port);
  }

  /** Listens to news. @returns Stops listening. */
  on(_type: 'diagnostics', handler: (news: Diagnostic) => void): () => void {
    this.#diagnostics.add(handler);
    return () => this.#diagnostics.delete(handler);
  }

  /** Waits until everything written is acknowledged, then ends. Further calls wait for the same end. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(rendezvous: Rendezvous, options: AgentOptions): Promise<void> {
    const { shared, version } = this.#runtime;
    const { publicKey, identity, trustPath, trustText } = this.#identity;
    const { transport, port: registryPort } = rendezvous;
    // Names of WebSockets are the runtime's to look up: a page could not.
    const isUdp = transport !== 'websocket';
    const address = isUdp ? await shared.host.resolve(rendezvous.host) : rendezvous.host;
    const { listenHost, port = 0, hostname, tags = [], visibility = 'private' } = options;
    this.#driver = await Driver.open({
      shared,
      registry: rendezvous.tcp,
      web: rendezvous.web,
      transport,
      profile: {
        publicKey,
        identity,
        hostname,
        tags,
        isPublic: visibility === 'public',
        version,
        lanAddresses: [],
        rendezvous: { host: address, port: registryPort },
      },
      udp: { port, ...(listenHost === undefined ? {} : { host: listenHost }) },
      ...(trustPath === undefined ? {} : { trustPath }),
      trustText,
      autoApprove: options.autoApprove === true,
      congestionControl: options.congestionControl,
      onEvent: (event) => this.#handleEvent(event),
    });
    const { tables } = this.#driver.endpoint;
    if (tables.isDamaged) {
      throw new PilotError('IDENTITY_INVALID', `Cannot read ${trustPath}: not a trust file`, {
        hint: 'restore it from a backup, or delete it and ask for trust again',
      });
    }
    await this.#registered(options);
    if (tables.skipped > 0) {
      this.#tell({ level: 'warning', code: 'trustEntriesSkipped', facts: { count: tables.skipped } });
    }
    if (options.echo !== false) this.#serveEcho();
  }

  /** Requests to the registry are answered in order: when this one is, tags and visibility are set. */
  async #registered(options: AgentOptions): Promise<void> {
    const { timeoutMs = START_MS, signal } = options;
    const driver = this.#live();
    const wait = {
      setTimer: (delayMs: number, callback: () => void) => driver.setTimer(delayMs, callback),
      timeoutMs,
      signal,
      timeoutError: () =>
        new PilotError('RENDEZVOUS_UNREACHABLE', `Cannot register: no answer within ${timeoutMs} ms`, {
          hint: silenceHint(options.rendezvous),
        }),
    };
    await waitFor(wait, (done) => {
      const check = (): void => {
        if (this.#startError !== undefined) done(this.#startError);
        else if (driver.endpoint.nodeId !== 0 && driver.endpoint.carrier.isDecided) done();
      };
      this.#stateWaiters.add(check);
      check();
      return () => this.#stateWaiters.delete(check);
    });
    await this.#questions.lookup(this.nodeId);
  }

  #serveEcho(): void {
    const serve = async (): Promise<void> => {
      for await (const connection of this.listen(PORT.echo)) {
        // How an echo ends is the peer's affair.
        connection.readable.pipeTo(connection.writable).catch(() => connection.abort());
      }
    };
    void serve();
  }

  async #close(): Promise<void> {
    for (const queue of [...this.#listeners.values(), ...this.#datagrams.values()]) queue.end();
    this.trust.close();
    await Promise.allSettled([...this.#connections.values()].map((connection) => connection.flush()));
    this.#driver?.close();
    this.#questions.close();
    await this.#driver?.saved;
    await this.#identity.release();
  }

  #live(): Driver {
    if (this.#driver === undefined || this.#driver.isClosed) {
      throw new PilotError('CLOSED', 'Cannot use the agent: it was closed');
    }
    return this.#driver;
  }

  #handleEvent(event: ApplicationEvent): void {
    switch (event.type) {
      case 'connection': {
        this.#dials.handleBits(event.connection, event.bits);
        const connection = this.#connections.get(event.connection);
        connection?.handleBits(event.bits);
        if ((event.bits & EVENT.closed) !== 0) this.#connections.delete(event.connection);
        return;
      }
      case 'accepted':
        this.#accept(event.connection, event.port);
        return;
      case 'datagram': {
        const { peer, network, peerPort, bytes } = event;
        const isTaken = this.#datagrams.get(event.port)?.push({ peer: new Address(network, peer), peerPort, bytes });
        if (isTaken !== true) this.#driver?.endpoint.counters.drop('datagramQueueFull');
        return;
      }
      case 'answer':
        this.#questions.settle(event.ticket, event.outcome);
        return;
      case 'registered':
        this.#hostname = event.hostname;
        if (event.hostnameError !== undefined) {
          this.#startError = hostnameRefused(event.hostnameError);
          this.#tell({ level: 'warning', code: 'hostnameRefused', facts: { message: event.hostnameError } });
        }
        this.#stateChanged();
        return;
      case 'registryState':
        if (event.code !== undefined && !ERROR_CODES[event.code].retryable) {
          this.#startError = new PilotError(event.code, `Cannot register: ${ERROR_CODES[event.code].meaning}`);
        }
        this.#tell({ level: 'warning', code: 'registryOffline', facts: { cause: event.code ?? 'closed' } });
        this.#stateChanged();
        return;
      case 'carrier':
        this.#carrierChanged(event);
        return;
      case 'trust':
        this.trust.handleEvent(event.event);
        this.#tell({ level: 'info', code: `trust.${event.event.type}`, facts: { peer: event.event.peer } });
        return;
      case 'diagnostic':
        this.#tell(event);
        return;
      default: {
        event satisfies never;
      }
    }
  }

  #carrierChanged({ state, code, closed }: Extract<ApplicationEvent, { type: 'carrier' }>): void {
    if (this.#driver !== undefined) {
      const { name, reason, isDecided } = this.#driver.endpoint.carrier;
      if (code !== undefined && !isDecided && !ERROR_CODES[code].retryable) {
        this.#startError = new PilotError(code, `Cannot use a WebSocket: ${ERROR_CODES[code].meaning}`);
      }
      const news = {
        ready: { level: 'info', code: 'carrier', facts: { carrier: name, reason } },
        lost: { level: 'warning', code: 'carrierLost', facts: { closed, cause: code ?? 'closed' } },
        replaced: { level: 'warning', code: 'carrierReplaced', facts: { closed, cause: 'REPLACED' } },
      } as const;
      this.#tell(news[state]);
    }
    this.#stateChanged();
  }

  #accept(id: ConnectionId, port: number): void {
    const driver = this.#driver;
    const stream = driver?.endpoint.contacts.stream(id);
    if (driver === undefined || stream === undefined) return;
    const connection = new Connection(driver, stream);
    this.#connections.set(id, connection);
    if (this.#listeners.get(port)?.push(connection) !== true) connection.abort();
  }

  #stateChanged(): void {
    for (const waiter of [...this.#stateWaiters]) waiter();
  }

  #tell(news: Diagnostic): void {
    const { level, code, facts } = news;
    for (const handler of this.#diagnostics) handler({ level, code, facts });
  }

  async #resolve(target: string | Address, signal?: AbortSignal): Promise<Address> {
    return await this.#questions.resolve(parseTarget(target), signal);
  }
}

function listenerOf<T>(queue: AsyncQueue<T>): Listener<T> {
  return { [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](), close: () => queue.end() };
}

function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 1 || port > 0xffff)
    throw new RangeError(`Cannot listen on port ${port}: want 1 to 65535`);
}

function portInUse(port: number): PilotError {
  return new PilotError('PORT_IN_USE', `Cannot listen on port ${port}: this agent does already`);
}

/** A certificate that was refused and a server that is away look the same from here; what the URL lacks does not. */
function silenceHint(url: string): string {
  const needsTrust = /^(pilots|wss):/.test(url) && !url.includes('#sha256=');
  const certificate = 'without #sha256=… in the URL the system must trust its certificate';
  return `is the rendezvous running, and is the URL right?${needsTrust ? ` ${certificate}` : ''}`;
}

/** The rendezvous registers an agent without its name, and says why in words only. */
function hostnameRefused(why: string): PilotError {
  const code = /already/i.test(why) ? 'ALREADY_EXISTS' : 'REGISTRY_REFUSED';
  return new PilotError(code, `Cannot use the host name: ${why}`, { hint: 'take another host name' });
}
