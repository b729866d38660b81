/**
 * Puts a scripted peer on a Host: a real UDP socket or one of a virtual network, and a registry over a byte link with JSON
 * frames (CP 1.2).
 */
import type { Host, HostPort, Link, UdpSocket } from '../../src/carrier/host.ts';
import { emitJsonFrame, FrameReader, parseJson, type RegistryFields } from '../../src/wire/registry.ts';
import { type PeerOptions, ReferencePeer } from './peer.ts';
import type { RegistryAsk } from './peer-registry.ts';
import type { PeerTransport } from './peer-socket.ts';

const MAX_FRAME_BYTES = 4 * 1024 * 1024;
/** Nobody waits for the bytes: the peer never uses them again. */
const NO_TOKEN = -1;

/** How a peer gets onto a Host. */
export interface HostedOptions extends Omit<PeerOptions, 'transport' | 'registry' | 'unixNow'> {
  readonly host: Host;
  /** Omitted: all addresses, any port. */
  readonly bind?: { readonly host?: string; readonly port?: number };
  readonly registry?: HostPort;
}

/** A peer with its socket. */
export interface HostedPeer {
  readonly peer: ReferencePeer;
  readonly local: HostPort;
  /** Ends the peer and closes socket and link. */
  close(): void;
}

/** Binds a socket and puts a peer behind it. */
export async function hostPeer(options: HostedOptions): Promise<HostedPeer> {
  const { host, bind, registry, ...rest } = options;
  let peer: ReferencePeer | undefined;
  const socket: UdpSocket = await host.bindUdp({
    ...(bind?.host === undefined ? {} : { host: bind.host }),
    port: bind?.port ?? 0,
    handler: {
      datagram: (bytes, from) => peer?.handleDatagram(bytes, from),
      released: () => {},
      unreachable: () => {},
    },
  });
  const transport: PeerTransport = {
    now: () => host.now(),
    send: (bytes, to) => socket.send(bytes, to, NO_TOKEN),
    setTimer: (delayMs, callback) => host.setTimer(delayMs, callback),
  };
  const link = registry === undefined ? undefined : linkTo(host, registry);
  peer = new ReferencePeer({
    ...rest,
    transport,
    unixNow: () => host.unixNow(),
    ...(link === undefined ? {} : { registry: link.ask }),
  });
  const close = (): void => {
    peer?.close();
    socket.close();
    link?.close();
  };
  return { peer, local: socket.local, close };
}

/** A registry over a plaintext link: one answer per request, in order. A link that ends is opened again. */
export function linkTo(host: Host, registry: HostPort): { ask: RegistryAsk; close(): void } {
  let link: Link | undefined;
  let waiting: ((fields: RegistryFields) => void)[] = [];
  const open = (): Link => {
    const reader = new FrameReader(MAX_FRAME_BYTES);
    return host.connectLink(registry, {
      open: () => {},
      data: (bytes) => {
        reader.push(bytes);
        for (let body = reader.next(); body !== undefined; body = reader.next()) {
          waiting.shift()?.(parseJson(body) ?? {});
        }
      },
      drain: () => {},
      closed: () => {
        link = undefined;
        const lost = waiting;
        waiting = [];
        for (const answer of lost) answer({ type: 'error', error: 'connection lost' });
      },
    });
  };
  const ask: RegistryAsk = (request, answer) => {
    link ??= open();
    waiting.push(answer);
    link.write(emitJsonFrame(request));
  };
  return { ask, close: () => link?.destroy() };
}
