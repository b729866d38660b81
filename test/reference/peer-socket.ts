/**
 * The one socket and the one router behind it (DP 3.16, performance 1): a buffer that loses what does not fit, a rate at
 * which it is emptied, and a router that a slow application can bring to a stand (DP 5.20, 6).
 */
import type { Place } from './peer-log.ts';

/** A timer that is still to come. */
export interface PeerTimer {
  cancel(): void;
}

/** What a scripted peer stands on: a real socket, a virtual network, or a test's own hands. */
export interface PeerTransport {
  /** One datagram; the bytes are the receiver's. */
  send(bytes: Uint8Array, to: Place): void;
  /** Monotonic ms. */
  now(): number;
  setTimer(delayMs: number, callback: () => void): PeerTimer;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly from: Place;
}

/** How a socket is made. */
export interface SocketSetup {
  readonly transport: PeerTransport;
  readonly bufferBytes: number;
  /** Infinity: a datagram is handled in the call that brings it, unless the router stands. */
  readonly bytesPerSecond: number;
  readonly route: (bytes: Uint8Array, from: Place) => void;
  readonly overflow: (bytes: Uint8Array) => void;
}

/** Datagrams between the kernel and the router. */
export class PeerSocket {
  readonly #setup: SocketSetup;
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** When the router has done with what it took. */
  #busyUntil = 0;
  #timer: PeerTimer | undefined;
  /** Who keeps the router from working. */
  #blocker: object | undefined;
  #isRunning = false;

  constructor(setup: SocketSetup) {
    this.#setup = setup;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get isBlocked(): boolean {
    return this.#blocker !== undefined;
  }

  /** A datagram arrives at the kernel. */
  push(bytes: Uint8Array, from: Place): void {
    if (this.#queuedBytes + bytes.length > this.#setup.bufferBytes) {
      this.#setup.overflow(bytes);
      return;
    }
    this.#queue.push({ bytes, from });
    this.#queuedBytes += bytes.length;
    this.#run();
  }

  /**
   * Brings the router to a stand until `release` is called or `ms` are over, when `expired` is called first.
   *
   * @returns `release`; calling it twice or late does nothing.
   */
  block(ms: number, expired: () => void): () => void {
    const blocker = {};
    this.#blocker = blocker;
    const end = (): void => {
      if (this.#blocker !== blocker) return;
      this.#blocker = undefined;
      timer.cancel();
      this.#run();
    };
    const timer = this.#setup.transport.setTimer(ms, () => {
      if (this.#blocker !== blocker) return;
      // What expires may block again, for the next segment.
      expired();
      end();
    });
    return end;
  }

  /** Forgets what waits. */
  reset(): void {
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#busyUntil = 0;
    this.#blocker = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #run(): void {
    if (this.#isRunning || this.#timer !== undefined) return;
    const { transport, bytesPerSecond, route } = this.#setup;
    this.#isRunning = true;
    while (this.#queue.length > 0 && this.#blocker === undefined) {
      const now = transport.now();
      if (this.#busyUntil > now) {
        this.#timer = transport.setTimer(this.#busyUntil - now, () => {
          this.#timer = undefined;
          this.#run();
        });
        break;
      }
      const { bytes, from } = this.#queue.shift()!;
      this.#queuedBytes -= bytes.length;
      if (bytesPerSecond !== Number.POSITIVE_INFINITY) {
        // Up to 1 ms is made up for: timers of real runtimes are no finer.
        this.#busyUntil = Math.max(this.#busyUntil, now - 1) + (bytes.length * 1000) / bytesPerSecond;
      }
      route(bytes, from);
    }
    this.#isRunning = false;
  }
}
