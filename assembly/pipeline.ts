/**
 * The road of a frame, in and out. In: `parse` finds the session, `aead` verifies and decrypts, `retry` moves a frame that
 * was refused on to another session of its sender, `finish` checks window, packet and source; `open` does all of it.
 * The stages stand apart so that another AEAD can take the place of `aead`. Out: `seal` writes headers and CRC, encrypts.
 * Both stop at a packet that is for an AEAD of the host (handover.ts); `openOn` and `sealOn` go on from there.
 *
 * Where the host's AEAD takes whole batches, `choose` goes before it and `judge` behind it, and out `write` and `sealRest`.
 *
 * Between the stages the record says what the next one needs: status PARSED, OPENED, CHECKED or REFUSED, out WRITTEN or
 * ENCRYPTED; the payload words point at the ciphertext without its tag; the window word counts the sessions tried; the ack word
 * tells the session from one that got its index between two stages; the word of the kind, out that of the frame's length, is the
 * place of the key.
 */
import { loadU32, loadU64 } from './bytes';
import { gcmOpen, gcmSeal } from './crypto/gcm';
import { handOver, handOverTag, isNative, takeTag } from './handover';
import {
  HASH_START_OWN, HASH_START_PEER, RECORD_ACK, RECORD_BYTES, RECORD_FRAME_LEN, RECORD_FRAME_PTR, RECORD_NOTE,
  RECORD_KIND, RECORD_PAYLOAD_LEN, RECORD_PAYLOAD_PTR, RECORD_SENDER, RECORD_SESSION, RECORD_STATUS, RECORD_WINDOW, receivePtr, transmitPtr,
} from './layout';
import { checkPacket, clearHeader, emitHeader, emitPacket, MAX_PAYLOAD, PACKET_HEADER, readHeader } from './packet';
import { accept, holdsPrefix, retiredCount } from './replay';
import {
  candidate, indexOf, installationOf, keyPtr, localIdOf, newestOf, newestOfBatch, nextCounter, replayState, sendPrefix, sessionAt,
  sessionContext, sessionUsed,
} from './session';
import {
  AEAD_FAILED, BAD_PACKET, CHECKED, ENCRYPTED, EXHAUSTED, NO_SESSION, NOBODY, NOT_PILS, NOTE_PREFIX_COLLISION, NOTE_RETIRED_SHIFT,
  OK, OPENED, PARSED, REFUSED, RETIRED, WRITTEN,
} from './status';
import { AAD_BYTES, emitFrameHeader, FRAME_COUNTER, FRAME_NONCE, FRAME_PACKET, FRAME_SENDER, isPils, TAG_BYTES } from './tunnel';

const ATTEMPT: usize = RECORD_WINDOW;
const INSTALLATION: usize = RECORD_ACK;
const KEY_IN: usize = RECORD_KIND;
const KEY_OUT: usize = RECORD_FRAME_LEN;

/**
 * All stages for the first `count` receive records of `owner`. Look-ups come first; then frame by frame, in order.
 *
 * @returns `count`; or the index of a record, PARSED, whose AEAD is the host's: do it, then `openOn`.
 */
export function open(owner: u32, count: u32): u32 {
  findSessions(owner, count);
  return openFrom(owner, 0, count);
}

/**
 * Goes on with record `i`: OPENED or REFUSED by the host, or still PARSED when the host could not, which the kernel here
 * does then; and with those behind it.
 *
 * @returns As `open`.
 */
export function openOn(owner: u32, i: u32, count: u32): u32 {
  const record = receiveRecord(i);
  if (load<u32>(record, RECORD_STATUS) == PARSED) aeadRecord(record);
  retryRecord(owner, record);
  return openRecord(owner, record) ? openFrom(owner, i + 1, count) : i;
}

/** Stage 1: statuses NOT_PILS, NO_SESSION, RETIRED, or PARSED with a session. */
export function parse(owner: u32, count: u32): void {
  findSessions(owner, count);
  for (let i: u32 = 0; i < count; ++i) chooseSession(receiveRecord(i));
}

/** Stage 2, of records PARSED: OPENED or REFUSED. */
export function aead(count: u32): void {
  for (let i: u32 = 0; i < count; ++i) {
    const record = receiveRecord(i);
    if (load<u32>(record, RECORD_STATUS) == PARSED) aeadRecord(record);
  }
}

/** After stage 2, of records REFUSED: PARSED with another session, or AEAD_FAILED. @returns How many are PARSED: stage 2 again. */
export function retry(owner: u32, count: u32): u32 {
  let again: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) {
    const record = receiveRecord(i);
    retryRecord(owner, record);
    if (load<u32>(record, RECORD_STATUS) == PARSED) ++again;
  }
  return again;
}

/** Stage 3, of records OPENED or CHECKED: the status that stays. */
export function finish(count: u32): void {
  for (let i: u32 = 0; i < count; ++i) finishRecord(receiveRecord(i));
}

/**
 * Writes packet and frame around the payloads of the first `count` transmit records and seals in place.
 *
 * @returns `count`; or the index of a record, WRITTEN, whose AEAD is the host's: do it, then `sealOn`.
 */
export function seal(count: u32): u32 {
  return sealFrom(0, count);
}

/**
 * Goes on with record `i`: ENCRYPTED by the host, its tag in the handover; or still WRITTEN when the host could not, and
 * then it is sealed here, under the next counter: who knows what was done with the last; and with those behind it.
 *
 * @returns As `seal`.
 */
export function sealOn(i: u32, count: u32): u32 {
  const record = transmitRecord(i);
  if (load<u32>(record, RECORD_STATUS) == ENCRYPTED) {
    const end = FRAME_PACKET + PACKET_HEADER + <usize>load<u32>(record, RECORD_PAYLOAD_LEN);
    takeTag(<usize>load<u32>(record, RECORD_FRAME_PTR) + end);
    answerSealed(record, end);
  } else {
    const session = writeRecord(record, true);
    if (session != 0) encryptRecord(record, session);
  }
  return sealFrom(i + 1, count);
}

/**
 * Before an AEAD of the host that opens whole batches: records from `first` on are PARSED, or have the status that refuses them,
 * up to one whose prefix is new to its session. That one may open an epoch, on which depends whose the frames behind it are.
 *
 * @param first - 0, or what the last call answered.
 * @returns The record to go on with, after `judge`.
 */
export function choose(owner: u32, first: u32, count: u32): u32 {
  if (first == 0) findSessions(owner, count);
  for (let i = first; i < count; ++i) {
    const record = receiveRecord(i);
    chooseSession(record);
    if (load<u32>(record, RECORD_STATUS) == PARSED && isNewPrefix(record)) return i + 1;
  }
  return count;
}

/** Behind it: the statuses that stay of records `first` to `end` − 1. What it left PARSED is opened here. */
export function judge(owner: u32, first: u32, end: u32): void {
  for (let i = first; i < end; ++i) {
    const record = receiveRecord(i);
    retryRecord(owner, record);
    openRecord(owner, record);
  }
}

/** Before an AEAD of the host that seals whole batches and makes the CRCs: WRITTEN, or the status that refuses a record. */
export function write(count: u32): void {
  for (let i: u32 = 0; i < count; ++i) {
    const record = transmitRecord(i);
    const session = writeRecord(record, false);
    if (session == 0) continue;
    store<u32>(record, <u32>keyPtr(session), KEY_OUT);
    store<u32>(record, WRITTEN, RECORD_STATUS);
  }
}

/** Behind it: what it left WRITTEN is sealed here, under the next counter: who knows what was done with the last. */
export function sealRest(count: u32): void {
  for (let i: u32 = 0; i < count; ++i) {
    const record = transmitRecord(i);
    if (load<u32>(record, RECORD_STATUS) != WRITTEN) continue;
    const session = writeRecord(record, true);
    if (session != 0) encryptRecord(record, session);
  }
}

// @ts-ignore: decorator
@inline
function receiveRecord(i: u32): usize {
  return receivePtr + <usize>i * RECORD_BYTES;
}

// @ts-ignore: decorator
@inline
function transmitRecord(i: u32): usize {
  return transmitPtr + <usize>i * RECORD_BYTES;
}

function openFrom(owner: u32, first: u32, count: u32): u32 {
  for (let i = first; i < count; ++i) {
    const record = receiveRecord(i);
    chooseSession(record);
    if (!openRecord(owner, record)) return i;
  }
  return count;
}

/** From PARSED to the end. @returns False when the AEAD is the host's. */
// @ts-ignore: decorator
@inline
function openRecord(owner: u32, record: usize): bool {
  while (load<u32>(record, RECORD_STATUS) == PARSED) {
    const len = <usize>load<u32>(record, RECORD_PAYLOAD_LEN);
    if (isNative(len)) {
      const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
      handOver(frame);
      handOverTag(frame + FRAME_PACKET + len);
      return false;
    }
    aeadRecord(record);
    retryRecord(owner, record);
  }
  finishRecord(record);
  return true;
}

/**
 * Reads the frames' headers and finds the newest session of each sender: statuses NOT_PILS, or PARSED with the session or 0 in
 * the word of the note. Which of a sender's sessions it is depends on the frames before: `chooseSession` says.
 */
function findSessions(owner: u32, count: u32): void {
  for (let i: u32 = 0; i < count; ++i) readFrameHeader(receiveRecord(i));
  if (count != 1) newestOfBatch(owner, receivePtr, count);
  else store<u32>(receivePtr, <u32>newestOf(owner, load<u32>(receivePtr, RECORD_SENDER)), RECORD_NOTE);
}

function readFrameHeader(record: usize): void {
  const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
  const isOurs = isPils(frame, <usize>load<u32>(record, RECORD_FRAME_LEN));
  store<u32>(record, isOurs ? PARSED : NOT_PILS, RECORD_STATUS);
  store<u32>(record, NOBODY, RECORD_SESSION);
  store<u32>(record, isOurs ? loadU32(frame + FRAME_SENDER) : 0, RECORD_SENDER);
  clearHeader(record);
}

function chooseSession(record: usize): void {
  const newest = <usize>load<u32>(record, RECORD_NOTE);
  store<u32>(record, 0, RECORD_NOTE);
  if (load<u32>(record, RECORD_STATUS) != PARSED) return;
  if (newest == 0) {
    store<u32>(record, NO_SESSION, RECORD_STATUS);
    return;
  }
  const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
  const session = candidate(newest, loadU32(frame + FRAME_NONCE), 0);
  if (session == 0) {
    answer(record, newest, RETIRED, 0);
    return;
  }
  store<u32>(record, <u32>(frame + FRAME_PACKET), RECORD_PAYLOAD_PTR);
  store<u32>(record, load<u32>(record, RECORD_FRAME_LEN) - <u32>(FRAME_PACKET + TAG_BYTES), RECORD_PAYLOAD_LEN);
  assign(record, session);
}

function isNewPrefix(record: usize): bool {
  const prefix = loadU32(<usize>load<u32>(record, RECORD_FRAME_PTR) + FRAME_NONCE);
  return !holdsPrefix(replayState(assigned(record)), prefix);
}

/** Notes the session to try next. */
function assign(record: usize, session: usize): void {
  store<u32>(record, indexOf(session), RECORD_SESSION);
  store<u32>(record, installationOf(session), INSTALLATION);
  store<u32>(record, <u32>keyPtr(session), KEY_IN);
  store<u32>(record, PARSED, RECORD_STATUS);
}

/**
 * The session that was assigned, or 0 if it is gone: only where the stages are called one by one. With another one that got
 * its index, a peer could speak as the sender of this frame, and a frame replayed from under the old key be new.
 */
function assigned(record: usize): usize {
  const session = sessionAt(load<u32>(record, RECORD_SESSION));
  return session != 0 && installationOf(session) == load<u32>(record, INSTALLATION) ? session : 0;
}

function aeadRecord(record: usize): void {
  const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
  const session = assigned(record);
  if (session == 0) {
    store<u32>(record, REFUSED, RECORD_STATUS);
    return;
  }
  const packet = frame + FRAME_PACKET;
  const len = <usize>load<u32>(record, RECORD_PAYLOAD_LEN);
  const context = sessionContext(session);
  if (gcmOpen(context, frame + FRAME_NONCE, context + HASH_START_PEER, AAD_BYTES, packet, len)) {
    sessionUsed(session);
    store<u32>(record, OPENED, RECORD_STATUS);
  } else {
    store<u32>(record, REFUSED, RECORD_STATUS);
  }
}

function retryRecord(owner: u32, record: usize): void {
  if (load<u32>(record, RECORD_STATUS) != REFUSED) return;
  const newest = newestOf(owner, load<u32>(record, RECORD_SENDER));
  const prefix = loadU32(<usize>load<u32>(record, RECORD_FRAME_PTR) + FRAME_NONCE);
  const attempt = load<u32>(record, ATTEMPT) + 1;
  const session = candidate(newest, prefix, attempt);
  if (session != 0) {
    store<u32>(record, attempt, ATTEMPT);
    assign(record, session);
    return;
  }
  clearHeader(record);
  answer(record, candidate(newest, prefix, 0), AEAD_FAILED, 0);
}

function finishRecord(record: usize): void {
  const stage = load<u32>(record, RECORD_STATUS);
  if (stage != OPENED && stage != CHECKED) return;
  const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
  const packet = frame + FRAME_PACKET;
  const len = <usize>load<u32>(record, RECORD_PAYLOAD_LEN);
  const session = assigned(record);
  clearHeader(record);
  if (session == 0) {
    memory.fill(packet, 0, len);
    answer(record, 0, NO_SESSION, 0);
    return;
  }
  const prefix = loadU32(frame + FRAME_NONCE);
  const accepted = accept(replayState(session), prefix, loadU64(frame + FRAME_COUNTER));
  let status = accepted & 0xff;
  let note = accepted >> 8;
  // DP 3.16: both directions have one key, so equal prefixes mean equal nonces.
  if (prefix == sendPrefix(session)) note |= NOTE_PREFIX_COLLISION;
  if (status == OK) status = checkPacket(packet, len, load<u32>(record, RECORD_SENDER), stage == CHECKED);
  if (status == OK) readHeader(packet, record);
  else memory.fill(packet, 0, len);
  answer(record, session, status, note);
}

/** Writes the words that tell the outcome. */
function answer(record: usize, session: usize, status: u32, note: u32): void {
  store<u32>(record, status, RECORD_STATUS);
  if (session == 0) {
    store<u32>(record, NOBODY, RECORD_SESSION);
    return;
  }
  store<u32>(record, indexOf(session), RECORD_SESSION);
  store<u32>(record, note | (retiredCount(replayState(session)) << NOTE_RETIRED_SHIFT), RECORD_NOTE);
}

function sealFrom(first: u32, count: u32): u32 {
  for (let i = first; i < count; ++i) {
    const record = transmitRecord(i);
    const session = writeRecord(record, true);
    if (session == 0) continue;
    if (isNative(PACKET_HEADER + <usize>load<u32>(record, RECORD_PAYLOAD_LEN))) {
      handOver(<usize>load<u32>(record, RECORD_FRAME_PTR));
      store<u32>(record, WRITTEN, RECORD_STATUS);
      return i;
    }
    encryptRecord(record, session);
  }
  return count;
}

/**
 * Takes a counter and writes the headers of frame and packet.
 *
 * @param isSummed - Whether the CRC is made, too.
 * @returns The session; 0 when that is refused.
 */
// @ts-ignore: decorator
@inline
function writeRecord(record: usize, isSummed: bool): usize {
  const session = sessionAt(load<u32>(record, RECORD_SESSION));
  const payloadLen = load<u32>(record, RECORD_PAYLOAD_LEN);
  store<u32>(record, 0, RECORD_FRAME_LEN);
  if (payloadLen > MAX_PAYLOAD) {
    store<u32>(record, BAD_PACKET, RECORD_STATUS);
    return 0;
  }
  let counter: u32 = 0;
  if (session != 0) counter = nextCounter(session);
  if (counter == 0) {
    store<u32>(record, EXHAUSTED, RECORD_STATUS);
    return 0;
  }
  const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
  emitFrameHeader(frame, localIdOf(session), sendPrefix(session), counter);
  if (isSummed) emitPacket(frame + FRAME_PACKET, record, payloadLen);
  else emitHeader(frame + FRAME_PACKET, record, payloadLen);
  return session;
}

// @ts-ignore: decorator
@inline
function encryptRecord(record: usize, session: usize): void {
  const frame = <usize>load<u32>(record, RECORD_FRAME_PTR);
  const len = PACKET_HEADER + <usize>load<u32>(record, RECORD_PAYLOAD_LEN);
  const context = sessionContext(session);
  sessionUsed(session);
  gcmSeal(context, frame + FRAME_NONCE, context + HASH_START_OWN, AAD_BYTES, frame + FRAME_PACKET, len);
  answerSealed(record, FRAME_PACKET + len);
}

/** @param end - Distance from the start of the frame to its tag. */
// @ts-ignore: decorator
@inline
function answerSealed(record: usize, end: usize): void {
  store<u32>(record, <u32>(end + TAG_BYTES), RECORD_FRAME_LEN);
  store<u32>(record, OK, RECORD_STATUS);
}
