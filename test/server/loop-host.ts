// A Host inside one process: sockets are calls, time stands still until `elapse`.
import type {
  Host,
  HostPort,
  Link,
  LinkHandler,
  LinkServer,
  ListenOptions,
  Timer,
  UdpHandler,
  UdpOptions,
  UdpSocket,
} from '../../src/carrier/host.ts';
import { PilotError } from '../../src/errors.ts';
import { RECORDED_MS, verifyEd25519 } from './rig.ts';

/** What a test's client has of a link. */
export interface Client {
  send(bytes: Uint8Array): void;
  readonly received: Uint8Array[];
  readonly isClosed: boolean;
  /** Makes the server's writes say that the buffer is full. */
  isFull: boolean;
  drain(): void;
  end(): void;
}

export class LoopHost {
  now = 0;
  readonly isSlow: boolean;
  /** Ports that are taken, by `tcp` or `udp` and number. */
  readonly taken = new Set<string>();
  readonly sent: { to: HostPort; bytes: string }[] = [];
  /** Buffers lent to the UDP socket; released by `release`. */
  readonly lent: { bytes: Uint8Array; token: number }[] = [];
  isUdpClosed = false;
  #nextPort = 20_000;
  #timers: { at: number; callback: () => void }[] = [];
  #accept: ((link: Link, remote: HostPort) => LinkHandler) | undefined;
  #udp: UdpHandler | undefined;

  /** Public-key jobs answer at once, or by promise. */
  constructor(isSlow = false) {
    this.isSlow = isSlow;
  }

  get host(): Host {
    return {
      runtime: 'loop',
      now: () => this.now,
      unixNow: () => RECORDED_MS + this.now,
      setTimer: (delayMs: number, callback: () => void) => this.#timer(delayMs, callback),
      listenLink: async (options: ListenOptions, accept: (link: Link, remote: HostPort) => LinkHandler) =>
        this.#listen(options, accept),
      bindUdp: async (options: UdpOptions) => this.#bind(options),
      jobs: {
        verify: (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => {
          const isValid = verifyEd25519(key, message, signature);
          return this.isSlow ? Promise.resolve(isValid) : isValid;
        },
      },
    } as unknown as Host;
  }

  connect(remote: HostPort = { host: '127.0.0.1', port: 50_000 }): Client {
    const client = { received: [] as Uint8Array[], isClosed: false, isFull: false };
    const link: Link = {
      write: (bytes) => {
        client.received.push(bytes.slice());
        return !client.isFull;
      },
      close: () => {
        client.isClosed = true;
      },
      destroy: () => {
        client.isClosed = true;
      },
      unref() {},
    };
    const handler = this.#accept!(link, remote);
    handler.open();
    return Object.assign(client, {
      send: (bytes: Uint8Array) => handler.data(bytes),
      drain: () => handler.drain(),
      end: () => handler.closed(),
    });
  }

  /** A datagram arrives. */
  datagram(bytes: Uint8Array, from: HostPort): void {
    this.#udp?.datagram(bytes, from);
  }

  release(): void {
    for (const { token } of this.lent.splice(0)) this.#udp?.released(token);
  }

  elapse(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      this.#timers.sort((x, y) => x.at - y.at);
      const next = this.#timers[0];
      if (next === undefined || next.at > until) break;
      this.#timers.shift();
      this.now = Math.max(this.now, next.at);
      next.callback();
    }
    this.now = until;
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  #timer(delayMs: number, callback: () => void): Timer {
    const timer = { at: this.now + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
      unref() {},
    };
  }

  #take(kind: string, wanted: number): number {
    const port = wanted === 0 ? this.#nextPort++ : wanted;
    if (this.taken.has(`${kind} ${port}`)) throw new PilotError('PORT_IN_USE', `Cannot bind ${kind} ${port}: in use`);
    this.taken.add(`${kind} ${port}`);
    return port;
  }

  #listen(options: ListenOptions, accept: (link: Link, remote: HostPort) => LinkHandler): LinkServer {
    const port = this.#take('tcp', options.port);
    this.#accept = accept;
    return {
      local: { host: options.host, port },
      close: async () => {
        this.taken.delete(`tcp ${port}`);
      },
    };
  }

  #bind(options: UdpOptions): UdpSocket {
    const port = this.#take('udp', options.port);
    this.#udp = options.handler;
    return {
      local: { host: options.host ?? '::', port },
      send: (bytes, to, token) => {
        this.sent.push({ to, bytes: Buffer.from(bytes).toString('hex') });
        if (token >= 0) this.lent.push({ bytes, token });
      },
      unref() {},
      close: () => {
        this.isUdpClosed = true;
        this.taken.delete(`udp ${port}`);
      },
    };
  }
}
