/**
 * Peers that speak through a broker. Each channel has a connection of its own at either side, as two agents would, and two
 * topics. Brokers drop, or end who is slow; so the sender keeps at most 4 MB on the way, a window wide enough for each
 * of them to be as fast as it can.
 */
import { type Channel, type Contestant, Gate, type Place } from '../channel.ts';

/** A connection to a broker. */
export interface Bus {
  /** @returns What to wait for; undefined: nothing. */
  publish(topic: string, bytes: Buffer): Promise<unknown> | undefined;
  /** Resolves when the broker knows. The topic is one word. */
  subscribe(topic: string, handler: (bytes: Uint8Array) => void): Promise<void>;
  close(): Promise<unknown>;
}

const WINDOW_BYTES = 4 << 20;
const CREDIT_BYTES = 1 << 19;

/** Makes one of a way to connect. */
export function broker(connect: (place: Place) => Promise<Bus>): Contestant {
  return {
    serve: async (place, accept) => {
      const hello = `hello-${place.pair}`;
      const front = await connect(place);
      await front.subscribe(hello, (bytes) => {
        const id = Buffer.from(bytes).toString();
        void (async () => {
          const bus = await connect(place);
          accept(await channelOver(bus, { inbound: `up-${id}`, outbound: `down-${id}` }));
          await bus.publish(`down-${id}`, Buffer.from('!'));
        })();
      });
      return { address: hello };
    },
    connect: async (place, address) => {
      let opened = 0;
      return {
        open: async () => {
          const bus = await connect(place);
          const id = `${process.pid}-${place.pair}-${opened++}`;
          const channel = await channelOver(bus, { inbound: `down-${id}`, outbound: `up-${id}` });
          const welcome = new Promise<void>((resolve) => {
            channel.onData = () => resolve();
          });
          await bus.publish(String(address), Buffer.from(id));
          await welcome;
          return channel;
        },
      };
    },
  };
}

async function channelOver(bus: Bus, { inbound, outbound }: { inbound: string; outbound: string }): Promise<Channel> {
  const gate = new Gate();
  const credit = Buffer.alloc(4);
  let [sent, taken, owed] = [0, 0, 0];
  const channel: Channel = {
    send(bytes) {
      const published = bus.publish(outbound, bytes);
      sent += bytes.length;
      return sent - taken < WINDOW_BYTES ? (published as Promise<void> | undefined) : gate.wait();
    },
    onData: () => {},
    close: () => void bus.close(),
  };
  await bus.subscribe(`${outbound}-credit`, (bytes) => {
    taken += Buffer.from(bytes).readUInt32BE();
    gate.open();
  });
  await bus.subscribe(inbound, (bytes) => {
    owed += bytes.length;
    if (owed >= CREDIT_BYTES) {
      credit.writeUInt32BE(owed);
      owed = 0;
      void bus.publish(`${inbound}-credit`, Buffer.from(credit));
    }
    channel.onData(bytes);
  });
  return channel;
}
