/**
 * What acknowledgements tell of a path: how much it carries (the largest delivery rate of late), how long it is (the
 * smallest round-trip time of late), how unevenly acknowledgements come, and, round by round, whether losses mean
 * congestion. It decides nothing; what is done with it is in rate-control.ts.
 */
import type { Bytes, Millis } from '../config.ts';
import type { AckSample } from './congestion.ts';

/** How long a smallest round-trip time is believed (draft-ietf-ccwg-bbr: MinRTTFilterLen). */
const MIN_RTT_MS: Millis = 10_000;
/** Older than this it should be measured anew (draft: ProbeRTTInterval). */
const FRESH_RTT_MS: Millis = 5_000;
/** Rounds that the unevenness of acknowledgements is remembered for, once and twice (draft: ExtraAckedFilterLen is 10). */
const UNEVEN_ROUNDS = 5;
/** What it is believed at most, in time at the bandwidth (as Linux does). */
const UNEVEN_MS: Millis = 100;
/** Losses are congestion above this share of a round: below it radio, policers and full switches of others lose as much. */
const LOSS_SHARE = 0.05;
/** The same where the lost segments met a queue. */
const LOSS_SHARE_QUEUED = 0.01;
/** A round-trip time that means a queue: this much of the smallest, and what clocks and delayed ACKs may add. */
const QUEUED_GAIN = 1.25;
const QUEUED_MS: Millis = 2;
/** Standard deviations by which a count of losses has to exceed its share: few segments prove nothing. */
const SIGNIFICANCE = 2;

/** The model of one path. */
export class PathModel {
  /** Largest rates of the present cycle and of the one before. */
  #bandwidthNow = 0;
  #bandwidthBefore = 0;
  #hasFullSample = false;
  #minRtt: Millis = Number.POSITIVE_INFINITY;
  #minRttAt: Millis = Number.NEGATIVE_INFINITY;
  /** The smallest since it was last to be measured anew. */
  #freshRtt: Millis = Number.POSITIVE_INFINITY;
  #freshRttAt: Millis = Number.NEGATIVE_INFINITY;
  #isStale = false;
  #rtt: Millis = 0;
  #rounds = 0;
  #roundEnd: Bytes = 0;
  #isRoundStart = false;
  // The round under way.
  #delivered: Bytes = 0;
  #lost: Bytes = 0;
  #lossRtt: Millis = 0;
  #mostInFlight: Bytes = 0;
  // The round that ended last.
  #wasCongested = false;
  #inFlightOfRound: Bytes = 0;
  /** Since when acknowledgements have come faster than the bandwidth, and how much. */
  #unevenFrom: Millis = 0;
  #unevenBytes: Bytes = 0;
  #unevenNow: Bytes = 0;
  #unevenBefore: Bytes = 0;
  #unevenRounds = 0;

  /** Bytes per ms; 0 before the first sample. */
  get bandwidth(): number {
    return Math.max(this.#bandwidthNow, this.#bandwidthBefore);
  }

  /** 0 before the first sample. */
  get minRtt(): Millis {
    return this.#minRtt === Number.POSITIVE_INFINITY ? 0 : this.#minRtt;
  }

  /** The smallest round-trip time was not seen again for a while. Reading clears it. */
  takeStale(): boolean {
    const was = this.#isStale;
    this.#isStale = false;
    return was;
  }

  /** Round trips that were counted. */
  get rounds(): number {
    return this.#rounds;
  }

  /** The last sample was the first of a round. */
  get isRoundStart(): boolean {
    return this.#isRoundStart;
  }

  /** Whether losses of the round that ended last mean congestion, and what was in flight in it. */
  get wasCongested(): boolean {
    return this.#wasCongested;
  }

  get inFlightOfRound(): Bytes {
    return this.#inFlightOfRound;
  }

  /** What the bandwidth fills in one smallest round trip. */
  get product(): Bytes {
    return this.bandwidth * this.minRtt;
  }

  /** What arrives at once, beyond the bandwidth, because acknowledgements come in heaps. */
  get uneven(): Bytes {
    return Math.min(Math.max(this.#unevenNow, this.#unevenBefore), UNEVEN_MS * this.bandwidth);
  }

  update(sample: AckSample, segmentBytes: Bytes): void {
    this.#countRound(sample, segmentBytes);
    this.#measureRtt(sample);
    this.#noteLosses(sample);
    this.#measureBandwidth(sample);
    this.#measureUnevenness(sample);
  }

  /** The bandwidth was probed for: what was measured two cycles ago is forgotten. */
  nextCycle(): void {
    if (!this.#hasFullSample) return;
    this.#bandwidthBefore = this.#bandwidthNow;
    this.#bandwidthNow = 0;
    this.#hasFullSample = false;
  }

  /** The smallest round-trip time was measured just now. */
  noteFresh(now: Millis): void {
    this.#freshRttAt = now;
  }

  /** A round trip is over when what was sent at its start has arrived. */
  #countRound(sample: AckSample, segmentBytes: Bytes): void {
    this.#isRoundStart = sample.hasTransmission && sample.deliveredThen >= this.#roundEnd;
    if (!this.#isRoundStart) return;
    this.#roundEnd = sample.deliveredInAll;
    this.#rounds += 1;
    this.#wasCongested = this.#isCongestion(segmentBytes);
    this.#inFlightOfRound = this.#mostInFlight;
    this.#delivered = 0;
    this.#lost = 0;
    this.#lossRtt = 0;
    this.#mostInFlight = 0;
  }

  #isCongestion(segmentBytes: Bytes): boolean {
    const isQueued = this.#lossRtt > QUEUED_GAIN * this.minRtt + QUEUED_MS;
    const lost = this.#lost / segmentBytes;
    const sent = (this.#delivered + this.#lost) / segmentBytes;
    if (isQueued) return lost > LOSS_SHARE_QUEUED * sent;
    return lost > LOSS_SHARE * sent + SIGNIFICANCE * Math.sqrt(LOSS_SHARE * sent);
  }

  #measureRtt({ now, rtt }: AckSample): void {
    if (Number.isNaN(rtt)) return;
    this.#rtt = rtt;
    const isOld = now - this.#freshRttAt > FRESH_RTT_MS;
    if (rtt <= this.#freshRtt || isOld) {
      this.#isStale = isOld && this.#freshRtt !== Number.POSITIVE_INFINITY;
      this.#freshRtt = rtt;
      this.#freshRttAt = now;
    }
    if (this.#freshRtt <= this.#minRtt || now - this.#minRttAt > MIN_RTT_MS) {
      this.#minRtt = this.#freshRtt;
      this.#minRttAt = this.#freshRttAt;
    }
  }

  #noteLosses(sample: AckSample): void {
    this.#delivered += sample.delivered;
    if (sample.lost > 0) {
      this.#lost += sample.lost;
      this.#lossRtt = Math.max(this.#lossRtt, this.#rtt);
    }
    if (sample.hasTransmission) this.#mostInFlight = Math.max(this.#mostInFlight, sample.inFlightThen);
  }

  #measureBandwidth({ deliveryRate, isRateLimited }: AckSample): void {
    if (deliveryRate === 0) return;
    if (!isRateLimited) this.#hasFullSample = true;
    else if (deliveryRate < this.bandwidth) return;
    this.#bandwidthNow = Math.max(this.#bandwidthNow, deliveryRate);
  }

  #measureUnevenness({ now, delivered }: AckSample): void {
    const expected = this.bandwidth * (now - this.#unevenFrom);
    if (this.#unevenBytes <= expected) {
      this.#unevenFrom = now;
      this.#unevenBytes = 0;
      this.#unevenBytes += delivered;
      this.#noteUneven(delivered);
    } else {
      this.#unevenBytes += delivered;
      this.#noteUneven(this.#unevenBytes - expected);
    }
    if (!this.#isRoundStart) return;
    this.#unevenRounds += 1;
    if (this.#unevenRounds < UNEVEN_ROUNDS) return;
    this.#unevenRounds = 0;
    this.#unevenBefore = this.#unevenNow;
    this.#unevenNow = 0;
  }

  #noteUneven(bytes: Bytes): void {
    this.#unevenNow = Math.max(this.#unevenNow, bytes);
  }
}
