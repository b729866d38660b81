import { expect, test } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import { Connection, type Segment } from '../../src/core/connection.ts';
import { OFFER, OURS, PEERS, sack, seeded } from './connection-harness.ts';

const MIB = 1024 * 1024;

/** A number near something that matters, or anywhere. */
function number(random: () => number, base: number): number {
  const near = base + Math.floor(random() * 3000) - 500;
  const wild = Math.floor(random() * 2 ** 32);
  return (random() < 0.8 ? near : wild) >>> 0;
}

function payload(random: () => number): Uint8Array {
  const kind = random();
  if (kind < 0.3) return new Uint8Array(0);
  if (kind < 0.5) {
    const pairs = Array.from({ length: 1 + Math.floor(random() * 4) }, (): [number, number] => [
      number(random, 0),
      number(random, 0),
    ]);
    return sack(OURS, ...pairs);
  }
  if (kind < 0.55) return OFFER;
  const size = random() < 0.05 ? 65_535 : Math.floor(random() * 2000);
  return new Uint8Array(size).fill(size);
}

/** @returns The most memory that the connection held. */
function attack(seed: number): number {
  const random = seeded(seed);
  const pool = new BufferPool();
  const role = random() < 0.5 ? 'dialler' : 'listener';
  const c = new Connection({ now: 0, role, initialSeq: OURS, offersOwn: random() < 0.5, pool });
  const out: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
  const memory = new Uint8Array(66_000);
  const into = new Uint8Array(3000);
  let now = 0;
  let most = 0;
  const open = (flags: number, bytes: Uint8Array) => {
    const segment = { flags, seq: PEERS, ack: OURS + 1, windowSegments: 300, payloadLength: bytes.length };
    c.handleSegment(now, segment, bytes);
  };
  if (random() < 0.9) {
    const bytes = random() < 0.5 ? OFFER : new Uint8Array(0);
    open(role === 'dialler' ? 3 : 1, bytes);
    if (role === 'listener')
      c.handleSegment(
        now,
        { flags: 2, seq: PEERS + 1, ack: OURS + 1, windowSegments: 1, payloadLength: 0 },
        into.subarray(0, 0),
      );
  }
  for (let i = 0; i < 400; i++) {
    const bytes = payload(random);
    // RST now and then: else nothing would live long enough to be attacked.
    const flags = random() < 0.75 ? 2 : Math.floor(random() * 16) & (random() < 0.02 ? 15 : 7);
    const segment: Segment = {
      flags,
      seq: number(random, PEERS),
      ack: number(random, OURS),
      windowSegments: random() < 0.3 ? 0 : Math.floor(random() * 65_536),
      payloadLength: bytes.length,
    };
    c.handleSegment(now, segment, bytes);
    const action = random();
    if (action < 0.3) c.write(bytes);
    else if (action < 0.5) c.read(into);
    else if (action < 0.505) c.shutdown(now);
    else if (action < 0.507) c.close(now);
    else if (action < 0.508) c.abort(now);
    for (let sent = 0; c.pollTransmit(now, out); sent++) {
      expect(sent, `seed ${seed}: packets in answer to one`).toBeLessThan(400);
      expect(out.payloadLength).toBeLessThanOrEqual(1152);
      for (const field of [out.seq, out.ack]) expect(field >>> 0, `seed ${seed}`).toBe(field);
      expect(out.windowSegments >= 0 && out.windowSegments <= 16_384, `seed ${seed}: window`).toBe(true);
      c.copyPayload(out, memory, 7);
    }
    now += random() < 0.1 ? random() * 5000 : random() * 5;
    if (c.pollTimeout() <= now) {
      c.handleTimeout(now);
      expect(c.pollTimeout(), `seed ${seed}: timer`).toBeGreaterThan(now);
    }
    most = Math.max(most, pool.used);
    expect(c.readableBytes).toBeLessThanOrEqual(MIB);
    c.takeEvents();
    c.stats();
  }
  c.abort(now);
  expect(c.state, `seed ${seed}`).toBe('CLOSED');
  expect(pool.used, `seed ${seed}: pool`).toBe(0);
  expect(c.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  return most;
}

test('random segments never throw, never stall a timer and never take memory beyond the limits', () => {
  let most = 0;
  for (let seed = 0; seed < 400; seed++) most = Math.max(most, attack(seed));
  expect(most).toBeGreaterThan(100_000);
  expect(most).toBeLessThanOrEqual(MIB + 256 * 1024);
});

test('a flood of segments behind a gap is bounded by slots and bytes', () => {
  const pool = new BufferPool();
  const c = new Connection({ now: 0, role: 'dialler', initialSeq: OURS, offersOwn: false, pool });
  c.handleSegment(0, { flags: 3, seq: 0, ack: OURS + 1, windowSegments: 1, payloadLength: 0 }, new Uint8Array(0));
  const bytes = new Uint8Array(65_535);
  for (let i = 0; i < 10_000; i++) {
    const segment = { flags: 2, seq: 2 + i * 32_768, ack: OURS + 1, windowSegments: 1, payloadLength: bytes.length };
    c.handleSegment(i, segment, bytes);
  }
  expect(pool.used).toBeLessThanOrEqual(MIB);
  expect(c.stats().drops.refused).toBeGreaterThan(9_900);
  expect(c.readableBytes).toBe(0);
});
