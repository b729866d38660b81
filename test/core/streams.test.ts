/** Limits of the connection table, and what happens when one connection takes the place of another (DP 5.4, 5.19). */
import { expect, test } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import type { Segment } from '../../src/core/connection.ts';
import { EVENT } from '../../src/core/events.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Peer } from '../../src/core/peer.ts';
import { Ports } from '../../src/core/ports.ts';
import { Counters } from '../../src/core/stats.ts';
import { type Stream, type StreamPacket, Streams } from '../../src/core/streams.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { ACK, FIN, RST, SYN, seeded } from './connection-harness.ts';

const PORT = 1000;

class Table {
  now = 1_000;
  readonly ports: Ports = new Ports(0);
  readonly counters: Counters = new Counters();
  readonly streams: Streams;
  readonly #random = seeded(3);

  constructor() {
    const random = (into: Uint8Array): void => {
      for (let i = 0; i < into.length; i++) into[i] = this.#random() * 256;
    };
    this.streams = new Streams({ ports: this.ports, pool: new BufferPool(), counters: this.counters, random });
    this.ports.listen(PORT);
  }

  peer(id: number, isTrusted = true): Peer {
    const context = {
      engine: {} as Engine,
      owner: 0,
      random: () => {},
      jobs: new Jobs(),
      counters: this.counters,
      identity: 1,
      identityKey: new Uint8Array(32),
      nodeId: 1,
    };
    const peer = new Peer(context, id);
    peer.isTrusted = isTrusted;
    return peer;
  }

  gets(peer: Peer, ports: [ours: number, peers: number], fields: Partial<Segment>, data = ''): void {
    const payload = new TextEncoder().encode(data);
    const segment = { flags: 0, seq: 0, ack: 0, windowSegments: 512, payloadLength: payload.length, ...fields };
    const [localPort, peerPort] = ports;
    const packet: StreamPacket = { network: 0, localNetwork: 0, localPort, peerPort, segment };
    this.streams.handle(this.now, peer, packet, payload);
  }

  /** What the table wants sent, as the pump takes it. */
  drain(): { stream: Stream; segment: Segment }[] {
    const sent: { stream: Stream; segment: Segment }[] = [];
    const out: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
    for (const stream of [...this.streams.ready()]) {
      while (stream.connection.pollTransmit(this.now, out)) sent.push({ stream, segment: { ...out } });
      this.streams.settle(this.now, stream);
    }
    return sent;
  }

  news(): { type: string; id: number; bits: number }[] {
    const all: { type: string; id: number; bits: number }[] = [];
    for (let next = this.streams.pollNews(); next !== undefined; next = this.streams.pollNews()) {
      all.push({ type: next.type, id: next.stream.id, bits: next.type === 'bits' ? next.bits : 0 });
    }
    return all;
  }

  resets(): number {
    let count = 0;
    while (this.streams.pollReset() !== undefined) count += 1;
    return count;
  }

  /** Opens a connection of the peer to our port; the peer's next number is 10 then. */
  accept(peer: Peer, peerPort: number): Stream {
    this.gets(peer, [PORT, peerPort], { flags: SYN, seq: 9 });
    const answer = this.drain().at(-1)!;
    this.gets(peer, [PORT, peerPort], { flags: ACK, seq: 10, ack: (answer.segment.seq + 1) >>> 0 });
    this.drain();
    this.news();
    return answer.stream;
  }
}

test('half-open connections of a stranger leave trusted peers their own 64 places', () => {
  const t = new Table();
  const stranger = t.peer(9, false);
  for (let i = 0; i < 64; i++) t.gets(stranger, [PORT, i], { flags: SYN });
  expect(t.streams.size).toBe(64);
  t.now += 1_000;
  t.gets(stranger, [PORT, 100], { flags: SYN });
  expect(t.resets()).toBe(1);
  const friend = t.peer(2);
  for (let i = 0; i < 65; i++) t.gets(friend, [PORT, i], { flags: SYN });
  expect(t.streams.size).toBe(128);
  expect(t.resets()).toBe(1);
  expect(t.counters.dropped('connectionsFull')).toBe(2);
});

test('a port takes 1024 connections of each kind of peer', () => {
  const t = new Table();
  const friend = t.peer(2);
  for (let i = 0; i < 1_024; i++) t.accept(friend, i);
  t.gets(friend, [PORT, 2_000], { flags: SYN });
  expect(t.resets()).toBe(1);
  t.accept(t.peer(9, false), 1);
  expect(t.streams.size).toBe(1_025);
});

test('a queue that was full takes calls again when what stood in it timed out', () => {
  const t = new Table();
  const friend = t.peer(2);
  for (let i = 0; i < 64; i++) t.gets(friend, [PORT, i], { flags: SYN });
  t.drain();
  for (let left = 31_000; left > 0; left -= 500) {
    t.now += 500;
    t.streams.handleTimeout(t.now);
    t.drain();
  }
  expect(t.streams.size).toBe(0);
  t.gets(friend, [PORT, 70], { flags: SYN });
  expect(t.streams.size).toBe(1);
});

test('a listener that went and came again owes its queue nothing', () => {
  const t = new Table();
  const friend = t.peer(2);
  t.gets(friend, [PORT, 5], { flags: SYN });
  t.ports.unlisten(PORT);
  t.gets(friend, [PORT, 6], { flags: SYN });
  expect(t.resets()).toBe(1);
  t.ports.listen(PORT);
  const [first] = t.drain();
  t.gets(friend, [PORT, 5], { flags: ACK, seq: 1, ack: (first!.segment.seq + 1) >>> 0 });
  expect(t.news().map(({ type }) => type)).toEqual(['accepted', 'bits']);
  expect(t.ports.listener(PORT)!.backlog).toEqual([0, 0]);
});

test('calls to closed ports cause a bounded number of answers', () => {
  const t = new Table();
  const friend = t.peer(2);
  for (let i = 0; i < 5_000; i++) t.gets(friend, [7_777, i], { flags: SYN });
  expect(t.resets()).toBe(256);
  expect(t.streams.size).toBe(0);
});

test('redials of a dial that meets stale entries leave no count behind', () => {
  const t = new Table();
  const friend = t.peer(2);
  const stream = t.streams.dial(t.now, friend, { network: 0, port: 80 })!;
  const first = stream.localPort;
  const [syn] = t.drain();
  t.gets(friend, [first, 80], { flags: SYN | ACK, ack: (syn!.segment.seq + 5) >>> 0 });
  expect(stream.localPort).not.toBe(first);
  t.drain();
  stream.connection.abort(t.now);
  t.streams.touch(t.now, stream);
  t.drain();
  expect([t.streams.size, friend.streams.size]).toEqual([0, 0]);
  expect(t.resets()).toBe(1);
  // The first port counts nothing any more: 1024 calls to it fit.
  t.ports.listen(first);
  for (let i = 0; i < 1_024; i++) {
    t.gets(friend, [first, i + 100], { flags: SYN });
    const answer = t.drain().at(-1)!;
    t.gets(friend, [first, i + 100], { flags: ACK, seq: 1, ack: (answer.segment.seq + 1) >>> 0 });
  }
  expect(t.streams.size).toBe(1_024);
  expect(t.resets()).toBe(0);
});

test('a connection that left the table and is touched again is not counted off twice', () => {
  const t = new Table();
  const friend = t.peer(2);
  const streams = Array.from({ length: 1_024 }, (_, i) => t.accept(friend, i));
  const [gone] = streams;
  gone!.connection.abort(t.now);
  for (let i = 0; i < 3; i++) {
    t.streams.touch(t.now, gone!);
    t.drain();
  }
  expect(t.streams.ready().size).toBe(0);
  t.accept(friend, 2_000);
  t.gets(friend, [PORT, 2_001], { flags: SYN });
  expect(t.resets()).toBe(1);
  expect(t.streams.size).toBe(1_024);
});

test('a SYN in TIME_WAIT takes nothing from the application that has not read all yet', () => {
  const t = new Table();
  const friend = t.peer(2);
  const old = t.accept(friend, 6);
  t.gets(friend, [PORT, 6], { flags: ACK, seq: 10 }, 'rest');
  t.gets(friend, [PORT, 6], { flags: FIN, seq: 14 });
  t.drain();
  t.news();
  expect(old.connection.state).toBe('TIME_WAIT');
  t.gets(friend, [PORT, 6], { flags: SYN, seq: 500 });
  expect(t.streams.get(old.id)).toBe(old);
  const into = new Uint8Array(10);
  expect(old.connection.read(into)).toBe(4);
  expect(new TextDecoder().decode(into.subarray(0, 4))).toBe('rest');
  const fresh = t.streams.find(friend, { network: 0, localNetwork: 0, localPort: PORT, peerPort: 6 })!;
  expect(fresh.id).not.toBe(old.id);
  for (let left = 11_000; left > 0; left -= 500) {
    t.now += 500;
    t.streams.handleTimeout(t.now);
    t.drain();
  }
  expect(t.streams.get(old.id)).toBeUndefined();
  expect(friend.streams.size).toBe(1);
  expect(t.streams.find(friend, { network: 0, localNetwork: 0, localPort: PORT, peerPort: 6 })).toBe(fresh);
});

test('a connection that gives way to a SYN is closed for the application', () => {
  const t = new Table();
  const friend = t.peer(2);
  const old = t.accept(friend, 5);
  t.gets(friend, [PORT, 5], { flags: FIN, seq: 10 });
  t.drain();
  expect(old.connection.state).toBe('TIME_WAIT');
  t.news();
  t.gets(friend, [PORT, 5], { flags: SYN, seq: 500 });
  expect(t.news()).toEqual([{ type: 'bits', id: old.id, bits: EVENT.closed }]);
  expect(t.streams.get(old.id)).toBeUndefined();
});

test('the SYN of a peer that was restarted behind its FIN opens a connection at once', () => {
  const t = new Table();
  const friend = t.peer(2);
  const old = t.accept(friend, 5);
  // A FIN ahead of data that is missing.
  t.gets(friend, [PORT, 5], { flags: FIN, seq: 500 });
  t.drain();
  t.news();
  expect(old.connection.state).toBe('ESTABLISHED');
  t.gets(friend, [PORT, 5], { flags: SYN, seq: 77 });
  expect(old.connection.error).toBe('CONNECTION_LOST');
  const [answer] = t.drain();
  expect(answer!.segment).toMatchObject({ flags: SYN | ACK, ack: 78 });
  const closed = t.news();
  expect(closed).toHaveLength(1);
  expect(closed[0]).toMatchObject({ type: 'bits', id: old.id });
  expect(closed[0]!.bits & EVENT.closed).toBe(EVENT.closed);
});

test('a RST answers no RST', () => {
  const t = new Table();
  t.gets(t.peer(2), [7_777, 5], { flags: RST });
  t.gets(t.peer(2), [7_777, 5], { flags: SYN | RST | ACK });
  expect(t.resets()).toBe(0);
});
