/**
 * Congestion control by a model of the path instead of by losses: it sends as fast as the bottleneck was seen to deliver,
 * and keeps in flight what fills the path without a queue. After the published drafts of BBR (draft-cardwell-iccrg-bbr,
 * draft-ietf-ccwg-bbr), with one bound for what losses teach, and with losses judged by their share and by whether they
 * met a queue (path-model.ts). Read the drafts' section 3 first.
 *
 *   startup ──► drain ──► cruise ──► refill ──► up ──► down ──► cruise …      and from any of them: probe rtt
 */
import type { Bytes, Millis } from '../config.ts';
import { type AckSample, type CongestionControl, INITIAL_WINDOW_SEGMENTS, MAX_WINDOW_BYTES } from './congestion.ts';
import { PathModel } from './path-model.ts';

/** Where a connection is in the cycle. */
export type RatePhase = 'startup' | 'drain' | 'cruise' | 'refill' | 'up' | 'down' | 'probe rtt';

/** Times the bandwidth at which segments leave. */
const PACING_GAIN: Readonly<Record<RatePhase, number>> = {
  /** 2/ln 2: the least that doubles the rate each round trip (draft-cardwell-iccrg-bbr §4.1.1). */
  startup: 2 / Math.LN2,
  /** Its inverse: the queue of the start-up is gone after one round trip. */
  drain: Math.LN2 / 2,
  cruise: 1,
  refill: 1,
  /** Draft §4.6: a quarter more, then what that queued is let go. */
  up: 1.25,
  down: 0.75,
  'probe rtt': 1,
};
/** Draft: paced a little below the estimate, lest queues build up. */
const PACING_MARGIN = 0.99;
/** Draft §4.6.4.1: times what the path holds that may be in flight, so that late acknowledgements do not stop it. */
const WINDOW_GAIN = 2;
/** Draft: ProbeRTTCwndGain, ProbeRTTDuration. */
const PROBE_RTT_GAIN = 0.5;
const PROBE_RTT_MS: Millis = 200;
/** Draft §4.3.1.2: the pipe is full when bandwidth grew less than this in so many rounds. */
const GROWTH = 1.25;
const GROWTH_ROUNDS = 3;
/** RFC 9438 §4.6, and the drafts': what congestion leaves of the bound. */
const BETA = 0.7;
/** What is left to others below the bound. Draft: 0.15; a fifth leaves CUBIC a third where the queue is half a round trip. */
const HEADROOM = 0.2;
/** The bound grows by such a part of itself, or a segment, when it was reached without congestion; by half as much more each time. */
const BOUND_PART = 1 / 128;
const FASTER = 0.5;
/** Draft: MinPipeCwnd. */
const MIN_WINDOW_SEGMENTS = 4;
/** Round trips from one probe for bandwidth to the next; the clock's digits add up to as many again as `SPREAD`. */
const CYCLE_ROUNDS = 6;
const SPREAD_ROUNDS = 3;
const MIN_CYCLE_MS: Millis = 50;
/** Draft: what is sent at once, and so what the window must hold beside the path. */
const QUANTUM_MS: Millis = 1;
const QUANTUM_SEGMENTS = 2;
const QUANTA = 3;
/**
 * Below it a path is this machine or its neighbour: a round trip is what schedulers make of it, and a timer of 1 ms would
 * limit what is sent, not pace it.
 */
const LOCAL_RTT_MS: Millis = 2;

/** The law. */
export class RateControl implements CongestionControl {
  readonly name = 'rate';
  readonly #model = new PathModel();
  #segment: Bytes;
  #phase: RatePhase = 'startup';
  #phaseAt: Millis = 0;
  #phaseRound = 0;
  #cycleAt: Millis = 0;
  #window: Bytes;
  #pacingRate = Number.POSITIVE_INFINITY;
  /** In flight at most because of losses. */
  #bound: Bytes = Number.POSITIVE_INFINITY;
  /** The round that lowered it last. */
  #boundRound = Number.NEGATIVE_INFINITY;
  /** Parts or segments that the bound grows by next. */
  #step = 1;
  #isFull = false;
  #fullBandwidth = 0;
  #fullRounds = 0;
  /** When the short drain ends, once it is reached. */
  #drainedUntil: Millis = Number.NaN;

  constructor(segmentBytes: Bytes) {
    this.#segment = segmentBytes;
    this.#window = INITIAL_WINDOW_SEGMENTS * segmentBytes;
  }

  get phase(): RatePhase {
    return this.#phase;
  }

  get window(): Bytes {
    return this.#window;
  }

  get pacingRate(): number {
    return this.#pacingRate;
  }

  get bandwidth(): number {
    return this.#model.bandwidth;
  }

  /** Bytes in flight that losses allow; `Infinity` before any meant congestion. */
  get bound(): Bytes {
    return this.#bound;
  }

  setSegmentBytes(segmentBytes: Bytes): void {
    this.#segment = segmentBytes;
    this.#window = Math.max(this.#window, MIN_WINDOW_SEGMENTS * segmentBytes);
  }

  onAck(sample: AckSample): void {
    const model = this.#model;
    model.update(sample, this.#segment);
    if (model.isRoundStart) this.#endRound(sample);
    this.#advance(sample);
    this.#setPacingRate(sample);
    this.#setWindow(sample);
  }

  /** Episodes mean nothing here: the model counts what is lost. */
  onLoss(_now: Millis, _bytesInFlight: Bytes): void {}

  onTimeout(_now: Millis): void {
    // RFC 5681 §3.1: the window grows back by what arrives. The model stays, and will see how much was lost.
    this.#window = this.#segment;
  }

  get #quantum(): Bytes {
    return Math.max(QUANTUM_SEGMENTS * this.#segment, QUANTUM_MS * this.#model.bandwidth);
  }

  get #isLocal(): boolean {
    return this.#model.minRtt < LOCAL_RTT_MS;
  }

  /** What the bound leaves to fill outside of probes. */
  get #bounded(): Bytes {
    const isProbing = this.#phase === 'refill' || this.#phase === 'up' || this.#phase === 'startup';
    return isProbing ? this.#bound : (1 - HEADROOM) * this.#bound;
  }

  #enter(now: Millis, phase: RatePhase): void {
    this.#phase = phase;
    this.#phaseAt = now;
    this.#phaseRound = this.#model.rounds;
  }

  #endRound(sample: AckSample): void {
    const model = this.#model;
    if (model.wasCongested) {
      // What is found lost in the round after was sent before the bound was there.
      if (model.rounds <= this.#boundRound + 1) return;
      this.#boundRound = model.rounds;
      const reached = Math.max(Math.min(this.#bound, model.inFlightOfRound), model.product);
      this.#bound = Math.max(MIN_WINDOW_SEGMENTS * this.#segment, BETA * reached);
      this.#step = 1;
      if (this.#phase === 'startup') this.#fill(sample.now);
      else if (this.#phase === 'up' || this.#phase === 'refill') this.#goDown(sample.now);
      return;
    }
    if (this.#phase === 'startup') this.#measureGrowth(sample);
    const isReached = model.inFlightOfRound > (1 - HEADROOM) * this.#bound - this.#segment;
    if (this.#phase === 'up' && isReached) {
      this.#bound += this.#step * Math.max(this.#segment, BOUND_PART * this.#bound);
      this.#step += FASTER;
    }
  }

  /** Draft §4.3.1.2. */
  #measureGrowth({ now, isRateLimited }: AckSample): void {
    if (isRateLimited) return;
    const { bandwidth } = this.#model;
    if (bandwidth >= GROWTH * this.#fullBandwidth) {
      this.#fullBandwidth = bandwidth;
      this.#fullRounds = 0;
      return;
    }
    this.#fullRounds += 1;
    if (this.#fullRounds >= GROWTH_ROUNDS) this.#fill(now);
  }

  #fill(now: Millis): void {
    this.#isFull = true;
    this.#enter(now, 'drain');
  }

  #goDown(now: Millis): void {
    if (this.#phase === 'up') this.#model.nextCycle();
    this.#enter(now, 'down');
    this.#cycleAt = now;
  }

  #advance(sample: AckSample): void {
    const { now, inFlight } = sample;
    const model = this.#model;
    // What was sent into a path that is half empty has measured it already, without a drain.
    const isDrainWanted = model.takeStale() && sample.inFlightThen > this.#drainedWindow;
    if (isDrainWanted && !this.#isLocal && this.#phase !== 'probe rtt') {
      this.#enter(now, 'probe rtt');
      this.#drainedUntil = Number.NaN;
    }
    switch (this.#phase) {
      case 'startup':
        break;
      case 'drain':
        if (inFlight <= model.product + this.#quantum) this.#cruise(now);
        break;
      case 'down':
        if (inFlight <= Math.min(model.product, this.#bounded) || now - this.#phaseAt > sample.srtt) this.#cruise(now);
        break;
      case 'cruise':
        if (now - this.#cycleAt >= this.#cycleMs) this.#enter(now, 'refill');
        break;
      case 'refill':
        if (model.rounds > this.#phaseRound + 1) this.#enter(now, 'up');
        break;
      case 'up': {
        const isReached = sample.inFlightThen >= PACING_GAIN.up * model.product + this.#quantum || sample.isRateLimited;
        if (model.rounds > this.#phaseRound && isReached) this.#goDown(now);
        break;
      }
      case 'probe rtt':
        this.#probeRtt(sample);
        break;
      default:
        this.#phase satisfies never;
    }
  }

  get #cycleMs(): Millis {
    // Flows that began together should not probe together; digits of the clock are as good as any.
    const spread = (Math.floor(this.#cycleAt * 1000) % 97) / 97;
    return Math.max(MIN_CYCLE_MS, (CYCLE_ROUNDS + SPREAD_ROUNDS * spread) * this.#model.minRtt);
  }

  #cruise(now: Millis): void {
    if (this.#phase !== 'down') this.#cycleAt = now;
    this.#enter(now, 'cruise');
  }

  #probeRtt({ now, inFlight }: AckSample): void {
    const model = this.#model;
    if (Number.isNaN(this.#drainedUntil)) {
      if (inFlight > this.#drainedWindow) return;
      this.#drainedUntil = now + PROBE_RTT_MS;
      this.#phaseRound = model.rounds;
    } else if (now >= this.#drainedUntil && model.rounds > this.#phaseRound) {
      model.noteFresh(now);
      if (this.#isFull) this.#cruise(now);
      else this.#enter(now, 'startup');
    }
  }

  get #drainedWindow(): Bytes {
    return Math.max(MIN_WINDOW_SEGMENTS * this.#segment, PROBE_RTT_GAIN * this.#model.product);
  }

  #setPacingRate({ srtt }: AckSample): void {
    const { bandwidth } = this.#model;
    if (this.#isLocal) {
      this.#pacingRate = Number.POSITIVE_INFINITY;
    } else if (bandwidth === 0) {
      if (srtt > 0) this.#pacingRate = (PACING_GAIN.startup * this.#window) / srtt;
    } else {
      const rate = PACING_GAIN[this.#phase] * PACING_MARGIN * bandwidth;
      const isRising = !this.#isFull && this.#pacingRate !== Number.POSITIVE_INFINITY;
      this.#pacingRate = isRising ? Math.max(rate, this.#pacingRate) : rate;
    }
  }

  #setWindow({ delivered, deliveredInAll }: AckSample): void {
    const model = this.#model;
    const isKnown = model.bandwidth > 0;
    const target = isKnown ? WINDOW_GAIN * model.product + model.uneven + QUANTA * this.#quantum : MAX_WINDOW_BYTES;
    let window = this.#window;
    if (this.#isFull) window = Math.min(window + delivered, target);
    else if (window < target || deliveredInAll < INITIAL_WINDOW_SEGMENTS * this.#segment) window += delivered;
    window = Math.min(window, this.#bounded, MAX_WINDOW_BYTES);
    if (this.#phase === 'probe rtt') window = Math.min(window, this.#drainedWindow);
    // After a timeout it begins with one segment.
    this.#window = Math.max(window, Math.min(this.#window + delivered, MIN_WINDOW_SEGMENTS * this.#segment));
  }
}
