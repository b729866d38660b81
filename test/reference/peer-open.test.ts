// Opening connections: SYN, SYN+ACK, the third packet, dials and their timers (DP 4.10, 5.4, 5.5).
import { expect, test } from 'vitest';
import { ACK, brief, filled, RST, Script, SYN } from './peer-rig.ts';
import { PeerWorld } from './peer-world.ts';

const byFlags = (flags: number) => (packet: { flags: number }) => packet.flags === flags;

test('a SYN to a port without listener is answered by RST, whoever sends it', () => {
  const t = new Script('new', {}, { isPublic: false });
  t.says({ flags: SYN, destinationPort: 9 });
  expect(t.hears().map(brief)).toEqual([[RST, 0, 0, 0]]);
});

test('a stranger is dropped without a sign at a private peer', () => {
  const t = new Script('new', {}, { isPublic: false });
  t.says({ flags: SYN });
  expect(t.hears(100)).toEqual([]);
  expect(t.subject.log.counts.get('syn_not_trusted')).toBe(1);
  t.subject.trust.trust(1);
  t.says({ flags: SYN });
  expect(t.hears().map(brief)).toEqual([[SYN | ACK, 0, 1, 0]]);
});

test('ports count up from 49152', () => {
  const t = new Script('apr');
  for (let i = 0; i < 3; i++) t.subject.dial(1, 80);
  expect(t.hears(2).map((packet) => packet.sourcePort)).toEqual([49_152, 49_153, 49_154]);
});

test('RST refuses a dial', () => {
  const t = new Script('new');
  const connection = t.subject.dial(1, 80);
  t.hears();
  t.says({ flags: RST, sourcePort: 80, destinationPort: connection.ends.localPort });
  expect(connection.end).toBe('refused');
});

test.each([
  ['apr', [0, 1000, 3000, 7000, 9000, 13_000, 21_000], 29_000],
  ['new', [0, 250, 750, 1750, 2250, 3250, 5250, 9250], 17_250],
] as const)('%s repeats its SYN as DP 4.10 says', (generation, times, end) => {
  const world = new PeerWorld({ delayMs: 1 });
  const beacon = { host: '10.0.0.254', port: 9001 };
  const a = world.add({ nodeId: 1, generation, beacon, switches: { forgetsSlowDials: false } });
  const b = world.add({ nodeId: 2, generation, beacon, intercept: () => true });
  for (const peer of [a, b]) peer.start();
  a.reach(2);
  world.run(1000);
  const start = world.now;
  const connection = a.dial(2, 7);
  let ended = 0;
  connection.onClosed = () => {
    ended = world.now - start;
  };
  world.run(40_000);
  const syns = a.log.sent.filter((frame) => frame.packet?.flags === SYN);
  expect(syns.map(({ at }) => at - start)).toEqual(times);
  // Three direct tries, then the relay.
  expect(syns.map(({ relayed }) => relayed !== undefined)).toEqual(times.map((_, i) => i >= 3));
  expect([ended, connection.end]).toEqual([end, 'timeout']);
  expect(a.tunnel.contact(2).isRelayed).toBe(generation === 'apr');
});

test('waitsForKey: no SYN before there is a key', () => {
  for (const waitsForKey of [true, false]) {
    const world = new PeerWorld({ delayMs: 50 });
    const a = world.add({ nodeId: 1, switches: { waitsForKey } });
    world.add({ nodeId: 2 });
    a.dial(2, 7);
    expect(a.tunnel.contact(2).pending.length).toBe(waitsForKey ? 0 : 1);
    world.run(300);
    expect(a.log.packets({ flags: SYN | ACK }).length).toBe(1);
  }
});

test('racesRelay: a copy of the SYN goes over the relay 200 ms later', () => {
  const world = new PeerWorld({ delayMs: 1 });
  const beacon = { host: '10.0.0.254', port: 9001 };
  const a = world.add({ nodeId: 1, generation: 'fork', beacon });
  const b = world.add({ nodeId: 2, generation: 'fork', beacon, intercept: () => true });
  for (const peer of [a, b]) peer.start();
  a.reach(2);
  world.run(500);
  const start = world.now;
  a.dial(2, 7);
  world.run(900);
  const syns = a.log.sent.filter((frame) => frame.packet?.flags === SYN);
  expect(syns.map(({ at, relayed }) => [at - start, relayed])).toEqual([
    [0, undefined],
    [200, 2],
  ]);
  expect(syns[0]!.packet).toEqual(syns[1]!.packet);
});

test('forgetsSlowDials: the sweep takes a dial older than 5 s away, and a SYN+ACK means nothing then', () => {
  for (const forgetsSlowDials of [true, false]) {
    const t = new Script('new', { forgetsSlowDials });
    // Something for the sweep to begin with.
    t.opened();
    t.hears(8000);
    const connection = t.subject.dial(1, 80);
    t.hears(4000);
    const late = t.subject.dial(1, 81);
    t.hears(4000);
    expect(t.subject.streams.connections.has(`${late.ends.localPort}/0:1/81`)).toBe(true);
    t.says({ flags: SYN | ACK, seq: 5, ack: 1, sourcePort: 80, destinationPort: connection.ends.localPort });
    expect(connection.state).toBe(forgetsSlowDials ? 'SYN_SENT' : 'ESTABLISHED');
  }
});

test('synBurst: so many SYN at once, then ten a second', () => {
  for (const synBurst of [10, 64]) {
    const t = new Script('new', { synBurst });
    for (let i = 0; i < 80; i++) t.puppet.sendPacket(2, { protocol: 1, flags: SYN, sourcePort: i, destinationPort: 7 });
    expect(t.hears(5).filter(byFlags(SYN | ACK)).length).toBe(synBurst);
    t.world.run(1000);
    for (let i = 0; i < 80; i++)
      t.puppet.sendPacket(2, { protocol: 1, flags: SYN, sourcePort: 100 + i, destinationPort: 7 });
    expect(t.hears(5).filter(byFlags(SYN | ACK)).length).toBe(10);
  }
});

test('synAckNumber: a repeated SYN gets the original number, or the next send number − 1', () => {
  const seqs = (['original', 'next'] as const).map((synAckNumber) => {
    const t = new Script('new', { synAckNumber });
    t.opened().write(filled(100));
    t.hears();
    t.says({ flags: SYN, seq: 100 });
    return t.hears().map(brief);
  });
  expect(seqs).toEqual([[[SYN | ACK, 0, 101, 0]], [[SYN | ACK, 100, 101, 0]]]);
});

test('synAckNumber: in TIME_WAIT a SYN opens anew, or is answered as a repetition', () => {
  for (const [synAckNumber, opened] of [
    ['original', 2],
    ['next', 1],
  ] as const) {
    const t = new Script('new', { synAckNumber });
    t.opened();
    t.says({ flags: 4, seq: 101 });
    expect(t.accepted[0]!.state).toBe('TIME_WAIT');
    t.says({ flags: SYN, seq: 700 });
    expect(t.accepted.length).toBe(opened);
    expect(t.hears().at(-1)!.ack).toBe(opened === 2 ? 701 : 101);
  }
});

test('finalAckSeqZero: the third packet has number 0 instead of 1', () => {
  for (const finalAckSeqZero of [true, false]) {
    const t = new Script('new', { finalAckSeqZero });
    t.dialled();
    expect(t.hears().map(brief)).toEqual([[ACK, finalAckSeqZero ? 0 : 1, 101, 0]]);
  }
});

test('acceptsOnFinalAck: the application gets the connection after the third packet, or any with ACK', () => {
  for (const acceptsOnFinalAck of [true, false]) {
    const t = new Script('new', { acceptsOnFinalAck });
    t.says({ flags: SYN, seq: 100 });
    expect(t.accepted.length).toBe(acceptsOnFinalAck ? 0 : 1);
    t.says({ flags: ACK, seq: 101, ack: 1, payload: filled(3) });
    expect(t.accepted.length).toBe(1);
    expect(t.accepted[0]!.read().length).toBe(3);
  }
});

test('a repeated SYN+ACK is not answered', () => {
  const t = new Script('new');
  t.dialled();
  t.hears();
  t.says({ flags: SYN | ACK, seq: 100, ack: 1, destinationPort: 49_152 });
  expect(t.hears(100)).toEqual([]);
});

test('packets of unknown connections are not answered', () => {
  const t = new Script('apr');
  t.says({ flags: ACK, payload: filled(3) });
  t.says({ flags: 4 });
  expect(t.hears(100)).toEqual([]);
  expect(t.subject.log.counts.get('unknown_connection')).toBe(2);
});

test('the window of SYN and SYN+ACK counts', () => {
  const t = new Script('new');
  t.says({ flags: SYN, seq: 100, window: 3 });
  expect(t.accepted[0]!.sender.windowSegments).toBe(3);
  const connection = t.subject.dial(1, 80);
  t.hears();
  const ports = { sourcePort: 80, destinationPort: connection.ends.localPort };
  t.says({ flags: SYN | ACK, seq: 5, ack: 1, window: 4, ...ports });
  expect(connection.sender.windowSegments).toBe(4);
});

test('the answer comes from the address that was called', () => {
  const t = new Script('new');
  t.says({ flags: SYN, sourceNetwork: 9, destinationNetwork: 9 });
  expect(t.hears()[0]).toMatchObject({ sourceNetwork: 9, sourceNode: 2, destinationNetwork: 9, destinationNode: 1 });
  t.says({ flags: SYN, sourceNetwork: 9, destinationNetwork: 8, destinationPort: 1 });
  expect(t.hears()[0]).toMatchObject({ flags: RST, sourceNetwork: 8, destinationNetwork: 9 });
});

test('initialSeq: numbers wrap in both directions', () => {
  const world = new PeerWorld({ delayMs: 1, loss: 0.03 });
  const switches = { initialSeq: 0xffff_f000 };
  const a = world.add({ nodeId: 1, switches });
  world.add({ nodeId: 2, switches });
  const connection = a.dial(2, 7);
  connection.write(filled(60_000, 7));
  expect(world.runUntil(() => connection.receivedBytes === 60_000, 60_000)).toBe(true);
  expect(connection.sender.next).toBeLessThan(60_000);
});
