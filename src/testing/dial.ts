/**
 * Reliable links between machines: who listens where, and how a dial goes. TLS is information only: the time of its
 * handshake passes and a pin is compared with the one registered for the listener's certificate, but nothing is
 * encrypted, and a certificate that nobody registered is trusted by everyone.
 */
import type { HostPort, LinkHandler, LinkTarget } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { canonicalHost } from './address.ts';
import type { Clock, ClockEvent } from './clock.ts';
import { VirtualLink } from './link.ts';
import type { Network } from './network.ts';
import { Ports } from './ports.ts';
import type { Random } from './random.ts';
import type { Route, Station, Topology } from './topology.ts';

/** A bound listener. */
export interface Listener {
  /** What it shows to those who speak TLS; undefined: it does not. */
  readonly certificate: string | undefined;
  /** Takes a link that was opened. */
  accept(link: VirtualLink, remote: HostPort): LinkHandler;
  /** Such a link is of no more use. */
  gone(link: VirtualLink): void;
}

/** Two sides, neither of them gone yet, or one. */
interface Pair {
  readonly client: VirtualLink;
  readonly server: VirtualLink;
  /** Machines and NATs that it depends on. */
  readonly names: ReadonlySet<string>;
}

/** Until a link stands, as in the bindings. */
const DIAL_MS: Millis = 5_000;
/** RFC 6298 §2.1: a first packet that got lost goes out again after a second. */
const SYN_RETRY_MS: Millis = 1_000;
const LOWEST_PORT = 49_152;
const PORTS = 16_384;

/** All links of a world. */
export class LinkNetwork {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #network: Network;
  readonly #topology: Topology;
  readonly #listeners = new Map<Station, Ports<Listener>>();
  /** By the dialler's side. */
  readonly #pairs = new Map<VirtualLink, Pair>();
  /** Certificate → pin. */
  readonly #pins = new Map<string, string>();
  #dials = 0;

  constructor(parts: { clock: Clock; random: Random; network: Network; topology: Topology }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#network = parts.network;
    this.#topology = parts.topology;
  }

  /** The TCP ports of a machine. */
  ports(station: Station): Ports<Listener> {
    let ports = this.#listeners.get(station);
    if (ports === undefined) {
      ports = new Ports<Listener>('TCP', this.#random.fork(`ports ${station.name}`));
      this.#listeners.set(station, ports);
    }
    return ports;
  }

  /** Says which pin (lower-case hex SHA-256) a certificate has. */
  registerCertificate(certificate: string, pin: string): void {
    this.#pins.set(certificate, pin);
  }

  /** Begins a link. @param gone - Runs when it is of no more use. */
  dial(from: Station, target: LinkTarget, handler: LinkHandler, gone: () => void): VirtualLink {
    const number = this.#dials++;
    const where = `${target.host}:${target.port}`;
    const address = canonicalHost(target.host) ?? this.#topology.addressOf(target.host);
    const name = `link ${from.name} → ${where}`;
    const client: VirtualLink = new VirtualLink({
      clock: this.#clock,
      random: this.#random.fork(`link ${number}`),
      name,
      leg: () => (address === undefined ? undefined : this.#network.route(from, address)?.there),
      gone: () => {
        this.#clock.cancel(limit);
        this.#forget(client);
        gone();
      },
    });
    const limit = this.#clock.after(DIAL_MS, `dial of ${name}`, () => {
      client.fail(unreachable(where, `no answer within ${DIAL_MS} ms`));
    });
    client.attach(handler);
    if (address === undefined) {
      this.#clock.after(0, name, () => client.fail(unreachable(where, 'no such host name')));
      return client;
    }
    this.#attempt({ from, client, address, target, where, limit, number });
    return client;
  }

  /** Breaks the links of a machine, or those that go through a NAT. */
  breakLinks(name: string): void {
    for (const { client, names } of [...this.#pairs.values()]) if (names.has(name)) client.break();
  }

  /** Links that are not closed on both sides. */
  leftovers(): string[] {
    return [...this.#pairs.values()].map(({ client, server }) => (client.isClosed ? server : client).name);
  }

  /** Sends the first packet, and again while there is no way for it. */
  #attempt(dial: Dial): void {
    const { from, client, address } = dial;
    if (client.isClosed) return;
    const delayMs = this.#network.route(from, address)?.there.delayMs;
    if (delayMs === undefined) this.#clock.after(SYN_RETRY_MS, `dial of ${client.name}`, () => this.#attempt(dial));
    else this.#clock.after(delayMs, `dial of ${client.name}`, () => this.#knock(dial));
  }

  /** The first packet is at the other machine, unless the way was closed meanwhile. */
  #knock(dial: Dial): void {
    const { from, client, address, target, where } = dial;
    if (client.isClosed) return;
    const route = this.#network.route(from, address);
    if (route === undefined) {
      this.#attempt(dial);
      return;
    }
    const listener = this.ports(route.station).find(address, target.port);
    const back = route.back.delayMs;
    const refuse = (error: PilotError): void => {
      this.#clock.after(back, 'refusal', () => client.fail(error));
    };
    if (listener === undefined) {
      refuse(unreachable(where, 'nobody listens on that port'));
      return;
    }
    if (target.tls === undefined) {
      this.#stand(dial, listener, route);
      return;
    }
    const { certificate } = listener;
    const shown = certificate === undefined ? undefined : this.#pins.get(certificate);
    const { pin } = target.tls;
    if (certificate === undefined) {
      refuse(unreachable(where, 'it does not speak TLS'));
    } else if (pin !== undefined && shown !== undefined && pin !== shown) {
      const fact = `its certificate is ${shown}, pinned is ${pin}`;
      refuse(new PilotError('TLS_PIN_MISMATCH', `Cannot trust ${where}: ${fact}`));
    } else {
      // RFC 8446 §2: one round trip more.
      this.#clock.after(back + route.there.delayMs, 'TLS', () => this.#stand(dial, listener, route));
    }
  }

  /** Both sides agree: the dialler hears of it as late as the way back takes. */
  #stand(dial: Dial, listener: Listener, route: Route): void {
    const { from, client, address, target, limit, number, where } = dial;
    // Much can have happened since the first packet.
    if (client.isClosed || this.ports(route.station).find(address, target.port) !== listener) return;
    this.#clock.cancel(limit);
    const server = new VirtualLink({
      clock: this.#clock,
      random: this.#random.fork(`link ${number} back`),
      name: `link ${where} → ${from.name}`,
      leg: () => this.#network.route(from, address)?.back,
      gone: () => {
        this.#forget(client);
        listener.gone(server);
      },
    });
    const names = new Set([from.name, route.station.name, ...route.gateways.map((gateway) => gateway.name)]);
    this.#pairs.set(client, { client, server, names });
    const open = this.#clock.after(route.back.delayMs, 'open link', () => client.open());
    server.join(client, open.at);
    const remote: HostPort = { host: route.from, port: LOWEST_PORT + (number % PORTS) };
    server.attach(listener.accept(server, remote));
    server.open();
  }

  #forget(client: VirtualLink): void {
    const pair = this.#pairs.get(client);
    if (pair !== undefined && client.isClosed && pair.server.isClosed) this.#pairs.delete(client);
  }
}

/** One dial on its way. */
interface Dial {
  readonly from: Station;
  readonly client: VirtualLink;
  readonly address: string;
  readonly target: LinkTarget;
  readonly where: string;
  /** When it fails. */
  readonly limit: ClockEvent;
  readonly number: number;
}

function unreachable(where: string, fact: string): PilotError {
  return new PilotError('RENDEZVOUS_UNREACHABLE', `Cannot reach ${where}: ${fact}`);
}
