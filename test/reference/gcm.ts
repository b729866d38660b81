/**
 * Plain twin of assembly/crypto/: AES-256-GCM written as FIPS 197 and NIST SP 800-38D describe it, one byte and one bit
 * at a time. Slow, and not constant time; never for real keys.
 */

const BLOCK = 16;
const ROUNDS = 14;

/** Encrypts, and appends the 16-byte tag (SP 800-38D §7.1). `nonce` has 12 bytes. */
export function seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const roundKeys = expandKey(key);
  const out = new Uint8Array(plaintext.length + BLOCK);
  out.set(countered(roundKeys, nonce, plaintext));
  out.set(tagOf(roundKeys, nonce, aad, out.subarray(0, plaintext.length)), plaintext.length);
  return out;
}

/** Decrypts what `seal` made, or answers `undefined` if it was changed (SP 800-38D §7.2). */
export function open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < BLOCK) return undefined;
  const roundKeys = expandKey(key);
  const ciphertext = sealed.subarray(0, sealed.length - BLOCK);
  const expected = tagOf(roundKeys, nonce, aad, ciphertext);
  if (expected.some((byte, i) => byte !== sealed[ciphertext.length + i])) return undefined;
  return countered(roundKeys, nonce, ciphertext);
}

/** CTR mode; the first data block has counter 2. */
function countered(roundKeys: Uint8Array[], nonce: Uint8Array, data: Uint8Array): Uint8Array {
  const out = data.slice();
  for (let at = 0; at < data.length; at += BLOCK) {
    const stream = encryptBlock(roundKeys, counterBlock(nonce, at / BLOCK + 2));
    for (let i = 0; i < BLOCK && at + i < out.length; i++) out[at + i]! ^= stream[i]!;
  }
  return out;
}

function tagOf(roundKeys: Uint8Array[], nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const h = encryptBlock(roundKeys, new Uint8Array(BLOCK));
  const lengths = new Uint8Array(BLOCK);
  new DataView(lengths.buffer).setUint32(4, aad.length * 8);
  new DataView(lengths.buffer).setUint32(12, ciphertext.length * 8);
  const mask = encryptBlock(roundKeys, counterBlock(nonce, 1));
  let hash: Uint8Array = new Uint8Array(BLOCK);
  for (const part of [aad, ciphertext, lengths]) {
    for (let at = 0; at < part.length; at += BLOCK) hash = multiply(xor(hash, part.subarray(at, at + BLOCK)), h);
  }
  return xor(hash, mask);
}

function counterBlock(nonce: Uint8Array, counter: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(nonce);
  new DataView(block.buffer).setUint32(12, counter);
  return block;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0));
}

/** The product in GF(2^128), where the high bit of byte 0 is x^0 (SP 800-38D §6.3). */
function multiply(x: Uint8Array, y: Uint8Array): Uint8Array {
  const product = new Uint8Array(BLOCK);
  const v = y.slice();
  for (let bit = 0; bit < 128; bit++) {
    if ((x[bit >> 3]! >> (7 - (bit & 7))) & 1) for (let i = 0; i < BLOCK; i++) product[i]! ^= v[i]!;
    const last = v[15]! & 1;
    for (let i = 15; i > 0; i--) v[i] = (v[i]! >> 1) | (v[i - 1]! << 7);
    v[0] = (v[0]! >> 1) ^ (last ? 0xe1 : 0);
  }
  return product;
}

/** AES of one block (FIPS 197 §5.1); byte 4c + r is row r, column c of the state. */
function encryptBlock(roundKeys: Uint8Array[], block: Uint8Array): Uint8Array {
  let state = xor(block, roundKeys[0]!);
  for (let round = 1; round <= ROUNDS; round++) {
    const shifted = state.map((_, i) => sbox(state[(i + 4 * (i & 3)) & 15]!));
    state = xor(round < ROUNDS ? mixColumns(shifted) : shifted, roundKeys[round]!);
  }
  return state;
}

function mixColumns(state: Uint8Array): Uint8Array {
  return state.map((byte, i) => {
    const below = (n: number): number => state[(i & 12) | ((i + n) & 3)]!;
    return product(2, byte) ^ product(3, below(1)) ^ below(2) ^ below(3);
  });
}

/** The 15 round keys of a 32-byte key (FIPS 197 §5.2). */
function expandKey(key: Uint8Array): Uint8Array[] {
  const bytes = new Uint8Array((ROUNDS + 1) * BLOCK);
  bytes.set(key);
  let roundConstant = 1;
  for (let at = key.length; at < bytes.length; at += 4) {
    let word = bytes.slice(at - 4, at);
    if (at % key.length === 0) {
      word = Uint8Array.of(word[1]!, word[2]!, word[3]!, word[0]!).map(sbox);
      word[0]! ^= roundConstant;
      roundConstant = product(2, roundConstant);
    } else if (at % key.length === BLOCK) {
      word = word.map(sbox);
    }
    bytes.set(xor(word, bytes.subarray(at - key.length)), at);
  }
  return Array.from({ length: ROUNDS + 1 }, (_, round) => bytes.slice(round * BLOCK, (round + 1) * BLOCK));
}

/** The S-box (FIPS 197 §5.1.1): the inverse, then the affine map. */
function sbox(byte: number): number {
  const inverse = power(byte, 254);
  let out = 0x63;
  for (const turn of [0, 1, 2, 3, 4]) out ^= (inverse << turn) | (inverse >> (8 - turn));
  return out & 0xff;
}

function power(byte: number, exponent: number): number {
  if (exponent === 0) return 1;
  const root = power(byte, exponent >> 1);
  const square = product(root, root);
  return exponent & 1 ? product(square, byte) : square;
}

/** The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197 §4.2). */
function product(a: number, b: number): number {
  let sum = 0;
  for (let bit = 7; bit >= 0; bit--) {
    sum = (sum << 1) ^ (sum & 0x80 ? 0x11b : 0);
    if ((b >> bit) & 1) sum ^= a;
  }
  return sum;
}
