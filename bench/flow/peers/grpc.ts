/** gRPC over TLS by @grpc/grpc-js: one stream in both directions for each channel, bytes as they are. */
import { type Channel, type Contestant, type Duplex, duplexChannel } from '../channel.ts';

/** What is used of @grpc/grpc-js. */
export interface GrpcModule {
  readonly Server: new (options: object) => Server;
  readonly ServerCredentials: { createSsl(roots: null, pairs: { private_key: Buffer; cert_chain: Buffer }[]): object };
  readonly credentials: { createSsl(roots: Buffer): object };
  makeGenericClientConstructor(
    methods: object,
    name: string,
  ): new (
    target: string,
    credentials: object,
    options: object,
  ) => { flow(): Call };
}

interface Server {
  addService(methods: object, handlers: object): void;
  bindAsync(target: string, credentials: object, done: (error: Error | null, port: number) => void): void;
}

interface Call extends Duplex {
  cancel?(): void;
  end(): void;
}

const pass = (bytes: Buffer): Buffer => bytes;
const METHODS = {
  flow: {
    path: '/bench/flow',
    requestStream: true,
    responseStream: true,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  },
};
/** Messages and windows as large as those of others. */
const OPTIONS = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc-node.flow_control_window': 4 << 20,
};

/** Makes it, of the module that is installed. */
export function grpc(module: GrpcModule): Contestant {
  return {
    serve: async ({ host, certificate, key }, accept) => {
      const server = new module.Server(OPTIONS);
      server.addService(METHODS, { flow: (call: Call) => accept(channelOf(call)) });
      const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
      const port = await new Promise<number>((resolve, reject) => {
        const credentials = module.ServerCredentials.createSsl(null, [pair]);
        server.bindAsync(`${host}:0`, credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
      });
      return { address: port };
    },
    connect: async ({ host, certificate }, address) => {
      const Client = module.makeGenericClientConstructor(METHODS, 'bench');
      const credentials = module.credentials.createSsl(Buffer.from(certificate));
      // The certificate names localhost.
      const options = { ...OPTIONS, 'grpc.ssl_target_name_override': 'localhost' };
      const client = new Client(`${host}:${address}`, credentials, options);
      return { open: async () => channelOf(client.flow()) };
    },
  };
}

function channelOf(call: Call): Channel {
  return duplexChannel(call, () => {
    if (call.cancel === undefined) call.end();
    else call.cancel();
  });
}
