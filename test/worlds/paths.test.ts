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

test('after a minute of sleep, with another address, the stream goes on', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  world.nat('left', {});
  const alice = await sim.agent('alice', { machine: { behind: 'left' } });
  const bob = await sim.agent('bob');
  await sim.befriend(alice, bob);
  const connection = await world.finish(alice.dial('bob:7'));
  const writer = connection.writable.getWriter();
  const reader = connection.readable.getReader();
  const round = async (value: number): Promise<number | undefined> => {
    await writer.write(Uint8Array.of(value));
    return (await reader.read()).value?.[0];
  };
  expect(await world.finish(round(1))).toBe(1);
  world.host('alice').machine.sleep(60_000);
  await world.elapse(30_000);
  world.rebind('left');
  await world.elapse(30_000);
  const before = world.now;
  expect(await world.finish(round(2))).toBe(2);
  expect(world.now - before).toBeLessThan(2_000);
  await world.finish(connection.close());
  await sim.end(alice, bob);
});

test('a wall clock that ran on while the other stood still is a sleep: the beacon hears of us at once', async () => {
  const sim = simulate({ seed: SEED });
  const { world } = sim;
  await sim.serve();
  const alice = await sim.agent('alice');
  const bob = await sim.agent('bob');
  await sim.befriend(alice, bob);
  await world.elapse(5_000);
  let discovers = 0;
  world.trace(({ sender, event, head }) => {
    if (sender === 'alice' && event === 'sent' && head[0] === 1) discovers += 1;
  });
  await world.finish(alice.ping(bob.address));
  expect(discovers).toBe(0);
  world.host('alice').machine.skewMs += 3_600_000;
  await world.elapse(2_000);
  await world.finish(alice.ping(bob.address));
  expect(discovers).toBe(1);
  await sim.end(alice, bob);
});

test('UDP that is blocked altogether ends in an error that says what to look at', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  const alice = await sim.agent('alice', { machine: { isUdpBlocked: true }, transport: 'udp' });
  const bob = await sim.agent('bob');
  await sim.befriend(alice, bob).catch(() => {});
  const dialling = alice.dial(`${bob.nodeId}:7`, { timeoutMs: 30_000 });
  await expect(sim.world.finish(dialling)).rejects.toMatchObject({ code: 'DIAL_TIMEOUT', retryable: true });
  await sim.end(alice, bob);
});
