import { expect, test } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import { EVENT } from '../../src/core/events.ts';
import { ACK, established, FIN, OFFER, RST, SYN, Trace } from './connection-harness.ts';

test('a SYN goes at 0, 0.25, 0.75, 1.75, 3.25, 5.25 and 9.25 s and the dial fails at 17.25 s', () => {
  const t = new Trace();
  const seen = t.watch(17_249);
  expect(seen.map(({ at }) => at)).toEqual([0, 250, 750, 1750, 3250, 5250, 9250]);
  for (const { line } of seen) expect(line).toMatchObject({ flags: SYN, seq: 0, ack: 0, window: 512 });
  t.is('SYN_SENT');
  t.elapse(1);
  t.is('CLOSED');
  expect(t.c.error).toBe('DIAL_TIMEOUT');
  t.sendsNothing();
});

test('a wake-up that comes late sends one SYN, not those that were missed', () => {
  const t = new Trace();
  t.sends({ flags: SYN });
  t.now += 4000;
  t.c.handleTimeout(t.now);
  t.sends({ flags: SYN });
  t.sendsNothing();
  expect(t.c.pollTimeout()).toBe(5000 + 5250);
});

test('a SYN carries data only when the profile between our own is offered', () => {
  new Trace().sends({ flags: SYN });
  new Trace({ own: true }).sends({ flags: SYN, data: OFFER });
});

test('both ends are own only when both offered', () => {
  expect(established({ own: true }).c.isOwn).toBe(true);
  expect(established({ own: true, role: 'listener' }).c.isOwn).toBe(true);
  expect(established({}).c.isOwn).toBe(false);
  const asked = new Trace({ role: 'listener', own: false });
  asked.gets({ flags: SYN, data: OFFER });
  asked.sends({ flags: SYN | ACK, seq: 0, ack: 1 });
  expect(asked.c.isOwn).toBe(false);
  const offered = new Trace({ own: true });
  offered.sends({ flags: SYN, data: OFFER });
  offered.gets({ flags: SYN | ACK, ack: 1 });
  expect(offered.c.isOwn).toBe(false);
  const other = new Trace({ role: 'listener', own: true });
  other.gets({ flags: SYN, data: 'PX\u0001\u0001' });
  other.sends({ flags: SYN | ACK, seq: 0, ack: 1 });
});

test('a SYN+ACK completes the dial and is answered by an ACK', () => {
  const t = new Trace();
  t.sends({ flags: SYN });
  t.gets({ flags: SYN | ACK, ack: 1 });
  t.is('ESTABLISHED');
  t.sends({ flags: ACK, seq: 1, ack: 1, window: 512 });
  t.sendsNothing();
  expect(t.c.takeEvents() & EVENT.connected).toBe(EVENT.connected);
});

test('a duplicate of SYN+ACK is answered by an ACK', () => {
  const t = established();
  t.gets({ flags: SYN | ACK, ack: 1 });
  t.sends({ flags: ACK, seq: 1, ack: 1 });
  t.sendsNothing();
});

test('a SYN+ACK for another number is stale: RST, and the caller may dial again', () => {
  const t = new Trace();
  t.sends({ flags: SYN });
  t.gets({ flags: SYN | ACK, ack: 77 });
  t.is('CLOSED');
  expect(t.c.isStale).toBe(true);
  expect(t.c.error).toBe('CONNECTION_RESET');
  t.sends({ flags: RST, ack: 0, window: 0 });
  t.sendsNothing();
});

test('a RST in answer to a SYN is a refusal', () => {
  const t = new Trace();
  t.sends({ flags: SYN });
  t.gets({ flags: RST });
  t.is('CLOSED');
  expect(t.c.error).toBe('CONNECTION_REFUSED');
  t.sendsNothing();
});

test('data and FIN before the SYN+ACK are dropped', () => {
  const t = new Trace();
  t.sends({ flags: SYN });
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'x' });
  t.gets({ flags: FIN, seq: 1 });
  t.is('SYN_SENT');
  t.sendsNothing();
  expect(t.c.stats().drops.unexpected).toBe(2);
});

test('a listener tells nobody before the final ACK', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  t.sends({ flags: SYN | ACK, seq: 0, ack: 1, window: 512 });
  t.is('SYN_RECEIVED');
  expect(t.c.takeEvents()).toBe(0);
  expect(t.write('early')).toBe(0);
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.is('ESTABLISHED');
  expect(t.c.takeEvents() & EVENT.connected).toBe(EVENT.connected);
  t.sendsNothing();
});

test('a final ACK may carry number 0', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  t.sends({ flags: SYN | ACK, ack: 1 });
  t.gets({ flags: ACK, seq: 0, ack: 1 });
  t.is('ESTABLISHED');
});

test('first data completes a connection whose final ACK was lost', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  t.sends({ flags: SYN | ACK, ack: 1 });
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
  t.is('ESTABLISHED');
  expect(t.read()).toBe('hello');
  t.sends({ flags: ACK, seq: 1, ack: 6 });
});

test('a final ACK for another number completes nothing', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  t.sends({ flags: SYN | ACK, ack: 1 });
  t.gets({ flags: ACK, seq: 1, ack: 0 });
  t.gets({ flags: ACK, seq: 1, ack: 2, data: 'x' });
  t.is('SYN_RECEIVED');
  expect(t.c.stats().drops.badAck).toBe(2);
});

test('a duplicate of a SYN gets the same SYN+ACK, with the original number and what has arrived by now', () => {
  const t = established({ role: 'listener' });
  t.write('abc');
  t.sends({ flags: ACK, seq: 1, ack: 1, data: 'abc' });
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
  t.sends({ flags: ACK, seq: 4, ack: 6 });
  t.gets({ flags: SYN });
  t.sends({ flags: SYN | ACK, seq: 0, ack: 6 });
  t.gets({ flags: SYN, seq: 4711 });
  t.sends({ flags: SYN | ACK, seq: 0, ack: 6 });
  t.sendsNothing();
  t.is('ESTABLISHED');
});

test('an unanswered SYN+ACK goes again at 1, 3, 7 and 15 s and the connection is forgotten after 30 s', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  const seen = t.watch(29_999);
  expect(seen.map(({ at }) => at)).toEqual([0, 1000, 3000, 7000, 15_000]);
  for (const { line } of seen) expect(line).toMatchObject({ flags: SYN | ACK, seq: 0, ack: 1 });
  t.elapse(1);
  t.is('CLOSED');
  t.sends({ flags: RST });
  expect(t.c.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('a RST ends an open connection at once and is not answered', () => {
  const t = established();
  t.write('unsent');
  t.gets({ flags: RST });
  t.is('CLOSED');
  expect(t.c.error).toBe('CONNECTION_RESET');
  expect(t.c.takeEvents() & EVENT.closed).toBe(EVENT.closed);
  t.sendsNothing();
  expect(t.pool.used).toBe(0);
});

test('abort() sends one RST with all numbers 0', () => {
  const t = established();
  t.write('unsent');
  t.c.abort(t.now);
  t.is('CLOSED');
  expect(t.c.error).toBe('CLOSED');
  t.sends({ flags: RST, seq: -1000, ack: 0, window: 0 });
  t.sendsNothing();
  expect(t.pool.used).toBe(0);
});

test('close() of a dial that is not complete takes the SYN back', () => {
  const t = new Trace();
  t.sends({ flags: SYN });
  t.c.close(t.now);
  t.is('CLOSED');
  t.sends({ flags: RST });
  const early = new Trace();
  early.c.close(early.now);
  early.sendsNothing();
});

test('a connection that the pool has no memory for is BUSY, and a listener says so', () => {
  const dial = new Trace({ pool: new BufferPool(8191) });
  dial.is('CLOSED');
  expect(dial.c.error).toBe('BUSY');
  dial.sendsNothing();
  const listener = new Trace({ role: 'listener', pool: new BufferPool(8191) });
  listener.gets({ flags: SYN });
  listener.sends({ flags: RST });
  listener.sendsNothing();
});

test('an idle connection holds no memory', () => {
  const t = established();
  expect(t.pool.used).toBe(0);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
  expect(t.pool.used).toBe(4096);
  t.read();
  t.drain();
  t.elapse(46_000);
  expect(t.pool.used).toBe(0);
});

test('a packet with no flag that means anything is dropped', () => {
  const t = established();
  t.gets({ flags: 0, seq: 1, data: 'x' });
  t.sendsNothing();
  expect(t.c.readableBytes).toBe(0);
  expect(t.c.stats().drops.unexpected).toBe(1);
});
