/**
 * HTTP on sockets that the listener handed over: a document, or the upgrade to a WebSocket. node:http reads the header,
 * the package `ws` does the rest; what is answered is the acceptor's. Loaded by servers only.
 */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import type {
  HostPort,
  ServerWebSocketHandler,
  ServerWebSocketLink,
  WebAcceptor,
  WebRequest,
} from '../../src/carrier/host.ts';
import { TIMERS, WAITING_MESSAGE_BYTES } from '../../src/config.ts';

const HEADER_BYTES = 8_192;
/** Frames of one message. Browsers and proxies make few: of the longest message, 1 KiB each. */
const MAX_PARTS = 256;
/** RFC 6455 §5.2. */
const HEADER_MAX_BYTES = 14;
const NORMAL = 1000;
const WANTED = { status: 426, text: 'WebSocket wanted' } as const;

/** Who is behind a socket, and whom to tell that it carries a WebSocket now. */
interface Guest {
  readonly remote: HostPort;
  readonly upgraded: (link: ServerSocket) => void;
}

/** The HTTP half of one listening port. */
export class WebServer {
  readonly #acceptor: WebAcceptor;
  readonly #package: typeof import('ws');
  readonly #http: Server;
  readonly #guests = new WeakMap<Duplex, Guest>();
  /** By the longest message, for that is a property of the server there. */
  readonly #servers = new Map<number, WebSocketServer>();

  private constructor(acceptor: WebAcceptor, ws: typeof import('ws')) {
    this.#acceptor = acceptor;
    this.#package = ws;
    this.#http = createServer({ maxHeaderSize: HEADER_BYTES }, (request, response) => {
      const answer = this.#acceptor.request(this.#read(request, false));
      const { status, text, headers } = 'status' in answer ? answer : { ...WANTED, headers: undefined };
      const upgrade = status === 426 ? { upgrade: 'websocket', connection: 'upgrade, close' } : { connection: 'close' };
      const body = Buffer.from(`${text}\n`);
      const described = { 'content-type': 'text/plain', ...headers, 'content-length': body.length };
      response.writeHead(status, { ...described, ...upgrade });
      response.end(body);
    });
    this.#http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrade(request, socket, head);
    });
  }

  /** Loads what it needs. */
  static async open(acceptor: WebAcceptor): Promise<WebServer> {
    return new WebServer(acceptor, await import('ws'));
  }

  /** Takes a socket whose first bytes are unread. Its owner keeps the deadline, until `upgraded` is called. */
  take(socket: Socket, guest: Guest): void {
    this.#guests.set(socket, guest);
    this.#http.emit('connection', socket);
    socket.resume();
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket';
    const answer = this.#acceptor.request(this.#read(request, isWebSocket));
    if ('status' in answer || !isWebSocket) {
      const { status, text } = 'status' in answer ? answer : WANTED;
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n\r\n${text}\n`);
      return;
    }
    const guest = this.#guests.get(socket);
    this.#serverOf(answer.maxMessageBytes, answer.protocol).handleUpgrade(request, socket, head, (webSocket) => {
      const link = new ServerSocket(webSocket);
      guest?.upgraded(link);
      link.start(answer.accept(link));
    });
  }

  #read({ url = '', headers, socket }: IncomingMessage, isWebSocket: boolean): WebRequest {
    const forwarded = headers['x-forwarded-for'];
    return {
      remote: this.#guests.get(socket)?.remote ?? { host: '', port: 0 },
      path: url.split('?', 1)[0] ?? '',
      isWebSocket,
      host: headers.host,
      origin: headers.origin,
      forwardedFor: Array.isArray(forwarded) ? forwarded.join(', ') : forwarded,
    };
  }

  #serverOf(maxPayload: number, protocol: string): WebSocketServer {
    let server = this.#servers.get(maxPayload);
    if (server === undefined) {
      server = new this.#package.WebSocketServer({
        noServer: true,
        clientTracking: false,
        perMessageDeflate: false,
        maxPayload,
        // A part keeps what it was read with, 64 KiB at most: so many small ones must not stand for one message.
        maxFragments: MAX_PARTS,
        maxBufferedChunks: MAX_PARTS * 4,
        handleProtocols: (offered) => (offered.has(protocol) ? protocol : false),
      });
      this.#servers.set(maxPayload, server);
    }
    return server;
  }
}

/** The server's end of one WebSocket. */
export class ServerSocket implements ServerWebSocketLink {
  readonly #socket: WebSocket;
  #handler: ServerWebSocketHandler | undefined;
  #isClosing = false;
  #limit: NodeJS.Timeout | undefined;
  #waitingMessages = 0;
  readonly #taken = (): void => {
    this.#waitingMessages -= 1;
  };

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('error', () => {});
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  get bufferedBytes(): number {
    // The bytes of short messages are the smallest part of what they cost. Its header is in both.
    return this.#socket.bufferedAmount + this.#waitingMessages * (WAITING_MESSAGE_BYTES - HEADER_MAX_BYTES);
  }

  start(handler: ServerWebSocketHandler): void {
    const socket = this.#socket;
    this.#handler = handler;
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (this.#isClosing) return;
      // A Buffer would not do: its slice() copies nothing.
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
      this.#handler?.message(isBinary ? bytes : data.toString());
    });
    socket.on('ping', () => this.#handler?.alive());
    socket.on('pong', () => this.#handler?.alive());
    socket.once('close', (code: number, reason: Buffer) => {
      clearTimeout(this.#limit);
      this.#isClosing = true;
      this.#handler?.closed({ code, reason: reason.toString() });
      this.#handler = undefined;
    });
    handler.open();
  }

  send(message: Uint8Array | string): void {
    // The socket keeps what the kernel does not take at once; the caller's bytes are borrowed.
    if (this.#isClosing) return;
    this.#waitingMessages += 1;
    this.#socket.send(typeof message === 'string' ? message : Buffer.from(message), this.#taken);
  }

  ping(): void {
    if (!this.#isClosing) this.#socket.ping();
  }

  close(code: number = NORMAL, reason = ''): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#socket.close(code, reason);
    this.#limit = setTimeout(() => this.#socket.terminate(), TIMERS.closeMs).unref();
  }

  destroy(): void {
    this.#handler = undefined;
    this.#isClosing = true;
    this.#socket.terminate();
  }

  unref(): void {
    (this.#socket as WebSocket & { _socket?: Socket })._socket?.unref();
  }
}
