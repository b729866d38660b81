/**
 * AES-256 on eight blocks at once, bitsliced, constant time by construction: no table is indexed by data. Read FIPS 197
 * first, then E. Käsper and P. Schwabe, "Faster and Timing-Attack Resistant AES-GCM".
 *
 * The state is eight planes. Plane k holds bit k of every byte: byte p of the plane is position p of the AES state, and
 * bit b of that byte belongs to block b. Positions are row-major (p = 4·row + column), so that the row rotations of
 * MixColumns are rotations of 32-bit lanes: one instruction, where the column-major order of FIPS 197 needs a mask.
 *
 * The blocks are those of CTR mode: one nonce, consecutive counters. Up to round 1 they differ in what the lowest byte of the
 * counter gives, one column of the state. So round 1 is made once, for one block, and what the counters change in that column
 * is looked up in a table that comes with the key: by counter, which is public.
 */
import { swizzle } from '../bytes';
import {
  AES4_KEY_BYTES, aes4Init, aes4Keys, besideFirst, besideLast, besideRound, firstRound, LAST_KEY, SBOX_CONSTANT, SHIFT_ROWS,
  SHIFT_ROWS_OUT, subBytes, transposed,
} from './aes4';

/** Bytes of one set of eight planes. */
const PLANES_BYTES: usize = 128;
/** Rounds between round 1 and the last. */
const MIDDLE_ROUNDS: usize = 12;
/** Where the round keys of aes4.ts are, behind round keys 2 … 13 as planes. Keys 0, 1 and 14 are only there. */
export const AES4_KEYS: usize = MIDDLE_ROUNDS * PLANES_BYTES;
/** Passes of eight blocks until the lowest byte of the counter is back where it began. */
export const COUNTER_PASSES: u32 = 32;
/**
 * For each of these passes eight planes of 4 bytes: what the counters 8·pass + 1 … 8·pass + 8 change in column 0 of the state
 * after round 1, byte r in row r, against a counter of 0.
 */
const COUNTERS: usize = AES4_KEYS + AES4_KEY_BYTES;
const COUNTER_BYTES: usize = 32;
/** Bytes of an expanded key. */
export const AES_KEY_BYTES: usize = COUNTERS + <usize>COUNTER_PASSES * COUNTER_BYTES;

/** Planes after round 1 of the block with the lowest counter byte 0, for `encrypt8`. */
const STATE: usize = memory.data(128, 16);
/** The same for the next block of that kind, while lanes are taken from it. */
const NEXT_STATE: usize = memory.data(128, 16);
/** The block that `encrypt9` makes beside the eight. */
export const BESIDE: usize = memory.data(16, 16);
/** Round keys 0 … 14 in byte order while a key is expanded; wiped afterwards. */
const SCHEDULE: usize = memory.data(15 * 16, 16);
/** Moves 4 bytes to column 0, row-major; 0x80 gives 0. */
const TO_COLUMN: usize = memory.data<u8>([0, 128, 128, 128, 1, 128, 128, 128, 2, 128, 128, 128, 3, 128, 128, 128], 16);

/** 16 times bit k, for each plane. */
const BITS: usize = memory.data(128, 16);

/** Builds the static tables; once, before any key. */
export function aesInit(): void {
  aes4Init();
  for (let k: i32 = 0; k < 8; ++k) v128.store(BITS + (k << 4), i8x16.splat(<i8>(<i32>1 << k)));
}

/** Makes `STATE` from the block at `blockPtr`, whose lowest counter byte is 0. */
export function setState(keysPtr: usize, blockPtr: usize): void {
  storePlanes(STATE, firstRound(keysPtr + AES4_KEYS, v128.load(blockPtr)));
}

/** Makes only the last lane of `STATE`, from another such block. */
export function setLastLane(keysPtr: usize, blockPtr: usize): void {
  storePlanes(NEXT_STATE, firstRound(keysPtr + AES4_KEYS, v128.load(blockPtr)));
  const lane = i8x16.splat(-128);
  for (let ptr: usize = 0; ptr < PLANES_BYTES; ptr += 16) {
    v128.store(STATE + ptr, v128.bitselect(v128.load(NEXT_STATE + ptr), v128.load(STATE + ptr), lane));
  }
}

/** Forgets the block. */
export function clearState(): void {
  memory.fill(STATE, 0, PLANES_BYTES);
  memory.fill(NEXT_STATE, 0, PLANES_BYTES);
  memory.fill(BESIDE, 0, 16);
}

/** Writes planes with the 16 bytes of `bytes` in every block, positions as they are. */
function storePlanes(ptr: usize, bytes: v128): void {
  storePlane(ptr, bytes, 0);
  storePlane(ptr, bytes, 16);
  storePlane(ptr, bytes, 32);
  storePlane(ptr, bytes, 48);
  storePlane(ptr, bytes, 64);
  storePlane(ptr, bytes, 80);
  storePlane(ptr, bytes, 96);
  storePlane(ptr, bytes, 112);
}

// @ts-ignore: decorator
@inline
function storePlane(ptr: usize, bytes: v128, offset: usize): void {
  const bit = v128.load(BITS + offset);
  v128.store(ptr + offset, i8x16.eq(v128.and(bytes, bit), bit));
}

/** Expands the 32-byte key at `keyPtr` (FIPS 197 §5.2) to `AES_KEY_BYTES` at `keysPtr`, for `encrypt8` and for aes4.ts. */
export function aesExpand(keyPtr: usize, keysPtr: usize): void {
  v128.store(SCHEDULE, v128.load(keyPtr));
  v128.store(SCHEDULE, v128.load(keyPtr, 16), 16);
  let rcon: u32 = 1;
  for (let i: usize = 2; i < 15; ++i) {
    const ptr = SCHEDULE + (i << 4);
    let word = load<u32>(ptr - 4);
    // Words are little-endian here: RotWord is a rotation to the right, and the round constant is in the low byte.
    if ((i & 1) == 0) {
      word = subWord(rotr<u32>(word, 8)) ^ rcon;
      rcon <<= 1;
    } else {
      word = subWord(word);
    }
    let key = v128.load(ptr - 32);
    const zero = i32x4.splat(0);
    key = v128.xor(key, v128.shuffle<i32>(key, zero, 4, 0, 1, 2));
    key = v128.xor(key, v128.shuffle<i32>(key, zero, 4, 4, 0, 1));
    v128.store(ptr, v128.xor(key, i32x4.splat(word)));
  }
  // MixColumns keeps a state of equal bytes as it is, so the S-box constant can be added a step later, with the key.
  const constant = i8x16.splat(SBOX_CONSTANT);
  for (let i: usize = 2; i < 14; ++i) {
    storePlanes(keysPtr + (i - 2) * PLANES_BYTES, transposed(v128.xor(v128.load(SCHEDULE + (i << 4)), constant)));
  }
  aes4Keys(SCHEDULE, keysPtr + AES4_KEYS);
  storeCounters(v128.load8_splat(SCHEDULE + 15), keysPtr + COUNTERS);
  memory.fill(SCHEDULE, 0, 15 * 16);
}

/** SubWord of FIPS 197 §5.2. */
function subWord(word: u32): u32 {
  return i32x4.extract_lane(v128.xor(subBytes(i32x4.splat(word)), i8x16.splat(SBOX_CONSTANT)), 0);
}

/** Writes `COUNTERS`, given byte 15 of round key 0 in all lanes. */
function storeCounters(key: v128, ptr: usize): void {
  const ofZero = subBytes(key);
  let counters = i8x16(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
  for (const end = ptr + <usize>COUNTER_PASSES * COUNTER_BYTES; ptr != end; ptr += 2 * COUNTER_BYTES) {
    // ShiftRows brings byte 15, of row 3, to column 0; there MixColumns gives it to the rows once, once, three times and twice.
    const once = v128.xor(subBytes(v128.xor(counters, key)), ofZero);
    const carry = v128.and(i8x16.lt_s(once, i8x16.splat(0)), i8x16.splat(0x1b));
    const twice = v128.xor(i8x16.add(once, once), carry);
    let left1 = once;
    let left2 = twice;
    for (let plane = ptr + COUNTER_BYTES - 4; plane >= ptr; plane -= 4) {
      const bits1 = <u32>i8x16.bitmask(left1);
      const bits2 = <u32>i8x16.bitmask(left2);
      store<u32>(plane, (bits1 & 0xff) * 0x010101 ^ (bits2 & 0xff) * 0x01010000);
      store<u32>(plane, (bits1 >> 8) * 0x010101 ^ (bits2 >> 8) * 0x01010000, COUNTER_BYTES);
      left1 = i8x16.add(left1, left1);
      left2 = i8x16.add(left2, left2);
    }
    counters = i8x16.add(counters, i8x16.splat(16));
  }
}

/** 8 × 8 bit transpose, one step: exchanges the bits under `mask << n` of `low` with those under `mask` of `high`. */
// @ts-ignore: decorator
@inline
function exchanged(low: v128, high: v128, n: i32, mask: v128): v128 {
  return v128.and(v128.xor(i64x2.shr_u(low, n), high), mask);
}

/**
 * XORs AES of eight blocks to the 128 bytes at `ptr`. The blocks are that of `STATE` with the lowest counter bytes
 * 8·pass + 1 … 8·pass + 8, modulo 256.
 */
export function encrypt8(keysPtr: usize, pass: u32, ptr: usize): void {
  rounds(keysPtr, pass, ptr, false);
}

/**
 * The same and, beside it, AES of the block at `BESIDE`, in place. While one waits for its last step the other goes on, so the
 * block takes half the time that it takes alone (bench/README.md).
 */
export function encrypt9(keysPtr: usize, pass: u32, ptr: usize): void {
  besideFirst(keysPtr + AES4_KEYS, BESIDE);
  rounds(keysPtr, pass, ptr, true);
  besideLast(keysPtr + AES4_KEYS, BESIDE);
}

/**
 * Both of these.
 *
 * SubBytes is the circuit of 113 gates by J. Boyar and R. Peralta, "A new combinational logic minimization technique
 * with applications to cryptology" (eprint 2009/191), with its names: x0 is the high bit (plane 7), s0 likewise. Its
 * four inversions are in the round keys.
 */
// @ts-ignore: decorator
@inline
function rounds(keysPtr: usize, pass: u32, ptr: usize, isBeside: bool): void {
  // In locals, because V8 builds a constant mask anew at each use.
  const shiftRows = v128.load(SHIFT_ROWS);
  const toColumn = v128.load(TO_COLUMN);

  const counters = keysPtr + COUNTERS + <usize>pass * COUNTER_BYTES;
  let x7 = v128.xor(v128.load(STATE), swizzle(v128.load32_zero(counters), toColumn));
  let x6 = v128.xor(v128.load(STATE, 16), swizzle(v128.load32_zero(counters, 4), toColumn));
  let x5 = v128.xor(v128.load(STATE, 32), swizzle(v128.load32_zero(counters, 8), toColumn));
  let x4 = v128.xor(v128.load(STATE, 48), swizzle(v128.load32_zero(counters, 12), toColumn));
  let x3 = v128.xor(v128.load(STATE, 64), swizzle(v128.load32_zero(counters, 16), toColumn));
  let x2 = v128.xor(v128.load(STATE, 80), swizzle(v128.load32_zero(counters, 20), toColumn));
  let x1 = v128.xor(v128.load(STATE, 96), swizzle(v128.load32_zero(counters, 24), toColumn));
  let x0 = v128.xor(v128.load(STATE, 112), swizzle(v128.load32_zero(counters, 28), toColumn));

  let besideKey = keysPtr + AES4_KEYS;
  let middleRounds = MIDDLE_ROUNDS;
  while (true) {
    if (isBeside) {
      besideKey += 16;
      besideRound(besideKey, BESIDE);
    }
    // SubBytes: top linear layer.
    const y14 = v128.xor(x3, x5);
    const y13 = v128.xor(x0, x6);
    const y9 = v128.xor(x0, x3);
    const y8 = v128.xor(x0, x5);
    const t0 = v128.xor(x1, x2);
    const y1 = v128.xor(t0, x7);
    const y4 = v128.xor(y1, x3);
    const y12 = v128.xor(y13, y14);
    const y2 = v128.xor(y1, x0);
    const y5 = v128.xor(y1, x6);
    const y3 = v128.xor(y5, y8);
    const t1 = v128.xor(x4, y12);
    const y15 = v128.xor(t1, x5);
    const y20 = v128.xor(t1, x1);
    const y6 = v128.xor(y15, x7);
    const y10 = v128.xor(y15, t0);
    const y11 = v128.xor(y20, y9);
    const y7 = v128.xor(x7, y11);
    const y17 = v128.xor(y10, y11);
    const y19 = v128.xor(y10, y8);
    const y16 = v128.xor(t0, y11);
    const y21 = v128.xor(y13, y16);
    const y18 = v128.xor(x0, y16);

    // SubBytes: the inversion in GF(2^8).
    const t2 = v128.and(y12, y15);
    const t4 = v128.xor(v128.and(y3, y6), t2);
    const t6 = v128.xor(v128.and(y4, x7), t2);
    const t7 = v128.and(y13, y16);
    const t9 = v128.xor(v128.and(y5, y1), t7);
    const t11 = v128.xor(v128.and(y2, y7), t7);
    const t12 = v128.and(y9, y11);
    const t14 = v128.xor(v128.and(y14, y17), t12);
    const t16 = v128.xor(v128.and(y8, y10), t12);
    const t21 = v128.xor(v128.xor(t4, t14), y20);
    const t22 = v128.xor(v128.xor(t6, t16), y19);
    const t23 = v128.xor(v128.xor(t9, t14), y21);
    const t24 = v128.xor(v128.xor(t11, t16), y18);
    const t25 = v128.xor(t21, t22);
    const t26 = v128.and(t21, t23);
    const t27 = v128.xor(t24, t26);
    const t29 = v128.xor(v128.and(t25, t27), t22);
    const t30 = v128.xor(t23, t24);
    const t31 = v128.xor(t22, t26);
    const t33 = v128.xor(v128.and(t31, t30), t24);
    const t34 = v128.xor(t23, t33);
    const t35 = v128.xor(t27, t33);
    const t36 = v128.and(t24, t35);
    const t37 = v128.xor(t36, t34);
    const t38 = v128.xor(t27, t36);
    const t40 = v128.xor(t25, v128.and(t29, t38));
    const t41 = v128.xor(t40, t37);
    const t42 = v128.xor(t29, t33);
    const t43 = v128.xor(t29, t40);
    const t44 = v128.xor(t33, t37);
    const t45 = v128.xor(t42, t41);
    const z0 = v128.and(t44, y15);
    const z1 = v128.and(t37, y6);
    const z2 = v128.and(t33, x7);
    const z3 = v128.and(t43, y16);
    const z4 = v128.and(t40, y1);
    const z5 = v128.and(t29, y7);
    const z6 = v128.and(t42, y11);
    const z7 = v128.and(t45, y17);
    const z8 = v128.and(t41, y10);
    const z9 = v128.and(t44, y12);
    const z10 = v128.and(t37, y3);
    const z11 = v128.and(t33, y4);
    const z12 = v128.and(t43, y13);
    const z13 = v128.and(t40, y5);
    const z14 = v128.and(t29, y2);
    const z15 = v128.and(t42, y9);
    const z16 = v128.and(t45, y14);
    const z17 = v128.and(t41, y8);

    // SubBytes: bottom linear layer, inversions left out.
    const t46 = v128.xor(z15, z16);
    const t47 = v128.xor(z10, z11);
    const t48 = v128.xor(z5, z13);
    const t49 = v128.xor(z9, z10);
    const t50 = v128.xor(z2, z12);
    const t51 = v128.xor(z2, z5);
    const t52 = v128.xor(z7, z8);
    const t53 = v128.xor(z0, z3);
    const t54 = v128.xor(z6, z7);
    const t55 = v128.xor(z16, z17);
    const t56 = v128.xor(z12, t48);
    const t57 = v128.xor(t50, t53);
    const t58 = v128.xor(z4, t46);
    const t59 = v128.xor(z3, t54);
    const t60 = v128.xor(t46, t57);
    const t61 = v128.xor(z14, t57);
    const t62 = v128.xor(t52, t58);
    const t63 = v128.xor(t49, t58);
    const t64 = v128.xor(z4, t59);
    const t65 = v128.xor(t61, t62);
    const t66 = v128.xor(z1, t63);
    const t67 = v128.xor(t64, t65);
    const s0 = v128.xor(t59, t63);
    const s6 = v128.xor(t56, t62);
    const s7 = v128.xor(t48, t60);
    const s3 = v128.xor(t53, t66);
    const s4 = v128.xor(t51, t66);
    const s5 = v128.xor(t47, t65);
    const s1 = v128.xor(t64, s3);
    const s2 = v128.xor(t55, t67);

    if (middleRounds == 0) {
      x0 = s0;
      x1 = s1;
      x2 = s2;
      x3 = s3;
      x4 = s4;
      x5 = s5;
      x6 = s6;
      x7 = s7;
      break;
    }
    --middleRounds;

    const a0 = swizzle(s0, shiftRows);
    const a1 = swizzle(s1, shiftRows);
    const a2 = swizzle(s2, shiftRows);
    const a3 = swizzle(s3, shiftRows);
    const a4 = swizzle(s4, shiftRows);
    const a5 = swizzle(s5, shiftRows);
    const a6 = swizzle(s6, shiftRows);
    const a7 = swizzle(s7, shiftRows);

    // MixColumns: with a the column, b = a one row up and c = a ^ b, the result is 2·c ^ b ^ (c two rows up).
    const b0 = v128.shuffle<i32>(a0, a0, 1, 2, 3, 0);
    const b1 = v128.shuffle<i32>(a1, a1, 1, 2, 3, 0);
    const b2 = v128.shuffle<i32>(a2, a2, 1, 2, 3, 0);
    const b3 = v128.shuffle<i32>(a3, a3, 1, 2, 3, 0);
    const b4 = v128.shuffle<i32>(a4, a4, 1, 2, 3, 0);
    const b5 = v128.shuffle<i32>(a5, a5, 1, 2, 3, 0);
    const b6 = v128.shuffle<i32>(a6, a6, 1, 2, 3, 0);
    const b7 = v128.shuffle<i32>(a7, a7, 1, 2, 3, 0);
    const c0 = v128.xor(a0, b0);
    const c1 = v128.xor(a1, b1);
    const c2 = v128.xor(a2, b2);
    const c3 = v128.xor(a3, b3);
    const c4 = v128.xor(a4, b4);
    const c5 = v128.xor(a5, b5);
    const c6 = v128.xor(a6, b6);
    const c7 = v128.xor(a7, b7);

    // Doubling moves every plane one up; bit 7 (c0) comes back in bits 0, 1, 3 and 4 (x^8 = x^4 + x^3 + x + 1).
    x7 = mixed(c0, b7, c7, v128.load(keysPtr));
    x6 = mixed(v128.xor(c7, c0), b6, c6, v128.load(keysPtr, 16));
    x5 = mixed(c6, b5, c5, v128.load(keysPtr, 32));
    x4 = mixed(v128.xor(c5, c0), b4, c4, v128.load(keysPtr, 48));
    x3 = mixed(v128.xor(c4, c0), b3, c3, v128.load(keysPtr, 64));
    x2 = mixed(c3, b2, c2, v128.load(keysPtr, 80));
    x1 = mixed(c2, b1, c1, v128.load(keysPtr, 96));
    x0 = mixed(c1, b0, c0, v128.load(keysPtr, 112));
    keysPtr += PLANES_BYTES;
  }

  // Last round: no MixColumns.
  const out = v128.load(SHIFT_ROWS_OUT);
  let p0 = swizzle(x7, out);
  let p1 = swizzle(x6, out);
  let p2 = swizzle(x5, out);
  let p3 = swizzle(x4, out);
  let p4 = swizzle(x3, out);
  let p5 = swizzle(x2, out);
  let p6 = swizzle(x1, out);
  let p7 = swizzle(x0, out);

  // From planes to blocks: an 8 × 8 bit transpose in each byte position.
  let mask = i8x16.splat(0x0f);
  let t = exchanged(p0, p4, 4, mask);
  p4 = v128.xor(p4, t);
  p0 = v128.xor(p0, i64x2.shl(t, 4));
  t = exchanged(p1, p5, 4, mask);
  p5 = v128.xor(p5, t);
  p1 = v128.xor(p1, i64x2.shl(t, 4));
  t = exchanged(p2, p6, 4, mask);
  p6 = v128.xor(p6, t);
  p2 = v128.xor(p2, i64x2.shl(t, 4));
  t = exchanged(p3, p7, 4, mask);
  p7 = v128.xor(p7, t);
  p3 = v128.xor(p3, i64x2.shl(t, 4));

  mask = i8x16.splat(0x33);
  t = exchanged(p0, p2, 2, mask);
  p2 = v128.xor(p2, t);
  p0 = v128.xor(p0, i64x2.shl(t, 2));
  t = exchanged(p1, p3, 2, mask);
  p3 = v128.xor(p3, t);
  p1 = v128.xor(p1, i64x2.shl(t, 2));
  t = exchanged(p4, p6, 2, mask);
  p6 = v128.xor(p6, t);
  p4 = v128.xor(p4, i64x2.shl(t, 2));
  t = exchanged(p5, p7, 2, mask);
  p7 = v128.xor(p7, t);
  p5 = v128.xor(p5, i64x2.shl(t, 2));

  mask = i8x16.splat(0x55);
  const key = v128.load(keysPtr, LAST_KEY);
  t = exchanged(p0, p1, 1, mask);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p0, i64x2.shl(t, 1)), key), v128.load(ptr)));
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p1, t), key), v128.load(ptr, 16)), 16);
  t = exchanged(p2, p3, 1, mask);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p2, i64x2.shl(t, 1)), key), v128.load(ptr, 32)), 32);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p3, t), key), v128.load(ptr, 48)), 48);
  t = exchanged(p4, p5, 1, mask);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p4, i64x2.shl(t, 1)), key), v128.load(ptr, 64)), 64);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p5, t), key), v128.load(ptr, 80)), 80);
  t = exchanged(p6, p7, 1, mask);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p6, i64x2.shl(t, 1)), key), v128.load(ptr, 96)), 96);
  v128.store(ptr, v128.xor(v128.xor(v128.xor(p7, t), key), v128.load(ptr, 112)), 112);
}

/** One plane of MixColumns and AddRoundKey. */
// @ts-ignore: decorator
@inline
function mixed(doubled: v128, oneUp: v128, sum: v128, key: v128): v128 {
  return v128.xor(v128.xor(doubled, oneUp), v128.xor(v128.shuffle<i32>(sum, sum, 2, 3, 0, 1), key));
}
