/**
 * The server's half of what is measured. A client announces what it will do by a header of 16 bytes; then follow messages,
 * as many as were announced, and after them the next header.
 *
 *   0  u32  what: 1 echo, 2 sink, 3 paced, 4 flood     4  u32  bytes of a message     8  f64  messages
 *
 * Echo: every byte comes back. Sink: 24 bytes come back when all have arrived: f64 bytes, f64 the moment of the first, f64
 * of the last, in ms of the machine's monotonic clock, which all processes share. Paced: as sink, and the first eight bytes
 * of each message are the moment at which it was sent. Flood: never ends, nothing comes back.
 */
import type { Channel } from './channel.ts';

/** What a header announces. */
export const WHAT = { echo: 1, sink: 2, paced: 3, flood: 4 } as const;
/** Bytes of a header. */
export const HEADER = 16;
/** Bytes of an account. */
export const ACCOUNT = 24;
/** Nothing came for so long on a lossy channel: the rest is lost. */
const SILENCE_MS = 250;
const STAMP = 8;

/** Milliseconds on the clock that all processes of this machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** One accepted channel. */
export class Reception {
  /** How long messages took, in ms; of `paced`. */
  readonly latencies: number[] = [];
  /** Bytes that arrived, headers aside. */
  received = 0;
  readonly #channel: Channel;
  readonly #header: Buffer = Buffer.alloc(HEADER);
  #headerBytes = 0;
  #what: number = 0;
  #messageBytes = 0;
  #left = 0;
  #got = 0;
  #firstAt = 0;
  #lastAt = 0;
  readonly #stamp: Buffer = Buffer.alloc(STAMP);
  #at = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
    channel.onData = (bytes) => this.#handle(bytes);
  }

  #handle(bytes: Uint8Array): void {
    while (bytes.length > 0) {
      if (this.#headerBytes < HEADER) {
        const taken = Math.min(HEADER - this.#headerBytes, bytes.length);
        this.#header.set(bytes.subarray(0, taken), this.#headerBytes);
        this.#headerBytes += taken;
        bytes = bytes.subarray(taken);
        if (this.#headerBytes === HEADER) this.#begin();
      } else {
        const taken = Math.min(this.#left, bytes.length);
        const mine = taken === bytes.length ? bytes : bytes.subarray(0, taken);
        bytes = taken === bytes.length ? NOTHING : bytes.subarray(taken);
        this.#take(mine);
      }
    }
  }

  #begin(): void {
    this.#what = this.#header.readUInt32BE(0);
    this.#messageBytes = this.#header.readUInt32BE(4);
    this.#left = this.#messageBytes * this.#header.readDoubleBE(8);
    this.#got = 0;
    this.#at = 0;
    this.#firstAt = now();
    this.#lastAt = this.#firstAt;
    if (this.#channel.isLossy && this.#what !== WHAT.echo) this.#watch();
  }

  #take(bytes: Uint8Array): void {
    this.#left -= bytes.length;
    this.received += bytes.length;
    if (this.#what === WHAT.echo) {
      // A copy: what was borrowed may be sent later.
      void this.#channel.send(Buffer.from(bytes));
    } else {
      if (this.#what === WHAT.paced) this.#time(bytes);
      this.#got += bytes.length;
      if (this.#channel.isLossy) this.#lastAt = now();
    }
    if (this.#left > 0) return;
    if (this.#what !== WHAT.echo) this.#account();
    this.#headerBytes = 0;
  }

  /** Reads the stamps at the head of each message, wherever the bytes are parted. */
  #time(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; ) {
      const place = this.#at % this.#messageBytes;
      const taken = Math.min((place < STAMP ? STAMP : this.#messageBytes) - place, bytes.length - i);
      if (place < STAMP) {
        this.#stamp.set(bytes.subarray(i, i + taken), place);
        if (place + taken === STAMP) this.latencies.push(now() - this.#stamp.readDoubleBE(0));
      }
      i += taken;
      this.#at += taken;
    }
  }

  #account(): void {
    if (!this.#channel.isLossy) this.#lastAt = now();
    const account = Buffer.alloc(ACCOUNT);
    account.writeDoubleBE(this.#got, 0);
    account.writeDoubleBE(this.#firstAt, 8);
    account.writeDoubleBE(this.#lastAt, 16);
    void this.#channel.send(account);
  }

  #watch(): void {
    const timer = setInterval(() => {
      if (this.#headerBytes < HEADER) {
        clearInterval(timer);
      } else if (now() - this.#lastAt > SILENCE_MS) {
        clearInterval(timer);
        this.#account();
        this.#headerBytes = 0;
      }
    }, SILENCE_MS / 5);
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
