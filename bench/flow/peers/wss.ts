/** ws over TLS: one binary message each, nothing compressed, nothing masked twice. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type * as Ws from 'ws';
import type { WebSocket } from 'ws';
import { type Channel, type Contestant, Gate } from '../channel.ts';

/** May wait in the socket before the sender does. */
const WAITING_BYTES = 1 << 20;

/** Makes it, of the module that is installed. */
export function wss(ws: typeof Ws): Contestant {
  return {
    serve: async ({ host, certificate, key }, accept) => {
      const server = createServer({ cert: certificate, key });
      new ws.WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) =>
        accept(channelOf(socket)),
      );
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      return { address: (server.address() as AddressInfo).port };
    },
    connect: async ({ host }, address) => ({
      open: () =>
        new Promise((resolve, reject) => {
          const options = { rejectUnauthorized: false, perMessageDeflate: false };
          const socket = new ws.WebSocket(`wss://${host}:${address}`, options);
          socket.once('open', () => resolve(channelOf(socket)));
          socket.once('error', reject);
        }),
    }),
  };
}

function channelOf(socket: WebSocket): Channel {
  const gate = new Gate();
  const opened = (): void => gate.open();
  const channel: Channel = {
    send(bytes) {
      if (socket.bufferedAmount < WAITING_BYTES) {
        socket.send(bytes);
        return undefined;
      }
      socket.send(bytes, opened);
      return gate.wait();
    },
    onData: () => {},
    close: () => socket.terminate(),
  };
  socket.on('message', (data) => channel.onData(data as Buffer));
  socket.on('error', opened);
  return channel;
}
