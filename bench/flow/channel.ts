/**
 * What every contestant has to be: a server that accepts channels and a client that opens them. A channel is a way for
 * bytes in both directions; whether it keeps messages apart does not matter to what is sent over it.
 */

/** One way between the two processes. */
export interface Channel {
  /**
   * Sends bytes, in order and without loss unless the channel is `isLossy`. They must not change afterwards.
   *
   * @returns What to wait for before the next call; undefined: nothing.
   */
  send(bytes: Buffer): Promise<void> | undefined;
  /** Called with what arrives; borrowed until it returns. */
  onData: (bytes: Uint8Array) => void;
  /** Ends it at once. */
  close(): void;
  /** Nothing repeats what is lost. Default false. */
  readonly isLossy?: boolean;
}

/** Where a process is, and what it needs to know of the others. */
export interface Place {
  /** The server's address, which it listens on. */
  readonly host: string;
  /** Whether that is loopback. */
  readonly isLoopback: boolean;
  /** PEM, ECDSA P-256. */
  readonly certificate: string;
  readonly key: string;
  /** The port of the contestant's broker, where it has one. */
  readonly brokerPort: number;
  /** Which of several pairs this is: 0 for the first. */
  readonly pair: number;
  /** URL of ours; undefined: the server brings one. */
  readonly rendezvous?: string;
}

/** What a server tells its clients; JSON. */
export type ServiceAddress = string | number;

/** A server under way. */
export interface Service {
  readonly address: ServiceAddress;
  /** What it is, when only now that can be told, such as the engine that runs. */
  readonly facts?: string;
}

/** A client under way: keys exchanged where keys outlive a channel. */
export interface Client {
  /** Opens a channel; resolves when both ends have agreed on it. */
  open(): Promise<Channel>;
  /** As `open`, by somebody who was never in contact with the server. `prepare` is not part of it. */
  readonly cold?: { prepare(): Promise<void>; open(): Promise<Channel>; clean(): Promise<void> };
}

/** A way to do it: ours, or a peer's. Made in each of the two processes. */
export interface Contestant {
  serve(place: Place, accept: (channel: Channel) => void): Promise<Service>;
  connect(place: Place, address: ServiceAddress): Promise<Client>;
}

/** What is common to sockets of Node and what looks like one. */
export interface Duplex {
  write(bytes: Buffer): boolean;
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  on(event: 'drain', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** A channel over a stream of Node. */
export function duplexChannel(stream: Duplex, close: () => void): Channel {
  const gate = new Gate();
  const channel: Channel = {
    send: (bytes) => (stream.write(bytes) ? undefined : gate.wait()),
    onData: () => {},
    close,
  };
  stream.on('data', (bytes) => channel.onData(bytes));
  stream.on('drain', () => gate.open());
  // The one who waits for an answer says that none came.
  stream.on('error', () => gate.open());
  return channel;
}

/** Somebody waits until there is room again. */
export class Gate {
  #open: (() => void) | undefined;
  #promise: Promise<void> | undefined;

  wait(): Promise<void> {
    this.#promise ??= new Promise((resolve) => {
      this.#open = resolve;
    });
    return this.#promise;
  }

  open(): void {
    this.#open?.();
    this.#open = undefined;
    this.#promise = undefined;
  }
}
