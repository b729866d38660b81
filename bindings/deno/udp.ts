/**
 * UDP over Deno.listenDatagram, which Deno has with `--unstable-net`. A send reads the lent bytes until its promise
 * settles; only then the token goes back.
 */
import type { HostPort, UdpHandler, UdpOptions, UdpSocket } from '../../src/carrier/host.ts';
import { type BindTarget, bindError, bindFamilies, Destinations, reduceMapped, Senders } from '../node/addresses.ts';

/** More than a UDP datagram has. */
const RECEIVE_BYTES = 65_536;

/** What of Deno is used here. */
declare const Deno: {
  listenDatagram?(options: NetAddress): NativeSocket;
};

interface NetAddress {
  readonly transport: 'udp';
  readonly hostname: string;
  readonly port: number;
}

interface NativeSocket {
  readonly addr: NetAddress;
  /** The bytes come as a part of `into`. */
  receive(into: Uint8Array): Promise<[Uint8Array, NetAddress]>;
  send(bytes: Uint8Array, to: NetAddress): Promise<number>;
  unref(): void;
  close(): void;
}

/** Whether Deno was started with the flag. */
export function hasListenDatagram(): boolean {
  return Deno.listenDatagram !== undefined;
}

/**
 * Binds a UDP socket. Without a host: all addresses, of both families where the system can, else IPv4 alone.
 *
 * @throws PilotError `PORT_IN_USE`, `ADDRESS_INVALID`, `UNREACHABLE` or `BUSY`
 */
export async function bindUdp(options: UdpOptions, { unref }: { readonly unref: boolean }): Promise<UdpSocket> {
  return await bindFamilies(options, async ({ isIPv6, host, port }: BindTarget) => {
    try {
      const native = Deno.listenDatagram!({ transport: 'udp', hostname: host, port });
      const socket = new DenoUdpSocket(native, isIPv6, options.handler);
      if (unref) socket.unref();
      return socket;
    } catch (cause) {
      throw bindError(`UDP ${host} port ${port}`, cause);
    }
  });
}

class DenoUdpSocket implements UdpSocket {
  readonly local: HostPort;
  readonly #native: NativeSocket;
  readonly #handler: UdpHandler;
  readonly #senders: Senders = new Senders();
  readonly #destinations: Destinations;
  #isClosed = false;

  constructor(native: NativeSocket, isIPv6: boolean, handler: UdpHandler) {
    this.local = { host: reduceMapped(native.addr.hostname), port: native.addr.port };
    this.#native = native;
    this.#handler = handler;
    this.#destinations = new Destinations(isIPv6);
    void this.#receive();
  }

  send(bytes: Uint8Array, to: HostPort, token: number): void {
    const hostname = this.#isClosed ? undefined : this.#destinations.address(to);
    if (hostname === undefined) {
      this.#finish(token, to, true);
      return;
    }
    const lent = token < 0 ? Uint8Array.from(bytes) : bytes;
    this.#native.send(lent, { transport: 'udp', hostname, port: to.port }).then(
      () => this.#finish(token, to, false),
      () => this.#finish(token, to, true),
    );
  }

  unref(): void {
    this.#native.unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#native.close();
  }

  /** What the handler throws is nothing to catch: it ends the process, as an exception in an event would. */
  async #receive(): Promise<void> {
    const into = new Uint8Array(RECEIVE_BYTES);
    while (!this.#isClosed) {
      const received = await this.#native.receive(into).catch(() => undefined);
      if (this.#isClosed) return;
      if (received === undefined) {
        this.#handler.unreachable(undefined);
        continue;
      }
      const [bytes, from] = received;
      this.#handler.datagram(bytes, this.#senders.get(from.hostname, from.port));
    }
  }

  #finish(token: number, to: HostPort, isLost: boolean): void {
    if (isLost && !this.#isClosed) this.#handler.unreachable(to);
    if (token >= 0) this.#handler.released(token);
  }
}
