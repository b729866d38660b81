import { describe, expect, test } from 'vitest';
import { MAGIC } from '../../src/wire/packet.ts';
import { ReferencePeer } from './exchange-reference.ts';
import { Side, sharedEngine, World } from './exchange-rig.ts';

const HOUR = 3_600_000;

function facing(generation: 'april' | 'newest', seed = 1): { world: World; a: Side; r: ReferencePeer } {
  const world = new World(seed);
  const a = new Side(world, 2, 1);
  a.tellsKind = false;
  a.mayRotate = true;
  return { world, a, r: new ReferencePeer(world, [1, 2], generation) };
}

/** Whether a message of each side reaches the other within a second. */
function carries(world: World, a: Side, r: ReferencePeer): boolean {
  const [toR, toA] = [a.say(), r.say()];
  world.elapse(1_000);
  return r.received.has(toR) && a.received.has(toA);
}

for (const generation of ['april', 'newest'] as const) {
  describe(`a peer of the ${generation} generation`, () => {
    test('is reached, whoever begins, with one agreement', () => {
      for (const first of ['us', 'it', 'both']) {
        const { world, a, r } = facing(generation);
        if (first !== 'it') a.say();
        if (first !== 'us') r.say();
        world.elapse(1_000);
        expect(carries(world, a, r), first).toBe(true);
        expect(a.done.agree, first).toBe(1);
        expect(world.sentBy(2, MAGIC.PILA).length, first).toBe(1);
        world.close();
      }
    });

    test('is reached although its answer was lost', () => {
      const { world, a, r } = facing(generation);
      let lost = 0;
      world.passes = (from, bytes) => !(from === 1 && bytes[3] === 0x41 && lost++ < 1);
      a.say();
      world.elapse(1_500);
      expect(carries(world, a, r)).toBe(true);
      world.close();
    });

    test('follows the hourly change of our key at once, though it keeps its own', () => {
      const { world, a, r } = facing(generation);
      a.say();
      let said = 1;
      for (let t = 0; t < 2 * HOUR + 600_000; t += 5_000) {
        said += 1;
        a.say();
        r.say();
        world.elapse(5_000);
      }
      expect(a.counters.rekeys).toBe(2);
      // What left in the round trip of a change went under the key that the peer had just given up.
      expect(r.received.size).toBeGreaterThanOrEqual(said - 2);
      expect(a.livePairs.size).toBe(0);
      expect(world.sentBy(2, MAGIC.PILA).length).toBe(3);
      world.elapse(11_000);
      expect(sharedEngine().sessionCount).toBe(1);
      world.close();
    });

    test('follows the change although its own answer to it is lost', () => {
      const { world, a, r } = facing(generation);
      expect(carries(world, a, r)).toBe(true);
      world.passes = (from, bytes) => !(from === 1 && bytes[3] === 0x41);
      a.begin();
      world.elapse(500);
      expect(a.counters.rekeys).toBe(1);
      expect(carries(world, a, r)).toBe(true);
      world.close();
    });

    test('gets one exchange per change, not one per copy', () => {
      const { world, a, r } = facing(generation);
      expect(carries(world, a, r)).toBe(true);
      world.weather.duplicate = 1;
      a.begin();
      world.elapse(20_000);
      expect(world.sentBy(2, MAGIC.PILA)).toHaveLength(2);
      expect(a.done.agree).toBe(2);
      world.close();
    });

    test('is heard when it was restarted and speaks first', () => {
      const { world, a, r } = facing(generation);
      expect(carries(world, a, r)).toBe(true);
      world.elapse(30_000);
      r.restart();
      r.say();
      world.elapse(1_000);
      expect(carries(world, a, r)).toBe(true);
      world.close();
    });

    test('that was restarted and keeps silent is offered a key while we talk to it', () => {
      const { world, a, r } = facing(generation);
      expect(carries(world, a, r)).toBe(true);
      r.restart();
      a.talk(30_000);
      world.elapse(14_000);
      expect(a.counters.rekeys).toBe(1);
      expect(carries(world, a, r)).toBe(true);
      world.close();
    });

    test('that is gone is not offered keys for ever', () => {
      const { world, a, r } = facing(generation);
      expect(carries(world, a, r)).toBe(true);
      world.passes = () => false;
      a.talk(30_000);
      world.elapse(120_000);
      const before = world.sent.length;
      world.elapse(3_600_000);
      expect(world.sent.length).toBe(before);
      world.close();
    });

    test('answers for a session that it holds although we lost ours', () => {
      const { world, a, r } = facing(generation);
      expect(carries(world, a, r)).toBe(true);
      a.restart();
      a.tellsKind = false;
      a.say();
      world.elapse(1_500);
      expect(carries(world, a, r)).toBe(true);
      world.close();
    });

    test('in bad weather ends with a session that carries data', () => {
      for (let seed = 1; seed <= 40; seed++) {
        const { world, a, r } = facing(generation, seed);
        world.weather = { loss: 0.3, duplicate: 0.2, delay: 20, jitter: world.random.next(400) };
        a.talk(60_000);
        for (let i = 0; i < 15; i++) {
          if (world.chance() < 0.2) a.begin();
          if (world.chance() < 0.05) r.restart();
          if (world.chance() < 0.3) r.say();
          world.elapse(1_000);
        }
        world.weather = { loss: 0, duplicate: 0, delay: 20, jitter: 0 };
        world.elapse(30_000);
        for (let i = 0; i < 3; i++) expect(carries(world, a, r), `seed ${seed}`).toBe(true);
        world.close();
      }
    });
  });
}

/** Prefix of the last encrypted frame that an end sent. */
function lastPrefix(world: World, from: number): number {
  const { bytes } = world.sentBy(from, MAGIC.PILS).at(-1)!;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(8);
}

test('a frame under our own prefix stops our sending until there is another key', () => {
  const { world, a, r } = facing('april');
  expect(carries(world, a, r)).toBe(true);
  const prefix = lastPrefix(world, 2);
  const before = world.sentBy(2, MAGIC.PILS).length;
  r.drawPrefix = () => prefix;
  r.newEpoch();
  r.drawPrefix = () => 77;
  r.say();
  world.elapse(25);
  expect(a.exchange.sendSession(world.now)).toBe(-1);
  world.elapse(1_000);
  expect(a.counters.rekeys).toBe(1);
  expect(carries(world, a, r)).toBe(true);
  const prefixes = world.sentBy(2, MAGIC.PILS).slice(before);
  for (const { bytes } of prefixes) {
    expect(new DataView(bytes.buffer, bytes.byteOffset).getUint32(8)).not.toBe(prefix);
  }
  world.close();
});

test('collisions under one key after another change keys at most every 10 s, and sending goes on', () => {
  const { world, a, r } = facing('april');
  expect(carries(world, a, r)).toBe(true);
  r.drawPrefix = () => lastPrefix(world, 2);
  for (let i = 0; i < 60; i++) {
    r.newEpoch();
    r.say();
    if (i % 5 === 0) a.say();
    world.elapse(1_000);
  }
  expect(a.counters.rekeys).toBeGreaterThanOrEqual(4);
  expect(a.counters.rekeys).toBeLessThanOrEqual(7);
  r.drawPrefix = () => world.random.next(2 ** 31);
  r.newEpoch();
  world.elapse(15_000);
  expect(carries(world, a, r)).toBe(true);
  world.close();
});

test('64 retired prefixes change our key, at most every 10 s', () => {
  const { world, a, r } = facing('april');
  expect(carries(world, a, r)).toBe(true);
  for (let i = 0; i < 67; i++) {
    r.newEpoch();
    r.say();
    world.elapse(30);
  }
  expect(a.done.createExchange).toBe(1);
  r.newEpoch();
  r.say();
  world.elapse(1_000);
  expect(a.counters.rekeys).toBe(1);
  for (let i = 0; i < 200; i++) {
    r.newEpoch();
    r.say();
    world.elapse(30);
  }
  expect(a.counters.rekeys).toBe(1);
  world.elapse(4_000);
  expect(a.counters.rekeys).toBe(2);
  expect(carries(world, a, r)).toBe(true);
  world.close();
});
