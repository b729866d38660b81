/**
 * The receiving half of a connection: where arriving bytes are put, which are missing, how many segments more may come,
 * and when to acknowledge (DP 5.6 to 5.9). It holds a FIN that came too early (DP 5.10). It never parks a segment: what
 * it reports by SACK it delivers without a second arrival (DP 5.15). Offsets count from the peer's first byte.
 */
import type { Bytes, Millis } from '../config.ts';
import { seqDiff } from '../wire/packet.ts';
import { Assembler } from './assembler.ts';
import { type BufferPool, ByteRing } from './buffer.ts';

/** DP 5.9. */
const DELAYED_ACK_MS: Millis = 5;
const SEGMENTS_PER_ACK = 2;
const QUICK_ACKS = 32;
/** DP 5.16: duplicates that an old sender wants before it repairs; it does not count those that carry a SACK. */
const PLAIN_DUPLICATES = 3;

/** What the window field counts between our own: 64 MiB at most. */
export const WINDOW_UNIT: Bytes = 1024;

const NEVER = Number.POSITIVE_INFINITY;
const FIRST_SLOTS = 16;

/** What became of a segment's bytes. */
export const ARRIVAL = {
  /** They continued the stream. */
  delivered: 0,
  /** They stand behind a gap. */
  stored: 1,
  /** All of them were here before. */
  duplicate: 2,
  /** No slot or no memory: dropped, the peer must send them again. */
  refused: 3,
  /** They lie behind the peer's FIN: nonsense. */
  beyond: 4,
} as const;

/** What became of a FIN. */
export const FIN_ARRIVAL = { ordered: 0, held: 1, duplicate: 2, ignored: 3 } as const;

/** What a receiver is made with. */
export interface ReceiverOptions {
  readonly pool: BufferPool;
  readonly readableBytes: Bytes;
  readonly readableMostBytes: Bytes;
  readonly windowSegments: number;
  readonly outOfOrderSegments: number;
  readonly ownGaps: number;
  /** What a slot promises until a larger segment was seen. */
  readonly segmentBytes: Bytes;
}

/** Receiving half. */
export class Receiver {
  readonly #ring: ByteRing;
  readonly #assembler: Assembler = new Assembler();
  readonly #options: ReceiverOptions;
  /** What the ring may hold now. */
  #limit: Bytes;
  /** Where the reader has to be for the limit to rise. */
  #limitAt = 0;
  #initialSeq = 0;
  #isReference = true;
  /** Oldest byte not read, next byte expected. */
  #read = 0;
  #next = 0;
  /** Number of the peer's FIN, -1 until it came. */
  #fin = -1;
  #isDiscarding = false;
  #largest: Bytes;
  /** Ends of the segments that are not read, and how many segments each entry stands for: slots in use. */
  #slotEnds = new Float64Array(0);
  #slotCounts = new Uint16Array(0);
  #slotHead = 0;
  #slotEntries = 0;
  #slots = 0;
  #advertised = 0;
  #unacknowledged = 0;
  #quickAcks = QUICK_ACKS;
  #isAckWanted = false;
  #isReopened = false;
  #plainAcks = 0;
  #plainAcksForGap = 0;
  #ackAt: Millis = NEVER;
  readonly #blocks = new Float64Array(8);

  constructor(options: ReceiverOptions) {
    this.#ring = new ByteRing(options.pool.receive, options.readableMostBytes);
    this.#options = options;
    this.#limit = options.readableBytes;
    this.#largest = options.segmentBytes;
  }

  /** The peer's SYN came. */
  open(initialSeq: number, isReference: boolean): void {
    this.#initialSeq = initialSeq;
    this.#isReference = isReference;
  }

  /** Next expected byte, as a stream offset. */
  get next(): number {
    return this.#next;
  }

  get readableBytes(): Bytes {
    return this.#isDiscarding ? 0 : this.#next - this.#read;
  }

  /** The peer's FIN came and nothing before it is missing. */
  get isFinReached(): boolean {
    return this.#fin >= 0 && this.#next >= this.#fin;
  }

  /** The peer's FIN came ahead of missing data. */
  get isFinHeld(): boolean {
    return this.#fin > this.#next;
  }

  get isDiscarding(): boolean {
    return this.#isDiscarding;
  }

  /** What the ack field says. */
  get ackNumber(): number {
    return (this.#initialSeq + 1 + this.#next + (this.isFinReached ? 1 : 0)) >>> 0;
  }

  /**
   * What the window field says. Between our own KiB behind `next`. To others free slots (DP 5.7), bounded by free bytes: a
   * slot is a promise to take a segment as large as any seen so far.
   */
  get window(): number {
    const reach = Math.min(this.#limit, this.#ring.reach);
    if (!this.#isReference) return Math.max(0, Math.floor((reach - (this.#next - this.#read)) / WINDOW_UNIT));
    const slots = this.#options.windowSegments - this.#slots - this.#assembler.segments;
    const used = Math.max(this.#next, this.#assembler.end) - this.#read;
    return Math.max(0, Math.min(slots, Math.floor((reach - used) / this.#largest)));
  }

  /** The window in segments, as a SYN tells it, whoever the peer is. */
  get synWindow(): number {
    return Math.min(this.#options.windowSegments, Math.floor(Math.min(this.#limit, this.#ring.reach) / this.#largest));
  }

  get hasGap(): boolean {
    return this.#assembler.size > 0;
  }

  get isAckWanted(): boolean {
    return this.#isAckWanted;
  }

  /** Empty ACKs wanted besides the SACK. */
  get plainAcks(): number {
    return this.#plainAcks;
  }

  /** The window that the peer was told last. */
  get advertised(): number {
    return this.#advertised;
  }

  pollTimeout(): Millis {
    return this.#ackAt;
  }

  handleTimeout(now: Millis): void {
    if (this.#ackAt > now) return;
    this.#ackAt = NEVER;
    this.#isAckWanted = true;
    this.#quickAcks = QUICK_ACKS;
  }

  /** Whether this is the number of the peer's SYN. */
  isInitialSeq(seq: number): boolean {
    return seq === this.#initialSeq;
  }

  /** Stream offset of a number of the peer; negative before its first byte. */
  offsetOf(seq: number): number {
    const expected = (this.#initialSeq + 1 + this.#next) >>> 0;
    return this.#next + seqDiff(seq, expected);
  }

  /** Takes the payload of a segment. @param payload - Borrowed. @returns One of `ARRIVAL`. */
  handleData(now: Millis, start: number, payload: Uint8Array): number {
    const arrival = this.#place(start, payload);
    this.#isReopened = false;
    if (arrival === ARRIVAL.delivered) {
      this.#acknowledge(now);
    } else if (arrival === ARRIVAL.stored) {
      this.#isAckWanted = true;
      if (this.#isReference && this.#plainAcksForGap < PLAIN_DUPLICATES) {
        this.#plainAcksForGap += 1;
        this.#plainAcks += 1;
      }
    } else {
      this.#isAckWanted = true;
    }
    return arrival;
  }

  /** Takes a FIN. @param offset - Its number. @returns One of `FIN_ARRIVAL`. */
  handleFin(offset: number): number {
    // DP 5.10: the number of the first copy counts.
    if (this.#fin >= 0) return this.isFinReached ? FIN_ARRIVAL.duplicate : FIN_ARRIVAL.held;
    if (offset < this.#next || offset < this.#assembler.end) return FIN_ARRIVAL.ignored;
    this.#fin = offset;
    if (this.#isDiscarding) this.#skipToFin();
    return offset === this.#next || this.#isDiscarding ? FIN_ARRIVAL.ordered : FIN_ARRIVAL.held;
  }

  /** Copies what is readable. @returns The number of bytes. */
  read(into: Uint8Array): number {
    const length = Math.min(into.length, this.readableBytes);
    if (length === 0) return 0;
    this.#ring.copyOut(0, into, 0, length);
    this.#drop(length);
    if (!this.#isReference) this.#raiseLimit();
    this.#updateWindow();
    return length;
  }

  /** The application reads no more: bytes are acknowledged and forgotten from now on. */
  discard(): void {
    if (this.#isDiscarding) return;
    this.#drop(this.#next - this.#read);
    this.#isDiscarding = true;
    if (this.isFinHeld) this.#skipToFin();
    this.#updateWindow();
  }

  /** Wants an acknowledgement to leave at once. */
  wantAck(): void {
    this.#isAckWanted = true;
  }

  /** The window was opened and no data has come since: the peer may not have heard of it. Reading clears it. */
  takeReopened(): boolean {
    const was = this.#isReopened;
    this.#isReopened = false;
    return was;
  }

  /** A packet left that carried this window. */
  advertise(window: number): void {
    this.#advertised = window;
  }

  /** A packet left that carried the acknowledgement. */
  acknowledged(): void {
    this.#isAckWanted = false;
    this.#unacknowledged = 0;
    this.#ackAt = NEVER;
  }

  plainAckSent(): void {
    this.#plainAcks -= 1;
  }

  /** Writes SACK blocks as pairs of sequence numbers. @param out - At least 8 words. @returns The number of pairs. */
  blocks(out: Uint32Array): number {
    const count = this.#assembler.blocks(this.#blocks);
    for (let i = 0; i < 2 * count; i++) out[i] = (this.#initialSeq + 1 + this.#blocks[i]!) >>> 0;
    return count;
  }

  /** Gives memory back when nothing is held. */
  shrink(): void {
    if (this.#next === this.#read && this.#assembler.size === 0) this.#ring.release();
  }

  /** Gives memory back that is not needed when others need it. */
  yield(): void {
    if (this.#next === this.#read && this.#assembler.size === 0) this.#ring.yield();
  }

  /** Throws away everything. */
  release(): void {
    this.#isDiscarding = true;
    this.#read = this.#next;
    this.#assembler.clear();
    this.#ring.release();
    this.#isAckWanted = false;
    this.#plainAcks = 0;
    this.#ackAt = NEVER;
  }

  #place(start: number, payload: Uint8Array): number {
    const end = start + payload.length;
    if (end <= this.#next) return ARRIVAL.duplicate;
    if (this.#fin >= 0 && end > this.#fin) return ARRIVAL.beyond;
    if (payload.length > this.#largest) this.#largest = payload.length;
    const kept = Math.max(this.#next, this.#assembler.end) - this.#read;
    const isGap = start > this.#next;
    if (isGap && this.#assembler.covers(start, end)) return ARRIVAL.duplicate;
    if (!this.#hasRoom(isGap)) return ARRIVAL.refused;
    if (end - this.#read > this.#limit || !this.#ring.reserve(end - this.#read, kept)) return ARRIVAL.refused;
    if (isGap) {
      this.#ring.copyIn(start - this.#read, payload, 0, payload.length);
      this.#assembler.add(start, end);
      return ARRIVAL.stored;
    }
    // Deviation: the existing network matches exact starts only (DP 5.6); an overlap in front is trimmed here.
    this.#ring.copyIn(this.#next - this.#read, payload, this.#next - start, payload.length);
    this.#next = end;
    this.#occupy(end, 1);
    return ARRIVAL.delivered;
  }

  /** Whether one more segment may be kept: a reference peer counts slots (DP 5.6, 5.7), our own count bytes. */
  #hasRoom(isGap: boolean): boolean {
    const { windowSegments, outOfOrderSegments, ownGaps } = this.#options;
    if (!this.#isReference) return !isGap || this.#assembler.size < ownGaps;
    if (!isGap) return this.#slots < windowSegments;
    const { segments } = this.#assembler;
    return segments < outOfOrderSegments && this.#slots + segments < windowSegments;
  }

  /** In-order data came: close gaps, decide about the ACK (DP 5.9). */
  #acknowledge(now: Millis): void {
    const hadGap = this.#assembler.size > 0;
    while (this.#assembler.size > 0) {
      const end = this.#assembler.take(this.#next);
      if (this.#assembler.lastTaken === 0) break;
      this.#next = end;
      this.#occupy(end, this.#assembler.lastTaken);
    }
    this.#plainAcksForGap = 0;
    this.#plainAcks = 0;
    if (this.#isDiscarding) this.#drop(this.#next - this.#read);
    this.#unacknowledged += 1;
    if (hadGap || this.#unacknowledged >= SEGMENTS_PER_ACK) {
      this.#isAckWanted = true;
    } else if (this.#quickAcks > 0) {
      this.#quickAcks -= 1;
      this.#isAckWanted = true;
    } else if (this.#ackAt === NEVER) {
      this.#ackAt = now + DELAYED_ACK_MS;
    }
  }

  /** Tells a peer that waits, or that will soon have to: but few empty ACKs, old senders take them for losses (appendix D 8). */
  #updateWindow(): void {
    if (this.#fin >= 0) return;
    const free = this.window;
    const unit = this.#isReference ? 1 : Math.ceil(this.#largest / WINDOW_UNIT);
    const isEmpty = this.#read === this.#next;
    const isReopened = this.#advertised < 2 * unit && (free >= 2 * unit || (free > this.#advertised && isEmpty));
    if (isReopened) this.#isReopened = true;
    const whole = this.#isReference ? this.#options.windowSegments : this.#limit / WINDOW_UNIT;
    if (isReopened || 2 * (free - this.#advertised) >= whole) this.#isAckWanted = true;
  }

  /**
   * A reader that keeps up gets a larger window, so that the window is not what bounds a long path: twice as much whenever
   * it took all that the limit holds and left less than a quarter. It costs memory only when the reader stops.
   */
  #raiseLimit(): void {
    if (this.#read < this.#limitAt || this.#limit === this.#options.readableMostBytes) return;
    if (4 * (this.#next - this.#read) < this.#limit && this.#limitAt > 0) {
      this.#limit = Math.min(this.#options.readableMostBytes, 2 * this.#limit);
    }
    this.#limitAt = this.#read + this.#limit;
  }

  /** Nobody reads any more: the missing tail is not missed (DP 5.10: a FIN ends FIN_WAIT at once). */
  #skipToFin(): void {
    this.#next = this.#fin;
    this.#read = this.#fin;
    this.#assembler.clear();
  }

  #drop(bytes: Bytes): void {
    this.#ring.drop(bytes);
    this.#read += bytes;
    this.yield();
    while (this.#slotEntries > 0 && this.#slotEnds[this.#slotHead]! <= this.#read) {
      this.#slots -= this.#slotCounts[this.#slotHead]!;
      this.#slotHead = (this.#slotHead + 1) & (this.#slotEnds.length - 1);
      this.#slotEntries -= 1;
    }
  }

  #occupy(end: number, count: number): void {
    if (!this.#isReference) return;
    if (this.#slotEntries === this.#slotEnds.length) this.#growSlots();
    const at = (this.#slotHead + this.#slotEntries) & (this.#slotEnds.length - 1);
    this.#slotEnds[at] = end;
    this.#slotCounts[at] = count;
    this.#slotEntries += 1;
    this.#slots += count;
  }

  #growSlots(): void {
    const before = this.#slotEnds.length;
    const ends = new Float64Array(Math.max(FIRST_SLOTS, 2 * before));
    const counts = new Uint16Array(ends.length);
    for (let i = 0; i < this.#slotEntries; i++) {
      ends[i] = this.#slotEnds[(this.#slotHead + i) & (before - 1)]!;
      counts[i] = this.#slotCounts[(this.#slotHead + i) & (before - 1)]!;
    }
    this.#slotEnds = ends;
    this.#slotCounts = counts;
    this.#slotHead = 0;
  }
}
