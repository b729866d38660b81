import { describe, expect, test } from 'vitest';
import { EVENT } from '../../src/core/events.ts';
import { ACK, established, FIN, OFFER, PEERS, RST, SYN } from './connection-harness.ts';

describe('between our own', () => {
  test('FIN follows the last data at once and ends one direction', () => {
    const t = established({ own: true });
    t.write('request');
    t.c.shutdown(t.now);
    t.sends({ flags: ACK, seq: 1, data: 'request' });
    t.sends({ flags: FIN, seq: 8, ack: 0, window: 0 });
    t.sendsNothing();
    t.is('FIN_WAIT');
    t.gets({ flags: ACK, seq: 1, ack: 9 });
    expect(t.c.isWriteAcknowledged).toBe(true);
    expect(t.c.takeEvents() & EVENT.acknowledged).toBe(EVENT.acknowledged);
    t.elapse(30_000);
    t.gets({ flags: ACK, seq: 1, ack: 9, data: 'answer' });
    expect(t.read()).toBe('answer');
    t.is('FIN_WAIT');
    t.gets({ flags: FIN, seq: 7 });
    t.is('TIME_WAIT');
    expect(t.drain().map(({ flags, seq, ack }) => [flags, seq, ack])).toEqual([[ACK, 9, 8]]);
    t.elapse(10_000);
    t.is('CLOSED');
    expect(t.c.error).toBeUndefined();
  });

  test('a FIN is acknowledged by a plain ACK, and writing goes on', () => {
    const t = established({ own: true });
    t.gets({ flags: FIN, seq: 1 });
    t.sends({ flags: ACK, seq: 1, ack: 2 });
    expect(t.c.isReadEnded).toBe(true);
    t.is('ESTABLISHED');
    t.elapse(30_000);
    expect(t.write('answer')).toBe(6);
    t.sends({ flags: ACK, seq: 1, ack: 2, data: 'answer' });
    t.gets({ flags: ACK, seq: 2, ack: 7 });
    t.c.shutdown(t.now);
    t.sends({ flags: FIN, seq: 7 });
    t.is('FIN_WAIT');
    t.gets({ flags: ACK, seq: 2, ack: 8 });
    t.is('TIME_WAIT');
  });

  test('lost FIN is sent again after the RTO', () => {
    const t = established({ own: true });
    t.c.shutdown(t.now);
    t.sends({ flags: FIN, seq: 1 });
    t.elapse(199);
    t.sendsNothing();
    t.elapse(1);
    t.sends({ flags: FIN, seq: 1 });
  });

  test('a FIN is repeated every 2 s at least, for the peer answers only as long as it remembers', () => {
    const t = established({ own: true });
    t.c.shutdown(t.now);
    const fins = t.watch(11_500).filter(({ line }) => line.flags === FIN);
    expect(fins.map(({ at }) => at)).toEqual([0, 200, 600, 1400, 3000, 5000, 7000, 9000, 11_000]);
  });

  test('a late copy of the SYN ends no connection that holds a FIN, a new SYN does', () => {
    const t = established({ own: true, role: 'listener' });
    t.gets({ flags: FIN, seq: 11 });
    t.drain();
    t.gets({ flags: SYN, seq: 0, data: OFFER });
    t.is('ESTABLISHED');
    t.sends({ flags: SYN | ACK, seq: 0, ack: 1, data: OFFER });
    t.gets({ flags: SYN, seq: 900, data: OFFER });
    t.is('CLOSED');
  });

  test('a repeated FIN in TIME_WAIT is acknowledged again', () => {
    const t = established({ own: true });
    t.gets({ flags: FIN, seq: 1 });
    t.c.shutdown(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 2, ack: 2 });
    t.is('TIME_WAIT');
    t.gets({ flags: FIN, seq: 1 });
    t.sends({ flags: ACK, seq: 2, ack: 2 });
    t.sendsNothing();
  });

  test('a repeated FIN renews TIME_WAIT, for its answer was lost', () => {
    const t = established({ own: true });
    t.gets({ flags: FIN, seq: 1 });
    t.c.shutdown(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 2, ack: 2 });
    t.elapse(9_000);
    t.gets({ flags: FIN, seq: 1 });
    t.elapse(9_999);
    t.is('TIME_WAIT');
    t.elapse(1);
    t.is('CLOSED');
  });

  test('TIME_WAIT gives way to a new SYN, not to a late copy of the one that began it', () => {
    const t = established({ own: true, role: 'listener' });
    t.gets({ flags: FIN, seq: 1 });
    t.c.shutdown(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 2, ack: 2 });
    t.is('TIME_WAIT');
    const syn = { flags: SYN, ack: 0, windowSegments: 512, payloadLength: 0 };
    expect(t.c.yieldsToSyn({ ...syn, seq: PEERS })).toBe(false);
    expect(t.c.yieldsToSyn({ ...syn, seq: PEERS + 1 })).toBe(true);
  });

  test('FIN does not overtake data that waits for a closed window', () => {
    const t = established({ own: true });
    t.write('x');
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 2, window: 0 });
    t.write('y');
    t.c.shutdown(t.now);
    t.sendsNothing();
    t.gets({ flags: ACK, seq: 1, ack: 2, window: 5 });
    t.sends({ flags: ACK, seq: 2, data: 'y' });
    t.sends({ flags: FIN, seq: 3 });
  });

  test('a FIN that is never acknowledged loses the connection after 8 repetitions', () => {
    const t = established({ own: true });
    t.c.shutdown(t.now);
    const seen = t.watch(100_000);
    expect(seen.filter(({ line }) => line.flags === FIN)).toHaveLength(9);
    expect(seen.at(-1)!.line.flags).toBe(RST);
    expect(t.c.error).toBe('CONNECTION_LOST');
  });

  test('after close() the peer has 5 s to end its own direction, then RST, and nothing of ours is missing', () => {
    const t = established({ own: true });
    t.c.close(t.now);
    t.sends({ flags: FIN, seq: 1 });
    t.gets({ flags: ACK, seq: 1, ack: 2 });
    t.elapse(4_999);
    t.is('FIN_WAIT');
    t.elapse(1);
    t.is('CLOSED');
    t.sends({ flags: RST });
    expect(t.c.error).toBeUndefined();
  });

  test('a RST after close() with everything acknowledged is an end in order', () => {
    const t = established({ own: true });
    t.write('x');
    t.c.close(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 3 });
    t.gets({ flags: RST });
    t.is('CLOSED');
    expect(t.c.error).toBeUndefined();
  });

  test('a RST before that is an error', () => {
    const t = established({ own: true });
    t.write('x');
    t.c.close(t.now);
    t.drain();
    t.gets({ flags: RST });
    expect(t.c.error).toBe('CONNECTION_RESET');
  });
});

test('TIME_WAIT lasts until everything was read', () => {
  const t = established({ own: true });
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'slow reader' });
  t.gets({ flags: FIN, seq: 12 });
  t.c.shutdown(t.now);
  t.drain();
  t.gets({ flags: ACK, seq: 13, ack: 2 });
  t.elapse(60_000);
  t.is('TIME_WAIT');
  t.c.read(new Uint8Array(4));
  t.is('TIME_WAIT');
  expect(t.read()).toBe(' reader');
  t.is('CLOSED');
  expect(t.c.takeEvents() & EVENT.closed).toBe(EVENT.closed);
  expect(t.pool.used).toBe(0);
});

test('close() of a TIME_WAIT that only waited for its reader ends it', () => {
  const t = established({ own: true });
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'slow reader' });
  t.gets({ flags: FIN, seq: 12 });
  t.c.shutdown(t.now);
  t.drain();
  t.gets({ flags: ACK, seq: 13, ack: 2 });
  t.elapse(60_000);
  t.c.close(t.now);
  t.is('CLOSED');
  t.sendsNothing();
  expect(t.pool.used).toBe(0);
});
