/**
 * CUBIC (RFC 9438) on top of RFC 5681, in bytes: the window grows along a curve whose plateau is where losses were found
 * last. It fills the queue of the path, takes every loss for congestion, and is fair to what kernels do.
 */
import type { Bytes, Millis } from '../config.ts';
import { type AckSample, type CongestionControl, INITIAL_WINDOW_SEGMENTS, MAX_WINDOW_BYTES } from './congestion.ts';

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
  readonly name = 'cubic';
  #segment: Bytes;
  #window: Bytes;
  #threshold: Bytes = MAX_WINDOW_BYTES;
  #pacingRate = Number.POSITIVE_INFINITY;
  #bandwidth = 0;
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

  get phase(): 'slow start' | 'avoidance' {
    return this.#window < this.#threshold ? 'slow start' : 'avoidance';
  }

  get bandwidth(): number {
    return this.#bandwidth;
  }

  setSegmentBytes(segmentBytes: Bytes): void {
    this.#segment = segmentBytes;
    this.#window = Math.max(this.#window, segmentBytes);
  }

  onAck(sample: AckSample): void {
    if (sample.deliveryRate > 0) this.#bandwidth = sample.deliveryRate;
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
