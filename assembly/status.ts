/**
 * What became of a frame: the words that `open` and `seal` write into the status and note fields of a record.
 * The same numbers stand in src/engine/engine.ts (`STATUS`, `RX_NOTE`); their order is the order of the checks.
 */

export const OK: u32 = 0;
export const NOT_PILS: u32 = 1;
export const NO_SESSION: u32 = 2;
export const RETIRED: u32 = 3;
export const AEAD_FAILED: u32 = 4;
export const REPLAY: u32 = 5;
export const OUTSIDE_WINDOW: u32 = 6;
export const TOO_MANY_EPOCHS: u32 = 7;
export const BAD_PACKET: u32 = 8;
export const BAD_CHECKSUM: u32 = 9;
export const SPOOFED: u32 = 10;
export const EXHAUSTED: u32 = 11;

/** Between the stages only, never an answer of `open`: a session was found, its AEAD comes next. */
export const PARSED: u32 = 16;
/** Between the stages only: the tag verified and the plaintext is in place. */
export const OPENED: u32 = 17;
/** Between the stages only: the tag was wrong under this session; `retry` looks for another. */
export const REFUSED: u32 = 18;
/** Between the stages only: headers and CRC are written, the packet is not encrypted. */
export const WRITTEN: u32 = 19;
/** Between the stages only: the host has encrypted the packet, the tag is in the handover. */
export const ENCRYPTED: u32 = 20;
/** Between the stages only: OPENED by the host, which found the CRC of the packet right, too. */
export const CHECKED: u32 = 21;

export const NOTE_NEW_EPOCH: u32 = 1;
export const NOTE_NEWEST: u32 = 2;
export const NOTE_PREFIX_COLLISION: u32 = 4;
/** Bits 8–15 of the note: how many prefixes of the session are retired. */
export const NOTE_RETIRED_SHIFT: u32 = 8;

/** The session word when no session was found. */
export const NOBODY: u32 = 0xffffffff;
