/** Agents in worlds with NATs and loss. */
import { expect, test } from 'vitest';
import { simulate } from '../../bindings/node/testing.ts';

const SEED = 7;

test('two agents behind NATs of the restricted kind meet directly', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  world.nat('left', { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' });
  world.nat('right', { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' });
  const alice = await sim.agent('alice', { machine: { behind: 'left' } });
  const bob = await sim.agent('bob', { machine: { behind: 'right' } });
  await sim.befriend(alice, bob);
  const connection = await world.finish(alice.dial('bob:7'));
  const writer = connection.writable.getWriter();
  await world.finish(writer.write(Uint8Array.of(1, 2, 3)));
  const reader = connection.readable.getReader();
  const { value } = await world.finish(reader.read());
  expect([...(value ?? [])]).toEqual([1, 2, 3]);
  await world.elapse(20_000);
  expect(await world.finish(alice.explain('bob'))).toMatchObject({ path: 'direct' });
  await sim.end(alice, bob);
});

test('two agents behind symmetric NATs go through the relay', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  for (const name of ['left', 'right']) {
    world.nat(name, {
      mapping: 'address-and-port-dependent',
      filtering: 'address-and-port-dependent',
      ports: 'random',
    });
  }
  const alice = await sim.agent('alice', { machine: { behind: 'left' } });
  const bob = await sim.agent('bob', { machine: { behind: 'right' } });
  await sim.befriend(alice, bob);
  const connection = await world.finish(alice.dial('bob:7'));
  await world.elapse(20_000);
  expect(await world.finish(alice.explain('bob'))).toMatchObject({ path: 'relay' });
  await world.finish(connection.close());
  await sim.end(alice, bob);
});
