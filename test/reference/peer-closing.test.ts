// How connections end (DP 5.10, 5.11; appendix D 1).
import { expect, test } from 'vitest';
import { ACK, brief, FIN, filled, RST, Script, SYN } from './peer-rig.ts';

test('FIN goes without ACK and with window 0; the answer is FIN+ACK', () => {
  const t = new Script('new');
  const connection = t.opened();
  connection.close();
  const [fin] = t.hears();
  expect([brief(fin!), fin!.window]).toEqual([[FIN, 1, 0, 0], 0]);
  expect(connection.state).toBe('FIN_WAIT');

  const other = new Script('new');
  other.opened();
  other.says({ flags: FIN, seq: 101 });
  const [answer] = other.hears();
  expect([brief(answer!), answer!.window]).toEqual([[FIN | ACK, 1, 102, 0], 0]);
  expect(other.accepted[0]!.state).toBe('TIME_WAIT');
  expect(other.accepted[0]!.isEnded).toBe(true);
});

test('finStorm: everything with FIN is answered, FIN+ACK included, up to the cap', () => {
  for (const [finStorm, answers] of [
    [true, 7],
    [false, 1],
  ] as const) {
    const t = new Script('apr', { finStorm, finStormCap: 7 });
    t.opened().close();
    t.hears();
    for (let i = 0; i < 20; i++) t.says({ flags: FIN | ACK, seq: 101, ack: 2 });
    const heard = t.hears();
    // The first answer ends FIN_WAIT and is none of the storm.
    expect(heard.length).toBe(finStorm ? answers + 1 : answers);
    expect(new Set(heard.map((packet) => brief(packet).join()))).toEqual(new Set([[FIN | ACK, 2, 102, 0].join()]));
  }
});

test('finStorm: two such peers go on until the cap', () => {
  const t = new Script('apr', { finStormCap: 30 });
  t.opened();
  for (let answers = 0; answers < 40; answers++) {
    t.says({ flags: FIN | ACK, seq: 101, ack: 1 });
    if (t.hears().length === 0) break;
  }
  expect(t.accepted[0]!.finAnswers).toBe(30);
});

test('finAnsweredByAck: FORK says a pure ACK to what comes after its own FIN', () => {
  const t = new Script('fork');
  t.opened().close();
  t.hears();
  t.says({ flags: FIN | ACK, seq: 101, ack: 2 });
  t.says({ flags: FIN, seq: 101 });
  const heard = t.hears();
  expect(heard.map(brief)).toEqual([
    [ACK, 2, 102, 0],
    [ACK, 2, 102, 0],
  ]);
  expect(heard.map(({ window }) => window)).toEqual([0, 0]);
});

test('finWaitsForData: FIN goes right behind the data, or when it is acknowledged', () => {
  for (const finWaitsForData of [false, true]) {
    const t = new Script('new', { finWaitsForData });
    const connection = t.opened();
    connection.write(filled(3000));
    connection.close();
    expect(t.hears().filter(({ flags }) => flags === FIN).length).toBe(finWaitsForData ? 0 : 1);
    t.says({ flags: ACK, seq: 101, ack: 3001 });
    expect(t.hears().map(brief)).toEqual(finWaitsForData ? [[FIN, 3001, 0, 0]] : []);
  }
});

test('finWaitsForData: after 5 s FIN goes all the same', () => {
  const t = new Script('new');
  const connection = t.opened();
  connection.write(filled(100));
  connection.close();
  t.hears(4990);
  expect(connection.state).toBe('ESTABLISHED');
  expect(t.hears(20).map(brief)).toContainEqual([FIN, 101, 0, 0]);
});

test('holdsEarlyFin: FIN ahead of missing data waits for it, or closes at once', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.says({ flags: FIN, seq: 201 });
  expect(t.hears().map(brief)).toEqual([[ACK, 1, 101, 0]]);
  expect(connection.isHoldingFin).toBe(true);
  t.says({ flags: ACK, seq: 101, ack: 1, payload: filled(100) });
  expect(t.hears().map(brief)).toContainEqual([FIN | ACK, 1, 202, 0]);
  expect([connection.receivedBytes, connection.isEnded]).toEqual([100, true]);

  const old = new Script('apr');
  old.opened();
  old.says({ flags: FIN, seq: 201 });
  expect(old.hears().map(brief)).toEqual([[FIN | ACK, 1, 202, 0]]);
  old.says({ flags: ACK, seq: 101, ack: 1, payload: filled(100) });
  expect(old.accepted[0]!.receivedBytes).toBe(0);
});

test('a held FIN ends after 15 s of silence, or with a new SYN', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.says({ flags: FIN, seq: 201 });
  t.hears(14_900);
  expect(connection.isEnded).toBe(false);
  t.hears(200);
  expect(connection.isEnded).toBe(true);

  const other = new Script('new');
  other.opened();
  other.says({ flags: FIN, seq: 201 });
  other.says({ flags: SYN, seq: 900 });
  expect(other.accepted.length).toBe(2);
  expect(other.accepted[0]!.state).toBe('CLOSED');
});

test('a held FIN waits on while anything comes, and its first copy counts', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.says({ flags: FIN, seq: 201 });
  t.says({ flags: FIN, seq: 301 });
  for (let i = 0; i < 4; i++) {
    t.hears(10_000);
    t.says({ flags: ACK, seq: 101, ack: 1 });
  }
  expect(connection.isHoldingFin).toBe(true);
  t.says({ flags: ACK, seq: 101, ack: 1, payload: filled(100) });
  expect([connection.isEnded, connection.receivedBytes]).toEqual([true, 100]);
});

test('own close ends the hold: only the own FIN goes', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.says({ flags: FIN, seq: 201 });
  t.hears();
  connection.close();
  t.says({ flags: ACK, seq: 101, ack: 1, payload: filled(100) });
  expect(
    t
      .hears(20)
      .filter(({ flags }) => (flags & FIN) !== 0)
      .map(brief),
  ).toEqual([[FIN, 1, 0, 0]]);
  expect(connection.state).toBe('FIN_WAIT');
});

test('finCarriesAck: FORK looks at the acknowledgement of a FIN, and takes its window 0', () => {
  for (const finCarriesAck of [true, false]) {
    const t = new Script('fork', { finCarriesAck, holdsEarlyFin: true });
    const connection = t.opened();
    connection.write(filled(100));
    t.hears();
    t.says({ flags: FIN | ACK, seq: 500, ack: 101, window: 0 });
    expect(connection.sender.segmentsInFlight).toBe(finCarriesAck ? 0 : 1);
    expect(connection.sender.windowSegments).toBe(finCarriesAck ? 0 : 512);
  }
});

test('finRetransmission: FIN is repeated at the RTO with the same number', () => {
  for (const finRetransmission of [true, false]) {
    const t = new Script('new', { finRetransmission });
    t.opened().close();
    expect(t.hears(2500).map(brief)).toEqual(new Array(finRetransmission ? 2 : 1).fill([FIN, 1, 0, 0]));
  }
});

test('no half-close: FIN takes what was not sent', () => {
  const t = new Script('new');
  const connection = t.opened();
  connection.write(filled(200_000));
  t.hears();
  t.says({ flags: FIN, seq: 101 });
  t.says({ flags: ACK, seq: 102, ack: 1 + 36 * 1152 });
  expect(t.hears().map(brief)).toEqual([[FIN | ACK, connection.sender.next, 102, 0]]);
});

test('a delayed acknowledgement still goes after the own FIN, as recorded', () => {
  const t = new Script('apr', { finStorm: false });
  const connection = t.opened();
  t.says({ flags: ACK, seq: 101, ack: 1, payload: filled(6) });
  connection.close();
  t.says({ flags: FIN | ACK, seq: 107, ack: 2 });
  expect(t.hears(60).map(brief)).toEqual([
    [FIN, 1, 0, 0],
    [FIN | ACK, 2, 108, 0],
    [ACK, 2, 107, 0],
  ]);
});

test('RST ends a connection in any state, whatever its numbers', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.says({ flags: RST, seq: 77 });
  expect([connection.state, connection.end]).toEqual(['CLOSED', 'reset']);
  expect(t.hears()).toEqual([]);
});

test('TIME_WAIT and FIN_WAIT leave with the first sweep that finds them 10 s old', () => {
  const t = new Script('new');
  const connection = t.opened();
  t.hears(8000);
  connection.close();
  t.hears(8000);
  expect(t.subject.streams.connections.size).toBe(1);
  t.hears(15_000);
  expect(t.subject.streams.connections.size).toBe(0);
});

test('finStorm: each answer refreshes TIME_WAIT', () => {
  for (const finStorm of [true, false]) {
    const t = new Script('apr', { finStorm });
    t.opened();
    for (let i = 0; i < 8; i++) {
      t.says({ flags: FIN, seq: 101 });
      t.hears(5000);
    }
    expect(t.subject.streams.connections.size).toBe(finStorm ? 1 : 0);
  }
});

test('abort sends RST with zeroes', () => {
  const t = new Script('apr');
  t.opened().abort();
  const [rst] = t.hears();
  expect([brief(rst!), rst!.window]).toEqual([[RST, 0, 0, 0], 0]);
});
