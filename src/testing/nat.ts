/**
 * A NAT's table for UDP, in the words of RFC 4787: mapping (§4.1) says when two flows from one inside endpoint share an
 * outside port, filtering (§5) says who may send to that port. Pure: addresses and times in, addresses out.
 */
import type { HostPort } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import type { Random } from './random.ts';

/** On what of the remote side something depends (RFC 4787 §4.1 and §5). */
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** How a NAT behaves. The defaults are the commonest home router that can be punched. */
export interface NatOptions {
  /** Default endpoint-independent. */
  readonly mapping?: Dependence;
  /** Default address-and-port-dependent. */
  readonly filtering?: Dependence;
  /** Since the last datagram out; default 120 s, the least that RFC 4787 REQ-5 allows. Many real ones: 30 s. */
  readonly timeoutMs?: Millis;
  /** Which outside port a new mapping gets: the inside one or the next free above it (the default), or any. */
  readonly ports?: 'preserve' | 'random';
  /** Whether inside hosts reach each other by their outside addresses (RFC 4787 §6). Default false. */
  readonly hairpinning?: boolean;
  /** Whether what comes in keeps a mapping too (RFC 4787 REQ-6 allows it). Default false. */
  readonly inboundRefresh?: boolean;
}

/** Why a NAT lets a datagram in no further. */
export type NatDrop = 'natNoMapping' | 'natFiltered';

interface Mapping {
  readonly key: string;
  readonly internal: HostPort;
  readonly port: number;
  expiresAt: Millis;
  /** Remotes that may send in, as the filtering names them, and until when: real NATs let sessions expire one by one. */
  readonly permitted: Map<string, Millis>;
}

const TIMEOUT_MS = 120_000;
/** Below are ports that services own. */
const LOWEST_PORT = 1_024;
const HIGHEST_PORT = 65_535;
/** Draws before the table is searched for a free port. */
const DRAWS = 64;
/** Remotes of one mapping before those that expired are looked for. */
const MANY_REMOTES = 1_024;

/** One NAT's mappings, behind one outside address. */
export class Nat {
  readonly hairpinning: boolean;
  readonly #options: Required<NatOptions>;
  readonly #random: Random;
  readonly #byKey = new Map<string, Mapping>();
  readonly #byPort = new Map<number, Mapping>();

  constructor(random: Random, options: NatOptions = {}) {
    this.#random = random;
    this.#options = {
      mapping: 'endpoint-independent',
      filtering: 'address-and-port-dependent',
      timeoutMs: TIMEOUT_MS,
      ports: 'preserve',
      hairpinning: false,
      inboundRefresh: false,
      ...options,
    };
    this.hairpinning = this.#options.hairpinning;
  }

  /** Mappings in the table, those among them that expired unseen. */
  get size(): number {
    return this.#byPort.size;
  }

  /** A datagram goes out. @returns The outside port, undefined when none is free. */
  outbound(now: Millis, internal: HostPort, remote: HostPort): number | undefined {
    const { mapping, filtering, timeoutMs } = this.#options;
    const key = `${internal.host} ${internal.port} ${nameOf(remote, mapping)}`;
    let found = this.#live(this.#byKey.get(key), now);
    if (found === undefined) {
      const port = this.#freePort(now, internal.port);
      if (port === undefined) return undefined;
      found = { key, internal, port, expiresAt: 0, permitted: new Map() };
      this.#byKey.set(key, found);
      this.#byPort.set(port, found);
    }
    found.expiresAt = now + timeoutMs;
    if (found.permitted.size >= MANY_REMOTES) dropExpired(found.permitted, now);
    found.permitted.set(nameOf(remote, filtering), found.expiresAt);
    return found.port;
  }

  /** A datagram comes in at an outside port. @returns The inside endpoint, or why not. */
  inbound(now: Millis, port: number, remote: HostPort): HostPort | NatDrop {
    const { filtering, timeoutMs, inboundRefresh } = this.#options;
    const found = this.#live(this.#byPort.get(port), now);
    if (found === undefined) return 'natNoMapping';
    const name = nameOf(remote, filtering);
    if ((found.permitted.get(name) ?? 0) <= now) return 'natFiltered';
    if (inboundRefresh) {
      found.expiresAt = now + timeoutMs;
      found.permitted.set(name, found.expiresAt);
    }
    return found.internal;
  }

  /** Loses all mappings, as a restart does. */
  forget(): void {
    this.#byKey.clear();
    this.#byPort.clear();
  }

  #live(mapping: Mapping | undefined, now: Millis): Mapping | undefined {
    if (mapping === undefined || now < mapping.expiresAt) return mapping;
    this.#byKey.delete(mapping.key);
    this.#byPort.delete(mapping.port);
    return undefined;
  }

  /** Never a port that is in use: RFC 4787 REQ-3 forbids overloading. */
  #freePort(now: Millis, wanted: number): number | undefined {
    const isFree = (port: number): boolean => this.#live(this.#byPort.get(port), now) === undefined;
    let first = wanted;
    if (this.#options.ports === 'random') {
      for (let draw = 0; draw < DRAWS; draw++) {
        first = this.#random.between(LOWEST_PORT, HIGHEST_PORT);
        if (isFree(first)) return first;
      }
    } else if (isFree(wanted)) return wanted;
    const ports = HIGHEST_PORT - LOWEST_PORT + 1;
    const start = Math.max(0, first - LOWEST_PORT);
    for (let i = 0; i < ports; i++) {
      const port = LOWEST_PORT + ((start + i) % ports);
      if (isFree(port)) return port;
    }
    return undefined;
  }
}

/** As much of a remote endpoint as matters. */
function nameOf(remote: HostPort, dependence: Dependence): string {
  switch (dependence) {
    case 'endpoint-independent':
      return '';
    case 'address-dependent':
      return remote.host;
    case 'address-and-port-dependent':
      return `${remote.host} ${remote.port}`;
    default:
      return dependence satisfies never;
  }
}

function dropExpired(permitted: Map<string, Millis>, now: Millis): void {
  for (const [name, until] of permitted) if (until <= now) permitted.delete(name);
}
