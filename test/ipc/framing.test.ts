import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { emitFrame, FRAME_MAX, FrameReader } from '../../src/ipc/framing.ts';
import { writeU32 } from '../../src/wire/integers.ts';
import { framesOf } from './rig.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** A reader that got some bytes. */
function reading(...parts: Uint8Array[]): FrameReader {
  const reader = new FrameReader();
  for (const part of parts) reader.push(part);
  return reader;
}

describe('emitFrame()', () => {
  test('writes length, command and payload', () => {
    expect(emitFrame(0x0d, bytes())).toEqual(bytes(0, 0, 0, 1, 0x0d));
    expect(emitFrame(0x0f, bytes(4, 5))).toEqual(bytes(0, 0, 0, 3, 0x0f, 4, 5));
  });

  test('refuses one byte more than the largest frame has', () => {
    expect(emitFrame(1, new Uint8Array(FRAME_MAX - 1))).toHaveLength(4 + FRAME_MAX);
    expect(() => emitFrame(1, new Uint8Array(FRAME_MAX))).toThrow(RangeError);
  });
});

describe('FrameReader', () => {
  test('gives back what was framed, however the stream is cut', () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
    fc.assert(
      fc.property(payloads, fc.array(fc.nat(30), { maxLength: 30 }), (all, cuts) => {
        const stream = Buffer.concat(all.map((payload, i) => emitFrame(i, payload)));
        const reader = new FrameReader();
        const found: { command: number; payload: Uint8Array }[] = [];
        const take = (): void => {
          for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
            found.push({ command: frame.command, payload: Uint8Array.from(frame.payload) });
          }
        };
        let at = 0;
        for (const cut of cuts) {
          reader.push(stream.subarray(at, at + cut));
          at += cut;
          take();
        }
        reader.push(stream.subarray(at));
        take();
        expect(found).toEqual(all.map((payload, i) => ({ command: i, payload: Uint8Array.from(payload) })));
        expect(reader.heldBytes).toBe(0);
      }),
    );
  });

  test('waits for the rest of every truncated frame', () => {
    const frame = emitFrame(7, bytes(1, 2, 3));
    for (let length = 0; length < frame.length; length++) {
      const reader = reading(frame.subarray(0, length));
      expect(reader.next(), `${length}`).toBeUndefined();
      expect(reader.isOversize).toBe(false);
      reader.push(frame.subarray(length));
      expect(reader.next()).toEqual({ command: 7, payload: bytes(1, 2, 3) });
    }
  });

  test('takes the largest frame and no larger', () => {
    const largest = reading(emitFrame(1, new Uint8Array(FRAME_MAX - 1)));
    expect(largest.next()?.payload).toHaveLength(FRAME_MAX - 1);
    const prefix = new Uint8Array(5);
    writeU32(prefix, 0, FRAME_MAX + 1);
    const larger = reading(prefix);
    expect(larger.next()).toBeUndefined();
    expect(larger.isOversize).toBe(true);
  });

  test('reads nothing behind a frame that is too long', () => {
    const reader = reading(bytes(0xff, 0xff, 0xff, 0xff), emitFrame(1, bytes()));
    expect(reader.next()).toBeUndefined();
    reader.push(emitFrame(1, bytes()));
    expect(reader.next()).toBeUndefined();
    expect(reader.heldBytes).toBe(0);
  });

  test('passes over frames without a command, and counts them', () => {
    const reader = reading(bytes(0, 0, 0, 0, 0, 0, 0, 0), emitFrame(9, bytes()));
    expect(reader.next()?.command).toBe(9);
    expect(reader.emptyFrames).toBe(2);
  });

  test('holds what came, not what a prefix promises', () => {
    const prefix = new Uint8Array(4);
    writeU32(prefix, 0, FRAME_MAX);
    const reader = reading(prefix);
    expect(reader.next()).toBeUndefined();
    expect(reader.heldBytes).toBe(4);
  });

  test('every flipped bit is a frame, an oversize or a wait', () => {
    const stream = emitFrame(0x0f, bytes(1, 0, 0, 0, 2, 104, 105));
    for (let bit = 0; bit < stream.length * 8; bit++) {
      const flipped = Uint8Array.from(stream);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const reader = reading(flipped);
      const frame = reader.next();
      const isWaiting = frame === undefined && reader.heldBytes > 0;
      expect([frame !== undefined, reader.isOversize, isWaiting].filter(Boolean), `${bit}`).toHaveLength(1);
    }
    expect(framesOf(stream)).toHaveLength(1);
  });
});
