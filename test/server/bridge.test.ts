/** The beacon's WebSocket road, without sockets: who is let in, who has to go, and why. */
import { expect, test } from 'vitest';
import type { Host, ServerWebSocketHandler, ServerWebSocketLink } from '../../src/carrier/host.ts';
import { WAITING_MESSAGE_BYTES } from '../../src/config.ts';
import { Beacon } from '../../src/server/beacon.ts';
import { BRIDGE_LIMITS, Bridge } from '../../src/server/bridge.ts';
import { emitDiscover, emitPunchRequest, writeRelayHeader } from '../../src/wire/beacon.ts';
import {
  CHALLENGE_PASSED,
  challengeText,
  emitChallengeReply,
  parseChallenge,
  WEB_CLOSE,
} from '../../src/wire/compat.ts';
import { Identity, verifyEd25519 } from './rig.ts';

const alice = new Identity('alice');
const bob = new Identity('bob');
const NODES: { readonly [id: number]: Identity } = { 1: alice, 2: bob };
const STRANGER = { host: '198.51.100.7', isTrusted: false };

/** One client's link, as the server sees it. */
class Client implements ServerWebSocketLink {
  readonly sent: (Uint8Array | string)[] = [];
  readonly closed: number[] = [];
  pings = 0;
  bufferedBytes = 0;
  handler!: ServerWebSocketHandler;

  send(message: Uint8Array | string): void {
    this.sent.push(typeof message === 'string' ? message : message.slice());
  }

  close(code = 1000): void {
    this.closed.push(code);
  }

  ping(): void {
    this.pings += 1;
  }

  destroy(): void {}
  unref(): void {}

  /** The answer to the challenge that it got. */
  reply(nodeId: number, identity: Identity, about = this): string {
    const challenge = parseChallenge(about.sent[0] as string);
    if (challenge === undefined) throw new Error('no challenge');
    const signature = identity.signBytes(challengeText(nodeId, challenge));
    return emitChallengeReply({ nodeId, publicKey: identity.publicKey, signature });
  }

  get frames(): string[] {
    return this.sent.filter((one) => typeof one !== 'string').map((one) => Buffer.from(one).toString('hex'));
  }
}

/** A bridge with its beacon and clock. */
class Rig {
  now = 1_000;
  unixMs = 1_800_000_000_400;
  readonly beacon: Beacon;
  readonly bridge: Bridge;
  #seed = 0;

  constructor() {
    const authority = (id: number): { publicKey: Uint8Array; registeredHost: string } | undefined => {
      const identity = NODES[id];
      return identity && { publicKey: identity.publicKey, registeredHost: '192.0.2.1' };
    };
    const host = {
      now: () => this.now,
      unixNow: () => this.unixMs,
      random: (into: Uint8Array) => into.fill(++this.#seed),
      jobs: { verify: verifyEd25519 },
    } as unknown as Host;
    this.beacon = new Beacon({ authority });
    const onHeard = (): void => {
      for (let next = this.beacon.pollTransmit(); next !== undefined; next = this.beacon.pollTransmit()) {
        if (next.path > 0) this.bridge.send(next.path, next.bytes);
        else this.udp.push(`${next.host}:${next.port} ${Buffer.from(next.bytes).toString('hex')}`);
      }
    };
    this.heard = onHeard;
    this.bridge = new Bridge({ host, beacon: this.beacon, authority, onHeard });
  }

  readonly heard: () => void;
  readonly udp: string[] = [];

  connect(caller = STRANGER): Client {
    const client = new Client();
    client.handler = this.bridge.accept(client, caller);
    client.handler.open();
    return client;
  }

  proven(nodeId: number): Client {
    const client = this.connect();
    client.handler.message(client.reply(nodeId, NODES[nodeId]!));
    expect(client.sent[1]).toBe(CHALLENGE_PASSED);
    return client;
  }

  elapse(ms: number): void {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 1_000;
      this.bridge.handleTick();
    }
  }

  count(name: Parameters<Bridge['tally']['get']>[0]): number {
    return this.bridge.tally.get(name);
  }
}

function relay(from: number, to: number, frame: string): Uint8Array {
  const body = Buffer.from(frame, 'hex');
  const bytes = new Uint8Array(9 + body.length);
  writeRelayHeader(bytes, 0, from, to);
  bytes.set(body, 9);
  return bytes;
}

test('who signed the challenge relays, and gets what is relayed', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  a.handler.message(relay(1, 2, 'c0ffee'));
  expect(b.frames).toEqual(['0600000001c0ffee']);
  expect([a.closed, b.closed]).toEqual([[], []]);
  expect(rig.beacon.carriedCount).toBe(2);
});

test('unsigned words over UDP prepare no place for a node that is on a link', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  const b = rig.proven(2);
  rig.beacon.handleDatagram(rig.now, 0, { host: '203.0.113.66', port: 666 }, emitDiscover(2));
  rig.heard();
  expect(rig.udp).toHaveLength(1);
  b.handler.closed({ code: 1006, reason: '' });
  rig.udp.length = 0;
  a.handler.message(relay(1, 2, 'aa'));
  expect([rig.udp, rig.beacon.tally.get('relayUnknown'), rig.beacon.tally.get('endpointHeld')]).toEqual([[], 1, 1]);
});

test('frames go from UDP to a link and from a link to UDP', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  const at = { host: '192.0.2.1', port: 4000 };
  rig.beacon.handleDatagram(rig.now, 0, at, emitDiscover(2, { publicKey: bob.publicKey }));
  rig.heard();
  rig.udp.length = 0;
  a.handler.message(relay(1, 2, 'aa'));
  expect(rig.udp).toEqual(['192.0.2.1:4000 0600000001aa']);
  rig.beacon.handleDatagram(rig.now, 0, at, relay(2, 1, 'bb'));
  rig.heard();
  expect(a.frames).toEqual(['0600000002bb']);
});

test('a node on a link is reached there, wherever its endpoint was, until the link ends', () => {
  const rig = new Rig();
  const at = { host: '192.0.2.1', port: 4000 };
  rig.beacon.handleDatagram(rig.now, 0, at, emitDiscover(1));
  const [a, b] = [rig.proven(1), rig.proven(2)];
  rig.heard();
  rig.udp.length = 0;
  b.handler.message(relay(2, 1, 'aa'));
  expect([a.frames, rig.udp]).toEqual([['0600000002aa'], []]);
  a.handler.closed({ code: 1006, reason: '' });
  b.handler.message(relay(2, 1, 'bb'));
  expect([a.frames.length, rig.udp]).toEqual([1, ['192.0.2.1:4000 0600000002bb']]);
});

test('there is nothing to punch: neither side is told anything', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  const at = { host: '192.0.2.1', port: 4000 };
  // The endpoint that it had before does not count.
  for (const id of [1, 2]) rig.beacon.handleDatagram(rig.now, 0, { ...at, port: id }, emitDiscover(id));
  rig.heard();
  rig.udp.length = 0;
  a.handler.message(emitPunchRequest(1, 2));
  rig.beacon.handleDatagram(rig.now, 0, { ...at, port: 2 }, emitPunchRequest(2, 1));
  rig.heard();
  expect([a.frames, rig.udp, rig.beacon.tally.get('punchRelayOnly')]).toEqual([[], [], 2]);
});

test('a Discover gets no reply, and a hint about mail goes over the link', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  a.handler.message(emitDiscover(1));
  expect(a.frames).toEqual([]);
  rig.beacon.notify(rig.now, 1);
  rig.heard();
  expect(a.frames).toEqual(['0a01']);
});

test.each([
  ['a relay', relay(2, 1, 'aa')],
  ['a punch request', emitPunchRequest(2, 1)],
  ['a Discover', emitDiscover(2)],
])('%s in the name of another closes the link, and nobody else notices', (_, message) => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  a.handler.message(message);
  expect([a.closed, b.closed, b.frames, a.frames]).toEqual([[WEB_CLOSE.foreignSender], [], [], []]);
  expect([rig.count('bridgeForeignSender'), rig.beacon.carriedCount]).toEqual([1, 1]);
  // What was under way behind it.
  a.handler.message(relay(1, 2, 'aa'));
  expect(b.frames).toEqual([]);
});

test('text after the proof closes the link', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  a.handler.message('{}');
  expect([a.closed, rig.count('bridgeText')]).toEqual([[WEB_CLOSE.wrongKind], 1]);
});

test.each([
  ['bytes', relay(1, 2, '')],
  ['no JSON', '{'],
  ['null', 'null'],
  ['another type', '{"type":"auth_ok"}'],
  ['node id 0', emitChallengeReply({ nodeId: 0, publicKey: alice.publicKey, signature: new Uint8Array(64) })],
  ['a short key', emitChallengeReply({ nodeId: 1, publicKey: new Uint8Array(31), signature: new Uint8Array(64) })],
  ['a short signature', emitChallengeReply({ nodeId: 1, publicKey: alice.publicKey, signature: new Uint8Array(63) })],
])('%s instead of the proof closes the link', (_, message) => {
  const rig = new Rig();
  const a = rig.connect();
  a.handler.message(message);
  expect([a.closed, rig.count('bridgeUnproven')]).toEqual([[WEB_CLOSE.notProven], 1]);
});

test('a signature of another key, or with another key, proves nothing', () => {
  const rig = new Rig();
  const [a, b] = [rig.connect(), rig.connect()];
  a.handler.message(a.reply(1, bob));
  // The key that the registry has, and a signature that is not of it.
  const challenge = parseChallenge(b.sent[0] as string)!;
  const signature = bob.signBytes(challengeText(1, challenge));
  b.handler.message(emitChallengeReply({ nodeId: 1, publicKey: alice.publicKey, signature }));
  expect([a.closed, b.closed]).toEqual([[WEB_CLOSE.notProven], [WEB_CLOSE.notProven]]);
  expect([rig.count('bridgeBadSignature'), rig.beacon.carriedCount]).toEqual([2, 0]);
});

test('a proof that was recorded proves nothing on another link', () => {
  const rig = new Rig();
  const a = rig.connect();
  const recorded = a.reply(1, alice);
  a.handler.message(recorded);
  const thief = rig.connect();
  thief.handler.message(recorded);
  expect([thief.closed, a.closed]).toEqual([[WEB_CLOSE.notProven], []]);
});

test('a challenge that is old by the wall clock is not answered any more', () => {
  const rig = new Rig();
  const a = rig.connect();
  rig.unixMs += BRIDGE_LIMITS.toleranceMs + 1_000;
  a.handler.message(a.reply(1, alice));
  expect([a.closed, rig.count('bridgeStale')]).toEqual([[WEB_CLOSE.notProven], 1]);
});

test('a node that the registry does not know is told to register first', () => {
  const rig = new Rig();
  const a = rig.connect();
  a.handler.message(a.reply(3, alice));
  expect([a.closed, rig.count('bridgeNotRegistered')]).toEqual([[WEB_CLOSE.notRegistered], 1]);
});

test('who proves nothing within ten seconds has to go', () => {
  const rig = new Rig();
  const [a, b] = [rig.connect(), rig.proven(2)];
  rig.elapse(9_000);
  expect(a.closed).toEqual([]);
  rig.elapse(1_000);
  expect([a.closed, b.closed, rig.count('bridgeUnproven')]).toEqual([[WEB_CLOSE.notProven], [], 1]);
});

test('one address has a budget of proofs, and others have theirs', () => {
  const rig = new Rig();
  let refused = 0;
  for (let i = 0; i < 200; i++) {
    const a = rig.connect();
    a.handler.message(a.reply(1, bob));
    if (a.closed[0] === WEB_CLOSE.busy) refused += 1;
  }
  expect([refused, rig.count('bridgeVerifyBudget')]).toEqual([100, 100]);
  const other = rig.connect({ host: '198.51.100.8', isTrusted: false });
  other.handler.message(other.reply(1, alice));
  expect(other.sent[1]).toBe(CHALLENGE_PASSED);
});

test('the newest link of a node is the one, and the older is told so', () => {
  const rig = new Rig();
  const [older, b] = [rig.proven(1), rig.proven(2)];
  const newer = rig.proven(1);
  expect([older.closed, newer.closed, rig.count('bridgeReplaced')]).toEqual([[WEB_CLOSE.replaced], [], 1]);
  older.handler.closed({ code: WEB_CLOSE.replaced, reason: '' });
  b.handler.message(relay(2, 1, 'aa'));
  expect([newer.frames, older.frames]).toEqual([['0600000002aa'], []]);
});

test('links are pinged each 30 s, and one that is silent for 90 s is closed', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  for (let i = 0; i < 3; i++) {
    rig.elapse(30_000);
    b.handler.alive();
  }
  expect([a.pings, b.pings]).toEqual([2, 3]);
  expect([a.closed, b.closed, rig.count('bridgeSilent')]).toEqual([[WEB_CLOSE.silent], [], 1]);
});

test('what a full link does not take is dropped, and one that takes nothing is closed', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  a.handler.message(relay(1, 2, 'aa'));
  b.bufferedBytes = BRIDGE_LIMITS.waitingBytes;
  a.handler.message(relay(1, 2, 'bb'));
  expect([b.frames.length, rig.count('bridgeDropped')]).toEqual([1, 1]);
  rig.elapse(9_000);
  expect(b.closed).toEqual([]);
  b.bufferedBytes -= 6 + WAITING_MESSAGE_BYTES;
  a.handler.message(relay(1, 2, 'cc'));
  rig.elapse(1_000);
  expect([b.frames.length, b.closed]).toEqual([2, []]);
  rig.elapse(9_000);
  expect(b.closed).toEqual([]);
  rig.elapse(1_000);
  expect([b.closed, a.closed, rig.count('bridgeSlow')]).toEqual([[WEB_CLOSE.slow], [], 1]);
});

test('all links together do not hold more than their share', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  const crowd = Array.from({ length: 65 }, () => rig.connect());
  for (const one of crowd) one.bufferedBytes = BRIDGE_LIMITS.waitingBytes;
  const b = rig.proven(2);
  rig.elapse(1_000);
  a.handler.message(relay(1, 2, 'aa'));
  expect([b.frames.length, rig.count('bridgeDropped')]).toEqual([0, 1]);
});

test('all addresses of one subscriber of IPv6 share one budget of proofs', () => {
  const rig = new Rig();
  for (let i = 1; i <= 101; i++) {
    const client = rig.connect({ host: `2001:db8::${i.toString(16)}`, isTrusted: false });
    client.handler.message(client.reply(1, bob));
  }
  expect([rig.count('bridgeBadSignature'), rig.count('bridgeVerifyBudget')]).toEqual([100, 1]);
});

test('what waits for links that were closed counts until they are gone', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  const crowd = Array.from({ length: 65 }, () => rig.connect());
  for (const one of crowd) {
    one.handler.message('no proof');
    one.bufferedBytes = BRIDGE_LIMITS.waitingBytes;
  }
  rig.elapse(1_000);
  a.handler.message(relay(1, 2, 'aa'));
  expect([b.frames.length, rig.count('bridgeDropped')]).toEqual([0, 1]);
  for (const one of crowd) one.handler.closed({ code: 1006, reason: '' });
  rig.elapse(1_000);
  a.handler.message(relay(1, 2, 'aa'));
  expect(b.frames.length).toBe(1);
});

test('short messages are charged what it costs to keep them', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  b.bufferedBytes = BRIDGE_LIMITS.waitingBytes - 300;
  a.handler.message(relay(1, 2, 'aa'));
  expect([b.frames.length, rig.count('bridgeDropped')]).toEqual([0, 1]);
});

test('a node relays as much as its budget has', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.proven(2)];
  for (let i = 0; i < 4_100; i++) a.handler.message(relay(1, 2, 'aa'));
  expect([b.frames.length, rig.beacon.tally.get('relayLimited'), a.closed]).toEqual([4_000, 100, []]);
});

test('malformed messages are counted, and the link stays', () => {
  const rig = new Rig();
  const a = rig.proven(1);
  for (const bytes of [[], [5], [5, 0, 0, 0, 1], [6, 0, 0, 0, 1], [255, 1]]) a.handler.message(Uint8Array.from(bytes));
  expect([a.closed, rig.beacon.tally.get('malformed')]).toEqual([[], 4]);
});

test('a server that ends says so', () => {
  const rig = new Rig();
  const [a, b] = [rig.proven(1), rig.connect()];
  rig.bridge.close();
  expect([a.closed, b.closed, rig.beacon.carriedCount]).toEqual([[WEB_CLOSE.goingAway], [WEB_CLOSE.goingAway], 0]);
});
