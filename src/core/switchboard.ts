/**
 * Where the parts of an endpoint hear of each other: it drains each, translates what it says for the others, and collects
 * what the driver is to hear. It decides nothing.
 */
import type { Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { PORT } from '../wire/packet.ts';
import { EVENT } from './connection.ts';
import type { Event, Outcome, Ticket } from './events.ts';
import type { Parts } from './parts.ts';
import { NO_PATH } from './paths.ts';
import type { Peer } from './peer.ts';

/** The registry link; there is one. */
const REGISTRY_LINK = 0;

/** The news between the parts of one endpoint. */
export class Switchboard {
  readonly #parts: Parts;
  readonly #events: Event[] = [];
  #isCarrierTold = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get hasEvents(): boolean {
    return this.#events.length > 0;
  }

  pollEvent(): Event | undefined {
    return this.#events.shift();
  }

  /** Sessions that sealed their last frame. */
  handleExhausted(now: Millis): void {
    for (
      let one = this.#parts.departures.pollExhausted();
      one !== undefined;
      one = this.#parts.departures.pollExhausted()
    ) {
      this.#parts.tunnels.handleExhausted(now, one.peer, one.session);
    }
  }

  /** Drains the parts into each other until none has news, then seals what came of it. */
  settle(now: Millis): void {
    this.#drainBridge(now);
    this.#drainRegistration(now);
    this.#parts.tunnels.drain(now);
    for (let peer = this.#parts.peers.pollTouched(); peer !== undefined; peer = this.#parts.peers.pollTouched()) {
      if (this.#parts.tunnels.tend(now, peer)) this.#parts.control.expire(now, peer);
    }
    this.#drainTunnels(now);
    this.#drainStreams(now);
    this.#parts.delivery.drain(now);
    this.#drainDelivery(now);
    this.#drainStreams(now);
    this.#drainRegistration(now);
    this.drainAnswers();
    this.#parts.departures.seal();
    this.handleExhausted(now);
    this.drainJobs();
  }

  #drainRegistration(now: Millis): void {
    for (
      let news = this.#parts.registration.pollNews();
      news !== undefined;
      news = this.#parts.registration.pollNews()
    ) {
      if (news.type === 'registered') {
        this.#parts.context.nodeId = news.nodeId;
        this.#parts.departures.nodeId = news.nodeId;
        this.#parts.directory.nodeId = news.nodeId;
        this.#parts.trust.setLocalId(now, news.nodeId);
        if (this.#parts.carrier.wantsBridge) this.#parts.bridge.start(now, news.nodeId);
        this.#events.push(news);
      } else if (news.type === 'state') {
        this.#events.push({ ...news, type: 'registryState' });
      } else if (news.type === 'beacon') {
        this.#parts.carrier.handleAsked(now);
        if (this.#parts.carrier.name === 'udp') this.#setBeaconPath(this.#parts.paths.intern(news.host, news.port));
      } else {
        this.#parts.delivery.handleMailbox(now, news.answer);
      }
    }
    for (
      let frame = this.#parts.registration.pollFrame();
      frame !== undefined;
      frame = this.#parts.registration.pollFrame()
    ) {
      this.#parts.departures.sendBare(frame, this.#parts.departures.beaconPath);
    }
  }

  #setBeaconPath(path: number): void {
    const { paths, departures } = this.#parts;
    paths.hold(path);
    paths.release(departures.beaconPath);
    departures.beaconPath = path;
  }

  #drainBridge(now: Millis): void {
    const { bridge, carrier, registration } = this.#parts;
    if (!carrier.wantsBridge && bridge.isActive) bridge.stop();
    for (let news = bridge.pollNews(); news !== undefined; news = bridge.pollNews()) {
      if (news.type === 'ready') {
        this.#handleReady(now);
      } else if (news.type === 'notRegistered') {
        registration.registerAgain(now);
      } else {
        const code = news.type === 'replaced' ? 'REPLACED' : news.error;
        carrier.handleFailed(code);
        if (carrier.name === 'websocket') this.#setBeaconPath(NO_PATH);
        this.#events.push({ type: 'carrier', state: news.type, code, closed: news.code });
      }
    }
    // Also when the beacon answers over UDP, or nothing works.
    if (carrier.isDecided && !this.#isCarrierTold) this.#tellCarrier();
  }

  /** The WebSocket works: from here on it is the beacon, and there are no other paths. */
  #handleReady(now: Millis): void {
    const { carrier, socketPath, registration, tunnels } = this.#parts;
    const isChange = carrier.handleReady();
    if (carrier.name !== 'websocket') return;
    this.#setBeaconPath(socketPath);
    if (isChange) {
      registration.setRelayOnly(now);
      tunnels.handleCarrier();
    }
    this.#tellCarrier();
  }

  #tellCarrier(): void {
    this.#isCarrierTold = true;
    this.#events.push({ type: 'carrier', state: 'ready', code: undefined, closed: 0 });
  }

  #drainTunnels(now: Millis): void {
    for (let news = this.#parts.tunnels.pollNews(); news !== undefined; news = this.#parts.tunnels.pollNews()) {
      switch (news.type) {
        case 'ready':
          news.peer.isHeld = false;
          this.#parts.streams.wake(news.peer);
          this.#parts.datagrams.flush(now, news.peer);
          this.#parts.control.flush(now, news.peer);
          break;
        case 'silent':
          this.#parts.datagrams.fail(news.peer, 'NOT_TRUSTED_OR_SILENT');
          break;
        case 'unknown':
          this.#parts.datagrams.fail(news.peer, 'NOT_FOUND');
          this.#parts.control.fail(news.peer, 'NOT_FOUND');
          this.#endStreams(now, news.peer, 'NOT_FOUND');
          break;
        case 'keyChanged': {
          const { peer, shown, pinned } = news;
          this.#events.push({ type: 'trust', event: { type: 'keyChanged', peer, shown, pinned } });
        }
      }
    }
  }

  #endStreams(now: Millis, peer: Peer, code: ErrorCode): void {
    for (const id of [...peer.streams.values()]) {
      const stream = this.#parts.streams.get(id);
      if (stream === undefined) continue;
      stream.failure = code;
      stream.connection.abort(now);
      this.#parts.streams.touch(now, stream);
    }
  }

  #drainStreams(now: Millis): void {
    for (let news = this.#parts.streams.pollNews(); news !== undefined; news = this.#parts.streams.pollNews()) {
      const { stream } = news;
      if (this.#parts.delivery.owns(stream) || (news.type === 'accepted' && stream.localPort === PORT.trust)) {
        this.#parts.delivery.handleStream(now, stream, news.type === 'accepted' ? EVENT.connected : news.bits);
        continue;
      }
      if (news.type === 'bits') {
        this.#events.push({ type: 'connection', connection: stream.id, bits: news.bits });
        continue;
      }
      const { peer, network, peerPort, localPort: port } = stream;
      this.#events.push({ type: 'accepted', connection: stream.id, peer: peer.id, network, peerPort, port });
    }
  }

  #drainDelivery(now: Millis): void {
    for (let news = this.#parts.delivery.pollNews(); news !== undefined; news = this.#parts.delivery.pollNews()) {
      switch (news.type) {
        case 'save':
          this.#events.push({ type: 'saveTrust', text: news.text });
          break;
        case 'event':
          this.#events.push({ type: 'trust', event: news.event });
          break;
        case 'acknowledge':
          this.#parts.registration.acknowledgeMailbox(news.seq);
          break;
        case 'changed': {
          const peer = this.#parts.peers.get(news.peer);
          if (peer === undefined) break;
          this.#parts.peers.setTrusted(peer, this.#parts.trust.isTrusted(now, news.peer));
          if (peer.isTrusted) this.#parts.tunnels.handleTrusted(now, peer);
          break;
        }
        case 'tearDown': {
          const peer = this.#parts.peers.get(news.peer);
          if (peer === undefined) break;
          this.#endStreams(now, peer, 'NOT_TRUSTED');
          this.#parts.pump.fill(now);
          this.#parts.departures.seal();
          this.#parts.datagrams.fail(peer, 'NOT_TRUSTED');
          this.#parts.control.fail(peer, 'NOT_TRUSTED');
          this.#parts.peers.remove(peer);
        }
      }
    }
    this.#parts.registration.setFastPoll(now, this.#parts.trust.isAwaiting(now));
  }

  /** Answers to the application's questions. */
  drainAnswers(): void {
    for (
      let answer = this.#parts.control.pollAnswer();
      answer !== undefined;
      answer = this.#parts.control.pollAnswer()
    ) {
      this.answer(answer.ticket, answer.outcome);
    }
    for (
      let answer = this.#parts.datagrams.pollAnswer();
      answer !== undefined;
      answer = this.#parts.datagrams.pollAnswer()
    ) {
      this.answer(answer.ticket, answer.outcome);
    }
    for (let one = this.#parts.datagrams.poll(); one !== undefined; one = this.#parts.datagrams.poll()) {
      this.#events.push({ type: 'datagram', ...one });
    }
  }

  /** Work for the driver. */
  drainJobs(): void {
    for (let job = this.#parts.jobs.poll(); job !== undefined; job = this.#parts.jobs.poll()) {
      this.#events.push({ type: 'job', ...job });
    }
    for (let command = this.#parts.client.pollCommand(); command; command = this.#parts.client.pollCommand()) {
      this.#events.push({ type: command === 'open' ? 'openLink' : 'closeLink', link: REGISTRY_LINK });
    }
    const { bridge } = this.#parts;
    for (let command = bridge.pollCommand(); command !== undefined; command = bridge.pollCommand()) {
      if (command.type === 'send') this.#events.push({ type: 'sendBridge', message: command.message });
      else this.#events.push({ type: command.type === 'open' ? 'openBridge' : 'closeBridge' });
    }
  }

  /** Answers a question. */
  answer(ticket: Ticket, outcome: Outcome): void {
    this.#events.push({ type: 'answer', ticket, outcome });
  }
}
