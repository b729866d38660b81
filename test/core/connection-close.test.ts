import { describe, expect, test } from 'vitest';
import { EVENT } from '../../src/core/events.ts';
import { ACK, established, FIN, OURS, RST, SYN, sack, stream, Trace } from './connection-harness.ts';

const FOREVER = Number.POSITIVE_INFINITY;

describe('towards a reference peer', () => {
  test('close() waits until all is acknowledged, then FIN goes alone, without ACK', () => {
    const t = established();
    t.write('last words');
    t.c.close(t.now);
    t.sends({ flags: ACK, seq: 1, data: 'last words' });
    t.sendsNothing();
    t.is('ESTABLISHED');
    t.elapse(10);
    t.gets({ flags: ACK, seq: 1, ack: 11 });
    t.sends({ flags: FIN, seq: 11, ack: 0, window: 0 });
    t.sendsNothing();
    t.is('FIN_WAIT');
  });

  test('data that is only selectively acknowledged holds the FIN as well', () => {
    const t = established();
    t.write('last words');
    t.drain();
    t.c.close(t.now);
    t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [1, 11]) });
    t.sendsNothing();
    t.gets({ flags: ACK, seq: 1, ack: 11 });
    t.sends({ flags: FIN, seq: 11 });
  });

  test('FIN+ACK completes the close and is answered by nothing with FIN', () => {
    const t = established();
    t.c.close(t.now);
    t.sends({ flags: FIN, seq: 1 });
    t.gets({ flags: FIN | ACK, seq: 1, ack: 2 });
    t.is('TIME_WAIT');
    t.sends({ flags: ACK, seq: 2, ack: 2 });
    t.sendsNothing();
    expect(t.c.isWriteAcknowledged).toBe(true);
    expect(t.c.takeEvents() & (EVENT.acknowledged | EVENT.readEnded)).toBe(EVENT.acknowledged | EVENT.readEnded);
    expect(t.watch(9_999)).toEqual([]);
    t.is('TIME_WAIT');
    t.elapse(1);
    t.is('CLOSED');
    expect(t.c.error).toBeUndefined();
    expect(t.c.pollTimeout()).toBe(FOREVER);
  });

  test('a storm of FIN and FIN+ACK meets plain ACKs only and does not renew TIME_WAIT', () => {
    const t = established();
    t.c.close(t.now);
    t.drain();
    t.gets({ flags: FIN | ACK, seq: 1, ack: 2 });
    for (let i = 0; i < 99; i++) {
      t.elapse(100);
      t.gets({ flags: i % 2 === 0 ? FIN : FIN | ACK, seq: 1, ack: 2 });
      for (const line of t.drain()) expect(line).toMatchObject({ flags: ACK, seq: 2, ack: 2 });
    }
    t.is('TIME_WAIT');
    t.elapse(100);
    t.is('CLOSED');
  });

  test('the FIN goes again at the timeout while no answer comes', () => {
    const t = established();
    t.c.close(t.now);
    const seen = t.watch(3000);
    expect(seen.map(({ at }) => at)).toEqual([0, 200, 600, 1400, 3000]);
    for (const { line } of seen) expect(line).toMatchObject({ flags: FIN, seq: 1, ack: 0 });
  });

  test('a close that nobody answers ends after 15 s, in order, since all was acknowledged', () => {
    const t = established();
    t.write('x');
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 2 });
    t.c.close(t.now);
    const seen = t.watch(14_999);
    expect(seen.every(({ line }) => line.flags === FIN)).toBe(true);
    t.elapse(1);
    t.is('CLOSED');
    t.sends({ flags: RST });
    expect(t.c.error).toBeUndefined();
  });

  test('data that stays unacknowledged for 5 s no longer holds the FIN; after 15 s the connection is lost', () => {
    const t = established();
    t.write('x');
    t.drain();
    t.c.close(t.now);
    const seen = t.watch(14_999);
    const fins = seen.filter(({ line }) => line.flags === FIN);
    expect(fins[0]).toMatchObject({ at: 5000, line: { seq: 2 } });
    t.elapse(1);
    t.is('CLOSED');
    expect(t.c.error).toBe('CONNECTION_LOST');
    t.sends({ flags: RST });
  });

  test('the limit of 5 s counts from the last progress, so that a slow path is not cut off', () => {
    const t = established();
    t.write(stream(0, 5 * 1152));
    t.c.close(t.now);
    t.drain();
    for (let i = 1; i < 5; i++) {
      expect(t.watch(4000).filter(({ line }) => (line.flags & FIN) !== 0)).toEqual([]);
      t.gets({ flags: ACK, seq: 1, ack: 1 + 1152 * i });
    }
    t.gets({ flags: ACK, seq: 1, ack: 1 + 1152 * 5 });
    t.sends({ flags: FIN, seq: 1 + 1152 * 5 });
  });

  test('shutdown() holds the FIN until the peer was silent for 2 s', () => {
    const t = established();
    t.write('request');
    t.c.shutdown(t.now);
    t.drain();
    expect(t.write('more')).toBe(0);
    t.elapse(10);
    t.gets({ flags: ACK, seq: 1, ack: 8 });
    t.elapse(1500);
    t.gets({ flags: ACK, seq: 1, ack: 8, data: 'answer' });
    expect(t.read()).toBe('answer');
    const seen = t.watch(2000);
    expect(seen.map(({ at, line }) => [at, line.flags])).toEqual([
      [0, ACK],
      [2000, FIN],
    ]);
    t.is('FIN_WAIT');
  });

  test('shutdown() waits longer for a peer that left a gap: it has something to repair', () => {
    const t = established();
    t.write('request');
    t.c.shutdown(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 6, ack: 8, data: 'later' });
    const seen = t.watch(15_000).filter(({ line }) => (line.flags & FIN) !== 0);
    expect(seen.map(({ at }) => at)).toEqual([15_000]);
  });

  test('shutdown() and the end of what the peer sends make FIN+ACK', () => {
    const t = established();
    t.write('request');
    t.c.shutdown(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 8, data: 'answer' });
    t.drain();
    t.gets({ flags: FIN, seq: 7 });
    t.sends({ flags: FIN | ACK, seq: 8, ack: 8, window: 0 });
    t.is('TIME_WAIT');
    expect(t.read()).toBe('answer');
    expect(t.c.isReadEnded).toBe(true);
    expect(t.c.isWriteAcknowledged).toBe(true);
  });

  test('close() after shutdown() no longer waits for silence', () => {
    const t = established();
    t.c.shutdown(t.now);
    t.sendsNothing();
    t.c.close(t.now);
    t.sends({ flags: FIN, seq: 1 });
  });

  test('shutdown() waits as long as data is unacknowledged', () => {
    const t = established();
    t.write('x');
    t.c.shutdown(t.now);
    const seen = t.watch(20_000);
    expect(seen.every(({ line }) => line.flags === ACK)).toBe(true);
    t.is('ESTABLISHED');
  });

  test('a FIN is answered by FIN+ACK once everything of ours is acknowledged, by a plain ACK until then', () => {
    const t = established();
    t.write('not yet there');
    t.drain();
    t.gets({ flags: FIN, seq: 1 });
    t.sends({ flags: ACK, ack: 2 });
    t.sendsNothing();
    expect(t.c.isReadEnded).toBe(true);
    expect(t.write('too late')).toBe(0);
    t.gets({ flags: ACK, seq: 2, ack: 14 });
    t.sends({ flags: FIN | ACK, seq: 14, ack: 2 });
    t.is('TIME_WAIT');
    expect(t.c.isWriteAcknowledged).toBe(true);
    expect(t.c.error).toBeUndefined();
  });

  test('a peer that closes and takes no more for 5 s leaves an error, and its own bytes stay readable', () => {
    const t = established();
    t.write('never taken');
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 1, data: 'bye' });
    t.gets({ flags: FIN, seq: 4 });
    const seen = t.watch(5000);
    expect(seen.at(-1)).toMatchObject({ at: 5000, line: { flags: FIN | ACK } });
    t.is('TIME_WAIT');
    expect(t.c.isWriteAcknowledged).toBe(false);
    t.elapse(20_000);
    t.is('TIME_WAIT');
    expect(t.c.pollTimeout()).toBe(FOREVER);
    expect(t.read()).toBe('bye');
    t.is('CLOSED');
    expect(t.c.error).toBe('CONNECTION_RESET');
    expect(t.pool.used).toBe(0);
  });

  test('FIN+ACK goes again at the timeout until it is acknowledged, inside TIME_WAIT', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 1 });
    expect(t.watch(1400).map(({ at }) => at)).toEqual([0, 200, 600, 1400]);
    t.gets({ flags: ACK, seq: 2, ack: 2 });
    expect(t.watch(8599)).toEqual([]);
    t.elapse(1);
    t.is('CLOSED');
  });

  test('FINs that cross end both sides', () => {
    const t = established();
    t.c.close(t.now);
    t.sends({ flags: FIN, seq: 1 });
    t.gets({ flags: FIN, seq: 1 });
    t.is('TIME_WAIT');
    t.sends({ flags: ACK, seq: 2, ack: 2 });
    t.sendsNothing();
  });

  test('a FIN that came too early is held: plain ACK at once, the end when the gap is closed', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 11 });
    t.sends({ flags: ACK, seq: 1, ack: 1 });
    t.is('ESTABLISHED');
    expect(t.c.isReadEnded).toBe(false);
    t.gets({ flags: ACK, seq: 6, ack: 1, data: 'world' });
    expect(t.c.takeEvents() & EVENT.readEnded).toBe(0);
    t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
    expect(t.drain().map(({ flags, ack }) => [flags, ack])).toEqual([[FIN | ACK, 12]]);
    expect(t.c.takeEvents() & EVENT.readEnded).toBe(EVENT.readEnded);
    expect(t.c.isReadEnded).toBe(false);
    expect(t.read()).toBe('helloworld');
    expect(t.c.isReadEnded).toBe(true);
  });

  test('the first copy of a FIN counts', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 11 });
    t.gets({ flags: FIN, seq: 1 });
    t.is('ESTABLISHED');
    expect(t.c.isReadEnded).toBe(false);
  });

  test('a held FIN whose gap stays open for 15 s of silence is an error, not an end', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 11 });
    t.drain();
    t.elapse(14_000);
    t.gets({ flags: ACK, seq: 1, ack: 1, data: 'hello' });
    t.elapse(14_999);
    t.is('ESTABLISHED');
    t.elapse(1);
    t.is('CLOSED');
    expect(t.c.error).toBe('CONNECTION_LOST');
    expect(t.c.isReadEnded).toBe(false);
  });

  test('a new SYN ends a connection that holds a FIN, silently', () => {
    const t = established({ role: 'listener' });
    t.gets({ flags: FIN, seq: 11 });
    t.drain();
    t.gets({ flags: SYN, seq: 900 });
    t.is('CLOSED');
    t.sendsNothing();
  });

  test('close() ends the hold of a FIN', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 11 });
    t.drain();
    t.c.close(t.now);
    t.is('TIME_WAIT');
    t.sends({ flags: FIN | ACK, seq: 1, ack: 12 });
  });

  test('FIN+ACK to our FIN does not vouch for data that was not acknowledged before', () => {
    const t = established();
    t.write('lost');
    t.drain();
    t.c.close(t.now);
    t.watch(5000);
    t.gets({ flags: FIN | ACK, seq: 1, ack: 6 });
    expect(t.c.isWriteAcknowledged).toBe(false);
    t.elapse(20_000);
    t.is('CLOSED');
    expect(t.c.error).toBe('CONNECTION_RESET');
  });

  test('data after close() is acknowledged and forgotten', () => {
    const t = established();
    t.c.close(t.now);
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 2, data: 'unwanted' });
    t.sends({ flags: ACK, ack: 9, window: 512 });
    expect(t.c.readableBytes).toBe(0);
    expect(t.c.takeEvents() & EVENT.readable).toBe(0);
  });

  test('a peer that acknowledges our FIN and goes silent with us still reading is lost after 10 s', () => {
    const t = established();
    t.c.shutdown(t.now);
    t.elapse(2000);
    t.drain();
    t.gets({ flags: ACK, seq: 1, ack: 2 });
    t.elapse(9_999);
    t.is('FIN_WAIT');
    t.elapse(1);
    expect(t.c.error).toBe('CONNECTION_LOST');
  });

  test('a RST in TIME_WAIT changes nothing; what arrived stays readable', () => {
    const t = established();
    t.gets({ flags: ACK, seq: 1, ack: 1, data: 'bye' });
    t.gets({ flags: FIN, seq: 4 });
    t.drain();
    t.gets({ flags: RST });
    t.is('TIME_WAIT');
    expect(t.read()).toBe('bye');
  });

  test('data behind the FIN is not data', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 1 });
    t.gets({ flags: ACK, seq: 1, ack: 1, data: 'ghost' });
    expect(t.c.readableBytes).toBe(0);
    expect(t.c.stats().drops.outside).toBe(1);
  });

  test('abort() in TIME_WAIT sends no RST', () => {
    const t = established();
    t.gets({ flags: FIN, seq: 1 });
    t.drain();
    t.c.abort(t.now);
    t.is('CLOSED');
    t.sendsNothing();
    expect(t.c.error).toBeUndefined();
  });

  test('idle for 120 s does not close from our side', () => {
    const t = established();
    for (const { line } of t.watch(150_000)) expect(line.flags).toBe(ACK);
    t.is('ESTABLISHED');
  });
});

test('a FIN completes a connection whose final ACK was lost, and ends it', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  t.sends({ flags: SYN | ACK, ack: 1 });
  t.gets({ flags: FIN, seq: 1 });
  expect(t.c.takeEvents() & (EVENT.connected | EVENT.readEnded)).toBe(EVENT.connected | EVENT.readEnded);
  t.sends({ flags: FIN | ACK, seq: 1, ack: 2 });
  t.is('TIME_WAIT');
});
