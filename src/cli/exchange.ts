/**
 * Bytes out, bytes back, over one connection. Peers of the reference answer with one segment and may leave the connection
 * open, so an answer is over when it ended, or when nothing followed for a moment. Reading goes on while we write: a peer
 * that sends back what it gets would otherwise stop reading.
 */
import type { Connection } from '../api/connection.ts';
import type { Bytes, Millis } from '../config.ts';
import type { ControlClock, ControlTimer } from '../ipc/link.ts';

/** Silence after which an answer that began is over. */
const QUIET_MS: Millis = 300;
/** More of an answer is not collected. */
const COLLECT_MAX: Bytes = 1_048_576;

/** How to read an answer. */
export interface ReadOptions {
  readonly clock: ControlClock;
  /** How long to wait for the first byte once everything was written. */
  readonly timeoutMs: Millis;
  /** Resolves when everything was written. */
  readonly written: Promise<unknown>;
  /** Gets what comes, as it comes. */
  readonly onChunk?: (chunk: Uint8Array) => Promise<void>;
}

/** What came. */
export interface Answer {
  readonly bytes: Uint8Array;
  /** The peer ended its direction in order. */
  readonly hasEnded: boolean;
  /** Nothing came in time. */
  readonly isTimedOut: boolean;
}

/** Reads an answer. Rejects with the connection's error. */
export async function readAnswer(connection: Connection, options: ReadOptions): Promise<Answer> {
  const reader = connection.readable.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let isWritten = false;
  let isStopped = false;
  let timer: ControlTimer | undefined;
  const limit = (): void => {
    timer?.cancel();
    if (!isWritten) return;
    timer = options.clock.setTimer(size === 0 ? options.timeoutMs : QUIET_MS, () => {
      isStopped = true;
      // Pending reads end with it.
      void reader.cancel();
    });
  };
  const whenWritten = (): void => {
    isWritten = true;
    if (!isStopped) limit();
  };
  options.written.then(whenWritten, whenWritten);
  try {
    while (size < COLLECT_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      size += value.length;
      limit();
      await options.onChunk?.(value);
    }
    const hasEnded = !isStopped && size < COLLECT_MAX;
    isStopped = true;
    return { bytes: joined(chunks, size), hasEnded, isTimedOut: !hasEnded && size === 0 };
  } finally {
    isStopped = true;
    timer?.cancel();
  }
}

/** Writes all of a source, then ends our direction. @returns How many bytes, when all were taken. */
export async function writeAll(connection: Connection, source: AsyncIterable<Uint8Array>): Promise<Bytes> {
  const writer = connection.writable.getWriter();
  let size = 0;
  for await (const chunk of source) {
    await writer.write(chunk);
    size += chunk.length;
  }
  // Whether it arrived is what `Connection.close` tells; a reference peer is told of the end only later.
  writer.close().catch(() => {});
  return size;
}

/** A source of one piece. */
export async function* onePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

function joined(chunks: readonly Uint8Array[], size: Bytes): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}
