/** The plain twin passes the suite of every engine, and its parts pass the recorded vectors. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ReferenceEngine } from '../reference/engine.ts';
import { crc32, emitPacket, packetChecksum, parsePacket } from '../reference/packet.ts';
import { ReplayWindow } from '../reference/replay.ts';
import { isOurs, readVectors } from '../vectors/folder.ts';
import { fromHex, toHex } from './rig.ts';
import { engineSuite } from './suite.ts';

engineSuite(
  'reference',
  (limits) => new ReferenceEngine(limits),
  (engine, session, frames) => (engine as ReferenceEngine).spend(session, frames),
);

describe('parts of the twin', () => {
  test('the window of 256 gives the recorded verdicts', () => {
    const vectors =
      readVectors<{ case: number; steps: { accept: boolean; counter: string }[] }[]>('tunnel-replay-window');
    if (isOurs) expect(vectors).toHaveLength(4);
    for (const vector of vectors) {
      const window = new ReplayWindow(256);
      for (const step of vector.steps) {
        expect(window.accept(BigInt(step.counter)) === 'OK', `case ${vector.case}`).toBe(step.accept);
      }
    }
  });

  test('crc32() gives the recorded sums', () => {
    const { crc32: sums } = readVectors<{ crc32: { len: number; data: string; crc32: string }[] }>('packets');
    for (const { len, data, crc32: sum } of sums) {
      const bytes = data.startsWith('ascii')
        ? new TextEncoder().encode(data.slice('ascii '.length))
        : new Uint8Array(len).map((_, i) => 7 * i + 3);
      expect(crc32(bytes).toString(16).padStart(8, '0'), data).toBe(sum);
    }
  });

  test('the largest packet has the recorded sums, a larger one is refused', () => {
    const largest = emitPacket({ protocol: 2, payload: new Uint8Array(65_535) });
    expect(createHash('sha256').update(largest).digest('hex')).toBe(
      '2631113d9233cba841cb2ae787591adfd42fc4c84e1e6438cdc8f05c5f0d9f2d',
    );
    expect(packetChecksum(largest)).toBe(0x22c99abe);
    expect(() => emitPacket({ payload: new Uint8Array(65_536) })).toThrow(RangeError);
  });

  test('parsePacket() names the recorded faults', () => {
    const vectors = readVectors<{ accepted: boolean; bytes: string; error_class?: string }[]>('packets-malformed');
    for (const { accepted, bytes, error_class: fault } of vectors) {
      const parsed = parsePacket(fromHex(bytes));
      if (!accepted) expect(parsed).toBe(fault);
      else expect(bytes.startsWith(toHex(emitPacket(parsed as object)))).toBe(true);
    }
  });
});
