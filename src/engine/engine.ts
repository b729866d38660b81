/**
 * The engine owns bytes: memory, slots, session keys, counters, replay windows and the route table. It never creates,
 * drops or prefers a session by itself; core does. Implementations: wasm.ts (SIMD, SIMD + relaxed SIMD) and the plain
 * twin in test/reference/. All pass one suite.
 *
 * Data crosses in batches: the caller writes records, makes one call, reads records. Records are 16 32-bit words in
 * native byte order in `receive` and `transmit`, word indexes in `RX` and `TX`.
 */

/** Records per batch. */
export const BATCH = 64;
/** 32-bit words per record. */
export const RECORD_WORDS = 16;

/** Words of a receive record. Inputs are `framePtr` and `frameLen`; the others are written by `open`. */
export const RX = {
  framePtr: 0,
  frameLen: 1,
  status: 2,
  /**
   * Session index, or 0xffffffff. Set from RETIRED on, that is whenever a session was found; of several that were tried,
   * the newest.
   */
  session: 3,
  /** `RX_NOTE` bits (from REPLAY on, OK included), and in bits 8–15 how many prefixes of this session are retired. */
  note: 4,
  /** Outer sender node id (u32); valid unless status is NOT_PILS. */
  sender: 5,
  /** This word and those behind it describe the packet; 0 unless status is OK. */
  payloadPtr: 6,
  payloadLen: 7,
  /** version << 12 | flags << 8 | protocol */
  kind: 8,
  /** source network << 16 | destination network */
  networks: 9,
  sourceNode: 10,
  destinationNode: 11,
  /** source port << 16 | destination port */
  ports: 12,
  seq: 13,
  ack: 14,
  /** Segments (DP 5.7). */
  window: 15,
} as const;

/** Words of a transmit record. `frameLen` and `status` are written by `seal`; the others are inputs. */
export const TX = {
  /** Start of the frame (the PILS magic). The payload stands `PAYLOAD_OFFSET` behind it. */
  framePtr: 0,
  frameLen: 1,
  status: 2,
  session: 3,
  payloadLen: 7,
  /** flags << 8 | protocol */
  kind: 8,
  networks: 9,
  sourceNode: 10,
  destinationNode: 11,
  ports: 12,
  seq: 13,
  ack: 14,
  window: 15,
} as const;

/** Bits of the `note` word. */
export const RX_NOTE = {
  /** This frame opened a new epoch: a prefix not seen before authenticated. */
  newEpoch: 1,
  /** The frame belongs to the newest epoch. */
  newest: 2,
  /** It authenticated under a prefix equal to our own send prefix: stop sending under this key. */
  prefixCollision: 4,
} as const;

/** What became of a frame. The order is the order of the checks. */
export const STATUS = {
  OK: 0,
  /** Not a PILS frame of at least 36 bytes. */
  NOT_PILS: 1,
  /** No session of this owner with that sender, or none left to try. */
  NO_SESSION: 2,
  /** The prefix belonged to an epoch that was retired. */
  RETIRED: 3,
  AEAD_FAILED: 4,
  REPLAY: 5,
  OUTSIDE_WINDOW: 6,
  /** A new epoch would exceed 64 retired prefixes. */
  TOO_MANY_EPOCHS: 7,
  /** Inner packet shorter than its header says, or version ≠ 1. seal: payload above 65,535 bytes. */
  BAD_PACKET: 8,
  BAD_CHECKSUM: 9,
  /** Inner source node differs from the outer sender (DP 3.13). */
  SPOOFED: 10,
  /** seal: the counter of this session is used up (2^32), or the session does not exist. */
  EXHAUSTED: 11,
} as const;

/** Bytes a tx slot keeps free in front of the frame, for the 9 bytes of a relay envelope (DP 4.5). */
export const HEADROOM = 12;
/** PILS magic, sender, nonce. */
export const FRAME_HEADER = 20;
/** Distance from the start of the frame to the payload: frame header and packet header. */
export const PAYLOAD_OFFSET: number = FRAME_HEADER + 34;
/** Frame bytes that are not payload. */
export const OVERHEAD: number = PAYLOAD_OFFSET + 16;

/** Lengths of the two kinds of receive slot and of the two kinds of transmit slot, in bytes, and how many there are. */
export const SLOTS = {
  rx: { count: 64, bytes: 4_416 },
  rxLarge: { count: 16, bytes: 65_600 },
  tx: { count: 256, bytes: 1_504 },
  txLarge: { count: 32, bytes: 65_600 },
} as const;

/** How many sessions and routes an engine is made for. */
export interface EngineLimits {
  readonly sessions: number;
}

/**
 * Every method is synchronous and none allocates after construction.
 * @see STATUS for what `open` and `seal` answer per record.
 */
export interface Engine {
  /** `wasm`, `wasm-relaxed`, `reference`; with an AEAD of the runtime `wasm + node:crypto ≥ 1500 B`. */
  readonly name: string;
  /** The whole memory. It never grows, so views stay valid. */
  readonly memory: Uint8Array;
  /** `BATCH` receive records. */
  readonly receive: Uint32Array;
  /** `BATCH` transmit records. */
  readonly transmit: Uint32Array;

  /** Takes a receive slot that holds `length` bytes. @returns Pointer into `memory`, or 0 when none is free or fits. */
  claimReceive(length: number): number;
  /** @throws RangeError when `ptr` is not a slot that is claimed. */
  releaseReceive(ptr: number): void;
  /** Takes a transmit slot for a payload of up to `payloadLength` bytes. @returns The frame pointer (headroom lies in front), or 0. */
  claimTransmit(payloadLength: number): number;
  /** Whether `claimTransmit` would find a slot. */
  hasTransmit(payloadLength: number): boolean;
  /** @throws RangeError when `framePtr` is not a slot that is claimed. */
  releaseTransmit(framePtr: number): void;

  /**
   * Adds a session for the 48-bit key (owner u16 ‖ peer id u32). Several sessions of one key are kept, the newest first.
   * @param key - 32 bytes, copied; the caller wipes its own.
   * @param prefix - Our send prefix (u32); the counter starts at 1.
   * @returns Session index, or -1 when the table is full.
   */
  install(session: { owner: number; localId: number; peerId: number; key: Uint8Array; prefix: number }): number;
  /** Zeroes keys and state and forgets the session. Retransmits and frames of it then answer NO_SESSION or EXHAUSTED. */
  wipe(session: number): void;
  /** Frames sealed under this session so far. */
  sealed(session: number): number;
  /** Sessions installed. */
  readonly sessionCount: number;

  /**
   * Opens `count` frames that arrived for `owner`: finds the session by (owner, sender, prefix); an unknown prefix is
   * tried against at most 8 sessions of that sender; AEAD in place; window; inner header; CRC; spoof check.
   * No plaintext stays in a slot whose status is not OK or SPOOFED-exempt.
   */
  open(owner: number, count: number): void;
  /** Writes packet header and CRC, seals in place and sets `frameLen`, for `count` transmit records. */
  seal(count: number): void;
}
