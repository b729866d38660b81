/**
 * How much may be in flight and how fast it leaves: what the sender tells a law of congestion control, and asks of it. The
 * laws are rate-control.ts, which is the default, and cubic.ts. Windows of the peer and limits in segments are not meant
 * here (DP 5.7: those caps are the sender's). Loss detection is in rack.ts, the spreading over time in pacer.ts.
 */
import type { Bytes, Millis } from '../config.ts';

/** What one acknowledgement told. The sender reuses one object for all. */
export interface AckSample {
  now: Millis;
  /** Bytes that this acknowledgement, cumulative or selective, showed to have arrived. */
  delivered: Bytes;
  /** Bytes found to be lost since the sample before. */
  lost: Bytes;
  /** In flight before it, and behind it. */
  bytesInFlight: Bytes;
  inFlight: Bytes;
  /** Whether more would have been sent, had the congestion window allowed it. */
  isWindowLimited: boolean;
  /** Whether lost segments of the present episode are still being repaired. */
  isRecovering: boolean;
  /** Smoothed and smallest round-trip time; 0 before the first sample. */
  srtt: Millis;
  minRtt: Millis;
  /** Round-trip time of this acknowledgement; NaN when it allows none. */
  rtt: Millis;
  /** Delivered since the connection began. */
  deliveredInAll: Bytes;
  /** Whether it is known which transmission arrived last; only then the rest means something. */
  hasTransmission: boolean;
  /** As they stood when that transmission left: delivered in all, and in flight with it. */
  deliveredThen: Bytes;
  inFlightThen: Bytes;
  /** Bytes per ms that arrived while that transmission was under way; 0 when not known. */
  deliveryRate: number;
  /** Something else than window and pacing held data back meanwhile: the path may carry more. */
  isRateLimited: boolean;
}

/** A sample to fill in. */
export function createAckSample(): AckSample {
  return {
    now: 0,
    delivered: 0,
    lost: 0,
    bytesInFlight: 0,
    inFlight: 0,
    isWindowLimited: false,
    isRecovering: false,
    srtt: 0,
    minRtt: 0,
    rtt: Number.NaN,
    deliveredInAll: 0,
    hasTransmission: false,
    deliveredThen: 0,
    inFlightThen: 0,
    deliveryRate: 0,
    isRateLimited: false,
  };
}

/** A law of congestion control. It has no clock and sends nothing. */
export interface CongestionControl {
  readonly name: CongestionControlName;
  /** What it does at present, in a word. */
  readonly phase: string;
  /** Most bytes in flight. */
  readonly window: Bytes;
  /** Bytes per ms at which segments should leave; `Infinity`: as they come. */
  readonly pacingRate: number;
  /** Bytes per ms that the path is thought to carry; 0 when not known. */
  readonly bandwidth: number;
  /** Segments are of another size from now on. */
  setSegmentBytes(segmentBytes: Bytes): void;
  onAck(sample: AckSample): void;
  /** Once per episode of losses, when the first is detected. */
  onLoss(now: Millis, bytesInFlight: Bytes): void;
  /** The retransmission timer ran out. */
  onTimeout(now: Millis): void;
}

/** The laws there are. */
export const CONGESTION_CONTROLS = ['rate', 'cubic'] as const;

/** `rate` finds out what the path carries and sends as fast; `cubic` fills the queue until it overflows (RFC 9438). */
export type CongestionControlName = (typeof CONGESTION_CONTROLS)[number];

/** @throws TypeError for a name that no law has. */
export function checkControl(name: CongestionControlName | undefined): void {
  if (name !== undefined && !CONGESTION_CONTROLS.includes(name))
    throw new TypeError(`Cannot use congestion control ${String(name)}: want ${CONGESTION_CONTROLS.join(' or ')}`);
}

/** Segments of the initial window (RFC 6928; DP 5.16). */
export const INITIAL_WINDOW_SEGMENTS = 10;
/** No law asks for more; what the peer has room for, and our own send buffer, end sooner. */
export const MAX_WINDOW_BYTES: Bytes = 64 * 1024 * 1024;
