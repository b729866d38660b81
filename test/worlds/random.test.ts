/**
 * Random worlds: 0–20 % loss with reordering and duplication, NATs of all kinds. Every stream byte arrives in order and
 * once, and the world ends with no timer and no buffer left. A failure names its seed: run it alone with
 * PILOTWIRE_SEED=n.
 */
import { expect, test } from 'vitest';
import type { Agent } from '../../bindings/node/index.ts';
import { Random, type Simulation, simulate } from '../../bindings/node/testing.ts';
import type { Connection } from '../../src/api/connection.ts';
import type { LineOptions } from '../../src/testing/line.ts';
import type { MachineOptions } from '../../src/testing/machine.ts';
import type { Dependence } from '../../src/testing/nat.ts';

const COUNT = process.env.PILOTWIRE_LONG === '1' ? 10_000 : Number(process.env.PILOTWIRE_WORLDS ?? 1_000);
/** Worlds per test, so that a failure does not hide the others. */
const SHARE = 125;
const KINDS: readonly Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'];
const LIMIT_MS = 900_000;
const ONLY = process.env.PILOTWIRE_SEED;

/** A datagram meets two of them on its way: together they lose up to 20 %. */
function lineOf(random: Random): LineOptions {
  return {
    delayMs: random.between(1, 80),
    jitterMs: random.between(0, 30),
    loss: random.chance(0.2) ? 0 : 1 - Math.sqrt(1 - random.next() * 0.2),
    reordering: random.next() * 0.1,
    duplication: random.next() * 0.05,
  };
}

/** Anywhere, on a runtime that reads lent bytes late, and answers public-key jobs by promise, in some of the worlds. */
function place(sim: Simulation, random: Random, name: string): { machine: MachineOptions } {
  const runtime = {
    line: lineOf(random),
    lateReleaseMs: random.chance(0.3) ? random.between(1, 30) : 0,
    jobDelayMs: random.chance(0.3) ? random.between(1, 20) : 0,
  };
  if (random.chance(0.4)) return { machine: runtime };
  const behind = `nat of ${name}`;
  sim.world.nat(behind, {
    mapping: KINDS[random.between(0, 2)]!,
    filtering: KINDS[random.between(0, 2)]!,
    ports: random.chance(0.5) ? 'random' : 'preserve',
  });
  return { machine: { ...runtime, behind } };
}

/** Byte `i` of stream `s`. */
function byteOf(stream: number, i: number): number {
  return (i * 31 + (i >> 8) * 7 + stream * 101) & 0xff;
}

async function write(connection: Connection, stream: number, bytes: number, random: Random): Promise<void> {
  const writer = connection.writable.getWriter();
  for (let sent = 0; sent < bytes; ) {
    const length = Math.min(bytes - sent, random.between(1, 9_000));
    const piece = new Uint8Array(length);
    for (let i = 0; i < length; i++) piece[i] = byteOf(stream, sent + i);
    await writer.write(piece);
    sent += length;
  }
  await writer.close();
}

async function read(connection: Connection, stream: number, bytes: number): Promise<void> {
  let seen = 0;
  for await (const chunk of connection.readable) {
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] !== byteOf(stream, seen + i)) throw new Error(`stream ${stream}: wrong byte at ${seen + i}`);
    }
    seen += chunk.length;
  }
  if (seen !== bytes) throw new Error(`stream ${stream}: ${seen} bytes of ${bytes}`);
}

async function exchange(alice: Agent, bob: Agent, random: Random): Promise<void> {
  const plans = Array.from({ length: random.between(1, 3) }, (_, i) => ({
    port: 1000 + i,
    there: random.between(0, 30_000),
    back: random.between(0, 30_000),
    random: [random.fork(`there ${i}`), random.fork(`back ${i}`)] as const,
  }));
  const serving = plans.map(async ({ port, there, back, random: [, own] }) => {
    for await (const connection of bob.listen(port)) {
      await Promise.all([read(connection, port, there), write(connection, port + 10, back, own)]);
      await connection.closed;
      return;
    }
  });
  const dialling = plans.map(async ({ port, there, back, random: [own] }) => {
    const connection = await alice.dial(`${bob.address}:${port}`);
    await Promise.all([write(connection, port, there, own), read(connection, port + 10, back)]);
    await connection.closed;
  });
  await Promise.all([...serving, ...dialling]);
}

async function runWorld(seed: number): Promise<void> {
  const random = new Random(seed);
  const sim = simulate({ seed });
  await sim.serve();
  const [alice, bob] = [
    await sim.agent('alice', { visibility: 'public', ...place(sim, random, 'alice'), timeoutMs: 60_000 }),
    await sim.agent('bob', { visibility: 'public', ...place(sim, random, 'bob'), timeoutMs: 60_000 }),
  ];
  await sim.world.finish(exchange(alice, bob, random), LIMIT_MS);
  await sim.end(alice, bob);
}

const seeds = ONLY === undefined ? Array.from({ length: COUNT }, (_, i) => i + 1) : [Number(ONLY)];

for (let first = 0; first < seeds.length; first += SHARE) {
  const share = seeds.slice(first, first + SHARE);
  test(`worlds ${share[0]} to ${share.at(-1)} deliver every byte and end quiet`, { timeout: 600_000 }, async () => {
    const failures: string[] = [];
    for (const seed of share) {
      await runWorld(seed).catch((error: Error) => failures.push(`seed ${seed}: ${error.message}`));
    }
    expect(failures).toEqual([]);
  });
}
