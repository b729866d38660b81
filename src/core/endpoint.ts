/**
 * One agent's end of everything, without clock and sockets: datagrams, link bytes, job results and calls of the
 * application go in, datagrams and events come out (design: the seam). What one part says is translated for the others in
 * switchboard.ts; decisions are in the parts.
 *
 * Order per turn: `handle*`, then `pollTransmit`, `pollLink` and `pollEvent` until empty, then `pollTimeout`.
 */
import type { Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import type { BridgeEnd } from './bridge.ts';
import type { Carrier } from './carrier.ts';
import type { ConnectionId, Event, Outcome, Ticket } from './events.ts';
import { INTAKE } from './intake.ts';
import type { JobResult } from './jobs.ts';
import type { Datagram } from './outbox.ts';
import { createParts, dialPeer, type EndpointOptions, type Parts } from './parts.ts';
import type { Paths } from './paths.ts';
import type { Peer } from './peer.ts';
import type { Peers } from './peers.ts';
import type { Ports } from './ports.ts';
import type { RegistryRequest } from './registry-client.ts';
import type { Counters } from './stats.ts';
import type { Stream, Streams } from './streams.ts';
import { Switchboard } from './switchboard.ts';
import type { Trust } from './trust.ts';
import type { Explanation } from './tunnels.ts';

export type { EndpointOptions } from './parts.ts';

/** One agent's protocol state. */
export class Endpoint {
  readonly counters: Counters;
  readonly paths: Paths;
  readonly streams: Streams;
  readonly trust: Trust;
  readonly peers: Peers;
  readonly ports: Ports;
  readonly #parts: Parts;
  readonly #switchboard: Switchboard;
  #isClosed = false;

  constructor(options: EndpointOptions) {
    const parts = createParts(options);
    this.#parts = parts;
    this.#switchboard = new Switchboard(parts);
    this.counters = parts.counters;
    this.paths = parts.paths;
    this.streams = parts.streams;
    this.trust = parts.trust;
    this.peers = parts.peers;
    this.ports = parts.ports;
  }

  /** Our node id; 0 before the first registration. */
  get nodeId(): number {
    return this.#parts.context.nodeId;
  }

  /** Which carrier is used, and why. */
  get carrier(): Carrier {
    return this.#parts.carrier;
  }

  /** Whether the beacon can be reached over the carrier, as far as is known: UDP does not tell. */
  get isCarried(): boolean {
    return this.carrier.name === 'udp' || this.#parts.bridge.isReady;
  }

  /** What is to be sent to this path goes over the WebSocket. */
  get socketPath(): number {
    return this.#parts.socketPath;
  }

  /** Whether the registry answers now. */
  get isOnline(): boolean {
    return this.#parts.registration.isOnline;
  }

  /** Our address as the beacon sees it. */
  get reflexive(): { host: string; port: number } | undefined {
    return this.#parts.registration.reflexive;
  }

  /** Begins: link, reflexive address, registration. */
  start(now: Millis): void {
    if (this.carrier.name === 'websocket') this.#parts.registration.setRelayOnly(now);
    this.#parts.registration.start(now);
    this.#switchboard.settle(now);
  }

  /** The wall clock, at the start and each minute. @param unixOffset - Unix ms minus monotonic ms. */
  setUnixOffset(unixOffset: Millis): void {
    this.#parts.delivery.setUnixOffset(unixOffset);
    this.#parts.registration.setUnixOffset(unixOffset);
    this.trust.setUnixOffset(unixOffset);
  }

  // ---- from the driver

  /**
   * Takes a datagram, or with `socketPath` a binary message of the WebSocket. Encrypted frames wait for `handleBatch`; everything else is handled at once.
   *
   * @param bytes - Borrowed.
   * @returns False when no slot was free: nothing was taken, try again after a batch.
   */
  handleDatagram(now: Millis, path: number, bytes: Uint8Array): boolean {
    if (this.#isClosed || (path === this.socketPath && this.#parts.bridge.handleBytes(now, bytes))) return true;
    const result = this.#parts.intake.handle(now, path, bytes);
    if (result === INTAKE.done) this.#switchboard.settle(now);
    return result !== INTAKE.full;
  }

  /** Whether the next encrypted frame would find the batch full. */
  get isBatchFull(): boolean {
    return this.#parts.intake.isFull;
  }

  /** Opens what came since the last call, and handles it. Once per turn of the event loop, or when the batch is full. */
  handleBatch(now: Millis): void {
    this.#parts.intake.handleBatch(now);
    this.#switchboard.settle(now);
  }

  /** The registry link opened, brought bytes, or closed. Bytes are borrowed. */
  handleLink(now: Millis, _link: number, what: 'open' | 'closed' | Uint8Array, code?: ErrorCode): void {
    if (what === 'open') {
      this.#parts.client.handleOpen(now);
      this.#parts.registration.handleOpen(now);
    } else if (what === 'closed') {
      this.#parts.client.handleClosed(now, code);
      this.#parts.registration.handleClosed(code);
    } else {
      this.#parts.client.handleBytes(now, what);
    }
    this.#switchboard.settle(now);
  }

  /** The WebSocket to the beacon opened or closed. */
  handleBridge(now: Millis, what: 'open' | BridgeEnd): void {
    if (this.#isClosed) return;
    if (what === 'open') this.#parts.bridge.handleOpen(now);
    else this.#parts.bridge.handleClosed(now, what);
    this.#switchboard.settle(now);
  }

  /** A text message of the WebSocket. */
  handleBridgeText(now: Millis, text: string): void {
    if (this.#isClosed) return;
    this.#parts.bridge.handleText(now, text);
    this.#switchboard.settle(now);
  }

  /** A job was done. */
  handleJob(now: Millis, id: number, result: JobResult): void {
    const peer = this.#parts.jobs.handle(now, id, result);
    const known = peer === 0 ? undefined : this.peers.get(peer);
    if (known !== undefined) this.peers.touch(known);
    this.#switchboard.settle(now);
  }

  /** The trust file was written, or could not be. */
  handleTrustSaved(now: Millis): void {
    this.#parts.delivery.handleSaved(now);
    this.#switchboard.settle(now);
  }

  /** The network refuses datagrams to a path (ICMP). */
  handleUnreachable(now: Millis, path: number): void {
    this.#parts.tunnels.handleUnreachable(now, path);
    this.#switchboard.settle(now);
  }

  /** The machine slept: addresses may have changed and mappings are gone. Everything in use is probed. */
  handleWake(now: Millis): void {
    this.#parts.registration.handleWake(now);
    this.#parts.bridge.handleWake(now);
    this.#parts.tunnels.handleWake(now);
    this.#switchboard.settle(now);
  }

  handleTimeout(now: Millis): void {
    if (this.#isClosed) return;
    this.#parts.client.handleTimeout(now);
    if (this.carrier.handleTimeout(now) && this.nodeId !== 0) this.#parts.bridge.start(now, this.nodeId);
    this.#parts.bridge.handleTimeout(now);
    this.#parts.registration.handleTimeout(now);
    this.#parts.pump.handleTimeout(now);
    this.streams.handleTimeout(now);
    this.#parts.delivery.handleTimeout(now);
    for (let peer = this.peers.pollDue(now); peer !== undefined; peer = this.peers.pollDue(now)) this.peers.touch(peer);
    this.#switchboard.settle(now);
  }

  /** When `handleTimeout` wants to be called. */
  pollTimeout(): Millis {
    if (this.#isClosed) return Number.POSITIVE_INFINITY;
    return Math.min(
      this.#parts.client.pollTimeout(),
      this.carrier.pollTimeout(),
      this.#parts.bridge.pollTimeout(),
      this.#parts.registration.pollTimeout(),
      this.#parts.pump.pollTimeout(),
      this.streams.pollTimeout(),
      this.#parts.delivery.pollTimeout(),
      this.peers.pollTimeout(),
    );
  }

  /** The next datagram to send. A token ≥ 0 is a slot: `release` it when the bytes were read. Valid until the next call. */
  pollTransmit(now: Millis): Datagram | undefined {
    let next = this.#parts.outbox.poll();
    if (next === undefined) {
      this.#parts.pump.fill(now);
      this.#parts.departures.seal();
      this.#switchboard.handleExhausted(now);
      next = this.#parts.outbox.poll();
    }
    if (next === undefined) return undefined;
    this.counters.datagramsSent += 1;
    this.counters.bytesSent += next.bytes.length;
    return next;
  }

  /** Gives a slot back. */
  release(token: number): void {
    this.#parts.departures.unclaim(token);
  }

  /** Bytes for the registry link, owned by the caller. */
  pollLink(): Uint8Array | undefined {
    return this.#parts.client.pollBytes();
  }

  get hasEvents(): boolean {
    return this.#switchboard.hasEvents;
  }

  pollEvent(): Event | undefined {
    return this.#switchboard.pollEvent();
  }

  // ---- from the application

  /** Opens a connection. @returns Its id, or a code: BUSY, UNREACHABLE (ourselves). */
  dial(now: Millis, peer: number, to: { network: number; port: number }): ConnectionId | ErrorCode {
    if (peer === this.nodeId) return 'UNREACHABLE';
    this.trust.noteContact(now, peer);
    const target = this.#obtain(now, peer);
    const stream = target && dialPeer(this.#parts, now, target, to);
    this.#switchboard.settle(now);
    return stream?.id ?? 'BUSY';
  }

  stream(id: ConnectionId): Stream | undefined {
    return this.streams.get(id);
  }

  /** The application wrote, read or closed: send what came of it. */
  touch(now: Millis, stream: Stream): void {
    stream.peer.usedAt = now;
    this.streams.touch(now, stream);
    this.#switchboard.settle(now);
  }

  /** Sends a datagram, at once or when there is a key. The answer carries `ticket`. @param bytes - Copied. */
  sendDatagram(
    now: Millis,
    peer: number,
    to: { network: number; port: number; sourcePort: number },
    what: { bytes: Uint8Array; ticket: Ticket },
  ): void {
    const target = this.#target(now, peer, what.ticket);
    if (target === undefined) return;
    this.trust.noteContact(now, peer);
    this.#parts.tunnels.contact(now, target);
    this.#parts.datagrams.send(now, target, { ...to, ...what });
    this.#switchboard.settle(now);
  }

  /** Measures the round trip to a peer. The answer carries `ticket` and `{ rttMs, bytes }`. */
  ping(now: Millis, peer: number, what: { payload: Uint8Array; ticket: Ticket; deadline: Millis }): void {
    const target = this.#target(now, peer, what.ticket);
    if (target === undefined) return;
    this.#parts.tunnels.contact(now, target);
    this.#parts.control.ping(now, target, what);
    this.peers.touch(target);
    this.#switchboard.settle(now);
  }

  /** Asks the registry. The answer carries `ticket` and the registry's object. */
  request(now: Millis, ticket: Ticket, request: RegistryRequest): void {
    this.#parts.client.request(now, request, (_, outcome) => {
      this.#switchboard.answer(ticket, outcome.ok ? { ok: true, value: outcome.answer } : outcome);
    });
    this.#switchboard.settle(now);
  }

  /** The node that has a host name. The answer carries `ticket` and the node id. */
  resolve(now: Millis, ticket: Ticket, hostname: string): void {
    this.#parts.directory.name(now, hostname, (_, found) => this.#switchboard.answer(ticket, found));
    this.#switchboard.settle(now);
  }

  /** The application asked or answered for trust through `trust`: do what follows. */
  trustChanged(now: Millis): void {
    this.#switchboard.settle(now);
  }

  explain(peer: number): Explanation {
    return this.#parts.tunnels.explain(peer);
  }

  /** Ends all at once: streams are aborted, keys wiped, questions answered with CLOSED. Poll once more for what is left. */
  close(now: Millis): void {
    if (this.#isClosed) return;
    for (const stream of [...this.streams.all()]) {
      stream.connection.abort(now);
      this.streams.touch(now, stream);
    }
    this.#parts.pump.fill(now);
    this.#parts.departures.seal();
    this.trust.close();
    this.#parts.client.close(now);
    this.#switchboard.settle(now);
    this.#parts.intake.close();
    this.#isClosed = true;
    for (const peer of [...this.peers.all()]) {
      this.#parts.datagrams.fail(peer, 'CLOSED');
      this.peers.remove(peer);
    }
    this.#switchboard.drainAnswers();
    this.#switchboard.drainJobs();
  }

  // ---- inside

  /** Whom a question is for; answers it when there is nobody. */
  #target(now: Millis, id: number, ticket: Ticket): Peer | undefined {
    const peer = id === this.nodeId ? undefined : this.#obtain(now, id);
    if (peer === undefined) this.#switchboard.answer(ticket, failure(id === this.nodeId ? 'UNREACHABLE' : 'BUSY'));
    return peer;
  }

  #obtain(now: Millis, id: number): Peer | undefined {
    return this.peers.obtain(now, id, this.trust.isTrusted(now, id));
  }
}

function failure(code: ErrorCode): Outcome {
  return { ok: false, code, message: code === 'UNREACHABLE' ? 'That is this agent itself' : 'Too many peers' };
}
