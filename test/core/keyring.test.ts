import { beforeEach, expect, test } from 'vitest';
import { Jobs } from '../../src/core/jobs.ts';
import { Keyring, type Session } from '../../src/core/keyring.ts';
import { Offer } from '../../src/core/offer.ts';
import type { Engine } from '../../src/engine/engine.ts';

const wiped: number[] = [];
const engine = { wipe: (index: number) => wiped.push(index) } as unknown as Engine;
const offerOf = (isOurs = false): Offer =>
  new Offer(new Jobs(), { peerId: 2, isOurs }, { exchange: 1, publicKey: new Uint8Array(32) }, new Uint8Array(144));
const keyOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

let ring: Keyring;
beforeEach(() => {
  wiped.length = 0;
  ring = new Keyring(engine);
});

function add(now: number, index: number, offer: Offer = offerOf()): Session {
  ring.add(now, index, { offer, peerKey: keyOf(index) });
  return ring.find(index)!;
}

/** A ring with a current session that authenticated something at `at`. */
function proven(at: number): Session {
  const current = add(at, 1);
  ring.handleAuthenticated(at, current);
  return current;
}

test('the first session sends at once, and is pinged after 250 and 1000 ms until it is proven', () => {
  const first = add(0, 1);
  expect(ring.sendSession(0)).toBe(1);
  expect([ring.isProven, ring.canSend]).toEqual([false, true]);
  const probes: [number, number][] = [];
  for (let now = 0; now <= 5_000; now += 50) {
    ring.handleTimeout(now);
    for (let at = ring.pollProbe(); at >= 0; at = ring.pollProbe()) probes.push([now, at]);
  }
  expect(probes).toEqual([
    [250, 1],
    [1_000, 1],
  ]);
  expect(ring.handleAuthenticated(5_000, first)).toBe('proven');
  expect(ring.handleAuthenticated(5_001, first)).toBeUndefined();
  expect(ring.isProven).toBe(true);
});

test('a wake-up that comes late sends one ping, not those that were missed', () => {
  add(0, 1);
  ring.handleTimeout(9_000);
  expect([ring.pollProbe(), ring.pollProbe()]).toEqual([1, -1]);
  expect(ring.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('a key in use goes on sending beside a candidate; the candidate alone is pinged', () => {
  proven(0);
  add(1_000, 2);
  expect([ring.pollProbe(), ring.pollProbe()]).toEqual([2, -1]);
  for (let now = 1_000; now < 3_000; now += 100) expect(ring.sendSession(now)).toBe(1);
});

test('a key that falls silent beside a candidate is pinged too, and data waits 500 ms for either', () => {
  const current = proven(0);
  add(1_000, 2);
  while (ring.pollProbe() >= 0);
  for (let now = 1_000; now < 3_000; now += 50) ring.handleTimeout(now);
  while (ring.pollProbe() >= 0);
  expect(ring.pollTimeout()).toBe(3_000);
  ring.handleTimeout(3_000);
  expect([ring.pollProbe(), ring.pollProbe()]).toEqual([2, 1]);
  expect(ring.sendSession(3_000)).toBe(-1);
  expect(ring.sendSession(3_499)).toBe(-1);
  expect(ring.sendSession(3_500)).toBe(2);
  expect(ring.pollTimeout()).toBe(3_500);
  ring.handleAuthenticated(3_100, current);
  expect(ring.sendSession(3_100)).toBe(1);
  // It won: a later silence changes nothing.
  expect(ring.sendSession(9_000)).toBe(1);
});

test('a frame under the candidate makes it the current key; the other receives 10 s more', () => {
  proven(0);
  const candidate = add(1_000, 2);
  expect(ring.handleAuthenticated(1_100, candidate)).toBe('replaced');
  expect(ring.sendSession(1_100)).toBe(2);
  ring.handleTimeout(11_099);
  expect(wiped).toEqual([]);
  expect(ring.pollTimeout()).toBe(11_100);
  ring.handleTimeout(11_100);
  expect(wiped).toEqual([1]);
  expect(ring.find(1)).toBeUndefined();
  expect(ring.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('a third candidate displaces the first, and its ping', () => {
  proven(0);
  add(9_000, 2);
  add(9_000, 3);
  add(9_000, 4);
  expect(wiped).toEqual([2]);
  const probes: number[] = [];
  for (let at = ring.pollProbe(); at >= 0; at = ring.pollProbe()) probes.push(at);
  expect(probes).toEqual([1, 3, 4]);
});

test('candidates that lost receive until their time is over and can still win', () => {
  proven(0);
  const second = add(1_000, 2);
  const third = add(1_010, 3);
  ring.handleAuthenticated(1_100, second);
  while (ring.pollProbe() >= 0);
  for (let now = 1_100; now < 4_000; now += 50) ring.handleTimeout(now);
  expect(ring.pollProbe()).toBe(-1);
  expect(ring.handleAuthenticated(4_000, third)).toBe('replaced');
  expect(ring.sendSession(4_000)).toBe(3);
});

test('an old key that is used while the current one is silent says so, and changes nothing', () => {
  const first = proven(0);
  const second = add(1_000, 2);
  ring.handleAuthenticated(1_100, second);
  expect(ring.handleAuthenticated(2_000, first)).toBeUndefined();
  expect(ring.handleAuthenticated(4_200, first)).toBe('outdated');
  expect(ring.sendSession(4_200)).toBe(2);
});

test('a key of the peer is outdated when a session with another was proven in its place', () => {
  const first = proven(0);
  const second = add(1_000, 2);
  expect(ring.isOutdated(keyOf(1))).toBe(false);
  ring.handleAuthenticated(1_100, second);
  expect(ring.isOutdated(keyOf(1))).toBe(true);
  ring.handleTimeout(60_000);
  expect(ring.find(first.index)).toBeUndefined();
  expect(ring.isOutdated(keyOf(1))).toBe(true);
  expect([ring.isOutdated(keyOf(2)), ring.isOutdated(keyOf(3))]).toEqual([false, false]);
});

test('a key that the peer keeps for all its sessions is never outdated', () => {
  const peerKey = keyOf(7);
  for (let i = 1; i < 5; i++) {
    ring.add(i * 1_000, i, { offer: offerOf(), peerKey });
    ring.handleAuthenticated(i * 1_000 + 1, ring.find(i)!);
    expect(ring.isOutdated(peerKey)).toBe(false);
  }
  ring.handleTimeout(60_000);
  expect(wiped).toEqual([1, 2, 3]);
  expect(ring.repeated(peerKey, undefined)?.index).toBe(4);
});

test('neither old sessions nor outdated keys grow without bound', () => {
  for (let i = 1; i <= 100; i++) ring.handleAuthenticated(i * 10, add(i * 10, i));
  expect(wiped).toHaveLength(100 - 5);
  expect([ring.isOutdated(keyOf(1)), ring.isOutdated(keyOf(90))]).toEqual([false, true]);
  ring.close();
  expect(wiped).toHaveLength(100);
  expect(ring.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('while we wait for an answer, only sessions of the pair on offer count as a repetition', () => {
  const peerKey = keyOf(1);
  proven(0);
  const ours = offerOf(true);
  expect(ring.repeated(peerKey, undefined)?.index).toBe(1);
  expect(ring.repeated(peerKey, offerOf(false))?.index).toBe(1);
  expect(ring.repeated(peerKey, ours)).toBeUndefined();
  ring.add(1_000, 2, { offer: ours, peerKey });
  expect(ring.repeated(peerKey, ours)?.index).toBe(2);
  expect([ring.needs(ours), ring.needs(offerOf())]).toEqual([true, false]);
});

test('a session that may not send is no session to send with', () => {
  const current = proven(0);
  current.isSending = false;
  expect([ring.canSend, ring.sendSession(0)]).toEqual([false, -1]);
  add(1_000, 2);
  expect([ring.canSend, ring.sendSession(1_499), ring.sendSession(1_500)]).toEqual([true, -1, 2]);
});
