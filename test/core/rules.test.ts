/**
 * Single rules of what comes in, each part alone against stand-ins: what the beacon may ask, what is no frame, who comes
 * through the gate, which pings are answered.
 */
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import type { Origin } from '../../src/core/admission.ts';
import { BeaconLink } from '../../src/core/beacon-link.ts';
import { Carrier } from '../../src/core/carrier.ts';
import { Control } from '../../src/core/control.ts';
import type { Directory } from '../../src/core/directory.ts';
import { Gate } from '../../src/core/gate.ts';
import { INTAKE, Intake } from '../../src/core/intake.ts';
import { NO_PATH, Paths } from '../../src/core/paths.ts';
import type { Peer } from '../../src/core/peer.ts';
import { Counters } from '../../src/core/stats.ts';
import type { StreamPacket } from '../../src/core/streams.ts';
import type { Trust } from '../../src/core/trust.ts';
import { type Engine, RX } from '../../src/engine/engine.ts';
import { emitDelivery, emitNotify, emitPunchCommand } from '../../src/wire/beacon.ts';
import { PATH_PROBE } from '../../src/wire/control.ts';
import { emitPilk } from '../../src/wire/key-exchange.ts';
import { FLAG, PORT, PROTOCOL } from '../../src/wire/packet.ts';
import { DIRECT, fakeDepartures, fakeEngine, fakePeer, NOW, packet, stub } from './rules-rig.ts';

describe('what the beacon says', () => {
  const to = emitPunchCommand('198.51.100.7', 4_000);

  test('a punch command is believed for 10 s after a contact of ours', () => {
    const beacon = new BeaconLink(new Counters());
    expect(beacon.handle(NOW, to)).toBeUndefined();
    beacon.noteContact(NOW);
    expect(beacon.handle(NOW + 10_000, to)).toEqual({ type: 'punch', host: '198.51.100.7', port: 4_000 });
    expect(beacon.handle(NOW + 10_001, to)).toBeUndefined();
  });

  test.each([
    ['127.0.0.1', 4_000],
    ['0.0.0.0', 4_000],
    ['224.0.0.1', 4_000],
    ['255.255.255.255', 4_000],
    ['198.51.100.7', 0],
  ])('nothing is punched to %s port %i', (host, port) => {
    const counters = new Counters();
    const beacon = new BeaconLink(counters);
    beacon.noteContact(NOW);
    expect(beacon.handle(NOW, emitPunchCommand(host, port))).toBeUndefined();
    expect(counters.dropped('beaconUnasked') + counters.dropped('beaconMalformed')).toBe(1);
  });

  test('ten punch commands a second are obeyed', () => {
    const counters = new Counters();
    const beacon = new BeaconLink(counters);
    beacon.noteContact(NOW);
    let obeyed = 0;
    for (let i = 0; i < 50; i++) if (beacon.handle(NOW, to) !== undefined) obeyed += 1;
    expect(obeyed).toBe(10);
    expect(counters.dropped('beaconUnasked')).toBe(40);
  });

  test('one punch request a second goes out for one peer', () => {
    const beacon = new BeaconLink(new Counters());
    expect(beacon.punchRequest(NOW, 1, 2)).toBeDefined();
    expect(beacon.punchRequest(NOW + 500, 1, 2)).toBeUndefined();
    expect(beacon.punchRequest(NOW + 500, 1, 3)).toBeDefined();
    expect(beacon.punchRequest(NOW + 1_000, 1, 2)).toBeDefined();
  });

  test('a hint about something else is no hint about the mailbox', () => {
    const beacon = new BeaconLink(new Counters());
    expect(beacon.handle(NOW, emitNotify(1))).toEqual({ type: 'notify' });
    expect(beacon.handle(NOW, emitNotify(2))).toBeUndefined();
  });
});

describe('what comes in', () => {
  const BEACON = 1;

  function intake(
    isOpen = true,
    connection?: object,
    carrier = new Carrier('udp'),
  ): { intake: Intake; counters: Counters; engine: Engine; senders: number[]; seen: string[] } {
    const { engine } = fakeEngine();
    const counters = new Counters();
    const paths = new Paths();
    for (const port of [1, 2, 3]) paths.intern('198.51.100.7', port);
    const senders: number[] = [];
    const seen: string[] = [];
    const parts = {
      engine,
      owner: 0,
      counters,
      paths,
      peers: { touch: () => {} },
      departures: { beaconPath: BEACON },
      carrier,
      socketPath: paths.intern('websocket', 0),
      beacon: new BeaconLink(counters),
      registration: { handleNotify: () => seen.push('notify') },
      tunnels: {
        handleExchange: (_: number, __: Uint8Array, { sender }: Origin) => senders.push(sender),
        handleRecord: () => fakePeer(),
      },
      control: { handle: () => seen.push('control') },
      gate: { admits: () => isOpen, admitsStream: () => isOpen },
      streams: { find: () => connection, handle: () => seen.push('stream') },
      datagrams: { handle: () => seen.push('datagram') },
    };
    return {
      intake: new Intake(stub<ConstructorParameters<typeof Intake>[0]>(parts)),
      counters,
      engine,
      senders,
      seen,
    };
  }

  /** One frame that opens to a packet of this protocol and length. */
  function opens(t: ReturnType<typeof intake>, protocol: number, length: number): void {
    const frame = new Uint8Array(60);
    frame.set([0x50, 0x49, 0x4c, 0x53, 0, 0, 0, 2]);
    t.intake.handle(NOW, 2, frame);
    t.engine.receive[RX.kind] = protocol;
    t.engine.receive[RX.payloadLen] = length;
    t.intake.handleBatch(NOW);
  }

  test('a relayed frame whose sender is not that of its envelope is dropped', () => {
    const t = intake();
    const frame = emitPilk(2, new Uint8Array(32).fill(1));
    t.intake.handle(NOW, BEACON, emitDelivery(3, frame));
    expect(t.senders).toEqual([]);
    expect(t.counters.dropped('relayMismatch')).toBe(1);
    t.intake.handle(NOW, BEACON, emitDelivery(2, frame));
    expect(t.senders).toEqual([2]);
  });

  test('over the WebSocket nothing is taken but what the beacon relays, and beside it nothing at all', () => {
    const SOCKET = 3;
    const { intake: one, counters, senders } = intake(true, undefined, new Carrier('websocket'));
    const pila = Uint8Array.from([...Buffer.from('PILA'), 0, 0, 0, 9]);
    expect(one.handle(NOW, SOCKET, pila)).toBe(INTAKE.done);
    expect([senders, counters.dropped('beaconUnasked')]).toEqual([[], 1]);
    for (const path of [1, 2]) expect(one.handle(NOW, path, emitDelivery(9, pila))).toBe(INTAKE.done);
    expect([senders, counters.dropped('otherCarrier')]).toEqual([[], 2]);
    one.handle(NOW, SOCKET, emitDelivery(9, pila));
    expect(senders).toEqual([9]);
    const udp = intake();
    udp.intake.handle(NOW, SOCKET, emitDelivery(9, pila));
    expect([udp.senders, udp.counters.dropped('otherCarrier')]).toEqual([[], 1]);
  });

  test('a beacon message from elsewhere is dropped', () => {
    const t = intake();
    t.intake.handle(NOW, 2, emitNotify(1));
    expect(t.seen).toEqual([]);
    expect(t.counters.dropped('notFromBeacon')).toBe(1);
    t.intake.handle(NOW, BEACON, emitNotify(1));
    expect(t.seen).toEqual(['notify']);
  });

  test('a datagram without payload is none', () => {
    const t = intake();
    opens(t, PROTOCOL.datagram, 0);
    expect(t.seen).toEqual([]);
    expect(t.counters.dropped('badPacket')).toBe(1);
    opens(t, PROTOCOL.datagram, 1);
    expect(t.seen).toEqual(['datagram']);
  });

  test('what the gate refuses goes no further, but connections that exist go on', () => {
    const t = intake(false);
    opens(t, PROTOCOL.datagram, 1);
    opens(t, PROTOCOL.stream, 1);
    expect(t.seen).toEqual([]);
    const connected = intake(false, {});
    opens(connected, PROTOCOL.stream, 1);
    expect(connected.seen).toEqual(['stream']);
  });

  test('an unknown protocol is counted', () => {
    const t = intake();
    opens(t, 9, 1);
    expect(t.seen).toEqual([]);
    expect(t.counters.dropped('unknownProtocol')).toBe(1);
  });
});

describe('the gate', () => {
  const toTrust = packet({ localPort: PORT.trust }, { flags: FLAG.SYN });

  function gate(verdict: 'admit' | 'drop' | 'ask'): {
    gate: Gate;
    counters: Counters;
    asked: number[];
    noted: unknown[];
  } {
    const counters = new Counters();
    const asked: number[] = [];
    const noted: unknown[] = [];
    const trust = stub<Trust>({
      admits: () => verdict,
      noteRegistryAnswer: (_: number, __: number, answer: unknown) => noted.push(answer),
    });
    const directory = stub<Directory>({ trust: (_: number, peer: number) => asked.push(peer) });
    return { gate: new Gate({ trust, directory, counters }), counters, asked, noted };
  }

  test('a stranger may call port 444 four times at once and once a second', () => {
    const t = gate('drop');
    const calls = (now: number): boolean[] =>
      Array.from({ length: 6 }, () => t.gate.admitsStream(now, fakePeer(), toTrust));
    expect(calls(NOW).filter(Boolean).length).toBe(4);
    expect(calls(NOW + 1_000).filter(Boolean).length).toBe(1);
    expect(t.counters.dropped('synLimited')).toBe(7);
    expect(t.gate.admitsStream(NOW, fakePeer({ id: 3 }), toTrust)).toBe(true);
  });

  test('a trusted peer calls port 444 as often as it likes', () => {
    const t = gate('admit');
    const friend = fakePeer({ isTrusted: true });
    for (let i = 0; i < 100; i++) expect(t.gate.admitsStream(NOW, friend, toTrust)).toBe(true);
  });

  test('another port of ours is not open to a stranger', () => {
    const t = gate('drop');
    const call = packet({ localPort: 1_000 }, { flags: FLAG.SYN });
    expect(t.gate.admitsStream(NOW, fakePeer(), call)).toBe(false);
    expect(t.counters.dropped('untrusted')).toBe(1);
  });

  test('the registry is asked about 50 strangers a second; who comes then may be asked about next time', () => {
    const t = gate('ask');
    for (let id = 10; id < 110; id++) expect(t.gate.admits(NOW, fakePeer({ id }), 1_000)).toBe(false);
    expect(t.asked.length).toBe(50);
    expect(t.noted).toEqual(Array.from({ length: 50 }, () => undefined));
  });
});

describe('control packets', () => {
  function control(peer: Peer = fakePeer()) {
    const { engine } = fakeEngine();
    const { departures, staged } = fakeDepartures();
    const counters = new Counters();
    const made = new Control({ engine, departures, counters, random: (into) => into.fill(1) });
    const gets = (
      fields: Partial<StreamPacket>,
      segment: Partial<StreamPacket['segment']>,
      payload: Uint8Array = Uint8Array.of(1, 2, 3),
      from = DIRECT,
    ): void => made.handle(NOW, peer, packet(fields, segment), { payload, from });
    return { control: made, peer, staged, counters, gets };
  }

  test('a ping is answered with its bytes, its number and ACK', () => {
    const t = control();
    t.gets({}, {});
    expect(t.staged.length).toBe(1);
    const { fields, length } = t.staged[0]!;
    expect(fields).toMatchObject({ flags: FLAG.ACK, seq: 7, ack: 8, sourcePort: 0, destinationPort: 50_000 });
    expect(length).toBe(3);
  });

  test('what could be an answer is never answered', () => {
    const t = control();
    t.gets({}, { flags: FLAG.ACK });
    t.gets({}, { ack: 8 });
    t.gets({ peerPort: 0 }, {});
    expect(t.staged).toEqual([]);
    expect(t.counters.dropped('controlUnknown')).toBe(3);
  });

  test('a path probe of the existing network is answered though it has no source port', () => {
    const t = control();
    t.gets({ peerPort: 0 }, {}, PATH_PROBE);
    expect(t.staged.length).toBe(1);
  });

  test('a keepalive is not answered', () => {
    const t = control();
    t.gets({}, {}, new Uint8Array(0));
    t.gets({ peerPort: 0 }, {}, new Uint8Array(0));
    expect(t.staged).toEqual([]);
    expect(t.counters.drops()).toEqual({});
  });

  test('ten pings a second of a stranger are answered', () => {
    const t = control();
    for (let i = 0; i < 30; i++) t.gets({}, {});
    expect(t.staged.length).toBe(10);
    expect(t.counters.dropped('controlLimited')).toBe(20);
  });

  test('a ping that is larger than a segment is not answered', () => {
    const t = control();
    t.gets({}, {}, new Uint8Array(LIMITS.segmentBytes + 1));
    expect(t.staged).toEqual([]);
  });

  test('an answer goes back the way that the ping came', () => {
    const t = control();
    t.gets({}, {}, undefined, 3);
    t.gets({}, {}, undefined, NO_PATH);
    expect(t.staged.map(({ way }) => way.path)).toEqual([3, NO_PATH]);
  });

  test('a probe of the direct path is proven by a direct answer only, once', () => {
    let proven = 0;
    const path = { isRelayed: true, direct: DIRECT, handleDirectAnswer: () => (proven += 1) };
    const t = control(fakePeer({ path }));
    const answered = (from: number): void => {
      t.gets({ localPort: t.staged.at(-1)!.fields.sourcePort, peerPort: 0 }, { flags: FLAG.ACK }, undefined, from);
    };
    t.control.proveDirect(NOW, t.peer);
    expect(t.staged.at(-1)!.way.path).toBe(DIRECT);
    answered(NO_PATH);
    expect(proven).toBe(0);
    t.control.proveDirect(NOW, t.peer);
    answered(DIRECT);
    answered(DIRECT);
    expect(proven).toBe(1);
  });

  test('a ping is answered to the application once', () => {
    const t = control();
    t.control.ping(NOW, t.peer, { ticket: 9, payload: Uint8Array.of(1), deadline: NOW + 1_000 });
    const answer = { localPort: t.staged[0]!.fields.sourcePort, peerPort: 0 };
    for (let i = 0; i < 2; i++) t.gets(answer, { flags: FLAG.ACK });
    expect(t.control.pollAnswer()?.ticket).toBe(9);
    expect(t.control.pollAnswer()).toBeUndefined();
  });

  test('64 pings wait for a key; the next is told so', () => {
    const t = control(fakePeer({ exchange: { sendSession: () => -1 } }));
    for (let i = 1; i <= 65; i++) {
      t.control.ping(NOW, t.peer, { ticket: i, payload: Uint8Array.of(1), deadline: NOW + 1_000 });
    }
    expect(t.control.pollAnswer()).toMatchObject({ ticket: 65, outcome: { ok: false, code: 'BUSY' } });
    expect(t.control.pollAnswer()).toBeUndefined();
  });

  test('a keepalive names nobody but its sender', () => {
    const t = control();
    t.control.sendKeepalive(NOW, t.peer);
    expect(t.staged[0]).toMatchObject({ length: 0, fields: { destinationNode: 0, sourcePort: 0, destinationPort: 0 } });
  });
});
