// What most tests of the simulator need: a world with real keys, sockets that remember, links that remember.
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import type { HostPort, Link, LinkHandler, UdpSocket } from '../../src/carrier/host.ts';
import type { VirtualHost } from '../../src/testing/host.ts';
import { World, type WorldOptions } from '../../src/testing/world.ts';

export function world(options: Partial<WorldOptions> = {}): World {
  return new World({ seed: 1, jobs: createPublicKeyJobs(), ...options });
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** A UDP socket that remembers what came: `text from host:port`. */
export class Ear {
  readonly heard: string[] = [];
  readonly released: number[] = [];
  readonly refused: string[] = [];
  socket!: UdpSocket;

  static async on(host: VirtualHost, port = 0, address?: string): Promise<Ear> {
    const ear = new Ear();
    const handler = {
      datagram: (bytes: Uint8Array, from: HostPort) => {
        ear.heard.push(`${new TextDecoder().decode(bytes)} from ${from.host}:${from.port}`);
      },
      released: (token: number) => {
        ear.released.push(token);
      },
      unreachable: (to: HostPort | undefined) => {
        ear.refused.push(`${to?.host}:${to?.port}`);
      },
    };
    ear.socket = await host.bindUdp({ port, handler, ...(address === undefined ? {} : { host: address }) });
    return ear;
  }

  say(value: string, host: string, port: number): void {
    this.socket.send(text(value), { host, port }, -1);
  }

  /** What was heard since the last call. */
  take(): string[] {
    return this.heard.splice(0);
  }
}

/** One side of a link that remembers. */
export class Side implements LinkHandler {
  link!: Link;
  readonly chunks: number[] = [];
  readonly log: string[] = [];
  /** Text of all bytes. */
  text = '';
  error: unknown;

  open(): void {
    this.log.push('open');
  }

  data(bytes: Uint8Array): void {
    this.chunks.push(bytes.length);
    this.text += new TextDecoder('latin1').decode(bytes);
  }

  drain(): void {
    this.log.push('drain');
  }

  closed(error?: Error): void {
    this.error = error;
    this.log.push(error === undefined ? 'closed' : `closed ${(error as { code?: string }).code}`);
  }
}

/** Listens and keeps the sides that came. */
export async function listen(host: VirtualHost, port: number): Promise<{ sides: Side[]; remotes: HostPort[] }> {
  const sides: Side[] = [];
  const remotes: HostPort[] = [];
  await host.listenLink({ host: '0.0.0.0', port }, (link, remote) => {
    const side = new Side();
    side.link = link;
    sides.push(side);
    remotes.push(remote);
    return side;
  });
  return { sides, remotes };
}

export function dial(host: VirtualHost, target: string, port: number): Side {
  const side = new Side();
  side.link = host.connectLink({ host: target, port }, side);
  return side;
}
