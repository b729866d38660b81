/**
 * Attackers on the network, against agents that are working: what they send is dropped and counted by reason, and the
 * work goes on.
 */
import { expect, test } from 'vitest';
import type { Agent } from '../../bindings/node/index.ts';
import { Random, type Simulation, simulate } from '../../bindings/node/testing.ts';
import type { HostPort, UdpSocket } from '../../src/carrier/host.ts';
import { emitDiscover, emitPunchRequest } from '../../src/wire/beacon.ts';
import { emitPila, emitPilk } from '../../src/wire/key-exchange.ts';
import type { ReferencePeer } from '../reference/peer.ts';
import { hostPeer } from '../reference/peer-host.ts';

const SEED = 11;

/** Somebody with a socket. */
class Attacker {
  readonly sim: Simulation;
  readonly #socket: UdpSocket;
  readonly received: Uint8Array[];

  private constructor(sim: Simulation, socket: UdpSocket, received: Uint8Array[]) {
    this.sim = sim;
    this.#socket = socket;
    this.received = received;
  }

  static async in(sim: Simulation, name = 'mallory'): Promise<Attacker> {
    const received: Uint8Array[] = [];
    const handler = {
      datagram: (bytes: Uint8Array) => {
        received.push(bytes.slice());
      },
      released() {},
      unreachable() {},
    };
    return new Attacker(sim, await sim.world.host(name).bindUdp({ port: 666, handler }), received);
  }

  send(bytes: Uint8Array, to: HostPort): void {
    this.#socket.send(bytes.slice(), to, -1);
  }

  close(): void {
    this.#socket.close();
  }
}

interface Scene {
  readonly sim: Simulation;
  readonly alice: Agent;
  readonly bob: Agent;
  readonly mallory: Attacker;
  /** Where alice's socket is. */
  readonly target: HostPort;
  /** Every datagram that bob's machine sent to alice's so far. */
  readonly recorded: Uint8Array[];
}

async function scene(seed = SEED): Promise<Scene> {
  const sim = simulate({ seed });
  await sim.serve();
  const [alice, bob] = [await sim.agent('alice', { port: 4000 }), await sim.agent('bob', { port: 4000 })];
  const recorded: Uint8Array[] = [];
  sim.world.cut(({ sender, receiver, bytes }) => {
    if (receiver !== 'alice') return false;
    if (sender === 'bob') recorded.push(bytes.slice());
    // What the relay delivers is the same frame behind five bytes.
    if (sender === 'rendezvous' && bytes[0] === 6) recorded.push(bytes.slice(5));
    return false;
  });
  await sim.befriend(alice, bob);
  const hello = await sim.world.finish(alice.dial('bob:7'));
  await sim.world.finish(hello.close());
  await sim.world.elapse(6_000);
  const host = await sim.world.host('alice').resolve('alice');
  return { sim, alice, bob, mallory: await Attacker.in(sim), target: { host, port: 4000 }, recorded };
}

/** The pair still works, under the key it had unless told otherwise. */
async function works({ sim, alice, bob, mallory }: Scene, options: { rekeys?: number } = {}): Promise<void> {
  const echo = await sim.world.finish(alice.dial('bob:7'));
  const writer = echo.writable.getWriter();
  const reader = echo.readable.getReader();
  await sim.world.finish(writer.write(Uint8Array.of(42)));
  expect([...((await sim.world.finish(reader.read())).value ?? [])]).toEqual([42]);
  await sim.world.finish(writer.close());
  await sim.world.finish(alice.ping(bob.address));
  expect(alice.stats().rekeys).toBeLessThanOrEqual(options.rekeys ?? 0);
  mallory.close();
  await sim.end(alice, bob);
}

test('replayed encrypted frames are counted and change nothing', async () => {
  const s = await scene();
  const frames = s.recorded.filter((bytes) => String.fromCharCode(...bytes.subarray(0, 4)) === 'PILS');
  expect(frames.length).toBeGreaterThan(3);
  for (const frame of [...frames, ...frames]) s.mallory.send(frame, s.target);
  await s.sim.world.elapse(1_000);
  const { drops } = s.alice.stats();
  expect((drops.replay ?? 0) + (drops.outsideWindow ?? 0)).toBe(2 * frames.length);
  // DP 3.12: after some silence they are a reason to offer a new key, which is taken make-before-break.
  await works(s, { rekeys: 1 });
});

test('a replayed key exchange does not take the session away', async () => {
  const s = await scene();
  const exchanges = s.recorded.filter((bytes) => String.fromCharCode(...bytes.subarray(0, 4)) === 'PILA');
  expect(exchanges.length).toBeGreaterThan(0);
  for (let i = 0; i < 20; i++) {
    for (const frame of exchanges) s.mallory.send(frame, s.target);
    await s.sim.world.elapse(300);
  }
  await works(s);
});

test('forged frames in the name of a peer do not end its session', async () => {
  const s = await scene();
  const random = new Random(SEED);
  for (let i = 0; i < 500; i++) {
    const frame = new Uint8Array(100);
    random.fill(frame);
    frame.set([0x50, 0x49, 0x4c, 0x53, 0, 0, 0, s.bob.nodeId]);
    s.mallory.send(frame, s.target);
    if (i % 50 === 0) await s.sim.world.elapse(500);
  }
  await s.sim.world.elapse(2_000);
  expect(s.alice.stats().drops.aeadFailed).toBe(500);
  // They may lead to an offer of a new key, which bob takes part in; the stream goes on meanwhile.
  await works(s, { rekeys: 3 });
});

test('plaintext, punches, fragments and unknown frames are dropped by name', async () => {
  const s = await scene();
  const send = (text: string, length = 60): void => {
    const bytes = new Uint8Array(length);
    bytes.set([...text].map((letter) => letter.charCodeAt(0)));
    s.mallory.send(bytes, s.target);
  };
  const punches = s.alice.stats().drops.punch ?? 0;
  for (const magic of ['PILT', 'PILP', 'PILF', 'PILX', 'HTTP']) send(magic);
  s.mallory.send(Uint8Array.of(0x50), s.target);
  s.mallory.send(Uint8Array.of(6, 0, 0, 0, 2, 0x50), s.target);
  await s.sim.world.elapse(500);
  expect((s.alice.stats().drops.punch ?? 0) - punches).toBe(1);
  expect(s.alice.stats().drops).toMatchObject({
    plaintext: 1,
    fragment: 1,
    unknownMagic: 2,
    tooShort: 1,
    notFromBeacon: 1,
  });
  await works(s);
});

test('an anonymous key exchange is answered by a signed one and never makes a session', async () => {
  const s = await scene();
  const key = new Uint8Array(32).fill(9);
  const before = s.alice.stats().keyExchanges;
  s.mallory.send(emitPilk(77, key), s.target);
  s.mallory.send(emitPilk(s.bob.nodeId, key), s.target);
  await s.sim.world.elapse(2_000);
  expect(s.alice.stats().keyExchanges).toBe(before);
  for (const answer of s.mallory.received) expect(String.fromCharCode(...answer.subarray(0, 4))).toMatch(/PIL[AK]/);
  await works(s);
});

test('a key exchange with the right name and the wrong key is refused', async () => {
  const s = await scene();
  const { jobs } = s.sim.world.host('mallory');
  const seed = new Uint8Array(32).fill(3);
  const { identity, publicKey } = await jobs.importIdentity(seed);
  const exchange = await jobs.createExchange(new Uint8Array(32).fill(5));
  for (const sender of [s.bob.nodeId, 4_000_000]) {
    const message = new Uint8Array([0x61, 0x75, 0x74, 0x68, 0, 0, 0, 0, ...exchange.publicKey]);
    new DataView(message.buffer).setUint32(4, sender);
    const signature = await jobs.sign(identity, message);
    s.mallory.send(emitPila({ sender, exchangeKey: exchange.publicKey, identityKey: publicKey, signature }), s.target);
  }
  await s.sim.world.elapse(2_000);
  expect(s.alice.stats().drops).toMatchObject({ exchangeKeyMismatch: 1, exchangeUnknownNode: 1 });
  expect(s.mallory.received).toEqual([]);
  await works(s);
});

test('a flood of key exchanges from strangers costs a bounded number of verifications and nobody else anything', async () => {
  const s = await scene();
  const random = new Random(SEED);
  const SECONDS = 5;
  for (let i = 0; i < 1_000 * SECONDS; i++) {
    const [exchangeKey, identityKey, signature] = [new Uint8Array(32), new Uint8Array(32), new Uint8Array(64)];
    for (const bytes of [exchangeKey, identityKey, signature]) random.fill(bytes);
    s.mallory.send(emitPila({ sender: 1_000 + i, exchangeKey, identityKey, signature }), s.target);
    if (i % 100 === 99) await s.sim.world.elapse(100);
  }
  const { drops } = s.alice.stats();
  const looked = (drops.exchangeUnknownNode ?? 0) + (drops.exchangeBadSignature ?? 0);
  // The stranger column of config.ts: 100 verifications and 50 look-ups a second, with a second's worth saved up.
  expect(looked).toBeLessThanOrEqual(50 * (SECONDS + 2));
  expect((drops.exchangeBudget ?? 0) + (drops.exchangeQueueFull ?? 0)).toBeGreaterThan(3_000);
  expect(s.alice.peers().length).toBeLessThan(5);
  await works(s);
});

test('a beacon hijack by Discover or punch request does not move the victim', async () => {
  const s = await scene();
  const beacon = { host: await s.sim.world.host('alice').resolve('rendezvous'), port: 9001 };
  for (let i = 0; i < 5; i++) {
    s.mallory.send(emitDiscover(s.bob.nodeId), beacon);
    s.mallory.send(emitDiscover(s.bob.nodeId, { publicKey: s.bob.publicKey }), beacon);
    s.mallory.send(emitPunchRequest(s.bob.nodeId, s.alice.nodeId), beacon);
    await s.sim.world.elapse(1_000);
  }
  // From here on only the relay connects the two.
  s.sim.world.block('alice', 'bob');
  await s.sim.world.elapse(25_000);
  const connection = await s.sim.world.finish(s.alice.dial('bob:7', { timeoutMs: 60_000 }), 90_000);
  await s.sim.world.finish(connection.close());
  const relayed = s.mallory.received.filter((bytes) => bytes[0] === 6);
  expect(relayed).toEqual([]);
  s.sim.world.unblock('alice', 'bob');
  await works(s, { rekeys: 3 });
});

test('any bytes at all are dropped and counted, one by one', async () => {
  const s = await scene();
  const random = new Random(SEED);
  const count = (agent: Agent): number => Object.values(agent.stats().drops).reduce((sum, n) => sum + n, 0);
  const before = count(s.alice);
  const SENT = 3_000;
  const magics = ['PILS', 'PILA', 'PILK', 'PILT', 'PILP', 'PILF', ''];
  for (let i = 0; i < SENT; i++) {
    const bytes = new Uint8Array(random.between(1, 300));
    random.fill(bytes);
    const magic = magics[i % magics.length]!;
    if (bytes.length >= 4) bytes.set([...magic].map((letter) => letter.charCodeAt(0)));
    s.mallory.send(bytes, s.target);
    if (i % 50 === 49) await s.sim.world.elapse(60);
  }
  await s.sim.world.elapse(1_000);
  // A well-formed PILK is no drop: it is answered, within the budget of strangers.
  const answered = new Set(s.mallory.received.map((bytes) => String(bytes))).size;
  expect(SENT - (count(s.alice) - before)).toBeLessThanOrEqual(answered);
  await works(s);
});

test('every recorded frame with one bit flipped, and cut at each length, is refused', async () => {
  const s = await scene();
  const frame = s.recorded.findLast((bytes) => bytes[3] === 0x53)!;
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const changed = frame.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    s.mallory.send(changed, s.target);
    if (bit % 60 === 59) await s.sim.world.elapse(10);
  }
  for (let length = 1; length < frame.length; length++) {
    s.mallory.send(frame.subarray(0, length), s.target);
    if (length % 60 === 59) await s.sim.world.elapse(10);
  }
  const opened = s.alice.stats().drops.replay ?? 0;
  expect(opened).toBe(0);
  await s.sim.world.elapse(3_000);
  await works(s, { rekeys: 3 });
});

/** A node of the existing network that registered and has keys with alice, but no trust. */
async function stranger(s: Scene): Promise<{ peer: ReferencePeer; close(): void }> {
  const host = s.sim.world.host('stranger');
  const rendezvous = await host.resolve('rendezvous');
  const hosted = await s.sim.world.finish(
    hostPeer({
      host,
      generation: 'new',
      name: 'stranger',
      bind: { port: 4000 },
      beacon: { host: rendezvous, port: 9001 },
      registry: { host: rendezvous, port: 9000 },
    }),
  );
  hosted.peer.start({});
  await s.sim.world.runUntil(() => hosted.peer.nodeId !== 0);
  hosted.peer.introduce({ nodeId: s.alice.nodeId, identityKey: s.alice.publicKey, endpoint: s.target });
  hosted.peer.reach(s.alice.nodeId);
  await s.sim.world.runUntil(() => hosted.peer.hasKey(s.alice.nodeId));
  return hosted;
}

test('a flood of SYNs from a stranger with keys opens nothing but a few trust streams', async () => {
  const s = await scene();
  const mallory = await stranger(s);
  s.alice.listen(1000);
  for (let i = 0; i < 2_000; i++) {
    const fields = { protocol: 1, flags: 1, sourcePort: 1_000 + i, destinationPort: i % 2 === 0 ? 444 : 1000, seq: i };
    mallory.peer.sendPacket(s.alice.nodeId, fields);
    if (i % 50 === 49) await s.sim.world.elapse(50);
  }
  const { drops } = s.alice.stats();
  expect(s.alice.connections().filter(({ peer }) => peer.node !== s.bob.nodeId)).toEqual([]);
  expect(drops.untrusted).toBe(1_000);
  // Design decision 11: one a second, four at once.
  expect(drops.synLimited).toBeGreaterThan(980);
  mallory.close();
  await s.sim.world.elapse(40_000);
  await works(s);
});

test('trust that only one side reports, and an approval that nobody asked for, let nobody in', async () => {
  const s = await scene();
  const mallory = await stranger(s);
  mallory.peer.trust.trust(s.alice.nodeId);
  mallory.peer.trust.approve(s.alice.nodeId);
  await s.sim.world.elapse(5_000);
  mallory.peer.dial(s.alice.nodeId, 7);
  await s.sim.world.elapse(10_000);
  expect(s.alice.connections().filter(({ peer }) => peer.node !== s.bob.nodeId)).toEqual([]);
  expect(s.alice.trust.list().map(({ peer }) => peer.node)).toEqual([s.bob.nodeId]);
  expect(s.alice.stats().drops.untrusted).toBeGreaterThan(0);
  expect(s.alice.stats().drops.trustRefused).toBeGreaterThan(0);
  mallory.close();
  await works(s);
});

test('a flood of trust requests fills no more than its share, and friends stay friends', async () => {
  const s = await scene();
  const mallory = await stranger(s);
  for (let i = 0; i < 40; i++) {
    mallory.peer.trust.request(s.alice.nodeId, `please ${i}`);
    await s.sim.world.elapse(300);
  }
  await s.sim.world.elapse(20_000);
  expect(s.alice.trust.pending().length).toBe(1);
  expect(s.alice.trust.list().length).toBe(1);
  mallory.close();
  await s.sim.world.elapse(40_000);
  await works(s);
});
