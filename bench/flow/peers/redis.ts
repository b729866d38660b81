/** Redis: publish and subscribe, plaintext. Who subscribes can do nothing else, so each end has two connections. */

import type { Contestant } from '../channel.ts';
import { broker } from './broker.ts';

/** What is used of redis. */
export interface RedisModule {
  createClient(options: object): RedisClient;
}

interface RedisClient {
  connect(): Promise<unknown>;
  publish(topic: string, bytes: Buffer): Promise<unknown>;
  subscribe(topic: string, handler: (bytes: Buffer) => void, isBuffer: true): Promise<void>;
  on(event: 'error', listener: () => void): unknown;
  destroy(): void;
}

/** Makes it, of the module that is installed. */
export function redis({ createClient }: RedisModule): Contestant {
  return broker(async ({ host, brokerPort }) => {
    const connected = async (): Promise<RedisClient> => {
      const client = createClient({ socket: { host, port: brokerPort, noDelay: true, reconnectStrategy: false } });
      client.on('error', () => {});
      await client.connect();
      return client;
    };
    const [publisher, subscriber] = [await connected(), await connected()];
    return {
      publish: (topic, bytes) => {
        // Its answer says how many subscribers there are; the window is kept by the channel.
        publisher.publish(topic, bytes).catch(() => {});
        return undefined;
      },
      subscribe: (topic, handler) => subscriber.subscribe(topic, handler, true),
      close: async () => {
        publisher.destroy();
        subscriber.destroy();
      },
    };
  });
}
