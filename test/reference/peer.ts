/**
 * A scripted peer that stands for existing daemons of several generations: slow, plain, and with their faults where a
 * switch says so (peer-behaviour.ts). Built on src/wire and the plain twins beside it; it shares no state machine with
 * src/core. Everything is synchronous over a transport that the test gives it.
 *
 * ```ts
 * const bob = new ReferencePeer({ nodeId: 2, name: 'bob', transport, generation: 'apr', beacon });
 * bob.introduce({ nodeId: 1, identityKey, endpoint });     // what the registry would say of node 1
 * const connection = bob.dial(1, 7);
 * bob.log.packets({ protocol: 1, sourcePort: 7 });         // all that came, decrypted
 * ```
 */
import { emitDiscover } from '../../src/wire/beacon.ts';
import { formatHostPort } from '../../src/wire/host-port.ts';
import { PORT, PROTOCOL } from '../../src/wire/packet.ts';
import { type Random, random } from './hostile.ts';
import type { Packet } from './packet.ts';
import { type Behaviour, GENERATIONS, type Generation } from './peer-behaviour.ts';
import type { PeerConnection } from './peer-connection.ts';
import type { Contact } from './peer-contact.ts';
import { type DatagramHandler, PeerControl } from './peer-control.ts';
import { freshExchange, type PeerSelf } from './peer-exchange.ts';
import { exchangeOf, identityOf, seedOf } from './peer-keys.ts';
import { type LoggedFrame, PeerLog, type Place } from './peer-log.ts';
import { PeerRegistry, type RegistrationFields, type RegistryAsk } from './peer-registry.ts';
import { PeerSink, serveEcho, serveSource } from './peer-services.ts';
import { PeerSocket, type PeerTimer, type PeerTransport } from './peer-socket.ts';
import { type Acceptor, PeerStreams } from './peer-streams.ts';
import { PeerTrust } from './peer-trust.ts';
import { PeerTunnel, PUNCH, type Resolved } from './peer-tunnel.ts';
import { PeerUpkeep } from './peer-upkeep.ts';

const HEARTBEAT_MS = 60_000;
const DISCOVER_WAIT_MS = 5000;
/** NEW spends 3 polls at once, one more per 5 s, none within 2 s of the last (DP 4.6). */
const NOTIFIED_POLL_MS = 2000;
const NOTIFY_POLL = 1;
/** Where `unixNow` begins when the test gives none; the clock of the transport is added. */
const UNIX_START_MS = 1_800_000_000_000;

/** How a peer is made. */
export interface PeerOptions {
  readonly transport: PeerTransport;
  /** Omitted: 0 until `register` or `start` brings one. */
  readonly nodeId?: number;
  /** Seeds identity, X25519 pair and all randomness. */
  readonly name?: string;
  /** 32 bytes each, instead of what `name` gives. */
  readonly identitySeed?: Uint8Array;
  readonly exchangeSecret?: Uint8Array;
  /** Default `new`. */
  readonly generation?: Generation;
  /** Single switches against the generation. */
  readonly switches?: Partial<Behaviour>;
  readonly beacon?: Place;
  readonly registry?: RegistryAsk;
  /** Whether strangers get through the gate; default true, against the default of daemons, since most tests want it. */
  readonly isPublic?: boolean;
  /** Grants trust to all who ask. */
  readonly autoApprove?: boolean;
  /** Unix ms, for trust messages. */
  readonly unixNow?: () => number;
  /** Sees each packet before the peer does; true: the peer shall not. For scripts. */
  readonly intercept?: (packet: Packet, from: Contact) => boolean;
}

/** What a registry would say of a node, given by the test. */
export interface Introduction {
  readonly nodeId: number;
  /** Ed25519, 32 bytes. */
  readonly identityKey: Uint8Array;
  readonly endpoint?: Place;
  readonly relayOnly?: boolean;
}

/** One daemon. Echo on port 7 and trust on port 444 are always on. */
export class ReferencePeer {
  readonly behaviour: Behaviour;
  readonly log: PeerLog = new PeerLog();
  readonly tunnel: PeerTunnel;
  readonly streams: PeerStreams;
  readonly control: PeerControl;
  readonly trust: PeerTrust;
  readonly registry: PeerRegistry | undefined;
  /** Own endpoint as the beacon sees it. */
  reflexive: Place | undefined;
  isPublic: boolean;
  intercept: (packet: Packet, from: Contact) => boolean;
  readonly #options: PeerOptions;
  readonly #transport: PeerTransport;
  readonly #random: Random;
  readonly #self: PeerSelf;
  readonly #socket: PeerSocket;
  readonly #upkeep: PeerUpkeep;
  readonly #introduced: Map<number, Introduction> = new Map();
  readonly #timers: Map<string, PeerTimer> = new Map();
  #polledAt = Number.NEGATIVE_INFINITY;
  #onReflexive: (() => void) | undefined;
  #isClosed = false;

  constructor(options: PeerOptions) {
    const name = options.name ?? `peer ${options.nodeId ?? 0}`;
    const seed = seedOf(`${name} random`);
    this.#options = options;
    this.#transport = this.#guarded(options.transport);
    this.#random = random(new DataView(seed.buffer).getUint32(0));
    this.behaviour = { ...GENERATIONS[options.generation ?? 'new'], ...options.switches };
    this.isPublic = options.isPublic ?? true;
    this.intercept = options.intercept ?? (() => false);
    this.#self = {
      nodeId: options.nodeId ?? 0,
      identity: identityOf(options.identitySeed ?? seedOf(name)),
      exchange: exchangeOf(options.exchangeSecret ?? this.#random.bytes(32)),
    };
    if (options.registry !== undefined) {
      this.registry = new PeerRegistry(this.#self, this.behaviour, options.registry);
    }
    this.trust = this.#makeTrust();
    this.tunnel = this.#makeTunnel();
    this.streams = this.#makeStreams();
    this.control = new PeerControl({
      self: this.#self,
      behaviour: this.behaviour,
      log: this.log,
      send: (nodeId, fields) => this.tunnel.send(nodeId, fields),
      gate: (nodeId, port, answer) => this.trust.gate(nodeId, port, answer),
      isTrusted: (nodeId) => this.trust.trusted.has(nodeId),
    });
    this.#upkeep = this.#makeUpkeep();
    this.#socket = new PeerSocket({
      transport: this.#transport,
      bufferBytes: this.behaviour.socketBufferBytes,
      bytesPerSecond: this.behaviour.socketBytesPerSecond,
      route: (bytes, from) => this.tunnel.handle(bytes, from),
      overflow: () => this.log.count('socket_overflow'),
    });
    this.listen(PORT.echo, serveEcho);
    this.listen(PORT.trust, this.trust.accept);
  }

  get nodeId(): number {
    return this.#self.nodeId;
  }

  /** Ed25519 public key. */
  get identityKey(): Uint8Array {
    return this.#self.identity.publicKey;
  }

  /** Present X25519 public key. */
  get exchangeKey(): Uint8Array {
    return this.#self.exchange.publicKey;
  }

  /** What other peers are told about this one. */
  introduction(endpoint?: Place): Introduction {
    const { nodeId, identityKey } = this;
    return endpoint === undefined ? { nodeId, identityKey } : { nodeId, identityKey, endpoint };
  }

  /** Signs as this node, for scripts. */
  sign(message: Uint8Array): Uint8Array {
    return this.#self.identity.sign(message);
  }

  /** A datagram arrived. The bytes are copied. */
  handleDatagram(bytes: Uint8Array, from: Place): void {
    if (!this.#isClosed) this.#socket.push(bytes.slice(), from);
  }

  /** Tells what the registry would say of a node. A second call replaces the first. */
  introduce(node: Introduction): void {
    this.#introduced.set(node.nodeId, node);
  }

  /**
   * Starts as a daemon does (DP 4.8): Discover, registration with what the beacon saw, Discover with the id, and so on at
   * its interval. Without registry only the Discovers. @param registered - Told the node id; undefined: refused.
   */
  start(fields: Partial<RegistrationFields> = {}, registered: (nodeId: number | undefined) => void = () => {}): void {
    const { registry } = this;
    if (registry === undefined) {
      this.#discoverLoop();
      registered(this.nodeId);
      return;
    }
    const enter = (): void => {
      if (this.#onReflexive === undefined) return;
      this.#onReflexive = undefined;
      this.#timers.get('start')?.cancel();
      const seen = this.reflexive;
      const listenAddress = seen === undefined ? '0.0.0.0:0' : formatHostPort(seen.host, seen.port);
      registry.register({ listenAddress, ...fields }, (nodeId) => {
        if (nodeId !== undefined) {
          if (this.isPublic) registry.setVisibility(true);
          this.#discoverLoop();
          this.#heartbeatLoop();
        }
        registered(nodeId);
      });
    };
    this.#onReflexive = enter;
    this.#timers.set('start', this.#transport.setTimer(DISCOVER_WAIT_MS, enter));
    if (this.#options.beacon === undefined) enter();
    else this.discover(0);
  }

  /** Asks the beacon for the own endpoint. @param nodeId - 0: without telling who asks. */
  discover(nodeId: number = this.nodeId): void {
    const { beacon } = this.#options;
    if (beacon !== undefined) this.tunnel.sendDatagram(emitDiscover(nodeId), beacon);
  }

  /** Begins a key exchange, as a daemon would before it sends. */
  reach(nodeId: number): void {
    this.tunnel.reach(this.tunnel.contact(nodeId));
  }

  /** Whether there is a session. */
  hasKey(nodeId: number): boolean {
    return this.tunnel.contacts.get(nodeId)?.session !== undefined;
  }

  /** One PILA now, along the path to the node, which must be introduced or known. */
  sendPila(nodeId: number): void {
    this.tunnel.exchanges.sendPila(this.#located(nodeId));
  }

  /** One PILK now. */
  sendPilk(nodeId: number): void {
    this.tunnel.exchanges.sendPilk(this.#located(nodeId));
  }

  /** Three punches, as on a punch command. */
  punch(to: Place): void {
    for (let i = 0; i < 3; i++) this.tunnel.sendDatagram(PUNCH, to);
  }

  /** Takes streams on a port; replaces who took them before. */
  listen(port: number, accept: Acceptor): void {
    this.streams.listen(port, accept);
  }

  /** Keeps all that comes to a port. */
  sink(port: number): PeerSink {
    const sink = new PeerSink();
    this.listen(port, sink.accept);
    return sink;
  }

  /** Writes the first `bytes` of `sourceBytes` to whoever connects, then closes. */
  source(port: number, bytes: number): void {
    this.listen(port, (connection) => serveSource(connection, bytes));
  }

  /** Opens a stream. */
  dial(nodeId: number, port: number, network = 0): PeerConnection {
    this.trust.contacted(nodeId);
    return this.streams.dial(nodeId, port, network);
  }

  /** Sends a datagram; from an ephemeral port unless one is given. */
  sendDatagram(nodeId: number, port: number, payload: Uint8Array, sourcePort: number = this.streams.takePort()): void {
    this.tunnel.send(nodeId, { protocol: PROTOCOL.datagram, sourcePort, destinationPort: port, payload });
  }

  /** Takes datagrams on a port; all are in `control.datagrams`. */
  receiveDatagrams(port: number, handler?: DatagramHandler): void {
    this.control.listen(port, handler);
  }

  /** Sends a ping; the answer will be in `control.pongs`. The reference's own pings come from port 0 (DP app. D 10). */
  ping(nodeId: number, payload: Uint8Array = Uint8Array.of(1), sourcePort = 0): void {
    this.tunnel.send(nodeId, { protocol: PROTOCOL.control, sourcePort, payload });
  }

  /** Sends any packet under the session with the node, as `PeerTunnel.send`. */
  sendPacket(nodeId: number, fields: Partial<Packet>, way?: 'direct' | 'relay'): boolean {
    return this.tunnel.send(nodeId, fields, way);
  }

  /** Sends any bytes to any place. */
  sendBytes(bytes: Uint8Array, to: Place): void {
    this.tunnel.sendDatagram(bytes, to);
  }

  /** One keepalive of this generation. */
  keepalive(nodeId: number): void {
    this.#upkeep.keepalive(this.tunnel.contact(nodeId));
  }

  /** Whether the router stands because an application does not read. */
  get isStalled(): boolean {
    return this.#socket.isBlocked;
  }

  /** The process dies and comes back: sessions, connections and timers are gone, same identity, new X25519 pair. */
  restart(): void {
    this.#stop();
    this.#self.exchange = freshExchange(this.#random);
  }

  /** Ends without a word. Nothing is sent or received any more. */
  close(): void {
    this.#stop();
    this.#isClosed = true;
  }

  #stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#onReflexive = undefined;
    this.streams.reset();
    this.tunnel.reset();
    this.#upkeep.stop();
    this.#socket.reset();
  }

  #located(nodeId: number): Contact {
    const contact = this.tunnel.contact(nodeId);
    contact.endpoint ??= this.#introduced.get(nodeId)?.endpoint;
    return contact;
  }

  #packet(contact: Contact, packet: Packet): void {
    if (this.intercept(packet, contact)) return;
    if (packet.protocol === PROTOCOL.stream) this.streams.handlePacket(packet);
    else if (packet.protocol === PROTOCOL.datagram) this.control.handleDatagram(packet);
    else if (packet.protocol === PROTOCOL.control) this.control.handleControl(packet);
  }

  #beaconSaid(frame: LoggedFrame): void {
    const message = frame.beacon;
    if (message?.type === 'discoverReply') {
      this.reflexive = { host: message.host, port: message.port };
      this.#onReflexive?.();
    } else if (message?.type === 'notify' && message.kind === NOTIFY_POLL && this.behaviour.replyWindow) {
      const now = this.#transport.now();
      if (now - this.#polledAt < NOTIFIED_POLL_MS) return;
      this.#polledAt = now;
      this.trust.poll();
    }
  }

  #discoverLoop(): void {
    if (this.#options.beacon === undefined) return;
    this.discover();
    this.#timers.set(
      'discover',
      this.#transport.setTimer(this.behaviour.discoverMs, () => this.#discoverLoop()),
    );
  }

  #heartbeatLoop(): void {
    const beat = (): void => {
      this.registry?.heartbeat();
      this.#polledAt = this.#transport.now();
      this.trust.poll();
      this.#heartbeatLoop();
    };
    this.#timers.set('heartbeat', this.#transport.setTimer(HEARTBEAT_MS, beat));
  }

  #lookup(nodeId: number, answer: (key: Uint8Array | undefined) => void): void {
    const introduced = this.#introduced.get(nodeId);
    if (introduced !== undefined) answer(introduced.identityKey);
    else if (this.registry === undefined) answer(undefined);
    else this.registry.lookup(nodeId, answer);
  }

  #resolve(nodeId: number, answer: (found: Resolved | undefined) => void): void {
    const introduced = this.#introduced.get(nodeId);
    if (introduced !== undefined) {
      const { endpoint, relayOnly } = introduced;
      // Without an endpoint only the beacon is left.
      answer({ endpoint, relayOnly: relayOnly === true || endpoint === undefined });
    } else if (this.registry === undefined) answer(undefined);
    else this.registry.resolve(nodeId, answer);
  }

  /** After `close` timers that fire do nothing and nothing is sent. */
  #guarded(transport: PeerTransport): PeerTransport {
    return {
      now: () => transport.now(),
      send: (bytes, to) => {
        if (!this.#isClosed) transport.send(bytes, to);
      },
      setTimer: (delayMs, callback) =>
        transport.setTimer(delayMs, () => {
          if (!this.#isClosed) callback();
        }),
    };
  }

  #makeTrust(): PeerTrust {
    const unixNow = this.#options.unixNow ?? (() => UNIX_START_MS + this.#transport.now());
    return new PeerTrust({
      self: this.#self,
      behaviour: this.behaviour,
      transport: this.#transport,
      log: this.log,
      registry: this.registry,
      isPublic: () => this.isPublic,
      autoApprove: this.#options.autoApprove ?? false,
      unixSeconds: () => Math.floor(unixNow() / 1000),
      dial: (nodeId, port) => this.dial(nodeId, port),
      lookup: (nodeId, answer) => this.#lookup(nodeId, answer),
    });
  }

  #makeTunnel(): PeerTunnel {
    return new PeerTunnel({
      self: this.#self,
      behaviour: this.behaviour,
      transport: this.#transport,
      random: this.#random,
      log: this.log,
      beacon: this.#options.beacon,
      lookup: (nodeId, answer) => this.#lookup(nodeId, answer),
      resolve: (nodeId, answer) => this.#resolve(nodeId, answer),
      isTrusted: (nodeId) => this.isPublic || this.trust.trusted.has(nodeId),
      packet: (contact, packet) => this.#packet(contact, packet),
      beaconSaid: (frame) => this.#beaconSaid(frame),
      touched: (contact) => this.#upkeep.touched(contact),
    });
  }

  #makeStreams(): PeerStreams {
    const { tunnel } = this;
    return new PeerStreams({
      self: this.#self,
      behaviour: this.behaviour,
      transport: this.#transport,
      random: this.#random,
      log: this.log,
      send: (nodeId, fields, way) => tunnel.send(nodeId, fields, way),
      block: (ms, expired) => this.#socket.block(ms, expired),
      gate: (nodeId, port, answer) => this.trust.gate(nodeId, port, answer),
      canFlip: (nodeId) => {
        const { isAdded, isRelayed } = tunnel.contact(nodeId);
        // Who could not be resolved is not reached over the relay either.
        return this.#options.beacon !== undefined && isAdded && !isRelayed;
      },
      hasKey: (nodeId) => this.hasKey(nodeId),
      reach: (nodeId) => this.reach(nodeId),
      setRelayed: (nodeId, isRelayed) => {
        const contact = tunnel.contact(nodeId);
        if (isRelayed || !contact.isPinned) contact.isRelayed = isRelayed;
      },
    });
  }

  #makeUpkeep(): PeerUpkeep {
    const { tunnel } = this;
    return new PeerUpkeep({
      behaviour: this.behaviour,
      transport: this.#transport,
      contacts: tunnel.contacts,
      send: (nodeId, fields, way) => tunnel.send(nodeId, fields, way),
      hasConnection: (nodeId) => this.streams.hasConnection(nodeId),
      resetPath: (contact) => {
        contact.isAdded = false;
        tunnel.reach(contact);
      },
      locate: (contact, then) =>
        this.#resolve(contact.nodeId, (found) => {
          if (found === undefined || found.relayOnly) return;
          contact.endpoint ??= found.endpoint;
          tunnel.requestPunch(contact);
          then();
        }),
    });
  }
}
