/**
 * One stream connection as pure state: what RFC 9293 §3.3.2 calls the state machine, as DP 5.2 to 5.11 define it. It knows
 * no addresses, ports, sockets or trust; the caller matches packets to connections and decides who may open one. Time is
 * an argument. Start with `handleSegment`; halves are in sender.ts and receive.ts, the end in closing.ts.
 */
import { type Bytes, type Millis, TIMERS } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { FLAG } from '../wire/packet.ts';
import { parseSack } from '../wire/sack.ts';
import { FIRST_RING_BYTES } from './buffer.ts';
import { Closing, OUTCOME } from './closing.ts';
import {
  type ConnectionDrops,
  type ConnectionLimits,
  type ConnectionOptions,
  type ConnectionState,
  type ConnectionStats,
  createControl,
  DEFAULT_LIMITS,
} from './connection-options.ts';
import { EVENT } from './events.ts';
import { Keepalive } from './keepalive.ts';
import { ARRIVAL, FIN_ARRIVAL, Receiver, WINDOW_UNIT } from './receive.ts';
import { Sender } from './sender.ts';
import { SynTimer } from './syn-timer.ts';
import { isOffer, type Segment, Transmit } from './transmit.ts';

export type { ConnectionLimits, ConnectionOptions, ConnectionState, ConnectionStats } from './connection-options.ts';
export type { Segment } from './transmit.ts';

/** RFC 8899 §4.3: timeouts in a row after which larger segments are given up. */
const BLACK_HOLE_TIMEOUTS = 2;
/** When a write that found no memory is tried again. */
const STARVED_MS: Millis = 100;

const NEVER = Number.POSITIVE_INFINITY;
/** Blocks of the SACK being read; valid within one call. */
const BLOCKS = new Uint32Array(8);

/** A connection. Feed it, then ask `takeEvents`, `pollTransmit` until false, and `pollTimeout`. */
export class Connection {
  readonly #limits: ConnectionLimits;
  readonly #role: 'dialler' | 'listener';
  readonly #offersOwn: boolean;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #closing: Closing;
  readonly #transmit: Transmit;
  #state: ConnectionState;
  #isOwn = false;
  #isStale = false;
  #hasSyn = false;
  #error: ErrorCode | undefined;
  #events = 0;
  #now: Millis;
  readonly #syn: SynTimer;
  /** End of TIME_WAIT. */
  #timeWaitAt: Millis = NEVER;
  #isTimeWaitOver = false;
  #isBlocked = false;
  #starvedAt: Millis = NEVER;
  #wasAcknowledged = false;
  #isTruncated = false;
  #peerWindow = 0;
  readonly #keepalive: Keepalive;
  #segmentsReceived = 0;
  #bytesReceived: Bytes = 0;
  readonly #drops: ConnectionDrops = { unexpected: 0, badAck: 0, duplicate: 0, refused: 0, outside: 0 };

  constructor(options: ConnectionOptions) {
    const { now, role, initialSeq, offersOwn, pool } = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const control = createControl(options.congestionControl ?? 'rate', limits.segmentBytes);
    this.#limits = limits;
    this.#role = role;
    this.#offersOwn = offersOwn;
    this.#sender = new Sender({ ...limits, pool, control, initialSeq });
    this.#receiver = new Receiver({ ...limits, pool });
    this.#closing = new Closing(this.#sender, this.#receiver);
    this.#transmit = new Transmit(this.#sender, this.#receiver, this.#closing, initialSeq);
    this.#now = now;
    this.#syn = new SynTimer(now, role);
    this.#keepalive = new Keepalive(now);
    this.#state = role === 'dialler' ? 'SYN_SENT' : 'SYN_RECEIVED';
    if (pool.available < 2 * FIRST_RING_BYTES) {
      // Memory is taken with the first byte; whoever could not get any is told at once (design "buffers": BUSY).
      this.#close('BUSY', role === 'listener');
    } else if (role === 'dialler') {
      this.#transmit.synFlags = FLAG.SYN;
      this.#transmit.offers = offersOwn;
    }
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Both ends agreed on the profile between our own: each direction ends by itself. */
  get isOwn(): boolean {
    return this.#isOwn;
  }

  /** CLOSED because the peer answered our SYN for an older connection on these ports: dial again from another (DP 5.4). */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** Whether a SYN on these ports begins a new connection, although this one is not forgotten (DP 5.4 rule 2). */
  yieldsToSyn(segment: Segment): boolean {
    return this.#state === 'TIME_WAIT' && !this.#isRepeatedSyn(segment);
  }

  /** Why it was CLOSED; undefined when it ended in order. Set in TIME_WAIT when the peer left before it had taken all. */
  get error(): ErrorCode | undefined {
    return this.#error;
  }

  /** How often our SYN or SYN+ACK has left. */
  get synSends(): number {
    return this.#syn.sends;
  }

  get readableBytes(): Bytes {
    return this.#receiver.readableBytes;
  }

  /** The peer ended its direction in order and all of it was read. */
  get isReadEnded(): boolean {
    return this.#receiver.isFinReached && this.#receiver.readableBytes === 0;
  }

  /** Whether `write` may take bytes, now or later. */
  get isWritable(): boolean {
    // A reference peer that sent FIN reads no more (DP 5.10).
    const isTaken = this.#isOwn || !this.#closing.isPeerDone;
    return this.#state === 'ESTABLISHED' && isTaken && !this.#closing.isShutdown;
  }

  /** Bytes that `write` would take now. */
  get writableBytes(): Bytes {
    return this.isWritable ? this.#sender.room : 0;
  }

  /** All written data arrived, and so did the end of it. */
  get isWriteAcknowledged(): boolean {
    if (this.#isTruncated || !this.#sender.isAllAcknowledged) return false;
    return this.#closing.isAcknowledged || (this.#state === 'TIME_WAIT' && this.#error === undefined);
  }

  /** Handles one packet. @param segment - @param payload - Both borrowed until the call returns. */
  handleSegment(now: Millis, segment: Segment, payload: Uint8Array): void {
    this.#now = now;
    if (this.#state === 'CLOSED') return;
    this.#segmentsReceived += 1;
    this.#bytesReceived += payload.length;
    const { flags } = segment;
    // The order is that of DP 5.2.
    if ((flags & FLAG.SYN) !== 0) {
      if ((flags & FLAG.ACK) === 0) this.#handleSyn(now, segment, payload);
      else this.#handleSynAck(now, segment, payload);
    } else if (!this.#hasSyn) {
      if ((flags & FLAG.RST) !== 0 && this.#role === 'dialler') this.#close('CONNECTION_REFUSED', false);
      else this.#drops.unexpected += 1;
    } else {
      this.#hear(now);
      if ((flags & FLAG.FIN) !== 0) this.#handleFin(now, segment);
      else if ((flags & FLAG.RST) !== 0) this.#handleReset();
      else if ((flags & FLAG.ACK) !== 0) this.#handleAck(now, segment, payload);
      else this.#drops.unexpected += 1;
    }
    this.#step(now);
  }

  /** The time of `pollTimeout` came, or is past. */
  handleTimeout(now: Millis): void {
    this.#now = now;
    if (this.#state === 'CLOSED') return;
    if (this.#starvedAt <= now) {
      this.#starvedAt = NEVER;
      this.#tellWritable();
    }
    this.#handleStateTimeout(now);
    if (!this.#transmit.isOpen) return;
    this.#sender.handleTimeout(now);
    this.#receiver.handleTimeout(now);
    this.#closing.handleTimeout(now);
    if (this.#keepaliveAt <= now) this.#keepAlive(now);
    this.#step(now);
  }

  /** When `handleTimeout` wants to be called; `Infinity` when never. Later than the last time handled. */
  pollTimeout(): Millis {
    if (this.#state === 'CLOSED') return NEVER;
    const isOpening = this.#state === 'SYN_SENT' || this.#state === 'SYN_RECEIVED';
    const at = Math.min(isOpening ? this.#syn.pollTimeout() : this.#timeWaitAt, this.#starvedAt);
    if (!this.#transmit.isOpen) return at;
    const closingAt = this.#closing.pollTimeout(this.#state === 'TIME_WAIT');
    return Math.min(at, this.#sender.pollTimeout(), this.#receiver.pollTimeout(), closingAt, this.#keepaliveAt);
  }

  /**
   * Fills `out` with the next segment to send; `copyPayload` then writes its payload. Once it was answered true the
   * segment counts as sent.
   *
   * @returns False when nothing may be sent now.
   */
  pollTransmit(now: Millis, out: Segment): boolean {
    this.#now = now;
    if (!this.#transmit.poll(now, out)) {
      this.#tellRoom();
      return false;
    }
    this.#keepalive.sent(now);
    if ((out.flags & FLAG.SYN) !== 0) {
      this.#syn.sent(now);
    } else if ((out.flags & FLAG.FIN) !== 0 && this.#state === 'ESTABLISHED') {
      this.#state = 'FIN_WAIT';
    }
    return true;
  }

  /** Writes `out.payloadLength` bytes to `memory` at `offset`; `out` comes from the last `pollTransmit`. */
  copyPayload(out: Segment, memory: Uint8Array, offset: number): void {
    this.#transmit.copyPayload(out, memory, offset);
  }

  /** Buffers bytes to send. @returns How many were taken: 0 when full or not writable. */
  write(bytes: Uint8Array): number {
    if (!this.isWritable) return 0;
    const taken = this.#sender.write(bytes);
    if (taken < bytes.length) this.#isBlocked = true;
    if (this.#sender.takeStarved()) this.#starvedAt = this.#now + STARVED_MS;
    return taken;
  }

  /** Takes bytes in order, and opens the window for as many. @returns How many. */
  read(into: Uint8Array): number {
    const length = this.#receiver.read(into);
    if (this.#isTimeWaitOver && this.#receiver.readableBytes === 0) this.#close(this.#error, false);
    return length;
  }

  /** No more writes: our FIN follows what was written, at once between our own, else when design "Closing" allows. */
  shutdown(now: Millis): void {
    this.#now = now;
    if (this.#state !== 'ESTABLISHED') return;
    this.#closing.shutdown(now);
    this.#step(now);
  }

  /** No more reads: what comes is acknowledged and forgotten. */
  stopReading(now: Millis): void {
    this.#now = now;
    this.#receiver.discard();
    if (this.#isTimeWaitOver) this.#close(this.#error, false);
    this.#step(now);
  }

  /** No more writes nor reads: what was written is still delivered, then FIN, then the connection is forgotten. */
  close(now: Millis): void {
    this.#now = now;
    if (this.#state === 'SYN_SENT' || this.#state === 'SYN_RECEIVED') {
      this.#close('CLOSED', this.#hasSyn || this.#syn.sends > 0);
    } else if (this.#state !== 'CLOSED') {
      this.#closing.close(now);
      this.#receiver.discard();
      if (this.#isTimeWaitOver) this.#close(this.#error, false);
      this.#step(now);
    }
  }

  /** Ends at once: RST, unless both directions are over already. */
  abort(now: Millis): void {
    this.#now = now;
    if (this.#state === 'CLOSED') return;
    if (this.#state === 'TIME_WAIT') this.#close(this.#error, false);
    else this.#close('CLOSED', this.#hasSyn || this.#syn.sends > 0);
  }

  /** Largest segment that is sent now. */
  get segmentBytes(): Bytes {
    return this.#sender.segmentBytes;
  }

  /** The path carries segments of so many bytes. Towards reference peers the size stays (DP 5.7). */
  setSegmentBytes(bytes: Bytes): void {
    if (this.#isOwn && bytes !== this.#sender.segmentBytes) this.#sender.setSegmentBytes(bytes);
  }

  /** Large segments stay without an answer: the path may carry them no more. */
  get isBlackHole(): boolean {
    return this.#sender.attempts >= BLACK_HOLE_TIMEOUTS && this.#sender.segmentBytes > DEFAULT_LIMITS.segmentBytes;
  }

  /** `EVENT` bits since the last call. */
  takeEvents(): number {
    const events = this.#events;
    this.#events = 0;
    return events;
  }

  stats(): ConnectionStats {
    const { counters, flight, rtt, control } = this.#sender;
    return {
      state: this.#state,
      segmentsSent: this.#transmit.segmentsSent,
      segmentsReceived: this.#segmentsReceived,
      segmentBytes: this.#sender.segmentBytes,
      bytesSent: this.#transmit.bytesSent,
      bytesReceived: this.#bytesReceived,
      retransmits: counters.retransmits,
      timeouts: counters.timeouts,
      lossEpisodes: counters.lossEpisodes,
      probes: counters.probes,
      congestionControl: control.name,
      congestionPhase: control.phase,
      congestionWindow: control.window,
      deliveredPerSecond: Math.round(1000 * control.bandwidth),
      bytesInFlight: flight.bytesInFlight,
      srtt: rtt.srtt,
      minRtt: rtt.min,
      rto: rtt.rto,
      drops: { ...this.#drops },
    };
  }

  /** DP 5.18. Data under way has its own timers. */
  get #keepaliveAt(): Millis {
    const isIdle = (this.#state === 'ESTABLISHED' || this.#state === 'FIN_WAIT') && this.#sender.isAllAcknowledged;
    return isIdle ? this.#keepalive.dueAt : NEVER;
  }

  #hear(now: Millis): void {
    this.#keepalive.heard(now);
    this.#sender.handleLife();
    this.#closing.heard(now);
  }

  #handleSyn(now: Millis, segment: Segment, payload: Uint8Array): void {
    if (this.#role === 'dialler' || this.#state === 'TIME_WAIT') {
      this.#drops.unexpected += 1;
    } else if (!this.#hasSyn) {
      this.#syn.begin(now);
      this.#agree(segment, this.#offersOwn && isOffer(payload));
      this.#transmit.offers = this.#isOwn;
      this.#transmit.synFlags = FLAG.SYN | FLAG.ACK;
    } else if (this.#receiver.isFinHeld && !this.#isRepeatedSyn(segment)) {
      // DP 5.4 rule 2: the peer was restarted.
      this.#close('CONNECTION_LOST', false);
    } else {
      this.#transmit.synFlags = FLAG.SYN | FLAG.ACK;
    }
  }

  /** A late copy of the SYN that began this. The first numbers of our own are random; of others they are all 0. */
  #isRepeatedSyn(segment: Segment): boolean {
    return this.#isOwn && this.#hasSyn && this.#receiver.isInitialSeq(segment.seq);
  }

  #handleSynAck(now: Millis, segment: Segment, payload: Uint8Array): void {
    if (this.#role === 'listener') {
      this.#drops.unexpected += 1;
    } else if (this.#state !== 'SYN_SENT') {
      // DP 5.5: our final ACK was lost.
      this.#hear(now);
      this.#receiver.wantAck();
    } else if (this.#sender.offsetOf(segment.ack) !== 0) {
      this.#isStale = true;
      this.#close('CONNECTION_RESET', true);
    } else {
      this.#agree(segment, this.#offersOwn && isOffer(payload));
      this.#hear(now);
      this.#establish(now);
      this.#receiver.wantAck();
    }
  }

  /** The peer's SYN or SYN+ACK tells its first number, its window and its profile. */
  #agree(segment: Segment, isOwn: boolean): void {
    this.#hasSyn = true;
    this.#isOwn = isOwn;
    this.#receiver.open(segment.seq, !isOwn);
    this.#closing.open(isOwn);
    // DP 5.7: zero on a SYN means that no limit is known.
    const slots = segment.windowSegments > 0 ? segment.windowSegments : DEFAULT_LIMITS.windowSegments;
    this.#peerWindow = isOwn ? Math.floor((slots * DEFAULT_LIMITS.segmentBytes) / WINDOW_UNIT) : slots;
  }

  #establish(now: Millis): void {
    const { ownSegments, referenceSegments } = this.#limits;
    this.#state = 'ESTABLISHED';
    this.#sender.open(this.#peerWindow, this.#isOwn ? ownSegments : referenceSegments, !this.#isOwn);
    const sample = this.#syn.sample(now);
    if (sample !== undefined) this.#sender.handleSynSample(now, sample);
    this.#transmit.synFlags = 0;
    // The final ACK and its copies look like probes.
    this.#keepalive.noteAnswered(now);
    this.#transmit.isOpen = true;
    this.#events |= EVENT.connected | EVENT.writable;
  }

  #handleFin(now: Millis, segment: Segment): void {
    if (this.#state === 'SYN_RECEIVED') {
      // Only who got our SYN+ACK ends in order; its final ACK was lost.
      if (this.#receiver.offsetOf(segment.seq) < 0) {
        this.#drops.unexpected += 1;
        return;
      }
      this.#establish(now);
    }
    if ((segment.flags & FLAG.ACK) !== 0) this.#handleAckNumber(now, segment, -1, false);
    const arrival = this.#receiver.handleFin(this.#receiver.offsetOf(segment.seq));
    if (arrival === FIN_ARRIVAL.ignored) this.#drops.outside += 1;
    // DP 5.10: held or repeated, it is answered by a plain ACK, never by anything with FIN (appendix D 1).
    if (arrival !== FIN_ARRIVAL.ordered) this.#receiver.wantAck();
    this.#renewTimeWait(now);
  }

  /** RFC 9293 §3.10.7.4: our answer was lost, so the next copy may still be to come. Others do this for ever (D 1). */
  #renewTimeWait(now: Millis): void {
    if (this.#isOwn && this.#timeWaitAt !== NEVER) this.#timeWaitAt = now + TIMERS.timeWaitMs;
  }

  #handleReset(): void {
    // In TIME_WAIT all is said (RFC 1337). DP 5.11: the number of a RST is always 0, so there is nothing to check.
    if (this.#state === 'TIME_WAIT') return;
    const isDelivered = this.#closing.isClosed && this.#sender.isAllAcknowledged;
    this.#close(isDelivered ? undefined : 'CONNECTION_RESET', false);
  }

  #handleAck(now: Millis, segment: Segment, payload: Uint8Array): void {
    if (this.#state === 'SYN_RECEIVED') {
      // The number of a final ACK may be 0 (appendix D 3); what it acknowledges tells whether it is for this connection.
      if (this.#sender.offsetOf(segment.ack) !== 0) {
        this.#drops.badAck += 1;
        return;
      }
      this.#establish(now);
    }
    const isEmpty = payload.length === 0;
    const { una, window } = this.#sender;
    const isValid = this.#handleAckNumber(now, segment, segment.windowSegments, isEmpty);
    if (isEmpty) {
      const isNews = this.#sender.una !== una || this.#sender.window !== window;
      if (isValid && !isNews) this.#answerProbe(now, segment);
      return;
    }
    const blocks = parseSack(payload, BLOCKS);
    if (blocks > 0) {
      if (isValid) this.#sender.handleSack(now, BLOCKS, blocks);
      return;
    }
    const arrival = this.#receiver.handleData(now, this.#receiver.offsetOf(segment.seq), payload);
    if (arrival === ARRIVAL.delivered) {
      if (!this.#receiver.isDiscarding) this.#events |= EVENT.readable;
    } else if (arrival === ARRIVAL.duplicate) {
      this.#drops.duplicate += 1;
      this.#renewTimeWait(now);
    } else if (arrival === ARRIVAL.refused) this.#drops.refused += 1;
    else if (arrival === ARRIVAL.beyond) this.#drops.outside += 1;
  }

  /** @returns Whether the number was one of ours that is not outdated. */
  #handleAckNumber(now: Millis, segment: Segment, windowSegments: number, isEmpty: boolean): boolean {
    const sender = this.#sender;
    let ack = sender.offsetOf(segment.ack);
    if (ack === sender.end + 1 && sender.isAllSent && this.#closing.isSent) {
      this.#closing.acknowledged(now);
      // The answer to a FIN always has this number, with or without the data in front of it (DP 5.10).
      if ((segment.flags & FLAG.FIN) !== 0) return true;
      ack = sender.end;
    }
    if (ack > sender.next) this.#drops.badAck += 1;
    if (ack > sender.next || ack < sender.una) return false;
    sender.handleAck(now, ack, windowSegments, isEmpty);
    return true;
  }

  /** DP 5.18: an empty ACK with nothing new asks whether we live. */
  #answerProbe(now: Millis, segment: Segment): void {
    if (this.#keepalive.isAnswer) return;
    const expected = this.#receiver.next + (this.#receiver.isFinReached ? 1 : 0);
    if (this.#receiver.offsetOf(segment.seq) !== expected || this.#sender.flight.count > 0) return;
    const isReopened = this.#receiver.takeReopened();
    if (this.#keepalive.takeProbe(now, isReopened, this.#sender.isProbing)) this.#receiver.wantAck();
  }

  /** After anything that may have changed something: the end of it, and what the application should hear. */
  #step(now: Millis): void {
    if (!this.#transmit.isOpen) return;
    if (this.#sender.isExhausted) {
      this.#close('CONNECTION_LOST', true);
      return;
    }
    if (this.#receiver.isFinReached && !this.#closing.isPeerDone) {
      this.#closing.peerDone(now);
      this.#events |= EVENT.readEnded | EVENT.readable;
      this.#receiver.wantAck();
    }
    if (this.#state !== 'TIME_WAIT') this.#stepClosing(now);
    if (this.#state === 'CLOSED') return;
    this.#tellRoom();
    this.#receiver.yield();
    if (!this.#wasAcknowledged && this.isWriteAcknowledged) {
      this.#wasAcknowledged = true;
      this.#events |= EVENT.acknowledged;
    }
  }

  /** What was sent, or acknowledged, made room for a write that was cut short. */
  #tellRoom(): void {
    if (this.#isBlocked && this.#sender.room >= this.#limits.writableBytes / 4) this.#tellWritable();
  }

  #stepClosing(now: Millis): void {
    const outcome = this.#closing.step(now);
    if (outcome === OUTCOME.lost) {
      this.#close('CONNECTION_LOST', true);
    } else if (outcome === OUTCOME.forgotten) {
      this.#close(undefined, true);
    } else if (outcome === OUTCOME.over) {
      if (!this.#sender.isAllAcknowledged) {
        this.#isTruncated = true;
        this.#error = 'CONNECTION_RESET';
      }
      this.#sender.release();
      this.#state = 'TIME_WAIT';
      this.#timeWaitAt = now + TIMERS.timeWaitMs;
    }
  }

  #tellWritable(): void {
    if (!this.isWritable || !this.#isBlocked) return;
    if (this.#sender.room === 0) {
      this.#starvedAt = this.#now + STARVED_MS;
      return;
    }
    this.#isBlocked = false;
    this.#events |= EVENT.writable;
  }

  #keepAlive(now: Millis): void {
    if (!this.#keepalive.handleDue(now, this.#isOwn)) {
      this.#close('CONNECTION_LOST', true);
      return;
    }
    this.#transmit.isKeepaliveWanted = true;
    this.#sender.shrink();
    this.#receiver.shrink();
  }

  #handleStateTimeout(now: Millis): void {
    if (this.#timeWaitAt <= now) {
      this.#timeWaitAt = NEVER;
      // What arrived in order stays until it is read, or until nobody wants it.
      if (this.#receiver.readableBytes > 0) this.#isTimeWaitOver = true;
      else this.#close(this.#error, false);
      return;
    }
    const isDialler = this.#state === 'SYN_SENT';
    if (!isDialler && this.#state !== 'SYN_RECEIVED') return;
    const due = this.#syn.handleTimeout(now);
    // A dialler that believes in the connection learns by the RST that it is none.
    if (due === 'over') this.#close(isDialler ? 'DIAL_TIMEOUT' : 'TIMEOUT', this.#hasSyn);
    else if (due === 'repeat' && isDialler) this.#transmit.synFlags = FLAG.SYN;
    else if (due === 'repeat' && this.#hasSyn) this.#transmit.synFlags = FLAG.SYN | FLAG.ACK;
  }

  #close(error: ErrorCode | undefined, withReset: boolean): void {
    this.#state = 'CLOSED';
    this.#error = error;
    this.#timeWaitAt = NEVER;
    this.#transmit.isOpen = false;
    this.#transmit.synFlags = 0;
    this.#transmit.isResetWanted = withReset;
    this.#sender.release();
    this.#receiver.release();
    this.#events |= EVENT.closed;
  }
}
