import { expect, test } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import { EVENT } from '../../src/core/events.ts';
import { ACK, established, PEERS, sack, stream } from './connection-harness.ts';

const text = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

test('the first 32 single segments are acknowledged at once, then after 5 ms', () => {
  const t = established();
  for (let i = 0; i < 32; i++) {
    t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
    t.sends({ flags: ACK, seq: 1, ack: 2 + i });
  }
  t.gets({ flags: ACK, seq: 33, ack: 1, data: 'x' });
  t.sendsNothing();
  expect(t.c.pollTimeout()).toBe(t.now + 5);
  t.elapse(5);
  t.sends({ flags: ACK, seq: 1, ack: 34 });
  // The delay that ran out filled the budget again.
  t.gets({ flags: ACK, seq: 34, ack: 1, data: 'x' });
  t.sends({ flags: ACK, seq: 1, ack: 35 });
});

test('every second segment is acknowledged at once', () => {
  const t = established();
  for (let i = 0; i < 32; i++) {
    t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
    t.drain();
  }
  t.gets({ flags: ACK, seq: 33, ack: 1, data: 'x' });
  t.sendsNothing();
  t.gets({ flags: ACK, seq: 34, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 35 });
  t.sendsNothing();
});

test('data that leaves carries the acknowledgement, and no empty one follows', () => {
  const t = established();
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'ping' });
  t.write('pong');
  t.sends({ flags: ACK, seq: 1, ack: 5, data: 'pong' });
  t.sendsNothing();
  expect(t.watch(150)).toHaveLength(1);
});

test('segments of one batch are acknowledged together', () => {
  const t = established();
  for (let i = 0; i < 20; i++) t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 21 });
  t.sendsNothing();
});

test('a segment behind a gap is reported by SACK at once, and by a plain ACK for old senders', () => {
  const t = established();
  t.gets({ flags: ACK, seq: 11, ack: 1, data: 'bbbbb' });
  t.sends({ flags: ACK, seq: 1, ack: 1, data: sack(PEERS, [11, 16]) });
  t.sends({ flags: ACK, seq: 1, ack: 1 });
  t.sendsNothing();
});

test('our own get no plain ACK beside the SACK', () => {
  const t = established({ own: true });
  t.gets({ flags: ACK, seq: 11, ack: 1, data: 'bbbbb' });
  t.sends({ flags: ACK, seq: 1, ack: 1, data: sack(PEERS, [11, 16]) });
  t.sendsNothing();
});

test('a gap brings three plain ACKs at most, a new gap brings new ones', () => {
  const t = established();
  let plain = 0;
  const count = () => {
    for (const { data } of t.drain()) if ((data as Uint8Array).length === 0) plain += 1;
  };
  for (let i = 0; i < 8; i++) {
    t.gets({ flags: ACK, seq: 11 + i, ack: 1, data: 'x' });
    count();
  }
  expect(plain).toBe(3);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: '0123456789' });
  t.sends({ flags: ACK, ack: 19 });
  t.gets({ flags: ACK, seq: 30, ack: 1, data: 'x' });
  count();
  expect(plain).toBe(4);
});

test('the block that grew last is reported first', () => {
  const t = established({ own: true });
  t.gets({ flags: ACK, seq: 11, ack: 1, data: 'aaaaa' });
  t.sends({ flags: ACK, ack: 1, data: sack(PEERS, [11, 16]) });
  t.gets({ flags: ACK, seq: 31, ack: 1, data: 'aaaaa' });
  t.sends({ flags: ACK, ack: 1, data: sack(PEERS, [31, 36], [11, 16]) });
  t.gets({ flags: ACK, seq: 16, ack: 1, data: 'aaaaa' });
  t.sends({ flags: ACK, ack: 1, data: sack(PEERS, [11, 21], [31, 36]) });
});

test('what fills the gap delivers all of it, without a second arrival', () => {
  const t = established();
  t.gets({ flags: ACK, seq: 6, ack: 1, data: 'world' });
  t.drain();
  expect(t.c.readableBytes).toBe(0);
  expect(t.c.takeEvents() & EVENT.readable).toBe(0);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
  t.sends({ flags: ACK, ack: 11 });
  expect(t.c.takeEvents() & EVENT.readable).toBe(EVENT.readable);
  expect(t.read()).toBe('helloworld');
});

test('a duplicate is acknowledged again and delivered once', () => {
  const t = established();
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
  t.sends({ flags: ACK, ack: 6 });
  expect(t.read()).toBe('hello');
  expect(t.c.stats().drops.duplicate).toBe(1);
});

test('overlaps are trimmed wherever they are', () => {
  const t = established();
  const bytes = stream(0, 40);
  const part = (from: number, to: number) =>
    t.gets({ flags: ACK, seq: 1 + from, ack: 1, data: bytes.subarray(from, to) });
  part(0, 10);
  part(5, 12);
  part(20, 30);
  part(18, 22);
  part(25, 40);
  part(19, 35);
  part(8, 19);
  expect(t.read()).toBe(text(bytes));
});

test('segments up to 65535 bytes are taken', () => {
  const t = established();
  const bytes = stream(0, 65_535);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: bytes });
  // A slot is a promise to take one as large again.
  t.sends({ flags: ACK, ack: 65_536, window: 15 });
  expect(t.read()).toBe(text(bytes));
});

test('a payload in the form of a SACK is never data', () => {
  const t = established();
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(0, [1, 2]) });
  expect(t.c.readableBytes).toBe(0);
  const longer = new Uint8Array(14);
  longer.set(sack(0, [1, 2]));
  t.gets({ flags: ACK, seq: 1, ack: 1, data: longer });
  expect(t.c.readableBytes).toBe(14);
});

test('the window is the number of free slots and counts segments', () => {
  const t = established();
  for (let i = 0; i < 10; i++) t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 11, window: 502 });
  t.gets({ flags: ACK, seq: 21, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 11, window: 501, data: sack(PEERS, [21, 22]) });
  t.drain();
  t.read();
  t.gets({ flags: ACK, seq: 11, ack: 1, data: 'y' });
  t.sends({ flags: ACK, ack: 12, window: 510, data: sack(PEERS, [21, 22]) });
});

test('a full receiver advertises 0, drops what comes all the same, and tells when there is room', () => {
  const t = established({ limits: { windowSegments: 4 } });
  for (let i = 0; i < 4; i++) t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 5, window: 0 });
  t.gets({ flags: ACK, seq: 5, ack: 1, data: 'y' });
  t.sends({ flags: ACK, ack: 5, window: 0 });
  expect(t.c.stats().drops.refused).toBe(1);
  t.c.read(new Uint8Array(1));
  t.sendsNothing();
  t.c.read(new Uint8Array(1));
  t.sends({ flags: ACK, ack: 5, window: 2 });
  t.gets({ flags: ACK, seq: 5, ack: 1, data: 'y' });
  expect(t.read()).toBe('xxy');
});

test('reading sends no empty ACK as long as less than half the window is news', () => {
  const t = established();
  for (let i = 0; i < 255; i++) t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 256, window: 257 });
  t.read();
  t.sendsNothing();
  for (let i = 255; i < 512; i++) t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 513, window: 255 });
  t.c.read(new Uint8Array(255));
  t.sendsNothing();
  t.c.read(new Uint8Array(1));
  t.sends({ flags: ACK, ack: 513, window: 511 });
});

test('at most 128 segments are kept behind a gap', () => {
  const t = established();
  for (let i = 0; i < 140; i++) t.gets({ flags: ACK, seq: 11 + 2 * i, ack: 1, data: 'x' });
  expect(t.c.stats().drops.refused).toBe(12);
});

test('the pool being used up closes the window; memory that came free opens it again', () => {
  const pool = new BufferPool(40_000);
  const t = established({ pool });
  pool.receive.take(28_000);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: stream(0, 1500) });
  t.sends({ flags: ACK, ack: 1501, window: 0 });
  t.gets({ flags: ACK, seq: 1501, ack: 1, data: stream(1500, 3000) });
  t.sends({ flags: ACK, ack: 1501, window: 0 });
  pool.receive.give(20_000);
  t.gets({ flags: ACK, seq: 1501, ack: 1, data: stream(1500, 3000) });
  t.sends({ flags: ACK, ack: 3001, window: 12 });
  expect(t.read()).toBe(text(stream(0, 3000)));
});

test('a write that finds no memory is told when there is some', () => {
  const pool = new BufferPool(40_000);
  const t = established({ pool });
  pool.send.take(30_000);
  expect(t.write('x')).toBe(0);
  expect(t.c.writableBytes).toBe(0);
  t.elapse(500);
  expect(t.c.takeEvents() & EVENT.writable).toBe(0);
  pool.send.give(20_000);
  t.elapse(100);
  expect(t.c.takeEvents() & EVENT.writable).toBe(EVENT.writable);
  expect(t.write('x')).toBe(1);
});

test('a keepalive probe is answered by an empty ACK, once in 10 s', () => {
  const t = established();
  t.elapse(20_000);
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.sends({ flags: ACK, seq: 1, ack: 1 });
  t.elapse(9_999);
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.sendsNothing();
  t.elapse(1);
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.sends({ flags: ACK, seq: 1, ack: 1 });
});

test('an empty ACK that tells something or asks for another number is no probe', () => {
  const t = established();
  t.elapse(20_000);
  t.gets({ flags: ACK, seq: 1, ack: 1, window: 513 });
  t.gets({ flags: ACK, seq: 2, ack: 1, window: 513 });
  t.sendsNothing();
  t.write('x');
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 2, window: 513 });
  t.sendsNothing();
});

test('an idle connection asks after 45 s; a reference peer never answers and is not lost for that', () => {
  const t = established();
  const seen = t.watch(300_000);
  expect(seen.map(({ at }) => at)).toEqual([45_000, 90_000, 135_000, 180_000, 225_000, 270_000]);
  for (const { line } of seen) expect(line).toMatchObject({ flags: ACK, seq: 1, ack: 1, data: new Uint8Array(0) });
  t.is('ESTABLISHED');
});

test('our own is lost after three probes without an answer', () => {
  const t = established({ own: true });
  const seen = t.watch(179_999);
  expect(seen.map(({ at }) => at)).toEqual([45_000, 90_000, 135_000]);
  t.is('ESTABLISHED');
  t.elapse(1);
  t.is('CLOSED');
  expect(t.c.error).toBe('CONNECTION_LOST');
});

test('an answer to our probe is not answered, and keeps the connection', () => {
  const t = established({ own: true });
  for (let i = 0; i < 8; i++) {
    expect(t.watch(45_000)).toHaveLength(1);
    t.gets({ flags: ACK, seq: 1, ack: 1 });
    t.sendsNothing();
  }
  t.is('ESTABLISHED');
});

test('a probe that meets a reopened window is answered at once: the update may have been lost', () => {
  const t = established({ limits: { windowSegments: 2 } });
  t.elapse(20_000);
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.drain();
  for (let i = 0; i < 2; i++) t.gets({ flags: ACK, seq: 1 + i, ack: 1, data: 'x' });
  t.sends({ flags: ACK, ack: 3, window: 0 });
  t.read();
  t.sends({ flags: ACK, ack: 3, window: 2 });
  t.gets({ flags: ACK, seq: 3, ack: 1 });
  t.sends({ flags: ACK, ack: 3, window: 2 });
  t.gets({ flags: ACK, seq: 3, ack: 1 });
  t.sendsNothing();
});
