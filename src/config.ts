/**
 * Every limit and timer in one place. Limits have two columns: what a stranger may use, and what a trusted peer may
 * use. Nothing here has state. Sources: DP = data-plane spec, CP = control-plane spec.
 */

/** Milliseconds; on the monotonic clock unless the name says `unix`. */
export type Millis = number;
/** A count of bytes. */
export type Bytes = number;

/** A limit per kind of peer: `[stranger, trusted]`. */
type Column = readonly [stranger: number, trusted: number];

/** Budgets that strangers share per endpoint, and those of one trusted peer. A second is the unit of every rate. */
export const BUDGETS = {
  verificationsPerSecond: [100, 10_000] as Column,
  registryLookupsPerSecond: [50, 5_000] as Column,
  synPerSecond: [500, 50_000] as Column,
  /** DP 5.4: one source, burst 64. */
  synPerSourcePerSecond: [10, 1_000] as Column,
  synPerSourceBurst: [64, 6_400] as Column,
  /** DP 3.10 step 2. */
  keyExchangesPerSourcePerSecond: [5, 500] as Column,
  /** DP 5.12. */
  pongsPerSecond: [10, 1_000] as Column,
} as const;

/** Sizes that do not depend on who the peer is. */
export const LIMITS = {
  peers: 16_384,
  strangerPeers: 4_096,
  paths: 65_536,
  connections: 65_536,
  connectionsPerPort: 1_024,
  acceptQueue: 64,
  /** DP 3.14: packets held per peer while a key exchange runs, and peers that may hold any. */
  pendingPackets: 64,
  pendingPeers: 256,
  /** Datagrams that wait while a page loads what they take. */
  heldDatagrams: 64,
  lookupQueue: 256,
  lookupQueuePerSource: 4,
  /** DP 5.13: a datagram above this needs fragments at IP; refused by default. */
  datagramBytes: 8_192,
  datagramQueue: 1_024,
  /** DP 5.7. */
  segmentBytes: 1_152,
  windowSegments: 512,
  outOfOrderSegments: 128,
  /** Between our own: the largest segment (the largest UDP datagram but for headers), how many may be under way, gaps. */
  ownSegmentBytes: 65_408,
  ownSegments: 16_384,
  ownGaps: 1_024,
  /** What may wait to be sent for the first time; what is under way comes on top, up to the most. */
  writableBytes: 262_144,
  writableMostBytes: 16_777_216,
  /** What a connection begins with, and what it may get between our own when its reader keeps up. */
  readableBytes: 1_048_576,
  readableMostBytes: 16_777_216,
  processBytes: 67_108_864,
  registryFrameBytes: 67_108_864,
  trustedNodes: 65_536,
  pendingTrust: 256,
  pendingTrustPerSource: 16,
  outgoingTrust: 1_024,
  /** Design decision 11: the open port 444. */
  trustStreamsPerSource: 16,
  trustStreams: 64,
  trustMessageBytes: 65_536,
} as const;

/**
 * What a message that waits on a WebSocket is charged beyond its bytes: its header and what the runtime keeps to send it.
 * Node 20 with ws 8.23 was measured to keep 325 bytes for a message of five.
 */
export const WAITING_MESSAGE_BYTES: Bytes = 384;

/** Timers. */
export const TIMERS = {
  /** DP 3.10. */
  keyExchangeRetryMs: 4_000,
  keyExchangeAttempts: 6,
  keyExchangeCooldownMs: 5_000,
  /** DP 4.8: many NATs forget UDP after 30 s. */
  discoverMs: 25_000,
  natKeepaliveMs: 25_000,
  peerForgetMs: 300_000,
  oldSessionMs: 10_000,
  candidateMs: 10_000,
  keyRotationMs: 3_600_000,
  heartbeatMs: 60_000,
  pollIdleMs: 30_000,
  pollBusyMs: 2_000,
  registryAnswerMs: 8_000,
  /** CP 2.4. */
  trustMessageAgeMs: 300_000,
  trustMessageFutureMs: 30_000,
  trustCooldownMs: 300_000,
  trustReplyWindowMs: 300_000,
  outgoingTrustMs: 2_592_000_000,
  nameCacheMs: 60_000,
  timeWaitMs: 10_000,
  closeMs: 5_000,
  tupleReuseMs: 30_000,
} as const;

/** Index into a `Column`. */
export const STRANGER = 0;
/** Index into a `Column`. */
export const TRUSTED = 1;
