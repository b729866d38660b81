/** node:tls: what one would do without any of this. TLS 1.3 over TCP, a certificate that is not checked. */
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { type Channel, type Contestant, duplexChannel } from '../channel.ts';

/** Makes it. */
export function tls(): Contestant {
  return {
    serve: async ({ host, certificate, key }, accept) => {
      const server = createServer({ cert: certificate, key, noDelay: true }, (socket) => accept(channelOf(socket)));
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      return { address: (server.address() as AddressInfo).port };
    },
    connect: async ({ host }, address) => ({
      open: () =>
        new Promise((resolve, reject) => {
          const socket = connect({ host, port: Number(address), rejectUnauthorized: false }, () => {
            resolve(channelOf(socket));
          });
          socket.setNoDelay(true);
          socket.once('error', reject);
        }),
    }),
  };
}

function channelOf(socket: TLSSocket): Channel {
  return duplexChannel(socket, () => socket.destroy());
}
