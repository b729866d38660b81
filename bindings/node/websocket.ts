/**
 * WebSockets that an agent opens. Node's own class does where it exists and nothing special is asked for; a pin, or a
 * process that may end meanwhile, needs the socket below, and so the package `ws`, which is loaded at first use.
 */
import type { IncomingMessage } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Host, WebSocketHandler, WebSocketLink, WebSocketTarget } from '../../src/carrier/host.ts';
import { connectStandardWebSocket, type StandardWebSocket } from '../../src/carrier/websocket.ts';
import { PilotError } from '../../src/errors.ts';
import { dialError, pinMismatch, tlsOptions, unreachable } from './links.ts';

/** What the class is to us. */
type StandardClass = new (url: string, protocol: string) => StandardWebSocket;

/** How a WebSocket is opened here. */
export interface WebSocketOptions {
  readonly setTimer: Host['setTimer'];
  readonly unref?: boolean;
  /** Node's own class; tests say that there is none. */
  readonly builtIn?: StandardClass | undefined;
}

/** Opens a WebSocket. */
export function connectWebSocket(
  target: WebSocketTarget,
  handler: WebSocketHandler,
  options: WebSocketOptions,
): WebSocketLink {
  const { builtIn, setTimer, unref = false } = options;
  if (builtIn !== undefined && target.pin === undefined && !unref) {
    return connectStandardWebSocket(target, handler, {
      setTimer,
      make: () => new builtIn(target.url, target.protocol),
    });
  }
  const dial = new Dial(target, unref);
  return connectStandardWebSocket(target, handler, {
    setTimer,
    make: () => dial.make(),
    explain: (event) => dial.explain(event),
    refuse: () => dial.refuse(),
    terminate: (socket) => (socket as StandardWebSocket & { terminate(): void }).terminate(),
    unref: () => dial.unref(),
  });
}

/** The class of this Node, from 22 on. */
export function builtInWebSocket(): StandardClass | undefined {
  return (globalThis as { WebSocket?: StandardClass }).WebSocket;
}

/** One dial with `ws`. */
class Dial {
  readonly #target: WebSocketTarget;
  readonly #where: string;
  #isUnref: boolean;
  #socket: Socket | undefined;
  #isSecured = false;

  constructor(target: WebSocketTarget, unref: boolean) {
    this.#target = target;
    this.#isUnref = unref;
    this.#where = new URL(target.url).host;
  }

  async make(): Promise<StandardWebSocket> {
    const { WebSocket } = await import('ws');
    const { url, protocol, maxMessageBytes } = this.#target;
    const socket = new WebSocket(url, protocol, {
      maxPayload: maxMessageBytes,
      perMessageDeflate: false,
      followRedirects: false,
      createConnection: ((_: unknown, done: (error: Error | null, socket?: Socket) => void) =>
        this.#connect(done)) as never,
    });
    socket.on('unexpected-response', (request, response) => request.destroy(refusal(this.#where, response)));
    return socket as unknown as StandardWebSocket;
  }

  explain(event: unknown): PilotError {
    const error = (event as { error?: unknown }).error ?? event;
    if (error instanceof PilotError) return error;
    return dialError(this.#where, error instanceof Error ? error : new Error(String(error)));
  }

  /** Runtimes that put something else in the place of `ws` may not have asked for our socket: a pin must not be lost so. */
  refuse(): PilotError | undefined {
    if (this.#target.pin === undefined || this.#isSecured) return undefined;
    return new PilotError('NOT_SUPPORTED', `Cannot pin ${this.#where}: this runtime does not show its certificate`, {
      hint: 'use a certificate that the system trusts, and a URL without #sha256=',
    });
  }

  unref(): void {
    this.#isUnref = true;
    this.#socket?.unref();
  }

  /** The request leaves only when the certificate is known to be right. */
  #connect(done: (error: Error | null, socket?: Socket) => void): undefined {
    const { hostname, port, protocol } = new URL(this.#target.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    const isSecure = protocol === 'wss:';
    const common = { host, port: Number(port) || (isSecure ? 443 : 80), noDelay: true };
    const { pin } = this.#target;
    const trust = pin === undefined ? { serverName: host } : { serverName: host, pin };
    const tls = isSecure ? connectTls({ ...common, ...tlsOptions(trust) }) : undefined;
    const socket = tls ?? connectTcp(common);
    this.#socket = socket;
    if (this.#isUnref) socket.unref();
    const fail = (error: Error): void => {
      if (this.#isSecured) return;
      this.#isSecured = true;
      socket.destroy();
      done(error);
    };
    socket.on('error', fail);
    socket.once('close', () => fail(unreachable(this.#where, 'the link was closed')));
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      const mismatch = tls === undefined || pin === undefined ? undefined : pinMismatch(this.#where, tls, pin);
      if (mismatch !== undefined) {
        fail(mismatch);
        return;
      }
      this.#isSecured = true;
      done(null, socket);
    });
    return undefined;
  }
}

function refusal(where: string, { statusCode = 0 }: IncomingMessage): PilotError {
  if (statusCode === 401 || statusCode === 403) {
    return new PilotError('REGISTRY_REFUSED', `Cannot use ${where}: it answers ${statusCode}`, {
      hint: 'a page needs its origin allowed there: --allow-origin',
    });
  }
  if (statusCode >= 500 || statusCode === 429) return unreachable(where, `it answers ${statusCode}`);
  return new PilotError('NOT_SUPPORTED', `Cannot use ${where}: it answers ${statusCode} instead of a WebSocket`, {
    hint: 'is that a rendezvous, and does the path reach it through the proxy?',
  });
}
