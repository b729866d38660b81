import { expect, test } from 'vitest';
import { MAGIC } from '../../src/wire/packet.ts';
import { carries, connected, pair, type Side, sharedEngine, type World } from './exchange-rig.ts';

const HOUR = 3_600_000;

/** Time passes while both sides say something every 10 s. */
function live(world: World, a: Side, b: Side, ms: number): void {
  for (let left = ms; left > 0; left -= 10_000) {
    a.say();
    b.say();
    world.elapse(Math.min(left, 10_000));
  }
}

test('a replayed exchange takes nothing from a session in use', () => {
  const { world, a, b } = connected();
  a.talk(15_000);
  world.elapse(1_000);
  const said = a.say();
  // What A answers goes to whoever replays.
  world.passes = (from, bytes) => !(from === 1 && bytes[3] === 0x41);
  world.inject(a, b.oldPila());
  for (let i = 0; i < 140; i++) {
    a.say();
    world.elapse(100);
    expect(a.waiting).toHaveLength(0);
  }
  expect(b.received.size).toBeGreaterThanOrEqual(said + 140);
  expect([a.counters.rekeys, b.counters.rekeys]).toEqual([0, 0]);
  world.close();
});

test('data for a replayed exchange waits one round trip when the key was idle, and goes under the key that answers', () => {
  const { world, a, b } = connected();
  world.elapse(5_000);
  world.passes = (from, bytes) => !(from === 1 && bytes[3] === 0x41);
  world.inject(a, b.oldPila());
  world.elapse(10);
  const said = a.say();
  expect(a.waiting).toEqual([said]);
  world.elapse(100);
  expect(b.received.has(said)).toBe(true);
  // It fell silent again, but the candidate is still none.
  world.elapse(4_000);
  const later = a.say();
  world.elapse(50);
  expect(b.received.has(later)).toBe(true);
  expect(a.counters.rekeys).toBe(0);
  world.close();
});

test('data waits 500 ms for the first key to answer, then goes under the candidate', () => {
  const { world, a, b } = connected();
  world.elapse(5_000);
  world.ends.splice(world.ends.indexOf(b), 1);
  world.inject(a, b.oldPila());
  world.elapse(10);
  a.say();
  const before = world.sentBy(1, MAGIC.PILS).length;
  world.elapse(480);
  // Pings at 0 and 250 ms, under both keys.
  expect(a.waiting).toHaveLength(1);
  expect(world.sentBy(1, MAGIC.PILS).length - before).toBe(2);
  world.elapse(20);
  expect(a.waiting).toHaveLength(0);
  const [last] = world.sentBy(1, MAGIC.PILS).slice(-1);
  expect(last!.bytes.subarray(8, 12)).not.toEqual(world.sentBy(1, MAGIC.PILS)[0]!.bytes.subarray(8, 12));
  b.close();
  world.close();
});

test('a silent candidate is wiped after 10 s and its pair forgotten', () => {
  const { world, a, b } = connected();
  world.passes = () => false;
  world.inject(a, b.oldPila());
  world.elapse(9_900);
  expect(sharedEngine().sessionCount).toBe(3);
  expect(a.livePairs.size).toBe(1);
  world.elapse(100);
  expect(sharedEngine().sessionCount).toBe(2);
  expect(a.livePairs.size).toBe(0);
  world.close();
});

test('a session that was wiped is not made again from the same two keys', () => {
  const { world, a, b } = connected();
  world.passes = () => false;
  a.begin();
  const again = b.oldPila();
  world.inject(a, again);
  world.elapse(10_100);
  expect([a.done.createExchange, a.done.agree]).toEqual([2, 2]);
  world.inject(a, again);
  world.elapse(100);
  expect([a.done.createExchange, a.done.agree]).toEqual([3, 3]);
  world.close();
});

test('an exchange that was replaced costs nothing when it comes again', () => {
  const { world, a, b } = connected();
  const old = world.sentBy(1, MAGIC.PILA)[0]!.bytes;
  a.begin();
  world.elapse(1_000);
  const done = { ...b.done };
  for (let i = 0; i < 30; i++) {
    world.inject(b, old);
    world.elapse(1_000);
  }
  expect(b.done).toEqual(done);
  expect(world.sentBy(2, MAGIC.PILA)).toHaveLength(2);
  expect(b.counters.dropped('exchangeDuplicate')).toBe(30);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('a storm of old exchanges does not keep a restarted peer out', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const { world, a, b } = connected(seed);
    const storm = Array.from({ length: 20 }, () => b.oldPila());
    world.elapse(5_000);
    b.restart();
    b.say();
    for (let i = 0; i < 100; i++) {
      world.inject(a, world.random.pick(storm));
      world.elapse(100);
    }
    expect(a.received.size, `seed ${seed}`).toBe(1);
    expect(a.done.agree, `seed ${seed}`).toBeLessThan(20);
    expect(sharedEngine().sessionCount, `seed ${seed}`).toBeLessThan(12);
    expect(carries(world, a, b), `seed ${seed}`).toBe(true);
    world.close();
  }
});

test('on first contact a replayed exchange gives way to the true one', () => {
  const { world, a, b } = pair();
  world.passes = (from) => from !== 1;
  world.inject(a, b.oldPila());
  world.elapse(100);
  expect(a.exchange.hasSession).toBe(true);
  expect(a.exchange.isProven).toBe(false);
  world.passes = () => true;
  b.say();
  world.elapse(200);
  expect(a.received.size).toBe(1);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('a replayed exchange does not stop the repetition of ours', () => {
  const { world, a, b } = pair();
  world.passes = () => false;
  a.say();
  world.elapse(100);
  world.inject(a, b.oldPila());
  world.elapse(300);
  world.passes = () => true;
  world.elapse(1_000);
  expect(world.sentBy(1, MAGIC.PILA).length).toBeGreaterThan(1);
  expect(a.exchange.isProven).toBe(true);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('the old key receives for 10 s after the change and is wiped then', () => {
  const { world, a, b } = connected();
  const late: Uint8Array[] = [];
  world.passes = (from, bytes) => {
    const isHeldUp = from === 2 && bytes[3] === 0x53;
    if (isHeldUp) late.push(bytes);
    return !isHeldUp;
  };
  b.say();
  b.say();
  world.passes = () => true;
  a.begin();
  world.elapse(1_000);
  expect([a.counters.rekeys, b.counters.rekeys]).toEqual([1, 1]);
  world.elapse(8_500);
  b.say();
  world.elapse(50);
  world.inject(a, late[0]!);
  world.elapse(50);
  expect(a.received.size).toBe(2);
  expect(sharedEngine().sessionCount).toBe(4);
  world.elapse(1_000);
  expect(sharedEngine().sessionCount).toBe(2);
  world.inject(a, late[1]!);
  world.elapse(100);
  expect(a.received.size).toBe(2);
  expect([a.counters.rekeys, b.counters.rekeys]).toEqual([1, 1]);
  world.close();
});

test('a frame of the old key that was held back does not bring the key back', () => {
  const { world, a, b } = connected();
  const late: Uint8Array[] = [];
  world.passes = (from, bytes) => {
    if (from === 2) late.push(bytes);
    return from !== 2;
  };
  b.say();
  world.passes = () => true;
  a.begin();
  world.elapse(1_000);
  const session = a.exchange.sendSession(world.now);
  world.elapse(8_000);
  world.passes = () => false;
  world.inject(a, late[0]!);
  world.elapse(50);
  expect(a.received.size).toBe(1);
  // It asks for a fresh key, since nobody knows who went on with which.
  expect(a.exchange.sendSession(world.now)).toBe(session);
  expect(a.done.createExchange).toBe(3);
  world.close();
});

test('keys are changed each hour, by the lower id, without a gap', () => {
  const { world, a, b } = connected();
  const before = [a.received.size, b.received.size];
  live(world, a, b, 3 * HOUR + 600_000);
  expect([a.counters.rekeys, b.counters.rekeys]).toEqual([3, 3]);
  const times = world.sentBy(1, MAGIC.PILA).map(({ at }) => Math.round((at - 10_000) / HOUR));
  expect(times).toEqual([0, 1, 2, 3]);
  // One agreement per change and side: ours answer with a fresh pair, so nothing is guessed.
  for (const side of [a, b]) {
    expect(side.done).toMatchObject({ createExchange: 4, verify: 4 });
    expect(side.livePairs.size).toBe(0);
  }
  expect([a.received.size - before[0]!, b.received.size - before[1]!]).toEqual([1_140, 1_140]);
  world.close();
});

test('the higher id leaves the hourly change to the other', () => {
  const { world, a, b } = connected();
  a.mayRotate = false;
  live(world, a, b, 2 * HOUR);
  expect([a.counters.rekeys, b.counters.rekeys]).toEqual([0, 0]);
  world.close();
});

test('no key is changed with a peer that was silent for the last minute', () => {
  const { world, a, b } = connected();
  b.close();
  world.elapse(5 * HOUR);
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(1);
  a.close();
});

test('a key whose counter is used up is replaced, and data waits for the next', () => {
  const { world, a, b } = connected();
  const spent = a.exchange.sendSession(world.now);
  sharedEngine().exports.spend(spent, 2 ** 32 - 2);
  a.say();
  a.say();
  world.elapse(50);
  a.say();
  world.elapse(1_000);
  expect(a.counters.rekeys).toBe(1);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('sending goes on after a second key was used up within 10 s', () => {
  const { world, a, b } = connected();
  for (let i = 0; i < 2; i++) {
    sharedEngine().exports.spend(a.exchange.sendSession(world.now), 2 ** 32 - 2);
    a.say();
    a.say();
    world.elapse(1_000);
  }
  expect(a.exchange.sendSession(world.now)).toBe(-1);
  world.elapse(9_000);
  expect(a.counters.rekeys).toBe(2);
  expect(carries(world, a, b)).toBe(true);
  world.close();
});

test('a key that may no longer send is asked to be replaced again while the peer lives, and not for ever', () => {
  const { world, a, b } = connected();
  sharedEngine().exports.spend(a.exchange.sendSession(world.now), 2 ** 32 - 2);
  world.passes = (from) => from === 2;
  a.say();
  a.say();
  world.elapse(1_000);
  expect(a.exchange.hasSession).toBe(false);
  for (let i = 0; i < 30; i++) {
    b.say();
    world.elapse(1_000);
  }
  expect(world.sentBy(1, MAGIC.PILA).length).toBeGreaterThan(7);
  b.close();
  world.elapse(120_000);
  const before = world.sentBy(1, MAGIC.PILA).length;
  world.elapse(600_000);
  expect(world.sentBy(1, MAGIC.PILA)).toHaveLength(before);
  a.close();
});

test('a key is changed after 2^31 frames, whoever has the lower id', () => {
  const { world, a, b } = connected();
  sharedEngine().exports.spend(b.exchange.sendSession(world.now), 2 ** 31);
  live(world, a, b, 120_000);
  expect([a.counters.rekeys, b.counters.rekeys]).toEqual([1, 1]);
  world.close();
});

test('no ping goes under a session that was wiped before it left', () => {
  const { world, a, b } = connected();
  world.passes = () => false;
  // Handed over one by one without draining: each displaces the first of two.
  for (let i = 0; i < 4; i++) {
    a.exchange.handleVerified(world.now + i * 1_000, b.oldPila().subarray(8, 40));
    let job = a.jobs.poll();
    for (; job !== undefined; job = a.jobs.poll()) a.runJob(job);
  }
  const probes: number[] = [];
  for (let at = a.exchange.pollProbe(); at >= 0; at = a.exchange.pollProbe()) probes.push(at);
  for (const at of probes) expect(a.holds(at)).toBe(true);
  expect(probes.length).toBeGreaterThan(0);
  world.close();
});
