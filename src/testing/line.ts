/**
 * One direction of a machine's way into the network: what a datagram meets there. In this order: size, luck, a queue
 * in front of a rate, then delay. It knows sizes and times, no bytes and no addresses.
 */
import type { Bytes, Millis } from '../config.ts';
import type { Random } from './random.ts';

/** How a line treats datagrams. All default to none, or no limit. Sizes are those of IP packets, headers included. */
export interface LineOptions {
  readonly delayMs?: Millis;
  /** Up to this much more delay, evenly spread. Datagrams keep their order. */
  readonly jitterMs?: Millis;
  /** Probability that a datagram is held back, so that later ones pass it. */
  readonly reordering?: number;
  /** How long at most a datagram is held back; default 20 ms. */
  readonly reorderMs?: Millis;
  /** Probability. */
  readonly loss?: number;
  /** Probability of a second copy. */
  readonly duplication?: number;
  /** Larger packets are dropped without a word. */
  readonly mtuBytes?: Bytes;
  readonly bytesPerSecond?: number;
  /** What may wait for the rate; default 64 KiB. What does not fit is dropped. */
  readonly queueBytes?: Bytes;
}

/** Why a line lets a datagram go no further. */
export type LineDrop = 'aboveMtu' | 'lost' | 'queueFull';

const DEFAULTS: Required<LineOptions> = {
  delayMs: 0,
  jitterMs: 0,
  reordering: 0,
  reorderMs: 20,
  loss: 0,
  duplication: 0,
  mtuBytes: Number.POSITIVE_INFINITY,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  queueBytes: 65_536,
};

/** One direction of a line. */
export class Line {
  readonly #random: Random;
  #options: Required<LineOptions>;
  /** When the rate has done with what waits. */
  #busyUntil: Millis = 0;
  /** Nothing that keeps its order may leave before this. */
  #lastExit: Millis = 0;

  /** @throws RangeError for a negative figure, or a probability above 1 */
  constructor(random: Random, options: LineOptions = {}) {
    this.#random = random;
    this.#options = checked({ ...DEFAULTS, ...options });
  }

  get delayMs(): Millis {
    return this.#options.delayMs;
  }

  get bytesPerSecond(): number {
    return this.#options.bytesPerSecond;
  }

  /** Treats what enters from now on otherwise. What is not named stays. @throws RangeError */
  change(options: LineOptions): void {
    this.#options = checked({ ...this.#options, ...options });
  }

  /** @returns When the datagram leaves, and when a second copy does; or why it does not. */
  enter(now: Millis, packetBytes: Bytes): LineDrop | readonly Millis[] {
    const { mtuBytes, loss, duplication } = this.#options;
    if (packetBytes > mtuBytes) return 'aboveMtu';
    if (this.#random.chance(loss)) return 'lost';
    const sent = this.#queue(now, packetBytes);
    if (sent === undefined) return 'queueFull';
    const exit = this.#delay(sent);
    return this.#random.chance(duplication) ? [exit, this.#delay(sent)] : [exit];
  }

  /** @returns When the last byte is on the line. */
  #queue(now: Millis, packetBytes: Bytes): Millis | undefined {
    const { bytesPerSecond, queueBytes } = this.#options;
    const waitMs = Math.max(0, this.#busyUntil - now);
    // A packet larger than the queue still passes an idle line.
    if (waitMs > 0 && (waitMs * bytesPerSecond) / 1000 + packetBytes > queueBytes) return undefined;
    this.#busyUntil = now + waitMs + (packetBytes * 1000) / bytesPerSecond;
    return this.#busyUntil;
  }

  #delay(sent: Millis): Millis {
    const { delayMs, jitterMs, reordering, reorderMs } = this.#options;
    const exit = sent + delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0);
    if (this.#random.chance(reordering)) return Math.max(exit, this.#lastExit) + this.#random.next() * reorderMs;
    this.#lastExit = Math.max(exit, this.#lastExit);
    return this.#lastExit;
  }
}

function checked(options: Required<LineOptions>): Required<LineOptions> {
  for (const [name, value] of Object.entries(options)) {
    const isProbability = name === 'loss' || name === 'duplication' || name === 'reordering';
    const most = isProbability ? 1 : Number.POSITIVE_INFINITY;
    if (!(value >= 0 && value <= most))
      throw new RangeError(`Cannot use a line: ${name} is ${value}, not 0 to ${most}`);
  }
  return options;
}
