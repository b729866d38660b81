/** js-libp2p: TCP, Noise, Yamux; one stream for each channel on one connection. */
import { type Channel, type Contestant, Gate } from '../channel.ts';

/** What is used of libp2p and its parts. */
export interface Libp2pModules {
  createLibp2p(options: object): Promise<Libp2p>;
  tcp(): unknown;
  noise(): unknown;
  yamux(options: object): unknown;
  multiaddr(text: string): unknown;
}

interface Libp2p {
  handle(protocol: string, handler: (stream: Stream) => void, options: object): Promise<void>;
  dialProtocol(to: unknown, protocol: string): Promise<Stream>;
  getMultiaddrs(): { toString(): string }[];
}

interface Bytes {
  readonly byteLength: number;
  subarray(): Uint8Array;
}

interface Stream {
  send(bytes: Uint8Array): boolean;
  addEventListener(event: 'message', listener: (event: { data: Bytes }) => void): void;
  addEventListener(event: 'drain' | 'close', listener: () => void): void;
  abort(error: Error): void;
}

const PROTOCOL = '/bench/flow';
const STREAMS = 4096;
const WINDOW_BYTES = 4 << 20;

/** Makes it, of the modules that are installed. */
export function libp2p(modules: Libp2pModules): Contestant {
  const start = async (listen: readonly string[]): Promise<Libp2p> =>
    modules.createLibp2p({
      addresses: { listen },
      transports: [modules.tcp()],
      connectionEncrypters: [modules.noise()],
      streamMuxers: [modules.yamux({ streamOptions: { initialStreamWindowSize: WINDOW_BYTES } })],
      // Else several quick connections of one client are refused.
      connectionManager: { inboundConnectionThreshold: 10_000 },
    });
  return {
    serve: async ({ host }, accept) => {
      const node = await start([`/ip4/${host}/tcp/0`]);
      const options = { maxInboundStreams: STREAMS, maxOutboundStreams: STREAMS };
      await node.handle(PROTOCOL, (stream) => accept(channelOf(stream)), options);
      return { address: String(node.getMultiaddrs()[0]) };
    },
    connect: async (_, address) => {
      const node = await start([]);
      const to = modules.multiaddr(String(address));
      return { open: async () => channelOf(await node.dialProtocol(to, PROTOCOL)) };
    },
  };
}

function channelOf(stream: Stream): Channel {
  const gate = new Gate();
  const channel: Channel = {
    send: (bytes) => (stream.send(bytes) ? undefined : gate.wait()),
    onData: () => {},
    close: () => stream.abort(new Error('done')),
  };
  stream.addEventListener('message', ({ data }) => channel.onData(data.subarray()));
  stream.addEventListener('drain', () => gate.open());
  stream.addEventListener('close', () => gate.open());
  return channel;
}
