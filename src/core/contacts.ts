/**
 * One agent's dealings with others: datagrams of peers and calls of the application go in, and what one part says of
 * them is translated for the others (design: the seam). A page loads this with the first peer that it speaks with; the
 * endpoint holds it, and drains it with the rest.
 */
import type { Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { PORT } from '../wire/packet.ts';
import { type ConnectionId, EVENT, type Outcome, type RegistryObject, type Ticket } from './events.ts';
import { INTAKE } from './intake.ts';
import { createParts, dialPeer, type Means, type Parts } from './parts.ts';
import type { Peer } from './peer.ts';
import type { Peers } from './peers.ts';
import type { Presence } from './presence.ts';
import type { Stream, Streams } from './streams.ts';
import type { Trust } from './trust.ts';
import type { Explanation } from './tunnels.ts';

/** The peers of one endpoint. What a call changed takes effect when the endpoint settles: `settle` is called for it. */
export class Contacts {
  readonly streams: Streams;
  readonly peers: Peers;
  readonly trust: Trust;
  readonly #parts: Parts;
  /** Carries on what changed, in all of the endpoint. */
  readonly #settle: (now: Millis) => void;

  constructor(presence: Presence, means: Means, settle: (now: Millis) => void) {
    this.#parts = createParts(presence, means);
    this.#settle = settle;
    this.streams = this.#parts.streams;
    this.peers = this.#parts.peers;
    this.trust = this.#parts.trust;
  }

  // ---- from the endpoint

  /** We have a node id. */
  handleRegistered(now: Millis, nodeId: number): void {
    const { context, departures, directory } = this.#parts;
    context.nodeId = nodeId;
    departures.nodeId = nodeId;
    directory.nodeId = nodeId;
    this.trust.setLocalId(now, nodeId);
  }

  /** Where the beacon is, or NO_PATH. */
  set beaconPath(path: number) {
    this.#parts.departures.beaconPath = path;
  }

  /** As `Endpoint.handleDatagram`. */
  handleDatagram(now: Millis, path: number, bytes: Uint8Array): boolean {
    const result = this.#parts.intake.handle(now, path, bytes);
    if (result === INTAKE.done) this.#settle(now);
    return result !== INTAKE.full;
  }

  get isBatchFull(): boolean {
    return this.#parts.intake.isFull;
  }

  handleBatch(now: Millis): void {
    this.#parts.intake.handleBatch(now);
  }

  handleMailbox(now: Millis, answer: RegistryObject): void {
    this.#parts.delivery.handleMailbox(now, answer);
  }

  handleTrustSaved(now: Millis): void {
    this.#parts.delivery.handleSaved(now);
  }

  handleUnreachable(now: Millis, path: number): void {
    this.#parts.tunnels.handleUnreachable(now, path);
  }

  /** From now on everything goes over the WebSocket. */
  handleCarrier(): void {
    this.#parts.tunnels.handleCarrier();
  }

  handleWake(now: Millis): void {
    this.#parts.tunnels.handleWake(now);
  }

  setUnixOffset(unixOffset: Millis): void {
    this.#parts.delivery.setUnixOffset(unixOffset);
    this.trust.setUnixOffset(unixOffset);
  }

  /** A job was done that concerns a peer. */
  touchPeer(id: number): void {
    const peer = this.peers.get(id);
    if (peer !== undefined) this.peers.touch(peer);
  }

  handleTimeout(now: Millis): void {
    this.#parts.pump.handleTimeout(now);
    this.streams.handleTimeout(now);
    this.#parts.delivery.handleTimeout(now);
    for (let peer = this.peers.pollDue(now); peer !== undefined; peer = this.peers.pollDue(now)) this.peers.touch(peer);
  }

  pollTimeout(): Millis {
    const { pump, delivery } = this.#parts;
    return Math.min(pump.pollTimeout(), this.streams.pollTimeout(), delivery.pollTimeout(), this.peers.pollTimeout());
  }

  /** Seals what streams have to send, into the outbox. */
  fill(now: Millis): void {
    this.#parts.pump.fill(now);
    this.#parts.departures.seal();
    this.#handleExhausted(now);
  }

  /** Gives a slot back. */
  release(token: number): void {
    this.#parts.departures.unclaim(token);
  }

  /** Ends all streams at once, and has written what was to be written soon. */
  abort(now: Millis): void {
    for (const stream of [...this.streams.all()]) {
      stream.connection.abort(now);
      this.streams.touch(now, stream);
    }
    this.#parts.pump.fill(now);
    this.#parts.departures.seal();
    this.trust.close();
  }

  /** Forgets all peers; their keys are wiped and what waits for them is answered with CLOSED. */
  close(): void {
    this.#parts.intake.close();
    for (const peer of [...this.peers.all()]) {
      this.#parts.datagrams.fail(peer, 'CLOSED');
      this.peers.remove(peer);
    }
    this.#drainAnswers();
  }

  // ---- from the application

  /** Opens a connection. @returns Its id, or a code: BUSY, UNREACHABLE (ourselves). */
  dial(now: Millis, peer: number, to: { network: number; port: number }): ConnectionId | ErrorCode {
    if (this.#isOurs(peer)) return 'UNREACHABLE';
    this.trust.noteContact(now, peer);
    const target = this.#obtain(now, peer);
    const stream = target && dialPeer(this.#parts, now, target, to);
    this.#settle(now);
    return stream?.id ?? 'BUSY';
  }

  stream(id: ConnectionId): Stream | undefined {
    return this.streams.get(id);
  }

  /** The application wrote, read or closed: send what came of it. */
  touch(now: Millis, stream: Stream): void {
    stream.peer.usedAt = now;
    this.streams.touch(now, stream);
    this.#settle(now);
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
    this.#settle(now);
  }

  /** Measures the round trip to a peer. The answer carries `ticket` and `{ rttMs, bytes }`. */
  ping(now: Millis, peer: number, what: { payload: Uint8Array; ticket: Ticket; deadline: Millis }): void {
    const target = this.#target(now, peer, what.ticket);
    if (target === undefined) return;
    this.#parts.tunnels.contact(now, target);
    this.#parts.control.ping(now, target, what);
    this.peers.touch(target);
    this.#settle(now);
  }

  /** The node that has a host name. The answer carries `ticket` and the node id. */
  resolve(now: Millis, ticket: Ticket, hostname: string): void {
    this.#parts.directory.name(now, hostname, (_, found) => this.#answer(ticket, found));
    this.#settle(now);
  }

  /** The application asked or answered for trust through `trust`: do what follows. */
  trustChanged(now: Millis): void {
    this.#settle(now);
  }

  explain(peer: number): Explanation {
    return this.#parts.tunnels.explain(peer);
  }

  // ---- the news between the parts

  /** Drains the parts into each other until none has news. */
  settle(now: Millis): void {
    const { tunnels, control, delivery } = this.#parts;
    tunnels.drain(now);
    for (let peer = this.peers.pollTouched(); peer !== undefined; peer = this.peers.pollTouched()) {
      if (tunnels.tend(now, peer)) control.expire(now, peer);
    }
    this.#drainTunnels(now);
    this.#drainStreams(now);
    delivery.drain(now);
    this.#drainDelivery(now);
    this.#drainStreams(now);
  }

  /** Tells the answers, and seals what came of all that. */
  finish(now: Millis): void {
    this.#drainAnswers();
    this.#parts.departures.seal();
    this.#handleExhausted(now);
  }

  /** Sessions that sealed their last frame. */
  #handleExhausted(now: Millis): void {
    const { departures, tunnels } = this.#parts;
    for (let one = departures.pollExhausted(); one !== undefined; one = departures.pollExhausted()) {
      tunnels.handleExhausted(now, one.peer, one.session);
    }
  }

  #drainTunnels(now: Millis): void {
    const { tunnels, streams, datagrams, control, events } = this.#parts;
    for (let news = tunnels.pollNews(); news !== undefined; news = tunnels.pollNews()) {
      switch (news.type) {
        case 'ready':
          news.peer.isHeld = false;
          streams.wake(news.peer);
          datagrams.flush(now, news.peer);
          control.flush(now, news.peer);
          break;
        case 'silent':
          datagrams.fail(news.peer, 'NOT_TRUSTED_OR_SILENT');
          break;
        case 'unknown':
          datagrams.fail(news.peer, 'NOT_FOUND');
          control.fail(news.peer, 'NOT_FOUND');
          this.#endStreams(now, news.peer, 'NOT_FOUND');
          break;
        case 'keyChanged': {
          const { peer, shown, pinned } = news;
          events.push({ type: 'trust', event: { type: 'keyChanged', peer, shown, pinned } });
        }
      }
    }
  }

  #endStreams(now: Millis, peer: Peer, code: ErrorCode): void {
    for (const id of [...peer.streams.values()]) {
      const stream = this.streams.get(id);
      if (stream === undefined) continue;
      stream.failure = code;
      stream.connection.abort(now);
      this.streams.touch(now, stream);
    }
  }

  #drainStreams(now: Millis): void {
    const { streams, delivery, events } = this.#parts;
    for (let news = streams.pollNews(); news !== undefined; news = streams.pollNews()) {
      const { stream } = news;
      if (delivery.owns(stream) || (news.type === 'accepted' && stream.localPort === PORT.trust)) {
        delivery.handleStream(now, stream, news.type === 'accepted' ? EVENT.connected : news.bits);
        continue;
      }
      if (news.type === 'bits') {
        events.push({ type: 'connection', connection: stream.id, bits: news.bits });
        continue;
      }
      const { peer, network, peerPort, localPort: port } = stream;
      events.push({ type: 'accepted', connection: stream.id, peer: peer.id, network, peerPort, port });
    }
  }

  #drainDelivery(now: Millis): void {
    const { delivery, registration, events } = this.#parts;
    for (let news = delivery.pollNews(); news !== undefined; news = delivery.pollNews()) {
      switch (news.type) {
        case 'save':
          events.push({ type: 'saveTrust', text: news.text });
          break;
        case 'event':
          events.push({ type: 'trust', event: news.event });
          break;
        case 'acknowledge':
          registration.acknowledgeMailbox(news.seq);
          break;
        case 'changed':
          this.#handleTrustChanged(now, news.peer);
          break;
        case 'tearDown':
          this.#tearDown(now, news.peer);
      }
    }
    registration.setFastPoll(now, this.trust.isAwaiting(now));
  }

  #handleTrustChanged(now: Millis, id: number): void {
    const peer = this.peers.get(id);
    if (peer === undefined) return;
    this.peers.setTrusted(peer, this.trust.isTrusted(now, id));
    if (peer.isTrusted) this.#parts.tunnels.handleTrusted(now, peer);
  }

  #tearDown(now: Millis, id: number): void {
    const { pump, departures, datagrams, control } = this.#parts;
    const peer = this.peers.get(id);
    if (peer === undefined) return;
    this.#endStreams(now, peer, 'NOT_TRUSTED');
    pump.fill(now);
    departures.seal();
    datagrams.fail(peer, 'NOT_TRUSTED');
    control.fail(peer, 'NOT_TRUSTED');
    this.peers.remove(peer);
  }

  /** Answers to the application's questions, and the datagrams for it. */
  #drainAnswers(): void {
    const { control, datagrams, events } = this.#parts;
    for (const part of [control, datagrams]) {
      for (let one = part.pollAnswer(); one !== undefined; one = part.pollAnswer()) {
        this.#answer(one.ticket, one.outcome);
      }
    }
    for (let one = datagrams.poll(); one !== undefined; one = datagrams.poll()) {
      events.push({ type: 'datagram', ...one });
    }
  }

  #answer(ticket: Ticket, outcome: Outcome): void {
    this.#parts.events.push({ type: 'answer', ticket, outcome });
  }

  // ---- inside

  /** Whom a question is for; answers it when there is nobody. */
  #target(now: Millis, id: number, ticket: Ticket): Peer | undefined {
    const isOurs = this.#isOurs(id);
    const peer = isOurs ? undefined : this.#obtain(now, id);
    if (peer === undefined) this.#answer(ticket, failure(isOurs ? 'UNREACHABLE' : 'BUSY'));
    return peer;
  }

  #isOurs(id: number): boolean {
    return id === this.#parts.context.nodeId;
  }

  #obtain(now: Millis, id: number): Peer | undefined {
    return this.peers.obtain(now, id, this.trust.isTrusted(now, id));
  }
}

function failure(code: ErrorCode): Outcome {
  return { ok: false, code, message: code === 'UNREACHABLE' ? 'That is this agent itself' : 'Too many peers' };
}
