/**
 * A rendezvous on a runtime's sockets, or on a virtual world's: the registry on a TCP port, its beacon on a UDP port
 * beside it. All decisions are in registry/ and beacon.ts; here the parts are put together.
 */
import type { Host, LinkServer, MaybePromise, Timer, WebDocument } from '../carrier/host.ts';
import { fromBase64 } from '../wire/base64.ts';
import { formatHostPort } from '../wire/host-port.ts';
import type { BeaconCount, BeaconOptions, EndpointAuthority } from './beacon.ts';
import { BeaconSocket } from './beacon-socket.ts';
import { Bridge, type BridgeCount } from './bridge.ts';
import { type LinksCount, RegistryLinks } from './links.ts';
import { type NodeRecord, perform, Registry, type RegistryCount } from './registry/index.ts';
import { Runner } from './runner.ts';
import { MemoryStore } from './store/memory.ts';
import type { Store, StoreCounts } from './store/store.ts';
import { Web, type WebCount } from './web.ts';

/** What to serve, and where. */
export interface RendezvousOptions {
  /** TCP; 0, the default, takes a free one. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly listenHost?: string;
  /** UDP; default is the port after `port`. */
  readonly beaconPort?: number;
  /** The address that others know this machine by; default `listenHost`. */
  readonly advertiseHost?: string;
  /** PEM, and the lower-case hex SHA-256 of the certificate's DER that clients pin. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly pin?: string };
  /** Default: memory. It is closed with the server. */
  readonly store?: Store;
  readonly adminToken?: string;
  readonly beaconSecret?: string;
  readonly strictDirectory?: boolean;
  readonly strictRegistration?: boolean;
  /** How long a node may be silent; default 30 min. */
  readonly staleMs?: number;
  readonly beacon?: Omit<BeaconOptions, 'authority' | 'mayPunch'>;
  /** Most links at a time; default 65536. */
  readonly links?: number;
  /**
   * Origins of pages that may open WebSockets, such as `https://example.org`; `*`: all. Besides the server's own: the
   * same host and port, by an address, `localhost`, `listenHost` or `advertiseHost`.
   */
  readonly allowedOrigins?: readonly string[];
  /** Believe `X-Forwarded-For` of a proxy on this machine. Default false. */
  readonly trustProxy?: boolean;
  /** Most WebSockets at a time, default 10 000, and from one address, or /64 of IPv6, default 64. */
  readonly webLinks?: number;
  readonly webLinksPerHost?: number;
  /** What GET is answered with besides, by path, such as `/`. */
  readonly documents?: ReadonlyMap<string, WebDocument>;
}

/** Counters by reason; only those that are not zero. */
export interface RendezvousStats {
  readonly registry: Partial<Record<RegistryCount, number>>;
  readonly links: Partial<Record<LinksCount, number>>;
  readonly beacon: Partial<Record<BeaconCount, number>>;
  readonly web: Partial<Record<WebCount | BridgeCount, number>>;
  readonly store: StoreCounts;
  readonly storeFailures: number;
  readonly openLinks: number;
  readonly beaconNodes: number;
  readonly openWebSockets: number;
  /** Nodes that are reached over a WebSocket. */
  readonly carriedNodes: number;
  readonly unreachables: number;
}

/** A running rendezvous. */
export interface RendezvousServer {
  /** What agents are given: `pilot://host:port`, or `pilots://host:port#sha256=…`. */
  readonly url: string;
  /** What agents are given that can open WebSockets only, such as pages: `ws://host:port`, or `wss://host:port#sha256=…`. */
  readonly webUrl: string;
  readonly port: number;
  readonly beaconPort: number;
  stats(): RendezvousStats;
  /** Ends all links and gives the ports back. */
  close(): Promise<void>;
}

const LINKS = 65_536;
const WEB_LINKS = 10_000;
const WEB_LINKS_PER_HOST = 64;
const TICK_MS = 1_000;
const BIND_ATTEMPTS = 16;
const AUTHORITIES = 65_536;
const AUTHORITY_MS = 60_000;

/** Starts a rendezvous. @throws PilotError `PORT_IN_USE` and what else the sockets say. */
export async function serveRendezvous(host: Host, options: RendezvousOptions = {}): Promise<RendezvousServer> {
  const rendezvous = new Rendezvous(host, options);
  try {
    await rendezvous.open();
  } catch (error) {
    await rendezvous.close();
    throw error;
  }
  return rendezvous;
}

class Rendezvous implements RendezvousServer {
  readonly #host: Host;
  readonly #options: RendezvousOptions;
  readonly #listenHost: string;
  readonly #store: Store;
  readonly #runner: Runner;
  readonly #beacon: BeaconSocket;
  readonly #bridge: Bridge;
  readonly #web: Web;
  /** Answers of a store that takes its time, for the beacon, which cannot wait. */
  readonly #authorities = new Map<number, { authority: EndpointAuthority | undefined; until: number }>();
  #registry: Registry = new Registry();
  #links: RegistryLinks | undefined;
  #server: LinkServer | undefined;
  #tick: Timer | undefined;
  #storeFailures = 0;
  #isClosed = false;

  constructor(host: Host, options: RendezvousOptions) {
    this.#host = host;
    this.#options = options;
    this.#listenHost = options.listenHost ?? '127.0.0.1';
    this.#store = options.store ?? new MemoryStore();
    this.#runner = new Runner(this.#store, host.jobs, () => {
      this.#storeFailures += 1;
    });
    const { beacon, allowedOrigins = [], trustProxy: trustsProxy = false } = options;
    const authority = (nodeId: number): EndpointAuthority | undefined => this.#authority(nodeId);
    const mayPunch = (requester: number, target: number): boolean => this.#mayPunch(requester, target);
    this.#beacon = new BeaconSocket(host, { ...beacon, authority, mayPunch }, (path, bytes) => {
      this.#bridge.send(path, bytes);
    });
    this.#bridge = new Bridge({
      host,
      beacon: this.#beacon.beacon,
      authority: (nodeId) => this.#authorityNow(nodeId),
      onHeard: () => this.#beacon.flush(),
    });
    const { webLinks = WEB_LINKS, webLinksPerHost: linksPerHost = WEB_LINKS_PER_HOST } = options;
    const { documents = new Map() } = options;
    const ownNames = [this.#listenHost, options.advertiseHost ?? ''].map((name) => name.toLowerCase());
    const limits = { links: webLinks, linksPerHost };
    this.#web = new Web({ allowedOrigins, ownNames, trustsProxy, ...limits, documents }, () =>
      this.#links === undefined ? undefined : { bridge: this.#bridge, registry: this.#links },
    );
  }

  get port(): number {
    return this.#server?.local.port ?? 0;
  }

  get beaconPort(): number {
    return this.#beacon.port;
  }

  get url(): string {
    return `${this.#options.tls === undefined ? 'pilot' : 'pilots'}://${this.#advertised(this.port)}${this.#pin}`;
  }

  get webUrl(): string {
    return `${this.#options.tls === undefined ? 'ws' : 'wss'}://${this.#advertised(this.port)}${this.#pin}`;
  }

  stats(): RendezvousStats {
    return {
      registry: this.#registry.tally.all(),
      links: this.#links?.tally.all() ?? {},
      beacon: this.#beacon.beacon.tally.all(),
      web: { ...this.#web.tally.all(), ...this.#bridge.tally.all() },
      store: this.#store.counts(),
      storeFailures: this.#storeFailures,
      openLinks: this.#links?.size ?? 0,
      beaconNodes: this.#beacon.beacon.nodeCount,
      openWebSockets: this.#web.size,
      carriedNodes: this.#beacon.beacon.carriedCount,
      unreachables: this.#beacon.unreachables,
    };
  }

  /** Binds both ports. With a free TCP port the one after it may be taken: then another pair is tried. */
  async open(): Promise<void> {
    const { port = 0, beaconPort, tls } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const listen = { host: this.#listenHost, port, web: this.#web, ...(tls === undefined ? {} : { tls }) };
      const server = await this.#host.listenLink(listen, (link, remote) => {
        if (this.#links !== undefined) return this.#links.accept(link, remote);
        // Before the beacon is bound nobody can know this port: it was somebody else's a moment ago.
        link.destroy();
        return { open() {}, data() {}, drain() {}, closed() {} };
      });
      try {
        await this.#beacon.bind(this.#listenHost, beaconPort ?? server.local.port + 1);
        this.#server = server;
        break;
      } catch (error) {
        await server.close();
        if (port !== 0 || beaconPort !== undefined || attempt >= BIND_ATTEMPTS) throw error;
      }
    }
    this.#start();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#tick?.cancel();
    this.#links?.destroy();
    this.#bridge.close();
    this.#beacon.close();
    await this.#server?.close();
    await this.#store.close();
  }

  #start(): void {
    const { adminToken, beaconSecret, strictDirectory, strictRegistration, staleMs, beacon, links } = this.#options;
    this.#registry = new Registry({
      ownBeacons: [{ id: beacon?.id ?? 1, address: this.#advertised(this.beaconPort) }],
      ...(adminToken === undefined ? {} : { adminToken }),
      ...(beaconSecret === undefined ? {} : { beaconSecret }),
      ...(strictDirectory === undefined ? {} : { strictDirectory }),
      ...(strictRegistration === undefined ? {} : { strictRegistration }),
      ...(staleMs === undefined ? {} : { staleMs }),
    });
    this.#links = new RegistryLinks({
      host: this.#host,
      registry: this.#registry,
      runner: this.#runner,
      limit: links ?? LINKS,
      onAnswered: () => this.#passNotices(),
    });
    this.#startTick();
  }

  #startTick(): void {
    this.#tick = this.#host.setTimer(TICK_MS, () => {
      if (this.#isClosed) return;
      this.#links?.handleTick();
      this.#web.handleTick();
      this.#bridge.handleTick();
      this.#beacon.handleTick();
      this.#runner.run(this.#registry.handleTimeout(this.#host.unixNow()), () => {});
      this.#startTick();
    });
    // The sockets keep the process; a timer alone should not.
    this.#tick.unref();
  }

  #passNotices(): void {
    for (let id = this.#registry.pollNotice(); id !== undefined; id = this.#registry.pollNotice()) {
      this.#beacon.notify(id);
    }
  }

  get #pin(): string {
    const pin = this.#options.tls?.pin;
    return pin === undefined ? '' : `#sha256=${pin}`;
  }

  #advertised(port: number): string {
    return formatHostPort(this.#options.advertiseHost ?? this.#listenHost, port);
  }

  /** What the store has of a node. From one that takes its time, the answer is there when the node asks again. */
  #authority(nodeId: number): EndpointAuthority | undefined {
    const now = this.#host.now();
    const kept = this.#authorities.get(nodeId);
    if (kept !== undefined && now < kept.until) return kept.authority;
    let authority = kept?.authority;
    let isLater = false;
    this.#runner.run(perform('node', { nodeId }), (node) => {
      authority = authorityOf(node);
      if (!isLater) return;
      if (this.#authorities.size >= AUTHORITIES) this.#authorities.clear();
      this.#authorities.set(nodeId, { authority, until: now + AUTHORITY_MS });
    });
    isLater = true;
    return authority;
  }

  /** The same, fresh: a link can wait for the answer. */
  #authorityNow(nodeId: number): MaybePromise<EndpointAuthority | undefined> {
    let isDone = false;
    let authority: EndpointAuthority | undefined;
    let tell = (_: EndpointAuthority | undefined): void => {};
    this.#runner.run(perform('node', { nodeId }), (node) => {
      isDone = true;
      authority = authorityOf(node);
      tell(authority);
    });
    if (isDone) return authority;
    return new Promise((resolve) => {
      tell = resolve;
    });
  }

  /** A store that takes its time says no here: the nodes go on through the relay. */
  #mayPunch(requester: number, target: number): boolean {
    let isAllowed = false;
    this.#runner.run(this.#registry.mayPunch(requester, target), (answer) => {
      isAllowed = answer === true;
    });
    return isAllowed;
  }
}

function authorityOf(node: NodeRecord | undefined): EndpointAuthority | undefined {
  const publicKey = node === undefined || node.isDeregistered ? undefined : fromBase64(node.publicKey);
  return node === undefined || publicKey === undefined ? undefined : { publicKey, registeredHost: node.registeredHost };
}
