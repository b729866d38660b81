/**
 * In what the generations of existing daemons differ, one switch per behaviour (DP 0.1, 3–5, appendix D; CP 2). A test
 * takes a generation and turns what it is about. Values that DP leaves open say so.
 */

/** Keys, frames and paths (DP 3, 4). */
export interface TunnelBehaviour {
  /** Every valid PILA starts a fresh epoch: counter 1, new prefix, same key, empty window (DP app. D 6). */
  readonly epochRestartOnPila: boolean;
  /** When a PILA is answered by one (DP 3.10). `apr`: no session, or another key; `new`: as well after 6 s of silence. */
  readonly replyRule: 'apr' | 'new';
  /** Repeats a PILA every 4 s, six in all; else one goes with each packet that waits for a key (DP 3.10, app. D 7). */
  readonly retransmitsExchange: boolean;
  /** A PILA goes over the relay as well. */
  readonly relayCopy: boolean;
  /** A repeated PILA is followed by a PILK. */
  readonly keyRequest: boolean;
  /** Key-exchange frames a second and source IP, or relayed node. */
  readonly exchangesPerSecond: number;
  /** One window of 256, updated before the tag is verified; else one per prefix, after it (DP 3.11). */
  readonly windowBeforeAead: boolean;
  /** A PILS without key is dropped without a sign (DP app. D 11); else a PILA asks for a key. */
  readonly silentAfterRestart: boolean;
  /** Time between two such PILA to one peer, ms. */
  readonly recoveryMs: number;
  /** The PILA carries FORK's trailer: gossip bit, then request or response flag (DP 3.4). */
  readonly forkTrailer: boolean;
  /** Five frames in a row that do not open end the session (DP 3.12). */
  readonly dropsFailingSession: boolean;
  /** The inner source must be the outer sender (DP 3.13). */
  readonly checksInnerSource: boolean;
  /** Takes PILT although encryption is on (DP 3.3). */
  readonly acceptsPlaintext: boolean;
  /** Takes a PILK as session when the registry does not know the sender (DP 3.10). */
  readonly acceptsAnonymous: boolean;
  /** Refuses strangers before their PILA is looked at (DP 7.3). */
  readonly strictTrust: boolean;
  /** How many packets of the last 5 s are sent again under a new key (DP 3.14). */
  readonly salvage: number;
  /** What a full queue of 64 waiting packets does (DP 3.14). */
  readonly pendingFull: 'drop_oldest' | 'refuse';
  /** What is sent after 25 s without sending (DP 3.15). `ack`: flagged ACK; `zero`: without source; `own`: with source. */
  readonly keepalive: 'none' | 'ack' | 'zero' | 'own';
  /** Three probes after 55 s of silence, then the path is reset (DP 3.15). */
  readonly pathProbes: boolean;
  /** No upkeep for a peer without traffic for so long, ms (DP 3.15). */
  readonly upkeepStopMs: number;
  /** Direct frames do not lead away from the relay (DP app. D 12). */
  readonly relaySticky: boolean;
  /** Time between attempts to leave the relay, ms (DP 4.9). */
  readonly relayProbeMs: number;
  /** The attempt puts data on the direct path at once; else only the pin goes. */
  readonly relayProbeClears: boolean;
  /** Punch commands, deliveries and notifications from elsewhere than the beacon are dropped (DP 4.5). */
  readonly beaconOnly: boolean;
  /** Punches to private and loopback addresses (DP 0.3). */
  readonly punchesPrivate: boolean;
  /** Time between Discovers, ms (DP 4.8). */
  readonly discoverMs: number;
  /** What the kernel holds for the one router; more is lost (DP app. D 2). */
  readonly socketBufferBytes: number;
  /** What the router takes out of it; `REFERENCE_BYTES_PER_SECOND` is what was measured. */
  readonly socketBytesPerSecond: number;
  /** Empty control packets to port 0 never reach the dispatcher (DP 5.12). DP does not say it of FORK; its own keepalive would loop otherwise. */
  readonly swallowsKeepalives: boolean;
  /** Answers pongs (DP app. D 10). */
  readonly pongToEveryPong: boolean;
  /** Answers to pongs in all, so that a test ends. */
  readonly pongCap: number;
}

/** Connections (DP 5). */
export interface StreamBehaviour {
  /** Largest segment in bytes. */
  readonly mss: number;
  /** Segments out at most, whatever window is offered. */
  readonly maxInFlight: number;
  readonly receiveSlots: number;
  readonly outOfOrderSlots: number;
  readonly initialSeq: number;
  readonly ephemeralFirst: number;
  /** First repetition of a SYN, ms; doubled up to 8 s (DP 4.10). */
  readonly dialFirstMs: number;
  readonly dialRetries: number;
  /** No SYN before there is a key, for up to 10 s. */
  readonly waitsForKey: boolean;
  /** A copy of the SYN goes over the relay 200 ms after the direct one (DP 4.10). */
  readonly racesRelay: boolean;
  /** The sweep forgets a dial after 5 s: a later SYN+ACK means nothing to it (DP 5.5). */
  readonly forgetsSlowDials: boolean;
  /** SYNs from one node at once; 10 a second follow (DP 5.4). */
  readonly synBurst: number;
  /** What a repeated SYN is answered with: `next` send number − 1 in any state, or the `original` SYN+ACK (DP 5.4). */
  readonly synAckNumber: 'next' | 'original';
  /** The dialler's third packet carries number 0 (DP app. D 3: sometimes; here always). */
  readonly finalAckSeqZero: boolean;
  /** The application gets a connection after the final ACK, not after the SYN (DP 0.3). */
  readonly acceptsOnFinalAck: boolean;
  /** An acknowledgement of 0 is not looked at (DP 5.3). */
  readonly ignoresAckZero: boolean;
  /** Window 0 leaves the congestion window as the only limit (DP 5.7). */
  readonly windowZeroMeansNoLimit: boolean;
  /** Window 0 never stops the sender and is not probed; alone, the last other window stays in force (DP app. D 14). */
  readonly zeroWindowIgnored: boolean;
  /** Zero-window probes before the connection is reset (DP 5.18). */
  readonly probeLimit: number;
  /** Says so when a window that was 0 opens. DP is silent; without it two `new` peers would stand still for ever. */
  readonly windowUpdate: boolean;
  /** No answer to an empty ACK that says nothing new (DP 5.18). */
  readonly noProbeAnswer: boolean;
  /** How a connection without any sign of life ends after three keepalives (DP 5.18). */
  readonly idleEndsWith: 'rst' | 'fin';
  /** One segment per expiry; else, after a timeout, each partial ACK repairs the next (DP app. D 2, 5.15). */
  readonly onePerRto: boolean;
  /** The RTO doubles at each expiry, with jitter, or once per loss event (DP app. D 13). */
  readonly backoff: 'each' | 'once';
  readonly initialRtoMs: number;
  readonly minRtoMs: number;
  readonly maxRtoMs: number;
  /** Resolution of the timer, ms. */
  readonly tickMs: number;
  /** Transmissions of a segment before RST. */
  readonly maxAttempts: number;
  /** A selectively acknowledged head older than the RTO goes out again (DP 5.15). */
  readonly resendsSackedHead: boolean;
  /** Congestion window at the start, after a timeout and at most, and its growth unit, bytes (DP 5.16). */
  readonly initialCwnd: number;
  readonly cwndAfterRto: number;
  readonly maxCwnd: number;
  readonly cwndUnit: number;
  /** ACKs with SACK count as duplicates; else only empty ones do. */
  readonly sackCountsAsDuplicate: boolean;
  /** Empty ACKs count as duplicates even with nothing in flight (DP app. D 8). */
  readonly strayDuplicates: boolean;
  /** Which four blocks a SACK reports (DP 5.8). */
  readonly sackBlocks: 'lowest' | 'highest';
  /** How long the router waits for an application that does not read, ms (DP 5.20). */
  readonly deliveryWaitMs: number;
  /** Then the segment is kept and reported by SACK; else it is lost (DP 5.6). */
  readonly parking: boolean;
  readonly delayedAckMs: number;
  /** Single segments acknowledged at once, until the delay ran out again (DP 5.9). */
  readonly quickAcks: number;
  /** What holds a short write for 40 ms: any data on its way, or a short segment (DP 5.17). */
  readonly nagle: 'any' | 'short' | 'off';
  /** Every packet with FIN is answered by FIN+ACK, in TIME_WAIT too (DP app. D 1). */
  readonly finStorm: boolean;
  /** Answers in TIME_WAIT per connection, so that a test ends. */
  readonly finStormCap: number;
  /** FIN after one's own FIN is answered by a pure ACK (DP 5.10, FORK). */
  readonly finAnsweredByAck: boolean;
  /** Acknowledgement and window of a FIN are looked at when the former is above 0 (DP 5.10, FORK). */
  readonly finCarriesAck: boolean;
  /** FIN goes out when all data is acknowledged, or after 5 s; else right behind the data. */
  readonly finWaitsForData: boolean;
  /** FIN ahead of missing data waits, up to 15 s of silence; else it closes at once. */
  readonly holdsEarlyFin: boolean;
  /** FIN is repeated at the RTO. */
  readonly finRetransmission: boolean;
}

/** Registry and trust (CP 1.5, 2). */
export interface TrustBehaviour {
  readonly signsRegister: boolean;
  /** For 5 min after own contact the other side reaches ports 1001 and 444 (DP 7.2). */
  readonly replyWindow: boolean;
  /** An accept counts only for a request of one's own, over the tunnel of its sender (CP 2.4, 2.6). */
  readonly bindsAccept: boolean;
  /** A request without key is taken unsigned (CP 2.4). */
  readonly acceptsUnsigned: boolean;
}

/** All switches of a peer. */
export interface Behaviour extends TunnelBehaviour, StreamBehaviour, TrustBehaviour {}

/** April 2026; its fork of May 2026; the newest main line (DP 0.1). */
export type Generation = 'apr' | 'fork' | 'new';

/** What a reference router was measured to take on a loopback, for `socketBytesPerSecond` (DP app. D 2). */
export const REFERENCE_BYTES_PER_SECOND = 22_000_000;

const APR: Behaviour = {
  epochRestartOnPila: true,
  replyRule: 'apr',
  retransmitsExchange: false,
  relayCopy: false,
  keyRequest: false,
  exchangesPerSecond: Number.POSITIVE_INFINITY,
  windowBeforeAead: true,
  silentAfterRestart: true,
  recoveryMs: Number.POSITIVE_INFINITY,
  forkTrailer: false,
  dropsFailingSession: false,
  checksInnerSource: false,
  acceptsPlaintext: true,
  acceptsAnonymous: true,
  strictTrust: false,
  salvage: 0,
  pendingFull: 'drop_oldest',
  keepalive: 'none',
  pathProbes: false,
  upkeepStopMs: Number.POSITIVE_INFINITY,
  relaySticky: true,
  relayProbeMs: 300_000,
  relayProbeClears: true,
  beaconOnly: false,
  punchesPrivate: true,
  discoverMs: 60_000,
  socketBufferBytes: 208 * 1024,
  socketBytesPerSecond: Number.POSITIVE_INFINITY,
  swallowsKeepalives: false,
  pongToEveryPong: true,
  pongCap: 100,
  mss: 4096,
  maxInFlight: Number.POSITIVE_INFINITY,
  receiveSlots: 512,
  outOfOrderSlots: 128,
  initialSeq: 0,
  ephemeralFirst: 49_152,
  dialFirstMs: 1000,
  dialRetries: 6,
  waitsForKey: false,
  racesRelay: false,
  forgetsSlowDials: false,
  synBurst: 10,
  synAckNumber: 'next',
  finalAckSeqZero: true,
  acceptsOnFinalAck: false,
  ignoresAckZero: true,
  windowZeroMeansNoLimit: true,
  zeroWindowIgnored: true,
  probeLimit: Number.POSITIVE_INFINITY,
  windowUpdate: false,
  noProbeAnswer: true,
  idleEndsWith: 'rst',
  onePerRto: true,
  backoff: 'once',
  initialRtoMs: 1000,
  minRtoMs: 200,
  maxRtoMs: 10_000,
  tickMs: 100,
  maxAttempts: 8,
  resendsSackedHead: false,
  initialCwnd: 40_960,
  cwndAfterRto: 40_960,
  maxCwnd: 1024 * 1024,
  cwndUnit: 4096,
  sackCountsAsDuplicate: false,
  strayDuplicates: true,
  sackBlocks: 'lowest',
  deliveryWaitMs: 1000,
  parking: false,
  delayedAckMs: 40,
  quickAcks: 0,
  nagle: 'any',
  finStorm: true,
  finStormCap: 100,
  finAnsweredByAck: false,
  finCarriesAck: false,
  finWaitsForData: false,
  holdsEarlyFin: false,
  finRetransmission: false,
  signsRegister: false,
  replyWindow: false,
  bindsAccept: false,
  acceptsUnsigned: true,
};

const FORK: Behaviour = {
  ...APR,
  epochRestartOnPila: false,
  silentAfterRestart: false,
  recoveryMs: 60_000,
  forkTrailer: true,
  salvage: 32,
  keepalive: 'ack',
  punchesPrivate: false,
  discoverMs: 25_000,
  swallowsKeepalives: true,
  mss: 1024,
  cwndUnit: 1024,
  racesRelay: true,
  finalAckSeqZero: false,
  acceptsOnFinalAck: true,
  finStorm: false,
  finAnsweredByAck: true,
  finCarriesAck: true,
};

const NEW: Behaviour = {
  ...APR,
  epochRestartOnPila: false,
  replyRule: 'new',
  retransmitsExchange: true,
  relayCopy: true,
  keyRequest: true,
  exchangesPerSecond: 5,
  windowBeforeAead: false,
  silentAfterRestart: false,
  recoveryMs: 3000,
  dropsFailingSession: true,
  checksInnerSource: true,
  acceptsPlaintext: false,
  salvage: 4,
  pendingFull: 'refuse',
  keepalive: 'own',
  pathProbes: true,
  upkeepStopMs: 120_000,
  relaySticky: false,
  relayProbeMs: 15_000,
  relayProbeClears: false,
  beaconOnly: true,
  swallowsKeepalives: true,
  pongToEveryPong: false,
  mss: 1152,
  maxInFlight: 128,
  dialFirstMs: 250,
  dialRetries: 7,
  waitsForKey: true,
  forgetsSlowDials: true,
  synBurst: 64,
  synAckNumber: 'original',
  finalAckSeqZero: false,
  ignoresAckZero: false,
  windowZeroMeansNoLimit: false,
  zeroWindowIgnored: false,
  probeLimit: 30,
  windowUpdate: true,
  idleEndsWith: 'fin',
  onePerRto: false,
  backoff: 'each',
  resendsSackedHead: true,
  cwndAfterRto: 4096,
  sackCountsAsDuplicate: true,
  strayDuplicates: false,
  sackBlocks: 'highest',
  parking: true,
  delayedAckMs: 5,
  quickAcks: 32,
  nagle: 'short',
  finStorm: false,
  finWaitsForData: true,
  holdsEarlyFin: true,
  signsRegister: true,
  replyWindow: true,
  bindsAccept: true,
  acceptsUnsigned: false,
};

/** The switches of each generation. */
export const GENERATIONS: Readonly<Record<Generation, Behaviour>> = { apr: APR, fork: FORK, new: NEW };
