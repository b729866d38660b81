/** Which packet belongs to which connection, which ports they get, and who may open one (DP 5.2, 5.4, 5.14, 5.19). */
import { describe, expect, test } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import type { Segment } from '../../src/core/connection.ts';
import { EVENT } from '../../src/core/events.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Peer } from '../../src/core/peer.ts';
import { Ports } from '../../src/core/ports.ts';
import { Counters } from '../../src/core/stats.ts';
import { type Stream, type StreamPacket, Streams } from '../../src/core/streams.ts';
import { createWasmEngine } from '../../src/engine/wasm.ts';
import { ACK, FIN, RST, SYN, seeded } from './connection-harness.ts';

const ENGINE = createWasmEngine({ sessions: 1 }, () => {});
const NOTHING = new Uint8Array(0);
const FIRST = 49_152;
const COUNT = 65_536 - FIRST;

/** The table of one endpoint; the test is the other end of everything. */
class Side {
  now = 1000;
  readonly ports: Ports;
  readonly counters = new Counters();
  readonly table: Streams;
  readonly random = seeded(7);
  readonly #peers = new Map<number, Peer>();

  constructor(start = 0) {
    const random = (into: Uint8Array): void => {
      for (let i = 0; i < into.length; i++) into[i] = this.random() * 256;
    };
    this.ports = new Ports(start);
    this.table = new Streams({ ports: this.ports, pool: new BufferPool(), counters: this.counters, random });
  }

  peer(id: number, isTrusted = true): Peer {
    const known = this.#peers.get(id);
    if (known !== undefined) return known;
    const random = (into: Uint8Array): void => void into.fill(1);
    const shared = { engine: ENGINE, owner: 0, random, jobs: new Jobs(), counters: this.counters };
    const peer = new Peer({ ...shared, identity: 1, identityKey: new Uint8Array(32), nodeId: 1 }, id);
    peer.isTrusted = isTrusted;
    this.#peers.set(id, peer);
    return peer;
  }

  /** A packet comes. @param at - Ours and the peer's port, and networks where they matter. */
  gets(
    peer: Peer,
    at: Partial<StreamPacket> & { localPort: number; peerPort: number },
    fields: Partial<Segment>,
  ): void {
    const segment = { flags: 0, seq: 0, ack: 0, windowSegments: 512, payloadLength: 0, ...fields };
    this.table.handle(this.now, peer, { network: 0, localNetwork: 0, ...at, segment }, NOTHING);
  }

  /** What a stream sends now. */
  drain(stream: Stream): Segment[] {
    const sent: Segment[] = [];
    const out: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
    while (stream.connection.pollTransmit(this.now, out)) sent.push({ ...out });
    this.table.settle(this.now, stream);
    return sent;
  }

  resets(): number[] {
    const ports: number[] = [];
    for (let reset = this.table.pollReset(); reset; reset = this.table.pollReset()) ports.push(reset.packet.peerPort);
    return ports;
  }

  news(): string[] {
    const names: string[] = [];
    for (let next = this.table.pollNews(); next; next = this.table.pollNews()) {
      const isClosed = next.type === 'bits' && (next.bits & EVENT.closed) !== 0;
      names.push(next.type === 'accepted' ? 'accepted' : isClosed ? 'closed' : 'bits');
    }
    return names;
  }

  dial(peer: Peer, port = 1000): Stream {
    return this.table.dial(this.now, peer, { network: 0, port })!;
  }

  /** A dial that is answered. */
  connect(peer: Peer, port = 1000): Stream {
    const stream = this.dial(peer, port);
    const [syn] = this.drain(stream);
    this.gets(peer, { localPort: stream.localPort, peerPort: port }, { flags: SYN | ACK, ack: (syn!.seq + 1) >>> 0 });
    this.drain(stream);
    return stream;
  }

  end(stream: Stream): void {
    stream.connection.abort(this.now);
    this.table.touch(this.now, stream);
    this.drain(stream);
  }
}

describe('ephemeral ports', () => {
  test('begin where the caller says, end at 65535 and go round', () => {
    const ports = new Ports(COUNT - 2);
    const got = [0, 1, 2].map(() => ports.ephemeral(0, 7, () => false));
    expect(got).toEqual([65_534, 65_535, FIRST]);
  });

  test('are none that somebody listens on or takes datagrams at', () => {
    const ports = new Ports(0);
    ports.listen(FIRST);
    ports.bindDatagrams(FIRST + 1);
    expect(ports.ephemeral(0, 7, () => false)).toBe(FIRST + 2);
  });

  test('a pair of peer and port is not used again within 30 s', () => {
    const side = new Side();
    const bob = side.peer(2);
    const carol = side.peer(3);
    const stream = side.connect(bob);
    expect(stream.localPort).toBe(FIRST);
    side.end(stream);
    const isUsed = (port: number): boolean => port !== FIRST;
    side.now += 29_999;
    expect(side.ports.ephemeral(side.now, bob.id, isUsed)).toBeUndefined();
    expect(side.ports.ephemeral(side.now, carol.id, isUsed)).toBe(FIRST);
    side.now += 1;
    expect(side.ports.ephemeral(side.now, bob.id, isUsed)).toBe(FIRST);
  });

  test('a port that a connection to the same place has is not used again', () => {
    const side = new Side();
    const bob = side.peer(2);
    const first = side.connect(bob);
    for (let i = 1; i < COUNT; i++) side.ports.ephemeral(0, 9, () => false);
    expect(side.dial(bob).localPort).toBe(first.localPort + 1);
  });
});

describe('a dial', () => {
  test('draws a random number below 2^30', () => {
    const side = new Side();
    const numbers = Array.from({ length: 200 }, () => side.drain(side.dial(side.peer(2)))[0]!.seq);
    expect(new Set(numbers).size).toBe(200);
    for (const number of numbers) expect(number).toBeLessThan(2 ** 30);
  });

  test('that meets a stale entry is reset and made again from another port', () => {
    const side = new Side();
    const bob = side.peer(2);
    const stream = side.dial(bob);
    const [syn] = side.drain(stream);
    const before = stream.localPort;
    side.gets(bob, { localPort: before, peerPort: 1000 }, { flags: SYN | ACK, ack: (syn!.seq + 77) >>> 0 });
    expect(side.news()).toEqual([]);
    expect(stream.localPort).not.toBe(before);
    expect(side.resets()).toEqual([1000]);
    expect(side.drain(stream)[0]!.flags).toBe(SYN);
    expect(stream.connection.state).toBe('SYN_SENT');
  });

  test('gives that up after three ports', () => {
    const side = new Side();
    const bob = side.peer(2);
    const stream = side.dial(bob);
    for (let i = 0; i < 4; i++) {
      const [syn] = side.drain(stream);
      const at = { localPort: stream.localPort, peerPort: 1000 };
      side.gets(bob, at, { flags: SYN | ACK, ack: (syn!.seq + 77) >>> 0 });
    }
    expect(side.news()).toEqual(['closed']);
    expect(stream.connection.error).toBe('CONNECTION_RESET');
  });
});

describe('a SYN', () => {
  const listening = (): { side: Side; bob: Peer } => {
    const side = new Side();
    side.ports.listen(1000);
    return { side, bob: side.peer(2) };
  };

  test('to a port where nobody listens is reset', () => {
    const { side, bob } = listening();
    side.gets(bob, { localPort: 1001, peerPort: 5 }, { flags: SYN });
    expect(side.resets()).toEqual([5]);
    expect(side.table.size).toBe(0);
  });

  test('opens a connection that the application hears of with the final ACK', () => {
    const { side, bob } = listening();
    side.gets(bob, { localPort: 1000, peerPort: 5 }, { flags: SYN, seq: 9 });
    const [stream] = [...side.table.all()];
    const [answer] = side.drain(stream!);
    expect(answer).toMatchObject({ flags: SYN | ACK, ack: 10 });
    expect(side.news()).toEqual([]);
    side.gets(bob, { localPort: 1000, peerPort: 5 }, { flags: ACK, seq: 10, ack: (answer!.seq + 1) >>> 0 });
    expect(side.news()).toEqual(['accepted', 'bits']);
  });

  test('again, with any number, belongs to the connection that is there', () => {
    const { side, bob } = listening();
    for (const seq of [9, 9, 4711]) side.gets(bob, { localPort: 1000, peerPort: 5 }, { flags: SYN, seq });
    expect(side.table.size).toBe(1);
  });

  test('from another network, node or port is another connection', () => {
    const { side, bob } = listening();
    side.gets(bob, { localPort: 1000, peerPort: 5 }, { flags: SYN });
    side.gets(bob, { localPort: 1000, peerPort: 6 }, { flags: SYN });
    side.gets(bob, { localPort: 1000, peerPort: 5, network: 3, localNetwork: 3 }, { flags: SYN });
    side.gets(side.peer(3), { localPort: 1000, peerPort: 5 }, { flags: SYN });
    expect(side.table.size).toBe(4);
    expect([...side.table.all()].map(({ network }) => network)).toEqual([0, 0, 3, 0]);
  });

  test('that meets TIME_WAIT is a new connection', () => {
    const { side, bob } = listening();
    const at = { localPort: 1000, peerPort: 5 };
    side.gets(bob, at, { flags: SYN, seq: 9 });
    const [old] = [...side.table.all()];
    const [answer] = side.drain(old!);
    side.gets(bob, at, { flags: ACK, seq: 10, ack: (answer!.seq + 1) >>> 0 });
    side.gets(bob, at, { flags: FIN, seq: 10 });
    side.drain(old!);
    expect(old!.connection.state).toBe('TIME_WAIT');
    side.gets(bob, at, { flags: SYN, seq: 500 });
    const [fresh] = [...side.table.all()];
    expect(fresh).not.toBe(old);
    expect(side.drain(fresh!)[0]).toMatchObject({ flags: SYN | ACK, ack: 501 });
  });

  test('of a stranger is limited to 10 a second, 64 at once; the others make no sound', () => {
    const { side } = listening();
    const stranger = side.peer(9, false);
    for (let i = 0; i < 64; i++) {
      side.gets(stranger, { localPort: 1000, peerPort: i }, { flags: SYN });
      side.gets(stranger, { localPort: 1000, peerPort: i }, { flags: RST });
      for (const stream of side.table.all()) side.end(stream);
    }
    expect(side.counters.dropped('synLimited')).toBe(0);
    side.gets(stranger, { localPort: 1000, peerPort: 900 }, { flags: SYN });
    expect(side.counters.dropped('synLimited')).toBe(1);
    expect(side.resets()).toEqual([]);
    side.now += 100;
    side.gets(stranger, { localPort: 1000, peerPort: 901 }, { flags: SYN });
    expect(side.table.size).toBe(1);
  });

  test('of one stranger leaves room for another and for trusted peers', () => {
    const { side, bob } = listening();
    for (let i = 0; i < 100; i++) side.gets(side.peer(9, false), { localPort: 1001, peerPort: i }, { flags: SYN });
    side.gets(side.peer(8, false), { localPort: 1000, peerPort: 1 }, { flags: SYN });
    side.gets(bob, { localPort: 1000, peerPort: 1 }, { flags: SYN });
    expect(side.table.size).toBe(2);
  });

  test('beyond 64 that nobody has taken is reset, until one of them is complete', () => {
    const { side, bob } = listening();
    for (let i = 0; i < 65; i++) side.gets(bob, { localPort: 1000, peerPort: i }, { flags: SYN });
    expect(side.table.size).toBe(64);
    expect(side.resets()).toEqual([64]);
    expect(side.counters.dropped('connectionsFull')).toBe(1);
    const [first] = [...side.table.all()];
    const [answer] = side.drain(first!);
    side.gets(bob, { localPort: 1000, peerPort: 0 }, { flags: ACK, seq: 1, ack: (answer!.seq + 1) >>> 0 });
    side.gets(bob, { localPort: 1000, peerPort: 70 }, { flags: SYN });
    expect(side.table.size).toBe(65);
  });

  test('that is forgotten gives its place in the queue back', () => {
    const { side, bob } = listening();
    for (let i = 0; i < 64; i++) side.gets(bob, { localPort: 1000, peerPort: i }, { flags: SYN });
    for (const stream of side.table.all()) side.end(stream);
    side.gets(bob, { localPort: 1000, peerPort: 70 }, { flags: SYN });
    expect(side.table.size).toBe(1);
  });
});

test('a packet for no connection is dropped without a sign', () => {
  const side = new Side();
  for (const flags of [ACK, FIN, FIN | ACK, RST, SYN | ACK, 0]) {
    side.gets(side.peer(2), { localPort: 1000, peerPort: 5 }, { flags });
  }
  expect(side.resets()).toEqual([]);
  expect(side.counters.dropped('noConnection')).toBe(6);
});

test('an answer from another network finds no connection', () => {
  const side = new Side();
  const bob = side.peer(2);
  const stream = side.dial(bob);
  const [syn] = side.drain(stream);
  const at = { localPort: stream.localPort, peerPort: 1000, network: 3, localNetwork: 3 };
  side.gets(bob, at, { flags: SYN | ACK, ack: (syn!.seq + 1) >>> 0 });
  expect(stream.connection.state).toBe('SYN_SENT');
});

test('a connection that ended leaves the table, and its port rests', () => {
  const side = new Side();
  const bob = side.peer(2);
  const stream = side.connect(bob);
  expect([side.table.size, bob.streams.size]).toEqual([1, 1]);
  side.end(stream);
  expect([side.table.size, bob.streams.size]).toEqual([0, 0]);
  expect(side.table.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('timers of all connections run when they are due', () => {
  const side = new Side();
  const streams = [side.dial(side.peer(2)), side.dial(side.peer(3))];
  for (const stream of streams) side.drain(stream);
  expect(side.table.pollTimeout()).toBe(side.now + 250);
  side.now += 250;
  side.table.handleTimeout(side.now);
  for (const stream of streams) expect(side.drain(stream)).toMatchObject([{ flags: SYN }]);
});
