/**
 * The registry's links: bytes between sockets and sessions, requests to the registry, and what all links together may
 * cost.
 */
import type { Host, HostPort, Link, LinkHandler } from '../carrier/host.ts';
import { isLocalHost } from './budget.ts';
import { type Answer, type LinkCount, type Registry, Session } from './registry/index.ts';
import type { Runner } from './runner.ts';
import { Tally } from './tally.ts';

/** What is counted of links beyond what a session counts. */
export type LinksCount = LinkCount | 'linksFull' | 'inputFull';

interface OpenLink {
  readonly link: Link;
  readonly session: Session;
  readonly remote: HostPort;
  readonly openedMs: number;
  /** What this link has in the sum of all. */
  inputBytes: number;
  hasTimer: boolean;
}

/** Received and not yet answered, all links together. */
const INPUT_BYTES = 64 * 1024 * 1024;
/** Requests of one link before others get their turn. */
const TURN = 64;
const FAILED: Answer = { ok: false, text: 'the store failed', code: 'BUSY' };
const IGNORED: LinkHandler = { open() {}, data() {}, drain() {}, closed() {} };

/** All links of one server. */
export class RegistryLinks {
  readonly tally: Tally<LinksCount> = new Tally<LinksCount>();
  readonly #host: Host;
  readonly #registry: Registry;
  readonly #runner: Runner;
  readonly #limit: number;
  readonly #onAnswered: () => void;
  readonly #links = new Set<OpenLink>();
  #inputBytes = 0;

  /** @param onAnswered - Runs after each request: the registry may have news. */
  constructor(parts: { host: Host; registry: Registry; runner: Runner; limit: number; onAnswered: () => void }) {
    this.#host = parts.host;
    this.#registry = parts.registry;
    this.#runner = parts.runner;
    this.#limit = parts.limit;
    this.#onAnswered = parts.onAnswered;
  }

  get size(): number {
    return this.#links.size;
  }

  /** Takes a link that a client opened. @param isTrusted - May do a hundred times as much. */
  accept(link: Link, remote: HostPort, isTrusted: boolean = isLocalHost(remote.host)): LinkHandler {
    if (this.#links.size >= this.#limit) {
      this.tally.add('linksFull');
      link.destroy();
      return IGNORED;
    }
    const session = new Session(this.#host.now(), { tally: this.tally, isTrusted });
    const openedMs = this.#host.unixNow();
    const open: OpenLink = { link, session, remote, openedMs, inputBytes: 0, hasTimer: false };
    this.#links.add(open);
    return {
      open() {},
      data: (bytes) => {
        session.handleBytes(bytes);
        this.#pump(open);
      },
      drain: () => {
        session.handleDrain();
        this.#pump(open);
      },
      closed: () => this.#forget(open),
    };
  }

  /** Times out what is idle. To be called about once a second. */
  handleTick(): void {
    for (const open of this.#links) this.#pump(open);
  }

  /** Ends all links at once. */
  destroy(): void {
    for (const { link } of this.#links) link.destroy();
    this.#links.clear();
    this.#inputBytes = 0;
  }

  /** Answers what can be answered now, and sends it. */
  #pump(open: OpenLink): void {
    const { session } = open;
    for (let turn = 0; this.#links.has(open); turn++) {
      session.handleTimeout(this.#host.now());
      if (turn === TURN) {
        this.#pumpLater(open, 0);
        return;
      }
      const fields = session.pollRequest(this.#host.now());
      this.#flush(open);
      this.#countInput(open);
      if (fields === undefined) {
        const now = this.#host.now();
        const until = session.delayedUntil(now);
        if (until !== undefined) this.#pumpLater(open, until - now);
        return;
      }
      if (!this.#answer(open, fields)) return;
    }
  }

  /** @returns False when the answer comes later, and the link is pumped then. */
  #answer(open: OpenLink, fields: { readonly [field: string]: unknown }): boolean {
    const { remote, openedMs, session } = open;
    const now = this.#host.now();
    const caller = { ...remote, now, unixMs: this.#host.unixNow(), linkOpenedMs: openedMs };
    let isLater = false;
    let isAnswered = false;
    this.#runner.run(this.#registry.handle(caller, fields), (answer) => {
      isAnswered = true;
      session.handleAnswer(answer ?? FAILED);
      this.#onAnswered();
      if (isLater) this.#pump(open);
    });
    isLater = true;
    return isAnswered;
  }

  #flush(open: OpenLink): void {
    const { session, link } = open;
    for (let bytes = session.pollBytes(); bytes !== undefined; bytes = session.pollBytes()) {
      if (!link.write(bytes)) session.handleBlocked(this.#host.now());
    }
    if (!session.isClosed || !this.#links.has(open)) return;
    this.#forget(open);
    link.close();
  }

  #pumpLater(open: OpenLink, delayMs: number): void {
    if (open.hasTimer) return;
    open.hasTimer = true;
    this.#host.setTimer(Math.max(0, delayMs), () => {
      open.hasTimer = false;
      this.#pump(open);
    });
  }

  /** Half requests of strangers share a bound: the link that crosses it goes. */
  #countInput(open: OpenLink): void {
    if (!this.#links.has(open)) return;
    const { bufferedBytes } = open.session;
    this.#inputBytes += bufferedBytes - open.inputBytes;
    open.inputBytes = bufferedBytes;
    if (this.#inputBytes <= INPUT_BYTES || bufferedBytes === 0) return;
    this.tally.add('inputFull');
    this.#forget(open);
    open.link.destroy();
  }

  #forget(open: OpenLink): void {
    if (!this.#links.delete(open)) return;
    this.#inputBytes -= open.inputBytes;
    open.inputBytes = 0;
  }
}
