/**
 * What happens to datagrams between machines: lines with loss and delay, NATs that rewrite and refuse, partitions. Each
 * is delivered, or dropped for a reason that is counted. A datagram climbs from its site through NATs until somebody
 * has its address; NATs may rewrite it on the way up and again on the way down.
 */
import type { HostPort } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { Tally } from '../server/tally.ts';
import { isLoopback, isSameFamily, packetBytes } from './address.ts';
import type { Clock } from './clock.ts';
import { Line, type LineDrop, type LineOptions } from './line.ts';
import type { NatDrop } from './nat.ts';
import type { Random } from './random.ts';
import type { Gateway, Leg, Route, Site, Station, Topology } from './topology.ts';

/** Why a datagram went no further. */
export type Drop =
  | LineDrop
  | NatDrop
  | 'natNoHairpin'
  | 'natPortsFull'
  | 'asleep'
  | 'blocked'
  | 'cut'
  | 'noRoute'
  | 'noSocket'
  | 'udpBlocked';

/** What is counted. `sent` and `duplicated` together are all others, and what is still on its way. */
export type NetworkCount = 'sent' | 'duplicated' | 'delivered' | Drop;

/** What became of a datagram, at one moment. */
export interface TraceEntry {
  readonly atMs: Millis;
  readonly event: NetworkCount;
  /** The machine that sent it. */
  readonly sender: string;
  /** As the datagram says at this place: NATs rewrite it. */
  readonly from: HostPort;
  readonly to: HostPort;
  readonly length: number;
  /** The first bytes, 16 at most; a copy. */
  readonly head: Uint8Array;
}

/** A datagram before the last line to its receiver. */
export interface Arrival {
  readonly sender: string;
  readonly receiver: string;
  /** Borrowed until the call returns. */
  readonly bytes: Uint8Array;
}

/** What a machine sends. */
export interface Departure {
  readonly from: HostPort;
  readonly to: HostPort;
  /** The network's from here on. */
  readonly bytes: Uint8Array;
  /** The other side says, as late as a datagram of its would come, that nobody is there (ICMP). */
  readonly refused?: () => void;
}

interface Datagram {
  readonly sender: Station;
  readonly sentAt: Millis;
  readonly bytes: Uint8Array;
  readonly refused: (() => void) | undefined;
  from: HostPort;
  to: HostPort;
}

const HEAD_BYTES = 16;
const LABEL = 'datagram';
const HERE: Leg = { delayMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY };

/** All datagrams of a world. */
export class Network {
  readonly tally: Tally<NetworkCount> = new Tally<NetworkCount>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #topology: Topology;
  readonly #blocked = new Set<string>();
  readonly #between = new Map<string, Line>();
  /** Is told of everything. */
  onTrace: ((entry: TraceEntry) => void) | undefined;
  /** Drops what it answers true to: loss by script. */
  cut: ((arrival: Arrival) => boolean) | undefined;

  constructor(clock: Clock, random: Random, topology: Topology) {
    this.#clock = clock;
    this.#random = random;
    this.#topology = topology;
  }

  /** Lets nothing through between two machines, datagrams or links, until `unblock`. */
  block(a: string, b: string): void {
    this.#blocked.add(pairOf(a, b)).add(pairOf(b, a));
  }

  unblock(a: string, b: string): void {
    this.#blocked.delete(pairOf(a, b));
    this.#blocked.delete(pairOf(b, a));
  }

  isBlocked(a: string, b: string): boolean {
    return this.#blocked.has(pairOf(a, b));
  }

  /** Puts one more line before those who receive from `from` at `to`: this direction, this pair only. */
  between(from: string, to: string, options: LineOptions): void {
    const pair = pairOf(from, to);
    const line = this.#between.get(pair);
    if (line === undefined) this.#between.set(pair, new Line(this.#random.fork(`between ${pair}`), options));
    else line.change(options);
  }

  /** Sends a datagram. It arrives in a later turn, also on the same machine. */
  send(sender: Station, departure: Departure): void {
    const { from, to, bytes, refused } = departure;
    const datagram: Datagram = { sender, sentAt: this.#clock.now, bytes, refused, from, to };
    this.#count('sent', datagram);
    if (isLoopback(to.host) || to.host === sender.address) {
      this.#clock.after(0, LABEL, () => this.#deliver(sender, datagram));
    } else if (!isSameFamily(to.host, sender.address)) this.#drop('noRoute', datagram);
    else if (sender.isUdpBlocked) this.#drop('udpBlocked', datagram);
    else this.#cross(sender.up, datagram, (next) => this.#climb(sender.site, next));
  }

  /** How a link goes at present; undefined: no way, or none that is open. */
  route(from: Station, host: string): Route | undefined {
    if (isLoopback(host) || host === from.address) {
      return { station: from, from: host, there: HERE, back: HERE, gateways: [] };
    }
    const route = this.#topology.route(from, host);
    if (route === undefined) return undefined;
    const { station, there, back } = route;
    const isAsleep = Math.max(from.asleepUntil, station.asleepUntil) > this.#clock.now;
    if (isAsleep || this.isBlocked(from.name, station.name)) return undefined;
    return { ...route, there: this.#leg(from, station, there), back: this.#leg(station, from, back) };
  }

  #leg(from: Station, to: Station, leg: Leg): Leg {
    const line = this.#between.get(pairOf(from.name, to.name));
    if (line === undefined) return leg;
    return {
      delayMs: leg.delayMs + line.delayMs,
      bytesPerSecond: Math.min(leg.bytesPerSecond, line.bytesPerSecond),
    };
  }

  /** In a site: to whoever has the address, else out through its NAT. */
  #climb(site: Site, datagram: Datagram): void {
    const member = site.get(datagram.to.host);
    if (member?.kind === 'station') this.#approach(member, datagram);
    else if (member !== undefined) this.#cross(member.down, datagram, (next) => this.#descend(member, next));
    else if (site.gateway !== undefined) this.#leave(site.gateway, datagram);
    else this.#drop('noRoute', datagram);
  }

  /** Out through a NAT, or back in at once when its own outside address is meant. */
  #leave(gateway: Gateway, datagram: Datagram): void {
    const isHairpin = datagram.to.host === gateway.address;
    if (isHairpin && !gateway.nat.hairpinning) {
      this.#drop('natNoHairpin', datagram);
      return;
    }
    const port = gateway.nat.outbound(this.#clock.now, datagram.from, datagram.to);
    if (port === undefined) {
      this.#drop('natPortsFull', datagram);
      return;
    }
    // RFC 4787 REQ-9: a hairpinned datagram, too, comes from the outside address.
    datagram.from = { host: gateway.address, port };
    if (isHairpin) this.#descend(gateway, datagram);
    else this.#cross(gateway.up, datagram, (next) => this.#climb(gateway.outside, next));
  }

  /** In through a NAT. */
  #descend(gateway: Gateway, datagram: Datagram): void {
    const internal =
      datagram.to.host === gateway.address
        ? gateway.nat.inbound(this.#clock.now, datagram.to.port, datagram.from)
        : 'natNoMapping';
    if (typeof internal === 'string') {
      this.#drop(internal, datagram);
      return;
    }
    datagram.to = internal;
    const member = gateway.inside.get(internal.host);
    if (member === undefined) this.#drop('noRoute', datagram);
    else if (member.kind === 'station') this.#approach(member, datagram);
    else this.#cross(member.down, datagram, (next) => this.#descend(member, next));
  }

  /** The receiver is known: what is between the two machines, then its own line. */
  #approach(station: Station, datagram: Datagram): void {
    const { name } = datagram.sender;
    if (this.isBlocked(name, station.name)) {
      this.#drop('blocked', datagram);
    } else if (this.cut?.({ sender: name, receiver: station.name, bytes: datagram.bytes })) {
      this.#drop('cut', datagram);
    } else {
      const down = (next: Datagram): void =>
        this.#cross(station.down, next, (last) => this.#deliver(station, last), true);
      const line = this.#between.get(pairOf(name, station.name));
      if (line === undefined) down(datagram);
      else this.#cross(line, datagram, down);
    }
  }

  #deliver(station: Station, datagram: Datagram): void {
    const { bytes, from, to } = datagram;
    const isLocal = isLoopback(to.host) || station === datagram.sender;
    if (!isLocal && station.isUdpBlocked) this.#drop('udpBlocked', datagram);
    else if (station.asleepUntil > this.#clock.now) this.#drop('asleep', datagram);
    else if (!isLoopback(to.host) && to.host !== station.address) this.#drop('noRoute', datagram);
    else {
      const sink = station.receiver.sinkAt(to);
      if (sink === undefined) {
        this.#drop('noSocket', datagram);
        return;
      }
      // Counted before the receiver acts, so that a trace tells cause before effect.
      this.#count('delivered', datagram);
      sink(bytes, from);
    }
  }

  /** Through a line. @param isLast - What follows is the receiver's, and so a turn of its own even if no time passes. */
  #cross(line: Line, datagram: Datagram, then: (datagram: Datagram) => void, isLast = false): void {
    const { now } = this.#clock;
    const exits = line.enter(now, packetBytes(datagram.to.host, datagram.bytes.length));
    if (typeof exits === 'string') {
      this.#drop(exits, datagram);
      return;
    }
    const [first = now, second] = exits;
    if (second !== undefined) {
      const copy = { ...datagram, bytes: datagram.bytes.slice() };
      this.#count('duplicated', copy);
      this.#clock.at(second, LABEL, () => then(copy));
    }
    if (first <= now && !isLast) then(datagram);
    else this.#clock.at(first, LABEL, () => then(datagram));
  }

  #drop(reason: Drop, datagram: Datagram): void {
    this.#count(reason, datagram);
    const { refused, sentAt } = datagram;
    if (refused === undefined || (reason !== 'noSocket' && reason !== 'noRoute')) return;
    this.#clock.after(this.#clock.now - sentAt, 'unreachable', refused);
  }

  #count(event: NetworkCount, datagram: Datagram): void {
    this.tally.add(event);
    if (this.onTrace === undefined) return;
    const { sender, from, to, bytes } = datagram;
    const head = bytes.slice(0, HEAD_BYTES);
    this.onTrace({ atMs: this.#clock.now, event, sender: sender.name, from, to, length: bytes.length, head });
  }
}

function pairOf(from: string, to: string): string {
  return `${from} → ${to}`;
}
