/** Agents that load what speaking with peers takes when they need it, as pages do: who waits for it, and who need not. */
import { expect, onTestFinished, test } from 'vitest';
import { type Simulation, simulate } from '../../bindings/node/testing.ts';
import { Agent } from '../../src/api/agent.ts';
import { openIdentity } from '../../src/api/identity.ts';
import { LIMITS } from '../../src/config.ts';
import { Contacts } from '../../src/core/contacts.ts';
import { Endpoint } from '../../src/core/endpoint.ts';
import type { Event } from '../../src/core/events.ts';
import { MeetingRoom, type Meetings } from '../../src/driver/meeting.ts';
import { createMeetings } from '../../src/driver/shared.ts';
import { Owners, type Shared } from '../../src/driver.ts';
import type { VirtualHost } from '../../src/testing/host.ts';
import { sharedEngine } from '../core/exchange-rig.ts';

const SEED = 44;
const OWNERS = new Owners();

/** An agent on a WebSocket, and when its contacts come. */
interface Late {
  readonly agent: Agent;
  /** Loads that were begun, and how each is to end. */
  readonly loads: { bring(): void; fail(): void }[];
  readonly news: string[];
}

interface LateOptions {
  readonly isPublic?: boolean;
  /** Omitted: in memory. */
  readonly identity?: string;
}

async function late(sim: Simulation, host: VirtualHost, options: LateOptions = {}): Promise<Late> {
  const meetings = createMeetings(sharedEngine());
  const loads: Late['loads'] = [];
  const room = new MeetingRoom(() => {
    return new Promise<Meetings>((resolve, reject) => {
      loads.push({ bring: () => resolve(meetings), fail: () => reject(new Error('404')) });
    });
  });
  const shared: Shared = { host, engineName: 'wasm', room, owners: OWNERS, drivers: new Set() };
  const runtime = { shared, version: '0', openIdentity: (name?: string) => openIdentity(host, '/home', name) };
  const { isPublic = false, identity } = options;
  const agent = await sim.world.finish(
    Agent.start(runtime, {
      ...{ rendezvous: sim.rendezvous.url, hostname: 'alice', insecure: true, transport: 'websocket' },
      visibility: isPublic ? 'public' : 'private',
      ...(identity === undefined ? {} : { identity }),
    }),
  );
  const news: string[] = [];
  agent.on('diagnostics', ({ code }) => news.push(code));
  return { agent, loads, news };
}

async function world(): Promise<{ sim: Simulation; bob: Agent; host: VirtualHost }> {
  const sim = simulate({ seed: SEED });
  await sim.serve();
  const bob = await sim.agent('bob', { visibility: 'public' });
  return { sim, bob, host: sim.world.host('page') };
}

test('who registers, listens, looks and waits loads nothing', async () => {
  const { sim, bob, host } = await world();
  const { agent, loads } = await late(sim, host);
  agent.listen(1000).close();
  agent.datagrams(5000).close();
  expect([agent.trust.list(), agent.trust.pending(), agent.peers(), agent.connections()]).toEqual([[], [], [], []]);
  expect(agent.stats()).toMatchObject({ engine: 'wasm', carrier: 'websocket', peers: 0 });
  expect(await sim.world.finish(agent.find({ tag: 'none' }))).toEqual([]);
  await sim.world.elapse(600_000);
  expect(agent.isOnline).toBe(true);
  expect(loads).toEqual([]);
  await sim.end(bob, agent);
});

test('who names a peer waits for the load, which serves all who wait and those after them', async () => {
  const { sim, bob, host } = await world();
  const { agent, loads } = await late(sim, host);
  const both = Promise.all([agent.ping(bob.address), agent.dial(`${bob.nodeId}:7`)]);
  await sim.world.elapse(10_000);
  expect(loads).toHaveLength(1);
  loads[0]!.bring();
  const [, connection] = await sim.world.finish(both);
  await sim.world.finish(connection.close());
  await sim.world.finish(agent.ping(bob.address));
  expect(loads).toHaveLength(1);
  await sim.end(bob, agent);
});

test('what a peer sends meanwhile is held, and answered when the contacts are there', async () => {
  const { sim, bob, host } = await world();
  const { agent, loads } = await late(sim, host, { isPublic: true });
  const dialling = bob.dial(`${agent.nodeId}:7`);
  await sim.world.elapse(1_000);
  expect(loads).toHaveLength(1);
  const before = sim.world.now;
  loads[0]!.bring();
  const connection = await sim.world.finish(dialling);
  // The key exchange was not asked for again, which takes bob 4 s.
  expect(sim.world.now - before).toBeLessThan(1_500);
  await sim.world.finish(connection.close());
  await sim.end(bob, agent);
});

test('a load that fails is told to who waits, and is begun anew', async () => {
  const { sim, bob, host } = await world();
  const { agent, loads, news } = await late(sim, host, { isPublic: true });
  const failed = expect(agent.ping(bob.address)).rejects.toMatchObject({ code: 'UNREACHABLE', retryable: true });
  await sim.world.elapse(10);
  loads[0]!.fail();
  await failed;
  const dialling = bob.dial(`${agent.nodeId}:7`);
  await sim.world.elapse(1_000);
  expect(loads).toHaveLength(2);
  loads[1]!.fail();
  await sim.world.elapse(20);
  expect(news).toEqual(['peersNotLoaded']);
  expect(agent.stats().drops.noSlot).toBeGreaterThan(0);
  await sim.world.elapse(10_000);
  expect(loads).toHaveLength(3);
  loads[2]!.bring();
  await sim.world.finish((await sim.world.finish(dialling)).close());
  await sim.world.finish(agent.ping(bob.address));
  await sim.end(bob, agent);
});

test('one that is closed before they came does not miss them', async () => {
  const { sim, bob, host } = await world();
  const { agent, loads } = await late(sim, host);
  const failed = expect(agent.ping(bob.address)).rejects.toMatchObject({ code: 'CLOSED' });
  await sim.world.elapse(10);
  await sim.world.finish(agent.close());
  loads[0]!.bring();
  await failed;
  await sim.end(bob);
});

test('trust that is settled is read without them, and what is left to do fetches them', async () => {
  const { sim, bob, host } = await world();
  const first = await late(sim, host, { identity: 'alice' });
  const asking = first.agent.trust.request(bob.address, 'hello');
  await sim.world.elapse(10);
  first.loads[0]!.bring();
  expect(await sim.world.finish(asking)).toBe('sent');
  await sim.world.finish(first.agent.close());
  // Nobody answered.
  const second = await late(sim, host, { identity: 'alice' });
  await sim.world.elapse(10);
  expect(second.loads).toHaveLength(1);
  second.loads[0]!.bring();
  await sim.world.elapse(5_000);
  await sim.world.finish(bob.trust.approve(second.agent.address));
  await sim.world.finish(second.agent.trust.wait(bob.address));
  await sim.world.elapse(60_000);
  await sim.world.finish(second.agent.close());
  await sim.world.finish(bob.close());
  const third = await late(sim, host, { identity: 'alice' });
  await sim.world.elapse(20_000);
  expect(third.agent.trust.list()).toMatchObject([{ peer: bob.address, isMutual: true }]);
  expect(third.loads).toEqual([]);
  await sim.end(third.agent);
});

test('a letter in the mailbox fetches them, and is not lost', async () => {
  const { sim, bob, host } = await world();
  const first = await late(sim, host, { identity: 'alice' });
  const { nodeId } = first.agent;
  await sim.world.finish(first.agent.close());
  await sim.world.finish(bob.trust.request(`${nodeId}`, 'hello'));
  await sim.world.elapse(10_000);
  await sim.world.finish(bob.close());
  const { agent, loads } = await late(sim, host, { identity: 'alice' });
  await sim.world.elapse(1_000);
  expect(loads).toHaveLength(1);
  expect(agent.trust.pending()).toEqual([]);
  loads[0]!.bring();
  await sim.world.elapse(1_000);
  expect(agent.trust.pending()).toMatchObject([{ justification: 'hello' }]);
  await sim.end(agent);
});

test('what is held is bounded and copied, and asks once', () => {
  const profile = {
    ...{ publicKey: new Uint8Array(32), identity: 1, hostname: undefined, tags: [], isPublic: false, version: '0' },
    ...{ localPort: 0, lanAddresses: [], rendezvous: { host: '198.51.100.1', port: 9_000 } },
  };
  const endpoint = new Endpoint({
    ...{ unixOffset: 0, random: (into) => into.fill(3), profile, trustText: undefined, autoApprove: false },
    transport: 'websocket',
  });
  const events: Event[] = [];
  const asked = (): number => {
    for (let event = endpoint.pollEvent(); event !== undefined; event = endpoint.pollEvent()) events.push(event);
    return events.filter(({ type }) => type === 'meet').length;
  };
  // A relayed frame of a kind that is refused: it is counted when it is looked at.
  const letter = Uint8Array.of(6, 0, 0, 0, 2, ...Buffer.from('PILT'));
  const extra = 6;
  for (let i = 0; i < LIMITS.heldDatagrams + extra; i++) {
    const bytes = letter.slice();
    expect(endpoint.handleDatagram(0, endpoint.socketPath, bytes)).toBe(true);
    bytes.fill(0);
  }
  expect(endpoint.counters.dropped('noSlot')).toBe(extra);
  expect(asked()).toBe(1);
  endpoint.failMeeting();
  expect(endpoint.counters.dropped('noSlot')).toBe(extra + LIMITS.heldDatagrams);
  endpoint.handleDatagram(0, endpoint.socketPath, letter);
  letter.fill(0);
  expect(asked()).toBe(2);
  const { engine, pool } = createMeetings(sharedEngine());
  const owner = OWNERS.take();
  onTestFinished(() => OWNERS.give(owner));
  endpoint.meet(0, (...how) => new Contacts(...how), { engine, pool, owner });
  expect(endpoint.counters.drops()).toMatchObject({ noSlot: extra + LIMITS.heldDatagrams, plaintext: 1 });
  endpoint.close(0);
});
