/**
 * HTTP on the rendezvous' port: which path is what, which pages may come, and what one address may cost. `/v1/compat` is
 * the beacon (bridge.ts). `/v1/registry` is the registry: one text message is one JSON object, request or answer, in
 * the order and under the bounds of a TCP link (links.ts).
 */
import type {
  Link,
  LinkHandler,
  ServerWebSocketHandler,
  ServerWebSocketLink,
  WebAcceptor,
  WebAnswer,
  WebDocument,
  WebRequest,
} from '../carrier/host.ts';
import { COMPAT_MESSAGE_BYTES, WEB_CLOSE, WEB_PATH, WEB_PROTOCOL } from '../wire/compat.ts';
import { ipBytes, ipText } from '../wire/host-port.ts';
import { FRAME_PREFIX_BYTES, frame } from '../wire/registry.ts';
import type { Bridge } from './bridge.ts';
import { isLocalHost, sourceOf, TRUSTED_FACTOR } from './budget.ts';
import type { RegistryLinks } from './links.ts';
import { LINK_LIMITS } from './registry/session.ts';
import { Tally } from './tally.ts';

/** What is counted of requests. */
export type WebCount =
  | 'webRequests'
  | 'webNotFound'
  | 'webPlain'
  | 'webOriginRefused'
  | 'webFull'
  | 'webHostFull'
  | 'webWrongKind';

/** Who may come, and how many. */
export interface WebOptions {
  /** Origins of pages besides the server's own, such as `https://example.org`; `*` is every page. */
  readonly allowedOrigins: readonly string[];
  /** Names that the operator gave this server, lower case; its addresses and `localhost` need not be among them. */
  readonly ownNames: readonly string[];
  /** Whether a proxy on this machine tells the truth in `X-Forwarded-For`. */
  readonly trustsProxy: boolean;
  readonly links: number;
  /** Per address, of IPv6 per /64; this machine's own may have a hundred times as many. */
  readonly linksPerHost: number;
  /** What else GET finds, by path. Paths of the protocol come first. */
  readonly documents: ReadonlyMap<string, WebDocument>;
}

/** Where requests go. Undefined while the server starts. */
export interface WebTargets {
  readonly bridge: Bridge;
  readonly registry: RegistryLinks;
}

/** A caller's address, and whether it may do more than strangers. */
interface Caller {
  readonly host: string;
  readonly port: number;
  readonly isTrusted: boolean;
}

/** Answers above this wait for a client that does not read. */
const WAITING_BYTES = 1_048_576;
const ENCODER: TextEncoder = new TextEncoder();
const DECODER: TextDecoder = new TextDecoder();

/** The HTTP half of one rendezvous. */
export class Web implements WebAcceptor {
  readonly tally: Tally<WebCount> = new Tally<WebCount>();
  readonly #options: WebOptions;
  readonly #targets: () => WebTargets | undefined;
  readonly #perSource = new Map<string, number>();
  readonly #registryLinks = new Set<RegistryWebLink>();
  #links = 0;

  constructor(options: WebOptions, targets: () => WebTargets | undefined) {
    this.#options = options;
    this.#targets = targets;
  }

  /** WebSockets that are open. */
  get size(): number {
    return this.#links;
  }

  request(request: WebRequest): WebAnswer {
    this.tally.add('webRequests');
    const targets = this.#targets();
    const { path } = request;
    if (path === WEB_PATH.health) return { status: 200, text: 'ok' };
    if (path !== WEB_PATH.beacon && path !== WEB_PATH.registry) {
      const document = request.isWebSocket ? undefined : this.#options.documents.get(path);
      return document === undefined ? this.#refuse('webNotFound', 404, 'not found') : { status: 200, ...document };
    }
    if (!request.isWebSocket) return this.#refuse('webPlain', 426, 'this is a WebSocket');
    if (!this.#isAllowed(request)) return this.#refuse('webOriginRefused', 403, 'origin not allowed');
    if (targets === undefined || this.#links >= this.#options.links) return this.#refuse('webFull', 503, 'full');
    const caller = this.#callerOf(request);
    const limit = this.#options.linksPerHost * (caller.isTrusted ? TRUSTED_FACTOR : 1);
    const source = sourceOf(caller.host);
    if ((this.#perSource.get(source) ?? 0) >= limit) return this.#refuse('webHostFull', 429, 'too many links');
    const isBeacon = path === WEB_PATH.beacon;
    return {
      maxMessageBytes: isBeacon ? COMPAT_MESSAGE_BYTES : LINK_LIMITS.requestBytes,
      protocol: WEB_PROTOCOL,
      accept: (link) =>
        this.#counted(
          source,
          isBeacon ? targets.bridge.accept(link, caller) : this.#acceptRegistry(targets.registry, link, caller),
        ),
    };
  }

  /** To be called about once a second. */
  handleTick(): void {
    for (const link of this.#registryLinks) link.handleTick();
  }

  #refuse(count: WebCount, status: number, text: string): WebAnswer {
    this.tally.add(count);
    return { status, text };
  }

  /**
   * Decision 13: absent, same host, or allowed; DP 4.11 has pages of `pilot://`, too. That host must be ours: a stranger's
   * name may be made to resolve to this machine (DNS rebinding), and then origin and `Host` agree on it.
   */
  #isAllowed({ origin, host }: WebRequest): boolean {
    if (origin === undefined || origin.startsWith('pilot://')) return true;
    const { allowedOrigins } = this.#options;
    if (allowedOrigins.includes(origin) || allowedOrigins.includes('*')) return true;
    const page = parseUrl(origin);
    return page !== undefined && page.host === host?.toLowerCase() && this.#isOurs(page.hostname);
  }

  #isOurs(name: string): boolean {
    if (name === 'localhost' || this.#options.ownNames.includes(name)) return true;
    return ipBytes(name.replace(/^\[|\]$/g, '')) !== undefined;
  }

  /** Only a proxy on this machine is believed, for only it is known to be the last one. */
  #callerOf({ remote, forwardedFor }: WebRequest): Caller {
    const { host, port } = remote;
    const isLocal = isLocalHost(host);
    // Through a proxy everybody comes from this machine, but not everybody is of it.
    if (forwardedFor === undefined || !isLocal) return { host, port, isTrusted: isLocal };
    const last = ipBytes(forwardedFor.split(',').at(-1)?.trim() ?? '');
    if (!this.#options.trustsProxy || last === undefined) return { host, port, isTrusted: false };
    const client = ipText(last);
    return { host: client, port, isTrusted: isLocalHost(client) };
  }

  #counted(source: string, handler: ServerWebSocketHandler): ServerWebSocketHandler {
    this.#links += 1;
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1);
    return {
      open: () => handler.open(),
      message: (message) => handler.message(message),
      alive: () => handler.alive(),
      closed: (end) => {
        this.#links -= 1;
        const left = (this.#perSource.get(source) ?? 1) - 1;
        if (left === 0) this.#perSource.delete(source);
        else this.#perSource.set(source, left);
        handler.closed(end);
      },
    };
  }

  #acceptRegistry(registry: RegistryLinks, link: ServerWebSocketLink, caller: Caller): ServerWebSocketHandler {
    const below = new RegistryWebLink(link, () => this.tally.add('webWrongKind'));
    below.attach(registry.accept(below, caller, caller.isTrusted));
    this.#registryLinks.add(below);
    return {
      open: () => {},
      message: (message) => below.handleMessage(message),
      alive: () => {},
      closed: () => {
        this.#registryLinks.delete(below);
        below.handleClosed();
      },
    };
  }
}

/** A WebSocket as the registry's links see it: the length in front of each frame is put on here, and taken off. */
class RegistryWebLink implements Link {
  readonly #link: ServerWebSocketLink;
  readonly #onWrongKind: () => void;
  #handler: LinkHandler | undefined;
  #isFull = false;

  constructor(link: ServerWebSocketLink, onWrongKind: () => void) {
    this.#link = link;
    this.#onWrongKind = onWrongKind;
  }

  attach(handler: LinkHandler): void {
    this.#handler = handler;
  }

  /** @param bytes - One whole frame, as the registry writes them. */
  write(bytes: Uint8Array): boolean {
    this.#link.send(DECODER.decode(bytes.subarray(FRAME_PREFIX_BYTES)));
    this.#isFull = this.#link.bufferedBytes > WAITING_BYTES;
    return !this.#isFull;
  }

  close(): void {
    this.#link.close(WEB_CLOSE.normal);
  }

  destroy(): void {
    this.#link.close(WEB_CLOSE.goingAway);
  }

  unref(): void {
    this.#link.unref();
  }

  handleMessage(message: Uint8Array | string): void {
    if (typeof message === 'string') {
      this.#handler?.data(frame(ENCODER.encode(message)));
      return;
    }
    this.#onWrongKind();
    this.#link.close(WEB_CLOSE.wrongKind);
    this.handleClosed();
  }

  handleTick(): void {
    if (!this.#isFull || this.#link.bufferedBytes > 0) return;
    this.#isFull = false;
    this.#handler?.drain();
  }

  handleClosed(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.closed();
  }
}

function parseUrl(origin: string): URL | undefined {
  try {
    return new URL(origin);
  } catch {
    // "null", and whatever else is no URL.
    return undefined;
  }
}
