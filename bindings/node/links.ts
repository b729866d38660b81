/**
 * Reliable byte links over node:net and node:tls: the dialler with its pin, and the listener that serves plaintext
 * and TLS on one port by looking at the first byte (decision 13). It frames nothing and knows no message. Every
 * socket has an error handler from birth, a deadline until it is open and another once it shall end.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { connect as connectTcp, createServer, isIP, type Server, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  TLSSocket,
} from 'node:tls';
import type { HostPort, Link, LinkHandler, LinkServer, LinkTarget, ListenOptions } from '../../src/carrier/host.ts';
import { type Millis, TIMERS } from '../../src/config.ts';
import { PilotError } from '../../src/errors.ts';
import { bindError, reduceMapped } from './addresses.ts';
import type { WebServer } from './web.ts';

/** Until TCP and TLS stand, name look-up included. */
const DIAL_MS: Millis = 5_000;
/** From accept until the first byte came and, where it announces TLS, until the TLS handshake is done. */
const FIRST_BYTE_MS: Millis = 10_000;
const KEEP_ALIVE_MS: Millis = 60_000;
/** `write` answers false while more than this waits. */
const WAITING_BYTES = 1024 * 1024;
const MAX_LINKS = 10_000;
/** ContentType `handshake`, the first byte of every TLS connection (RFC 8446 §5.1). */
const TLS_FIRST_BYTE = 0x16;
const HTTP_GET: Buffer = Buffer.from('GET ');

/** Options of `connectLink` that only tests change. */
export interface DialOptions {
  readonly dialTimeoutMs?: Millis;
}

/** Options of `listenLink` beyond the contract. */
export interface ListenLimits {
  /** Sockets open at a time, those without a first byte included; one more is closed at once. Default 10 000. */
  readonly maxLinks?: number;
  /** Default 10 s. */
  readonly firstByteTimeoutMs?: Millis;
  /** Lets the process end although this server and its links are open. */
  readonly unref?: boolean;
}

/**
 * Opens a TCP or TLS link. Bytes written before `open` wait for it, so nothing reaches a server whose certificate has
 * not been checked. Failure arrives as `closed`: `RENDEZVOUS_UNREACHABLE` or `TLS_PIN_MISMATCH` before `open`,
 * `CONNECTION_RESET` or `CONNECTION_LOST` after it.
 */
export function connectLink(target: LinkTarget, handler: LinkHandler, options: DialOptions = {}): Link {
  const where = `${target.host}:${target.port}`;
  const dialTimeoutMs = options.dialTimeoutMs ?? DIAL_MS;
  const { host, port, tls } = target;
  const common = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
  const socket = tls === undefined ? connectTcp(common) : connectTls({ ...common, ...tlsOptions(tls) });
  const link = new SocketLink(socket, (error) => dialError(where, error));
  link.attach(handler);
  link.limit(dialTimeoutMs, () => unreachable(where, `no answer within ${dialTimeoutMs} ms`));
  socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
    const mismatch = tls?.pin === undefined ? undefined : pinMismatch(where, socket as TLSSocket, tls.pin);
    if (mismatch === undefined) link.open();
    else link.fail(mismatch);
  });
  return link;
}

/** How a certificate is judged. */
export function tlsOptions({ serverName, pin }: NonNullable<LinkTarget['tls']>): object {
  // RFC 6066 §3: an address is no server name.
  const name = isIP(serverName) === 0 ? { servername: serverName } : {};
  // CP 1.2: with a pin, chain and name mean nothing; the certificate itself is compared before anything is sent.
  if (pin !== undefined) return { ...name, rejectUnauthorized: false, minVersion: 'TLSv1.3' };
  return {
    ...name,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    checkServerIdentity: (_dialled: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
      checkServerIdentity(serverName, certificate),
  };
}

/** Undefined: the pinned certificate it is. */
export function pinMismatch(where: string, socket: TLSSocket, pin: string): PilotError | undefined {
  const certificate = socket.getPeerX509Certificate();
  const shown = certificate === undefined ? '' : createHash('sha256').update(certificate.raw).digest('hex');
  const [a, b] = [Buffer.from(shown), Buffer.from(pin)];
  if (shown !== '' && a.length === b.length && timingSafeEqual(a, b)) return undefined;
  return new PilotError('TLS_PIN_MISMATCH', `Cannot trust ${where}: its certificate is ${shown}, pinned is ${pin}`, {
    hint: 'if the server was set up anew, take the pinned URL that it prints; if not, somebody stands in between',
  });
}

/** What a dial failed of. */
export function dialError(where: string, cause: NodeJS.ErrnoException): PilotError {
  const code = cause.code ?? '';
  const isCertificate = /CERT|ISSUER|LEAF_SIGNATURE/.test(code);
  if (!isCertificate) return unreachable(where, code || cause.message, { cause });
  const hint = 'the system does not trust this certificate: pin it as pilots://host:port#sha256=…';
  return unreachable(where, code, { cause, hint });
}

/** A server that cannot be reached, and why. */
export function unreachable(where: string, fact: string, options: { cause?: unknown; hint?: string } = {}): PilotError {
  return new PilotError('RENDEZVOUS_UNREACHABLE', `Cannot reach ${where}: ${fact}`, options);
}

function lostError(cause: NodeJS.ErrnoException): PilotError {
  const isReset = cause.code === 'ECONNRESET' || cause.code === 'EPIPE';
  const code = isReset ? 'CONNECTION_RESET' : 'CONNECTION_LOST';
  return new PilotError(code, `Link ended: ${cause.code ?? cause.message}`, { cause });
}

/** One socket of either side: dialling → open → closing → closed, where any step may be left out. */
class SocketLink implements Link {
  readonly #socket: Socket;
  readonly #earlyError: (cause: NodeJS.ErrnoException) => PilotError;
  #handler: LinkHandler | undefined;
  #state: 'dialling' | 'open' | 'closing' | 'closed' = 'dialling';
  #isOpen = false;
  /** Written before `open`. */
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #isFull = false;
  #error: PilotError | undefined;
  #limit: NodeJS.Timeout | undefined;

  constructor(socket: Socket, earlyError: (cause: NodeJS.ErrnoException) => PilotError) {
    this.#socket = socket;
    this.#earlyError = earlyError;
    socket.on('error', (cause) => {
      // What a socket says after we destroyed it is no news.
      if (this.#state !== 'closed') this.#error ??= this.#isOpen ? lostError(cause) : this.#earlyError(cause);
    });
    socket.once('close', () => this.#finished());
  }

  get isClosing(): boolean {
    return this.#state === 'closing' || this.#state === 'closed';
  }

  attach(handler: LinkHandler): void {
    this.#handler = handler;
  }

  /** Ends the link, in error if `error` gives one, unless `limit` is called again or the link opens before. */
  limit(afterMs: Millis, error: () => PilotError | undefined): void {
    clearTimeout(this.#limit);
    // The socket keeps the process alive, or shall not; this timer has no say.
    this.#limit = setTimeout(() => this.fail(error()), afterMs).unref();
  }

  open(): void {
    if (this.#state === 'closed') return;
    this.#isOpen = true;
    const socket = this.#socket;
    socket.on('drain', () => this.#drained());
    // A peer that has ended but does not read must not hold the socket (nor what we still had to write).
    socket.once('end', () => this.#limitEnd());
    const isClosing = this.#state === 'closing';
    if (!isClosing) {
      clearTimeout(this.#limit);
      this.#state = 'open';
    }
    socket.cork();
    for (const bytes of this.#early) socket.write(bytes);
    socket.uncork();
    this.#early = [];
    this.#earlyBytes = 0;
    if (isClosing) {
      this.#limitEnd();
      socket.end();
    } else {
      this.#handler?.open();
    }
    socket.on('data', (bytes) => this.#handler?.data(bytes));
    // The listener paused it after the first byte.
    socket.resume();
  }

  fail(error: PilotError | undefined): void {
    if (this.#state === 'closed') return;
    this.#error ??= error;
    this.#state = 'closed';
    this.#socket.destroy();
  }

  write(bytes: Uint8Array): boolean {
    // True, because no drain will follow; closed does.
    if (this.isClosing) return true;
    // The socket keeps what the kernel does not take at once; the caller's bytes are borrowed.
    const copy = Buffer.from(bytes);
    if (this.#isOpen) {
      this.#socket.write(copy);
    } else {
      this.#early.push(copy);
      this.#earlyBytes += copy.length;
    }
    if (this.#earlyBytes + this.#socket.writableLength <= WAITING_BYTES) return true;
    this.#isFull = true;
    return false;
  }

  close(): void {
    if (this.isClosing) return;
    if (!this.#isOpen && this.#early.length === 0) {
      this.destroy();
      return;
    }
    this.#state = 'closing';
    // Before `open` the deadline of the dial goes on, and `open` sends what waits and then ends.
    if (!this.#isOpen) return;
    this.#limitEnd();
    this.#socket.end();
  }

  destroy(): void {
    this.#state = 'closed';
    this.#early = [];
    this.#socket.destroy();
  }

  unref(): void {
    this.#socket.unref();
  }

  /** A peer that never closes is let go in silence; one that did not take all we wrote is an error. */
  #limitEnd(): void {
    this.limit(TIMERS.closeMs, () => {
      if (this.#socket.writableLength === 0) return undefined;
      return new PilotError('CONNECTION_LOST', `Link ended: the other side did not read for ${TIMERS.closeMs} ms`);
    });
  }

  #drained(): void {
    if (!this.#isFull || this.isClosing) return;
    this.#isFull = false;
    this.#handler?.drain();
  }

  #finished(): void {
    clearTimeout(this.#limit);
    this.#state = 'closed';
    this.#early = [];
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.closed(this.#error);
  }
}

/**
 * Accepts links on one TCP port. A link is shown to `accept` when its first byte is there (and TLS stands, if that
 * byte announces it and `options.tls` is given), then gets `open`; silent sockets cost a descriptor for 10 s.
 *
 * @throws PilotError `PORT_IN_USE`, `NOT_FOUND`, `UNREACHABLE` or `BUSY`
 */
export async function listenLink(
  options: ListenOptions,
  accept: (link: Link, remote: HostPort) => LinkHandler,
  limits: ListenLimits = {},
): Promise<LinkServer> {
  const tls = options.tls;
  const context =
    tls && createSecureContext({ cert: tls.certificate, key: tls.key, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' });
  // An agent never listens, and so never loads HTTP.
  const web = options.web && (await (await import('./web.ts')).WebServer.open(options.web));
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
  await new Promise<void>((resolve, reject) => {
    const refuse = (cause: Error): void => reject(bindError(`TCP ${options.host} port ${options.port}`, cause));
    server.once('error', refuse);
    server.listen({ host: options.host, port: options.port, exclusive: true }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
  return new Listener(server, { accept, context, limits, web });
}

interface ListenerParts {
  readonly accept: (link: Link, remote: HostPort) => LinkHandler;
  readonly context: SecureContext | undefined;
  readonly limits: ListenLimits;
  readonly web: WebServer | undefined;
}

/** A socket that has not shown yet what it speaks. */
interface Guest {
  /** Below TLS, if there is any. */
  readonly raw: Socket;
  readonly remote: HostPort;
  readonly deadline: NodeJS.Timeout;
}

class Listener implements LinkServer {
  readonly local: HostPort;
  readonly #server: Server;
  readonly #parts: ListenerParts;
  /** Every socket of this port; the link once it has been accepted. */
  readonly #sockets = new Map<Socket, { readonly isClosing: boolean } | undefined>();
  #closed: Promise<void> | undefined;

  constructor(server: Server, parts: ListenerParts) {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new TypeError('Not a TCP server');
    this.local = { host: reduceMapped(address.address), port: address.port };
    this.#server = server;
    this.#parts = parts;
    server.on('connection', (socket) => this.#connected(socket));
    // A failed accept (too many open files) concerns one caller, not the server.
    server.on('error', () => {});
    if (parts.limits.unref) server.unref();
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      // Links that their owner is closing may finish; they have a deadline of their own.
      for (const [socket, link] of this.#sockets) if (!link?.isClosing) socket.destroy();
    });
    return this.#closed;
  }

  #connected(socket: Socket): void {
    const { limits, context } = this.#parts;
    socket.on('error', () => {});
    const host = socket.remoteAddress;
    if (host === undefined || this.#sockets.size >= (limits.maxLinks ?? MAX_LINKS)) {
      socket.destroy();
      return;
    }
    const remote: HostPort = { host: reduceMapped(host), port: socket.remotePort ?? 0 };
    if (limits.unref) socket.unref();
    this.#sockets.set(socket, undefined);
    const deadline = setTimeout(() => socket.destroy(), limits.firstByteTimeoutMs ?? FIRST_BYTE_MS).unref();
    socket.once('close', () => {
      clearTimeout(deadline);
      this.#sockets.delete(socket);
    });
    const guest: Guest = { raw: socket, remote, deadline };
    socket.once('data', (bytes) => {
      socket.pause();
      socket.unshift(bytes);
      if (context === undefined || bytes[0] !== TLS_FIRST_BYTE) {
        this.#sniff(socket, guest);
        return;
      }
      const secure = new TLSSocket(socket, { isServer: true, secureContext: context });
      secure.on('error', () => socket.destroy());
      secure.once('close', () => socket.destroy());
      secure.once('secure', () => {
        if (!secure.destroyed) this.#sniff(secure, guest);
      });
    });
  }

  /** Parts HTTP from the rest by the first bytes, which stay unread. @param head - What was read of them so far. */
  #sniff(socket: Socket, guest: Guest, head: Buffer = Buffer.alloc(0)): void {
    const { web } = this.#parts;
    if (web === undefined) {
      this.#accept(socket, guest);
      return;
    }
    socket.once('data', (bytes) => {
      socket.pause();
      const begun = Buffer.concat([head, bytes]);
      const isGet = HTTP_GET.subarray(0, begun.length).equals(begun.subarray(0, HTTP_GET.length));
      if (isGet && begun.length < HTTP_GET.length) {
        this.#sniff(socket, guest, begun);
        return;
      }
      socket.unshift(begun);
      if (!isGet) {
        this.#accept(socket, guest);
        return;
      }
      const { raw, remote, deadline } = guest;
      const upgraded = (link: { readonly isClosing: boolean }): void => {
        clearTimeout(deadline);
        this.#sockets.set(raw, link);
      };
      web.take(socket, { remote, upgraded });
    });
    socket.resume();
  }

  #accept(socket: Socket, { raw, remote, deadline }: Guest): void {
    clearTimeout(deadline);
    const link = new SocketLink(socket, lostError);
    this.#sockets.set(raw, link);
    link.attach(this.#parts.accept(link, remote));
    link.open();
  }
}
