/**
 * What an endpoint wants sent, in order: sealed frames in leased transmit slots, and small frames of their own
 * (key exchange, beacon messages). Bounded; what does not fit is dropped and counted by the caller.
 */
import { NO_PATH } from './paths.ts';
import type { Counters } from './stats.ts';

/** One datagram to send. */
export interface Datagram {
  /** Bytes to send: a view of engine memory when `token` ≥ 0, else owned by the receiver of this object. */
  bytes: Uint8Array;
  path: number;
  /** Slot to give back with `release` when the bytes were sent, or -1. */
  token: number;
}

const CAPACITY = 4096;

/** A bounded queue of datagrams. */
export class Outbox {
  readonly #queue: Datagram[] = [];
  #head = 0;

  get size(): number {
    return this.#queue.length - this.#head;
  }

  /** @returns False when full: nothing was taken. */
  push(bytes: Uint8Array, path: number, token = -1): boolean {
    if (this.size >= CAPACITY) return false;
    this.#queue.push({ bytes, path, token });
    return true;
  }

  /** Queues bytes of their own for a path, or counts why not. */
  post(counters: Counters, bytes: Uint8Array, path: number): void {
    if (path === NO_PATH) counters.drop('noPath');
    else if (!this.push(bytes, path)) counters.drop('outboxFull');
  }

  poll(): Datagram | undefined {
    const next = this.#queue[this.#head];
    if (next === undefined) return undefined;
    this.#head += 1;
    // A queue that is never quite empty must not keep what left it.
    if (this.#head === this.#queue.length || this.#head >= CAPACITY) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    return next;
  }
}
