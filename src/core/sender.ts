/**
 * The sending half of a connection: the bytes that the application wrote, how they are cut into segments, what may leave
 * now and what must leave again. RFC 9293 §3.8, RFC 6298, RFC 8985; limits of DP 5.7, timers of DP 5.15 and 5.18.
 * It counts in stream offsets (exact doubles from 0); FIN and everything about closing is in closing.ts.
 */
import type { Bytes, Millis } from '../config.ts';
import { seqDiff } from '../wire/packet.ts';
import { looksLikeSack, SACK_MAX_BLOCKS, sackLength } from '../wire/sack.ts';
import { type BufferPool, ByteRing } from './buffer.ts';
import { type AckSample, type CongestionControl, createAckSample } from './congestion.ts';
import type { SenderCounters } from './connection-options.ts';
import { Flight } from './flight.ts';
import { Pacer } from './pacer.ts';
import { WINDOW_UNIT } from './receive.ts';
import { Rtt } from './rtt.ts';
import { TailProbe } from './tail-probe.ts';
import { WindowProbe } from './window-probe.ts';

/** DP 5.15: retransmissions by the timer without progress, before the connection is given up. */
const MAX_ATTEMPTS = 8;
/** Between our own: more of them, closer together, so that some arrive before the peer's TIME_WAIT of 10 s is over. */
const MAX_ATTEMPTS_TO_OWN = 20;
const MAX_RTO_TO_OWN: Millis = 3_000;
/** RFC 5681 §3.2. */
const DUPLICATES_FOR_LOSS = 3;
const NEVER = Number.POSITIVE_INFINITY;
/** `S` */
const FIRST_OF_SACK = 0x53;

/** What a sender is made with. */
export interface SenderOptions {
  readonly pool: BufferPool;
  readonly control: CongestionControl;
  readonly initialSeq: number;
  /** Largest payload of a segment. */
  readonly segmentBytes: Bytes;
  /** What may wait to be sent for the first time, and that with what is under way. */
  readonly writableBytes: Bytes;
  readonly writableMostBytes: Bytes;
}

/** Sending half. */
export class Sender {
  readonly flight: Flight = new Flight();
  readonly rtt: Rtt = new Rtt();
  readonly control: CongestionControl;
  readonly counters: SenderCounters = { retransmits: 0, timeouts: 0, lossEpisodes: 0, probes: 0 };
  readonly #ring: ByteRing;
  readonly #pacer: Pacer;
  readonly #probe: WindowProbe = new WindowProbe();
  readonly #tail: TailProbe = new TailProbe();
  readonly #initialSeq: number;
  #segmentBytes: Bytes;
  readonly #writableBytes: Bytes;
  readonly #writableMostBytes: Bytes;
  /** Oldest byte kept, next byte to send for the first time, end of what was written. */
  #una = 0;
  #next = 0;
  #end = 0;
  #mostSegments = 0;
  #isReference = true;
  /** Free slots of the peer; of our own KiB. */
  #window = 0;
  /** Losses below it belong to the present episode. */
  #recover = 0;
  #hasTimedOut = false;
  #isRepairForced = false;
  #duplicates = 0;
  #attempts = 0;
  #isLimited = false;
  #progressAt: Millis = Number.NEGATIVE_INFINITY;
  /** Offset of a segment to send again whatever the windows say, -1 without one. */
  #urgent = -1;
  #isStarved = false;
  #isExhausted = false;
  #rtoAt: Millis = NEVER;
  #paceAt: Millis = NEVER;
  readonly #sample: AckSample = createAckSample();

  constructor(options: SenderOptions) {
    this.control = options.control;
    this.#ring = new ByteRing(options.pool.send, options.writableMostBytes);
    this.#pacer = new Pacer(options.segmentBytes);
    this.#initialSeq = options.initialSeq;
    this.#segmentBytes = options.segmentBytes;
    this.#writableBytes = options.writableBytes;
    this.#writableMostBytes = options.writableMostBytes;
  }

  /**
   * The peer is known.
   *
   * @param window - As its fields count.
   * @param mostSegments - Outstanding at most, whatever it advertises (DP 5.7, appendix D 2).
   */
  open(window: number, mostSegments: number, isReference: boolean): void {
    this.#window = window;
    this.#mostSegments = mostSegments;
    this.#isReference = isReference;
  }

  /** Everything before it is acknowledged. */
  get una(): number {
    return this.#una;
  }

  get next(): number {
    return this.#next;
  }

  /** Offset behind the last byte written: the number of our FIN. */
  get end(): number {
    return this.#end;
  }

  get isAllSent(): boolean {
    return this.#next === this.#end;
  }

  get isAllAcknowledged(): boolean {
    return this.#una === this.#end;
  }

  get window(): number {
    return this.#window;
  }

  /** The peer's window is closed and something waits for it. */
  get isProbing(): boolean {
    return this.#probe.isRunning;
  }

  /** When data was last acknowledged for the first time. */
  get progressAt(): Millis {
    return this.#progressAt;
  }

  /** The peer stopped acknowledging: eight retransmissions or thirty probes in vain. */
  get isExhausted(): boolean {
    return this.#isExhausted;
  }

  /** The pool refused memory for a write. Reading clears it. */
  takeStarved(): boolean {
    const was = this.#isStarved;
    this.#isStarved = false;
    return was;
  }

  /** Bytes that `write` would take. */
  get room(): Bytes {
    return Math.max(0, Math.min(this.#most, this.#ring.reach) - (this.#end - this.#una));
  }

  /** What the ring may hold now: what is under way, which a long path needs, and a stock behind it. */
  get #most(): Bytes {
    return Math.min(this.#writableMostBytes, this.#writableBytes + this.#next - this.#una);
  }

  seqOf(offset: number): number {
    return (this.#initialSeq + 1 + offset) >>> 0;
  }

  /** Stream offset of an acknowledgement number; below `una` when it is old. */
  offsetOf(seq: number): number {
    return this.#una + seqDiff(seq, this.seqOf(this.#una));
  }

  /** @returns How many bytes were taken. */
  write(bytes: Uint8Array): number {
    const used = this.#end - this.#una;
    const length = Math.min(bytes.length, this.room);
    if (length < bytes.length && used + length < this.#most) this.#isStarved = true;
    if (length === 0 || !this.#ring.reserve(used + length, used)) return 0;
    this.#ring.copyIn(used, bytes, 0, length);
    this.#end += length;
    return length;
  }

  /**
   * The path carries segments of another size from now on. What is under way and too large for it is cut anew: only
   * between our own, who take any boundaries.
   */
  setSegmentBytes(bytes: Bytes): void {
    if (bytes < this.#segmentBytes) this.flight.split(bytes);
    this.#segmentBytes = bytes;
    this.#pacer.setSegmentBytes(bytes);
    this.control.setSegmentBytes(bytes);
  }

  get segmentBytes(): Bytes {
    return this.#segmentBytes;
  }

  /** Timeouts in a row: a path that stopped carrying large segments looks like this (RFC 8899 §4.3). */
  get attempts(): number {
    return this.#attempts;
  }

  /** Copies what was sent as segment: `length` bytes from `start` on. */
  copy(start: number, length: Bytes, memory: Uint8Array, offset: number): void {
    this.#ring.copyOut(start - this.#una, memory, offset, length);
  }

  /**
   * Handles the acknowledgement number of a packet, then its SACK blocks, then its window.
   *
   * @param ack - Stream offset within `[una, next]`.
   * @param windowSegments - Free slots, or -1 when the field means nothing.
   * @param isEmpty - The packet had no payload.
   */
  handleAck(now: Millis, ack: number, windowSegments: number, isEmpty: boolean): void {
    const before = this.flight.bytesInFlight;
    const hadSlots = this.flight.count > 0;
    this.flight.begin();
    const popped = this.flight.acknowledge(now, ack, this.rtt.min);
    if (popped > 0) this.#advance(now);
    const isSame = windowSegments === this.#window;
    if (windowSegments >= 0) this.#setWindow(now, windowSegments, popped > 0, hadSlots);
    if (popped > 0) {
      this.#duplicates = 0;
    } else if (isEmpty && isSame && ack === this.#una && this.flight.count > 0) {
      // RFC 5681 §2. SACKs say more and are counted by the flight; this is for a peer that sends none.
      this.#duplicates += 1;
      if (this.#duplicates === DUPLICATES_FOR_LOSS && this.flight.loseOnce(0)) this.#onLoss(now, before);
    }
    this.#settle(now, before);
  }

  /** Handles blocks of a SACK payload that came with the acknowledgement just handled. */
  handleSack(now: Millis, blocks: Uint32Array, count: number): void {
    const before = this.flight.bytesInFlight;
    this.flight.begin();
    for (let i = 0; i < count; i++) {
      this.flight.sack(now, this.offsetOf(blocks[2 * i]!), this.offsetOf(blocks[2 * i + 1]!), this.rtt.min);
    }
    this.#settle(now, before);
  }

  /** Anything came from the peer: it lives. */
  handleLife(): void {
    this.#probe.heard();
  }

  pollTimeout(): Millis {
    const asksAt = Math.min(this.#tail.pollTimeout(), this.#probe.pollTimeout());
    return Math.min(asksAt, this.#rtoAt, this.#paceAt, this.flight.reorderAt);
  }

  handleTimeout(now: Millis): void {
    if (this.#paceAt <= now) this.#paceAt = NEVER;
    if (this.#probe.pollTimeout() <= now) this.#onPersist(now);
    if (this.#rtoAt <= now) this.#onRto(now);
    if (this.flight.reorderAt <= now) {
      const before = this.flight.bytesInFlight;
      if (this.flight.detectLoss(now, this.rtt) > 0) this.#onLoss(now, before);
    }
    if (this.#tail.take(now)) {
      const newest = this.flight.newestInFlight();
      if (newest >= 0) {
        this.#urgent = this.flight.start(newest);
        this.counters.probes += 1;
        this.#rtoAt = now + this.#timeoutMs();
      }
    }
  }

  /**
   * Chooses the next segment to send and notes that it was sent.
   *
   * @returns Its index in `flight`, or -1 when nothing may be sent now.
   */
  poll(now: Millis): number {
    const again = this.#pollAgain(now);
    if (again >= 0) {
      this.flight.resend(now, again);
      this.counters.retransmits += 1;
      this.#sent(now, this.flight.length(again));
      return again;
    }
    const length = this.#pollNew(now);
    if (length === 0) return -1;
    const i = this.flight.push(now, this.#next, length);
    this.#next += length;
    this.#probe.isBeyondAllowed = false;
    this.#sent(now, length);
    this.#armTail(now);
    return i;
  }

  /** Whether an empty ACK should go as a window probe. Reading clears it. */
  takeProbe(): boolean {
    return this.#probe.take();
  }

  /** A first sample: the time that the SYN exchange took. */
  handleSynSample(now: Millis, sample: Millis): void {
    this.rtt.update(now, sample);
  }

  /** Gives the memory back that is not needed. @returns False when bytes are still kept. */
  shrink(): boolean {
    if (this.#end !== this.#una) return false;
    this.#ring.release();
    return true;
  }

  /** Throws away everything unsent and unacknowledged. */
  release(): void {
    this.flight.clear();
    this.#una = this.#end;
    this.#next = this.#end;
    this.#ring.release();
    this.#rtoAt = this.#paceAt = NEVER;
    this.#tail.disarm();
    this.#urgent = -1;
    this.#probe.clear();
  }

  #advance(now: Millis): void {
    const una = this.flight.count > 0 ? this.flight.start(0) : this.#next;
    this.#ring.drop(una - this.#una);
    this.#una = una;
    if (una === this.#end) this.#ring.yield();
    this.#progressAt = now;
    this.#attempts = 0;
    this.#tail.renew();
    this.#rtoAt = this.flight.count > 0 && this.#window > 0 ? now + this.rtt.rto : NEVER;
    this.#armTail(now);
  }

  /** Common end of an acknowledgement: sample, control, losses. */
  #settle(now: Millis, before: Bytes): void {
    const { flight, rtt } = this;
    if (flight.delivered > 0 && !Number.isNaN(flight.sample)) rtt.update(now, flight.sample);
    const hasLost = flight.count > 0 && flight.detectLoss(now, rtt) > 0;
    if (flight.delivered > 0) {
      const sample = this.#sample;
      sample.now = now;
      sample.bytesInFlight = before;
      sample.isWindowLimited = this.#isLimited;
      sample.isRecovering = this.#una < this.#recover && !this.#hasTimedOut;
      sample.srtt = rtt.srtt;
      sample.minRtt = rtt.min;
      flight.fill(sample);
      this.control.onAck(sample);
    }
    if (hasLost) this.#onLoss(now, before);
    if (flight.count === 0) {
      this.#tail.disarm();
      this.#rtoAt = NEVER;
    }
  }

  #setWindow(now: Millis, windowSegments: number, isNew: boolean, hadSlots: boolean): void {
    if (!isNew) {
      // A window shrinks by what arrives, and then the acknowledgement rises. A smaller one without that was overtaken on
      // the way, or counts segments behind a gap, which our own count holds already. Zero is believed while something is
      // under way (the peer drops it); else it is the keepalive of an old peer, which always carries 0 (DP 5.7).
      const isBelieved = windowSegments > this.#window || (windowSegments === 0 && hadSlots);
      if (!isBelieved) return;
    }
    const wasClosed = this.#window === 0;
    this.#window = windowSegments;
    if (windowSegments === 0) {
      if (!wasClosed) this.#probe.rewind();
      this.#rtoAt = NEVER;
      this.#tail.disarm();
      this.#probe.start(now);
      return;
    }
    this.#probe.stop();
    if (!wasClosed) return;
    this.#probe.reset();
    if (this.flight.count > 0) {
      // What was sent into the closed window was dropped or parked (DP 5.6): the oldest goes again at once.
      this.#urgent = this.flight.start(0);
      this.#rtoAt = now + this.rtt.rto;
    }
  }

  #onLoss(now: Millis, before: Bytes): void {
    if (this.#una < this.#recover) return;
    this.#recover = this.#next;
    this.#hasTimedOut = false;
    this.#isRepairForced = true;
    this.#tail.disarm();
    this.counters.lossEpisodes += 1;
    this.flight.noteEpisode();
    this.control.onLoss(now, before);
  }

  #onRto(now: Millis): void {
    if (this.#attempts === (this.#isReference ? MAX_ATTEMPTS : MAX_ATTEMPTS_TO_OWN)) {
      this.#isExhausted = true;
      this.#rtoAt = NEVER;
      return;
    }
    this.#attempts += 1;
    this.counters.timeouts += 1;
    this.flight.loseAll();
    this.control.onTimeout(now);
    this.#recover = this.#next;
    // RFC 5681 §3.1: slow start repairs what the timer declared lost.
    this.#hasTimedOut = true;
    this.#isRepairForced = true;
    this.#urgent = -1;
    this.#tail.disarm();
    this.#rtoAt = now + this.#timeoutMs();
  }

  #onPersist(now: Millis): void {
    if (this.flight.count === 0 && this.isAllSent) {
      // Nothing waits for the window; `write` and `poll` start the timer again.
      this.#probe.stop();
      return;
    }
    const step = this.#probe.step(now, this.flight.count > 0, this.#isReference);
    if (step === 'give up') this.#isExhausted = true;
    else this.counters.probes += 1;
    if (step === 'segment') this.#urgent = this.flight.start(0);
  }

  /** Index of a segment to send again, or -1. */
  #pollAgain(now: Millis): number {
    if (this.#urgent >= 0) {
      const i = this.flight.indexOf(this.#urgent);
      this.#urgent = -1;
      if (i >= 0) return i;
    }
    if (this.#window === 0) return -1;
    const i = this.flight.nextLost();
    if (i < 0) return -1;
    if (this.#isRepairForced) {
      // RFC 6675 §5: the first repair of an episode goes whatever is in flight.
      this.#isRepairForced = false;
      return i;
    }
    return this.#isAllowed(now, this.flight.length(i)) ? i : -1;
  }

  /** Length of the next new segment that may go, or 0. */
  #pollNew(now: Millis): Bytes {
    // Repairs come first; what holds them holds new data too.
    if (this.flight.lost > 0 && this.#window > 0) return 0;
    if (this.#next === this.#end) {
      this.#noteLimited();
      return 0;
    }
    const { flight } = this;
    // DP 5.7: slots count segments, selectively acknowledged ones included.
    const isBeyond = this.#probe.isBeyondAllowed && flight.count === 0;
    const length = isBeyond ? this.#cut(this.#segmentBytes) : this.#fitting();
    if (length === 0) {
      this.#noteLimited();
      if (this.#window === 0) this.#probe.start(now);
      return 0;
    }
    return isBeyond || this.#isAllowed(now, length) ? length : 0;
  }

  /** Length of the next new segment within what the peer takes, 0 when it takes none. */
  #fitting(): Bytes {
    const { count } = this.flight;
    if (this.#isReference)
      return count < Math.min(this.#window, this.#mostSegments) ? this.#cut(this.#segmentBytes) : 0;
    if (count >= this.#mostSegments) return 0;
    const room = this.#window * WINDOW_UNIT - (this.#next - this.#una);
    // RFC 9293 §3.8.6.2.1: the window is not used up by small pieces while an acknowledgement is to come.
    const wanted = this.#cut(this.#segmentBytes);
    if (wanted <= room) return wanted;
    return count === 0 && room > 0 ? this.#cut(room) : 0;
  }

  /** The application or the peer's window holds data back: what is in flight does not show what the path carries. */
  #noteLimited(): void {
    this.#isLimited = false;
    if (this.flight.bytesInFlight < this.control.window) this.flight.limit();
  }

  /** Whether congestion control and pacing let `length` bytes go. */
  #isAllowed(now: Millis, length: Bytes): boolean {
    const { bytesInFlight } = this.flight;
    const { window, pacingRate } = this.control;
    if (bytesInFlight > 0 && bytesInFlight + length > window) {
      this.#isLimited = true;
      return false;
    }
    const at = this.#pacer.ready(now, pacingRate);
    if (at <= now) return true;
    this.#paceAt = at;
    this.#isLimited = 2 * bytesInFlight >= window;
    return false;
  }

  /** Length of the next new segment of at most `most` bytes. */
  #cut(most: Bytes): Bytes {
    const place = this.#next - this.#una;
    const length = Math.min(most, this.#end - this.#next);
    if (length < sackLength(1) || this.#ring.byteAt(place) !== FIRST_OF_SACK) return length;
    // DP 5.8, trap: what looks like a SACK is swallowed by peers for ever. The first byte goes alone.
    const head = new Uint8Array(Math.min(length, sackLength(SACK_MAX_BLOCKS)));
    this.#ring.copyOut(place, head, 0, head.length);
    return looksLikeSack(head) ? 1 : length;
  }

  #sent(now: Millis, length: Bytes): void {
    this.#pacer.sent(length);
    if (this.#rtoAt === NEVER && this.#window > 0) this.#rtoAt = now + this.#timeoutMs();
  }

  #timeoutMs(): Millis {
    const timeoutMs = this.rtt.backedOff(this.#attempts);
    return this.#isReference ? timeoutMs : Math.min(timeoutMs, Math.max(MAX_RTO_TO_OWN, this.rtt.rto));
  }

  /** A flight that is being repaired, or may not grow, has no tail to ask after. */
  #armTail(now: Millis): void {
    const { flight, rtt } = this;
    const isRepairing = flight.lost > 0 || this.#una < this.#recover;
    if (flight.count === 0 || isRepairing || !rtt.hasSample || this.#window === 0) this.#tail.disarm();
    else this.#tail.arm(now, rtt.srtt, flight.count, this.#rtoAt);
  }
}
