import { beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Peer } from '../../src/core/peer.ts';
import { Counters } from '../../src/core/stats.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { Capabilities } from '../../src/wire/control.ts';

const OURS: Capabilities = { version: 1, bits: 1, segmentBytes: 1_152, receiveBytes: 1_048_576 };
const NEVER = Number.POSITIVE_INFINITY;
const DATAGRAM = { ticket: 1, network: 0, sourcePort: 0, port: 5, bytes: new Uint8Array(3) };

let peer: Peer;
let jobs: Jobs;
beforeEach(() => {
  jobs = new Jobs();
  const context = {
    engine: { install: () => 0, wipe: () => {} } as unknown as Engine,
    owner: 0,
    random: () => {},
    jobs,
    counters: new Counters(),
    identity: 1,
    identityKey: new Uint8Array(32),
    nodeId: 1,
  };
  peer = new Peer(context, 2);
  // As the peer table does for a new one.
  peer.sentAt = 0;
});

/** When capabilities are to be sent from `from` to `to`, or found lost. */
function schedule(from: number, to: number): [number, string][] {
  const found: [number, string][] = [];
  for (let now = from; now <= to; now += 50) {
    const step = peer.pollCapabilities(now);
    if (step !== undefined) found.push([now, step]);
    expect(peer.pollTimeout(), 'a timer that is due again and again').toBeGreaterThan(now);
  }
  return found;
}

test('capabilities go at 0, 0.25, 1 and 4 s until the other side told its own', () => {
  peer.startCapabilities(0);
  expect(schedule(0, 20_000)).toEqual([
    [0, 'send'],
    [250, 'send'],
    [1_000, 'send'],
    [4_000, 'send'],
  ]);
});

test('once the other side told its own they are not repeated', () => {
  peer.startCapabilities(0);
  expect(peer.pollCapabilities(0)).toBe('send');
  peer.handleCapabilities(100, OURS);
  expect(schedule(150, 20_000)).toEqual([]);
  expect(peer.isOwn).toBe(true);
});

test('capabilities that came before ours left are answered once', () => {
  peer.startCapabilities(0);
  peer.handleCapabilities(0, OURS);
  expect(schedule(0, 20_000)).toEqual([[0, 'send']]);
});

test('a repetition says that ours were lost: they go again, a few times', () => {
  peer.startCapabilities(0);
  peer.pollCapabilities(0);
  peer.handleCapabilities(10, OURS);
  let sent = 0;
  for (let now = 50; now < 50_000; now += 50) {
    peer.handleCapabilities(now, OURS);
    if (peer.pollCapabilities(now) === 'send') sent += 1;
  }
  expect(sent).toBe(4);
});

test('capabilities hold for one session; a peer that had some and tells none is counted', () => {
  peer.startCapabilities(0);
  peer.handleCapabilities(10, OURS);
  peer.startCapabilities(60_000);
  expect(peer.isOwn).toBe(false);
  expect(schedule(60_000, 80_000).at(-1)).toEqual([65_000, 'lost']);
  peer.startCapabilities(90_000);
  peer.handleCapabilities(90_000, { ...OURS, bits: 0 });
  expect(peer.isOwn).toBe(false);
});

test('a keepalive is due 25 s after the last send to a peer in use, when there is a key', () => {
  peer.sentAt = 10_000;
  peer.usedAt = 10_000;
  expect(peer.keepaliveAt()).toBe(NEVER);
  const key = new Uint8Array(32).fill(9);
  peer.exchange.handleVerified(0, key);
  const made = { exchange: 1, publicKey: key };
  for (const result of [made, new Uint8Array(64), key.slice()]) jobs.handle(0, jobs.poll()!.id, result);
  expect(peer.exchange.hasSession).toBe(true);
  expect(peer.keepaliveAt()).toBe(35_000);
  peer.usedAt = -90_000;
  expect(peer.keepaliveAt()).toBe(NEVER);
  peer.streams.set(1, 1);
  expect(peer.keepaliveAt()).toBe(35_000);
});

test('a peer is forgotten 5 min after the last frame or contact', () => {
  expect(peer.forgetAt()).toBe(300_000);
  peer.receivedAt = 10_000;
  expect(peer.forgetAt()).toBe(310_000);
  peer.contactedAt = 20_000;
  expect(peer.forgetAt()).toBe(320_000);
  expect([peer.isWanted(49_999), peer.isWanted(50_000)]).toEqual([true, false]);
});

test('a ping with a long deadline does not make the forgetting due again and again', () => {
  peer.contactedAt = 0;
  peer.waitingPings.push({ ticket: 1, deadline: 900_000, payload: new Uint8Array(1) });
  expect(peer.isWanted(600_000)).toBe(true);
  expect(peer.forgetAt()).toBe(NEVER);
  expect(peer.pollTimeout()).toBe(900_000);
  peer.waitingPings.length = 0;
  peer.addPing(50_000, { ticket: 1, sentAt: 0, deadline: 800_000, isProbe: false, bytes: 1 });
  expect(peer.pollTimeout()).toBe(800_000);
});

test('waiting datagrams are bounded', () => {
  for (let i = 0; i < LIMITS.pendingPackets; i++) expect(peer.queue(DATAGRAM)).toBe(true);
  expect(peer.queue(DATAGRAM)).toBe(false);
  expect(peer.isWanted(1e9)).toBe(true);
});

test('pings under way are bounded', () => {
  const ping = { ticket: 1, sentAt: 0, deadline: 1, isProbe: false, bytes: 1 };
  for (let i = 0; i < 64; i++) expect(peer.addPing(50_000 + i, ping)).toBe(true);
  expect(peer.addPing(60_000, ping)).toBe(false);
});

test('nobody is woken every 15 s for the path to a relayed peer that the application left', () => {
  peer.contactedAt = 0;
  peer.usedAt = 0;
  peer.path.handleUnanswered(0);
  expect(peer.pollTimeout()).toBe(15_000);
  let wakes = 0;
  for (let now = peer.pollTimeout(); now < 280_000; now = peer.pollTimeout()) {
    peer.path.handleTimeout(now);
    wakes += 1;
  }
  expect(wakes).toBeLessThan(20);
  expect(peer.pollTimeout()).toBe(300_000);
  peer.streams.set(1, 1);
  expect(peer.pollTimeout()).toBeLessThan(300_000);
});

test('streams through the relay send segments that every path carries', () => {
  peer.handleCapabilities(0, { version: 1, bits: 3, segmentBytes: 65_408, receiveBytes: 1 });
  peer.path.handleDirect(0, 5);
  expect(peer.wantLarger(0, 1_472)).toBe(true);
  const probe = peer.mtu!.poll()!;
  peer.mtu!.handleAnswer(1, probe.number);
  expect(peer.segmentBytes).toBe(1_402);
  peer.path.handleUnanswered(2);
  expect(peer.path.isRelayed).toBe(true);
  expect(peer.segmentBytes).toBe(1_152);
  expect(peer.wantLarger(3, 1_472)).toBe(false);
});
