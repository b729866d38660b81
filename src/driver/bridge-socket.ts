/**
 * The WebSocket to the beacon on one side, the endpoint's bridge on the other. What an old link still says is not taken
 * for the present one's, and a link that does not empty is not filled further.
 */
import type { Host, WebSocketLink } from '../carrier/host.ts';
import type { Bytes } from '../config.ts';
import type { BridgeEnd } from '../core/bridge.ts';
import { PilotError } from '../errors.ts';
import { COMPAT_MESSAGE_BYTES, WEB_PATH, WEB_PROTOCOL } from '../wire/compat.ts';

/** Where the WebSockets of a rendezvous are. */
export interface WebRoad {
  /** `ws://host:port` or `wss://host:port`, perhaps with a path; the paths of WEB_PATH go behind it. */
  readonly base: string;
  /** As in `WebSocketTarget`. */
  readonly pin?: string;
}

/** What the link tells. */
export interface BridgeHandler {
  open(): void;
  text(text: string): void;
  /** Borrowed until the call returns. */
  bytes(bytes: Uint8Array): void;
  closed(end: BridgeEnd): void;
}

/** More is not put in front of a network that does not take it: there is a tail to drop, as on every line. */
const WAITING_BYTES: Bytes = 1_048_576;

/** One endpoint's link to the beacon. */
export class BridgeSocket {
  readonly #host: Host;
  readonly #road: WebRoad;
  readonly #handler: BridgeHandler;
  #link: WebSocketLink | undefined;
  #number = 0;

  constructor(host: Host, road: WebRoad, handler: BridgeHandler) {
    this.#host = host;
    this.#road = road;
    this.#handler = handler;
  }

  /** Begins to open a link; one that is there goes. */
  open(): void {
    this.close();
    const number = this.#number;
    const tell = (say: () => void): void => {
      if (number === this.#number) say();
    };
    const { base, pin } = this.#road;
    const target = { url: `${base}${WEB_PATH.beacon}`, protocol: WEB_PROTOCOL, maxMessageBytes: COMPAT_MESSAGE_BYTES };
    this.#link = this.#host.connectWebSocket(pin === undefined ? target : { ...target, pin }, {
      open: () => tell(() => this.#handler.open()),
      message: (message) =>
        tell(() => (typeof message === 'string' ? this.#handler.text(message) : this.#handler.bytes(message))),
      closed: ({ code, reason, error }) =>
        tell(() => {
          this.#link = undefined;
          this.#handler.closed({ code, reason, ...(error instanceof PilotError ? { error: error.code } : {}) });
        }),
    });
  }

  /** @returns False: it was not taken. @param message - Copied. */
  send(message: Uint8Array | string): boolean {
    const link = this.#link;
    if (link === undefined || link.bufferedBytes + message.length > WAITING_BYTES) return false;
    link.send(message);
    return true;
  }

  /** Ends the link; nothing more is heard of it. What was sent still goes out. */
  close(): void {
    this.#number += 1;
    this.#link?.close();
    this.#link = undefined;
  }
}
