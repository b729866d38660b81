// What a peer does with what comes: acknowledgements, SACK, full slots, idle connections (DP 5.6, 5.8, 5.9, 5.18, 5.20).
import { expect, test } from 'vitest';
import { parseSack } from '../../src/wire/sack.ts';
import type { Packet } from './packet.ts';
import { ACK, brief, FIN, filled, RST, Script } from './peer-rig.ts';

const acks = (packets: Packet[]) => packets.map(({ ack }) => ack);

function blocksOf(packet: Packet): number[] {
  const words = new Uint32Array(8);
  return [...words.subarray(0, 2 * parseSack(packet.payload, words))];
}

/** Segment `i` of 100 bytes. */
function segment(i: number): { flags: number; seq: number; ack: number; payload: Uint8Array } {
  return { flags: ACK, seq: 101 + 100 * i, ack: 1, payload: filled(100, i) };
}

test('delayedAckMs: one segment is acknowledged after 40 ms, or after 5', () => {
  for (const delayedAckMs of [40, 5]) {
    const t = new Script('apr', { delayedAckMs });
    t.opened();
    t.says(segment(0));
    expect(t.hears(delayedAckMs)).toEqual([]);
    expect(t.hears(1).map(brief)).toEqual([[ACK, 1, 201, 0]]);
  }
});

test('every second segment is acknowledged at once', () => {
  const t = new Script('apr');
  t.opened();
  for (let i = 0; i < 5; i++) t.says(segment(i));
  expect(acks(t.hears())).toEqual([301, 501]);
});

test('quickAcks: so many single segments at once, and again when the delay has run out', () => {
  const t = new Script('new', { quickAcks: 2 });
  t.opened();
  for (let i = 0; i < 3; i++) t.says(segment(i));
  expect(acks(t.hears())).toEqual([201, 301]);
  expect(acks(t.hears(5))).toEqual([401]);
  for (let i = 3; i < 6; i++) t.says(segment(i));
  expect(acks(t.hears())).toEqual([501, 601]);
});

test('data carries the acknowledgement', () => {
  const t = new Script('apr');
  const connection = t.opened();
  t.says(segment(0));
  connection.write(filled(7));
  expect(t.hears(60).map(brief)).toEqual([[ACK, 1, 201, 7]]);
});

test('an answer that the application writes at once is the only acknowledgement', () => {
  const t = new Script('apr');
  const connection = t.opened();
  connection.onData = (bytes) => connection.write(bytes);
  t.says(segment(0));
  expect(t.hears(100).map(brief)).toEqual([[ACK, 1, 201, 100]]);
});

test('a hole is reported by SACK at once, a repetition acknowledged again', () => {
  const t = new Script('apr');
  t.opened();
  t.says(segment(1));
  t.says(segment(3));
  const heard = t.hears();
  expect(acks(heard)).toEqual([101, 101]);
  expect(heard.map(blocksOf)).toEqual([
    [201, 301],
    [201, 301, 401, 501],
  ]);
  t.says(segment(0));
  expect(acks(t.hears())).toEqual([301]);
  t.says(segment(0));
  expect(t.hears().map(blocksOf)).toEqual([[401, 501]]);
});

test('sackBlocks: the lowest four, or the highest', () => {
  const blocks = (['lowest', 'highest'] as const).map((sackBlocks) => {
    const t = new Script('new', { sackBlocks });
    t.opened();
    for (let i = 1; i < 12; i += 2) t.says(segment(i));
    return blocksOf(t.hears().at(-1)!);
  });
  expect(blocks).toEqual([
    [201, 301, 401, 501, 601, 701, 801, 901],
    [601, 701, 801, 901, 1001, 1101, 1201, 1301],
  ]);
});

test('SACK numbers are ordered across the wrap', () => {
  const t = new Script('new');
  t.says({ flags: 1, seq: 0xffff_ff00 });
  t.says({ flags: ACK, seq: 0xffff_ff01, ack: 1 });
  t.hears();
  t.says({ flags: ACK, seq: 0xffff_fff0, ack: 1, payload: filled(32) });
  t.says({ flags: ACK, seq: 0x20, ack: 1, payload: filled(16) });
  expect(blocksOf(t.hears().at(-1)!)).toEqual([0xffff_fff0, 0x10, 0x20, 0x30]);
});

test('outOfOrderSlots: what exceeds 128 behind a hole is lost without a sign', () => {
  const t = new Script('apr');
  const connection = t.opened();
  for (let i = 1; i <= 130; i++) t.says(segment(i));
  expect(t.hears().length).toBe(128);
  expect([connection.receiver.outOfOrderSegments, connection.receiver.dropped]).toEqual([128, 2]);
  // One that is held is acknowledged again.
  t.says(segment(1));
  expect(t.hears().length).toBe(1);
});

test('user data that looks like SACK is swallowed', () => {
  const t = new Script('new');
  const connection = t.opened();
  const payload = new TextEncoder().encode('SACK\u0001 and more');
  t.says({ flags: ACK, seq: 101, ack: 1, payload });
  expect(t.hears(100)).toEqual([]);
  expect(connection.receivedBytes).toBe(0);
});

test('the window is the number of free slots, whatever the size of what they hold', () => {
  const t = new Script('apr');
  t.opened().pause();
  t.says(segment(0));
  t.says(segment(1));
  expect(t.hears().map(({ window }) => window)).toEqual([510]);
});

/** A connection whose 4 slots are full; the puppet then sends the fifth segment. */
function full(t: Script): void {
  t.opened().pause();
  for (let i = 0; i < 4; i++) t.says(segment(i));
  t.hears();
  t.says(segment(4));
}

test('deliveryWaitMs: a full application brings the whole router to a stand for 1 s', () => {
  const t = new Script('apr', { receiveSlots: 4 });
  full(t);
  expect(t.subject.isStalled).toBe(true);
  t.puppet.ping(2, filled(3), 60_000);
  t.world.run(990);
  expect(t.puppet.log.packets({ protocol: 3 })).toEqual([]);
  t.world.run(20);
  expect(t.puppet.log.packets({ protocol: 3 }).length).toBe(1);
  expect(t.subject.isStalled).toBe(false);
});

test('without parking the segment is lost, and each repetition stalls again', () => {
  const t = new Script('apr', { receiveSlots: 4 });
  full(t);
  expect(t.hears(1100)).toEqual([]);
  t.says(segment(4));
  expect(t.subject.isStalled).toBe(true);
  t.accepted[0]!.resume();
  expect(t.subject.isStalled).toBe(false);
  expect(acks(t.hears(50))).toEqual([601]);
});

test('parking: the segment is reported by SACK and delivered only when it comes again', () => {
  const t = new Script('new', { receiveSlots: 4 });
  full(t);
  const connection = t.accepted[0]!;
  const parked = t.hears(1100);
  expect(acks(parked)).toEqual([501]);
  expect(blocksOf(parked[0]!)).toEqual([501, 601]);
  connection.resume();
  t.hears(5000);
  expect(connection.receivedBytes).toBe(400);
  t.says(segment(4));
  expect(connection.receivedBytes).toBe(500);
  expect(t.hears(10).map(brief)).toEqual([[ACK, 1, 601, 0]]);
  expect(connection.receiver.outOfOrderSegments).toBe(0);
});

test('windowUpdate: NEW says that a closed window is open again', () => {
  for (const windowUpdate of [true, false]) {
    const t = new Script('new', { receiveSlots: 4, windowUpdate });
    const connection = t.opened();
    connection.pause();
    for (let i = 0; i < 4; i++) t.says(segment(i));
    expect(t.hears(10).at(-1)!.window).toBe(0);
    connection.resume();
    expect(t.hears().map(({ window }) => window)).toEqual(windowUpdate ? [4] : []);
  }
});

test('noProbeAnswer: no generation answers an empty acknowledgement', () => {
  for (const noProbeAnswer of [true, false]) {
    const t = new Script('new', { noProbeAnswer });
    t.opened();
    t.says({ flags: ACK, seq: 101, ack: 1 });
    t.says({ flags: ACK, seq: 101, ack: 1 });
    expect(t.hears().length).toBe(noProbeAnswer ? 0 : 1);
    t.hears(10_000);
    t.says({ flags: ACK, seq: 101, ack: 1 });
    expect(t.hears().length).toBe(noProbeAnswer ? 0 : 1);
  }
});

test('idleEndsWith: three keepalives without a sign of life, then RST or FIN', () => {
  for (const idleEndsWith of ['rst', 'fin'] as const) {
    const t = new Script('new', { idleEndsWith });
    t.opened();
    const start = t.world.now;
    const heard = t.hears(130_000);
    expect(heard.map(({ flags }) => flags)).toEqual([ACK, ACK, ACK, idleEndsWith === 'rst' ? RST : FIN]);
    expect(heard.slice(0, 3).every(({ seq, ack, payload }) => seq === 1 && ack === 101 && payload.length === 0)).toBe(
      true,
    );
    const end = t.puppet.log.received.at(-1)!.at - start;
    expect(end).toBeGreaterThan(100_000);
    expect(end).toBeLessThan(125_000);
  }
});

test('a sign of life keeps an idle connection', () => {
  const t = new Script('apr');
  const connection = t.opened();
  for (let i = 0; i < 10; i++) {
    t.hears(70_000);
    t.says({ flags: ACK, seq: 101, ack: 1 });
  }
  expect(connection.state).toBe('ESTABLISHED');
});
