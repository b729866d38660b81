/**
 * The tunnels of one endpoint: contact with peers, their keys and paths, and what an opened or refused frame says about
 * both (DP 3.9 to 3.15, 4.9). Above it packets have an authenticated sender; below it they are bytes.
 */
import { Bucket } from '../budget.ts';
import { BUDGETS, type Millis, STRANGER } from '../config.ts';
import { type Engine, RX, RX_NOTE, STATUS } from '../engine/engine.ts';
import { Admission, type Origin } from './admission.ts';
import { type BeaconLink, PUNCH_COPIES, PUNCH_FRAME } from './beacon-link.ts';
import type { Carrier, CarrierReason } from './carrier.ts';
import { type Control, pathOf } from './control.ts';
import type { Departures } from './departures.ts';
import type { Directory } from './directory.ts';
import type { Jobs } from './jobs.ts';
import type { ExchangeContext } from './key-exchange.ts';
import { NO_PATH, type Paths } from './paths.ts';
import type { Peer } from './peer.ts';
import type { Peers } from './peers.ts';
import type { Counters, DropReason } from './stats.ts';
import type { Trust } from './trust.ts';

/** What becomes of contacts. */
export type TunnelNews =
  /** A key authenticated its first frame, or a path changed: what waits can go. */
  | { type: 'ready'; peer: Peer }
  /** No answer to any exchange. */
  | { type: 'silent'; peer: Peer }
  /** The registry knows no such node. */
  | { type: 'unknown'; peer: Peer }
  /** A trusted peer showed another identity key than the pinned one. */
  | { type: 'keyChanged'; peer: number; shown: Uint8Array; pinned: Uint8Array };

/** How a peer is reached, and why that way. */
export interface Explanation {
  readonly path: 'direct' | 'relay' | 'none';
  /** What this agent's datagrams travel in; over a WebSocket all of them go through the relay. */
  readonly carrier: 'udp' | 'websocket';
  /** Why that path. */
  readonly reason: string;
  /** Why that carrier. */
  readonly carrierReason: CarrierReason;
}

interface Parts {
  readonly engine: Engine;
  readonly context: ExchangeContext;
  readonly jobs: Jobs;
  readonly counters: Counters;
  readonly directory: Directory;
  readonly departures: Departures;
  readonly carrier: Carrier;
  readonly paths: Paths;
  readonly peers: Peers;
  readonly control: Control;
  readonly beacon: BeaconLink;
  readonly trust: Trust;
}

/** A located peer is asked for again after this long, if it does not answer. */
const LOCATE_AGAIN_MS: Millis = 10_000;
/** DP 4.9: unanswered exchanges until the relay is tried. */
const RELAY_AFTER = 2;
/** A peer that was heard this recently is alive. */
const ALIVE_MS: Millis = 3_000;
/** DP 3.12: frames in a row that cannot be opened. */
const FAILURES = 5;

const DROPS: { readonly [status: number]: DropReason } = {
  [STATUS.NO_SESSION]: 'noSession',
  [STATUS.RETIRED]: 'retiredEpoch',
  [STATUS.AEAD_FAILED]: 'aeadFailed',
  [STATUS.REPLAY]: 'replay',
  [STATUS.OUTSIDE_WINDOW]: 'outsideWindow',
  [STATUS.TOO_MANY_EPOCHS]: 'tooManyEpochs',
  [STATUS.BAD_PACKET]: 'badPacket',
  [STATUS.BAD_CHECKSUM]: 'badChecksum',
  [STATUS.SPOOFED]: 'spoofed',
  [STATUS.NOT_PILS]: 'tooShort',
};

/** Keys and paths towards all peers. */
export class Tunnels {
  readonly #parts: Parts;
  readonly #admission: Admission;
  /** Public-key work that strangers cause without having shown a signature. */
  readonly #unproven = new Bucket(BUDGETS.verificationsPerSecond[STRANGER]);
  readonly #news: TunnelNews[] = [];
  /** The time of the present call, for the questions of the parts. */
  #now: Millis = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { jobs, directory, counters, peers, trust } = parts;
    this.#admission = new Admission({
      jobs,
      directory,
      counters,
      facts: (sender, origin) => ({
        isTrusted: trust.isTrusted(this.#now, sender),
        isKnownSource: this.#isKnownSource(sender, origin),
        pinnedKey: trust.pinnedKey(this.#now, sender) ?? peers.get(sender)?.identityKey,
      }),
    });
  }

  /** The application wants the peer: find it, and agree on a key. */
  contact(now: Millis, peer: Peer): void {
    const { directory, beacon, departures, paths } = this.#parts;
    peer.contactedAt = now;
    peer.usedAt = now;
    beacon.noteContact(now);
    if (peer.exchange.hasSession || peer.isLocating || departures.nodeId === 0) return;
    if (now - peer.locatedAt < LOCATE_AGAIN_MS) {
      if (peer.isUnknown) this.#news.push({ type: 'unknown', peer });
      this.#begin(now, peer);
      return;
    }
    // Where it was before it probably still is; a registry that is down must not hold that up.
    if (peer.path.direct !== NO_PATH) this.#begin(now, peer);
    peer.isLocating = true;
    peer.isUnknown = false;
    directory.location(now, peer.id, (at, found) => {
      peer.isLocating = false;
      peer.locatedAt = at;
      if (found.ok) {
        const { host, port, isRelayOnly } = found.value;
        this.#suggest(peer, paths.intern(host, port), isRelayOnly);
      } else if (found.code === 'NOT_FOUND') {
        this.#askWhetherItExists(at, peer);
      }
      this.#begin(at, peer);
    });
  }

  /** A key-exchange frame. @param frame - Borrowed. */
  handleExchange(now: Millis, frame: Uint8Array, origin: Origin): void {
    const { departures, counters, peers, trust } = this.#parts;
    this.#now = now;
    if (departures.nodeId === 0) {
      counters.drop('notRegistered');
      return;
    }
    const message = this.#admission.read(now, frame, origin, departures.nodeId);
    if (message === undefined) return;
    const known = peers.get(message.sender);
    if (message.authenticated) {
      if (known?.exchange.isUnchanged(message.exchangeKey) !== true) {
        this.#admission.verify(now, message, origin);
        return;
      }
      this.#setAskedFrom(known, wayBack(origin));
      known.exchange.handleUnchanged(now, message.exchangeKey);
      peers.touch(known);
      return;
    }
    // DP 3.10: a PILK is answered and never a session source.
    const peer = this.#unprovenPeer(now, message.sender, trust.isTrusted(now, message.sender));
    if (peer === undefined) return;
    this.#setAskedFrom(peer, wayBack(origin));
    peer.exchange.handleKeyRequest(now);
    peers.touch(peer);
  }

  /**
   * Looks at the record that starts at word `at`.
   *
   * @returns The sender, when the frame was opened: the packet may be handed on.
   */
  handleRecord(now: Millis, at: number, origin: Origin): Peer | undefined {
    const { engine, counters, peers } = this.#parts;
    const { receive } = engine;
    const sender = receive[at + RX.sender]!;
    const status = receive[at + RX.status]!;
    if (status !== STATUS.OK) {
      counters.drop(DROPS[status] ?? 'badPacket');
      this.#handleRefused(now, at, origin);
      return undefined;
    }
    const peer = peers.get(sender);
    if (peer === undefined) {
      counters.drop('noSession');
      return undefined;
    }
    const note = receive[at + RX.note]!;
    const isNew = peer.exchange.handleAuthenticated(now, receive[at + RX.session]!, {
      retired: (note >>> 8) & 0xff,
      isCollision: (note & RX_NOTE.prefixCollision) !== 0,
    });
    peer.noteReceived(now);
    counters.framesOpened += 1;
    if (origin.isRelayed) peer.path.handleRelayed(now);
    else this.#moveTo(now, peer, origin.path);
    if (isNew) {
      peer.startCapabilities(now);
      this.#news.push({ type: 'ready', peer });
    }
    if (isNew || peer.isHeld || peer.path.isRelayed) peers.touch(peer);
    return peer;
  }

  /** Public-key work was done: take what passed. */
  drain(now: Millis): void {
    this.#now = now;
    for (let v = this.#admission.poll(); v !== undefined; v = this.#admission.poll()) {
      const { peers, trust, counters } = this.#parts;
      if (!trust.noteKey(now, v.sender, v.identityKey)) {
        counters.drop('exchangeKeyMismatch');
        continue;
      }
      const peer = peers.obtain(now, v.sender, trust.isTrusted(now, v.sender));
      if (peer === undefined) {
        this.#parts.counters.drop('peersFull');
        continue;
      }
      peer.identityKey = v.identityKey;
      this.#setAskedFrom(peer, wayBack(v.origin));
      // DP 3.10 step 9; a replayed exchange must not lead away from where the peer is.
      const isLost = peer.path.direct === NO_PATH && !peer.path.isRelayOnly;
      if (!v.origin.isRelayed && isLost) this.#suggest(peer, v.origin.path, false);
      peer.exchange.handleVerified(now, v.exchangeKey);
      this.#parts.peers.touch(peer);
    }
    for (let change = this.#admission.pollKeyChange(); change; change = this.#admission.pollKeyChange()) {
      this.#news.push({ type: 'keyChanged', peer: change.sender, shown: change.shown, pinned: change.pinned });
    }
  }

  /** Everything that a peer's timers and events ask for, then sends what came of it. @returns False: it was forgotten. */
  tend(now: Millis, peer: Peer): boolean {
    const { exchange, path } = peer;
    const { control, counters, departures, peers } = this.#parts;
    const wasWaiting = exchange.isWaiting;
    const { unanswered } = exchange;
    exchange.handleTimeout(now, departures.nodeId < peer.id || !peer.isOwn);
    // Before the send that is due now: two had their time to be answered.
    if (exchange.unanswered > unanswered && unanswered >= RELAY_AFTER && !exchange.hasSession)
      path.handleUnanswered(now);
    if (wasWaiting && !exchange.isWaiting && !exchange.hasSession) this.#news.push({ type: 'silent', peer });
    const isReleased = peer.isHeld && exchange.sendSession(now) >= 0;
    if (isReleased) this.#news.push({ type: 'ready', peer });
    this.#sendExchanges(peer);
    for (let session = exchange.pollProbe(); session >= 0; session = exchange.pollProbe()) {
      control.proveKey(now, peer, session);
    }
    const wasRelayed = path.isRelayed;
    if (path.handleTimeout(now) && peer.isWanted(now)) this.#tryDirect(now, peer);
    if (wasRelayed !== path.isRelayed) this.#news.push({ type: 'ready', peer });
    this.#probeMtu(now, peer);
    const step = peer.pollCapabilities(now);
    if (step === 'send') control.sendCapabilities(now, peer);
    else if (step === 'lost') counters.capabilitiesLost += 1;
    if (now >= peer.keepaliveAt()) control.sendKeepalive(now, peer);
    if (now >= peer.forgetAt() && !peer.isWanted(now)) {
      peers.remove(peer);
      return false;
    }
    peers.schedule(peer);
    return true;
  }

  /** The peer is trusted now: the registry tells its address, which it kept from us before. */
  handleTrusted(now: Millis, peer: Peer): void {
    this.#parts.directory.forgetLocation(peer.id);
    peer.path.retry(now);
    this.#parts.peers.touch(peer);
  }

  /** The machine slept: the paths to peers in use are tried. */
  handleWake(now: Millis): void {
    for (const peer of this.#parts.peers.all()) {
      if (!peer.isWanted(now)) continue;
      this.#parts.control.proveDirect(now, peer);
      peer.path.retry(now);
      this.#parts.peers.touch(peer);
    }
  }

  /** Another carrier, and with it no direct path: everything in use goes on through the relay. */
  handleCarrier(): void {
    for (const peer of this.#parts.peers.all()) {
      this.#parts.paths.release(peer.path.leave());
      this.#setAskedFrom(peer, NO_PATH);
      this.#news.push({ type: 'ready', peer });
      this.#parts.peers.touch(peer);
    }
  }

  /** A session sealed its last frame. */
  handleExhausted(now: Millis, id: number, session: number): void {
    const peer = this.#parts.peers.get(id);
    if (peer === undefined) return;
    peer.exchange.handleExhausted(now, session);
    this.#parts.peers.touch(peer);
  }

  /** The network said that nothing listens at an address (ICMP): not proof, but no reason to go on waiting. */
  handleUnreachable(now: Millis, path: number): void {
    for (const peer of this.#parts.peers.all()) {
      if (peer.path.direct !== path || peer.path.isRelayed) continue;
      peer.path.handleUnanswered(now);
      this.#parts.peers.touch(peer);
    }
  }

  /** Sends the packets that open our NAT towards an address. */
  punch(path: number): void {
    for (let i = 0; i < PUNCH_COPIES; i++) this.#parts.departures.sendBare(PUNCH_FRAME, path);
  }

  /** How a peer is reached now. */
  explain(id: number): Explanation {
    const peer = this.#parts.peers.get(id);
    const { name, reason: carrierReason } = this.#parts.carrier;
    const by = { carrier: name, carrierReason } as const;
    if (peer === undefined) return { path: 'none', ...by, reason: 'no-contact-yet' };
    const { path } = peer;
    const way = !peer.exchange.hasSession ? 'none' : path.isRelayed ? 'relay' : 'direct';
    if (name === 'websocket') return { path: way, ...by, reason: 'websocket-carries-relays-only' };
    const isUnknown = path.direct === NO_PATH && path.isRelayed && !path.isRelayOnly;
    const reason = isUnknown ? 'address-unknown' : path.reason;
    return { path: way, ...by, reason };
  }

  pollNews(): TunnelNews | undefined {
    return this.#news.shift();
  }

  #begin(now: Millis, peer: Peer): void {
    const { peers } = this.#parts;
    this.#requestPunch(now, peer);
    peer.exchange.begin(now);
    peers.touch(peer);
  }

  /** A number that nobody has fails at once; a private node that does not show itself is still tried by the relay. */
  #askWhetherItExists(now: Millis, peer: Peer): void {
    this.#parts.directory.key(now, peer.id, (_, found) => {
      peer.isUnknown = !found.ok && found.code === 'NOT_FOUND';
      if (peer.isUnknown) this.#news.push({ type: 'unknown', peer });
    });
  }

  #requestPunch(now: Millis, peer: Peer): void {
    const { beacon, departures, carrier } = this.#parts;
    // There is nothing to punch from.
    if (carrier.name === 'websocket') return;
    const request = beacon.punchRequest(now, departures.nodeId, peer.id);
    if (request !== undefined && departures.beaconPath !== NO_PATH) departures.sendBare(request, departures.beaconPath);
  }

  /** Relayed peers are tried directly now and then (DP 4.9). */
  #tryDirect(now: Millis, peer: Peer): void {
    const { directory, control, paths, peers, carrier } = this.#parts;
    if (carrier.name === 'websocket') return;
    this.#requestPunch(now, peer);
    control.proveDirect(now, peer);
    directory.location(now, peer.id, (at, found) => {
      if (found.ok && !found.value.isRelayOnly)
        this.#suggest(peer, paths.intern(found.value.host, found.value.port), false);
      if (at > now) control.proveDirect(at, peer);
      this.#parts.departures.seal();
      peers.touch(peer);
    });
  }

  #sendExchanges(peer: Peer): void {
    const { departures } = this.#parts;
    for (let next = peer.exchange.pollFrame(); next !== undefined; next = peer.exchange.pollFrame()) {
      const via = next.isAnswer ? peer.askedFrom : pathOf(peer);
      departures.sendPlain(next.frame, peer.id, via);
      if (next.relayCopy && via !== NO_PATH) departures.sendPlain(next.frame, peer.id, NO_PATH);
    }
  }

  #handleRefused(now: Millis, at: number, origin: Origin): void {
    const { receive } = this.#parts.engine;
    const sender = receive[at + RX.sender]!;
    const status = receive[at + RX.status]!;
    const { peers, departures, trust } = this.#parts;
    const isForUs = sender !== 0 && sender !== departures.nodeId && departures.nodeId !== 0;
    if (status === STATUS.NO_SESSION) {
      // DP appendix D 11: a restarted peer of the existing network waits for our exchange.
      const peer = isForUs ? this.#unprovenPeer(now, sender, trust.isTrusted(now, sender)) : undefined;
      if (peer === undefined) return;
      if (!origin.isRelayed && peer.path.direct === NO_PATH) this.#suggest(peer, origin.path, false);
      peer.exchange.handleUnreadable(now);
      peers.touch(peer);
      return;
    }
    const peer = peers.get(sender);
    if (peer === undefined) return;
    const isNewest = (receive[at + RX.note]! & RX_NOTE.newest) !== 0;
    const isFailure =
      status === STATUS.AEAD_FAILED ||
      ((status === STATUS.REPLAY || status === STATUS.OUTSIDE_WINDOW) && isNewest) ||
      status === STATUS.TOO_MANY_EPOCHS;
    // A key that works at this moment is not in doubt, whoever forges or replays frames beside it.
    if (!isFailure || (now - peer.receivedAt < ALIVE_MS && status !== STATUS.TOO_MANY_EPOCHS)) return;
    peer.failures += 1;
    // Forged frames can lead here: a new key is offered, and nothing that works is given up (DP 3.16 point 7).
    if (peer.failures < FAILURES && status !== STATUS.TOO_MANY_EPOCHS) return;
    peer.failures = 0;
    peer.exchange.handleUnreadable(now);
    peers.touch(peer);
  }

  /** A peer for a frame that proves nothing; costs of strangers are bounded. */
  #unprovenPeer(now: Millis, sender: number, isTrusted: boolean): Peer | undefined {
    const { counters, peers } = this.#parts;
    if (!isTrusted && !this.#unproven.take(now)) {
      counters.drop('exchangeBudget');
      return undefined;
    }
    const peer = peers.obtain(now, sender, isTrusted);
    if (peer === undefined) counters.drop('peersFull');
    return peer;
  }

  #setAskedFrom(peer: Peer, path: number): void {
    const { paths } = this.#parts;
    if (path === peer.askedFrom) return;
    paths.release(peer.askedFrom);
    paths.hold(path);
    peer.askedFrom = path;
  }

  /** Where the peer was heard under a key that works: frames in its name from there have more credit. */
  #isKnownSource(sender: number, origin: Origin): boolean {
    const peer = this.#parts.peers.get(sender);
    if (peer === undefined || !peer.exchange.isProven) return false;
    if (origin.isRelayed) return peer.path.isRelayed;
    return peer.path.isProven && this.#parts.paths.host(peer.path.direct) === origin.source;
  }

  #suggest(peer: Peer, path: number, isRelayOnly: boolean): void {
    if (this.#parts.carrier.name === 'websocket') return;
    const before = peer.path.direct;
    if (peer.path.suggest(path, isRelayOnly)) this.#exchangeHold(before, path);
  }

  #moveTo(now: Millis, peer: Peer, path: number): void {
    const before = peer.path.direct;
    if (!peer.path.handleDirect(now, path)) return;
    this.#exchangeHold(before, path);
    peer.mtu?.reset();
  }

  #probeMtu(now: Millis, peer: Peer): void {
    const { mtu, path } = peer;
    if (mtu === undefined) return;
    // Whatever the direct path carried: when it comes back it may be another.
    if (path.isRelayed) mtu.reset();
    mtu.handleTimeout(now);
    const probe = mtu.poll();
    if (probe !== undefined) this.#parts.control.probeMtu(now, peer, probe);
  }

  #exchangeHold(before: number, path: number): void {
    this.#parts.paths.hold(path);
    this.#parts.paths.release(before);
  }
}

/** The path of an answer, or NO_PATH: through the beacon. */
function wayBack(origin: Origin): number {
  return origin.isRelayed ? NO_PATH : origin.path;
}
