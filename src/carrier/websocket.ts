/**
 * A `WebSocketLink` on the WebSocket class that browsers, Deno, Bun and newer Node have, and that the package `ws`
 * imitates. Only what all of them do is used, so bindings differ in how they make the object and read its errors.
 */
import { type Millis, TIMERS } from '../config.ts';
import { PilotError } from '../errors.ts';
import type {
  Host,
  MaybePromise,
  Timer,
  WebSocketEnd,
  WebSocketHandler,
  WebSocketLink,
  WebSocketTarget,
} from './host.ts';

/** The part of the class that is used, as WHATWG describes it. */
export interface StandardWebSocket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** What a binding adds. */
export interface StandardParts {
  readonly setTimer: Host['setTimer'];
  /** Makes the object, which begins to dial; may throw or reject, for example for a URL that the runtime refuses. */
  readonly make: () => MaybePromise<StandardWebSocket>;
  /** What an `error` event or a failure of `make` was; undefined: the runtime does not tell. */
  readonly explain?: (event: unknown) => PilotError | undefined;
  /** Looked at when the link opens, before anybody hears of it: a reason not to use it. */
  readonly refuse?: () => PilotError | undefined;
  /** Ends without the closing handshake, where the runtime can. */
  readonly terminate?: (socket: StandardWebSocket) => void;
  readonly unref?: () => void;
}

/** DP 4.11. */
const DIAL_MS: Millis = 20_000;
const NORMAL = 1000;
const TOO_BIG = 1009;
const BROKEN = 1006;
/** As long as RFC 6455 §5.5 lets a reason be, less the two bytes of the code. */
const REASON_BYTES = 123;

/** Opens a WebSocket with the class of the runtime. */
export function connectStandardWebSocket(
  target: WebSocketTarget,
  handler: WebSocketHandler,
  parts: StandardParts,
): WebSocketLink {
  return new StandardLink(target, handler, parts);
}

class StandardLink implements WebSocketLink {
  readonly #target: WebSocketTarget;
  readonly #parts: StandardParts;
  #handler: WebSocketHandler | undefined;
  #socket: StandardWebSocket | undefined;
  #isOpen = false;
  #error: PilotError | undefined;
  #limit: Timer;

  constructor(target: WebSocketTarget, handler: WebSocketHandler, parts: StandardParts) {
    this.#target = target;
    this.#handler = handler;
    this.#parts = parts;
    this.#limit = this.#end(DIAL_MS, () => this.#unreachable(`no answer within ${DIAL_MS} ms`));
    let made: MaybePromise<StandardWebSocket>;
    try {
      made = parts.make();
    } catch (cause) {
      this.#failLater(cause);
      return;
    }
    if (made instanceof Promise)
      made.then(
        (socket) => this.#attach(socket),
        (cause) => this.#failLater(cause),
      );
    else this.#attach(made);
  }

  get bufferedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  send(message: Uint8Array | string): void {
    // Runtimes copy before they return (WHATWG: "queue"), so views of Wasm memory may be passed as they are.
    if (this.#isOpen) this.#socket?.send(message as string | Uint8Array<ArrayBuffer>);
  }

  close(code: number = NORMAL, reason = ''): void {
    if (this.#handler === undefined) return;
    this.#isOpen = false;
    this.#limit.cancel();
    // A server that never answers the closing handshake would hold the link.
    this.#limit = this.#end(TIMERS.closeMs, () => undefined);
    this.#socket?.close(code, reason.slice(0, REASON_BYTES));
  }

  destroy(): void {
    this.#handler = undefined;
    this.#isOpen = false;
    this.#limit.cancel();
    if (this.#socket !== undefined) this.#terminate(this.#socket);
  }

  unref(): void {
    this.#limit.unref();
    this.#parts.unref?.();
  }

  #attach(socket: StandardWebSocket): void {
    if (this.#handler === undefined) {
      this.#terminate(socket);
      return;
    }
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.#error = this.#parts.refuse?.();
      if (this.#error !== undefined) {
        this.#finish({ code: BROKEN, reason: '' });
        return;
      }
      this.#limit.cancel();
      this.#isOpen = true;
      this.#handler?.open();
    };
    socket.onmessage = ({ data }: { data: string | ArrayBuffer }) => {
      const message = typeof data === 'string' ? data : new Uint8Array(data);
      // What is too long was read already where the runtime has no bound; it goes no further.
      if (message.length <= this.#target.maxMessageBytes) this.#handler?.message(message);
      else this.#finish({ code: TOO_BIG, reason: '' });
    };
    socket.onerror = (event: unknown) => {
      this.#error ??= this.#parts.explain?.(event);
      // WHATWG has `close` follow; a dial that fails in Node 22 is over without it.
      this.#parts.setTimer(0, () => this.#finish({ code: BROKEN, reason: '' }));
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.#finish({ code, reason });
  }

  #failLater(cause: unknown): void {
    this.#error = this.#parts.explain?.(cause) ?? this.#unreachable('the runtime refuses', cause);
    this.#parts.setTimer(0, () => this.#finish({ code: BROKEN, reason: '' }));
  }

  #finish(end: WebSocketEnd): void {
    const handler = this.#handler;
    const wasOpen = this.#isOpen;
    this.destroy();
    const isFailure = end.code === BROKEN && !wasOpen;
    const error = this.#error ?? (isFailure ? this.#unreachable('no WebSocket there') : undefined);
    handler?.closed(error === undefined ? end : { ...end, error });
  }

  #end(afterMs: Millis, error: () => PilotError | undefined): Timer {
    const timer = this.#parts.setTimer(afterMs, () => {
      this.#error ??= error();
      this.#finish({ code: BROKEN, reason: '' });
    });
    // The socket keeps the process, or shall not; this timer has no say.
    timer.unref();
    return timer;
  }

  #terminate(socket: StandardWebSocket): void {
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    // Some report the end of a dial that nobody waits for any more; unheard it would be thrown.
    socket.onerror = () => {};
    if (this.#parts.terminate !== undefined) this.#parts.terminate(socket);
    else socket.close();
  }

  #unreachable(fact: string, cause?: unknown): PilotError {
    return new PilotError('RENDEZVOUS_UNREACHABLE', `Cannot reach ${this.#target.url}: ${fact}`, { cause });
  }
}
