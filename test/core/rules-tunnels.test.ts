/**
 * Single rules of keys, look-ups and the driver, each alone: what a frame that cannot be opened leads to, where answers
 * go, what a full queue takes, what an old link may still say.
 */
import { describe, expect, test } from 'vitest';
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import type { Host, Link, LinkHandler, UdpHandler } from '../../src/carrier/host.ts';
import { LIMITS } from '../../src/config.ts';
import { Admission, type Origin } from '../../src/core/admission.ts';
import { BufferPool } from '../../src/core/buffer.ts';
import { Directory } from '../../src/core/directory.ts';
import type { Event } from '../../src/core/events.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Keyring } from '../../src/core/keyring.ts';
import { Offer } from '../../src/core/offer.ts';
import { createParts, type Parts } from '../../src/core/parts.ts';
import { NO_PATH } from '../../src/core/paths.ts';
import { createPresence } from '../../src/core/presence.ts';
import { TrustTables } from '../../src/core/trust-tables.ts';
import { createShared } from '../../src/driver/shared.ts';
import { Driver } from '../../src/driver.ts';
import { type Engine, RX, STATUS } from '../../src/engine/engine.ts';
import { emitPila, emitPilk, type KeyExchange, parseKeyExchange, signedExchange } from '../../src/wire/key-exchange.ts';
import { sharedEngine } from './exchange-rig.ts';
import { Desk } from './registry-rig.ts';
import { keyOf } from './trust-harness.ts';

const KEYS = createPublicKeyJobs();
const OWN = KEYS.importIdentity(new Uint8Array(32).fill(1));
const NOW = 100_000;
const BEACON = 0;
const DIRECT = 1;

const PROFILE = {
  publicKey: OWN.publicKey,
  identity: OWN.identity,
  hostname: undefined,
  tags: [],
  isPublic: false,
  version: '0',
  localPort: 4_000,
  lanAddresses: [],
  rendezvous: { host: '198.51.100.1', port: 9_000 },
};

const straight: Origin = { path: DIRECT, isRelayed: false, sender: 0, source: '198.51.100.2' };

describe('tunnels', () => {
  interface Rig {
    readonly parts: Parts;
    readonly engine: Engine;
    /** Does the jobs that wait. */
    work(now: number): void;
  }

  function rig(): Rig {
    const engine = {
      memory: new Uint8Array(64),
      receive: new Uint32Array(64 * 16),
      transmit: new Uint32Array(64 * 16),
      claimTransmit: () => 0,
      hasTransmit: () => false,
      seal: () => {},
      sealed: () => 0,
      install: () => 1,
      wipe: () => {},
    } as unknown as Engine;
    const presence = createPresence({
      ...{ unixOffset: 0, profile: PROFILE, trustText: undefined, autoApprove: false },
      random: (into) => into.fill(3),
    });
    const parts = createParts(presence, { engine, owner: 0, pool: new BufferPool(), unixOffset: 0 });
    parts.paths.hold(parts.paths.intern('198.51.100.1', 9_001));
    parts.paths.hold(parts.paths.intern('198.51.100.2', 4_000));
    parts.departures.nodeId = 1;
    parts.departures.beaconPath = BEACON;
    parts.context.nodeId = 1;
    const work = (now: number): void => {
      for (let next = parts.jobs.poll(); next !== undefined; next = parts.jobs.poll()) {
        const { id, job } = next;
        if (job.kind === 'sign') parts.jobs.handle(now, id, KEYS.sign(job.identity, job.message));
        if (job.kind === 'verify') parts.jobs.handle(now, id, KEYS.verify(job.publicKey, job.message, job.signature));
        if (job.kind === 'createExchange') parts.jobs.handle(now, id, KEYS.createExchange(job.random));
        if (job.kind === 'forget') KEYS.forget(job.handle);
      }
    };
    return { parts, engine, work };
  }

  /** A frame that was not opened, in the name of `sender`. */
  function refused({ parts, engine }: Rig, status: number, sender: number): void {
    engine.receive[RX.status] = status;
    engine.receive[RX.sender] = sender;
    parts.tunnels.handleRecord(NOW, 0, straight);
  }

  /** Counts how often a new key is wanted for what cannot be opened. */
  function watched({ parts }: Rig, receivedAt: number): () => number {
    const peer = parts.peers.obtain(NOW, 2, true)!;
    peer.receivedAt = receivedAt;
    let count = 0;
    peer.exchange.handleUnreadable = () => {
      count += 1;
    };
    return () => count;
  }

  test('five frames in a row that cannot be opened lead to an exchange, not one', () => {
    const t = rig();
    const wanted = watched(t, NOW - 10_000);
    for (let i = 0; i < 4; i++) refused(t, STATUS.AEAD_FAILED, 2);
    expect(wanted()).toBe(0);
    refused(t, STATUS.AEAD_FAILED, 2);
    expect(wanted()).toBe(1);
  });

  test('beside a key that works forged frames are no failures', () => {
    const t = rig();
    const wanted = watched(t, NOW - 1_000);
    for (let i = 0; i < 50; i++) refused(t, STATUS.AEAD_FAILED, 2);
    expect(wanted()).toBe(0);
  });

  test('strangers whose frames find no session cause 100 exchanges a second, and a friend its own', () => {
    const t = rig();
    t.parts.trust.isTrusted = (_, peer) => peer === 999;
    for (let sender = 10; sender < 160; sender++) refused(t, STATUS.NO_SESSION, sender);
    expect(t.parts.counters.dropped('exchangeBudget')).toBe(50);
    expect(t.parts.peers.size).toBe(100);
    refused(t, STATUS.NO_SESSION, 999);
    expect(t.parts.peers.get(999)).toBeDefined();
  });

  test('frames in our own name, or before we have one, ask for no exchange', () => {
    const t = rig();
    refused(t, STATUS.NO_SESSION, 1);
    refused(t, STATUS.NO_SESSION, 0);
    t.parts.departures.nodeId = 0;
    refused(t, STATUS.NO_SESSION, 2);
    t.parts.tunnels.handleExchange(NOW, emitPilk(2, new Uint8Array(32).fill(9)), straight);
    expect(t.parts.counters.dropped('notRegistered')).toBe(1);
    expect(t.parts.peers.size).toBe(0);
  });

  test('an address that refuses leads those to the relay who use it, and nobody else', () => {
    const t = rig();
    const [here, there] = [t.parts.peers.obtain(NOW, 2, true)!, t.parts.peers.obtain(NOW, 3, true)!];
    here.path.suggest(DIRECT, false);
    there.path.suggest(BEACON, false);
    t.parts.tunnels.handleUnreachable(NOW, DIRECT);
    expect([here.path.isRelayed, there.path.isRelayed]).toEqual([true, false]);
  });

  test('two exchanges that stay unanswered lead to the relay', () => {
    const t = rig();
    const peer = t.parts.peers.obtain(NOW, 2, true)!;
    peer.path.suggest(DIRECT, false);
    peer.exchange.begin(NOW);
    const relayed = [0, 500, 1_500].map((ms) => {
      t.work(NOW + ms);
      t.parts.tunnels.tend(NOW + ms, peer);
      return peer.path.isRelayed;
    });
    expect(relayed).toEqual([false, false, true]);
  });

  test('a peer is located every 10 s at most', () => {
    const t = rig();
    const peer = t.parts.peers.obtain(NOW, 2, true)!;
    let asked = 0;
    t.parts.directory.location = (now, _, then) => {
      asked += 1;
      then(now, { ok: false, code: 'RENDEZVOUS_UNREACHABLE', message: '' });
    };
    for (const ms of [0, 1, 9_999]) t.parts.tunnels.contact(NOW + ms, peer);
    expect(asked).toBe(1);
    t.parts.tunnels.contact(NOW + 10_000, peer);
    expect(asked).toBe(2);
  });

  test('a punch is three packets', () => {
    const t = rig();
    t.parts.tunnels.punch(DIRECT);
    let sent = 0;
    while (t.parts.outbox.poll() !== undefined) sent += 1;
    expect(sent).toBe(3);
  });

  test('the answer to an exchange goes where the question came from', () => {
    const t = rig();
    const question = emitPilk(2, new Uint8Array(32).fill(9));
    const asks = (now: number): void => {
      t.parts.tunnels.handleExchange(now, question, straight);
      t.work(now);
      t.parts.tunnels.tend(now, t.parts.peers.get(2)!);
    };
    asks(NOW);
    const peer = t.parts.peers.get(2)!;
    expect(peer.path.direct).toBe(NO_PATH);
    t.parts.tunnels.tend(NOW + 500, peer);
    while (t.parts.outbox.poll() !== undefined);
    asks(NOW + 1_500);
    // The answer goes straight back; the retry that is due as well takes the way that we know.
    const paths: number[] = [];
    for (let next = t.parts.outbox.poll(); next !== undefined; next = t.parts.outbox.poll()) paths.push(next.path);
    expect(paths.filter((path) => path === DIRECT).length).toBe(1);
  });

  test('a key that trust became bound to meanwhile refuses another, and the first key is pinned', () => {
    const t = rig();
    const { parts } = t;
    const other = KEYS.importIdentity(new Uint8Array(32).fill(2));
    const noted: boolean[] = [];
    parts.trust.noteKey = (_now, _peer, key) => {
      expect(key).toEqual(other.publicKey);
      noted.push(noted.length === 1);
      return noted.at(-1)!;
    };
    parts.peers.obtain(NOW, 2, false)!.identityKey = other.publicKey;
    const unwanted = parts.peers.get(2)!.exchange;
    let handled = 0;
    unwanted.handleVerified = () => {
      handled += 1;
    };
    for (const byte of [4, 5]) {
      const exchangeKey = new Uint8Array(32).fill(byte);
      const signature = KEYS.sign(other.identity, signedExchange(2, exchangeKey));
      const pila = { sender: 2, exchangeKey, identityKey: other.publicKey, signature, recipientHint: 1 };
      parts.tunnels.handleExchange(NOW, emitPila(pila), straight);
      t.work(NOW);
      parts.tunnels.drain(NOW);
    }
    expect(noted).toEqual([false, true]);
    expect(parts.counters.dropped('exchangeKeyMismatch')).toBe(1);
    expect(handled).toBe(1);
  });
});

test('look-ups from all places together wait in a queue of 256', () => {
  const desk = new Desk();
  desk.client.start();
  desk.open();
  const directory = new Directory(desk.client);
  directory.nodeId = 1;
  const facts = (): { isTrusted: boolean; pinnedKey: undefined } => ({ isTrusted: true, pinnedKey: undefined });
  const admission = new Admission({ jobs: new Jobs(), directory, counters: desk.counters, facts });
  for (let sender = 10; sender < 310; sender++) {
    const fields = { exchangeKey: keyOf(sender), identityKey: keyOf(sender), signature: new Uint8Array(64) };
    const message = parseKeyExchange(emitPila({ ...fields, sender, recipientHint: 1 })) as KeyExchange;
    admission.verify(desk.now, message, { ...straight, source: `${sender}` });
  }
  expect(desk.counters.dropped('exchangeQueueFull')).toBe(300 - LIMITS.lookupQueue);
});

test('a key that was asked for by two is asked of the registry once', () => {
  const desk = new Desk();
  desk.client.start();
  desk.open();
  const directory = new Directory(desk.client);
  directory.nodeId = 1;
  let answers = 0;
  for (let i = 0; i < 3; i++) directory.key(desk.now, 2, () => (answers += 1));
  desk.reply = () => ({ public_key: 'AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=' });
  desk.run();
  expect(answers).toBe(3);
  expect(desk.types).toEqual(['lookup']);
});

test('an answer that comes while the request is being signed breaks the link, and is none', () => {
  const desk = new Desk();
  desk.client.start();
  desk.open();
  desk.isSlow = true;
  const answers: unknown[] = [];
  const request = { fields: { type: 'heartbeat' }, challenge: 'heartbeat:1' };
  desk.client.request(desk.now, request, (_, outcome) => answers.push(outcome));
  desk.sends({ type: 'heartbeat_ok' });
  expect(answers).toEqual([]);
  expect(desk.client.isOpen).toBe(false);
  expect(desk.counters.dropped('registryMalformed')).toBe(1);
});

test('a key that was replaced without ever being proven is no outdated one', () => {
  const ring = new Keyring({ wipe: () => {} } as unknown as Engine);
  const offer = new Offer(
    new Jobs(),
    { peerId: 2, isOurs: false },
    { exchange: 1, publicKey: keyOf(1) },
    new Uint8Array(144),
  );
  ring.add(0, 1, { offer, peerKey: keyOf(1) });
  ring.add(0, 2, { offer, peerKey: keyOf(2) });
  ring.handleAuthenticated(10, ring.find(2)!);
  expect(ring.current?.index).toBe(2);
  ring.handleTimeout(60_000);
  expect(ring.find(1)).toBeUndefined();
  expect(ring.isOutdated(keyOf(1))).toBe(false);
});

test('trust that grows keeps the key that it was bound to first', () => {
  const tables = new TrustTables(undefined);
  tables.trust(7, { publicKey: keyOf(7), isMutual: false, network: 12 }, 0);
  tables.trust(7, { publicKey: keyOf(7, 1), isMutual: true, network: 0 }, 1);
  expect(tables.node(7, 1)?.publicKey).toEqual(keyOf(7));
});

describe('the driver', () => {
  async function drive() {
    let now = NOW;
    let timers: { at: number; run: () => void }[] = [];
    const links: LinkHandler[] = [];
    const sockets: UdpHandler[] = [];
    /** Seeds of pairs, as they were left. */
    const drawn: Uint8Array[] = [];
    const link = { write: () => true, close: () => {}, destroy: () => {}, unref: () => {} } satisfies Link;
    const host = {
      runtime: 'test',
      now: () => now,
      unixNow: () => now,
      setTimer: (delayMs: number, run: () => void) => {
        const timer = { at: now + delayMs, run };
        timers.push(timer);
        return { cancel: () => (timers = timers.filter((one) => one !== timer)), unref: () => {} };
      },
      random: (into: Uint8Array) => into.fill(3),
      bindUdp: async ({ handler }: { handler: UdpHandler }) => {
        sockets.push(handler);
        return {
          local: { host: '0.0.0.0', port: 4_000 },
          send: () => {},
          unref: () => {},
          close: () => {},
        };
      },
      connectLink: (_: unknown, handler: LinkHandler) => {
        links.push(handler);
        return link;
      },
      jobs: {
        ...{ sign: KEYS.sign, verify: KEYS.verify, agree: KEYS.agree, forget: KEYS.forget },
        createExchange: (seed: Uint8Array) => {
          drawn.push(seed);
          return KEYS.createExchange(seed);
        },
      },
    } as unknown as Host;
    const { localPort: _, ...profile } = PROFILE;
    const driver = await Driver.open({
      ...{ shared: createShared(host, sharedEngine()), registry: { host: '198.51.100.1', port: 9_000 }, profile },
      ...{
        web: { base: 'ws://198.51.100.1:9000' },
        transport: 'udp',
        udp: { port: 4_000 },
        trustText: undefined,
        autoApprove: false,
        onEvent: () => {},
      },
    });
    await Promise.resolve();
    const [socket] = sockets;
    /** Lets `ms` pass at once: timers come as late as that. */
    const jump = (ms: number): void => {
      now += ms;
      const due = timers.filter(({ at }) => at <= now);
      timers = timers.filter(({ at }) => at > now);
      for (const { run } of due) run();
    };
    return { driver, links, jump, socket, drawn };
  }

  test('what an old link still says is not taken for the present one', async () => {
    const t = await drive();
    t.links[0]!.open();
    t.links[0]!.closed();
    for (let i = 0; i < 10; i++) t.jump(100);
    expect(t.links.length).toBe(2);
    t.links[1]!.open();
    t.links[0]!.closed();
    for (let i = 0; i < 10; i++) t.jump(100);
    expect(t.links.length).toBe(2);
    t.driver.close();
  });

  test('a timer that is more than 30 s late is a sleep', async () => {
    const t = await drive();
    let wakes = 0;
    t.driver.endpoint.handleWake = () => {
      wakes += 1;
    };
    for (let i = 0; i < 30; i++) t.jump(1_000);
    expect(wakes).toBe(0);
    t.jump(60_000);
    expect(wakes).toBe(1);
    t.driver.close();
  });

  test('the seed of a pair is wiped when the pair is made, and work that the runtime refuses is answered', async () => {
    const t = await drive();
    const { endpoint } = t.driver;
    const answers: [id: number, result: unknown][] = [];
    const events: Event[] = [
      { type: 'job', id: 7, job: { kind: 'createExchange', random: new Uint8Array(32).fill(5) } },
      { type: 'job', id: 8, job: { kind: 'sign', identity: 123_456, message: new Uint8Array(1) } },
    ];
    endpoint.pollEvent = () => events.shift();
    endpoint.handleJob = (_, id, result) => answers.push([id, result]);
    t.driver.flush();
    await Promise.resolve();
    expect(answers).toEqual([
      [7, expect.objectContaining({ publicKey: expect.any(Uint8Array) })],
      [8, undefined],
    ]);
    expect(t.drawn).toEqual([new Uint8Array(32)]);
    t.driver.close();
  });

  test('what is closed takes no datagrams', async () => {
    const t = await drive();
    t.driver.close();
    t.socket!.datagram(new Uint8Array(40), { host: '198.51.100.2', port: 4_000 });
    expect(t.driver.endpoint.counters.datagramsReceived).toBe(0);
  });
});
