/**
 * One remote node: its keys, its path, what waits for a key, the pings under way and what it said it can do. The
 * endpoint feeds and drains it; streams live in streams.ts.
 */
import { type Bytes, LIMITS, type Millis, TIMERS } from '../config.ts';
import { CAPABILITY, type Capabilities } from '../wire/control.ts';
import { type ExchangeContext, KeyExchange } from './key-exchange.ts';
import { Path } from './path.ts';
import { BASE_SEGMENT, PathMtu } from './path-mtu.ts';
import { NO_PATH } from './paths.ts';

/** A datagram of the application that waits for a key. */
export interface WaitingDatagram {
  readonly ticket: number;
  readonly network: number;
  readonly sourcePort: number;
  readonly port: number;
  readonly bytes: Uint8Array;
}

/** A ping that waits for a key. */
export interface WaitingPing {
  readonly ticket: number;
  readonly deadline: Millis;
  readonly payload: Uint8Array;
}

/** A ping that may be answered. */
export interface PingUnderWay {
  readonly ticket: number;
  readonly sentAt: Millis;
  readonly deadline: Millis;
  /** Sent straight to the peer's address, to learn whether that works. */
  readonly isProbe: boolean;
  readonly bytes: number;
}

/** Design, decision 6: ours is sent again until the peer's arrives. */
const CAPABILITIES_MS: readonly Millis[] = [0, 250, 1_000, 4_000];
/** After the last of ours and time for an answer. */
const CAPABILITIES_WAIT_MS: Millis = 5_000;
const NEVER = Number.NEGATIVE_INFINITY;
const MAX_PINGS = 64;
/** DP 3.15: upkeep stops for peers that the application does not use. */
const IDLE_MS = 120_000;
/** How long the application wants a peer that it contacted. */
const WANTED_MS = 30_000;

/** State of one peer. */
export class Peer {
  readonly id: number;
  readonly exchange: KeyExchange;
  readonly path: Path = new Path();
  /** Made when somebody sends enough for it to matter. */
  mtu: PathMtu | undefined;
  /** Identity key of the last success, bound to this id. */
  identityKey: Uint8Array | undefined;
  isTrusted = false;
  /** Connections, by streams.ts: network ‖ local port ‖ remote port → id. */
  readonly streams: Map<number, number> = new Map();
  readonly pings: Map<number, PingUnderWay> = new Map();
  readonly waiting: WaitingDatagram[] = [];
  readonly waitingPings: WaitingPing[] = [];
  /** Where the last key exchange of this peer came from: an answer goes back there. NO_PATH: through the beacon. */
  askedFrom: number = NO_PATH;
  capabilities: Capabilities | undefined;
  #hadCapabilities = false;
  #capabilitiesSent = CAPABILITIES_MS.length;
  #capabilitiesAt: Millis = Number.POSITIVE_INFINITY;
  #capabilitiesRepeats = 0;
  /** When a session with this peer first worked. */
  #capabilitiesFirstAt: Millis = Number.POSITIVE_INFINITY;
  receivedAt: Millis = NEVER;
  /** The application last sent or received something. */
  usedAt: Millis = NEVER;
  sentAt: Millis = NEVER;
  #isAwaited = false;
  /** Streams wait for a key to send under. */
  isHeld = false;
  /** Frames in a row that could not be opened. */
  failures = 0;
  /** The address is being looked up. */
  isLocating = false;
  locatedAt: Millis = NEVER;
  /** The registry said that there is no such node. */
  isUnknown = false;
  /** We began: a dial, a datagram, a ping or a trust request. */
  contactedAt: Millis = NEVER;

  constructor(context: ExchangeContext, id: number) {
    this.id = id;
    this.exchange = new KeyExchange(context, id);
  }

  /** Something that wants an answer left. @returns True for the first since the peer was heard: its timers changed. */
  noteSent(now: Millis): boolean {
    const isFirst = !this.#isAwaited;
    this.#isAwaited = true;
    this.sentAt = now;
    this.usedAt = now;
    this.path.noteSent(now);
    this.exchange.noteSent(now);
    return isFirst;
  }

  /** A frame of the peer was opened. */
  noteReceived(now: Millis): void {
    this.receivedAt = now;
    this.failures = 0;
    this.#isAwaited = false;
  }

  /** Whether something of the application needs this peer now. */
  isWanted(now: Millis): boolean {
    return this.#isInUse || now - this.contactedAt < WANTED_MS;
  }

  /** Whether both ends are ours and agreed to half-close. */
  get isOwn(): boolean {
    return this.capabilities !== undefined && (this.capabilities.bits & CAPABILITY.halfClose) !== 0;
  }

  /**
   * Whether a connection that begins now should offer what only our own know: until the peer had time to say what it
   * is. Others ignore the offer (DP 5.2), and a lost packet must not decide how connections end.
   */
  mayBeOwn(now: Millis): boolean {
    if (this.capabilities !== undefined) return this.isOwn;
    return this.#hadCapabilities || now - this.#capabilitiesFirstAt < CAPABILITIES_WAIT_MS;
  }

  /** The largest segment that a stream to this peer sends now. */
  get segmentBytes(): Bytes {
    return this.mtu === undefined || this.path.isRelayed ? BASE_SEGMENT : this.mtu.segmentBytes;
  }

  /** Whether it can be found out now if larger segments than the present ones would pass. */
  get isSizeOpen(): boolean {
    const bits = this.capabilities?.bits ?? 0;
    return (bits & CAPABILITY.pathMtu) !== 0 && !this.path.isRelayed && this.mtu?.isSettled !== true;
  }

  /** Full segments go straight to the peer: find out whether larger ones would. @returns Whether it has something to send. */
  wantLarger(now: Millis, datagramBytes: Bytes): boolean {
    if (!this.isSizeOpen) return false;
    this.mtu ??= new PathMtu();
    return this.mtu.want(now, datagramBytes, this.capabilities!.segmentBytes);
  }

  /** Keeps a datagram until there is a key. @returns False when full. */
  queue(datagram: WaitingDatagram): boolean {
    if (this.waiting.length >= LIMITS.pendingPackets) return false;
    this.waiting.push(datagram);
    return true;
  }

  /** @returns False when too many pings are under way. */
  addPing(port: number, ping: PingUnderWay): boolean {
    if (this.pings.size >= MAX_PINGS) return false;
    this.pings.set(port, ping);
    return true;
  }

  /** A first frame was authenticated under a key: say what we can do, forget what the peer said under the last one. */
  startCapabilities(now: Millis): void {
    this.#hadCapabilities ||= this.capabilities !== undefined;
    this.capabilities = undefined;
    this.#capabilitiesRepeats = 0;
    this.#capabilitiesSent = 0;
    this.#capabilitiesAt = now;
    this.#capabilitiesFirstAt = Math.min(this.#capabilitiesFirstAt, now);
  }

  /** Whether it is time to send ours. Advances the schedule. @returns `lost` when a peer that had some is silent now. */
  pollCapabilities(now: Millis): 'send' | 'lost' | undefined {
    if (now < this.#capabilitiesAt) return undefined;
    if (this.#capabilitiesSent === CAPABILITIES_MS.length) {
      this.#capabilitiesAt = Number.POSITIVE_INFINITY;
      this.exchange.notePeerKind(this.capabilities !== undefined);
      return this.capabilities === undefined && this.#hadCapabilities ? 'lost' : undefined;
    }
    const sentAfter = CAPABILITIES_MS[this.#capabilitiesSent] ?? 0;
    this.#capabilitiesSent += 1;
    const next = CAPABILITIES_MS[this.#capabilitiesSent] ?? sentAfter + 1_000;
    this.#capabilitiesAt = this.capabilities === undefined ? now + (next - sentAfter) : Number.POSITIVE_INFINITY;
    return 'send';
  }

  /** The peer's capabilities arrived. A repetition says that it has not got ours: they go out once more, a few times. */
  handleCapabilities(now: Millis, capabilities: Capabilities): void {
    const isRepeated = this.capabilities !== undefined;
    this.capabilities = capabilities;
    this.exchange.notePeerKind(true);
    if (isRepeated && this.#capabilitiesRepeats < CAPABILITIES_MS.length) {
      this.#capabilitiesRepeats += 1;
      this.#capabilitiesSent = 0;
      this.#capabilitiesAt = now;
    } else if (this.#capabilitiesSent > 0) {
      this.#capabilitiesAt = Number.POSITIVE_INFINITY;
    }
  }

  /** When a keepalive is due (DP 3.15): nothing sent for 25 s, and the application used the peer in the last 2 minutes. */
  keepaliveAt(): Millis {
    if (!this.exchange.hasSession || this.sentAt === NEVER) return Number.POSITIVE_INFINITY;
    const at = this.sentAt + TIMERS.natKeepaliveMs;
    return this.streams.size > 0 || at - this.usedAt < IDLE_MS ? at : Number.POSITIVE_INFINITY;
  }

  /** When the peer is forgotten (DP 3.15): not while something waits for it, which ends by deadlines of its own. */
  forgetAt(): Millis {
    if (this.#isInUse) return Number.POSITIVE_INFINITY;
    return Math.max(this.receivedAt, this.sentAt, this.contactedAt) + TIMERS.peerForgetMs;
  }

  pollTimeout(): Millis {
    let at = Math.min(this.exchange.pollTimeout(), this.#pathAt(), this.#capabilitiesAt);
    at = Math.min(at, this.keepaliveAt(), this.forgetAt(), this.mtu?.pollTimeout() ?? Number.POSITIVE_INFINITY);
    for (const ping of this.pings.values()) at = Math.min(at, ping.deadline);
    for (const ping of this.waitingPings) at = Math.min(at, ping.deadline);
    return at;
  }

  get #isInUse(): boolean {
    const isWaiting = this.waiting.length > 0 || this.waitingPings.length > 0;
    return isWaiting || this.streams.size > 0 || this.pings.size > 0;
  }

  /** DP 3.15: nobody is woken for the path to a peer that the application does not use. */
  #pathAt(): Millis {
    const at = this.path.pollTimeout();
    const isUsed = this.#isInUse || at - Math.max(this.usedAt, this.contactedAt) < IDLE_MS;
    return isUsed ? at : Number.POSITIVE_INFINITY;
  }
}
