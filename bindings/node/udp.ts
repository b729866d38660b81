/**
 * UDP over node:dgram. One socket serves both IP families where it can; IPv4-mapped addresses exist only between here
 * and the kernel. Sent bytes are lent: the kernel may read them after the turn in which `send` was called, so a token
 * goes back only from the completion callback. node:dgram never asks Linux for ICMP errors of unconnected sockets;
 * what arrives here as `unreachable` are failed sends, and on other systems failed receives.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import type { HostPort, UdpHandler, UdpOptions, UdpSocket } from '../../src/carrier/host.ts';
import { type ErrorCode, PilotError } from '../../src/errors.ts';

/** Bytes; the first size that the system grants. 4 MiB took loss from 22 % to 3 % where the receiver is slower. */
const RECEIVE_BUFFERS = [4 << 20, 2 << 20, 1 << 20] as const;
const SEND_BUFFERS = [1 << 20, 512 << 10] as const;
/** Senders remembered, direct-mapped by port; a power of two. */
const SENDERS = 1024;
/** Destinations remembered in the kernel's form; forgotten all at once. */
const DESTINATIONS = 4096;
const MAPPED = '::ffff:';

/** What `node:dgram` calls back with. */
type SendCallback = (error: Error | null) => void;

/** Reduces an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) to IPv4; anything else stays as it is. */
export function reduceMapped(address: string): string {
  return address.startsWith(MAPPED) && address.includes('.') ? address.slice(MAPPED.length) : address;
}

/** Says in our words why a socket could not be bound or listened on. */
export function bindError(where: string, cause: unknown): PilotError {
  const reason = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown reason';
  const [code, fact] = BIND_FAILURES[reason] ?? ['UNREACHABLE', reason];
  return new PilotError(code, `Cannot bind ${where}: ${fact}`, { cause });
}

const BIND_FAILURES: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EADDRINUSE: ['PORT_IN_USE', 'another socket has that port'],
  EACCES: ['UNREACHABLE', 'the system forbids that port'],
  EADDRNOTAVAIL: ['UNREACHABLE', 'this machine does not have that address'],
  ENOTFOUND: ['NOT_FOUND', 'no such host name'],
  EMFILE: ['BUSY', 'too many open files'],
  ENFILE: ['BUSY', 'too many open files'],
};

/**
 * Binds a UDP socket. Without a host: all addresses, of both families where the system can, else IPv4 alone.
 *
 * @throws PilotError `PORT_IN_USE`, `ADDRESS_INVALID`, `UNREACHABLE` or `BUSY`
 */
export async function bindUdp(options: UdpOptions): Promise<UdpSocket> {
  const { host, port, handler } = options;
  if (host !== undefined) {
    const version = isIP(host);
    if (version === 0) throw new PilotError('ADDRESS_INVALID', `Cannot bind ${host}: not an IP address`);
    return await bind(version === 6, host, port, handler);
  }
  if (!isDualStack()) return await bind(false, '0.0.0.0', port, handler);
  try {
    return await bind(true, '::', port, handler);
  } catch (error) {
    // A port that is taken for one family is taken; only a missing IPv6 is a reason to go on with IPv4.
    if ((error as PilotError).code === 'PORT_IN_USE') throw error;
    return await bind(false, '0.0.0.0', port, handler);
  }
}

function isDualStack(): boolean {
  if (process.platform === 'openbsd') return false;
  if (process.platform !== 'linux') return true;
  try {
    // libuv leaves IPV6_V6ONLY at the system's default.
    return readFileSync('/proc/sys/net/ipv6/bindv6only', 'latin1').trim() !== '1';
  } catch {
    return false;
  }
}

function bind(isIPv6: boolean, host: string, port: number, handler: UdpHandler): Promise<UdpSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: isIPv6 ? 'udp6' : 'udp4',
      // Destinations are literal. dgram's own lookup answers a turn later, and the datagram would leave with it.
      lookup: (address, _options, callback) => callback(null, address, isIPv6 ? 6 : 4),
    });
    const refuse = (error: unknown): void => {
      socket.close();
      reject(bindError(`UDP ${host} port ${port}`, error));
    };
    socket.once('error', refuse);
    try {
      socket.bind({ address: host, port, exclusive: true }, () => {
        socket.off('error', refuse);
        resolve(new NodeUdpSocket(socket, isIPv6, handler));
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

/** A sender, kept so that a datagram from it makes no object of ours. */
class Sender implements HostPort {
  readonly host: string;
  readonly port: number;
  /** As the kernel wrote it. */
  readonly address: string;

  constructor(address: string, port: number) {
    this.host = reduceMapped(address);
    this.port = port;
    this.address = address;
  }
}

class NodeUdpSocket implements UdpSocket {
  readonly local: HostPort;
  readonly #socket: Socket;
  readonly #isIPv6: boolean;
  readonly #handler: UdpHandler;
  readonly #loans = new Map<number, Loan>();
  readonly #senders: (Sender | undefined)[] = new Array(SENDERS).fill(undefined);
  readonly #destinations = new Map<string, string>();
  #isClosed = false;

  constructor(socket: Socket, isIPv6: boolean, handler: UdpHandler) {
    const { address, port } = socket.address();
    this.local = { host: reduceMapped(address), port };
    this.#socket = socket;
    this.#isIPv6 = isIPv6;
    this.#handler = handler;
    firstGranted(RECEIVE_BUFFERS, (bytes) => socket.setRecvBufferSize(bytes));
    firstGranted(SEND_BUFFERS, (bytes) => socket.setSendBufferSize(bytes));
    socket.on('message', (bytes, from) => {
      if (!this.#isClosed) handler.datagram(bytes, this.#sender(from));
    });
    socket.on('error', () => {
      if (!this.#isClosed) handler.unreachable(undefined);
    });
  }

  send(bytes: Uint8Array, to: HostPort, token: number): void {
    const address = this.#isClosed ? undefined : this.#kernelAddress(to.host);
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

  #sender(from: RemoteInfo): HostPort {
    const at = from.port & (SENDERS - 1);
    const known = this.#senders[at];
    if (known !== undefined && known.port === from.port && known.address === from.address) return known;
    const sender = new Sender(from.address, from.port);
    this.#senders[at] = sender;
    return sender;
  }

  /** The form that this socket's family takes; undefined when it can reach no such address. */
  #kernelAddress(host: string): string | undefined {
    const known = this.#destinations.get(host);
    if (known !== undefined) return known;
    const version = isIP(host);
    if (version === 0 || (version === 6 && !this.#isIPv6)) return undefined;
    // An IPv6 socket takes IPv4 destinations only in mapped form; plain ones fail with EINVAL.
    const address = this.#isIPv6 && isIPv4(host) ? MAPPED + host : host;
    if (this.#destinations.size >= DESTINATIONS) this.#destinations.clear();
    this.#destinations.set(host, address);
    return address;
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
