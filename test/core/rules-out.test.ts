/**
 * Single rules of tables and ways out, each part alone against stand-ins: who leaves a full table, what waits, how fast
 * things go out, who owns a slot.
 */
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import { BufferPool } from '../../src/core/buffer.ts';
import { Datagrams } from '../../src/core/datagrams.ts';
import { Departures, type PacketFields } from '../../src/core/departures.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Outbox } from '../../src/core/outbox.ts';
import { NO_PATH, Paths } from '../../src/core/paths.ts';
import type { Peer } from '../../src/core/peer.ts';
import { Peers } from '../../src/core/peers.ts';
import { Ports } from '../../src/core/ports.ts';
import { Pump } from '../../src/core/pump.ts';
import { Counters } from '../../src/core/stats.ts';
import { Streams } from '../../src/core/streams.ts';
import { STATUS, TX } from '../../src/engine/engine.ts';
import { parseBeacon } from '../../src/wire/beacon.ts';
import { FLAG } from '../../src/wire/packet.ts';
import { DIRECT, fakeDepartures, fakeEngine, fakePeer, NOW, packet, stub } from './rules-rig.ts';

describe('a full peer table', () => {
  function table(): Peers {
    const context = {
      engine: fakeEngine().engine,
      owner: 0,
      random: () => {},
      jobs: new Jobs(),
      counters: new Counters(),
      identity: 1,
      identityKey: new Uint8Array(32),
      nodeId: 1,
    };
    return new Peers(context, new Paths());
  }

  test('strangers have a part of it, in which the oldest gives way', () => {
    const peers = table();
    for (let id = 10; id < 10 + LIMITS.strangerPeers + 5; id++) expect(peers.obtain(NOW, id, false)).toBeDefined();
    expect(peers.size).toBe(LIMITS.strangerPeers);
    expect(peers.get(10)).toBeUndefined();
    expect(peers.obtain(NOW, 5, true)).toBeDefined();
    expect(peers.size).toBe(LIMITS.strangerPeers + 1);
  });

  test('peers with trust, connections or a contact of ours stay', () => {
    const peers = table();
    const friend = peers.obtain(NOW, 2, true)!;
    const connected = peers.obtain(NOW, 3, false)!;
    connected.streams.set(1, 1);
    const contacted = peers.obtain(NOW, 4, false)!;
    contacted.contactedAt = NOW;
    for (let id = 10; id < 10 + 2 * LIMITS.strangerPeers; id++) peers.obtain(NOW, id, false);
    expect([2, 3, 4].map((id) => peers.get(id))).toEqual([friend, connected, contacted]);
  });

  test('nobody is let in when all may stay', () => {
    const peers = table();
    for (let id = 10; id < 10 + LIMITS.strangerPeers; id++) peers.obtain(NOW, id, false)!.contactedAt = NOW;
    expect(peers.obtain(NOW, 5, false)).toBeUndefined();
    expect(peers.obtain(NOW, 5, true)).toBeDefined();
  });

  test('whoever leaves loses its keys', () => {
    const peers = table();
    const peer = peers.obtain(NOW, 2, false)!;
    let closed = 0;
    peer.exchange.close = () => {
      closed += 1;
    };
    peers.remove(peer);
    peers.remove(peer);
    expect(closed).toBe(1);
  });
});

describe('datagrams that came', () => {
  function datagrams(): { datagrams: Datagrams; counters: Counters } {
    const { departures } = fakeDepartures();
    const counters = new Counters();
    const ports = new Ports(0);
    ports.bindDatagrams(5_000);
    return { datagrams: new Datagrams({ engine: fakeEngine().engine, departures, ports, counters }), counters };
  }

  test('are dropped where nobody listens', () => {
    const t = datagrams();
    t.datagrams.handle(fakePeer(), packet({ localPort: 5_001 }), Uint8Array.of(1));
    expect(t.datagrams.poll()).toBeUndefined();
    expect(t.counters.dropped('datagramNoListener')).toBe(1);
  });

  test('are dropped when 1,024 wait', () => {
    const t = datagrams();
    for (let i = 0; i < LIMITS.datagramQueue + 3; i++) {
      t.datagrams.handle(fakePeer(), packet({ localPort: 5_000 }), Uint8Array.of(1));
    }
    expect(t.counters.dropped('datagramQueueFull')).toBe(3);
    let taken = 0;
    while (t.datagrams.poll() !== undefined) taken += 1;
    expect(taken).toBe(LIMITS.datagramQueue);
  });
});

describe('what goes out', () => {
  function departures(status: number = STATUS.OK) {
    const { engine, released } = fakeEngine();
    const outbox = new Outbox();
    const counters = new Counters();
    const made = new Departures(engine, outbox, counters);
    made.nodeId = 1;
    made.beaconPath = 3;
    /** Stages one packet to node 2. */
    const leaves = (path: number): number => {
      const slot = made.claim(10);
      const fields: PacketFields = {
        ...{ protocol: 1, flags: 0, sourceNetwork: 0, destinationNetwork: 0, destinationNode: 2 },
        ...{ sourcePort: 1, destinationPort: 2, seq: 0, ack: 0, windowSegments: 0 },
      };
      made.stage(slot, 10, fields, { session: 1, peer: 2, path });
      engine.transmit[TX.status] = status;
      engine.transmit[TX.frameLen] = 80;
      made.seal();
      return slot;
    };
    return { departures: made, engine, released, outbox, counters, leaves };
  }

  test('a slot stays lent until the driver gives it back', () => {
    const t = departures();
    const slot = t.leaves(DIRECT);
    expect(t.engine.transmit[TX.sourceNode]).toBe(1);
    expect(t.outbox.poll()).toMatchObject({ token: slot, path: DIRECT });
    expect(t.released).toEqual([]);
    t.departures.unclaim(slot);
    expect(t.released).toEqual([slot]);
  });

  test('what goes through the beacon names sender and receiver', () => {
    const t = departures();
    t.leaves(NO_PATH);
    const next = t.outbox.poll()!;
    expect(next.path).toBe(3);
    expect(parseBeacon(next.bytes)).toMatchObject({ type: 'relay', sender: 1, destination: 2 });
  });

  test('a slot that cannot leave is free again at once', () => {
    const away = departures();
    away.departures.beaconPath = NO_PATH;
    expect(away.released).toEqual([away.leaves(NO_PATH)]);
    expect(away.counters.dropped('noPath')).toBe(1);
    const spent = departures(STATUS.NO_SESSION);
    expect(spent.released).toEqual([spent.leaves(DIRECT)]);
    expect(spent.departures.pollExhausted()).toEqual({ peer: 2, session: 1 });
  });

  test('a RST comes from the port that was called', () => {
    const t = pump(fakePeer());
    t.streams.handle(NOW, fakePeer(), packet({ localPort: 1_000 }, { flags: FLAG.SYN }), new Uint8Array(0));
    t.fill(NOW);
    expect(t.staged[0]?.fields).toMatchObject({ flags: FLAG.RST, sourcePort: 1_000, destinationPort: 50_000 });
  });

  function pump(peer: Peer) {
    const { engine } = fakeEngine();
    const { departures, staged } = fakeDepartures();
    const parts = { ports: new Ports(0), pool: new BufferPool(), counters: new Counters(), random: () => {} };
    const streams = new Streams(parts);
    const asked = { count: 0 };
    const made = new Pump({
      ...{
        engine,
        streams,
        departures,
        peers: stub<Peers>({ schedule: () => {}, touch: () => {} }),
        paths: stub<Paths>({ host: () => '198.51.100.2' }),
      },
      datagramBytes: () => {
        asked.count += 1;
        return 1_452;
      },
    });
    const fill = (now: number): number => {
      const before = staged.length;
      made.handleTimeout(now);
      while (made.fill(now));
      return staged.length - before;
    };
    const dial = (count: number): void => {
      for (let i = 0; i < count; i++) streams.dial(NOW, peer, { network: 0, port: 1_000 + i });
    };
    return { pump: made, streams, staged, fill, dial, asked };
  }

  test('at most ten SYNs a second go to a peer of the existing network, all at once to one of ours', () => {
    const t = pump(fakePeer());
    t.dial(60);
    const atOnce = t.fill(NOW);
    expect(atOnce).toBeGreaterThan(0);
    expect(atOnce).toBe(10);
    let later = 0;
    for (let ms = 100; ms <= 1_000; ms += 100) later += t.fill(NOW + ms);
    expect(later).toBeGreaterThan(0);
    expect(later).toBeLessThanOrEqual(10);
    const own = pump(fakePeer({ isOwn: true }));
    own.dial(60);
    expect(own.fill(NOW)).toBe(60);
  });

  test('how large datagrams may be is asked only where a probe is to follow', () => {
    for (const isSizeOpen of [false, true]) {
      const t = pump(fakePeer({ isSizeOpen, segmentBytes: 1_152, wantLarger: () => false }));
      t.dial(1);
      t.fill(NOW);
      const [stream] = [...t.streams.all()];
      const answer = { flags: FLAG.SYN | FLAG.ACK, seq: 0, ack: t.staged[0]!.fields.seq + 1, windowSegments: 512 };
      stream!.connection.handleSegment(NOW, { ...answer, payloadLength: 0 }, new Uint8Array(0));
      stream!.connection.write(new Uint8Array(5_000));
      t.streams.touch(NOW, stream!);
      t.fill(NOW);
      expect(t.asked.count > 0).toBe(isSizeOpen);
    }
  });

  test('at most 256 relayed packets leave at once and 4,000 a second behind them', () => {
    const t = pump(fakePeer({ isOwn: true, path: { isRelayed: true, direct: NO_PATH } }));
    t.dial(400);
    const atOnce = t.fill(NOW);
    expect(atOnce).toBeGreaterThan(0);
    expect(atOnce).toBe(256);
    const later = t.fill(NOW + 10);
    expect(later).toBeGreaterThan(0);
    expect(later).toBeLessThanOrEqual(40);
    const straight = pump(fakePeer({ isOwn: true }));
    straight.dial(400);
    expect(straight.fill(NOW)).toBe(400);
  });

  test('a SYN without answer goes through the relay too', () => {
    const t = pump(fakePeer());
    t.dial(1);
    expect(t.fill(NOW)).toBe(1);
    const again = t.streams.pollTimeout();
    t.streams.handleTimeout(again);
    expect(t.fill(again)).toBe(2);
    expect(t.staged.map(({ way }) => way.path)).toEqual([DIRECT, DIRECT, NO_PATH]);
    expect(t.staged[2]!.fields).toEqual(t.staged[1]!.fields);
  });
});
