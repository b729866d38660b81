import { expect, test } from 'vitest';
import { EVENT } from '../../src/core/events.ts';
import { ACK, established, OURS, PEERS, RST, SYN, sack, stream, Trace } from './connection-harness.ts';

/** Writes `bytes` of the test stream and collects the numbers of the segments that leave. */
function sent(t: Trace, bytes: number): number[] {
  t.write(stream(0, bytes));
  return t.drain().map(({ seq }) => seq);
}

const FULL = 1152;
const at = (i: number): number => 1 + i * FULL;

test('what is written in one turn leaves at once, in segments of 1152 bytes', () => {
  const t = established();
  t.write(stream(0, 1000));
  t.write(stream(1000, 2500));
  t.sends({ flags: ACK, seq: 1, ack: 1, data: stream(0, 1152) });
  t.sends({ flags: ACK, seq: 1153, ack: 1, data: stream(1152, 2304) });
  t.sends({ flags: ACK, seq: 2305, ack: 1, data: stream(2304, 2500) });
  t.sendsNothing();
});

test('a short write behind unacknowledged data is not held back', () => {
  const t = established();
  t.write('a');
  t.sends({ flags: ACK, seq: 1, ack: 1, data: 'a' });
  t.write('b');
  t.sends({ flags: ACK, seq: 2, ack: 1, data: 'b' });
});

test('ten segments leave before the first acknowledgement', () => {
  const t = established({ own: true });
  expect(sent(t, 200_000)).toHaveLength(10);
});

test('at most 56 segments are outstanding towards a reference peer, selectively acknowledged ones included', () => {
  const t = established();
  let next = at(10);
  t.write(stream(0, 256 * 1024));
  t.drain();
  // The window grows with everything but the first segment arriving.
  for (let i = 0; i < 400; i++) {
    t.elapse(5);
    t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(1), next]) });
    const lines = t.drain();
    for (const { seq } of lines) if (seq === next) next += FULL;
  }
  expect((next - 1) / FULL).toBe(56);
});

test('outstanding segments never exceed the slots that the peer advertises', () => {
  const t = established();
  t.gets({ flags: ACK, seq: 1, ack: 1, data: 'x' });
  t.read();
  t.write('first');
  t.drain();
  t.gets({ flags: ACK, seq: 2, ack: 6, window: 3 });
  t.write(stream(0, 20_000));
  expect(t.drain()).toHaveLength(3);
  t.gets({ flags: ACK, seq: 2, ack: 6 + FULL, window: 3 });
  expect(t.drain()).toHaveLength(1);
});

test('a segment is sent again with the same boundaries after the timeout', () => {
  const t = established({ rtt: 100 });
  t.write('abc');
  t.sends({ flags: ACK, seq: 1, data: 'abc' });
  t.write('defg');
  t.sends({ flags: ACK, seq: 4, data: 'defg' });
  t.write('more');
  t.sends({ flags: ACK, seq: 8, data: 'more' });
  const again = t.watch(700).map(({ line }) => [line.seq, (line.data as Uint8Array).length]);
  expect(again).toContainEqual([1, 3]);
  for (const [seq, length] of again) expect([`1 3`, `4 4`, `8 4`]).toContain(`${seq} ${length}`);
});

test('user data that looks like a SACK is split behind its first byte', () => {
  const t = established();
  const look = sack(0, [1, 2], [3, 4]);
  t.write(look);
  t.sends({ flags: ACK, seq: 1, data: look.subarray(0, 1) });
  t.sends({ flags: ACK, seq: 2, data: look.subarray(1) });
  const longer = new Uint8Array(500);
  longer.set(sack(0, [1, 2]));
  t.write(longer);
  t.sends({ flags: ACK, seq: 22, data: longer.subarray(0, 1) });
  t.sends({ flags: ACK, seq: 23, data: longer.subarray(1) });
});

test('data that only begins like a SACK is not split', () => {
  const t = established();
  for (const harmless of [sack(0, [1, 2]).subarray(0, 12), new Uint8Array(20).fill(0x53), sack(0)]) {
    t.write(harmless);
    expect(t.drain().map(({ data }) => (data as Uint8Array).length)).toEqual([harmless.length]);
  }
  const five = new Uint8Array(60);
  five.set(sack(0, [1, 2]));
  five[4] = 5;
  t.write(five);
  expect(t.drain()).toHaveLength(1);
});

test('a SACK that shows three later segments has the missing one sent again at once', () => {
  const t = established();
  expect(sent(t, 6 * FULL)).toHaveLength(6);
  t.elapse(10);
  t.gets({ flags: ACK, seq: 1, ack: at(1), data: sack(OURS, [at(2), at(3)]) });
  t.sendsNothing();
  t.gets({ flags: ACK, seq: 1, ack: at(1), data: sack(OURS, [at(2), at(4)]) });
  t.sendsNothing();
  t.gets({ flags: ACK, seq: 1, ack: at(1), data: sack(OURS, [at(2), at(5)]) });
  t.sends({ flags: ACK, seq: at(1), data: stream(FULL, 2 * FULL) });
  t.sendsNothing();
  expect(t.c.stats()).toMatchObject({ retransmits: 1, timeouts: 0, lossEpisodes: 1 });
});

test('a segment overtaken by fewer than three is sent again after about a round trip, not after the timeout', () => {
  const t = established({ rtt: 40 });
  sent(t, 3 * FULL);
  t.elapse(40);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(1), at(3)]) });
  t.sendsNothing();
  const seen = t.watch(100);
  expect(seen[0]).toMatchObject({ line: { seq: 1 } });
  expect(seen[0]!.at).toBeLessThan(20);
});

test('a segment that was merely reordered is not sent again', () => {
  const t = established({ rtt: 40 });
  sent(t, 4 * FULL);
  t.elapse(40);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(1), at(3)]) });
  t.elapse(2);
  t.gets({ flags: ACK, seq: 1, ack: at(4) });
  expect(t.watch(1000)).toEqual([]);
  expect(t.c.stats().lossEpisodes).toBe(0);
});

test('a lost retransmission is found lost again by what was sent after it', () => {
  const t = established({ own: true });
  sent(t, 40 * FULL);
  t.elapse(10);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(1), at(10)]) });
  const lines = t.drain();
  expect(lines[0]).toMatchObject({ seq: 1 });
  const after = lines.slice(1).map(({ seq }) => seq);
  expect(after.length).toBeGreaterThanOrEqual(3);
  t.elapse(10);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(1), after[2]! + FULL]) });
  t.sends({ flags: ACK, seq: 1, data: stream(0, FULL) });
});

test('three duplicates of an empty ACK have the oldest segment sent again', () => {
  const t = established();
  sent(t, 4 * FULL);
  t.elapse(10);
  for (let i = 0; i < 2; i++) t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.sendsNothing();
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.sends({ flags: ACK, seq: 1, data: stream(0, FULL) });
  t.sendsNothing();
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.sendsNothing();
});

test('an empty ACK that changes the window is no duplicate', () => {
  const t = established();
  sent(t, 4 * FULL);
  for (let i = 1; i < 9; i++) t.gets({ flags: ACK, seq: 1, ack: 1, window: 512 + i });
  t.sendsNothing();
});

test('losses of one episode reduce the congestion window of CUBIC once', () => {
  const t = established({ own: true, congestionControl: 'cubic' });
  sent(t, 10 * FULL);
  t.elapse(10);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(2), at(3)], [at(4), at(5)], [at(6), at(8)]) });
  t.drain();
  const after = t.c.stats().congestionWindow;
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(2), at(3)], [at(4), at(5)], [at(6), at(10)]) });
  t.drain();
  expect(t.c.stats()).toMatchObject({ lossEpisodes: 1, congestionWindow: after });
  expect(after).toBeCloseTo(10 * FULL * 0.7);
});

test('the timeout doubles to 10 s, and after 8 attempts comes a RST', () => {
  const t = established({ role: 'listener' });
  t.write('x');
  t.sends({ flags: ACK, data: 'x' });
  const seen = t.watch(200_000);
  const again = seen.slice(0, -1);
  for (const { line } of again) expect(line).toMatchObject({ flags: ACK, seq: 1, data: new Uint8Array([0x78]) });
  expect(seen.at(-1)!.line.flags).toBe(RST);
  const gaps = seen.slice(1).map(({ at }, i) => at - seen[i]!.at);
  // The first is the probe for a lost tail.
  expect(gaps).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
  t.is('CLOSED');
  expect(t.c.error).toBe('CONNECTION_LOST');
  expect(t.pool.used).toBe(0);
});

test('the first timeout is 1 s when the SYN exchange gave no sample', () => {
  const t = new Trace({ role: 'listener' });
  t.gets({ flags: SYN });
  t.drain();
  t.gets({ flags: SYN });
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 1 });
  t.write('x');
  expect(t.watch(3500).map(({ at }) => at)).toEqual([0, 1000, 3000]);
});

test('the oldest segment goes again after the timeout even when it was selectively acknowledged', () => {
  const t = established();
  sent(t, 3 * FULL);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [1, at(3)]) });
  t.sendsNothing();
  const seen = t.watch(1000);
  expect(seen[0]!.line).toMatchObject({ seq: 1 });
  expect((seen[0]!.line.data as Uint8Array).length).toBe(FULL);
});

test('after a timeout every acknowledgement brings more of the lost segments', () => {
  const t = established({ own: true, rtt: 50 });
  sent(t, 10 * FULL);
  const seen = t.watch(310);
  const last = seen.at(-1)!.line.seq;
  expect(last).toBe(1);
  t.elapse(30);
  t.gets({ flags: ACK, seq: 1, ack: at(1) });
  expect(t.drain().map(({ seq }) => seq)).toEqual([at(1), at(2)]);
});

test('a tail that got lost is asked after well before the timeout', () => {
  const t = established({ rtt: 20, own: true });
  sent(t, 5 * FULL);
  t.elapse(20);
  t.gets({ flags: ACK, seq: 1, ack: at(3) });
  const seen = t.watch(190);
  expect(seen.map(({ line }) => line.seq)).toEqual([at(4)]);
  expect(seen[0]!.at).toBeLessThan(80);
});

test('a tail is asked after once, however much is sent behind it', () => {
  const t = established({ rtt: 20, own: true });
  sent(t, 2 * FULL);
  const repeated = t.watch(60).map(({ line }) => line.seq);
  expect(repeated).toEqual([at(1)]);
  t.write(stream(0, FULL));
  expect(t.drain()).toHaveLength(1);
  expect(t.watch(120)).toEqual([]);
});

test('no sample is taken from an acknowledgement that covers a segment sent twice', () => {
  const t = established({ rtt: 10 });
  const before = t.c.stats();
  t.write('x');
  t.drain();
  t.watch(3000);
  t.gets({ flags: ACK, seq: 1, ack: 2 });
  expect(t.c.stats()).toMatchObject({ srtt: before.srtt, rto: before.rto });
});

test('an acknowledgement of what was never sent is ignored, its data is not', () => {
  const t = established();
  t.write('x');
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 400, data: 'hello' });
  expect(t.read()).toBe('hello');
  expect(t.c.isWriteAcknowledged).toBe(false);
  expect(t.c.stats()).toMatchObject({ bytesInFlight: 1, drops: { badAck: 1 } });
});

test('window 0 stops the sender, and an update starts it again with the oldest segment first', () => {
  const t = established();
  sent(t, 2 * FULL);
  t.gets({ flags: ACK, seq: 1, ack: at(1), window: 0 });
  t.write(stream(2 * FULL, 4 * FULL));
  t.sendsNothing();
  t.gets({ flags: ACK, seq: 1, ack: at(1), window: 10 });
  expect(t.drain().map(({ seq }) => seq)).toEqual([at(1), at(2), at(3)]);
});

test('window 0 out of the blue is the keepalive of an old peer and is not believed', () => {
  const t = established();
  t.elapse(20_000);
  t.gets({ flags: ACK, seq: 1, ack: 1, window: 0 });
  t.drain();
  t.write('x');
  t.sends({ flags: ACK, seq: 1, data: 'x' });
});

test('windows of FIN, RST and SYN that are 0 close nothing', () => {
  const t = established({ own: true });
  t.gets({ flags: 4, seq: 1 });
  t.drain();
  t.write('x');
  t.sends({ flags: ACK, data: 'x' });
});

test('between our own the timeout ends at 3 s, and 20 attempts are made', () => {
  const t = established({ own: true });
  t.write('x');
  t.drain();
  const seen = t.watch(200_000);
  expect(seen.at(-1)!.line.flags).toBe(RST);
  expect(t.c.stats().timeouts).toBe(20);
  const gaps = seen.slice(1).map(({ at }, i) => at - seen[i]!.at);
  expect(Math.max(...gaps)).toBe(3_000);
});

test('an ACK that covers a segment sent twice gives no sample, whatever else it covers', () => {
  const t = established({ rtt: 100 });
  sent(t, 5 * FULL);
  t.elapse(100);
  t.gets({ flags: ACK, seq: 1, ack: 1, data: sack(OURS, [at(1), at(5)]) });
  t.sends({ flags: ACK, seq: 1, data: stream(0, FULL) });
  t.write(stream(5 * FULL, 6 * FULL));
  t.sends({ flags: ACK, seq: at(5), data: stream(5 * FULL, 6 * FULL) });
  const before = t.c.stats().srtt;
  t.elapse(150);
  t.gets({ flags: ACK, seq: 1, ack: at(6) });
  expect(t.c.stats().srtt).toBe(before);
});

test('the window 0 of FIN+ACK closes nothing, although data is under way', () => {
  const t = established({ own: true });
  t.write('x');
  t.drain();
  t.gets({ flags: 6, seq: 1, ack: 1 });
  t.drain();
  t.write('y');
  t.sends({ flags: ACK, seq: 2, data: 'y' });
});

test('a closed window is probed after 0.5 s, then less and less often, and after 30 probes in vain comes a RST', () => {
  const t = established({ own: true });
  t.write('x');
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 2, window: 0 });
  t.write('waiting');
  const seen = t.watch(1_000_000);
  const probes = seen.slice(0, -1);
  expect(probes).toHaveLength(30);
  for (const { line } of probes) expect(line).toMatchObject({ flags: ACK, seq: 2, data: new Uint8Array(0) });
  expect(probes.slice(0, 9).map(({ at }) => at)).toEqual([
    500, 1500, 3500, 7500, 15_500, 31_500, 61_500, 91_500, 121_500,
  ]);
  expect(seen.at(-1)!.line.flags).toBe(RST);
  expect(t.c.error).toBe('CONNECTION_LOST');
});

test('a peer that answers probes keeps its closed window as long as it likes', () => {
  const t = established({ own: true });
  t.write('x');
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 2, window: 0 });
  t.write('waiting');
  for (let i = 0; i < 60; i++) {
    t.watch(30_000);
    t.gets({ flags: ACK, seq: 1, ack: 2, window: 0 });
  }
  t.is('ESTABLISHED');
  t.gets({ flags: ACK, seq: 1, ack: 2, window: 9 });
  expect(t.drain().some(({ data }) => (data as Uint8Array).length === 7)).toBe(true);
});

test('a reference peer answers no empty probe, so later probes carry one segment', () => {
  const t = established();
  t.write('x');
  t.drain();
  t.gets({ flags: ACK, seq: 1, ack: 2, window: 0 });
  t.write(stream(0, 3000));
  const seen = t.watch(20_000);
  const lengths = seen.map(({ line }) => (line.data as Uint8Array).length);
  expect(lengths).toEqual([0, 0, 0, FULL, FULL]);
  expect(seen[4]!.line.seq).toBe(2);
});

test('a write beyond the buffer is cut short, and room is announced', () => {
  const t = established({ limits: { writableBytes: 10_000 } });
  expect(t.write(stream(0, 12_000))).toBe(10_000);
  expect(t.write('x')).toBe(0);
  expect(t.c.writableBytes).toBe(0);
  t.next();
  t.next();
  expect(t.c.takeEvents() & EVENT.writable).toBe(0);
  // What is under way does not count against what may wait to be sent.
  t.drain();
  expect(t.c.takeEvents() & EVENT.writable).toBe(EVENT.writable);
  expect(t.c.writableBytes).toBe(10_000);
});

test('numbers wrap at 2^32', () => {
  const t = established({ role: 'dialler' });
  expect(PEERS).toBe(0xffff_fff0);
  for (let i = 0; i < 10; i++) {
    t.gets({ flags: ACK, seq: 1 + 10 * i, ack: 1, data: stream(10 * i, 10 * i + 10) });
    t.sends({ flags: ACK, seq: 1, ack: 11 + 10 * i });
  }
  expect(t.c.readableBytes).toBe(100);
});

test('segments are spread over the round trip once it is long and known', () => {
  const t = established({ rtt: 100, own: true });
  t.write(stream(0, 256 * 1024));
  t.drain();
  for (let i = 0; i < 4; i++) {
    t.elapse(100);
    t.gets({ flags: ACK, seq: 1, ack: at(10 + 10 * i) });
    t.drain();
  }
  t.elapse(300);
  const seen = t.watch(30);
  const inFlight = t.c.stats().bytesInFlight;
  expect(inFlight).toBeGreaterThan(0);
  for (const { at } of seen) expect(seen.filter((other) => other.at === at).length).toBeLessThanOrEqual(12);
});
