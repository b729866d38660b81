/** Sizes of segments between our own, on paths that carry more or less (RFC 8899). */
import { expect, test } from 'vitest';
import type { Agent } from '../../bindings/node/index.ts';
import { type Simulation, simulate } from '../../bindings/node/testing.ts';
import type { Connection } from '../../src/api/connection.ts';

const SEED = 8;
const BYTES = 300_000;

async function pair(sim: Simulation, mtuBytes: number): Promise<{ alice: Agent; bob: Agent }> {
  await sim.serve();
  const alice = await sim.agent('alice', { machine: { line: { delayMs: 5, mtuBytes } } });
  const bob = await sim.agent('bob');
  await sim.befriend(alice, bob);
  return { alice, bob };
}

/** Sends bytes to the peer's echo and checks what comes back. */
async function echo(connection: Connection, bytes: number): Promise<void> {
  const writer = connection.writable.getWriter();
  const reader = connection.readable.getReader();
  const send = async (): Promise<void> => {
    const piece = new Uint8Array(10_000);
    for (let sent = 0; sent < bytes; sent += piece.length) {
      for (let i = 0; i < piece.length; i++) piece[i] = (sent + i) * 7;
      await writer.write(piece.slice());
    }
  };
  const receive = async (): Promise<void> => {
    for (let seen = 0; seen < bytes; ) {
      const { value } = await reader.read();
      if (value === undefined) throw new Error(`ended after ${seen}`);
      for (let i = 0; i < value.length; i++) {
        if (value[i] !== (((seen + i) * 7) & 0xff)) throw new Error(`wrong byte at ${seen + i}`);
      }
      seen += value.length;
    }
  };
  await Promise.all([send(), receive()]);
  writer.releaseLock();
  reader.releaseLock();
}

test.each([
  { mtuBytes: 1_500, segmentBytes: 1_382 },
  { mtuBytes: 1_440, segmentBytes: 1_342 },
  { mtuBytes: 1_280, segmentBytes: 1_152 },
])('a path of $mtuBytes bytes gets segments of $segmentBytes', async ({ mtuBytes, segmentBytes }) => {
  const sim = simulate({ seed: SEED });
  const { alice, bob } = await pair(sim, mtuBytes);
  const connection = await sim.world.finish(alice.dial('bob:7'));
  await sim.world.finish(echo(connection, BYTES));
  await sim.world.elapse(5_000);
  await sim.world.finish(echo(connection, BYTES));
  expect(connection.stats()).toMatchObject({ segmentBytes, timeouts: 0 });
  await sim.world.finish(connection.close());
  await sim.end(alice, bob);
});

test('a path that carries less from one moment to the next loses no byte', async () => {
  const sim = simulate({ seed: SEED });
  const { alice, bob } = await pair(sim, 1_500);
  const connection = await sim.world.finish(alice.dial('bob:7'));
  await sim.world.finish(echo(connection, BYTES));
  expect(connection.stats().segmentBytes).toBe(1_382);
  sim.world.between('alice', 'bob', { mtuBytes: 1_280 });
  await sim.world.finish(echo(connection, BYTES), 120_000);
  expect(connection.stats().segmentBytes).toBe(1_152);
  await sim.world.finish(connection.close());
  await sim.end(alice, bob);
});

test('the relay gets segments that every path carries', async () => {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  for (const name of ['left', 'right']) {
    sim.world.nat(name, {
      mapping: 'address-and-port-dependent',
      filtering: 'address-and-port-dependent',
      ports: 'random',
    });
  }
  const alice = await sim.agent('alice', { machine: { behind: 'left' } });
  const bob = await sim.agent('bob', { machine: { behind: 'right' } });
  await sim.befriend(alice, bob);
  const connection = await sim.world.finish(alice.dial('bob:7'));
  await sim.world.finish(echo(connection, 100_000));
  expect(connection.stats().segmentBytes).toBe(1_152);
  await sim.world.finish(connection.close());
  await sim.end(alice, bob);
});
