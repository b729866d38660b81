/**
 * The ports of one agent: who listens, and which ephemeral port comes next (DP 5.14). A (peer, port) pair rests 30 s
 * before it is used again, and the counter starts at a random place, because peers keep entries of old connections (DP 5.4).
 */
import { type Millis, TIMERS } from '../config.ts';
import { EPHEMERAL_FIRST, EPHEMERAL_LAST } from '../wire/packet.ts';

/** What a stream listener allows. */
export interface Listener {
  /** Connections whose SYN exchange is not complete, of strangers and of trusted peers: neither fills the other's queue. */
  readonly backlog: [stranger: number, trusted: number];
}

const RESTING = 65_536;
const COUNT = EPHEMERAL_LAST - EPHEMERAL_FIRST + 1;

/** Listeners and ephemeral ports. */
export class Ports {
  readonly #listeners = new Map<number, Listener>();
  readonly #datagramPorts = new Set<number>();
  /** By peer and port, 48 bits. */
  readonly #resting = new Map<number, Millis>();
  #next: number;

  /** @param start - Any integer; chooses the first ephemeral port. */
  constructor(start: number) {
    this.#next = ((start % COUNT) + COUNT) % COUNT;
  }

  /** @returns False when somebody listens there already. */
  listen(port: number): boolean {
    if (this.#listeners.has(port)) return false;
    this.#listeners.set(port, { backlog: [0, 0] });
    return true;
  }

  unlisten(port: number): void {
    this.#listeners.delete(port);
  }

  listener(port: number): Listener | undefined {
    return this.#listeners.get(port);
  }

  listening(): number[] {
    return [...this.#listeners.keys()];
  }

  /** @returns False when somebody takes datagrams there already. */
  bindDatagrams(port: number): boolean {
    if (this.#datagramPorts.has(port)) return false;
    this.#datagramPorts.add(port);
    return true;
  }

  unbindDatagrams(port: number): void {
    this.#datagramPorts.delete(port);
  }

  takesDatagrams(port: number): boolean {
    return this.#datagramPorts.has(port);
  }

  /** An ephemeral port that is neither used, listened on nor resting towards this peer; undefined when all are. */
  ephemeral(now: Millis, peer: number, isUsed: (port: number) => boolean): number | undefined {
    for (let tries = 0; tries < COUNT; tries++) {
      const port = EPHEMERAL_FIRST + this.#next;
      this.#next = (this.#next + 1) % COUNT;
      if (this.#listeners.has(port) || this.#datagramPorts.has(port) || isUsed(port)) continue;
      if ((this.#resting.get(placeOf(peer, port)) ?? 0) <= now) return port;
    }
    return undefined;
  }

  /** A connection on an ephemeral port ended: the port rests towards that peer. */
  rest(now: Millis, peer: number, port: number): void {
    // What rests longest stands in front.
    for (const [place, until] of this.#resting) {
      if (until > now && this.#resting.size < RESTING) break;
      this.#resting.delete(place);
    }
    const place = placeOf(peer, port);
    this.#resting.delete(place);
    this.#resting.set(place, now + TIMERS.tupleReuseMs);
  }
}

/** 48 bits: an exact double. */
function placeOf(peer: number, port: number): number {
  return peer * 0x1_0000 + port;
}
