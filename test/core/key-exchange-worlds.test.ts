import { expect, test } from 'vitest';
import { MAGIC } from '../../src/wire/packet.ts';
import { CALM, carries, pair, type Side, sharedEngine, type World } from './exchange-rig.ts';

const STORM_MS = 20_000;
/** Seeds of one test. */
const SEEDS = 35;

/** Either side begins now and then, what an onlooker recorded comes again, a process may end. */
function disturb(world: World, a: Side, b: Side): void {
  if (world.chance() < 0.3) a.begin();
  if (world.chance() < 0.3) b.begin();
  if (world.chance() < 0.04) world.random.pick([a, b]).restart();
  const recorded = [...world.sentBy(1, MAGIC.PILA), ...world.sentBy(2, MAGIC.PILA)];
  if (recorded.length > 0 && world.chance() < 0.4) {
    world.inject(world.random.pick([a, b]), world.random.pick(recorded).bytes);
  }
}

type Storm = (world: World, a: Side, b: Side) => void;

const STORMS: Record<string, Storm> = {
  'losses, copies and delays': (world, a, b) => {
    world.weather = { loss: 0.3, duplicate: 0.2, delay: 20, jitter: world.random.next(800) };
    for (let i = 0; i < STORM_MS / 1_000; i++) {
      disturb(world, a, b);
      world.elapse(1_000);
    }
  },
  outages: (world, a, b) => {
    world.weather = { loss: 0, duplicate: 0.2, delay: 20, jitter: world.random.next(800) };
    for (let i = 0; i < 6; i++) {
      disturb(world, a, b);
      world.weather.loss = world.chance() < 0.5 ? 1 : 0.5;
      world.elapse(world.random.next(9_000));
    }
  },
  'one direction at a time': (world, a, b) => {
    for (let i = 0; i < 6; i++) {
      const open = 1 + world.random.next(2);
      world.passes = (from) => from === open || world.chance() < 0.05;
      disturb(world, a, b);
      world.elapse(world.random.next(8_000));
    }
    world.passes = () => true;
  },
};

const RUNS = Object.entries(STORMS).flatMap(([name, storm]) => [1, 1 + SEEDS].map((first) => ({ name, storm, first })));

for (const { name, storm, first } of RUNS) {
  test(`after ${name} there is one session that carries data both ways, and peace: seeds from ${first}`, () => {
    for (let seed = first; seed < first + SEEDS; seed++) {
      const { world, a, b } = pair(seed);
      if (seed % 3 === 0) a.jobMs = 1 + world.random.next(40);
      if (seed % 4 === 0) b.jobMs = 1 + world.random.next(40);
      a.talk(90_000);
      b.talk(90_000);
      const begunAt = world.now;
      storm(world, a, b);
      world.weather = { ...CALM };
      world.elapse(6_000);
      for (let i = 0; i < 3; i++) expect(carries(world, a, b), `seed ${seed}`).toBe(true);
      // A candidate a second, two at first, and what restarts forgot.
      const most = 6 + (world.now - begunAt) / 1_000;
      for (const side of [a, b]) expect(side.done.agree, `seed ${seed}`).toBeLessThan(most);
      world.elapse(20_000);
      const done = [a.done.agree, b.done.agree, a.done.verify, b.done.verify, a.done.sign, b.done.sign];
      world.elapse(20_000);
      const after = [a.done.agree, b.done.agree, a.done.verify, b.done.verify, a.done.sign, b.done.sign];
      expect(after, `seed ${seed}`).toEqual(done);
      expect(carries(world, a, b), `seed ${seed}`).toBe(true);
      expect([a.livePairs.size, b.livePairs.size], `seed ${seed}`).toEqual([0, 0]);
      expect(sharedEngine().sessionCount, `seed ${seed}`).toBe(2);
      world.close();
      expect(sharedEngine().sessionCount, `seed ${seed}`).toBe(0);
    }
  });
}
