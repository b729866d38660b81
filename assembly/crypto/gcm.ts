/**
 * AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce and a 128-bit tag, in place, constant time in everything but the
 * lengths. Not a stream: one call seals or opens one frame. Nonces, counters and keys are the caller's affair.
 *
 * Context of a key, `GCM_CONTEXT_BYTES` of secret memory: 0 what aes.ts made of the key · `AES_KEY_BYTES` GHASH tables.
 */
import { firstBytes, loadBytes, storeU32 } from '../bytes';
import {
  AES4_KEYS, AES_KEY_BYTES, BESIDE, COUNTER_PASSES, aesExpand, aesInit, clearState, encrypt8, encrypt9, setLastLane, setState,
} from './aes';
import { encrypt1, encrypt2, encrypt4 } from './aes4';
import { GHASH_TABLES_BYTES, ghash1, ghash4, ghash8, ghashClear, ghashExpand, ghashInit } from './ghash';

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
/** Key stream of the spares, see `sparesOf`. */
const SPARES: usize = memory.data(4 * 16, 16);
/** Four by themselves take as long as four spares of the plain build, and longer than those of the relaxed one. */
const MOST_SPARES: u32 = ASC_FEATURE_RELAXED_SIMD ? 4 : 3;
/** The nonce as a block whose counter is a multiple of 256: the one of the last lane of the pass under way. */
const NONCE_BLOCK: usize = memory.data(16, 16);
const COUNTER: usize = 12;
/** The hash under way. */
const HASH: usize = memory.data(32, 16);
/** The last blocks of a message, the lengths among them. */
const EDGE: usize = memory.data(5 * 16, 16);

/** Builds the static tables; once, before any other call. */
export function gcmInit(): void {
  aesInit();
  ghashInit();
}

/** Expands the 32-byte key at `keyPtr` to the context at `contextPtr`. */
export function gcmExpand(keyPtr: usize, contextPtr: usize): void {
  aesExpand(keyPtr, contextPtr);
  v128.store(KEY_STREAM, i32x4.splat(0));
  encrypt1(contextPtr + AES4_KEYS, KEY_STREAM);
  ghashExpand(KEY_STREAM, contextPtr + AES_KEY_BYTES);
}

/**
 * Hashes the `aadLen` bytes of aad at `aadPtr`, 0 … 16, to the 16 bytes at `startPtr`: where the hash of every message with
 * this key and this aad starts. A direction of a session has one aad, so this is made once.
 */
export function gcmAad(contextPtr: usize, aadPtr: usize, aadLen: usize, startPtr: usize): void {
  v128.store(HASH, i32x4.splat(0));
  v128.store(HASH, i32x4.splat(0), 16);
  if (aadLen != 0) {
    v128.store(EDGE, loadBytes(aadPtr, aadLen));
    ghash1(contextPtr + AES_KEY_BYTES, HASH, EDGE);
  }
  v128.store(startPtr, v128.load(HASH));
}

/**
 * Encrypts `len` bytes at `dataPtr` in place and writes the 16-byte tag behind them.
 *
 * @param noncePtr - 12 bytes, never used before with this key.
 * @param startPtr - What `gcmAad` made of an aad of `aadLen` bytes.
 * @param len - 0 … 65 569: a packet with the longest payload.
 */
export function gcmSeal(contextPtr: usize, noncePtr: usize, startPtr: usize, aadLen: usize, dataPtr: usize, len: usize): void {
  v128.store(HASH, v128.load(startPtr));
  v128.store(HASH, i32x4.splat(0), 16);
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
export function gcmOpen(contextPtr: usize, noncePtr: usize, startPtr: usize, aadLen: usize, dataPtr: usize, len: usize): bool {
  v128.store(HASH, v128.load(startPtr));
  v128.store(HASH, i32x4.splat(0), 16);
  const tagMask = firstKeyStream(contextPtr, noncePtr, len);
  const hash = ghashMessage(contextPtr + AES_KEY_BYTES, aadLen, dataPtr, len);
  // All 16 bytes are compared before the one branch, whose outcome is public.
  if (v128.any_true(v128.xor(v128.xor(hash, tagMask), v128.load(dataPtr + len)))) return false;
  applyKeyStream(contextPtr, dataPtr, len);
  return true;
}

/** Zeroes what the last calls left behind: key stream, hash and counters. */
export function gcmClear(): void {
  clearState();
  ghashClear();
  memory.fill(KEY_STREAM, 0, PASS);
  memory.fill(SPARES, 0, 4 * BLOCK);
  memory.fill(NONCE_BLOCK, 0, BLOCK);
  memory.fill(HASH, 0, 2 * BLOCK);
  memory.fill(EDGE, 0, 5 * BLOCK);
}

/** Makes the key stream of the first pass for `len` bytes and returns E(J0), the mask of the tag (SP 800-38D §7.1). */
function firstKeyStream(contextPtr: usize, noncePtr: usize, len: usize): v128 {
  v128.store(NONCE_BLOCK, v128.load32_lane(noncePtr, v128.load64_zero(noncePtr), 2, 8));
  const needed = len + BLOCK;
  // If this pass is no pass of eight blocks, none follows.
  if (needed > FEW) setState(contextPtr, NONCE_BLOCK);
  makeKeyStream(contextPtr, 0, needed, blocksFor(len));
  return v128.load(KEY_STREAM);
}

/** Blocks of AES for `len` bytes, E(J0) among them. */
// @ts-ignore: decorator
@inline
function blocksFor(len: usize): u32 {
  return <u32>((len + 2 * BLOCK - 1) / BLOCK);
}

/**
 * How many of so many blocks are spares: few that are left over by passes of eight, one of which each of the last passes makes
 * beside its own.
 */
// @ts-ignore: decorator
@inline
function sparesOf(blocks: u32): u32 {
  const left = blocks % LANES;
  return left <= min(blocks / LANES, MOST_SPARES) ? left : 0;
}

/** Makes at least `needed` bytes of key stream, and not more than a pass; `blocks` is what `blocksFor` says of all. */
function makeKeyStream(contextPtr: usize, pass: u32, needed: usize, blocks: u32): void {
  if (needed > FEW) {
    clearKeyStream(KEY_STREAM);
    encryptPass(contextPtr, pass, KEY_STREAM, blocks);
    return;
  }
  const nonce = v128.load(NONCE_BLOCK);
  const counter = pass * LANES + 1;
  v128.store(KEY_STREAM, counted(nonce, counter));
  if (needed <= BLOCK) {
    encrypt1(contextPtr + AES4_KEYS, KEY_STREAM);
    return;
  }
  v128.store(KEY_STREAM, counted(nonce, counter + 1), 16);
  if (needed <= 2 * BLOCK) {
    encrypt2(contextPtr + AES4_KEYS, KEY_STREAM);
    return;
  }
  v128.store(KEY_STREAM, counted(nonce, counter + 2), 32);
  v128.store(KEY_STREAM, counted(nonce, counter + 3), 48);
  encrypt4(contextPtr + AES4_KEYS, KEY_STREAM);
}

/** Zeroes the bytes of a pass. */
// @ts-ignore: decorator
@inline
function clearKeyStream(ptr: usize): void {
  const zero = i32x4.splat(0);
  v128.store(ptr, zero);
  v128.store(ptr, zero, 16);
  v128.store(ptr, zero, 32);
  v128.store(ptr, zero, 48);
  v128.store(ptr, zero, 64);
  v128.store(ptr, zero, 80);
  v128.store(ptr, zero, 96);
  v128.store(ptr, zero, 112);
}

/** The block of the nonce with this counter. */
// @ts-ignore: decorator
@inline
function counted(nonce: v128, counter: u32): v128 {
  return i32x4.replace_lane(nonce, 3, bswap<u32>(counter));
}

/** CTR mode from counter 2 on; the first pass is in `KEY_STREAM` already. Writes nothing behind `len`. */
function applyKeyStream(contextPtr: usize, dataPtr: usize, len: usize): void {
  const blocks = blocksFor(len);
  const first = min(len, FIRST_PASS);
  xorKeyStream(dataPtr, KEY_STREAM + BLOCK, first);
  dataPtr += first;
  len -= first;
  for (let pass: u32 = 1; len != 0; ++pass) {
    if (len < PASS) {
      const areSpares = sparesOf(blocks) != 0;
      if (!areSpares) makeKeyStream(contextPtr, pass, len, blocks);
      xorKeyStream(dataPtr, areSpares ? SPARES : KEY_STREAM, len);
      return;
    }
    encryptPass(contextPtr, pass, dataPtr, blocks);
    dataPtr += PASS;
    len -= PASS;
  }
}

/** XORs the key stream of a pass to 128 bytes; passes come in order. `blocks` is what `blocksFor` says of all. */
function encryptPass(contextPtr: usize, pass: u32, ptr: usize, blocks: u32): void {
  const low = pass & (COUNTER_PASSES - 1);
  // The last lane of pass 31 counts 256, so the upper bytes change there, and a pass later in all lanes.
  if (low == COUNTER_PASSES - 1) {
    storeU32(NONCE_BLOCK + COUNTER, (pass + 1) * LANES);
    setLastLane(contextPtr, NONCE_BLOCK);
  } else if (low == 0 && pass != 0) {
    setState(contextPtr, NONCE_BLOCK);
  }
  const passes = blocks / LANES;
  const spare = pass - (passes - sparesOf(blocks));
  // Unsigned: passes before the first that makes a spare are far above it.
  if (spare >= sparesOf(blocks)) {
    encrypt8(contextPtr, low, ptr);
    return;
  }
  v128.store(BESIDE, counted(v128.load(NONCE_BLOCK), passes * LANES + spare + 1));
  encrypt9(contextPtr, low, ptr);
  v128.store(SPARES + <usize>spare * BLOCK, v128.load(BESIDE));
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
  const passes = len / PASS;
  if (passes != 0) {
    ghash8(tablesPtr, HASH, dataPtr, passes);
    dataPtr += passes * PASS;
  }
  if ((len & GROUP) != 0) {
    ghash4(tablesPtr, HASH, dataPtr);
    dataPtr += GROUP;
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
    ghash4(tablesPtr, HASH, block);
    block += GROUP;
  }
  for (; block != edge; block += BLOCK) ghash1(tablesPtr, HASH, block);
  return v128.load(HASH);
}
