/** What a connection is made with, and what it counts. */
import { type Bytes, LIMITS, type Millis } from '../config.ts';
import type { BufferPool } from './buffer.ts';
import type { CongestionControl, CongestionControlName } from './congestion.ts';
import { Cubic } from './cubic.ts';
import { RateControl } from './rate-control.ts';

/** A listener's connection begins in SYN_RECEIVED and waits there for the SYN. */
export type ConnectionState = 'SYN_SENT' | 'SYN_RECEIVED' | 'ESTABLISHED' | 'FIN_WAIT' | 'TIME_WAIT' | 'CLOSED';

/** Bounds of one connection. */
export interface ConnectionLimits {
  /** Largest payload of a segment that we send, until the path is known to carry more. */
  readonly segmentBytes: Bytes;
  /** What may wait to be sent for the first time, and that with what is under way. */
  readonly writableBytes: Bytes;
  readonly writableMostBytes: Bytes;
  /** At first, and at most. */
  readonly readableBytes: Bytes;
  readonly readableMostBytes: Bytes;
  /** Slots of the receiver. */
  readonly windowSegments: number;
  readonly outOfOrderSegments: number;
  /** Ranges behind a gap, between our own. */
  readonly ownGaps: number;
  /** Outstanding towards our own, and towards a reference peer: its socket buffer holds 64 KB well (appendix D 2). */
  readonly ownSegments: number;
  readonly referenceSegments: number;
}

/** What a connection is made with. */
export interface ConnectionOptions {
  readonly now: Millis;
  readonly role: 'dialler' | 'listener';
  /** u32, random below 2^30: the comparison of old peers does not wrap (DP 5.3). */
  readonly initialSeq: number;
  /** A dialler offers the profile between our own on its SYN; a listener accepts it when offered. */
  readonly offersOwn: boolean;
  readonly pool: BufferPool;
  readonly limits?: Partial<ConnectionLimits>;
  /** Default `rate`. */
  readonly congestionControl?: CongestionControlName | undefined;
}

/** A law of congestion control by its name. @param segmentBytes - The largest segment. */
export function createControl(name: CongestionControlName, segmentBytes: Bytes): CongestionControl {
  return name === 'cubic' ? new Cubic(segmentBytes) : new RateControl(segmentBytes);
}

/** Plain counters of one connection. */
export interface ConnectionStats {
  readonly state: ConnectionState;
  readonly segmentsSent: number;
  readonly segmentsReceived: number;
  /** The largest segment that the path is known to carry. */
  readonly segmentBytes: Bytes;
  /** Payload bytes, repetitions included. */
  readonly bytesSent: Bytes;
  readonly bytesReceived: Bytes;
  readonly retransmits: number;
  readonly timeouts: number;
  readonly lossEpisodes: number;
  readonly probes: number;
  readonly congestionControl: CongestionControlName;
  /** What it does at present, in a word: `startup`, `cruise`, … or `slow start`, `avoidance`. */
  readonly congestionPhase: string;
  readonly congestionWindow: Bytes;
  /** What the path is thought to carry; 0 when not known. */
  readonly deliveredPerSecond: Bytes;
  readonly bytesInFlight: Bytes;
  readonly srtt: Millis;
  /** The smallest round trip of the last 10 s or so; 0 before the first. */
  readonly minRtt: Millis;
  readonly rto: Millis;
  readonly drops: Readonly<ConnectionDrops>;
}

/** Totals of the sending half; they only rise. */
export interface SenderCounters {
  retransmits: number;
  timeouts: number;
  lossEpisodes: number;
  probes: number;
}

/** Segments, or parts of them, that were not used. */
export interface ConnectionDrops {
  /** Not for this state. */
  unexpected: number;
  /** Acknowledges what was never sent. */
  badAck: number;
  duplicate: number;
  /** No slot or no memory. */
  refused: number;
  /** Data behind the FIN, or a FIN in front of data. */
  outside: number;
}

/** Unless the options say otherwise. */
export const DEFAULT_LIMITS: ConnectionLimits = {
  segmentBytes: LIMITS.segmentBytes,
  writableBytes: LIMITS.writableBytes,
  writableMostBytes: LIMITS.writableMostBytes,
  readableBytes: LIMITS.readableBytes,
  readableMostBytes: LIMITS.readableMostBytes,
  windowSegments: LIMITS.windowSegments,
  outOfOrderSegments: LIMITS.outOfOrderSegments,
  ownGaps: LIMITS.ownGaps,
  ownSegments: LIMITS.ownSegments,
  referenceSegments: 56,
};
