import { expect, test } from 'vitest';
import { MAGIC } from '../../src/wire/packet.ts';
import { carries, connected, pair, Side, sharedEngine, World } from './exchange-rig.ts';

test('one exchange makes a session for both sides with one pair and one agreement each', () => {
  const { world, a, b } = pair();
  a.say();
  world.elapse(1_000);
  expect(b.received).toEqual(new Set([0]));
  for (const side of [a, b]) {
    expect(side.done).toEqual({ createExchange: 1, sign: 1, verify: 1, agree: 1, forget: 1 });
    expect(side.exchange.isProven).toBe(true);
    expect(side.news).toBe(1);
  }
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(1);
  expect(world.sentBy(2, MAGIC.PILA)).toHaveLength(1);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('exchanges of both sides that cross end in one session with as much work as one', () => {
  const { world, a, b } = pair();
  a.say();
  b.say();
  world.elapse(1_000);
  expect([a.received.size, b.received.size]).toEqual([1, 1]);
  for (const side of [a, b]) expect(side.done).toEqual({ createExchange: 1, sign: 1, verify: 1, agree: 1, forget: 1 });
  expect(sharedEngine().sessionCount).toBe(2);
  world.close();
  expect(sharedEngine().sessionCount).toBe(0);
});

test('an exchange that comes while our own pair is being made is not lost', () => {
  const { world, a, b } = pair();
  a.jobMs = 30;
  b.jobMs = 30;
  a.say();
  world.elapse(15);
  b.say();
  world.elapse(400);
  expect([a.received.size, b.received.size]).toEqual([1, 1]);
  for (const side of [a, b]) expect(side.done).toEqual({ createExchange: 1, sign: 1, verify: 1, agree: 1, forget: 1 });
  world.close();
});

test('an exchange without answer goes six times, with a PILK behind each but the first, and may begin again after 5 s', () => {
  const { world, a } = pair();
  world.passes = () => false;
  a.begin();
  world.elapse(60_000);
  const times = (magic: number): number[] => world.sentBy(1, magic).map(({ at }) => at - 10_000);
  expect(times(MAGIC.PILA)).toEqual([0, 500, 1_500, 3_500, 7_500, 11_500]);
  expect(times(MAGIC.PILK)).toEqual([500, 1_500, 3_500, 7_500, 11_500]);
  expect(a.exchange.unanswered).toBe(6);
  expect(a.exchange.isWaiting).toBe(false);
  expect(a.livePairs.size).toBe(0);
  a.begin();
  expect(times(MAGIC.PILA)).toHaveLength(7);
  expect(a.exchange.unanswered).toBe(1);
  world.close();
});

test('an exchange that is wanted in the cooldown begins when that is over, and is waited for', () => {
  const { world, a } = pair();
  world.passes = () => false;
  a.begin();
  world.elapse(16_000);
  expect(a.exchange.isWaiting).toBe(false);
  a.begin();
  expect(a.exchange.isWaiting).toBe(true);
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(6);
  world.elapse(4_500);
  expect(
    world
      .sentBy(1, MAGIC.PILA)
      .slice(6)
      .map(({ at }) => at - 10_000),
  ).toEqual([20_500]);
  world.elapse(16_000);
  expect(a.exchange.isWaiting).toBe(false);
  world.close();
});

test('copies go through the relay behind the second unanswered send', () => {
  const { world, a } = pair();
  const copies: boolean[] = [];
  a.begin();
  world.ends.length = 0;
  a.exchange.begin(world.now);
  for (let now = world.now; now < world.now + 12_000; now += 100) {
    a.exchange.handleTimeout(now, true);
    for (let next = a.exchange.pollFrame(); next !== undefined; next = a.exchange.pollFrame()) {
      if (next.frame.length > 100) copies.push(next.relayCopy);
    }
  }
  expect(copies).toEqual([false, true, true, true, true]);
  a.close();
});

test('a lost answer is given again when the question comes again, without new public-key work', () => {
  const { world, a, b } = pair();
  let lost = 0;
  world.passes = (from, bytes) => !(from === 2 && bytes[3] === 0x41 && lost++ < 2);
  a.say();
  world.elapse(3_000);
  expect(lost).toBe(3);
  expect(b.received.size).toBe(1);
  for (const side of [a, b]) expect(side.done.agree).toBe(1);
  expect(b.done.verify).toBe(1);
  world.close();
});

test('answers to an exchange that is never proven become rare', () => {
  const { world, a } = pair();
  // Only key exchanges pass, and slowly enough for each to count as a question.
  world.weather.delay = 300;
  world.passes = (_, bytes) => bytes[3] === 0x41;
  a.say();
  world.elapse(10_000);
  const soon = world.sentBy(1, MAGIC.PILA).length + world.sentBy(2, MAGIC.PILA).length;
  world.elapse(60_000);
  const later = world.sentBy(1, MAGIC.PILA).length + world.sentBy(2, MAGIC.PILA).length - soon;
  expect(soon).toBeLessThan(20);
  expect(later / 60).toBeLessThan(1);
  world.close();
});

test('an answer that was lost together with all repetitions leaves no dead session behind', () => {
  const { world, a, b } = pair();
  world.passes = (from) => from !== 2;
  a.say();
  world.elapse(30_000);
  world.passes = () => true;
  expect(a.exchange.hasSession).toBe(false);
  b.say();
  world.elapse(5_000);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('a peer that lost its memory is heard at once, and what still goes under its old key is not held for long', () => {
  const { world, a, b } = connected();
  world.elapse(20_000);
  b.restart();
  b.say();
  world.elapse(500);
  expect(a.received.size).toBe(1);
  expect(carries(world, a, b)).toBe(true);
  world.elapse(60_000);
  expect(sharedEngine().sessionCount).toBe(2);
  world.close();
});

test('a peer that lost its memory and says nothing is offered a key when it cannot read us', () => {
  const { world, a, b } = connected();
  b.restart();
  a.say();
  world.elapse(500);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('an all-zero point makes no session', () => {
  const { world, a } = pair();
  a.exchange.handleVerified(world.now, new Uint8Array(32));
  world.elapse(100);
  expect(a.exchange.hasSession).toBe(false);
  expect(a.counters.dropped('exchangeBadPoint')).toBe(1);
  world.elapse(100);
  expect(a.livePairs.size).toBe(0);
  world.close();
});

test('a runtime that makes no key ends the wait instead of leaving it open', () => {
  for (const kind of ['createExchange', 'sign', 'agree'] as const) {
    const { world, a, b } = pair();
    a.failing = kind;
    a.say();
    world.elapse(30_000);
    expect(a.exchange.isWaiting, kind).toBe(false);
    expect(a.exchange.hasSession, kind).toBe(false);
    expect(a.livePairs.size, kind).toBe(0);
    a.failing = undefined;
    a.begin();
    world.elapse(1_000);
    expect(carries(world, a, b), kind).toBe(true);
    world.close();
  }
});

test('close() in the middle of any job leaves no pair and no session', () => {
  for (let ms = 0; ms < 200; ms += 5) {
    const { world, a, b } = pair();
    a.jobMs = 20;
    b.jobMs = 20;
    a.say();
    world.elapse(ms);
    world.close();
    expect([a.livePairs.size, b.livePairs.size], `after ${ms} ms`).toEqual([0, 0]);
    expect(sharedEngine().sessionCount).toBe(0);
    expect(a.exchange.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  }
});

test('session keys do not stay where core got them', () => {
  const { world, a, b } = connected();
  expect([...a.agreed, ...b.agreed]).toEqual([new Uint8Array(32), new Uint8Array(32)]);
  a.jobMs = 20;
  a.begin();
  world.elapse(110);
  a.close();
  expect(a.agreed).toHaveLength(2);
  for (const key of a.agreed) expect(key).toEqual(new Uint8Array(32));
  world.close();
});

test('an exchange that was answered and never proven may begin again at once', () => {
  const { world, a } = pair();
  world.passes = (_, bytes) => bytes[3] === 0x41;
  a.begin();
  world.elapse(16_000);
  const before = world.sentBy(1, MAGIC.PILA).length;
  a.begin();
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(before + 1);
  world.close();
});

test('a key request is answered with the key on offer or in use, once a second', () => {
  const { world, a } = connected();
  world.elapse(2_000);
  const before = world.sentBy(1, MAGIC.PILA).length;
  for (let i = 0; i < 20; i++) {
    a.exchange.handleKeyRequest(world.now);
    world.elapse(100);
  }
  const answers = world.sentBy(1, MAGIC.PILA).slice(before);
  expect(answers).toHaveLength(2);
  expect(answers[0]!.bytes).toEqual(world.sentBy(1, MAGIC.PILA)[0]!.bytes);
  expect(a.done.createExchange).toBe(1);
  world.close();
});

test('a key request without session begins an exchange', () => {
  const { world, a } = pair();
  a.exchange.handleKeyRequest(world.now);
  world.elapse(100);
  expect(a.exchange.isProven).toBe(false);
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(1);
  world.close();
});

test('an unchanged exchange is answered only after 6 s of silence', () => {
  const { world, a } = connected();
  const again = world.sentBy(2, MAGIC.PILA)[0]!.bytes;
  world.elapse(4_000);
  world.inject(a, again);
  world.elapse(10);
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(1);
  world.elapse(3_000);
  for (let i = 0; i < 10; i++) world.inject(a, again, i * 10);
  world.elapse(100);
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(2);
  expect(a.done.verify).toBe(1);
  world.close();
});

test('prefixes differ in the top bit by the order of the ids', () => {
  for (let seed = 1; seed < 20; seed++) {
    const { world } = connected(seed);
    for (const { bytes } of world.sentBy(1, MAGIC.PILS)) expect(bytes[8]! >> 7).toBe(0);
    for (const { bytes } of world.sentBy(2, MAGIC.PILS)) expect(bytes[8]! >> 7).toBe(1);
    world.close();
  }
});

test('no exchange begins out of frames that cannot be opened while the key works', () => {
  const { world, a } = connected();
  for (let i = 0; i < 30; i++) {
    a.say();
    world.elapse(50);
    a.exchange.handleUnreadable(world.now);
  }
  expect(a.done.createExchange).toBe(1);
  world.close();
});

test('forged frames cause fewer and fewer exchanges', () => {
  const { world, a } = connected();
  for (let i = 0; i < 600; i++) {
    world.elapse(1_000);
    a.exchange.handleUnreadable(world.now);
  }
  world.elapse(1_000);
  expect(a.done.createExchange).toBeLessThan(20);
  world.close();
});

test('what could not be opened makes an exchange under way go again, as no attempt', () => {
  const { world, a } = pair();
  world.passes = () => false;
  a.begin();
  world.elapse(4_000);
  for (let i = 0; i < 30; i++) {
    world.elapse(100);
    a.exchange.handleUnreadable(world.now);
  }
  world.flush();
  const times = world.sentBy(1, MAGIC.PILA).map(({ at }) => at - 10_000);
  expect(times).toEqual([0, 500, 1_500, 3_500, 4_500, 5_500, 6_500]);
  expect(a.exchange.unanswered).toBe(4);
  world.close();
});

test('a full session table refuses, and the exchange says so', () => {
  const world = new World();
  const sides = Array.from({ length: 64 }, (_, i) => new Side(world, 100 + i, 7));
  world.ends.length = 0;
  const other = new Side(new World(2), 7, 100);
  for (const side of sides) side.exchange.handleVerified(world.now, publicKeyOf(other));
  for (const side of sides) side.drain();
  expect(sharedEngine().sessionCount).toBe(64);
  const late = new Side(world, 3, 7);
  late.exchange.handleVerified(world.now, publicKeyOf(other));
  late.drain();
  expect(late.counters.dropped('sessionsFull')).toBe(1);
  expect(late.exchange.hasSession).toBe(false);
  expect(world.sentBy(3, MAGIC.PILA)).toHaveLength(0);
  for (const side of [...sides, late]) side.close();
  expect(sharedEngine().sessionCount).toBe(0);
});

function publicKeyOf(side: Side): Uint8Array {
  return side.oldPila().subarray(8, 40);
}
