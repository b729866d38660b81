/** MQTT through Mosquitto: quality of service 0, plaintext. */

import type { Contestant } from '../channel.ts';
import { broker } from './broker.ts';

/** What is used of mqtt. */
export interface MqttModule {
  connectAsync(url: string, options: object): Promise<MqttClient>;
}

interface MqttClient {
  publish(topic: string, bytes: Buffer, options: { qos: 0 }): unknown;
  subscribeAsync(topic: string, options: { qos: 0 }): Promise<unknown>;
  on(event: 'message', listener: (topic: string, bytes: Buffer) => void): unknown;
  endAsync(isForced: boolean): Promise<unknown>;
  readonly stream: { setNoDelay?(isOn: boolean): void };
}

/** Makes it, of the module that is installed. */
export function mqtt({ connectAsync }: MqttModule): Contestant {
  return broker(async ({ host, brokerPort }) => {
    const client = await connectAsync(`mqtt://${host}:${brokerPort}`, { reconnectPeriod: 0, protocolVersion: 4 });
    client.stream.setNoDelay?.(true);
    const handlers = new Map<string, (bytes: Uint8Array) => void>();
    client.on('message', (topic, bytes) => handlers.get(topic)?.(bytes));
    return {
      publish: (topic, bytes) => {
        client.publish(topic, bytes, { qos: 0 });
        return undefined;
      },
      subscribe: async (topic, handler) => {
        handlers.set(topic, handler);
        await client.subscribeAsync(topic, { qos: 0 });
      },
      close: () => client.endAsync(true),
    };
  });
}
