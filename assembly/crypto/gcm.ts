/**
 * AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag, in place, constant time in everything but the
 * lengths. Not a stream: one call seals or opens one frame. Nonces, counters and keys are the caller's affair.
 *
 * Context of a key, `GCM_CONTEXT_BYTES` of secret memory: 0 round keys · `AES_KEY_BYTES` GHASH tables.
 */
import { firstBytes, loadBytes } from '../bytes';
import { AES4_KEYS, AES_KEY_BYTES, PLANES_BYTES, STATE, aesExpand, aesInit, blockPlanes, encrypt8 } from './aes';
import { encrypt2, encrypt4 } from './aes4';
import { GHASH_TABLES_BYTES, ghash1, ghash4, ghashExpand, ghashInit } from './ghash';

/** Bytes of an expanded key, whole cache lines. */
export const GCM_CONTEXT_BYTES: usize = (AES_KEY_BYTES + GHASH_TABLES_BYTES + 63) & ~63;
/** Bytes of a block and of a tag. */
const BLOCK: usize = 16;
/** Bytes that GHASH takes in one step. */
const GROUP: usize = 64;
/** Blocks of one AES pass, and their bytes. */
const LANES: u32 = 8;
const PASS: usize = 128;
/** Bytes that need no pass of eight blocks: four at once are faster. */
const FEW: usize = 4 * BLOCK;
/** Data bytes that the first pass serves: its first block makes the tag. */
const FIRST_PASS: usize = PASS - BLOCK;

/** Key stream of the pass under way; block 0 of the first pass is E(J0). */
const KEY_STREAM: usize = memory.data(128, 16);
const ZEROS: usize = memory.data(128, 16);
/** Planes of the nonce and the upper counter bytes, round key 0 added: what stays the same for 32 passes. */
const NONCE: usize = memory.data(128, 16);
/** The low counter byte of pass 0 … 31 as eight bytes, one for each plane; lane b of pass g counts 8g + b + 1. */
const COUNTERS: usize = memory.data(256, 16);
const COUNTER_PASSES: u32 = 32;
/** Row-major positions of the two lowest counter bytes, 15 and 14 of the block. */
const COUNTER_LOW: u8 = 15;
const COUNTER_NEXT: usize = 11;
/** The nonce as a block whose counter is zero. */
const NONCE_BLOCK: usize = memory.data(16, 16);
/** The hash under way. */
const HASH: usize = memory.data(16, 16);
/** The last blocks of a message, the lengths among them. */
const EDGE: usize = memory.data(5 * 16, 16);

/** Builds the static tables; once, before any other call. */
export function gcmInit(): void {
  aesInit();
  ghashInit();
  for (let pass: u32 = 0; pass < COUNTER_PASSES; ++pass) {
    for (let k: u32 = 0; k < 8; ++k) {
      let plane: u32 = 0;
      for (let lane: u32 = 0; lane < LANES; ++lane) plane |= (((pass * LANES + lane + 1) >> k) & 1) << lane;
      store<u8>(COUNTERS + pass * 8 + k, plane);
    }
  }
}

/** Expands the 32-byte key at `keyPtr` to the context at `contextPtr`. */
export function gcmExpand(keyPtr: usize, contextPtr: usize): void {
  aesExpand(keyPtr, contextPtr);
  memory.fill(KEY_STREAM, 0, PASS);
  encrypt2(contextPtr + AES4_KEYS, KEY_STREAM);
  ghashExpand(KEY_STREAM, contextPtr + AES_KEY_BYTES);
  memory.fill(KEY_STREAM, 0, PASS);
}

/**
 * Encrypts `len` bytes at `dataPtr` in place and writes the 16-byte tag behind them.
 *
 * @param noncePtr - 12 bytes, never used before with this key.
 * @param aadLen - 0 … 16.
 * @param len - 0 … 65 535.
 */
export function gcmSeal(contextPtr: usize, noncePtr: usize, aadPtr: usize, aadLen: usize, dataPtr: usize, len: usize): void {
  hashAad(contextPtr + AES_KEY_BYTES, aadPtr, aadLen);
  const tagMask = firstKeyStream(contextPtr, noncePtr, len);
  applyKeyStream(contextPtr, dataPtr, len);
  const hash = ghashMessage(contextPtr + AES_KEY_BYTES, aadLen, dataPtr, len);
  v128.store(dataPtr + len, v128.xor(hash, tagMask));
}

/**
 * Verifies the tag behind the `len` bytes at `dataPtr` and, if it is right, decrypts them in place.
 *
 * @returns Whether the tag is right; if not, nothing was written.
 */
export function gcmOpen(contextPtr: usize, noncePtr: usize, aadPtr: usize, aadLen: usize, dataPtr: usize, len: usize): bool {
  hashAad(contextPtr + AES_KEY_BYTES, aadPtr, aadLen);
  const tagMask = firstKeyStream(contextPtr, noncePtr, len);
  const hash = ghashMessage(contextPtr + AES_KEY_BYTES, aadLen, dataPtr, len);
  // All 16 bytes are compared before the one branch, whose outcome is public.
  if (v128.any_true(v128.xor(v128.xor(hash, tagMask), v128.load(dataPtr + len)))) return false;
  applyKeyStream(contextPtr, dataPtr, len);
  return true;
}

/** Zeroes what the last call left behind: its key stream, hash and counters. */
export function gcmClear(): void {
  memory.fill(STATE, 0, PLANES_BYTES);
  memory.fill(KEY_STREAM, 0, PASS);
  memory.fill(NONCE, 0, PLANES_BYTES);
  memory.fill(NONCE_BLOCK, 0, BLOCK);
  memory.fill(HASH, 0, BLOCK);
  memory.fill(EDGE, 0, 5 * BLOCK);
}

/** Makes the key stream of the first pass for `len` bytes and returns E(J0), the mask of the tag (SP 800-38D §7.1). */
function firstKeyStream(contextPtr: usize, noncePtr: usize, len: usize): v128 {
  v128.store(NONCE_BLOCK, v128.load32_lane(noncePtr, v128.load64_zero(noncePtr), 2, 8));
  const needed = len + BLOCK;
  // If this pass is no pass of eight blocks, none follows.
  if (needed > FEW) blockPlanes(contextPtr, NONCE, NONCE_BLOCK);
  makeKeyStream(contextPtr, 0, needed);
  return v128.load(KEY_STREAM);
}

/** Makes at least `needed` bytes of key stream, and not more than a pass. */
function makeKeyStream(contextPtr: usize, pass: u32, needed: usize): void {
  if (needed > FEW) {
    counterPlanes(pass);
    encrypt8(contextPtr, ZEROS, KEY_STREAM);
    return;
  }
  const nonce = v128.load(NONCE_BLOCK);
  const counter = pass * LANES + 1;
  v128.store(KEY_STREAM, counted(nonce, counter));
  v128.store(KEY_STREAM, counted(nonce, counter + 1), 16);
  if (needed <= 2 * BLOCK) {
    encrypt2(contextPtr + AES4_KEYS, KEY_STREAM);
    return;
  }
  v128.store(KEY_STREAM, counted(nonce, counter + 2), 32);
  v128.store(KEY_STREAM, counted(nonce, counter + 3), 48);
  encrypt4(contextPtr + AES4_KEYS, KEY_STREAM);
}

/** The block of the nonce with this counter. */
// @ts-ignore: decorator
@inline
function counted(nonce: v128, counter: u32): v128 {
  return i32x4.replace_lane(nonce, 3, bswap<u32>(counter));
}

/** CTR mode from counter 2 on; the first pass is in `KEY_STREAM` already. Writes nothing behind `len`. */
function applyKeyStream(contextPtr: usize, dataPtr: usize, len: usize): void {
  const first = min(len, FIRST_PASS);
  xorKeyStream(dataPtr, KEY_STREAM + BLOCK, first);
  dataPtr += first;
  len -= first;
  for (let pass: u32 = 1; len != 0; ++pass) {
    if (len < PASS) {
      makeKeyStream(contextPtr, pass, len);
      xorKeyStream(dataPtr, KEY_STREAM, len);
      return;
    }
    counterPlanes(pass);
    encrypt8(contextPtr, dataPtr, dataPtr);
    dataPtr += PASS;
    len -= PASS;
  }
}

/** Puts nonce and counters of a pass into `STATE`; passes come in order from 0. */
function counterPlanes(pass: u32): void {
  const low = pass & (COUNTER_PASSES - 1);
  const high = pass / COUNTER_PASSES;
  // The last lane of pass 31 counts 256, so the byte above changes there, and a pass later in all lanes.
  if (low == COUNTER_PASSES - 1) changeUpperCounter(high ^ (high + 1), 0x80);
  else if (low == 0 && high != 0) changeUpperCounter(high ^ (high - 1), 0x7f);
  const counters = COUNTERS + (low << 3);
  const zero = i32x4.splat(0);
  v128.store(STATE, v128.xor(v128.load(NONCE), v128.load8_lane(counters, zero, COUNTER_LOW)));
  v128.store(STATE, v128.xor(v128.load(NONCE, 16), v128.load8_lane(counters, zero, COUNTER_LOW, 1)), 16);
  v128.store(STATE, v128.xor(v128.load(NONCE, 32), v128.load8_lane(counters, zero, COUNTER_LOW, 2)), 32);
  v128.store(STATE, v128.xor(v128.load(NONCE, 48), v128.load8_lane(counters, zero, COUNTER_LOW, 3)), 48);
  v128.store(STATE, v128.xor(v128.load(NONCE, 64), v128.load8_lane(counters, zero, COUNTER_LOW, 4)), 64);
  v128.store(STATE, v128.xor(v128.load(NONCE, 80), v128.load8_lane(counters, zero, COUNTER_LOW, 5)), 80);
  v128.store(STATE, v128.xor(v128.load(NONCE, 96), v128.load8_lane(counters, zero, COUNTER_LOW, 6)), 96);
  v128.store(STATE, v128.xor(v128.load(NONCE, 112), v128.load8_lane(counters, zero, COUNTER_LOW, 7)), 112);
}

/** Changes bits of byte 14 of the block in some of the lanes. 65 535 bytes never reach byte 13. */
function changeUpperCounter(bits: u32, lanes: u32): void {
  for (let k: u32 = 0; k < 8; ++k) {
    const ptr = NONCE + k * 16 + COUNTER_NEXT;
    if ((bits >> k) & 1) store<u8>(ptr, load<u8>(ptr) ^ lanes);
  }
}

/** XORs `len` bytes of key stream into the data; bytes behind them are read (the tag is there) but not changed. */
function xorKeyStream(dataPtr: usize, keyStreamPtr: usize, len: usize): void {
  for (; len >= BLOCK; len -= BLOCK) {
    v128.store(dataPtr, v128.xor(v128.load(dataPtr), v128.load(keyStreamPtr)));
    dataPtr += BLOCK;
    keyStreamPtr += BLOCK;
  }
  if (len != 0) {
    v128.store(dataPtr, v128.xor(v128.load(dataPtr), v128.and(v128.load(keyStreamPtr), firstBytes(len))));
  }
}

/** GHASH of aad, ciphertext and the block of their lengths in bits (SP 800-38D §7.1, step 5). */
function ghashMessage(tablesPtr: usize, aadLen: usize, dataPtr: usize, len: usize): v128 {
  const groups = len / GROUP;
  if (groups != 0) {
    ghash4(tablesPtr, HASH, dataPtr, groups);
    dataPtr += groups * GROUP;
  }
  const left = len & (GROUP - 1);
  // At most 5 blocks are left, the lengths counted.
  let edge = EDGE;
  const full = left & ~(BLOCK - 1);
  for (const end = EDGE + full; edge != end; edge += BLOCK) {
    v128.store(edge, v128.load(dataPtr));
    dataPtr += BLOCK;
  }
  if (left != full) {
    v128.store(edge, v128.and(v128.load(dataPtr), firstBytes(left - full)));
    edge += BLOCK;
  }
  v128.store(edge, i64x2.replace_lane(i64x2.splat(bswap<u64>(<u64>aadLen << 3)), 1, bswap<u64>(<u64>len << 3)));
  edge += BLOCK;
  let block = EDGE;
  if (edge - block >= GROUP) {
    ghash4(tablesPtr, HASH, block, 1);
    block += GROUP;
  }
  for (; block != edge; block += BLOCK) ghash1(tablesPtr, HASH, block);
  return v128.load(HASH);
}

/** Starts the hash with the aad. Before all else, because its chain of sums leaves room for the AES that follows. */
function hashAad(tablesPtr: usize, aadPtr: usize, aadLen: usize): void {
  v128.store(HASH, i32x4.splat(0));
  if (aadLen == 0) return;
  v128.store(EDGE, loadBytes(aadPtr, aadLen));
  ghash1(tablesPtr, HASH, EDGE);
}
