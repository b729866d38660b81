/** NATS: core publish and subscribe, plaintext, as it is fastest. */

import type { Contestant } from '../channel.ts';
import { broker } from './broker.ts';

/** What is used of @nats-io/transport-node. */
export interface NatsModule {
  connect(options: object): Promise<Connection>;
}

interface Connection {
  publish(topic: string, bytes: Uint8Array): void;
  subscribe(topic: string, options: { callback: (error: unknown, message: { data: Uint8Array }) => void }): unknown;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Makes it, of the module that is installed. */
export function nats({ connect }: NatsModule): Contestant {
  return broker(async ({ host, brokerPort }) => {
    const connection = await connect({ servers: `${host}:${brokerPort}`, reconnect: false, noDelay: true });
    return {
      publish: (topic, bytes) => {
        connection.publish(topic, bytes);
        return undefined;
      },
      subscribe: async (topic, handler) => {
        connection.subscribe(topic, { callback: (_, { data }) => handler(data) });
        await connection.flush();
      },
      close: () => connection.close(),
    };
  });
}
