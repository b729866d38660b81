// What a peer sends and sends again: segments, windows, timers, duplicates (DP 5.7, 5.15–5.18; appendix D 2, 8, 13, 14).
import { expect, test } from 'vitest';
import { PROTOCOL } from '../../src/wire/packet.ts';
import type { Packet } from './packet.ts';
import { ACK, brief, filled, RST, Script, sackOf } from './peer-rig.ts';

/** Time and number of each data segment, from the start of the call; the puppet says nothing. */
function watch(t: Script, ms: number): [at: number, seq: number][] {
  const start = t.world.now;
  t.hears(ms);
  return t.puppet.log.received
    .filter(({ at, packet }) => at > start && packet?.protocol === PROTOCOL.stream && packet.payload.length > 0)
    .map(({ at, packet }) => [at - start, packet!.seq]);
}

const lengths = (packets: Packet[]) => packets.map(({ payload }) => payload.length);
const seqs = (packets: Packet[]) => packets.map(({ seq }) => seq);

test.each([
  ['apr', 4096],
  ['fork', 1024],
  ['new', 1152],
] as const)('mss: %s sends segments of %i', (generation, mss) => {
  const t = new Script(generation);
  t.opened().write(filled(10 * mss));
  expect(new Set(lengths(t.hears()))).toEqual(new Set([mss]));
});

test('the initial window is 40,960 bytes, compared before the segment is added', () => {
  const t = new Script('apr');
  const connection = t.opened();
  connection.write(filled(8));
  connection.write(filled(60_000));
  // As recorded: 8 bytes and ten full segments.
  expect(lengths(t.hears())).toEqual([8, ...new Array(10).fill(4096)]);
});

test('maxInFlight: no more than 128 segments, whatever is offered', () => {
  for (const maxInFlight of [128, Number.POSITIVE_INFINITY]) {
    const t = new Script('new', { maxInFlight, initialCwnd: 1_000_000 });
    t.opened().write(filled(300 * 1152));
    expect(t.hears().length).toBe(Math.min(maxInFlight, 300));
  }
});

test('NEW counts the window in segments, ≤ 1.9 multiplies it by its own size of them', () => {
  for (const [windowZeroMeansNoLimit, segments] of [
    [false, 5],
    [true, 47],
  ] as const) {
    const t = new Script('new', { windowZeroMeansNoLimit, nagle: 'off' });
    t.opened();
    t.says({ flags: ACK, seq: 101, ack: 1, window: 5 });
    for (let i = 0; i < 50; i++) t.accepted[0]!.write(filled(125));
    expect(t.hears().length).toBe(segments);
  }
});

test('windowZeroMeansNoLimit: window 0 stops NEW, not ≤ 1.9', () => {
  for (const windowZeroMeansNoLimit of [true, false]) {
    const t = new Script('new', { windowZeroMeansNoLimit, zeroWindowIgnored: windowZeroMeansNoLimit });
    const connection = t.opened();
    t.says({ flags: ACK, seq: 101, ack: 1, window: 0 });
    connection.write(filled(5000));
    expect(t.hears().length).toBe(windowZeroMeansNoLimit ? 5 : 0);
  }
});

test('zeroWindowIgnored: alone, the last other window stays in force and nothing is probed', () => {
  const t = new Script('new', { zeroWindowIgnored: true });
  const connection = t.opened();
  t.says({ flags: ACK, seq: 101, ack: 1, window: 3 });
  t.says({ flags: ACK, seq: 101, ack: 1, window: 0 });
  connection.write(filled(50_000));
  expect(lengths(t.hears(150))).toEqual([1152, 1152, 1152]);
});

test('probeLimit: a closed window is probed after 0.5, 1, 2, 4 … s, 30 times, then comes RST', () => {
  const t = new Script('new', { probeLimit: 6 });
  const connection = t.opened();
  t.says({ flags: ACK, seq: 101, ack: 1, window: 0 });
  connection.write(filled(10));
  const start = t.world.now;
  t.hears(200_000);
  const probes = t.puppet.log.received.filter(({ at, packet }) => at > start && packet?.flags === ACK);
  expect(probes.map(({ at }) => at - start)).toEqual([501, 1501, 3501, 7501, 15_501, 31_501]);
  expect(probes.every(({ packet }) => packet!.payload.length === 0 && packet!.seq === 1)).toBe(true);
  expect(t.puppet.log.packets({ flags: RST }).length).toBe(1);
  expect(connection.end).toBe('gave_up');
});

test('a window that opens again lets the data out and ends the probes', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.says({ flags: ACK, seq: 101, ack: 1, window: 0 });
  connection.write(filled(10));
  expect(t.hears(600).map(brief)).toEqual([[ACK, 1, 101, 0]]);
  t.says({ flags: ACK, seq: 101, ack: 1, window: 512 });
  expect(lengths(t.hears())).toEqual([10]);
  t.says({ flags: ACK, seq: 101, ack: 11 });
  expect(t.hears(3000)).toEqual([]);
});

test('backoff once: eight transmissions as they were recorded, then RST', () => {
  const t = new Script('apr');
  const connection = t.opened();
  connection.write(filled(9));
  t.hears();
  t.says({ flags: ACK, seq: 101, ack: 10 });
  // The round trip of 2 ms is known: the RTO is 200 ms.
  connection.write(filled(9));
  const sent = watch(t, 10_000);
  expect(sent.map(([at]) => at)).toEqual([1, 201, 601, 1001, 1401, 1801, 2201, 2601]);
  expect(t.puppet.log.received.at(-1)).toMatchObject({ at: expect.closeTo(t.world.now - 10_000 + 3001, 0) });
  expect(t.puppet.log.received.at(-1)!.packet!.flags).toBe(RST);
  expect(connection.end).toBe('gave_up');
});

test('backoff each: the RTO doubles every time, with up to 25 % more', () => {
  const t = new Script('new');
  const connection = t.opened();
  connection.write(filled(9));
  t.hears();
  t.says({ flags: ACK, seq: 101, ack: 10 });
  connection.write(filled(9));
  const times = watch(t, 60_000).map(([at]) => at);
  const gaps = times.slice(1).map((at, i) => at - times[i]!);
  expect(gaps.length).toBe(7);
  for (let i = 1; i < 5; i++) {
    expect(gaps[i]! / gaps[i - 1]!).toBeGreaterThanOrEqual(1.7);
    expect(gaps[i]! / gaps[i - 1]!).toBeLessThanOrEqual(2.75);
  }
  expect(Math.max(...gaps)).toBeLessThanOrEqual(10_100);
  expect(connection.end).toBe('gave_up');
});

test('maxAttempts: so many transmissions', () => {
  for (const maxAttempts of [3, 8]) {
    const t = new Script('apr', { maxAttempts });
    t.opened().write(filled(9));
    expect(watch(t, 60_000).length).toBe(maxAttempts);
  }
});

test('onePerRto: a burst of losses is repaired at 100 ms a segment, as recorded; NEW repairs one per acknowledgement', () => {
  const times = [true, false].map((onePerRto) => {
    const t = new Script('apr', { onePerRto });
    const connection = t.opened();
    connection.write(filled(1));
    t.hears();
    t.says({ flags: ACK, seq: 101, ack: 2 });
    const start = t.world.now;
    connection.write(filled(6 * 4096));
    t.hears(150);
    let ack = 2;
    const repaired: number[] = [];
    while (ack < 2 + 6 * 4096 && t.world.now - start < 5000) {
      for (const { seq } of t.hears(1)) {
        if (seq !== ack) continue;
        ack += 4096;
        repaired.push(t.world.now - start);
        t.says({ flags: ACK, seq: 101, ack });
      }
    }
    return repaired;
  });
  // RTO 200, doubled once; then everything is overdue and goes tick by tick.
  expect(times[0]!.map((at) => Math.round(at / 100) * 100)).toEqual([200, 400, 500, 600, 700, 800]);
  expect(times[1]![5]! - times[1]![0]!).toBeLessThan(30);
});

test('resendsSackedHead: the oldest segment goes out again although it was selectively acknowledged', () => {
  for (const resendsSackedHead of [true, false]) {
    const t = new Script('new', { resendsSackedHead });
    t.opened().write(filled(10));
    t.hears();
    t.says({ flags: ACK, seq: 101, ack: 1, payload: sackOf([1, 11]) });
    expect(seqs(t.hears(2500))).toEqual(resendsSackedHead ? [1] : []);
  }
});

test('a selectively acknowledged segment is passed over', () => {
  const t = new Script('apr');
  t.opened().write(filled(2 * 4096));
  t.hears();
  t.says({ flags: ACK, seq: 101, ack: 1, payload: sackOf([1, 4097]) });
  expect(seqs(t.hears(1500))).toEqual([4097]);
});

test('cwndAfterRto: a timeout leaves the initial window, or one segment of 4,096', () => {
  for (const cwndAfterRto of [40_960, 4096]) {
    const t = new Script('apr', { cwndAfterRto });
    const connection = t.opened();
    connection.write(filled(4096));
    t.hears(1200);
    expect(connection.sender.cwnd).toBe(cwndAfterRto);
  }
});

test('three empty duplicates bring a fast retransmission', () => {
  const t = new Script('new');
  t.opened().write(filled(5 * 1152));
  t.hears();
  for (let i = 0; i < 3; i++) t.says({ flags: ACK, seq: 101, ack: 1 });
  expect(seqs(t.hears())).toEqual([1]);
});

test('sackCountsAsDuplicate: acknowledgements with SACK bring it too, or never', () => {
  for (const sackCountsAsDuplicate of [true, false]) {
    const t = new Script('new', { sackCountsAsDuplicate });
    t.opened().write(filled(5 * 1152));
    t.hears();
    for (let i = 1; i <= 3; i++) t.says({ flags: ACK, seq: 101, ack: 1, payload: sackOf([1153, 1153 + i * 1152]) });
    expect(seqs(t.hears())).toEqual(sackCountsAsDuplicate ? [1] : []);
  }
});

test('strayDuplicates: three empty acknowledgements halve the window of ≤ 1.9 even with nothing in flight', () => {
  for (const strayDuplicates of [true, false]) {
    const t = new Script('apr', { strayDuplicates });
    const connection = t.opened();
    for (let i = 0; i < 3; i++) t.says({ flags: ACK, seq: 101, ack: 1 });
    expect(connection.sender.cwnd).toBe(strayDuplicates ? 20_480 : 40_960);
  }
});

test('NEW does not count a duplicate whose window changed', () => {
  const t = new Script('new');
  t.opened().write(filled(5 * 1152));
  t.hears();
  for (let i = 0; i < 5; i++) t.says({ flags: ACK, seq: 101, ack: 1, window: 400 + i });
  expect(t.hears()).toEqual([]);
});

test('ignoresAckZero: an acknowledgement of 0 says nothing to ≤ 1.9', () => {
  for (const ignoresAckZero of [true, false]) {
    const t = new Script('new', { ignoresAckZero });
    const connection = t.opened();
    t.says({ flags: ACK, seq: 101, ack: 0, window: 77 });
    expect(connection.sender.windowSegments).toBe(ignoresAckZero ? 512 : 77);
  }
});

test.each([
  ['any', [100], [100]],
  ['short', [100], [100]],
  ['off', [100, 100], []],
] as const)('nagle %s: a short write behind a short one', (nagle, before, after) => {
  const t = new Script('new', { nagle });
  const connection = t.opened();
  connection.write(filled(100));
  connection.write(filled(100));
  expect(lengths(t.hears(39))).toEqual(before);
  expect(lengths(t.hears(3))).toEqual(after);
});

test('nagle: the tail of a large write is held by ≤ 1.9 and not by NEW', () => {
  for (const nagle of ['any', 'short'] as const) {
    const t = new Script('new', { nagle });
    t.opened().write(filled(1152 + 100));
    expect(lengths(t.hears())).toEqual(nagle === 'any' ? [1152] : [1152, 100]);
    expect(lengths(t.hears(45))).toEqual(nagle === 'any' ? [100] : []);
  }
});

test('segments are sent again with the same boundaries', () => {
  const t = new Script('apr');
  const connection = t.opened();
  connection.write(filled(100));
  t.hears(50);
  connection.write(filled(200));
  const first = t.hears(50).map(brief);
  const again = t.hears(1200).map(brief);
  expect(first).toEqual([[ACK, 101, 101, 200]]);
  expect(again[0]).toEqual([ACK, 1, 101, 100]);
});

test('Karn: a segment sent twice gives no round-trip time', () => {
  const t = new Script('apr');
  const connection = t.opened();
  connection.write(filled(100));
  t.hears(1500);
  expect(connection.sender.rtoMs).toBe(2000);
  t.says({ flags: ACK, seq: 101, ack: 101 });
  expect(connection.sender.rtoMs).toBe(2000);
});

test('NEW takes no sample from an acknowledgement that covers anything sent twice', () => {
  for (const onePerRto of [true, false]) {
    const t = new Script('apr', { onePerRto });
    const connection = t.opened();
    connection.write(filled(2 * 4096));
    t.hears(1100);
    expect(connection.sender.rtoMs).toBe(2000);
    t.says({ flags: ACK, seq: 101, ack: 1 + 2 * 4096 });
    expect(connection.sender.rtoMs < 2000 || connection.sender.rtoMs > 2000).toBe(onePerRto);
  }
});

test('the RTO is SRTT and at least 10 ms', () => {
  const t = new Script('apr', { minRtoMs: 0 });
  const connection = t.opened();
  for (let i = 0; i < 40; i++) {
    connection.write(filled(1));
    t.hears();
    t.says({ flags: ACK, seq: 101, ack: 2 + i });
  }
  expect(connection.sender.rtoMs).toBeCloseTo(12, 0);
});

test('an acknowledgement of what was never sent is not believed', () => {
  const t = new Script('new');
  const connection = t.opened();
  connection.write(filled(100));
  t.says({ flags: ACK, seq: 101, ack: 5000 });
  expect([connection.sender.oldest, connection.sender.segmentsInFlight]).toEqual([1, 1]);
});

test('progress begins the count of duplicates anew', () => {
  const t = new Script('new');
  t.opened().write(filled(5 * 1152));
  t.hears();
  for (const ack of [1, 1, 1153, 1153, 1153]) t.says({ flags: ACK, seq: 101, ack });
  expect(t.hears()).toEqual([]);
  t.says({ flags: ACK, seq: 101, ack: 1153 });
  expect(seqs(t.hears())).toEqual([1153]);
});

test('selectively acknowledged bytes make room', () => {
  const t = new Script('new', { initialCwnd: 4 * 1152 });
  t.opened().write(filled(10 * 1152));
  expect(t.hears().length).toBe(4);
  t.says({ flags: ACK, seq: 101, ack: 1, payload: sackOf([1153, 1153 + 2 * 1152]) });
  expect(t.hears().length).toBe(2);
});

test('the congestion window doubles up to ssthresh, then grows by one unit a window, up to its limit', () => {
  const grown = (acked: number, maxCwnd: number) => {
    const t = new Script('apr', { maxCwnd });
    const connection = t.opened();
    for (let sent = 0; sent < acked; sent += 4096) {
      connection.write(filled(4096));
      t.hears();
      t.says({ flags: ACK, seq: 101, ack: 1 + sent + 4096 });
    }
    return connection.sender.cwnd;
  };
  expect(grown(4 * 4096, 1_000_000)).toBe(14 * 4096);
  const avoiding = grown(20 * 4096, 2 * 12 * 4096);
  expect(avoiding).toBeGreaterThan(12 * 4096);
  expect(avoiding).toBeLessThan(14 * 4096);
  expect(grown(20 * 4096, 11 * 4096)).toBe(11 * 4096);
});

test('nagle: the tail of a large write goes behind a short segment too', () => {
  const t = new Script('new');
  const connection = t.opened();
  connection.write(filled(10));
  connection.write(filled(1152 + 100));
  expect(lengths(t.hears())).toEqual([10, 1152, 100]);
});

test('a closed window is not probed while data is on its way', () => {
  const t = new Script('new', { initialRtoMs: 10_000 });
  const connection = t.opened();
  connection.write(filled(10));
  t.says({ flags: ACK, seq: 101, ack: 1, window: 0 });
  connection.write(filled(1152));
  t.hears();
  expect(t.hears(3000)).toEqual([]);
});
