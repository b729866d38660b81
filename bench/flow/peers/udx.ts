/**
 * Hyperswarm's way: secret-stream (Noise XX and libsodium's secretstream) on udx, a reliable stream over UDP in native
 * code. The two ends need each other's stream id, which the DHT would tell; here a datagram before the first does.
 */
import { randomBytes } from 'node:crypto';
import { type Channel, type Contestant, type Duplex, duplexChannel } from '../channel.ts';

/** What is used of udx-native and @hyperswarm/secret-stream. */
export interface UdxModules {
  readonly UDX: new () => { createSocket(): UdxSocket; createStream(id: number): UdxStream };
  readonly SecretStream: new (isInitiator: boolean, raw: UdxStream) => SecretStream;
}

interface UdxSocket {
  bind(port: number, host: string): void;
  address(): { port: number };
  trySend(bytes: Buffer, port: number, host: string): void;
  on(event: 'message', listener: (bytes: Buffer, from: { host: string; port: number }) => void): unknown;
}

interface UdxStream {
  connect(socket: UdxSocket, id: number, port: number, host: string): void;
}

interface SecretStream extends Duplex {
  readonly opened: Promise<boolean>;
  destroy(): void;
}

/** Makes it, of the modules that are installed. */
export function udx({ UDX, SecretStream }: UdxModules): Contestant {
  return {
    serve: async ({ host }, accept) => {
      const udx = new UDX();
      const socket = udx.createSocket();
      socket.bind(0, host);
      socket.on('message', (bytes, from) => {
        const id = bytes.readUInt32BE();
        const raw = udx.createStream(id);
        raw.connect(socket, id, from.port, from.host);
        accept(channelOf(new SecretStream(false, raw)));
        socket.trySend(bytes, from.port, from.host);
      });
      return { address: socket.address().port };
    },
    connect: async ({ host, isLoopback }, address) => {
      const udx = new UDX();
      const socket = udx.createSocket();
      socket.bind(0, isLoopback ? host : '0.0.0.0');
      const waiting = new Map<number, () => void>();
      socket.on('message', (bytes) => waiting.get(bytes.readUInt32BE())?.());
      return {
        open: async () => {
          const bytes = randomBytes(4);
          const id = bytes.readUInt32BE();
          const isKnown = new Promise<void>((resolve) => waiting.set(id, resolve));
          const raw = udx.createStream(id);
          socket.trySend(bytes, Number(address), host);
          await isKnown;
          waiting.delete(id);
          raw.connect(socket, id, Number(address), host);
          const stream = new SecretStream(true, raw);
          const channel = channelOf(stream);
          if (!(await stream.opened)) throw new Error('the handshake failed');
          return channel;
        },
      };
    },
  };
}

function channelOf(stream: SecretStream): Channel {
  return duplexChannel(stream, () => stream.destroy());
}
