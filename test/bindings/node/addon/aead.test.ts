/** The addon's AES-256-GCM and CRC-32 against node:crypto and the plain twin, for every instruction set of this processor. */
import { createCipheriv } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { STAGE } from '../../../../src/engine/exports.ts';
import { Random } from '../../../engine/rig.ts';
import { crc32 } from '../../../reference/packet.ts';
import { addon, Frame, isSkipped, KERNELS } from './rig.ts';

/** Sizes of payload, each once; and what no loop over chunks may get wrong. */
const SIZES = Array.from({ length: 4097 }, (_, i) => i);
const LARGE = [8_192, 16_383, 65_481, 65_535];
const CHECKSUM = 30;

interface Sample {
  readonly key: Uint8Array;
  readonly aad: Uint8Array;
  readonly nonce: Uint8Array;
  readonly packet: Uint8Array;
}

function sample(random: Random, length: number): Sample {
  return { key: random.bytes(32), aad: random.bytes(4), nonce: random.bytes(12), packet: quick(random, length) };
}

/** Many bytes in little time. */
function quick(random: Random, length: number): Uint8Array {
  const seed = random.next(256);
  return new Uint8Array(length).map((_, i) => (i * 167 + (i >> 8) * 31 + seed) & 0xff);
}

function frameOf({ key, aad, nonce, packet }: Sample): Frame {
  return new Frame(key, aad, nonce, packet);
}

function expected({ key, aad, nonce, packet }: Sample): { ciphertext: Buffer; tag: Buffer } {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(aad);
  const ciphertext = cipher.update(packet);
  cipher.final();
  return { ciphertext, tag: cipher.getAuthTag() };
}

/** The packet as the addon seals it: with its CRC. */
function summed(packet: Uint8Array): Uint8Array {
  const whole = packet.slice();
  new DataView(whole.buffer).setUint32(CHECKSUM, 0);
  new DataView(whole.buffer).setUint32(CHECKSUM, crc32(whole));
  return whole;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

describe.skipIf(isSkipped).each(KERNELS)('%s', (kernel) => {
  const aead = isSkipped ? (undefined as never) : new addon.Aead(kernel, 4096);

  test('seals every size from 0 to 4,096 bytes, and large ones, as node:crypto does, CRC included', () => {
    const random = new Random(1);
    for (const size of [...SIZES, ...LARGE]) {
      const given = sample(random, 34 + size);
      const frame = frameOf(given);
      expect(frame.seal(aead, size % 3), `${size}`).toBe(0);
      const wanted = expected({ ...given, packet: summed(given.packet) });
      expect(same(frame.packet, wanted.ciphertext) && same(frame.tag, wanted.tag), `${size}`).toBe(true);
      expect([...frame.record.subarray(1, 3)], `${size}`).toEqual([20 + 34 + size + 16, 0]);
      expect(
        frame.rest.every((byte) => byte === 0xa5),
        `${size}`,
      ).toBe(true);
    }
  });

  test('opens every size from 0 to 4,096 bytes, and large ones, and nothing that was forged', () => {
    const random = new Random(2);
    for (const size of [...SIZES, ...LARGE]) {
      const given = sample(random, size);
      const frame = frameOf(given);
      const { ciphertext, tag } = expected(given);
      frame.packet.set(ciphertext);
      frame.tag.set(tag);
      const part = random.pick([frame.tag, frame.tag, frame.packet.length > 0 ? frame.packet : frame.tag]);
      const at = random.next(part.length);
      const bit = 1 << random.next(8);
      part[at]! ^= bit;
      const before = frame.memory.slice(128);
      expect(frame.open(aead, 5), `${size}`).toBe(STAGE.refused);
      expect(same(frame.memory.subarray(128), before), `${size}`).toBe(true);
      part[at]! ^= bit;
      expect(frame.open(aead, 5), `${size}`).toBe(STAGE.opened);
      expect(same(frame.packet, given.packet), `${size}`).toBe(true);
      expect(
        frame.rest.every((byte) => byte === 0xa5),
        `${size}`,
      ).toBe(true);
    }
  });

  test('refuses a frame with any one bit of nonce, aad, ciphertext or tag flipped', () => {
    const random = new Random(3);
    const given = sample(random, 75);
    const frame = frameOf(given);
    const { ciphertext, tag } = expected(given);
    frame.packet.set(ciphertext);
    frame.tag.set(tag);
    for (let at = 128 + 4; at < 128 + 20 + 75 + 16; at++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        frame.memory[at]! ^= bit;
        expect(frame.open(aead, 6), `${at}`).toBe(STAGE.refused);
        frame.memory[at]! ^= bit;
      }
    }
    expect(frame.open(aead, 6)).toBe(STAGE.opened);
  });

  test('vouches for a CRC that is right, and for no other', () => {
    const random = new Random(4);
    for (const size of [0, 1, 64, 1200, 4000]) {
      const given = sample(random, 34 + size);
      new DataView(given.packet.buffer).setUint16(2, size);
      for (const isRight of [true, false]) {
        const packet = summed(given.packet);
        if (!isRight) packet[random.next(packet.length)]! ^= 1;
        const frame = frameOf({ ...given, packet });
        const { ciphertext, tag } = expected({ ...given, packet });
        frame.packet.set(ciphertext);
        frame.tag.set(tag);
        expect(frame.open(aead, 7)).toBe(isRight ? STAGE.checked : STAGE.opened);
        expect(same(frame.packet, packet)).toBe(true);
      }
    }
  });

  test('makes the CRC of every length from 16 on', () => {
    const bytes = new Random(5).bytes(700);
    for (let length = 16; length < 600; length++) {
      const at = length % 17;
      expect(aead.crc32(bytes, at, length)).toBe(crc32(bytes.subarray(at, at + length)));
    }
    expect(() => aead.crc32(bytes, 0, 15)).toThrow(RangeError);
    expect(() => aead.crc32(bytes, 690, 16)).toThrow(RangeError);
  });

  test('an index that another key got is not sealed for under the last one', () => {
    const random = new Random(6);
    for (let round = 0; round < 50; round++) {
      const given = sample(random, 100);
      const frame = frameOf(given);
      frame.seal(aead, 9);
      expect(same(frame.tag, expected({ ...given, packet: summed(given.packet) }).tag)).toBe(true);
      if (round % 3 === 0) aead.forget(9);
    }
  });

  test('thousands of sessions in turn are each under their own key', () => {
    const random = new Random(7);
    const keys = Array.from({ length: 3_000 }, () => sample(random, 40));
    for (let round = 0; round < 2; round++) {
      for (const [session, given] of keys.entries()) {
        const frame = frameOf(given);
        frame.seal(aead, session);
        expect(same(frame.tag, expected({ ...given, packet: summed(given.packet) }).tag)).toBe(true);
        if (session % 7 === 0) aead.forget(session);
      }
    }
  });

  test('what leads out of the memory, and a session beyond the limit, is left as it was', () => {
    const given = sample(new Random(8), 100);
    const end = frameOf(given).memory.length;
    const faults: [number, number][] = [
      [0, end - 100],
      [0, 0xffff_ffff],
      [1, end - 31],
      [1, 0xffff_fff0],
      [3, 4096],
      [3, 0xffff_ffff],
      [7, 0xffff_fff0],
    ];
    for (const [word, value] of faults) {
      const frame = frameOf(given);
      frame.record.set([128, 64, STAGE.written, 1]);
      frame.record[7] = 66;
      frame.record[word] = value;
      const before = frame.memory.slice();
      expect(aead.seal(frame.memory, 0, 1), `${word}`).toBe(1);
      expect(same(frame.memory, before), `${word}`).toBe(true);
      frame.record[8] = word === 1 ? value : 64;
      frame.record[2] = STAGE.parsed;
      if (word === 1) frame.record[1] = 64;
      const parsed = frame.memory.slice();
      aead.open(frame.memory, 0, 1);
      expect(same(frame.memory, parsed), `${word}`).toBe(true);
    }
    const frame = frameOf(given);
    for (const at of [end, end - 63, 2, 0xffff_ffff]) {
      expect(() => aead.seal(frame.memory, at, 1)).toThrow(RangeError);
      expect(() => aead.open(frame.memory, at, 1)).toThrow(RangeError);
    }
    expect(() => aead.seal(frame.memory, 0, 0xffff_ffff)).toThrow(RangeError);
    expect(() => aead.seal('memory' as never, 0, 1)).toThrow(RangeError);
  });
});

test.skipIf(isSkipped)('a kernel that is not there, and no sessions, are refused', () => {
  expect(() => new addon.Aead('des', 4)).toThrow(RangeError);
  for (const sessions of [0, 4_000_001]) expect(() => new addon.Aead(KERNELS[0]!, sessions)).toThrow(RangeError);
  expect(() => new addon.Aead(1 as never, 4)).toThrow(TypeError);
});
