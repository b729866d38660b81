/**
 * A UDP socket of a virtual machine. Bytes given to `send` are lent: with `lateReleaseMs` they are read only when the
 * token goes back, as a kernel may, and a sender that touched them before fails the run.
 */
import type { HostPort, UdpHandler, UdpSocket } from '../carrier/host.ts';
import type { Millis } from '../config.ts';
import { canonicalHost, UDP_PAYLOAD_BYTES } from './address.ts';
import { lend } from './borrowed.ts';
import type { Clock, ClockEvent } from './clock.ts';
import type { Random } from './random.ts';

/** What a socket needs of its machine. */
export interface UdpParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly local: HostPort;
  readonly handler: UdpHandler;
  /** The longest time that bytes stay lent; 0: they go back before `send` returns. */
  readonly lateReleaseMs: Millis;
  /** Puts bytes, owned from here on, on the wire. @returns False when this socket cannot send there. */
  readonly transmit: (bytes: Uint8Array, to: HostPort) => boolean;
  readonly closed: (socket: VirtualUdpSocket) => void;
}

interface Loan {
  readonly bytes: Uint8Array;
  /** What they were when they were lent. */
  readonly before: Uint8Array;
  readonly to: HostPort;
  readonly token: number;
  readonly event: ClockEvent;
}

/** A bound socket. */
export class VirtualUdpSocket implements UdpSocket {
  readonly local: HostPort;
  readonly #parts: UdpParts;
  readonly #loans = new Set<Loan>();
  readonly #lentTokens = new Set<number>();
  #handler: UdpHandler | undefined;
  #lastDue: Millis = 0;
  #isClosed = false;

  constructor(parts: UdpParts) {
    this.#parts = parts;
    this.local = parts.local;
    this.#handler = parts.handler;
  }

  /** @throws TypeError when `token` is still out: its bytes are not the caller's to send again. */
  send(bytes: Uint8Array, to: HostPort, token: number): void {
    if (this.#lentTokens.has(token)) throw new TypeError(`Cannot send: token ${token} has not been released`);
    if (this.#isClosed) {
      this.#release(token);
      return;
    }
    const { clock, random, lateReleaseMs } = this.#parts;
    if (lateReleaseMs === 0) {
      this.#transmit(bytes, to);
      this.#release(token);
      return;
    }
    // A kernel's queue keeps order. Bytes without a token were copied for this call; the caller may change them.
    this.#lastDue = Math.max(this.#lastDue, clock.now + random.next() * lateReleaseMs);
    const before = bytes.slice();
    const loan: Loan = {
      bytes: token < 0 ? before : bytes,
      before,
      to: { host: to.host, port: to.port },
      token,
      event: clock.at(this.#lastDue, 'lent bytes', () => this.#sendLate(loan)),
    };
    this.#loans.add(loan);
    if (token >= 0) this.#lentTokens.add(token);
  }

  unref(): void {}

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#parts.closed(this);
    const loans = [...this.#loans];
    this.#loans.clear();
    for (const { event } of loans) this.#parts.clock.cancel(event);
    if (loans.length === 0) return;
    // What was not sent will not be, but its owner wants it back.
    this.#parts.clock.after(0, 'lent bytes', () => {
      for (const { token } of loans) this.#release(token);
    });
  }

  /** Ends without a word to its handler, whose program has ended. */
  abandon(): void {
    this.#handler = undefined;
    this.close();
  }

  /** A datagram arrives. @param bytes - Owned. */
  deliver(bytes: Uint8Array, from: HostPort): void {
    lend(bytes, (borrowed) => this.#handler?.datagram(borrowed, from));
  }

  /** The network said that nobody is there. */
  refused(to: HostPort): void {
    if (!this.#isClosed) this.#handler?.unreachable(to);
  }

  #sendLate(loan: Loan): void {
    const { bytes, before, to, token } = loan;
    this.#loans.delete(loan);
    if (!isEqual(bytes, before)) throw new Error(`Lent bytes changed before token ${token} was released`);
    this.#transmit(bytes, to);
    this.#release(token);
  }

  #transmit(bytes: Uint8Array, to: HostPort): void {
    const host = canonicalHost(to.host);
    const isPossible = host !== undefined && to.port > 0 && to.port <= 0xffff && bytes.length <= UDP_PAYLOAD_BYTES;
    if (!isPossible || !this.#parts.transmit(bytes.slice(), { host, port: to.port })) this.#handler?.unreachable(to);
  }

  #release(token: number): void {
    this.#lentTokens.delete(token);
    if (token >= 0) this.#handler?.released(token);
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
