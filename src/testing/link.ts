/**
 * One side of a reliable link: ordered bytes that arrive after a delay, cut anywhere. It is what an application sees of
 * TCP, not TCP: loss is not simulated, a way that is blocked holds bytes up until it opens, or the link is lost. The
 * steps of an end are those of the runtimes' sockets: who gets an end sends what it still has and ends, too.
 */
import type { Link, LinkHandler } from '../carrier/host.ts';
import { type Bytes, type Millis, TIMERS } from '../config.ts';
import { PilotError } from '../errors.ts';
import { lend } from './borrowed.ts';
import type { Clock, ClockEvent } from './clock.ts';
import type { Random } from './random.ts';
import type { Leg } from './topology.ts';

/** What a link needs of the world. */
export interface LinkParts {
  readonly clock: Clock;
  /** Where bytes are cut. */
  readonly random: Random;
  /** For people: who to whom. */
  readonly name: string;
  /** How bytes go to the other side now; undefined: they do not. */
  readonly leg: () => Leg | undefined;
  /** Runs when the link is of no more use, before its handler hears of it. */
  readonly gone: () => void;
}

/** `write` answers false while more than this waits (host.ts). */
const WAITING_BYTES: Bytes = 1024 * 1024;
/** On the way at a time. */
const WINDOW_BYTES: Bytes = 256 * 1024;
const LONGEST_CHUNK: Bytes = 16 * 1024;
/** Some chunks are so short that every header and prefix is cut somewhere. */
const SHORT_CHUNK: Bytes = 8;
const SHORT_CHUNKS = 0.2;
/** How often a blocked way is tried, and when that ends. */
const RETRY_MS: Millis = 500;
const LOST_MS: Millis = 30_000;

/** One side of a link: dialling → open → closing → closed, where any step may be left out. */
export class VirtualLink implements Link {
  /** For people. */
  readonly name: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #leg: () => Leg | undefined;
  readonly #gone: () => void;
  readonly #output: ByteQueue = new ByteQueue();
  readonly #flying = new Set<ClockEvent>();
  #handler: LinkHandler | undefined;
  #other: VirtualLink | undefined;
  #state: 'dialling' | 'open' | 'closing' | 'closed' = 'dialling';
  #isOpen = false;
  #isFull = false;
  #isEndSent = false;
  #isEndReceived = false;
  /** What the other side must still hear of one that is closed here. */
  #farewell: 'end' | 'reset' | undefined;
  #flyingBytes: Bytes = 0;
  #busyUntil: Millis = 0;
  #lastArrival: Millis = 0;
  #stalledSince: Millis | undefined;
  #pumping: ClockEvent | undefined;
  #deadline: ClockEvent | undefined;

  constructor(parts: LinkParts) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.name = parts.name;
    this.#leg = parts.leg;
    this.#gone = parts.gone;
  }

  get isClosing(): boolean {
    return this.#state === 'closing' || this.#state === 'closed';
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  attach(handler: LinkHandler): void {
    this.#handler = handler;
  }

  /** Ties the listener's side to the dialler's. @param openAt - Nothing arrives there before it opens. */
  join(client: VirtualLink, openAt: Millis): void {
    this.#other = client;
    this.#lastArrival = openAt;
    client.#other = this;
  }

  open(): void {
    if (this.#state === 'closed') return;
    this.#isOpen = true;
    if (this.#state === 'closing') {
      this.#limitEnd();
    } else {
      this.#state = 'open';
      this.#handler?.open();
    }
    this.#wake();
  }

  write(bytes: Uint8Array): boolean {
    // True, because no drain will follow; closed does.
    if (this.isClosing) return true;
    this.#output.push(bytes.slice());
    this.#wake();
    if (this.waitingBytes <= WAITING_BYTES) return true;
    this.#isFull = true;
    return false;
  }

  close(): void {
    if (this.isClosing) return;
    if (!this.#isOpen && this.#output.size === 0) {
      this.destroy();
      return;
    }
    this.#state = 'closing';
    if (!this.#isOpen) return;
    this.#limitEnd();
    this.#wake();
  }

  destroy(): void {
    this.#leave(undefined);
  }

  unref(): void {}

  /** Ends here at once with an error, and over there as if destroyed. */
  fail(error: PilotError): void {
    this.#leave(error);
  }

  /** Ends on both sides at once, whatever was on the way. */
  break(): void {
    for (const side of [this, this.#other]) {
      if (side === undefined) continue;
      for (const event of side.#flying) side.#clock.cancel(event);
      side.#flying.clear();
      side.#farewell = undefined;
      side.#finish(new PilotError('CONNECTION_RESET', `Link ended: ${side.name} was broken`));
    }
  }

  /** Ends without a word to its own handler, whose program has ended. */
  abandon(): void {
    this.#handler = undefined;
    this.destroy();
  }

  /** Written, and not yet with the other side. */
  get waitingBytes(): Bytes {
    return this.#output.size + this.#flyingBytes;
  }

  #leave(error: PilotError | undefined): void {
    if (this.#state === 'closed') return;
    // What a kernel does with a socket that is closed over unsent bytes.
    if (this.#other !== undefined) this.#farewell = this.#output.size > 0 ? 'reset' : 'end';
    this.#finish(error);
    if (this.#farewell !== undefined) this.#pumpLater(0);
  }

  #finish(error: PilotError | undefined): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#output.clear();
    if (this.#pumping !== undefined) this.#clock.cancel(this.#pumping);
    if (this.#deadline !== undefined) this.#clock.cancel(this.#deadline);
    this.#pumping = undefined;
    this.#gone();
    this.#clock.after(0, `end of ${this.name}`, () => this.#handler?.closed(error));
  }

  /** The other side has this long to end, too. */
  #limitEnd(): void {
    this.#deadline ??= this.#clock.after(TIMERS.closeMs, `deadline of ${this.name}`, () => {
      const isTaken = this.waitingBytes === 0;
      const fact = `the other side did not read for ${TIMERS.closeMs} ms`;
      this.#leave(isTaken ? undefined : new PilotError('CONNECTION_LOST', `Link ended: ${fact}`));
    });
  }

  #wake(): void {
    if (this.#isOpen) this.#pumpLater(0);
  }

  #pumpLater(delayMs: Millis): void {
    this.#pumping ??= this.#clock.after(delayMs, `bytes of ${this.name}`, () => this.#pump());
  }

  /** Sends what may go. */
  #pump(): void {
    this.#pumping = undefined;
    const leg = this.#leg();
    if (leg === undefined) {
      this.#stall();
      return;
    }
    this.#stalledSince = undefined;
    while (this.#output.size > 0 && this.#flyingBytes < WINDOW_BYTES) {
      const chunk = this.#output.take(this.#chunkBytes());
      this.#flyingBytes += chunk.length;
      this.#fly(leg, chunk.length, () => this.#arrived(chunk));
    }
    if (this.#output.size > 0) return;
    if (this.#farewell === undefined && (this.#state !== 'closing' || this.#isEndSent)) return;
    const isReset = this.#farewell === 'reset';
    this.#farewell = undefined;
    this.#isEndSent = true;
    const other = this.#other as VirtualLink;
    this.#fly(leg, 0, () => other.#ended(isReset));
    this.#finishIfEnded();
  }

  #stall(): void {
    const { now } = this.#clock;
    this.#stalledSince ??= now;
    if (now - this.#stalledSince < LOST_MS) {
      this.#pumpLater(RETRY_MS);
      return;
    }
    this.#farewell = undefined;
    this.#finish(new PilotError('CONNECTION_LOST', `Link ended: nothing went through for ${LOST_MS} ms`));
  }

  /** TCP keeps order: nothing arrives before what was sent earlier. */
  #fly(leg: Leg, bytes: Bytes, arrive: () => void): void {
    this.#busyUntil = Math.max(this.#busyUntil, this.#clock.now) + (bytes * 1000) / leg.bytesPerSecond;
    this.#lastArrival = Math.max(this.#lastArrival, this.#busyUntil + leg.delayMs);
    const event = this.#clock.at(this.#lastArrival, `bytes of ${this.name}`, () => {
      this.#flying.delete(event);
      arrive();
    });
    this.#flying.add(event);
  }

  #chunkBytes(): Bytes {
    return this.#random.between(1, this.#random.chance(SHORT_CHUNKS) ? SHORT_CHUNK : LONGEST_CHUNK);
  }

  #arrived(chunk: Uint8Array): void {
    this.#flyingBytes -= chunk.length;
    if (this.#isFull && this.waitingBytes === 0) {
      this.#isFull = false;
      this.#clock.after(0, `drain of ${this.name}`, () => {
        if (this.#state === 'open' && !this.#isFull) this.#handler?.drain();
      });
    }
    if (this.#output.size > 0) this.#wake();
    const other = this.#other as VirtualLink;
    if (!other.isClosed) {
      lend(chunk, (bytes) => other.#handler?.data(bytes));
      return;
    }
    // Nobody is there any more: the answer is a reset, behind what was sent before it.
    const leg = other.#leg();
    if (leg !== undefined) other.#fly(leg, 0, () => this.#ended(true));
  }

  /** The other side's end. */
  #ended(isReset: boolean): void {
    if (this.#state === 'closed') return;
    if (isReset) {
      this.#finish(new PilotError('CONNECTION_RESET', 'Link ended: the other side aborted it'));
      return;
    }
    this.#isEndReceived = true;
    this.#state = 'closing';
    this.#limitEnd();
    this.#wake();
    this.#finishIfEnded();
  }

  #finishIfEnded(): void {
    if (this.#isEndSent && this.#isEndReceived) this.#finish(undefined);
  }
}

/** Bytes in order, put in and taken out in pieces of any length. */
class ByteQueue {
  #pieces: Uint8Array[] = [];
  size: Bytes = 0;

  push(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.size += bytes.length;
  }

  /** @returns At most `length` bytes, owned by the caller. */
  take(length: Bytes): Uint8Array {
    const taken = new Uint8Array(Math.min(length, this.size));
    let filled = 0;
    let used = 0;
    while (filled < taken.length) {
      const piece = this.#pieces[used] as Uint8Array;
      const part = piece.subarray(0, taken.length - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === piece.length) used += 1;
      else this.#pieces[used] = piece.subarray(part.length);
    }
    this.#pieces.splice(0, used);
    this.size -= taken.length;
    return taken;
  }

  clear(): void {
    this.#pieces = [];
    this.size = 0;
  }
}
