/**
 * The sending half of a connection: segments, window, congestion, retransmission (DP 5.6–5.8, 5.15–5.18). It repeats the
 * faults of each generation where a switch says so, and shares nothing with src/core.
 */
import { readU32 } from '../../src/wire/integers.ts';
import { seqDiff, seqLess } from '../../src/wire/packet.ts';
import type { Random } from './hostile.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { PeerTimer, PeerTransport } from './peer-socket.ts';

const NAGLE_MS = 40;
const PROBE_FIRST_MS = 500;
const PROBE_MAX_MS = 30_000;
const DUPLICATES = 3;

/** What the sending half needs of its connection. */
export interface SenderSetup {
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly random: Random;
  /** Sends a data segment, with the present acknowledgement and window. */
  readonly emitData: (seq: number, payload: Uint8Array) => void;
  readonly emitFin: (seq: number) => void;
  /** An empty ACK. */
  readonly emitProbe: () => void;
  /** The last attempt was in vain. */
  readonly gaveUp: () => void;
  /** Room was made, or all is acknowledged. */
  readonly progressed: () => void;
}

/** What an incoming packet says to the sending half. */
export interface Acknowledgement {
  readonly ack: number;
  readonly windowSegments: number;
  readonly payload: Uint8Array;
  readonly isSack: boolean;
}

interface Outgoing {
  readonly seq: number;
  readonly end: number;
  readonly payload: Uint8Array;
  readonly isFin: boolean;
  sentAt: number;
  attempts: number;
  isSacked: boolean;
}

/** Sending half of one connection. */
export class PeerSender {
  /** Number of the next byte. */
  next: number;
  /** Oldest number that is not acknowledged. */
  oldest: number;
  windowSegments: number;
  cwnd: number;
  rtoMs: number;
  /** Segments sent again. */
  retransmissions = 0;
  readonly #setup: SenderSetup;
  #buffer: Uint8Array[] = [];
  #bufferedBytes = 0;
  #isLargeWrite = false;
  #isFlushing = false;
  #flight: Outgoing[] = [];
  #ssthresh: number;
  #srtt: number | undefined;
  #rttvar = 0;
  #duplicates = 0;
  /** Ends when everything up to here is acknowledged. */
  #recovery: { until: number; isFast: boolean } | undefined;
  #tick: PeerTimer | undefined;
  #nagle: PeerTimer | undefined;
  #probe: PeerTimer | undefined;
  #probes = 0;
  #isStopped = false;

  constructor(setup: SenderSetup, next: number) {
    this.#setup = setup;
    this.next = next;
    this.oldest = next;
    this.windowSegments = setup.behaviour.receiveSlots;
    this.cwnd = setup.behaviour.initialCwnd;
    this.rtoMs = setup.behaviour.initialRtoMs;
    this.#ssthresh = setup.behaviour.maxCwnd / 2;
  }

  /** Bytes written and not yet sent. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Segments sent and not yet acknowledged, selectively acknowledged ones included. */
  get segmentsInFlight(): number {
    return this.#flight.length;
  }

  get isAcknowledged(): boolean {
    return this.#bufferedBytes === 0 && this.#flight.length === 0;
  }

  /** Takes everything; the bytes are copied. */
  write(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#isStopped) return;
    this.#buffer.push(bytes.slice());
    this.#bufferedBytes += bytes.length;
    this.#isLargeWrite = bytes.length >= this.#setup.behaviour.mss;
    this.pump();
  }

  /** Nothing more will be written: short segments wait no longer. */
  flush(): void {
    this.#isFlushing = true;
    this.pump();
  }

  /** Keeps the FIN in the list of what is repeated. */
  keepFin(seq: number): void {
    this.#append({ seq, end: (seq + 1) >>> 0, payload: new Uint8Array(0), isFin: true });
  }

  /** Sends what windows and timers allow. */
  pump(): void {
    this.#fill();
    if (!this.#isStopped) this.#setup.progressed();
  }

  /** An acknowledgement, window or SACK arrived. */
  handleAck(message: Acknowledgement): void {
    const { behaviour } = this.#setup;
    if (message.ack === 0 && behaviour.ignoresAckZero) return;
    const windowChanged = message.windowSegments !== this.windowSegments;
    if (message.windowSegments > 0 || !behaviour.zeroWindowIgnored || behaviour.windowZeroMeansNoLimit) {
      this.windowSegments = message.windowSegments;
    }
    if (this.windowSegments > 0) this.#stopProbing();
    if (message.isSack) this.#markSacked(message.payload);
    const advance = seqDiff(message.ack, this.oldest);
    // What was never sent cannot be acknowledged.
    if (advance > 0 && !seqLess(this.next, message.ack)) this.#advance(message.ack, advance);
    else if (advance === 0) this.#countDuplicate(message, windowChanged);
    this.pump();
  }

  /** Cancels everything; nothing is sent any more. */
  stop(): void {
    this.#isStopped = true;
    this.#buffer = [];
    this.#bufferedBytes = 0;
    this.#flight = [];
    for (const timer of [this.#tick, this.#nagle, this.#probe]) timer?.cancel();
  }

  #fill(): void {
    const { mss } = this.#setup.behaviour;
    while (this.#bufferedBytes > 0 && !this.#isStopped) {
      const size = Math.min(mss, this.#bufferedBytes);
      if (!this.#hasRoom()) {
        this.#watchWindow();
        return;
      }
      if (size < mss && this.#holdsShort()) return;
      const payload = this.#take(size);
      const seq = this.next;
      this.next = (seq + size) >>> 0;
      this.#append({ seq, end: this.next, payload, isFin: false });
      this.#setup.emitData(seq, payload);
    }
  }

  #append(segment: Pick<Outgoing, 'seq' | 'end' | 'payload' | 'isFin'>): void {
    const { transport, behaviour } = this.#setup;
    this.#flight.push({ ...segment, sentAt: transport.now(), attempts: 1, isSacked: false });
    this.#tick ??= transport.setTimer(behaviour.tickMs, () => this.#onTick());
  }

  /** DP 5.7, 5.16: both limits are compared before the segment is added. */
  #hasRoom(): boolean {
    const { behaviour } = this.#setup;
    const flying = this.#bytesInFlight();
    if (flying >= this.cwnd || this.#flight.length >= behaviour.maxInFlight) return false;
    if (this.windowSegments === 0) return behaviour.windowZeroMeansNoLimit;
    if (flying >= this.windowSegments * behaviour.mss) return false;
    // ≤ 1.9 takes slots times its own MSS for bytes; NEW counts segments as well.
    return behaviour.windowZeroMeansNoLimit || this.#flight.length < this.windowSegments;
  }

  /** Selectively acknowledged bytes count in fast recovery only. */
  #bytesInFlight(): number {
    const countsSacked = this.#setup.behaviour.sackCountsAsDuplicate && this.#recovery?.isFast === true;
    let bytes = 0;
    for (const { payload, isSacked } of this.#flight) if (!isSacked || countsSacked) bytes += payload.length;
    return bytes;
  }

  /** DP 5.17. */
  #holdsShort(): boolean {
    const { behaviour, transport } = this.#setup;
    if (this.#isFlushing || behaviour.nagle === 'off') return false;
    const isShort = ({ payload }: Outgoing): boolean => payload.length < behaviour.mss;
    const holds =
      behaviour.nagle === 'any' ? this.#flight.length > 0 : !this.#isLargeWrite && this.#flight.some(isShort);
    if (!holds) return false;
    this.#nagle ??= transport.setTimer(NAGLE_MS, () => {
      this.#nagle = undefined;
      this.#isFlushing = true;
      this.pump();
      this.#isFlushing = false;
    });
    return true;
  }

  #take(size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const first = this.#buffer[0]!;
      const piece = first.subarray(0, size - at);
      bytes.set(piece, at);
      at += piece.length;
      if (piece.length === first.length) this.#buffer.shift();
      else this.#buffer[0] = first.subarray(piece.length);
    }
    this.#bufferedBytes -= size;
    return bytes;
  }

  #markSacked(payload: Uint8Array): void {
    const count = payload[4]!;
    for (let i = 0; i < count; i++) {
      const left = readU32(payload, 5 + 8 * i);
      const right = readU32(payload, 9 + 8 * i);
      for (const segment of this.#flight) {
        if (seqLess(segment.seq, right) && seqLess(left, segment.end)) segment.isSacked = true;
      }
    }
  }

  #advance(ack: number, bytes: number): void {
    const { behaviour, transport } = this.#setup;
    const done = this.#flight.filter((segment) => !seqLess(ack, segment.end));
    this.#flight = this.#flight.filter((segment) => seqLess(ack, segment.end));
    this.oldest = ack;
    this.#duplicates = 0;
    const isClean = done.every((segment) => segment.attempts === 1);
    const last = done.findLast((segment) => segment.attempts === 1 && !segment.isSacked);
    // Karn; NEW takes no sample at all from an ACK that covers something sent twice (DP 5.15).
    if (last !== undefined && (isClean || behaviour.onePerRto)) this.#sample(transport.now() - last.sentAt);
    if (this.#recovery === undefined) this.#grow(bytes);
    else if (!seqLess(ack, this.#recovery.until)) this.#recover();
    else this.#repairNext(bytes);
    if (this.#flight.length === 0) {
      this.#tick?.cancel();
      this.#tick = undefined;
    }
  }

  #recover(): void {
    if (this.#recovery?.isFast) this.cwnd = this.#ssthresh;
    this.#recovery = undefined;
  }

  /** A partial acknowledgement: NewReno in fast recovery, and NEW after a timeout too. */
  #repairNext(bytes: number): void {
    const { behaviour } = this.#setup;
    const isFast = this.#recovery!.isFast;
    if (!isFast && behaviour.onePerRto) {
      this.#grow(bytes);
      return;
    }
    const missing = this.#flight.find((segment) => !segment.isSacked);
    if (missing !== undefined) this.#retransmit(missing);
    if (isFast) this.cwnd = Math.max(this.cwnd - bytes + behaviour.mss, behaviour.mss);
    else this.#grow(bytes);
  }

  /** DP 5.16. */
  #grow(acked: number): void {
    const { behaviour } = this.#setup;
    const unit = behaviour.cwndUnit;
    const isNew = behaviour.sackCountsAsDuplicate;
    if (this.cwnd < this.#ssthresh) this.cwnd += isNew ? Math.min(acked, 2 * unit) : acked;
    else this.cwnd += Math.max(1, Math.floor((unit * (isNew ? Math.min(acked, unit) : acked)) / this.cwnd));
    this.cwnd = Math.min(this.cwnd, behaviour.maxCwnd);
  }

  #countDuplicate(message: Acknowledgement, windowChanged: boolean): void {
    const { behaviour } = this.#setup;
    const isEmpty = message.payload.length === 0;
    if (message.isSack ? !behaviour.sackCountsAsDuplicate : !isEmpty) return;
    if (!behaviour.strayDuplicates) {
      if (isEmpty && windowChanged) return;
      if (this.#flight.every((segment) => segment.isSacked)) return;
    }
    this.#duplicates += 1;
    if (this.#recovery?.isFast) this.cwnd = Math.min(this.cwnd + behaviour.mss, behaviour.maxCwnd);
    else if (this.#duplicates === DUPLICATES && this.#recovery === undefined) this.#fastRetransmit();
  }

  #fastRetransmit(): void {
    const { behaviour } = this.#setup;
    let flight = 0;
    for (const { payload } of this.#flight) flight += payload.length;
    const unit = behaviour.cwndUnit;
    this.#ssthresh = behaviour.strayDuplicates ? Math.max(this.cwnd / 2, unit) : Math.max(flight / 2, 2 * unit);
    this.cwnd = this.#ssthresh + DUPLICATES * behaviour.mss;
    const missing = this.#flight.find((segment) => !segment.isSacked);
    if (missing === undefined) {
      // DP app. D 8: with nothing in flight the window shrinks all the same.
      this.cwnd = this.#ssthresh;
      this.#duplicates = 0;
      return;
    }
    this.#recovery = { until: this.next, isFast: true };
    this.#retransmit(missing);
  }

  #sample(rtt: number): void {
    const { minRtoMs, maxRtoMs } = this.#setup.behaviour;
    if (this.#srtt === undefined) {
      this.#srtt = rtt;
      this.#rttvar = rtt / 2;
    } else {
      this.#rttvar = 0.75 * this.#rttvar + 0.25 * Math.abs(this.#srtt - rtt);
      this.#srtt = 0.875 * this.#srtt + 0.125 * rtt;
    }
    this.rtoMs = Math.min(maxRtoMs, Math.max(minRtoMs, this.#srtt + Math.max(10, 4 * this.#rttvar)));
  }

  /** One tick: at most one segment is repaired (DP 5.15, app. D 13). */
  #onTick(): void {
    const { transport, behaviour, gaveUp } = this.#setup;
    this.#tick = undefined;
    if (this.#isStopped || this.#flight.length === 0) return;
    this.#tick = transport.setTimer(behaviour.tickMs, () => this.#onTick());
    const now = transport.now();
    const isOverdue = (segment: Outgoing): boolean => now - segment.sentAt >= this.rtoMs;
    const head = this.#flight[0]!;
    if (behaviour.resendsSackedHead && head.isSacked && isOverdue(head)) {
      for (const segment of this.#flight) segment.isSacked = false;
    }
    const missing = this.#flight.find((segment) => !segment.isSacked);
    if (missing === undefined || !isOverdue(missing)) return;
    if (missing.attempts >= behaviour.maxAttempts) {
      gaveUp();
      return;
    }
    this.#timedOut();
    this.#retransmit(missing);
  }

  #timedOut(): void {
    const { behaviour, random } = this.#setup;
    const isFirst = this.#recovery === undefined || this.#recovery.isFast;
    if (behaviour.backoff === 'each') {
      const jitter = 1 + (0.25 * random.below(1000)) / 1000;
      this.rtoMs = Math.min(behaviour.maxRtoMs, this.rtoMs * 2 * jitter);
    } else if (isFirst) {
      this.rtoMs = Math.min(behaviour.maxRtoMs, this.rtoMs * 2);
    }
    if (isFirst) this.#ssthresh = Math.max(this.cwnd / 2, 2 * behaviour.cwndUnit);
    this.cwnd = behaviour.cwndAfterRto;
    this.#recovery = { until: this.next, isFast: false };
    this.#duplicates = 0;
  }

  #retransmit(segment: Outgoing): void {
    segment.attempts += 1;
    segment.sentAt = this.#setup.transport.now();
    this.retransmissions += 1;
    if (segment.isFin) this.#setup.emitFin(segment.seq);
    else this.#setup.emitData(segment.seq, segment.payload);
  }

  /** Nothing may be sent: when the window is the reason and nothing is on its way, it is probed (DP 5.18). */
  #watchWindow(): void {
    const { behaviour, transport, emitProbe, gaveUp } = this.#setup;
    const isWaiting = this.windowSegments === 0 && this.#flight.length === 0 && !behaviour.zeroWindowIgnored;
    if (!isWaiting || this.#probe !== undefined) return;
    const delayMs = Math.min(PROBE_MAX_MS, PROBE_FIRST_MS * 2 ** this.#probes);
    this.#probe = transport.setTimer(delayMs, () => {
      this.#probe = undefined;
      if (this.#probes >= behaviour.probeLimit) {
        gaveUp();
        return;
      }
      this.#probes += 1;
      emitProbe();
      this.#watchWindow();
    });
  }

  #stopProbing(): void {
    this.#probe?.cancel();
    this.#probe = undefined;
    this.#probes = 0;
  }
}
