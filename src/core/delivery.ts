/**
 * How fast bytes arrive at the peer: a sample per acknowledgement, after draft-ietf-ccwg-bbr (delivery rate sampling).
 * Each transmission remembers what had been delivered when it left; the sample is what was delivered since, divided by
 * the longer of the time that sending it took and the time that acknowledging it took. Segments stand at places of the
 * flight's ring.
 */
import type { Bytes, Millis } from '../config.ts';
import type { AckSample } from './congestion.ts';

/** Rate samples of one connection. */
export class Delivery {
  #inAll: Bytes = 0;
  #at: Millis = 0;
  /** When the newest segment of the last sample left: sending is measured from there on. */
  #firstSentAt: Millis = 0;
  /** Until so much was delivered, the application or the peer's window is what limits; -1: neither is. */
  #limitedUntil: Bytes = -1;
  // Columns: as things stood when the segment left.
  #sentAt = new Float64Array(0);
  #inAllThen = new Float64Array(0);
  #atThen = new Float64Array(0);
  #firstSentThen = new Float64Array(0);
  #inFlightThen = new Float64Array(0);
  #isLimitedThen = new Uint8Array(0);
  // What the acknowledgement being handled told.
  #delivered: Bytes = 0;
  #order = -1;
  #place = -1;
  #sendMs: Millis = 0;
  #ackMs: Millis = 0;
  #inAllBefore: Bytes = 0;
  #inFlightBefore: Bytes = 0;
  #isLimitedBefore = false;

  /** Bytes that the present acknowledgement showed to have arrived. */
  get delivered(): Bytes {
    return this.#delivered;
  }

  /** A segment leaves. @param bytesInFlight - Without it. */
  sent(now: Millis, place: number, length: Bytes, bytesInFlight: Bytes): void {
    if (bytesInFlight === 0) {
      // After idleness time begins anew.
      this.#firstSentAt = now;
      this.#at = now;
    }
    this.#sentAt[place] = now;
    this.#inAllThen[place] = this.#inAll;
    this.#atThen[place] = this.#at;
    this.#firstSentThen[place] = this.#firstSentAt;
    this.#inFlightThen[place] = bytesInFlight + length;
    this.#isLimitedThen[place] = this.#limitedUntil >= 0 ? 1 : 0;
  }

  /** Something else than the congestion window and pacing holds data back: what is in flight measures that. */
  limit(bytesInFlight: Bytes): void {
    this.#limitedUntil = this.#inAll + bytesInFlight;
  }

  /** Begins an acknowledgement. */
  begin(): void {
    this.#delivered = 0;
    this.#order = -1;
  }

  /** Bytes arrived. */
  arrived(now: Millis, length: Bytes): void {
    this.#delivered += length;
    this.#inAll += length;
    this.#at = now;
    if (this.#inAll > this.#limitedUntil) this.#limitedUntil = -1;
  }

  /** The transmission that arrived is known: the newest of an acknowledgement is its sample. @returns Whether it is, so far. */
  sample(now: Millis, place: number, order: number): boolean {
    if (order <= this.#order) return false;
    this.#order = order;
    this.#place = place;
    this.#inAllBefore = this.#inAllThen[place]!;
    this.#inFlightBefore = this.#inFlightThen[place]!;
    this.#isLimitedBefore = this.#isLimitedThen[place] !== 0;
    this.#sendMs = this.#sentAt[place]! - this.#firstSentThen[place]!;
    this.#ackMs = now - this.#atThen[place]!;
    return true;
  }

  /** Writes the part of a sample that is known here. Once per acknowledgement, behind all that arrived. */
  fill(sample: AckSample): void {
    sample.delivered = this.#delivered;
    sample.deliveredInAll = this.#inAll;
    sample.hasTransmission = this.#order >= 0;
    sample.deliveryRate = 0;
    if (!sample.hasTransmission) return;
    this.#firstSentAt = this.#sentAt[this.#place]!;
    sample.deliveredThen = this.#inAllBefore;
    sample.inFlightThen = this.#inFlightBefore;
    sample.isRateLimited = this.#isLimitedBefore;
    const elapsed = Math.max(this.#sendMs, this.#ackMs);
    // Less than a round trip: acknowledgements came in a heap, and the quotient would be of any size.
    if (elapsed > 0 && elapsed >= sample.minRtt) sample.deliveryRate = (this.#inAll - this.#inAllBefore) / elapsed;
  }

  /** Makes room for places below `capacity`. @param move - Copies a column of the ring into a new one. */
  grow(capacity: number, move: <T extends Float64Array | Uint8Array>(from: T, to: T) => T): void {
    this.#sentAt = move(this.#sentAt, new Float64Array(capacity));
    this.#inAllThen = move(this.#inAllThen, new Float64Array(capacity));
    this.#atThen = move(this.#atThen, new Float64Array(capacity));
    this.#firstSentThen = move(this.#firstSentThen, new Float64Array(capacity));
    this.#inFlightThen = move(this.#inFlightThen, new Float64Array(capacity));
    this.#isLimitedThen = move(this.#isLimitedThen, new Uint8Array(capacity));
  }
}
