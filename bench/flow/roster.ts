/** Who takes part: how each is loaded, of which version it is, and which server it needs beside the two processes. */
import { loadPeer } from '../micro/runtime.ts';
import type { Contestant } from './channel.ts';
import { floor } from './peers/floor.ts';
import { type GrpcModule, grpc } from './peers/grpc.ts';
import { type Libp2pModules, libp2p } from './peers/libp2p.ts';
import { type MqttModule, mqtt } from './peers/mqtt.ts';
import { type NatsModule, nats } from './peers/nats.ts';
import { type RedisModule, redis } from './peers/redis.ts';
import { tls } from './peers/tls.ts';
import { type UdxModules, udx } from './peers/udx.ts';
import { wss } from './peers/wss.ts';
import { subject } from './subject.ts';

/** A contestant as a worker loads it. */
export interface Loaded {
  readonly contestant: Contestant;
  readonly version: string;
}

/** By name; ours, whatever its variant, is `subject`. @throws Error for one that this runtime cannot load. */
export const ROSTER: Readonly<Record<string, () => Promise<Loaded>>> = {
  subject: async () => ({ contestant: subject(), version: '' }),
  tls: async () => ({
    contestant: tls(),
    version: `node ${process.versions.node} (openssl ${process.versions.openssl})`,
  }),
  floor: async () => ({ contestant: floor(), version: `node ${process.versions.node}` }),
  wss: async () => made(await load<Parameters<typeof wss>[0]>('ws'), wss),
  nats: async () => made(await load<NatsModule>('@nats-io/transport-node'), nats),
  redis: async () => made(await load<RedisModule>('redis'), redis),
  mqtt: async () => made(await load<MqttModule>('mqtt'), mqtt),
  udx: async () => {
    const native = await load<UdxModules['UDX']>('udx-native');
    const stream = await load<UdxModules['SecretStream']>('@hyperswarm/secret-stream');
    const version = `secret-stream ${stream.version} on udx-native ${native.version}`;
    return { contestant: udx({ UDX: native.module, SecretStream: stream.module }), version };
  },
  grpc: async () => made(await load<GrpcModule>('@grpc/grpc-js'), grpc),
  libp2p: async () => {
    // It wants Node 22, whose only novelty that it uses is this.
    if (!('withResolvers' in Promise)) Object.assign(Promise, { withResolvers });
    const node = await load<Pick<Libp2pModules, 'createLibp2p'>>('libp2p');
    const parts = [
      await load<Pick<Libp2pModules, 'tcp'>>('@libp2p/tcp'),
      await load<Pick<Libp2pModules, 'noise'>>('@chainsafe/libp2p-noise'),
      await load<Pick<Libp2pModules, 'yamux'>>('@chainsafe/libp2p-yamux'),
      await load<Pick<Libp2pModules, 'multiaddr'>>('@multiformats/multiaddr'),
    ];
    const modules = Object.assign({}, node.module, ...parts.map(({ module }) => module)) as Libp2pModules;
    return { contestant: libp2p(modules), version: node.version };
  },
};

async function load<T>(name: string): Promise<{ module: T; version: string }> {
  const peer = await loadPeer<T>(name);
  if (peer === undefined) throw new Error(`${name} cannot be loaded in this runtime`);
  return peer;
}

function made<T>({ module, version }: { module: T; version: string }, make: (module: T) => Contestant): Loaded {
  return { contestant: make(module), version };
}

function withResolvers<T>() {
  let [resolve, reject]: ((value: never) => void)[] = [];
  const promise = new Promise<T>((...functions) => {
    [resolve, reject] = functions;
  });
  return { promise, resolve, reject };
}
