/**
 * Where things are: the internet, the LANs behind NATs, NATs behind NATs, and the stations (a machine's plug) in them.
 * It answers who is where and by which way a reliable link would go; what happens to datagrams is in network.ts.
 */
import type { HostPort } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { canonicalHost } from './address.ts';
import { Line, type LineOptions } from './line.ts';
import { Nat, type NatOptions } from './nat.ts';
import type { Random } from './random.ts';

/** The two directions of a way into the network. */
export interface LinesOptions {
  /** Both directions; `up` and `down` go before it. */
  readonly line?: LineOptions;
  /** Away from the machine. */
  readonly up?: LineOptions;
  /** Towards the machine. */
  readonly down?: LineOptions;
}

/** A NAT and the LAN behind it. */
export interface GatewayOptions extends NatOptions, LinesOptions {
  /** Its outside address; omitted: the next free one. */
  readonly address?: string;
  /** The NAT that it is itself behind, by name. */
  readonly behind?: string;
  /** First three numbers of the LAN's addresses; default 192.168.1, which other LANs may have too. */
  readonly lan?: string;
}

/** Where a machine is. */
export interface StationOptions extends LinesOptions {
  /** Omitted: the next free one of its LAN, or of the internet. */
  readonly address?: string;
  /** The NAT that it is behind, by name; omitted: on the internet. */
  readonly behind?: string;
}

/** Takes a datagram. `bytes` are its own from here on. */
export type DatagramSink = (bytes: Uint8Array, from: HostPort) => void;

/** What takes datagrams off a station. */
export interface Receiver {
  /** Who has this address and port; undefined: nobody. */
  sinkAt(to: HostPort): DatagramSink | undefined;
}

/** A network in which addresses are unique: the internet, or a LAN. */
export class Site {
  /** The way out; undefined: this is the internet. */
  readonly gateway: Gateway | undefined;
  readonly #members = new Map<string, Member>();
  readonly #prefix: string | undefined;
  #allocated = 1;

  /** @param prefix - First three numbers of addresses; undefined: 198.18.0.0/15, which RFC 2544 keeps for tests. */
  constructor(gateway: Gateway | undefined, prefix: string | undefined) {
    this.gateway = gateway;
    this.#prefix = prefix;
  }

  get(address: string): Member | undefined {
    return this.#members.get(address);
  }

  /** @returns The address, in canonical text. */
  add(member: Member, wanted: string | undefined): string {
    const address = wanted === undefined ? this.#allocate() : canonicalHost(wanted);
    if (address === undefined) throw new TypeError(`Cannot place ${member.name}: ${wanted} is not an IP address`);
    const other = this.#members.get(address);
    if (other !== undefined && other !== member) {
      throw new RangeError(`Cannot place ${member.name}: ${other.name} has ${address}`);
    }
    this.#members.set(address, member);
    return address;
  }

  remove(address: string): void {
    this.#members.delete(address);
  }

  #allocate(): string {
    for (;;) {
      const address = this.#address(this.#allocated++);
      if (!this.#members.has(address)) return address;
    }
  }

  #address(n: number): string {
    if (this.#prefix === undefined) return `198.${18 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
    if (n > 253) throw new RangeError(`Cannot place more than 253 machines in ${this.#prefix}.0/24`);
    // .1 is the NAT's own.
    return `${this.#prefix}.${n + 1}`;
  }
}

/** A machine's plug. */
export class Station {
  readonly kind = 'station';
  readonly name: string;
  readonly up: Line;
  readonly down: Line;
  readonly receiver: Receiver;
  site: Site;
  address = '';
  /** Something on the way drops UDP, all of it. */
  isUdpBlocked = false;
  /** The machine sleeps, and takes nothing, until this time. */
  asleepUntil: Millis = 0;

  constructor(parts: { name: string; site: Site; up: Line; down: Line; receiver: Receiver }) {
    this.name = parts.name;
    this.site = parts.site;
    this.up = parts.up;
    this.down = parts.down;
    this.receiver = parts.receiver;
  }
}

/** A NAT between two sites. */
export class Gateway {
  readonly kind = 'gateway';
  readonly name: string;
  readonly nat: Nat;
  readonly up: Line;
  readonly down: Line;
  readonly outside: Site;
  readonly inside: Site;
  address = '';

  constructor(parts: { name: string; nat: Nat; up: Line; down: Line; outside: Site; lan: string }) {
    this.name = parts.name;
    this.nat = parts.nat;
    this.up = parts.up;
    this.down = parts.down;
    this.outside = parts.outside;
    this.inside = new Site(this, parts.lan);
  }
}

/** What has an address. */
export type Member = Station | Gateway;

/** What one direction of a link has to go through. */
export interface Leg {
  readonly delayMs: Millis;
  readonly bytesPerSecond: number;
}

/** A way for a link. */
export interface Route {
  readonly station: Station;
  /** The dialler's address as the other side sees it. */
  readonly from: string;
  readonly there: Leg;
  readonly back: Leg;
  /** NATs on the way. */
  readonly gateways: readonly Gateway[];
}

const LAN = '192.168.1';
/** What machines in a LAN have between them, unless told otherwise. */
const LAN_LINE: LineOptions = { delayMs: 0.2 };

/** All sites and who is in them. */
export class Topology {
  readonly #random: Random;
  readonly #line: LineOptions;
  readonly #internet: Site = new Site(undefined, undefined);
  readonly #members = new Map<string, Member>();

  /** @param line - Of everything on the internet that does not say otherwise, in each direction. */
  constructor(random: Random, line: LineOptions) {
    this.#random = random;
    this.#line = line;
  }

  addGateway(name: string, options: GatewayOptions = {}): Gateway {
    this.#claim(name);
    const { address, behind, lan = LAN, line: _line, up: _up, down: _down, ...nat } = options;
    const outside = this.#site(behind);
    const parts = { name, outside, lan, ...this.#lines(name, outside, options) };
    const gateway = new Gateway({ ...parts, nat: new Nat(this.#random.fork(`nat ${name}`), nat) });
    gateway.address = outside.add(gateway, address);
    this.#members.set(name, gateway);
    return gateway;
  }

  addStation(name: string, receiver: Receiver, options: StationOptions = {}): Station {
    this.#claim(name);
    const site = this.#site(options.behind);
    const station = new Station({ name, site, receiver, ...this.#lines(name, site, options) });
    station.address = site.add(station, options.address);
    this.#members.set(name, station);
    return station;
  }

  /** Whoever has this name. @throws RangeError */
  member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) throw new RangeError(`Cannot find ${name}: nothing in this world has that name`);
    return member;
  }

  /** The station with this name. @throws RangeError */
  station(name: string): Station {
    const member = this.member(name);
    if (member.kind !== 'station') throw new RangeError(`Cannot use ${name} so: it is a NAT`);
    return member;
  }

  /** What this name resolves to, as a name of the DNS. */
  addressOf(name: string): string | undefined {
    return name === 'localhost' ? '127.0.0.1' : this.#members.get(name)?.address;
  }

  /** Gives a member another address in its site. @param address - Omitted: the next free one. */
  readdress(member: Member, address: string | undefined): void {
    const site = member.kind === 'station' ? member.site : member.outside;
    const before = member.address;
    member.address = site.add(member, address);
    if (member.address !== before) site.remove(before);
  }

  /** Plugs a machine in elsewhere. Its lines go with it. @param behind - Omitted: on the internet. */
  move(station: Station, behind: string | undefined, address: string | undefined): void {
    const site = this.#site(behind);
    const added = site.add(station, address);
    if (site !== station.site || added !== station.address) station.site.remove(station.address);
    station.site = site;
    station.address = added;
  }

  /** How a link from a station to an address goes; undefined: nobody is there, or only a NAT, which lets no link in. */
  route(from: Station, host: string): Route | undefined {
    const gateways: Gateway[] = [];
    let site = from.site;
    for (;;) {
      const member = site.get(host);
      if (member?.kind === 'station') return routeVia(from, gateways, member);
      if (member !== undefined || site.gateway === undefined) return undefined;
      gateways.push(site.gateway);
      site = site.gateway.outside;
    }
  }

  #claim(name: string): void {
    if (this.#members.has(name)) throw new RangeError(`Cannot add ${name}: the name is taken`);
  }

  #site(behind: string | undefined): Site {
    if (behind === undefined) return this.#internet;
    const gateway = this.member(behind);
    if (gateway.kind !== 'gateway') throw new RangeError(`Cannot be behind ${behind}: it is no NAT`);
    return gateway.inside;
  }

  #lines(name: string, site: Site, options: LinesOptions): { up: Line; down: Line } {
    const common = options.line ?? (site.gateway === undefined ? this.#line : LAN_LINE);
    const random = this.#random.fork(`line ${name}`);
    return {
      up: new Line(random.fork('up'), options.up ?? common),
      down: new Line(random.fork('down'), options.down ?? common),
    };
  }
}

function routeVia(from: Station, gateways: readonly Gateway[], station: Station): Route {
  return {
    station,
    from: gateways.at(-1)?.address ?? from.address,
    there: legOf([from.up, ...gateways.map(({ up }) => up), station.down]),
    back: legOf([station.up, ...gateways.map(({ down }) => down), from.down]),
    gateways,
  };
}

function legOf(lines: readonly Line[]): Leg {
  return {
    delayMs: lines.reduce((sum, { delayMs }) => sum + delayMs, 0),
    bytesPerSecond: lines.reduce((least, { bytesPerSecond }) => Math.min(least, bytesPerSecond), Infinity),
  };
}
