/**
 * How large a segment the direct path to a peer carries: packetization-layer path-MTU discovery (RFC 8899) between our
 * own. It probes with padded control packets, never with data, and only once somebody sends full segments. Sizes are
 * payloads of a segment; what stands around one is `OVERHEAD`, UDP and IP.
 */
import { type Bytes, LIMITS, type Millis } from '../config.ts';
import { OVERHEAD } from '../engine/engine.ts';

/** RFC 8899 §5.1.2, BASE_PLPMTU: carried by every path of this network (DP 5.7). */
export const BASE_SEGMENT: Bytes = LIMITS.segmentBytes;

/** IPv6 and UDP headers; those of IPv4 are 20 bytes shorter. */
const HEADERS_V6 = 48;
const HEADERS_V4 = 28;

/**
 * Sizes between the base and the largest: MTU 1 420 (WireGuard over IPv6), 1 460, 1 492 (PPPoE) and 1 500, 9 000 and
 * 16 384 (loopback of macOS), each with the larger headers.
 */
const LADDER: readonly Bytes[] = [1_420, 1_460, 1_492, 1_500, 9_000, 16_384].map((mtu) => mtu - HEADERS_V6 - OVERHEAD);

/** PROBE_TIMER (RFC 8899 §5.1.1). */
const PROBE_MS: Millis = 1_000;
/** PMTU_RAISE_TIMER (RFC 8899 §5.1.1). */
const RAISE_MS: Millis = 600_000;
/**
 * After large segments got lost, where the host itself says that they pass: there a peer that stood still for a moment
 * looks the same.
 */
const BLACK_HOLE_MS: Millis = 5_000;
/** Probes of the largest size where the host itself says that it passes; elsewhere one of each. */
const MAX_PROBES = 3;
/** What every Ethernet carries. Above it a host's own word is needed: without it a probe may pass in fragments. */
const ETHERNET: Bytes = 1_500;

/** A packet that asks whether the path carries it. */
export interface MtuProbe {
  /** Payload bytes of the packet. */
  readonly size: Bytes;
  /** What the answer repeats. */
  readonly number: number;
}

/** The search on one path. */
export class PathMtu {
  #segment: Bytes = BASE_SEGMENT;
  /** Largest size that may be tried, and whether the host says that it goes through whole. */
  #most: Bytes = BASE_SEGMENT;
  #isKnownWhole = false;
  #state: 'base' | 'searching' | 'done' = 'base';
  #probe: MtuProbe | undefined;
  #isDue = false;
  #tries = 0;
  #number = 0;
  #at: Millis = Number.POSITIVE_INFINITY;

  /** The largest segment that is known to pass. */
  get segmentBytes(): Bytes {
    return this.#segment;
  }

  /**
   * Full segments are being sent: find out whether larger ones pass. Does nothing while that is known, or searched.
   *
   * @param datagramBytes - The largest datagram that leaves this host whole (`UdpSocket.datagramBytes`).
   * @param peerBytes - The largest segment that the peer takes.
   * @returns Whether a probe should leave.
   */
  want(now: Millis, datagramBytes: Bytes, peerBytes: Bytes): boolean {
    if (this.#state !== 'base') return false;
    this.#most = Math.min(datagramBytes - OVERHEAD, peerBytes, LIMITS.ownSegmentBytes);
    this.#isKnownWhole = datagramBytes > ETHERNET - HEADERS_V4;
    this.#state = 'searching';
    this.#tries = 0;
    // Mostly the largest passes, and then one round trip is all.
    this.#try(now, this.#most);
    return this.#isDue;
  }

  /** Nothing is to be found out now: it is known, or asked. */
  get isSettled(): boolean {
    return this.#state !== 'base';
  }

  /** The probe that should leave now. */
  poll(): MtuProbe | undefined {
    if (!this.#isDue) return undefined;
    this.#isDue = false;
    return this.#probe;
  }

  /** The peer received a probe. */
  handleAnswer(now: Millis, number: number): void {
    if (this.#probe?.number !== number || this.#state !== 'searching') return;
    this.#segment = Math.max(this.#segment, this.#probe.size);
    this.#next(now);
  }

  handleTimeout(now: Millis): void {
    if (now < this.#at) return;
    if (this.#state === 'done') {
      this.#state = 'base';
      this.#at = Number.POSITIVE_INFINITY;
      return;
    }
    const { size } = this.#probe!;
    this.#tries += 1;
    if (size === this.#most && this.#isKnownWhole && this.#tries < MAX_PROBES) {
      this.#try(now, size);
      return;
    }
    // Not again before the system has forgotten what it learned of the path: a second one might leave in fragments.
    this.#most = size - 1;
    this.#next(now);
  }

  pollTimeout(): Millis {
    return this.#at;
  }

  /** Large segments get lost (RFC 8899 §4.3): back to the base, and no search for a while. */
  handleBlackHole(now: Millis): void {
    this.#finish(now, BASE_SEGMENT);
    if (this.#isKnownWhole) this.#at = now + BLACK_HOLE_MS;
  }

  /** The peer is elsewhere now: nothing is known of the path. */
  reset(): void {
    this.#segment = BASE_SEGMENT;
    this.#state = 'base';
    this.#probe = undefined;
    this.#isDue = false;
    this.#at = Number.POSITIVE_INFINITY;
  }

  /** The next size above what passed, or the end. */
  #next(now: Millis): void {
    const size = LADDER.find((step) => step > this.#segment && step <= this.#most);
    if (size === undefined) this.#finish(now, this.#segment);
    else this.#try(now, size);
  }

  #try(now: Millis, size: Bytes): void {
    if (size <= this.#segment) {
      this.#finish(now, this.#segment);
      return;
    }
    this.#number += 1;
    this.#probe = { size, number: this.#number };
    this.#isDue = true;
    this.#at = now + PROBE_MS;
  }

  #finish(now: Millis, segment: Bytes): void {
    this.#segment = segment;
    this.#state = 'done';
    this.#probe = undefined;
    this.#isDue = false;
    this.#at = now + RAISE_MS;
  }
}
