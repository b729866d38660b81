/**
 * A TCP port that accepts links, and how it closes: at once for new links, in order for those that are ending.
 */
import type { HostPort, Link, LinkHandler, LinkServer, WebAcceptor } from '../carrier/host.ts';
import type { Listener } from './dial.ts';
import type { VirtualLink } from './link.ts';
import { sniffWeb } from './web-socket.ts';

/** What a listening port needs of its machine. */
export interface ListeningParts {
  readonly local: HostPort;
  readonly certificate: string | undefined;
  readonly web: WebAcceptor | undefined;
  readonly accept: (link: Link, remote: HostPort) => LinkHandler;
  /** Gives the port back. */
  readonly closed: () => void;
}

/** A bound TCP port. */
export class ListeningPort implements LinkServer, Listener {
  readonly local: HostPort;
  readonly certificate: string | undefined;
  readonly #web: WebAcceptor | undefined;
  readonly #accept: (link: Link, remote: HostPort) => LinkHandler;
  readonly #closed: () => void;
  readonly #links = new Set<VirtualLink>();
  #whenEmpty: (() => void) | undefined;
  #ending: Promise<void> | undefined;

  constructor(parts: ListeningParts) {
    this.local = parts.local;
    this.certificate = parts.certificate;
    this.#web = parts.web;
    this.#accept = parts.accept;
    this.#closed = parts.closed;
  }

  accept(link: VirtualLink, remote: HostPort): LinkHandler {
    this.#links.add(link);
    return this.#web === undefined ? this.#accept(link, remote) : sniffWeb(this.#web, link, remote, this.#accept);
  }

  gone(link: VirtualLink): void {
    this.#links.delete(link);
    if (this.#links.size === 0) this.#whenEmpty?.();
  }

  close(): Promise<void> {
    this.#ending ??= new Promise((resolve) => {
      this.#closed();
      this.#whenEmpty = resolve;
      // Links that their owner is closing may finish; they have a deadline of their own.
      for (const link of [...this.#links]) if (!link.isClosing) link.destroy();
      if (this.#links.size === 0) resolve();
    });
    return this.#ending;
  }

  /** Ends without a word to anybody here. */
  abandon(): void {
    this.#closed();
    for (const link of [...this.#links]) link.abandon();
  }
}
