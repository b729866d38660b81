/**
 * UDP over node:dgram. Sent bytes are lent: the kernel may read them after the turn in which `send` was called, so a token
 * goes back only from the completion callback. node:dgram never asks Linux for ICMP errors of unconnected sockets; what
 * arrives here as `unreachable` are failed sends, and on other systems failed receives.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { HostPort, UdpHandler, UdpOptions, UdpSocket } from '../../src/carrier/host.ts';
import {
  type BindTarget,
  bindError,
  bindFamilies,
  Destinations,
  datagramBytes,
  reduceMapped,
  Senders,
} from './addresses.ts';

/** Bytes; the first size that the system grants. 4 MiB took loss from 22 % to 3 % where the receiver is slower. */
const RECEIVE_BUFFERS = [4 << 20, 2 << 20, 1 << 20] as const;
const SEND_BUFFERS = [1 << 20, 512 << 10] as const;

/** Where runtimes with Node's modules differ. */
export interface DgramOptions {
  /** Before it is bound, because Deno then no longer listens to it. Default false. */
  readonly unref?: boolean;
  /** Whether the system is asked for larger buffers. Default true. */
  readonly isSized?: boolean;
}

/** What `node:dgram` calls back with. */
type SendCallback = (error: Error | null) => void;

/**
 * Binds a UDP socket. Without a host: all addresses, of both families where the system can, else IPv4 alone.
 *
 * @throws PilotError `PORT_IN_USE`, `ADDRESS_INVALID`, `UNREACHABLE` or `BUSY`
 */
export async function bindUdp(options: UdpOptions, dgram: DgramOptions = {}): Promise<UdpSocket> {
  const { unref = false, isSized = true } = dgram;
  return await bindFamilies(options, async (target) => {
    const socket = await bind(target, unref);
    if (isSized) {
      firstGranted(RECEIVE_BUFFERS, (bytes) => socket.setRecvBufferSize(bytes));
      firstGranted(SEND_BUFFERS, (bytes) => socket.setSendBufferSize(bytes));
    }
    return new NodeUdpSocket(socket, target.isIPv6, options.handler);
  });
}

function bind({ isIPv6, host, port }: BindTarget, unref: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: isIPv6 ? 'udp6' : 'udp4',
      // Destinations are literal. dgram's own lookup answers a turn later, and the datagram would leave with it.
      lookup: (address, _options, callback) => callback(null, address, isIPv6 ? 6 : 4),
    });
    if (unref) socket.unref();
    const refuse = (error: unknown): void => {
      socket.close();
      reject(bindError(`UDP ${host} port ${port}`, error));
    };
    socket.once('error', refuse);
    try {
      socket.bind({ address: host, port, exclusive: true }, () => {
        socket.off('error', refuse);
        resolve(socket);
      });
    } catch (error) {
      refuse(error);
    }
  });
}

/** One token's loan. Made once per token, so that a send allocates no closure. */
class Loan {
  readonly done: SendCallback;
  to: HostPort | undefined;

  constructor(token: number, finish: (token: number, to: HostPort | undefined, error: Error | null) => void) {
    this.done = (error) => finish(token, this.to, error);
  }
}

class NodeUdpSocket implements UdpSocket {
  readonly local: HostPort;
  readonly #socket: Socket;
  readonly #handler: UdpHandler;
  readonly #loans = new Map<number, Loan>();
  readonly #senders: Senders = new Senders();
  readonly #destinations: Destinations;
  #isClosed = false;

  constructor(socket: Socket, isIPv6: boolean, handler: UdpHandler) {
    const { address, port } = socket.address();
    this.local = { host: reduceMapped(address), port };
    this.#socket = socket;
    this.#destinations = new Destinations(isIPv6);
    this.#handler = handler;
    socket.on('message', (bytes, from) => {
      if (!this.#isClosed) handler.datagram(bytes, this.#senders.get(from.address, from.port));
    });
    socket.on('error', () => {
      if (!this.#isClosed) handler.unreachable(undefined);
    });
  }

  send(bytes: Uint8Array, to: HostPort, token: number): void {
    const address = this.#isClosed ? undefined : this.#destinations.address(to);
    if (address === undefined) {
      this.#finish(token, to, REFUSED);
      return;
    }
    try {
      if (token < 0) {
        // Nobody holds these bytes back, and libuv may keep them past this turn.
        this.#socket.send(Buffer.from(bytes), to.port, address, (error) => this.#finish(token, to, error));
        return;
      }
      const loan = this.#loan(token);
      loan.to = to;
      this.#socket.send(bytes, to.port, address, loan.done);
    } catch (error) {
      // dgram throws before it takes the bytes, or calls back; never both.
      this.#finish(token, to, error as Error);
    }
  }

  datagramBytes(host: string): number {
    return datagramBytes(host);
  }

  unref(): void {
    this.#socket.unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Datagrams still queued in libuv call back with ECANCELED, which releases them.
    this.#socket.close();
  }

  readonly #finish = (token: number, to: HostPort | undefined, error: Error | null): void => {
    if (error && !this.#isClosed) this.#handler.unreachable(to);
    if (token >= 0) this.#handler.released(token);
  };

  #loan(token: number): Loan {
    let loan = this.#loans.get(token);
    if (loan === undefined) {
      loan = new Loan(token, this.#finish);
      this.#loans.set(token, loan);
    }
    return loan;
  }
}

/** Stands for a datagram that never got as far as the socket. */
const REFUSED: Error = new Error('No such destination for this socket');

function firstGranted(sizes: readonly number[], request: (bytes: number) => void): void {
  for (const size of sizes) {
    try {
      request(size);
      return;
    } catch {
      // Linux caps silently, BSD and macOS refuse; the default works too.
    }
  }
}
