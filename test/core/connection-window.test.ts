/** Windows and sizes of segments between our own, and what may wait to be sent. */
import { expect, test } from 'vitest';
import { EVENT } from '../../src/core/events.ts';
import { ACK, established, OURS, sack, stream } from './connection-harness.ts';

const FULL = 1_152;
/** The number behind so many full segments. */
const at = (segments: number): number => 1 + segments * FULL;

test('towards our own the window counts KiB behind the acknowledgement', () => {
  const t = established({ own: true });
  t.write(stream(0, 60_000));
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'a' });
  t.drain();
  t.gets({ flags: ACK, seq: 2, ack: at(10), window: 20 });
  let behind = at(10);
  for (const { seq, data } of t.drain()) behind = Math.max(behind, seq + (data as Uint8Array).length);
  expect(behind).toBe(at(10) + 17 * FULL);
  // A window of less than a segment is used when nothing else would bring an answer.
  t.gets({ flags: ACK, seq: 2, ack: behind, window: 1 });
  expect(t.drain().map(({ data }) => (data as Uint8Array).length)).toEqual([1024]);
});

test('a path that carries more gets larger segments, one that carries less again gets what was lost in pieces', () => {
  const t = established({ own: true });
  t.c.setSegmentBytes(3_000);
  t.write(stream(0, 8_000));
  expect(t.drain().map(({ data }) => (data as Uint8Array).length)).toEqual([3_000, 3_000, 2_000]);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [3_001, 6_001]) });
  expect(t.c.isBlackHole).toBe(false);
  t.elapse(4_000);
  t.drain();
  t.elapse(4_000);
  t.drain();
  expect(t.c.isBlackHole).toBe(true);
  t.c.setSegmentBytes(1_152);
  expect(t.c.isBlackHole).toBe(false);
  const bytes = new Uint8Array(8_000);
  let ack = 1;
  for (let round = 0; round < 40 && ack < 8_001; round++) {
    for (const { seq, data } of t.drain()) {
      expect((data as Uint8Array).length).toBeLessThanOrEqual(1_152);
      bytes.set(data as Uint8Array, seq - 1);
      if (seq === ack) ack += (data as Uint8Array).length;
      if (ack === 3_001) ack = 6_001;
    }
    t.gets({ flags: ACK, seq: 1, ack, ...(ack < 3_001 ? { data: sack(OURS, [3_001, 6_001]) } : {}) });
  }
  expect(ack).toBe(8_001);
  expect([...bytes.subarray(0, 3_000)]).toEqual([...stream(0, 3_000)]);
  expect([...bytes.subarray(6_000)]).toEqual([...stream(6_000, 8_000)]);
  expect(t.c.isWriteAcknowledged).toBe(false);
});

test('segments towards a reference peer keep their size', () => {
  const t = established();
  t.c.setSegmentBytes(10_000);
  t.write(stream(0, 5_000));
  expect(t.drain().map(({ data }) => (data as Uint8Array).length)).toEqual([1_152, 1_152, 1_152, 1_152, 392]);
});

test('what waits and what is under way are bounded together', () => {
  const t = established({ own: true, limits: { writableBytes: 10_000, writableMostBytes: 14_000 } });
  t.write(stream(0, 10_000));
  t.drain();
  expect(t.write(stream(10_000, 20_000))).toBe(4_000);
  expect(t.write('x')).toBe(0);
  t.gets({ flags: ACK, seq: 1, ack: 1 + 8 * FULL });
  expect(t.c.takeEvents() & EVENT.writable).toBe(EVENT.writable);
});

test('our window counts KiB: what is free behind what was acknowledged', () => {
  const t = established({ own: true, limits: { readableBytes: 10_000, readableMostBytes: 10_000 } });
  t.gets({ flags: ACK, seq: 1, ack: 1, data: stream(0, 1_152) });
  t.sends({ flags: ACK, seq: 1, ack: 1_153, window: 8 });
  // What stands behind a gap is part of the window that was promised.
  t.gets({ flags: ACK, seq: 2_305, ack: 1, data: stream(2_304, 3_456) });
  expect(t.next()).toMatchObject({ ack: 1_153, window: 8 });
  t.gets({ flags: ACK, seq: 1_153, ack: 1, data: stream(1_152, 2_304) });
  t.sends({ flags: ACK, seq: 1, ack: 3_457, window: 6 });
  t.gets({ flags: ACK, seq: 3_457, ack: 1, data: stream(3_456, 10_000) });
  t.sends({ flags: ACK, seq: 1, ack: 10_001, window: 0 });
  t.gets({ flags: ACK, seq: 10_001, ack: 1, data: 'x' });
  expect(t.c.stats().drops.refused).toBe(1);
});

test('a reader that keeps up gets a window twice as large, up to the limit', () => {
  const limits = { readableBytes: 8_192, readableMostBytes: 32_768 };
  const t = established({ own: true, limits });
  const window = (): number => {
    t.gets({ flags: ACK, seq: 1 + sent, ack: 1, data: stream(sent, sent + 1_024) });
    sent += 1_024;
    t.read();
    t.drain();
    t.gets({ flags: ACK, seq: 1 + sent, ack: 1, data: 'x' });
    sent += 1;
    t.elapse(10);
    const { window: told } = t.drain().at(-1)!;
    t.read();
    return told;
  };
  let sent = 0;
  expect(window()).toBe(7);
  for (let i = 0; i < 100; i++) window();
  expect(window()).toBe(31);
});

test('a reader that does not keep up gets no more', () => {
  const t = established({ own: true, limits: { readableBytes: 8_192, readableMostBytes: 32_768 } });
  const into = new Uint8Array(1_024);
  let sent = 0;
  for (let i = 0; i < 100; i++) {
    while (t.c.readableBytes < 6_000) {
      t.gets({ flags: ACK, seq: 1 + sent, ack: 1, data: stream(sent, sent + 1_024) });
      sent += 1_024;
      for (const { window } of t.drain()) expect(window).toBeLessThanOrEqual(8);
    }
    t.c.read(into);
  }
});

test('gaps between our own are bounded', () => {
  const t = established({ own: true, limits: { ownGaps: 3 } });
  for (const start of [10, 20, 30, 40]) t.gets({ flags: ACK, seq: 1 + start, ack: 1, data: stream(start, start + 1) });
  expect(t.c.stats().drops.refused).toBe(1);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: stream(0, 10) });
  expect(t.c.readableBytes).toBe(11);
});
