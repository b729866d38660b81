/**
 * The ports of one machine for one transport: who holds which, at which of its addresses.
 */
import { PilotError } from '../errors.ts';
import { isEvery } from './address.ts';
import type { Random } from './random.ts';

/** What Linux takes for sockets that do not name a port. */
const LOWEST_EPHEMERAL = 32_768;
const HIGHEST_EPHEMERAL = 60_999;
const DRAWS = 64;
const HIGHEST_PORT = 65_535;

/** Sockets of kind `T` by port and address. */
export class Ports<T> {
  readonly #transport: string;
  readonly #random: Random;
  readonly #taken = new Map<number, { readonly host: string; readonly socket: T }[]>();

  /** @param transport - For errors. */
  constructor(transport: string, random: Random) {
    this.#transport = transport;
    this.#random = random;
  }

  /** Everything that is bound. */
  all(): T[] {
    return [...this.#taken.values()].flat().map(({ socket }) => socket);
  }

  /** A port that can be bound. @param port - 0: any. @throws PilotError `PORT_IN_USE` */
  choose(host: string, port: number): number {
    if (!Number.isInteger(port) || port < 0 || port > HIGHEST_PORT) {
      throw new RangeError(`Cannot bind ${this.#transport}: there is no port ${port}`);
    }
    if (port !== 0) {
      if (this.#isFree(host, port)) return port;
      throw new PilotError('PORT_IN_USE', `Cannot bind ${this.#transport} ${host} port ${port}: it is taken`);
    }
    let candidate = 0;
    for (let draw = 0; draw < DRAWS; draw++) {
      candidate = this.#random.between(LOWEST_EPHEMERAL, HIGHEST_EPHEMERAL);
      if (this.#isFree(host, candidate)) return candidate;
    }
    const count = HIGHEST_EPHEMERAL - LOWEST_EPHEMERAL + 1;
    for (let i = 0; i < count; i++) {
      const next = LOWEST_EPHEMERAL + ((candidate - LOWEST_EPHEMERAL + i) % count);
      if (this.#isFree(host, next)) return next;
    }
    throw new PilotError('PORT_IN_USE', `Cannot bind ${this.#transport} ${host}: no port is free`);
  }

  /** @param port - One that `choose` gave in this turn. */
  bind(host: string, port: number, socket: T): void {
    const holders = this.#taken.get(port);
    if (holders === undefined) this.#taken.set(port, [{ host, socket }]);
    else holders.push({ host, socket });
  }

  /** Who gets what is sent to this address and port. The socket of one address goes before that of all. */
  find(host: string, port: number): T | undefined {
    const holders = this.#taken.get(port);
    const found = holders?.find((holder) => holder.host === host) ?? holders?.find(({ host }) => isEvery(host));
    return found?.socket;
  }

  release(port: number, socket: T): void {
    const left = (this.#taken.get(port) ?? []).filter((holder) => holder.socket !== socket);
    if (left.length === 0) this.#taken.delete(port);
    else this.#taken.set(port, left);
  }

  #isFree(host: string, port: number): boolean {
    const holders = this.#taken.get(port) ?? [];
    return !holders.some((holder) => holder.host === host || isEvery(holder.host) || isEvery(host));
  }
}
