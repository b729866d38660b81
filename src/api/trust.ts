/** Trust as an application sees it: asking for it, answering requests, ending it (CP 2). */
import type { TrustEvent } from '../core/trust-exchange.ts';
import type { PendingTrust } from '../core/trust-file.ts';
import type { Driver } from '../driver.ts';
import { type ErrorCode, PilotError } from '../errors.ts';
import { Address } from '../wire/address.ts';
import { AsyncQueue } from './queue.ts';
import { waitFor } from './wait.ts';

/** Somebody asks for trust. */
export interface TrustRequest {
  readonly peer: Address;
  /** The asker's own words, printable characters only. */
  readonly justification: string;
  /** Ed25519, 32 bytes; undefined while nobody confirmed one. */
  readonly publicKey: Uint8Array | undefined;
  /** Unix ms. */
  readonly receivedAt: number;
  /** Lets the asker in. */
  approve(): Promise<void>;
  /** Says no. */
  reject(reason?: string): Promise<void>;
}

/** A node that may speak to us. */
export interface TrustedPeer {
  readonly peer: Address;
  /** Ed25519, 32 bytes; undefined until one was confirmed. */
  readonly publicKey: Uint8Array | undefined;
  /** Unix ms. */
  readonly approvedAt: number;
  /** Both asked for it. */
  readonly isMutual: boolean;
  /** Trust ends with the membership of this network; 0: trust in the node itself. */
  readonly network: number;
}

/** How a request for trust went out. `already_trusted`: nothing was sent. */
export type TrustRequestStatus = 'sent' | 'in_flight' | 'already_trusted';

interface Parts {
  readonly driver: () => Driver;
  readonly resolve: (target: string | Address, signal?: AbortSignal) => Promise<Address>;
}

const REQUESTS = 256;

/** Trust of one agent. */
export class AgentTrust {
  readonly #parts: Parts;
  readonly #queues = new Set<AsyncQueue<TrustRequest>>();
  readonly #waiting = new Set<(event: TrustEvent) => void>();

  /** Made by `Agent`. */
  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Asks a peer for trust: directly, and through the rendezvous. Resolves when the request is on its way; `wait` tells
   * the answer.
   *
   * @param justification - Why; shown to the peer's operator.
   * @throws PilotError `BUSY`, `NOT_FOUND`, `UNREACHABLE` (ourselves)
   */
  async request(target: string | Address, justification = ''): Promise<TrustRequestStatus> {
    const peer = await this.#parts.resolve(target);
    const status = this.#act((driver) =>
      driver.endpoint.contacts.trust.request(driver.now(), peer.node, justification),
    );
    if (status === 'full')
      throw new PilotError('BUSY', `Cannot ask ${peer} for trust: the table of trusted nodes is full`);
    if (status === 'invalid')
      throw new PilotError('UNREACHABLE', `Cannot ask ${peer} for trust: that is no other node`);
    return status;
  }

  /**
   * Waits until the peer trusts us, or says no.
   *
   * @throws PilotError `TRUST_REJECTED`, `TIMEOUT`
   */
  async wait(target: string | Address, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    const { timeoutMs = 30_000, signal } = options;
    const peer = await this.#parts.resolve(target, signal);
    const driver = this.#parts.driver();
    if (driver.endpoint.contacts.trust.isTrusted(driver.now(), peer.node)) return;
    const wait = {
      setTimer: (delayMs: number, callback: () => void) => driver.setTimer(delayMs, callback),
      timeoutMs,
      signal,
      timeoutError: () =>
        new PilotError('TIMEOUT', `No answer to the trust request from ${peer} within ${timeoutMs} ms`, {
          hint: 'the request stays: an answer that comes later counts',
        }),
    };
    await waitFor(wait, (done) => {
      const onEvent = (event: TrustEvent): void => {
        if (event.peer !== peer.node) return;
        if (event.type === 'approved' || event.type === 'autoApproved') done();
        if (event.type !== 'rejected') return;
        done(
          new PilotError('TRUST_REJECTED', `${peer} rejected the trust request: ${event.reason || 'no reason given'}`),
        );
      };
      this.#waiting.add(onEvent);
      return () => this.#waiting.delete(onEvent);
    });
  }

  /** Requests that wait for an answer, then those to come. Ends with the agent. */
  requests(): AsyncIterable<TrustRequest> & { close(): void } {
    const queue = new AsyncQueue<TrustRequest>(REQUESTS, () => this.#queues.delete(queue));
    this.#queues.add(queue);
    for (const request of this.pending()) queue.push(request);
    return { [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](), close: () => queue.end() };
  }

  /** Requests that wait for an answer now. */
  pending(): TrustRequest[] {
    const { tables } = this.#parts.driver().endpoint;
    return tables.pending().map((pending) => this.#requestOf(pending));
  }

  /** Nodes that may speak to us. */
  list(): TrustedPeer[] {
    const driver = this.#parts.driver();
    const { tables } = driver.endpoint;
    return tables.trusted(driver.unixNow() / 1000).map(({ nodeId, publicKey, approvedAt, isMutual, network }) => {
      return { peer: new Address(0, nodeId), publicKey, approvedAt: approvedAt * 1000, isMutual, network };
    });
  }

  /** Whether a node may speak to us. */
  async isTrusted(target: string | Address): Promise<boolean> {
    const peer = await this.#parts.resolve(target);
    const driver = this.#parts.driver();
    return driver.endpoint.contacts.trust.isTrusted(driver.now(), peer.node);
  }

  /** Lets a node in that asked. @throws PilotError `NOT_FOUND` when it did not ask. */
  async approve(target: string | Address): Promise<void> {
    const peer = await this.#parts.resolve(target);
    this.#judge('approve', peer, (driver) => driver.endpoint.contacts.trust.approve(driver.now(), peer.node));
  }

  /** Says no to a node that asked. @throws PilotError `NOT_FOUND` when it did not ask. */
  async reject(target: string | Address, reason = ''): Promise<void> {
    const peer = await this.#parts.resolve(target);
    this.#judge('reject', peer, (driver) => driver.endpoint.contacts.trust.reject(driver.now(), peer.node, reason));
  }

  /** Ends trust in a node, tells it, and closes what it has open. @throws PilotError `NOT_FOUND` when there is none. */
  async revoke(target: string | Address): Promise<void> {
    const peer = await this.#parts.resolve(target);
    this.#judge('revoke', peer, (driver) => driver.endpoint.contacts.trust.revoke(driver.now(), peer.node));
  }

  /** Called by `Agent`. */
  handleEvent(event: TrustEvent): void {
    for (const waiting of [...this.#waiting]) waiting(event);
    if (event.type !== 'pending') return;
    const pending = this.#parts.driver().endpoint.tables.pendingOf(event.peer);
    if (pending === undefined) return;
    for (const queue of this.#queues) queue.push(this.#requestOf(pending));
  }

  /** Called by `Agent`. */
  close(): void {
    for (const queue of [...this.#queues]) queue.end();
  }

  #requestOf({ nodeId, justification, publicKey, receivedAt }: PendingTrust): TrustRequest {
    const peer = new Address(0, nodeId);
    const approve = (): Promise<void> => this.approve(peer);
    const reject = (reason?: string): Promise<void> => this.reject(peer, reason);
    return { peer, justification, publicKey, receivedAt: receivedAt * 1000, approve, reject };
  }

  #judge(what: string, peer: Address, how: (driver: Driver) => string): void {
    const status = this.#act(how);
    const code: ErrorCode | undefined = status === 'not_found' ? 'NOT_FOUND' : status === 'full' ? 'BUSY' : undefined;
    if (code === undefined) return;
    const fact = code === 'BUSY' ? 'the table of trusted nodes is full' : 'no such request, or no trust';
    throw new PilotError(code, `Cannot ${what} ${peer}: ${fact}`);
  }

  #act<T>(what: (driver: Driver) => T): T {
    const driver = this.#parts.driver();
    const result = what(driver);
    driver.endpoint.contacts.trustChanged(driver.now());
    driver.flush();
    return result;
  }
}
