// Paths, the beacon, upkeep, control packets and datagrams (DP 3.15, 4, 5.12, 5.13; appendix D 10, 12).
import { expect, test } from 'vitest';
import { emitDelivery, emitDiscoverReply, emitPunchCommand } from '../../src/wire/beacon.ts';
import { PATH_PROBE } from '../../src/wire/control.ts';
import { PROTOCOL } from '../../src/wire/packet.ts';
import type { Packet } from './packet.ts';
import type { ReferencePeer } from './peer.ts';
import type { Behaviour, Generation } from './peer-behaviour.ts';
import { ACK, filled, Script } from './peer-rig.ts';
import { BEACON_PLACE, PeerWorld, placeOf } from './peer-world.ts';

const ELSEWHERE = { host: '203.0.113.5', port: 1234 };

interface Pair {
  world: PeerWorld;
  a: ReferencePeer;
  b: ReferencePeer;
  /** Whether datagrams between the two are lost unless they go over the beacon. */
  isCut: boolean;
}

/** Two peers known to the beacon. */
function pair(generation: Generation, switches: Partial<Behaviour> = {}): Pair {
  const world = new PeerWorld({ delayMs: 5 });
  const a = world.add({ nodeId: 1, generation, switches, beacon: BEACON_PLACE });
  const b = world.add({ nodeId: 2, generation, switches, beacon: BEACON_PLACE });
  const made = { world, a, b, isCut: false };
  world.drop = (_, from, to) => made.isCut && from.port === 4000 && to.port === 4000;
  for (const peer of [a, b]) peer.start();
  world.run(20);
  return made;
}

const controls = (packets: Packet[]) => packets.filter(({ protocol }) => protocol === PROTOCOL.control);
const directTo = (peer: ReferencePeer) =>
  peer.log.sent.filter(({ kind, relayed }) => kind === 'PILS' && relayed === undefined);

test.each(['apr', 'fork', 'new'] as const)(
  '%s reaches the other over the relay when nothing goes directly',
  (generation) => {
    const p = pair(generation);
    p.isCut = true;
    if (generation !== 'new') p.a.tunnel.contact(2).isRelayed = true;
    const connection = p.a.dial(2, 7);
    connection.write(filled(3000));
    expect(p.world.runUntil(() => connection.receivedBytes === 3000, 30_000)).toBe(true);
    expect(
      p.b.log.received.some(({ kind, relayed, packet }) => kind === 'PILS' && relayed === 1 && packet !== undefined),
    ).toBe(true);
  },
);

test('relaySticky: APR stays on the relay although direct works again, NEW leaves after three direct frames', () => {
  for (const relaySticky of [true, false]) {
    const p = pair('new', { relaySticky, relayProbeMs: 1e9 });
    p.a.reach(2);
    p.world.run(50);
    const contact = p.a.tunnel.contact(2);
    contact.isRelayed = true;
    for (let i = 0; i < 3; i++) p.b.ping(1);
    p.world.run(50);
    expect(contact.isRelayed).toBe(relaySticky);
  }
});

test('a pinned relay is not left by direct frames', () => {
  const p = pair('new', { relayProbeMs: 1e9 });
  p.a.reach(2);
  p.world.run(50);
  const contact = p.a.tunnel.contact(2);
  contact.isRelayed = contact.isPinned = true;
  for (let i = 0; i < 5; i++) p.b.ping(1);
  p.world.run(50);
  expect(contact.isRelayed).toBe(true);
});

test('relayProbeMs, relayProbeClears: five empty ACKs directly; data follows at once, or when the other answered', () => {
  for (const relayProbeClears of [true, false]) {
    const p = pair('new', { relayProbeMs: 15_000, relayProbeClears, keepalive: 'none' });
    p.a.reach(2);
    p.world.run(50);
    const contact = p.a.tunnel.contact(2);
    contact.isRelayed = contact.isPinned = true;
    p.a.ping(2);
    p.isCut = true;
    p.a.log.clear();
    p.world.run(22_000);
    expect(contact.isPinned).toBe(false);
    expect(contact.isRelayed).toBe(!relayProbeClears);
    const probes = directTo(p.a).filter(({ packet }) => packet?.flags === ACK && packet.seq === 1);
    expect(probes.length).toBe(5);
    expect(probes[4]!.at - probes[0]!.at).toBe(800);
    expect(probes[0]!.packet).toMatchObject({ protocol: 3, sourcePort: 0, destinationPort: 0, payload: filled(0) });
  }
});

test('a black hole leads to the relay, pinned, after three observations', () => {
  const p = pair('apr', { noProbeAnswer: true });
  p.a.reach(2);
  p.world.run(50);
  p.isCut = true;
  for (let i = 0; i < 12; i++) {
    p.a.sendDatagram(2, 9, Uint8Array.of(i));
    p.world.run(1000);
  }
  expect(p.a.tunnel.contact(2)).toMatchObject({ isRelayed: true, isPinned: true });
  expect(p.b.log.received.some(({ relayed, packet }) => relayed === 1 && packet !== undefined)).toBe(true);
});

test('a burst after a pause is no black hole', () => {
  const p = pair('apr');
  p.a.reach(2);
  p.world.run(10_000);
  for (let i = 0; i < 5; i++) p.a.sendDatagram(2, 9, Uint8Array.of(i));
  p.world.run(50);
  expect(p.a.tunnel.contact(2).isRelayed).toBe(false);
});

test('a key that came over the relay first and then directly leaves NEW on the direct path', () => {
  const p = pair('new', { relayCopy: false });
  const pila = p.b.tunnel.exchanges.pila();
  p.a.handleDatagram(emitDelivery(2, pila), BEACON_PLACE);
  expect(p.a.tunnel.contact(2).isRelayed).toBe(true);
  p.a.handleDatagram(pila, placeOf(2));
  expect(p.a.tunnel.contact(2).isRelayed).toBe(false);
  p.a.handleDatagram(emitDelivery(2, pila), BEACON_PLACE);
  expect(p.a.tunnel.contact(2).isRelayed).toBe(false);
});

test('what comes over the relay takes APR there, and NEW only without a direct endpoint', () => {
  for (const generation of ['apr', 'new'] as const) {
    const p = pair(generation);
    p.a.reach(2);
    p.world.run(50);
    p.a.sendPacket(2, { protocol: PROTOCOL.datagram, payload: filled(1) }, 'relay');
    p.world.run(50);
    expect(p.b.tunnel.contact(1).isRelayed).toBe(generation === 'apr');
  }
});

test('punch commands bring three PILP of four bytes', () => {
  const p = pair('apr');
  p.a.log.clear();
  p.a.handleDatagram(emitPunchCommand(ELSEWHERE.host, ELSEWHERE.port), BEACON_PLACE);
  expect(p.a.log.sent.map(({ bytes, place }) => [Buffer.from(bytes).toString(), place])).toEqual(
    new Array(3).fill(['PILP', ELSEWHERE]),
  );
});

test('punchesPrivate: FORK does not punch to private addresses', () => {
  for (const punchesPrivate of [true, false]) {
    const p = pair('fork', { punchesPrivate });
    p.a.log.clear();
    p.a.handleDatagram(emitPunchCommand('192.168.1.1', 80), BEACON_PLACE);
    expect(p.a.log.sent.length).toBe(punchesPrivate ? 3 : 0);
  }
});

test('beaconOnly: NEW takes commands and deliveries from the beacon alone', () => {
  for (const beaconOnly of [true, false]) {
    const p = pair('new', { beaconOnly });
    p.a.log.clear();
    p.a.handleDatagram(emitPunchCommand(ELSEWHERE.host, ELSEWHERE.port), ELSEWHERE);
    p.a.handleDatagram(emitDelivery(2, p.b.tunnel.exchanges.pila()), ELSEWHERE);
    expect(p.a.log.sentFrames('PILP').length).toBe(beaconOnly ? 0 : 3);
    expect(p.a.hasKey(2)).toBe(!beaconOnly);
  }
});

test('a Discover reply from elsewhere is believed', () => {
  const p = pair('new');
  p.a.handleDatagram(emitDiscoverReply(ELSEWHERE.host, ELSEWHERE.port), placeOf(9));
  expect(p.a.reflexive).toEqual(ELSEWHERE);
});

test('punches and messages of the beacon inside a delivery are dropped', () => {
  const p = pair('new');
  p.a.log.clear();
  p.a.handleDatagram(emitDelivery(2, emitPunchCommand(ELSEWHERE.host, 1)), BEACON_PLACE);
  p.a.handleDatagram(emitDelivery(2, new TextEncoder().encode('PILP')), BEACON_PLACE);
  expect(p.a.log.sent).toEqual([]);
  expect(p.a.log.received.map(({ kind, outcome }) => [kind, outcome])).toEqual([
    ['beacon', 'ok'],
    ['beacon', 'dropped'],
    ['beacon', 'ok'],
    ['PILP', 'dropped'],
  ]);
});

test('a node that hides its endpoint is reached over the pinned relay, without punch request', () => {
  const p = pair('new', { relayCopy: false });
  p.a.introduce({ nodeId: 2, identityKey: p.b.identityKey, relayOnly: true });
  p.a.log.clear();
  p.a.reach(2);
  p.world.run(50);
  expect(p.a.tunnel.contact(2)).toMatchObject({ isRelayed: true, isPinned: true });
  expect(p.a.log.sentFrames('beacon').length).toBe(0);
  expect(p.a.hasKey(2)).toBe(true);
});

test('discoverMs: Discover is repeated, every 60 s or every 25', () => {
  for (const [generation, times] of [
    ['apr', 3],
    ['fork', 6],
  ] as const) {
    const p = pair(generation);
    p.world.run(130_000);
    expect(p.a.log.sentFrames('beacon').filter(({ beacon }) => beacon?.type === 'discover').length).toBe(times);
    expect(p.a.reflexive).toEqual(placeOf(1));
  }
});

test.each([
  ['none', []],
  ['ack', [{ flags: ACK, sourceNode: 2, destinationNode: 1 }]],
  ['zero', [{ flags: 0, sourceNode: 0, destinationNode: 0 }]],
  ['own', [{ flags: 0, sourceNode: 2, destinationNode: 0 }]],
] as const)('keepalive %s: what is sent after 25 s without sending', (keepalive, wanted) => {
  const t = new Script('new', { keepalive, pathProbes: false });
  t.world.run(31_000);
  const sent = controls(t.subject.log.sentPackets());
  expect(sent.length).toBe(wanted.length);
  for (const [i, fields] of wanted.entries()) {
    expect(sent[i]).toMatchObject({ ...fields, sourcePort: 0, destinationPort: 0, seq: 0, ack: 0, payload: filled(0) });
  }
});

test('upkeepStopMs: no upkeep without traffic for so long, unless there is a connection', () => {
  const keepalives = (prepare: (t: Script) => void) => {
    const t = new Script('new', { pathProbes: false, upkeepStopMs: 40_000 });
    prepare(t);
    t.world.run(85_000);
    return controls(t.subject.log.sentPackets()).length;
  };
  expect(keepalives(() => {})).toBe(1);
  expect(keepalives((t) => t.opened())).toBe(2);
  // Traffic of either side begins it anew.
  const late = (speak: (t: Script) => void) => (t: Script) => {
    t.world.run(38_000);
    speak(t);
  };
  expect(keepalives(late((t) => t.subject.sendDatagram(1, 9, filled(1))))).toBe(2);
  expect(keepalives(late((t) => t.puppet.sendDatagram(2, 9, filled(1))))).toBe(3);
});

test('pathProbes: three probes after 55 s of silence, then a fresh contact', () => {
  for (const pathProbes of [true, false]) {
    const t = new Script('new', { pathProbes, upkeepStopMs: 1e9 });
    t.puppet.close();
    t.subject.log.clear();
    t.world.run(100_000);
    const probes = t.subject.log.sent.filter(({ packet }) => packet?.payload.length === PATH_PROBE.length);
    expect(probes.length >= 3).toBe(pathProbes);
    expect(t.subject.log.sentFrames('PILA').length > 0).toBe(pathProbes);
    // Two more minutes before the next reset.
    expect(t.subject.log.sentFrames('PILA').length).toBeLessThan(8);
    if (pathProbes) expect(probes[0]!.packet).toMatchObject({ payload: PATH_PROBE, destinationNode: 1, flags: 0 });
  }
});

test('a sign of life between probes begins their count anew', () => {
  const t = new Script('new', { upkeepStopMs: 1e9, keepalive: 'none' });
  t.subject.log.clear();
  // The puppet answers nothing, but speaks each 70 s: two probes at most in between.
  for (let i = 0; i < 6; i++) {
    t.world.run(63_000);
    t.puppet.ping(2, filled(1), 60_000);
  }
  expect(
    t.subject.log.sent.filter(({ packet }) => packet?.payload.length === PATH_PROBE.length).length,
  ).toBeGreaterThan(3);
  expect(t.subject.log.sentFrames('PILA').length).toBe(0);
});

test('NEW takes the relay of a dial back at its end, unless it was pinned meanwhile', () => {
  for (const isPinned of [true, false]) {
    const p = pair('new', { waitsForKey: false });
    p.a.reach(2);
    p.world.run(50);
    p.isCut = true;
    const connection = p.a.dial(2, 7);
    p.world.run(1740);
    expect(p.a.tunnel.contact(2).isRelayed).toBe(false);
    p.world.run(12);
    expect(p.a.tunnel.contact(2).isRelayed).toBe(true);
    p.a.tunnel.contact(2).isPinned = isPinned;
    p.isCut = false;
    p.world.run(100);
    expect(connection.state).toBe('ESTABLISHED');
    expect(p.a.tunnel.contact(2).isRelayed).toBe(isPinned);
  }
});

test('a ping is answered with the same payload, from the address that was called', () => {
  const t = new Script('apr');
  t.puppet.sendPacket(2, { protocol: PROTOCOL.control, sourcePort: 60_000, seq: 9, payload: filled(4) });
  t.world.run(5);
  expect(t.puppet.log.packets({ protocol: PROTOCOL.control })[0]).toMatchObject({
    flags: ACK,
    sourcePort: 0,
    destinationPort: 60_000,
    seq: 9,
    ack: 10,
    sourceNode: 2,
    payload: filled(4),
  });
});

test('pongToEveryPong: a pong to port 0 is answered for ever, here until the cap', () => {
  for (const pongToEveryPong of [true, false]) {
    const world = new PeerWorld({ delayMs: 1 });
    const [a, b] = [1, 2].map((nodeId) => world.add({ nodeId, switches: { pongToEveryPong, pongCap: 25 } }));
    a!.reach(2);
    world.run(20);
    a!.ping(2);
    world.run(1000);
    const pongs = b!.log.sentPackets({ protocol: PROTOCOL.control, flags: ACK }).length;
    expect(pongs).toBe(pongToEveryPong ? 26 : 1);
    expect(a!.control.pongs[0]).toMatchObject({ nodeId: 2, packet: { payload: Uint8Array.of(1) } });
  }
});

test('swallowsKeepalives: an empty ping is swallowed, or answered like any', () => {
  for (const swallowsKeepalives of [true, false]) {
    const t = new Script('apr', { swallowsKeepalives });
    t.puppet.ping(2, filled(0), 60_000);
    t.world.run(5);
    expect(t.puppet.log.packets({ protocol: PROTOCOL.control }).length).toBe(swallowsKeepalives ? 0 : 1);
  }
});

test('a pong to another port than 0 ends the exchange, and a ping without destination names who answers', () => {
  const t = new Script('apr');
  t.puppet.sendPacket(2, { protocol: PROTOCOL.control, flags: ACK, destinationPort: 60_000, payload: filled(1) });
  t.world.run(5);
  expect(t.puppet.log.packets()).toEqual([]);
  for (const destinationNode of [0, 77]) {
    t.puppet.sendPacket(2, { protocol: PROTOCOL.control, sourcePort: 60_000, destinationNode, payload: filled(1) });
  }
  t.world.run(5);
  expect(t.puppet.log.received.flatMap(({ packet }) => packet?.sourceNode ?? [])).toEqual([2]);
  expect(t.puppet.log.received.at(-1)!.outcome).toBe('spoofed');
});

test('strictTrust: pings of strangers are not answered', () => {
  for (const strictTrust of [true, false]) {
    const t = new Script('new', { strictTrust });
    t.subject.isPublic = false;
    t.puppet.ping(2, filled(1), 60_000);
    t.world.run(5);
    expect(t.puppet.log.packets({ protocol: PROTOCOL.control }).length).toBe(strictTrust ? 0 : 1);
  }
});

test('other control ports are dropped', () => {
  const t = new Script('apr');
  for (const destinationPort of [1, 1005, 20_567]) {
    t.puppet.sendPacket(2, { protocol: PROTOCOL.control, destinationPort, payload: filled(3) });
  }
  t.world.run(5);
  expect(t.puppet.log.packets()).toEqual([]);
  expect(t.subject.log.counts.get('control_dropped')).toBe(3);
});

test('datagrams reach who listens; empty ones and those of strangers do not', () => {
  const t = new Script('apr');
  const from: number[] = [];
  t.subject.receiveDatagrams(9, (_, { port }) => from.push(port));
  t.puppet.sendDatagram(2, 9, filled(5), 777);
  t.puppet.sendDatagram(2, 9, filled(0));
  t.puppet.sendDatagram(2, 10, filled(5));
  t.world.run(5);
  t.subject.isPublic = false;
  t.puppet.sendDatagram(2, 9, filled(5));
  t.world.run(5);
  expect(t.subject.control.datagrams).toEqual([{ nodeId: 1, port: 9, payload: filled(5) }]);
  expect(from).toEqual([777]);
  expect([...t.subject.log.counts]).toEqual([
    ['datagram_no_listener', 1],
    ['datagram_not_trusted', 1],
  ]);
});
