/**
 * Our agents beside scripted peers of the existing network, of each generation and with each of their faults, both ways
 * round: registration, trust, dial, echo, bulk, datagrams, relay, restart.
 */
import { describe, expect, test } from 'vitest';
import type { Agent } from '../../bindings/node/index.ts';
import { type Simulation, simulate } from '../../bindings/node/testing.ts';
import type { Connection } from '../../src/api/connection.ts';
import type { ReferencePeer } from '../reference/peer.ts';
import type { Behaviour, Generation } from '../reference/peer-behaviour.ts';
import { type HostedPeer, hostPeer } from '../reference/peer-host.ts';
import { sourceBytes } from '../reference/peer-services.ts';

const SEED = 5;
const GENERATIONS: readonly Generation[] = ['apr', 'fork', 'new'];

interface Scene {
  readonly sim: Simulation;
  readonly ours: Agent;
  readonly theirs: ReferencePeer;
  readonly hosted: HostedPeer;
}

async function scene(
  generation: Generation,
  switches: Partial<Behaviour> = {},
  options: { seed?: number; isPublic?: boolean; loss?: number; bytesPerSecond?: number; isDirect?: boolean } = {},
): Promise<Scene> {
  const { seed = SEED, isPublic = true, loss = 0, bytesPerSecond } = options;
  const line = { delayMs: 5, loss, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }) };
  const sim = simulate({ seed, line });
  await sim.serve({}, { line: { delayMs: 5 } });
  const ours = await sim.agent('ours', { visibility: isPublic ? 'public' : 'private', timeoutMs: 60_000 });
  const host = sim.world.host('theirs');
  const address = await host.resolve('rendezvous');
  const hosted = await sim.world.finish(
    hostPeer({
      host,
      generation,
      switches,
      isPublic,
      name: `${generation} peer`,
      bind: { port: 4000 },
      beacon: { host: address, port: 9001 },
      registry: { host: address, port: 9000 },
    }),
  );
  const { peer } = hosted;
  peer.start({ hostname: 'theirs' });
  await sim.world.runUntil(() => peer.nodeId !== 0);
  await sim.world.elapse(500);
  return { sim, ours, theirs: peer, hosted };
}

async function end({ sim, ours, hosted }: Scene): Promise<void> {
  await sim.world.finish(ours.close());
  hosted.close();
  await sim.world.finish(sim.rendezvous.close());
}

/** The peer reads its mailbox now and then until something is so. */
async function polling({ sim, theirs }: Scene, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 60 && !isSo(); i++) {
    theirs.trust.poll();
    await sim.world.elapse(2_000);
  }
  expect(isSo()).toBe(true);
}

async function echo(sim: Simulation, connection: Connection, bytes: Uint8Array, limitMs = 300_000): Promise<void> {
  const writer = connection.writable.getWriter();
  const reader = connection.readable.getReader();
  const writing = (async () => {
    for (let sent = 0; sent < bytes.length; sent += 16_384) await writer.write(bytes.subarray(sent, sent + 16_384));
  })();
  const got: Uint8Array[] = [];
  const reading = (async () => {
    for (let length = 0; length < bytes.length; ) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the echo ended after ${length} bytes`);
      got.push(value);
      length += value.length;
    }
  })();
  await sim.world.finish(Promise.all([writing, reading]), limitMs);
  expect(Buffer.concat(got).equals(Buffer.from(bytes))).toBe(true);
  writer.releaseLock();
  reader.releaseLock();
}

describe.each(GENERATIONS)('a peer of generation %s', (generation) => {
  test('answers our dial: echo of 200 kB, and an end in order', async () => {
    const s = await scene(generation);
    const connection = await s.sim.world.finish(s.ours.dial('theirs:7'));
    await echo(s.sim, connection, sourceBytes(0, 200_000));
    await s.sim.world.finish(connection.close(), 60_000);
    await end(s);
  });

  test('dials us: echo of 200 kB', async () => {
    const s = await scene(generation);
    const connection = s.theirs.dial(s.ours.nodeId, 7);
    const bytes = sourceBytes(0, 200_000);
    const got: Uint8Array[] = [];
    connection.onData = (piece) => got.push(piece);
    connection.onOpen = () => connection.write(bytes);
    await s.sim.world.runUntil(() => got.reduce((sum, piece) => sum + piece.length, 0) === bytes.length, 300_000);
    expect(Buffer.concat(got).equals(Buffer.from(bytes))).toBe(true);
    connection.close();
    await s.sim.world.elapse(20_000);
    expect(s.ours.connections()).toEqual([]);
    await end(s);
  });

  test('takes 2 MB from us and gives us 2 MB', async () => {
    const s = await scene(generation);
    const sink = s.theirs.sink(1000);
    s.theirs.source(1001, 2_000_000);
    const up = await s.sim.world.finish(s.ours.dial('theirs:1000'));
    const writer = up.writable.getWriter();
    const bytes = sourceBytes(0, 2_000_000);
    await s.sim.world.finish(
      (async () => {
        for (let sent = 0; sent < bytes.length; sent += 65_536) await writer.write(bytes.subarray(sent, sent + 65_536));
        await writer.close();
      })(),
      600_000,
    );
    expect(Buffer.from(sink.streams[0]!.bytes()).equals(Buffer.from(bytes))).toBe(true);
    const down = await s.sim.world.finish(s.ours.dial('theirs:1001'));
    const got: Uint8Array[] = [];
    await s.sim.world.finish(
      (async () => {
        for await (const chunk of down.readable) got.push(chunk);
      })(),
      600_000,
    );
    expect(Buffer.concat(got).equals(Buffer.from(bytes))).toBe(true);
    await end(s);
  });

  test('exchanges datagrams and pings with us, without a loop', async () => {
    const s = await scene(generation);
    s.theirs.receiveDatagrams(5000);
    const inbox = s.ours.datagrams(5001)[Symbol.asyncIterator]();
    await s.sim.world.finish(s.ours.send('theirs:5000', Uint8Array.of(1, 2, 3)));
    await s.sim.world.elapse(1_000);
    expect(s.theirs.control.datagrams.map(({ payload }) => [...payload])).toEqual([[1, 2, 3]]);
    s.theirs.sendDatagram(s.ours.nodeId, 5001, Uint8Array.of(9));
    const { value } = await s.sim.world.finish(inbox.next());
    expect([...value.bytes]).toEqual([9]);
    expect((await s.sim.world.finish(s.ours.ping('theirs'))).rttMs).toBeGreaterThan(9);
    const before = s.sim.world.stats().sent;
    s.theirs.ping(s.ours.nodeId, Uint8Array.of(1), 777);
    await s.sim.world.elapse(2_000);
    expect(s.theirs.control.pongs.length).toBeGreaterThan(0);
    expect(s.sim.world.stats().sent - before).toBeLessThan(20);
    await end(s);
  });

  test('is reached through the relay when nothing goes directly', async () => {
    const s = await scene(generation);
    s.sim.world.block('ours', 'theirs');
    const connection = await s.sim.world.finish(s.ours.dial('theirs:7', { timeoutMs: 60_000 }), 90_000);
    await echo(s.sim, connection, sourceBytes(0, 50_000));
    expect(await s.sim.world.finish(s.ours.explain('theirs'))).toMatchObject({ path: 'relay' });
    await end(s);
  });

  test('gets and gives trust, whoever asks', async () => {
    const s = await scene(generation, {}, { isPublic: false });
    await s.sim.world.finish(s.ours.trust.request(`${s.theirs.nodeId}`, 'hello'));
    await polling(s, () => s.theirs.trust.pending.has(s.ours.nodeId));
    s.theirs.trust.approve(s.ours.nodeId);
    await s.sim.world.finish(s.ours.trust.wait(`${s.theirs.nodeId}`, { timeoutMs: 120_000 }), 150_000);
    const connection = await s.sim.world.finish(s.ours.dial(`${s.theirs.nodeId}:7`, { timeoutMs: 60_000 }), 90_000);
    await echo(s.sim, connection, sourceBytes(0, 1_000));
    await end(s);

    const t = await scene(generation, {}, { isPublic: false, seed: SEED + 1 });
    t.theirs.trust.request(t.ours.nodeId, 'hello from the past');
    await t.sim.world.runUntil(() => t.ours.trust.pending().length === 1, 180_000);
    await t.sim.world.finish(t.ours.trust.approve(`${t.theirs.nodeId}`));
    await polling(t, () => t.theirs.trust.trusted.has(t.ours.nodeId));
    const back = t.theirs.dial(t.ours.nodeId, 7);
    const got: Uint8Array[] = [];
    back.onData = (piece) => got.push(piece);
    back.onOpen = () => back.write(Uint8Array.of(7));
    await t.sim.world.runUntil(() => got.length === 1, 60_000);
    await end(t);
  });

  test('is reached again after its restart, and reaches us', async () => {
    const s = await scene(generation);
    const before = await s.sim.world.finish(s.ours.dial('theirs:7'));
    await echo(s.sim, before, sourceBytes(0, 5_000));
    s.theirs.restart();
    s.theirs.start({ hostname: 'theirs' });
    await s.sim.world.elapse(6_000);
    const again = await s.sim.world.finish(s.ours.dial('theirs:7', { timeoutMs: 60_000 }), 90_000);
    await echo(s.sim, again, sourceBytes(0, 5_000));
    await end(s);
  });

  test('echoes 100 kB over a path that loses 2 %', async () => {
    const s = await scene(generation, {}, { loss: 0.005 });
    const connection = await s.sim.world.finish(s.ours.dial('theirs:7', { timeoutMs: 60_000 }), 90_000);
    await echo(s.sim, connection, sourceBytes(0, 100_000), 900_000);
    await end(s);
  });
});

describe('single faults of the existing network', () => {
  const FAULTS: readonly [string, Partial<Behaviour>][] = [
    ['FIN storm', { finStorm: true }],
    ['final ACK with number 0', { finalAckSeqZero: true }],
    ['window 0 means no limit', { windowZeroMeansNoLimit: true }],
    ['epoch restart on PILA', { epochRestartOnPila: true }],
    ['window before AEAD', { windowBeforeAead: true }],
    ['segments of 4096 bytes', { mss: 4096 }],
    ['one repair per RTO', { onePerRto: true }],
    ['no answer to probes', { noProbeAnswer: true }],
    ['pong to every pong', { pongToEveryPong: true }],
    ['zero window ignored', { zeroWindowIgnored: true }],
    ['silent after a restart', { silentAfterRestart: true }],
    ['parked segments', { parking: true }],
    ['socket buffer of 208 kB', { socketBufferBytes: 208 * 1024 }],
  ];

  test.each(FAULTS)('%s: echo, ping, end in order, and quiet afterwards', async (_, switches) => {
    for (const generation of ['apr', 'new'] as const) {
      const s = await scene(generation, switches);
      const connection = await s.sim.world.finish(s.ours.dial('theirs:7'));
      await echo(s.sim, connection, sourceBytes(0, 150_000));
      await s.sim.world.finish(s.ours.ping('theirs'));
      s.theirs.ping(s.ours.nodeId, Uint8Array.of(1), 0);
      await s.sim.world.finish(connection.close(), 60_000);
      await s.sim.world.elapse(30_000);
      const before = s.sim.world.stats().sent;
      await s.sim.world.elapse(10_000);
      // Keepalives, Discovers and heartbeats; a storm has thousands.
      expect(s.sim.world.stats().sent - before).toBeLessThan(60);
      await end(s);
    }
  });

  test('a socket buffer of 208 kB does not collapse under 8 MB of ours', async () => {
    const s = await scene('apr', { socketBufferBytes: 208 * 1024, onePerRto: true });
    const sink = s.theirs.sink(1000);
    const connection = await s.sim.world.finish(s.ours.dial('theirs:1000'));
    const writer = connection.writable.getWriter();
    const bytes = sourceBytes(0, 8_000_000);
    const began = s.sim.world.now;
    await s.sim.world.finish(
      (async () => {
        for (let sent = 0; sent < bytes.length; sent += 65_536) await writer.write(bytes.subarray(sent, sent + 65_536));
        await writer.close();
      })(),
      600_000,
    );
    expect(Buffer.from(sink.streams[0]!.bytes()).equals(Buffer.from(bytes))).toBe(true);
    // 64 KB per round trip of 20 ms is 3 MB/s; a collapse is a tenth of that.
    expect(8_000 / (s.sim.world.now - began)).toBeGreaterThan(1);
    await end(s);
  });
});
