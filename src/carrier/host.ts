/**
 * What a runtime lends to the rest: clock, timers, randomness, sockets, files and public-key operations. Bindings
 * implement it for an operating system, the simulator for a virtual world. Nothing here knows the protocol.
 */
import type { Bytes, Millis } from '../config.ts';

/**
 * Everything the driver and the server need from a runtime. A runtime without sockets (a browser) implements `bindUdp`,
 * `connectLink` and `listenLink` by a rejection or an end with `NOT_SUPPORTED`: with the transport `websocket` an agent
 * uses none of them, nor `resolve`.
 */
export interface Host {
  /** For people and `stats.host`, such as `node 20.20.2 dgram`. */
  readonly runtime: string;
  /** Monotonic milliseconds, fractions allowed. */
  now(): Millis;
  /** Unix time in whole milliseconds. */
  unixNow(): Millis;
  /** Calls back once, not before `delayMs`, unless cancelled. A delay of 0 means: after the present turn of the event loop. */
  setTimer(delayMs: Millis, callback: () => void): Timer;
  /** Fills with cryptographically secure random bytes. */
  random(into: Uint8Array): void;
  /** An IP address of a host name; an address comes back as it is. Rejects with `PilotError` `NOT_FOUND`. */
  resolve(name: string): Promise<string>;
  /** Binds a UDP socket. Rejects with `PilotError`. */
  bindUdp(options: UdpOptions): Promise<UdpSocket>;
  /** Opens a reliable byte link (TCP or TLS). Failure arrives as `closed`. */
  connectLink(target: LinkTarget, handler: LinkHandler): Link;
  /** Opens a WebSocket (RFC 6455). Failure arrives as `closed`; nothing throws. */
  connectWebSocket(target: WebSocketTarget, handler: WebSocketHandler): WebSocketLink;
  /** Accepts links. Rejects with `PilotError` when the port cannot be bound. */
  listenLink(options: ListenOptions, accept: (link: Link, remote: HostPort) => LinkHandler): Promise<LinkServer>;
  readonly files: Files;
  readonly jobs: PublicKeyJobs;
}

/** A timer that is still to come. */
export interface Timer {
  cancel(): void;
  /** Lets the process end although this timer waits. */
  unref(): void;
}

/** An IP address in text form and a port. IPv4-mapped IPv6 is reduced to IPv4 by the Host. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where a UDP socket is bound, and who hears of it. */
export interface UdpOptions {
  /** Address to bind; omitted: all addresses, dual-stack where the runtime can. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port: number;
  readonly handler: UdpHandler;
}

/** What a UDP socket tells. */
export interface UdpHandler {
  /** `bytes` is borrowed until the call returns. */
  datagram(bytes: Uint8Array, from: HostPort): void;
  /** The datagrams told since the last call were all there are for now: the batch may be opened. See `tellsTurns`. */
  turn?(): void;
  /** The binding has done with the bytes of the `send` that carried `token`. */
  released(token: number): void;
  /** The network said that `to` cannot be reached (ICMP), or a send failed. Not fatal. */
  unreachable(to: HostPort | undefined): void;
}

/** A bound UDP socket. */
export interface UdpSocket {
  readonly local: HostPort;
  /** Whether the handler hears of the end of each batch, by `turn`. Omitted: it does not. */
  readonly tellsTurns?: boolean;
  /**
   * Sends one datagram. `bytes` is lent until `handler.released(token)`, which may come before this returns or turns
   * later. @param token - Non-negative; -1 says that nobody waits for it (the bytes were copied for this call).
   */
  send(bytes: Uint8Array, to: HostPort, token: number): void;
  /**
   * The largest datagram that leaves whole towards an address, as far as the runtime knows; whether the path carries it is
   * another question. Omitted: what Ethernet carries.
   */
  datagramBytes?(host: string): Bytes;
  /**
   * What `send` queued leaves now; the driver calls it when it has nothing more to send in this turn. Without the call it
   * leaves by itself, later in the turn.
   */
  flush?(): void;
  /** Lets the process end although this socket is open. */
  unref(): void;
  close(): void;
}

/** Where a link goes, and how far the other end is trusted. */
export interface LinkTarget extends HostPort {
  /** Omitted: plaintext. */
  readonly tls?: {
    readonly serverName: string;
    /** Lower-case hex SHA-256 of the leaf certificate's DER; omitted: the system's trust decides. */
    readonly pin?: string;
  };
}

/** What a link tells, in this order: `open`, any number of `data` and `drain`, `closed`. */
export interface LinkHandler {
  open(): void;
  /** `bytes` is borrowed until the call returns. */
  data(bytes: Uint8Array): void;
  /** The buffer that made `write` answer false is empty again. */
  drain(): void;
  /** Once, last. `error` is a `PilotError` when it was not an orderly end. */
  closed(error?: Error): void;
}

/** A reliable byte link. */
export interface Link {
  /** Copies or takes the bytes before it returns; false: more than 1 MiB waits, `drain` will follow. */
  write(bytes: Uint8Array): boolean;
  /** Ends in order, after what was written. */
  close(): void;
  /** Ends at once. */
  destroy(): void;
  unref(): void;
}

/** Where a WebSocket goes, and how far the other end is trusted. */
export interface WebSocketTarget {
  /** `ws://host:port/path` or `wss://host:port/path`, without a fragment. */
  readonly url: string;
  /** The subprotocol to offer. A server that chooses none is taken, too. */
  readonly protocol: string;
  /** A longer message closes the link with 1009. Browsers have no such bound: there it is checked on arrival. */
  readonly maxMessageBytes: number;
  /**
   * Lower-case hex SHA-256 of the leaf certificate's DER; omitted: the system's trust decides. A runtime that cannot
   * pin (a browser) fails with `NOT_SUPPORTED` instead of ignoring it.
   */
  readonly pin?: string;
}

/** What a WebSocket tells, in this order: `open`, any number of `message`, `closed`. */
export interface WebSocketHandler {
  open(): void;
  /** One whole message: text as a string, binary as bytes, which are borrowed until the call returns. */
  message(message: Uint8Array | string): void;
  /** Once, last; also after `close`, not after `destroy`. */
  closed(end: WebSocketEnd): void;
}

/** How a WebSocket ended. */
export interface WebSocketEnd {
  /** RFC 6455 §7.4; 1005: closed without one, 1006: never opened, or broken. */
  readonly code: number;
  /** What the other side said beside the code; at most 123 bytes, not to be trusted. */
  readonly reason: string;
  /**
   * A `PilotError` when it never opened, as far as the runtime knows: `RENDEZVOUS_UNREACHABLE`, `TLS_PIN_MISMATCH`,
   * `NOT_SUPPORTED` (the server answered, but with no WebSocket), `REGISTRY_REFUSED` (HTTP 401 or 403).
   */
  readonly error?: Error;
}

/** A WebSocket: whole messages, in order. Nothing is lost but by the end of the link. */
export interface WebSocketLink {
  /**
   * Bytes that were sent and that the network has not taken yet. A server's link adds up to `WAITING_MESSAGE_BYTES` for
   * each message. The caller bounds them: what is too much is not sent.
   */
  readonly bufferedBytes: number;
  /** Sends one message; bytes are copied or taken before it returns. Does nothing unless the link is open. */
  send(message: Uint8Array | string): void;
  /** Ends in order, after what was sent. @param code - 1000, or 3000 to 4999; default 1000. */
  close(code?: number, reason?: string): void;
  /** Ends at once. The handler hears nothing more. */
  destroy(): void;
  /** Lets the process end although this link is open. */
  unref(): void;
}

/** The server's end of a WebSocket; every code of RFC 6455 §7.4 may close it. */
export interface ServerWebSocketLink extends WebSocketLink {
  /** Asks for a sign of life; clients answer by themselves. */
  ping(): void;
}

/** What the server's end tells. */
export interface ServerWebSocketHandler extends WebSocketHandler {
  /** A sign of life: the answer to `ping`, or a ping of the client's own. */
  alive(): void;
}

/** Where links are accepted. */
export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** PEM. When given, a link whose first byte is 0x16 speaks TLS (1.3), any other stays plaintext. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /**
   * When given, a link whose first bytes are `GET ` is HTTP and goes here, in plaintext or inside TLS; `accept` never
   * hears of it. One request per link, with a deadline of its own; a header above 8 KiB is refused.
   */
  readonly web?: WebAcceptor;
}

/** Answers HTTP requests, each with a document or with a WebSocket. */
export interface WebAcceptor {
  /** Called once per request, when its header is complete. Must not throw. */
  request(request: WebRequest): WebAnswer;
}

/** The header of a request, as its sender wrote it: nothing in it is verified but `remote`. */
export interface WebRequest {
  /** The other end of the TCP connection. */
  readonly remote: HostPort;
  /** Path without query, such as `/v1/compat`. */
  readonly path: string;
  /** Whether it is a well-formed WebSocket handshake. */
  readonly isWebSocket: boolean;
  /** `Host`: where the sender thinks it is. */
  readonly host: string | undefined;
  /** `Origin`: the page that asks; browsers always tell, others need not. */
  readonly origin: string | undefined;
  /** `X-Forwarded-For`: what a proxy, or anybody, says of where the request came from. */
  readonly forwardedFor: string | undefined;
}

/** A text that GET is answered with, and the headers that go before it, `content-type` among them. */
export interface WebDocument {
  readonly text: string;
  readonly headers: { readonly [name: string]: string };
}

/** A document that ends the link, plain text unless its headers say otherwise; or the other end of a WebSocket. */
export type WebAnswer =
  | { readonly status: number; readonly text: string; readonly headers?: WebDocument['headers'] }
  | {
      /** A longer message closes the link with 1009. */
      readonly maxMessageBytes: number;
      /** Chosen when the client offers it. */
      readonly protocol: string;
      /** The link is open: `open` of the handler is called next. */
      readonly accept: (link: ServerWebSocketLink) => ServerWebSocketHandler;
    };

/** Accepts links until it is closed. */
export interface LinkServer {
  readonly local: HostPort;
  close(): Promise<void>;
}

/** Small files with secrets in them. Paths are the runtime's. */
export interface Files {
  /** Undefined when there is none. @throws PilotError `IDENTITY_INVALID` when `secret` and group or others may read it. */
  read(path: string, options?: { secret?: boolean }): Promise<Uint8Array | undefined>;
  /** Writes beside, syncs and renames; the file gets mode 0600, directories that it makes get 0700. */
  writeAtomic(path: string, bytes: Uint8Array): Promise<void>;
  /** Holds `path` for this process until the returned function is called. @throws PilotError `IDENTITY_IN_USE` */
  lock(path: string): Promise<() => Promise<void>>;
}

/** An answer now, or later (WebCrypto). */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Public-key operations. Private keys stay here, behind handles: small positive integers. Arguments are read before a
 * call returns, also where its answer comes by promise. Ed25519 is RFC 8032, X25519 RFC 7748, HKDF-SHA256 RFC 5869.
 */
export interface PublicKeyJobs {
  /** Imports a 32-byte Ed25519 seed; the caller wipes its copy. */
  importIdentity(seed: Uint8Array): MaybePromise<{ identity: number; publicKey: Uint8Array }>;
  /** @returns The 64-byte signature. */
  sign(identity: number, message: Uint8Array): MaybePromise<Uint8Array>;
  /** False also for malformed keys and signatures; never throws. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): MaybePromise<boolean>;
  /**
   * Makes an X25519 pair out of 32 random bytes; the caller wipes its copy. A runtime whose keys never are bytes (WebCrypto)
   * leaves them and takes its own.
   */
  createExchange(random: Uint8Array): MaybePromise<{ exchange: number; publicKey: Uint8Array }>;
  /**
   * X25519, then HKDF-SHA256 with empty salt and `info` (ASCII).
   * @returns 32 bytes, owned by the caller, who wipes them; undefined for a low-order or malformed key.
   */
  agree(exchange: number, peerPublicKey: Uint8Array, info: string): MaybePromise<Uint8Array | undefined>;
  /** Forgets a private key of either kind. */
  forget(handle: number): void;
}
