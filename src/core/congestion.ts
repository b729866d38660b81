/**
 * How much may be in flight and how fast it leaves. `CongestionControl` is all that the sender knows, so that another law
 * can take the place of CUBIC (RFC 9438 and RFC 5681). Windows of the peer and limits in segments are not meant here
 * (DP 5.7: those caps are the sender's). Loss detection is in sender.ts.
 */
import type { Bytes, Millis } from '../config.ts';

/** What one acknowledgement told. The sender reuses one object for all. */
export interface AckSample {
  now: Millis;
  /** Bytes that this acknowledgement, cumulative or selective, showed to have arrived. */
  delivered: Bytes;
  /** In flight before it. */
  bytesInFlight: Bytes;
  /** Whether more would have been sent, had the congestion window allowed it. */
  isWindowLimited: boolean;
  /** Whether lost segments of the present episode are still being repaired. */
  isRecovering: boolean;
  /** Smoothed and smallest round-trip time; 0 before the first sample. */
  srtt: Millis;
  minRtt: Millis;
  /** Bytes per ms that arrived while the newest delivered segment was under way; 0 when not known. */
  deliveryRate: number;
}

/** A sample to fill in. */
export function createAckSample(): AckSample {
  return {
    now: 0,
    delivered: 0,
    bytesInFlight: 0,
    isWindowLimited: false,
    isRecovering: false,
    srtt: 0,
    minRtt: 0,
    deliveryRate: 0,
  };
}

/** A law of congestion control. It has no clock and sends nothing. */
export interface CongestionControl {
  /** Most bytes in flight. */
  readonly window: Bytes;
  /** Bytes per ms at which segments should leave; `Infinity`: as they come. */
  readonly pacingRate: number;
  onAck(sample: AckSample): void;
  /** Once per episode of losses, when the first is detected. */
  onLoss(now: Millis, bytesInFlight: Bytes): void;
  /** The retransmission timer ran out. */
  onTimeout(now: Millis): void;
  /** Segments have another size from now on. */
  setSegmentBytes(bytes: Bytes): void;
}

/** Segments of the initial window (RFC 6928; DP 5.16). */
export const INITIAL_WINDOW_SEGMENTS = 10;
/** DP 5.16. */
export const MAX_WINDOW_BYTES: Bytes = 1024 * 1024;

/** RFC 9438 §4.6, §5. */
const BETA = 0.7;
const CUBIC_C = 0.4;
/** RFC 9438 §4.3: what makes the Reno estimate as aggressive as Reno. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/** Faster than the window per round trip, so that pacing is never what limits (as Linux does). */
const PACING_SLOW_START = 2;
const PACING_AVOIDANCE = 1.2;

/** CUBIC, in bytes. */
export class Cubic implements CongestionControl {
  #segment: Bytes;
  #window: Bytes;
  #threshold: Bytes = MAX_WINDOW_BYTES;
  #pacingRate = Number.POSITIVE_INFINITY;
  /** Window before the last reduction, in bytes. */
  #peak = 0;
  /** Start of the present growth; NaN before the first acknowledgement after a reduction. */
  #epoch: Millis = Number.NaN;
  /** Seconds from the epoch until the window is at the peak again. */
  #k = 0;
  #reno = 0;

  constructor(segmentBytes: Bytes) {
    this.#segment = segmentBytes;
    this.#window = INITIAL_WINDOW_SEGMENTS * segmentBytes;
  }

  get window(): Bytes {
    return this.#window;
  }

  get threshold(): Bytes {
    return this.#threshold;
  }

  get pacingRate(): number {
    return this.#pacingRate;
  }

  onAck(sample: AckSample): void {
    const inSlowStart = this.#window < this.#threshold;
    if (sample.isWindowLimited && !sample.isRecovering) {
      if (inSlowStart) this.#window += sample.delivered;
      else this.#avoid(sample);
      this.#window = Math.min(this.#window, MAX_WINDOW_BYTES);
    }
    if (sample.srtt > 0) {
      const gain = inSlowStart ? PACING_SLOW_START : PACING_AVOIDANCE;
      this.#pacingRate = (gain * this.#window) / sample.srtt;
    }
  }

  onLoss(_now: Millis, _bytesInFlight: Bytes): void {
    // RFC 9438 §4.7, fast convergence: a smaller peak than before leaves room for a newcomer.
    this.#peak = this.#window < this.#peak ? (this.#window * (1 + BETA)) / 2 : this.#window;
    this.#threshold = Math.max(this.#window * BETA, 2 * this.#segment);
    this.#window = this.#threshold;
    this.#epoch = Number.NaN;
  }

  onTimeout(_now: Millis): void {
    // The first timeout of a row sets the threshold; the next find a window of one segment already.
    if (this.#window > this.#segment) {
      this.#peak = this.#window;
      this.#threshold = Math.max(this.#window * BETA, 2 * this.#segment);
    }
    this.#window = this.#segment;
    this.#epoch = Number.NaN;
  }

  setSegmentBytes(bytes: Bytes): void {
    this.#segment = bytes;
    this.#window = Math.max(this.#window, 2 * bytes);
  }

  #avoid(sample: AckSample): void {
    const { now, delivered, srtt } = sample;
    const segment = this.#segment;
    if (Number.isNaN(this.#epoch)) {
      this.#epoch = now;
      this.#peak = Math.max(this.#peak, this.#window);
      this.#k = Math.cbrt((this.#peak - this.#window) / segment / CUBIC_C);
      this.#reno = this.#window;
    }
    const t = (now - this.#epoch + srtt) / 1000 - this.#k;
    const cubic = this.#peak + CUBIC_C * t * t * t * segment;
    this.#reno += (ALPHA * segment * delivered) / this.#window;
    // RFC 9438 §4.4: towards the curve within a round trip, at most half the window at once.
    const target = Math.max(this.#reno, Math.min(cubic, 1.5 * this.#window));
    if (target > this.#window)
      this.#window += Math.min(delivered, ((target - this.#window) * delivered) / this.#window);
  }
}

/** Segments that may leave at once however slow the pace; the timers of a runtime are about 1 ms coarse. */
const BURST_SEGMENTS = 10;
/** What may be saved up at least, in time: a late timer must not cost throughput. */
const BURST_MS = 4;

/** Spreads segments over time, with bursts. */
export class Pacer {
  #burst: Bytes;
  #tokens: Bytes;
  #at: Millis = Number.NEGATIVE_INFINITY;

  constructor(segmentBytes: Bytes) {
    this.#burst = BURST_SEGMENTS * segmentBytes;
    this.#tokens = this.#burst;
  }

  setSegmentBytes(bytes: Bytes): void {
    this.#burst = BURST_SEGMENTS * bytes;
  }

  /** When a segment may leave: `now`, or later. @param rate - Bytes per ms. */
  ready(now: Millis, rate: number): Millis {
    if (rate === Number.POSITIVE_INFINITY) return now;
    if (now > this.#at) {
      const most = Math.max(this.#burst, BURST_MS * rate);
      this.#tokens =
        this.#at === Number.NEGATIVE_INFINITY ? most : Math.min(most, this.#tokens + (now - this.#at) * rate);
      this.#at = now;
    }
    // A debt of less than one segment is allowed and paid back before the next.
    return this.#tokens > 0 ? now : now + Math.max(0.1, (1 - this.#tokens) / rate);
  }

  sent(bytes: Bytes): void {
    this.#tokens -= bytes;
  }
}
