/**
 * Stream services that tests talk to: echo (DP 8), a sink that keeps what came, a source that writes so many bytes.
 */
import type { PeerConnection } from './peer-connection.ts';

/** What a service holds unsent before it stops reading (DP 5.17). */
const BUFFER_BYTES = 256 * 1024;

/** Byte `i` of what a source writes. */
export function sourceByte(i: number): number {
  return (i * 29 + (i >>> 8) * 13 + (i >>> 16) * 7 + 3) & 0xff;
}

/** Bytes `from` to `to` of what a source writes. */
export function sourceBytes(from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(to - from);
  for (let i = 0; i < bytes.length; i++) bytes[i] = sourceByte(from + i);
  return bytes;
}

/** Writes back what comes, and stops reading while too much waits (CP 4.1). */
export function serveEcho(connection: PeerConnection): void {
  let isPaused = false;
  connection.onData = (bytes) => {
    connection.write(bytes);
    if (connection.sender.bufferedBytes <= BUFFER_BYTES || isPaused) return;
    isPaused = true;
    connection.pause();
  };
  connection.onDrain = () => {
    if (!isPaused || connection.sender.bufferedBytes > BUFFER_BYTES) return;
    isPaused = false;
    connection.resume();
  };
}

/** Writes the first `total` bytes of `sourceBytes`, then closes. */
export function serveSource(connection: PeerConnection, total: number): void {
  let written = 0;
  connection.onDrain = () => {
    while (written < total && connection.sender.bufferedBytes < BUFFER_BYTES) {
      const end = Math.min(total, written + BUFFER_BYTES / 4);
      const piece = sourceBytes(written, end);
      written = end;
      connection.write(piece);
    }
    if (written === total) connection.close();
  };
  connection.onDrain();
}

/** What one connection brought to a sink. */
export interface SinkStream {
  readonly connection: PeerConnection;
  /** All bytes so far. */
  bytes(): Uint8Array;
  /** Whether the other side closed. */
  isEnded(): boolean;
}

/** Keeps what comes and closes when the other side does; keeps all of its connections. */
export class PeerSink {
  readonly streams: SinkStream[] = [];

  /** As `Acceptor`. */
  accept = (connection: PeerConnection): void => {
    const pieces: Uint8Array[] = [];
    connection.onData = (bytes) => {
      pieces.push(bytes);
    };
    this.streams.push({
      connection,
      bytes: () => new Uint8Array(Buffer.concat(pieces)),
      isEnded: () => connection.isEnded,
    });
  };
}
