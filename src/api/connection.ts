/**
 * A stream connection as Web Streams with back-pressure end to end: what is not read closes the peer's window, what does
 * not fit into the send buffer makes `write` wait. Bytes are delivered, or the connection errors.
 */
import type { Millis } from '../config.ts';
import type { ConnectionStats } from '../core/connection.ts';
import { EVENT } from '../core/events.ts';
import type { Stream } from '../core/streams.ts';
import type { Driver } from '../driver.ts';
import { type ErrorCode, PilotError } from '../errors.ts';
import { Address } from '../wire/address.ts';

const CHUNK_BYTES = 65_536;

/** One open connection. */
export class Connection {
  /** Address of the other end, in the network in which we speak. */
  readonly peer: Address;
  readonly peerPort: number;
  readonly localPort: number;
  /** Bytes from the peer; a byte stream. It ends only when the peer ended its direction in order, else it errors. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Bytes to the peer. `write` resolves when buffered, `close` when the peer acknowledged everything. */
  readonly writable: WritableStream<Uint8Array>;
  /** Settles when both directions are over; rejects with `PilotError` when it did not end in order. */
  readonly closed: Promise<void>;
  readonly #driver: Driver;
  readonly #stream: Stream;
  #settle: { resolve: () => void; reject: (error: PilotError) => void } | undefined;
  #error: PilotError | undefined;
  #isOver = false;
  #isReadable = new Signal();
  #isWritable = new Signal();
  #isAcknowledged = new Signal();

  /** Made by `Agent`. */
  constructor(driver: Driver, stream: Stream) {
    this.#driver = driver;
    this.#stream = stream;
    this.peer = new Address(stream.network, stream.peer.id);
    this.peerPort = stream.peerPort;
    this.localPort = stream.localPort;
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever does not ask how it ended must not end the process by that.
    this.closed.catch(() => {});
    this.readable = new ReadableStream({
      type: 'bytes',
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#act((now) => stream.connection.stopReading(now)),
    });
    this.writable = new WritableStream<Uint8Array>(
      {
        write: (chunk) => this.#write(chunk),
        close: () => this.#shutdown(),
        abort: () => this.abort(),
      },
      { highWaterMark: 1 },
    );
  }

  /**
   * Ends both directions: waits until everything written is acknowledged, then until the peer closed, at most 5 s.
   *
   * @throws PilotError when bytes that were written did not arrive.
   */
  async close(): Promise<void> {
    this.#act((now) => this.#stream.connection.close(now));
    await this.closed;
  }

  /** As `close`, but does not wait for the peer's end once everything of ours is acknowledged. */
  async flush(): Promise<void> {
    const { connection } = this.#stream;
    this.#act((now) => connection.close(now));
    while (!connection.isWriteAcknowledged && !this.#isOver) await this.#isAcknowledged.wait();
  }

  /** Ends at once: the peer sees an error, what was not delivered is lost. */
  abort(): void {
    this.#act((now) => this.#stream.connection.abort(now));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Counters and estimates. */
  stats(): ConnectionStats {
    return this.#stream.connection.stats();
  }

  /** Called by `Agent` for every change. */
  handleBits(bits: number): void {
    const { connection, failure } = this.#stream;
    const { state } = connection;
    if (!this.#isOver && (state === 'CLOSED' || state === 'TIME_WAIT')) {
      this.#isOver = true;
      const code = failure ?? connection.error;
      if (code !== undefined) this.#error = connectionError(code, this.peer, this.peerPort);
      if (this.#error === undefined || code === 'CLOSED') this.#settle?.resolve();
      else this.#settle?.reject(this.#error);
    }
    if (this.#isOver || (bits & (EVENT.readable | EVENT.readEnded)) !== 0) this.#isReadable.fire();
    if (this.#isOver || (bits & (EVENT.writable | EVENT.readEnded)) !== 0) this.#isWritable.fire();
    if (this.#isOver || (bits & EVENT.acknowledged) !== 0) this.#isAcknowledged.fire();
  }

  async #pull(controller: ReadableByteStreamController): Promise<void> {
    const { connection } = this.#stream;
    while (connection.readableBytes === 0) {
      if (connection.isReadEnded) {
        controller.close();
        // A read into the caller's buffer that finds the end is answered with nothing.
        controller.byobRequest?.respond(0);
        return;
      }
      if (this.#isOver) {
        controller.error(this.#error ?? connectionError('CLOSED', this.peer, this.peerPort));
        return;
      }
      await this.#isReadable.wait();
    }
    const view = controller.byobRequest?.view;
    if (view === undefined || view === null) {
      const chunk = new Uint8Array(Math.min(connection.readableBytes, CHUNK_BYTES));
      connection.read(chunk);
      controller.enqueue(chunk);
    } else {
      controller.byobRequest?.respond(connection.read(new Uint8Array(view.buffer, view.byteOffset, view.byteLength)));
    }
    this.#act(() => {});
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('Cannot write to a connection: want a Uint8Array');
    const { connection } = this.#stream;
    for (let sent = 0; sent < chunk.length; ) {
      if (!connection.isWritable) throw this.#error ?? connectionError('CONNECTION_RESET', this.peer, this.peerPort);
      const taken = connection.write(sent === 0 ? chunk : chunk.subarray(sent));
      sent += taken;
      if (taken > 0) this.#act(() => {});
      if (sent < chunk.length) await this.#isWritable.wait();
    }
  }

  async #shutdown(): Promise<void> {
    const { connection } = this.#stream;
    this.#act((now) => connection.shutdown(now));
    while (!connection.isWriteAcknowledged) {
      if (this.#isOver) throw this.#error ?? connectionError('CONNECTION_LOST', this.peer, this.peerPort);
      await this.#isAcknowledged.wait();
    }
  }

  #act(what: (now: Millis) => void): void {
    if (this.#driver.isClosed) return;
    const now = this.#driver.now();
    what(now);
    this.#driver.endpoint.contacts.touch(now, this.#stream);
    this.#driver.flush();
  }
}

/** Somebody waits for something to happen. */
class Signal {
  #resolve: (() => void) | undefined;
  #promise: Promise<void> | undefined;

  wait(): Promise<void> {
    this.#promise ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#promise;
  }

  fire(): void {
    this.#resolve?.();
    this.#resolve = undefined;
    this.#promise = undefined;
  }
}

const FACTS: { readonly [code in ErrorCode]?: string } = {
  CONNECTION_REFUSED: 'nobody listens there, or the peer is full',
  CONNECTION_RESET: 'the peer ended the connection',
  CONNECTION_LOST: 'the peer stopped answering',
  DIAL_TIMEOUT: 'no answer',
  NOT_FOUND: 'the rendezvous knows no such node',
  NOT_TRUSTED: 'trust in the peer ended',
  CLOSED: 'it was closed on this side',
  BUSY: 'no memory for another connection',
};

const HINTS: { readonly [code in ErrorCode]?: string } = {
  DIAL_TIMEOUT: 'unreachable, or it does not trust you: see explain(), and ask with trust.request()',
  CONNECTION_REFUSED: 'the peer listens with listen(port)',
};

/** Says why a connection ended, or never began. */
export function connectionError(code: ErrorCode, peer: Address, port: number): PilotError {
  const hint = HINTS[code];
  return new PilotError(code, `Connection to ${peer}:${port} failed: ${FACTS[code] ?? code}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}
