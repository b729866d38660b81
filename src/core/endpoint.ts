/**
 * One agent's end of everything, without clock and sockets: datagrams, link bytes, job results and calls of the
 * application go in, datagrams and events come out (design: the seam). What one part says is translated for the others in
 * switchboard.ts; decisions are in the parts.
 *
 * Order per turn: `handle*`, then `pollTransmit`, `pollLink` and `pollEvent` until empty, then `pollTimeout`.
 */
import { LIMITS, type Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import type { BridgeEnd } from './bridge.ts';
import type { Carrier } from './carrier.ts';
import type { Contacts } from './contacts.ts';
import type { Event, Ticket } from './events.ts';
import type { JobResult } from './jobs.ts';
import type { Datagram } from './outbox.ts';
import type { Means } from './parts.ts';
import type { Paths } from './paths.ts';
import type { Ports } from './ports.ts';
import { createPresence, type EndpointOptions, type Presence } from './presence.ts';
import type { RegistryRequest } from './registry-client.ts';
import type { Counters } from './stats.ts';
import { Switchboard } from './switchboard.ts';
import type { TrustTables } from './trust-tables.ts';

export type { EndpointOptions } from './presence.ts';

/** Makes an endpoint's contacts: handed over, so that what only registers does not load them. */
export type MakeContacts = (presence: Presence, means: Means, settle: (now: Millis) => void) => Contacts;

/** A datagram that came before the contacts did. */
interface Held {
  readonly path: number;
  readonly bytes: Uint8Array;
}

/** One agent's protocol state. */
export class Endpoint {
  readonly counters: Counters;
  readonly paths: Paths;
  /** Whom we trust, and who asked: to be read. What changes them is with the contacts. */
  readonly tables: TrustTables;
  readonly ports: Ports;
  readonly #presence: Presence;
  readonly #switchboard: Switchboard;
  #held: Held[] = [];
  #unixOffset: Millis;
  #isClosed = false;

  constructor(options: EndpointOptions) {
    const presence = createPresence(options);
    this.#presence = presence;
    this.#unixOffset = options.unixOffset;
    this.#switchboard = new Switchboard(presence);
    this.counters = presence.counters;
    this.paths = presence.paths;
    this.tables = presence.tables;
    this.ports = presence.ports;
  }

  /** Gives the endpoint its contacts, once: before `start`, or when the event `meet` or the application asks for them. */
  meet(now: Millis, make: MakeContacts, means: Omit<Means, 'unixOffset'>): void {
    const all = { ...means, unixOffset: this.#unixOffset };
    const contacts = make(this.#presence, all, (at) => this.#switchboard.settle(at));
    this.#switchboard.connect(now, contacts);
    const held = this.#held;
    this.#held = [];
    for (const { path, bytes } of held) if (!contacts.handleDatagram(now, path, bytes)) this.counters.drop('noSlot');
    if (this.nodeId !== 0) this.handleBatch(now);
  }

  /** What they take could not be had: the next who needs it asks again. */
  failMeeting(): void {
    for (const _ of this.#held) this.counters.drop('noSlot');
    this.#held = [];
    this.#switchboard.forgetWanting();
  }

  get hasContacts(): boolean {
    return this.#switchboard.contacts !== undefined;
  }

  /** Those we speak with. @throws Error before `meet`. */
  get contacts(): Contacts {
    const { contacts } = this.#switchboard;
    if (contacts === undefined) throw new Error('The endpoint has met nobody yet');
    return contacts;
  }

  /** Our node id; 0 before the first registration. */
  get nodeId(): number {
    return this.#switchboard.nodeId;
  }

  /** Which carrier is used, and why. */
  get carrier(): Carrier {
    return this.#presence.carrier;
  }

  /** Whether the beacon can be reached over the carrier, as far as is known: UDP does not tell. */
  get isCarried(): boolean {
    return this.carrier.name === 'udp' || this.#presence.bridge.isReady;
  }

  /** What is to be sent to this path goes over the WebSocket. */
  get socketPath(): number {
    return this.#presence.socketPath;
  }

  /** Whether the registry answers now. */
  get isOnline(): boolean {
    return this.#presence.registration.isOnline;
  }

  /** Our address as the beacon sees it. */
  get reflexive(): { host: string; port: number } | undefined {
    return this.#presence.registration.reflexive;
  }

  /** Begins: link, reflexive address, registration. */
  start(now: Millis): void {
    if (this.carrier.name === 'websocket') this.#presence.registration.setRelayOnly(now);
    this.#presence.registration.start(now);
    this.#switchboard.settle(now);
  }

  /** The wall clock, at the start and each minute. @param unixOffset - Unix ms minus monotonic ms. */
  setUnixOffset(unixOffset: Millis): void {
    this.#switchboard.contacts?.setUnixOffset(unixOffset);
    this.#presence.registration.setUnixOffset(unixOffset);
    this.#unixOffset = unixOffset;
  }

  // ---- from the driver

  /**
   * Takes a datagram, or with `socketPath` a binary message of the WebSocket. Encrypted frames wait for `handleBatch`; everything else is handled at once.
   *
   * @param bytes - Borrowed.
   * @returns False when no slot was free: nothing was taken, try again after a batch.
   */
  handleDatagram(now: Millis, path: number, bytes: Uint8Array): boolean {
    if (this.#isClosed || (path === this.socketPath && this.#presence.bridge.handleBytes(now, bytes))) return true;
    const { contacts } = this.#switchboard;
    if (contacts !== undefined) return contacts.handleDatagram(now, path, bytes);
    this.#hold(path, bytes);
    return true;
  }

  /** Whether the next encrypted frame would find the batch full. */
  get isBatchFull(): boolean {
    return this.#switchboard.contacts?.isBatchFull ?? false;
  }

  /** Opens what came since the last call, and handles it. Once per turn of the event loop, or when the batch is full. */
  handleBatch(now: Millis): void {
    this.#switchboard.contacts?.handleBatch(now);
    this.#switchboard.settle(now);
  }

  /** The registry link opened, brought bytes, or closed. Bytes are borrowed. */
  handleLink(now: Millis, _link: number, what: 'open' | 'closed' | Uint8Array, code?: ErrorCode): void {
    if (what === 'open') {
      this.#presence.client.handleOpen(now);
      this.#presence.registration.handleOpen(now);
    } else if (what === 'closed') {
      this.#presence.client.handleClosed(now, code);
      this.#presence.registration.handleClosed(code);
    } else {
      this.#presence.client.handleBytes(now, what);
    }
    this.#switchboard.settle(now);
  }

  /** The WebSocket to the beacon opened or closed. */
  handleBridge(now: Millis, what: 'open' | BridgeEnd): void {
    if (this.#isClosed) return;
    if (what === 'open') this.#presence.bridge.handleOpen(now);
    else this.#presence.bridge.handleClosed(now, what);
    this.#switchboard.settle(now);
  }

  /** A text message of the WebSocket. */
  handleBridgeText(now: Millis, text: string): void {
    if (this.#isClosed) return;
    this.#presence.bridge.handleText(now, text);
    this.#switchboard.settle(now);
  }

  /** A job was done. */
  handleJob(now: Millis, id: number, result: JobResult): void {
    const peer = this.#presence.jobs.handle(now, id, result);
    if (peer !== 0) this.#switchboard.contacts?.touchPeer(peer);
    this.#switchboard.settle(now);
  }

  /** The trust file was written, or could not be. */
  handleTrustSaved(now: Millis): void {
    this.contacts.handleTrustSaved(now);
    this.#switchboard.settle(now);
  }

  /** The network refuses datagrams to a path (ICMP). */
  handleUnreachable(now: Millis, path: number): void {
    this.#switchboard.contacts?.handleUnreachable(now, path);
    this.#switchboard.settle(now);
  }

  /** The machine slept: addresses may have changed and mappings are gone. Everything in use is probed. */
  handleWake(now: Millis): void {
    this.#presence.registration.handleWake(now);
    this.#presence.bridge.handleWake(now);
    this.#switchboard.contacts?.handleWake(now);
    this.#switchboard.settle(now);
  }

  handleTimeout(now: Millis): void {
    if (this.#isClosed) return;
    this.#presence.client.handleTimeout(now);
    if (this.carrier.handleTimeout(now) && this.nodeId !== 0) this.#presence.bridge.start(now, this.nodeId);
    this.#presence.bridge.handleTimeout(now);
    this.#presence.registration.handleTimeout(now);
    this.#switchboard.contacts?.handleTimeout(now);
    this.#switchboard.settle(now);
  }

  /** When `handleTimeout` wants to be called. */
  pollTimeout(): Millis {
    if (this.#isClosed) return Number.POSITIVE_INFINITY;
    return Math.min(
      this.#presence.client.pollTimeout(),
      this.carrier.pollTimeout(),
      this.#presence.bridge.pollTimeout(),
      this.#presence.registration.pollTimeout(),
      this.#switchboard.contacts?.pollTimeout() ?? Number.POSITIVE_INFINITY,
    );
  }

  /** The next datagram to send. A token ≥ 0 is a slot: `release` it when the bytes were read. Valid until the next call. */
  pollTransmit(now: Millis): Datagram | undefined {
    let next = this.#presence.outbox.poll();
    if (next === undefined) {
      this.#switchboard.contacts?.fill(now);
      next = this.#presence.outbox.poll();
    }
    if (next === undefined) return undefined;
    this.counters.datagramsSent += 1;
    this.counters.bytesSent += next.bytes.length;
    return next;
  }

  /** Gives a slot back. */
  release(token: number): void {
    this.contacts.release(token);
  }

  /** Bytes for the registry link, owned by the caller. */
  pollLink(): Uint8Array | undefined {
    return this.#presence.client.pollBytes();
  }

  get hasEvents(): boolean {
    return this.#presence.events.length > 0;
  }

  pollEvent(): Event | undefined {
    return this.#presence.events.shift();
  }

  // ---- from the application

  /** Asks the registry. The answer carries `ticket` and the registry's object. */
  request(now: Millis, ticket: Ticket, request: RegistryRequest): void {
    this.#presence.client.request(now, request, (_, outcome) => {
      this.#switchboard.answer(ticket, outcome.ok ? { ok: true, value: outcome.answer } : outcome);
    });
    this.#switchboard.settle(now);
  }

  /** Ends all at once: streams are aborted, keys wiped, questions answered with CLOSED. Poll once more for what is left. */
  close(now: Millis): void {
    if (this.#isClosed) return;
    this.#switchboard.contacts?.abort(now);
    this.#presence.client.close(now);
    this.#switchboard.settle(now);
    this.#isClosed = true;
    this.#switchboard.contacts?.close();
    this.#switchboard.drainJobs();
  }

  // ---- inside

  #hold(path: number, bytes: Uint8Array): void {
    if (this.#held.length < LIMITS.heldDatagrams) this.#held.push({ path, bytes: bytes.slice() });
    else this.counters.drop('noSlot');
    this.#switchboard.wantContacts();
  }
}
