/**
 * WebSockets between machines: whole messages over a virtual link. Only what applications see of them is like the real
 * ones; between the two sides is a small framing of this file, behind the same first bytes as HTTP.
 *
 *   "GET "                      what the server looks for
 *   u32 length ‖ kind ‖ body    frames in both directions; the first ones are request and answer, as JSON
 */
import type {
  HostPort,
  Link,
  LinkHandler,
  ServerWebSocketHandler,
  ServerWebSocketLink,
  WebAcceptor,
  WebSocketEnd,
  WebSocketHandler,
  WebSocketTarget,
} from '../carrier/host.ts';
import type { Bytes } from '../config.ts';
import { PilotError } from '../errors.ts';
import { FrameReader, frame } from '../wire/registry.ts';
import type { VirtualLink } from './link.ts';

const GET: Uint8Array = Uint8Array.of(0x47, 0x45, 0x54, 0x20);
const KIND = { request: 0, answer: 1, text: 2, binary: 3, ping: 4, pong: 5, close: 6 } as const;
const SWITCHING = 101;
const NORMAL = 1000;
const TOO_BIG = 1009;
const NO_CODE = 1005;
const BROKEN = 1006;
/** The real ones refuse longer headers. */
const HEADER_BYTES: Bytes = 8_192;
const ENCODER: TextEncoder = new TextEncoder();
const DECODER: TextDecoder = new TextDecoder();

/** What the first frames carry. */
interface Request {
  readonly path: string;
  readonly host: string;
}

/** Begins a WebSocket. @param dial - Opens the link below it. */
export function dialWebSocket(
  target: WebSocketTarget,
  handler: WebSocketHandler,
  dial: (handler: LinkHandler) => VirtualLink,
): ServerWebSocketLink {
  const { pathname: path, host } = new URL(target.url);
  const side = new Side(target.maxMessageBytes, { ...handlerOf(handler), alive() {} });
  const link = dial({
    open: () => {
      link.write(GET);
      side.emit(KIND.request, ENCODER.encode(JSON.stringify({ path, host } satisfies Request)));
    },
    data: (bytes) => side.handleBytes(bytes),
    drain() {},
    closed: (error) => side.handleEnd(error),
  });
  side.attach(link);
  side.onAnswer = (status) => {
    if (status === SWITCHING) side.open();
    else side.fail(new PilotError(codeOf(status), `Cannot use ${target.url}: it answers ${status}`));
  };
  return side;
}

/** Parts HTTP from other links by their first bytes, as the bindings do. */
export function sniffWeb(
  web: WebAcceptor,
  link: VirtualLink,
  remote: HostPort,
  accept: (link: Link, remote: HostPort) => LinkHandler,
): LinkHandler {
  let head = new Uint8Array(0);
  let chosen: LinkHandler | undefined;
  let error: Error | undefined;
  return {
    open() {},
    data: (bytes) => {
      if (chosen !== undefined) {
        chosen.data(bytes);
        return;
      }
      const joined = new Uint8Array(head.length + bytes.length);
      joined.set(head);
      joined.set(bytes, head.length);
      head = joined;
      const isGet = GET.every((byte, i) => i >= head.length || head[i] === byte);
      if (isGet && head.length < GET.length) return;
      chosen = isGet ? acceptWeb(web, link, remote) : accept(link, remote);
      chosen.open();
      if (!link.isClosed) chosen.data(isGet ? head.subarray(GET.length) : head);
    },
    drain: () => chosen?.drain(),
    closed: (reason) => {
      error = reason;
      chosen?.closed(error);
    },
  };
}

function acceptWeb(web: WebAcceptor, link: VirtualLink, remote: HostPort): LinkHandler {
  const side = new Side(HEADER_BYTES, undefined);
  side.attach(link);
  side.onRequest = ({ path, host }) => {
    const none = { origin: undefined, forwardedFor: undefined };
    const answer = web.request({ remote, path, host, isWebSocket: true, ...none });
    const status = 'status' in answer ? answer.status : SWITCHING;
    side.emit(KIND.answer, ENCODER.encode(`${status}`));
    if ('status' in answer) link.close();
    else side.accept(answer.maxMessageBytes, answer.accept(side));
  };
  return {
    open() {},
    data: (bytes) => side.handleBytes(bytes),
    drain() {},
    closed: (error) => side.handleEnd(error),
  };
}

/** One side. */
class Side implements ServerWebSocketLink {
  onRequest: ((request: Request) => void) | undefined;
  onAnswer: ((status: number) => void) | undefined;
  #maxMessageBytes: Bytes;
  #handler: ServerWebSocketHandler | undefined;
  readonly #reader: FrameReader = new FrameReader(0xffff_ffff);
  #link: VirtualLink | undefined;
  #isOpen = false;
  #end: WebSocketEnd | undefined;

  constructor(maxMessageBytes: Bytes, handler: ServerWebSocketHandler | undefined) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#handler = handler;
  }

  get bufferedBytes(): Bytes {
    return this.#link?.waitingBytes ?? 0;
  }

  attach(link: VirtualLink): void {
    this.#link = link;
  }

  accept(maxMessageBytes: Bytes, handler: ServerWebSocketHandler): void {
    this.#maxMessageBytes = maxMessageBytes;
    this.#handler = handler;
    this.open();
  }

  open(): void {
    this.#isOpen = true;
    this.#handler?.open();
  }

  send(message: Uint8Array | string): void {
    if (!this.#isOpen) return;
    if (typeof message === 'string') this.emit(KIND.text, ENCODER.encode(message));
    else this.emit(KIND.binary, message);
  }

  ping(): void {
    if (this.#isOpen) this.emit(KIND.ping, new Uint8Array(0));
  }

  close(code: number = NORMAL, reason = ''): void {
    if (this.#end !== undefined) return;
    this.#end = { code, reason };
    this.#isOpen = false;
    const body = new Uint8Array(2 + reason.length);
    body.set([code >>> 8, code & 0xff]);
    body.set(ENCODER.encode(reason).subarray(0, reason.length), 2);
    this.emit(KIND.close, body);
    this.#link?.close();
  }

  destroy(): void {
    this.#handler = undefined;
    this.#isOpen = false;
    this.#link?.destroy();
  }

  unref(): void {}

  fail(error: PilotError): void {
    this.#end = { code: BROKEN, reason: '', error };
    this.#link?.destroy();
  }

  emit(kind: number, body: Uint8Array): void {
    const bytes = new Uint8Array(1 + body.length);
    bytes[0] = kind;
    bytes.set(body, 1);
    this.#link?.write(frame(bytes));
  }

  handleBytes(bytes: Uint8Array): void {
    this.#reader.push(bytes);
    for (let next = this.#reader.next(); next !== undefined; next = this.#reader.next()) {
      if (this.#end !== undefined) return;
      if (next.length - 1 > this.#maxMessageBytes) this.close(TOO_BIG);
      else this.#handle(next[0]!, next.slice(1));
    }
  }

  /** The link below ended. */
  handleEnd(error: Error | undefined): void {
    const handler = this.#handler;
    const wasOpen = this.#isOpen;
    this.#handler = undefined;
    this.#isOpen = false;
    const broken = { code: BROKEN, reason: '' };
    handler?.closed(this.#end ?? (wasOpen || error === undefined ? broken : { ...broken, error }));
  }

  #handle(kind: number, body: Uint8Array): void {
    switch (kind) {
      case KIND.request:
        this.onRequest?.(JSON.parse(DECODER.decode(body)) as Request);
        return;
      case KIND.answer:
        this.onAnswer?.(Number(DECODER.decode(body)));
        return;
      case KIND.text:
        this.#handler?.message(DECODER.decode(body));
        return;
      case KIND.binary:
        this.#handler?.message(body);
        return;
      case KIND.ping:
        if (this.#isOpen) this.emit(KIND.pong, body);
        this.#handler?.alive();
        return;
      case KIND.pong:
        this.#handler?.alive();
        return;
      default: {
        const code = body.length < 2 ? NO_CODE : (body[0]! << 8) | body[1]!;
        this.#end = { code, reason: DECODER.decode(body.subarray(2)) };
        this.#isOpen = false;
        this.#link?.close();
      }
    }
  }
}

function handlerOf(handler: WebSocketHandler): WebSocketHandler {
  return {
    open: () => handler.open(),
    message: (message) => handler.message(message),
    closed: (end) => handler.closed(end),
  };
}

function codeOf(status: number): 'NOT_SUPPORTED' | 'REGISTRY_REFUSED' | 'RENDEZVOUS_UNREACHABLE' {
  if (status === 403) return 'REGISTRY_REFUSED';
  return status >= 500 ? 'RENDEZVOUS_UNREACHABLE' : 'NOT_SUPPORTED';
}
