import { expect, test } from 'vitest';
import { Beacon, type BeaconOptions, type EndpointAuthority } from '../../src/server/beacon.ts';
import {
  discoverText,
  emitDiscover,
  emitDiscoverReply,
  emitPunchRequest,
  emitSync,
  writeRelayHeader,
} from '../../src/wire/beacon.ts';
import { parseHostPort } from '../../src/wire/host-port.ts';
import { readVectors } from '../vectors/folder.ts';
import { hex, Identity, random, verifyEd25519 } from './rig.ts';

interface Sent {
  to: string;
  data: string;
}

/** A beacon with a clock set by hand; sources are written `host:port`. */
class Rig {
  readonly beacon: Beacon;
  now = 0;
  /** Jobs wait until `verify`, if set. */
  holdsJobs = false;
  jobs = 0;

  constructor(options: BeaconOptions = {}) {
    this.beacon = new Beacon(options);
  }

  send(from: string, bytes: Uint8Array): Sent[] {
    const colon = from.lastIndexOf(':');
    const origin = { host: from.slice(0, colon), port: Number(from.slice(colon + 1)) };
    this.beacon.handleDatagram(this.now, origin.port, origin, bytes.slice());
    const sent = this.drain();
    if (!this.holdsJobs) this.verify();
    return sent;
  }

  drain(): Sent[] {
    const sent: Sent[] = [];
    for (let next = this.beacon.pollTransmit(); next !== undefined; next = this.beacon.pollTransmit()) {
      sent.push({ to: `${next.host}:${next.port}`, data: Buffer.from(next.bytes).toString('hex') });
      if (next.path !== -1) expect(next.path).toBe(next.port);
    }
    return sent;
  }

  verify(): void {
    for (let job = this.beacon.pollJob(); job !== undefined; job = this.beacon.pollJob()) {
      this.jobs += 1;
      this.beacon.handleJob(this.now, job.id, verifyEd25519(job.publicKey, job.message, job.signature));
    }
  }

  elapse(ms: number): Sent[] {
    this.now += ms;
    this.beacon.handleTimeout(this.now);
    return this.drain();
  }

  relay(from: string, sender: number, destination: number, payload = 'abcd'): Sent[] {
    const bytes = new Uint8Array(9 + payload.length / 2);
    writeRelayHeader(bytes, 0, sender, destination);
    bytes.set(hex(payload), 9);
    return this.send(from, bytes);
  }

  /** Where frames for a node go. */
  endpoint(nodeId: number): string | undefined {
    return this.relay('192.0.2.200:1', 4_000_000, nodeId)[0]?.to;
  }

  count(name: Parameters<Beacon['tally']['get']>[0]): number {
    return this.beacon.tally.get(name);
  }
}

const alice = new Identity('alice');
const eve = new Identity('eve');
const HOME = '198.51.100.1:4000';
const AWAY = '203.0.113.66:4000';

function signed(identity: Identity, nodeId: number, signedAtMs: number): Uint8Array {
  const signature = identity.signBytes(discoverText(nodeId, signedAtMs));
  return emitDiscover(nodeId, { publicKey: identity.publicKey, signedAtMs, signature });
}

/** A registry that knows node 1 as alice, registered from HOME. */
function registry(nodeId: number): EndpointAuthority | undefined {
  return nodeId === 1 ? { publicKey: alice.publicKey, registeredHost: '198.51.100.1' } : undefined;
}

interface Vector {
  note: string;
  from: string;
  message: string;
  message_note?: string;
  received_by_a: { data: string; length?: number }[];
  received_by_b: { data: string; length?: number }[];
}

test('the recorded beacon messages get the recorded replies, but for type 8', () => {
  const recorded = readVectors<Vector[]>('beacon');
  const a = recorded.find((vector) => vector.received_by_a.length > 0 && vector.received_by_b.length === 0)!.from;
  const b = recorded.find(({ from }) => from !== a)!.from;
  const rig = new Rig({ peers: [parseHostPort(a)!] });
  for (const vector of recorded) {
    rig.now += 1_001;
    const length = Number(/^message is (\d+) bytes/.exec(vector.message_note ?? '')?.[1] ?? 0);
    const message = hex(vector.message.replace('...', ''));
    const bytes = new Uint8Array(Math.max(length, message.length));
    bytes.set(message);
    const sent = rig.send(vector.from, bytes);
    if (message[0] === 8 && message.length >= 5) {
      // The newest beacons take it for a Discover (DP 4.1).
      const { host, port } = parseHostPort(vector.from)!;
      const reply = Buffer.from(emitDiscoverReply(host, port)).toString('hex');
      expect(sent).toEqual([{ to: vector.from, data: reply }]);
      continue;
    }
    for (const [socket, received] of [
      [a, vector.received_by_a],
      [b, vector.received_by_b],
    ] as const) {
      const got = sent.filter(({ to }) => to === socket).map(({ data }) => data);
      expect(
        got.map((data) => data.length / 2),
        vector.note,
      ).toEqual(received.map((r) => r.length ?? r.data.length / 2));
      received.forEach(({ data }, i) => {
        expect(got[i]!.startsWith(data.replace('...', '')), vector.note).toBe(true);
      });
    }
  }
});

test('an unsigned Discover from elsewhere does not take over a node that is alive', () => {
  const rig = new Rig({ authority: registry });
  rig.send(HOME, emitDiscover(1));
  expect(rig.send(AWAY, emitDiscover(1)), 'the reply shows the mapping all the same').toEqual([
    { to: AWAY, data: '0204cb0071420fa0' },
  ]);
  expect(rig.endpoint(1)).toBe(HOME);
  expect(rig.count('endpointHeld')).toBe(1);
});

test('a forged punch request does not take over a node either', () => {
  const rig = new Rig({ authority: (id) => ({ publicKey: eve.publicKey, registeredHost: `198.51.100.${id}` }) });
  rig.send(HOME, emitDiscover(1));
  rig.send('198.51.100.2:4000', emitDiscover(2));
  expect(rig.send(AWAY, emitPunchRequest(1, 2))).toEqual([]);
  expect(rig.endpoint(1)).toBe(HOME);
});

test('an unsigned Discover moves a node that never signed, from the address of its registration', () => {
  const rig = new Rig({ authority: registry });
  rig.send(HOME, emitDiscover(1));
  rig.send('198.51.100.1:5000', emitDiscover(1));
  expect(rig.endpoint(1)).toBe('198.51.100.1:5000');
});

test('unsigned moves are 30 s apart, unless the node comes home', () => {
  const rig = new Rig({ authority: registry });
  const at = (port: number): string => `198.51.100.1:${port}`;
  rig.send(at(1), emitDiscover(1));
  rig.send(at(2), emitDiscover(1));
  rig.now += 29_999;
  rig.send(at(3), emitDiscover(1));
  expect(rig.endpoint(1)).toBe(at(2));
  expect(rig.count('endpointTooSoon')).toBe(1);
  rig.now += 1;
  rig.send(at(3), emitDiscover(1));
  expect(rig.endpoint(1)).toBe(at(3));
  rig.now += 60_000;
  rig.send(AWAY, emitDiscover(1));
  expect(rig.endpoint(1), 'silent for a minute').toBe(AWAY);
  rig.now += 1;
  rig.send(at(3), emitDiscover(1));
  expect(rig.endpoint(1), 'home again').toBe(at(3));
});

test('a node that speaks, by Discover or by relaying, is not silent', () => {
  const rig = new Rig({ authority: registry });
  rig.send(HOME, emitDiscover(1));
  rig.now += 59_000;
  rig.relay(HOME, 1, 77);
  rig.now += 59_000;
  rig.send(AWAY, emitDiscover(1));
  expect(rig.endpoint(1)).toBe(HOME);
});

test('a signed Discover moves the node at once, from anywhere', () => {
  const rig = new Rig({ authority: registry });
  rig.send(HOME, emitDiscover(1));
  rig.send(AWAY, signed(alice, 1, 1_000));
  expect(rig.endpoint(1)).toBe(AWAY);
  rig.send(HOME, signed(alice, 1, 1_001));
  expect(rig.endpoint(1)).toBe(HOME);
});

test('once a node signed, nothing unsigned moves it while it is remembered', () => {
  const rig = new Rig({ authority: registry });
  rig.send(AWAY, signed(alice, 1, 1_000));
  rig.now += 599_000;
  rig.send(HOME, emitDiscover(1, { publicKey: alice.publicKey }));
  expect(rig.endpoint(1)).toBe(AWAY);
  expect(rig.count('notSigned')).toBe(1);
  rig.now += 2_000;
  rig.send(HOME, emitDiscover(1));
  expect(rig.endpoint(1), 'forgotten after ten minutes').toBe(HOME);
});

test('a recorded signed Discover moves nothing', () => {
  const rig = new Rig({ authority: registry });
  const old = signed(alice, 1, 1_000);
  rig.send(HOME, old);
  rig.send(HOME, signed(alice, 1, 2_000));
  rig.send(AWAY, old);
  rig.send(AWAY, signed(alice, 1, 2_000));
  expect(rig.endpoint(1)).toBe(HOME);
  expect(rig.count('staleSignature')).toBe(2);
  expect(rig.jobs, 'and costs no verification').toBe(2);
});

test('the order of two verifications does not matter', () => {
  const rig = new Rig({ authority: registry });
  rig.holdsJobs = true;
  rig.send(AWAY, signed(alice, 1, 1_000));
  rig.send(HOME, signed(alice, 1, 2_000));
  const [older, newer] = [rig.beacon.pollJob()!, rig.beacon.pollJob()!];
  rig.beacon.handleJob(0, newer.id, true);
  rig.beacon.handleJob(0, older.id, true);
  expect(rig.endpoint(1)).toBe(HOME);
});

test('a signature by another key, with the right or the wrong key beside it, moves nothing', () => {
  const rig = new Rig({ authority: registry });
  rig.send(HOME, emitDiscover(1));
  rig.send(AWAY, signed(eve, 1, 1_000));
  expect(rig.count('keyMismatch')).toBe(1);
  const signature = eve.signBytes(discoverText(1, 1_000));
  rig.send(AWAY, emitDiscover(1, { publicKey: alice.publicKey, signedAtMs: 1_000, signature }));
  expect(rig.count('badSignature')).toBe(1);
  rig.send(AWAY, signed(alice, 2, 1_000).fill(1, 4, 5));
  expect(rig.count('badSignature')).toBe(2);
  expect(rig.endpoint(1)).toBe(HOME);
});

test('every flipped bit of a signed Discover leaves the endpoint where it is', () => {
  const rig = new Rig({ authority: registry, isTrustedSource: () => true });
  rig.send(HOME, signed(alice, 1, 1_000));
  const bytes = signed(alice, 1, 2_000);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    rig.now += 1;
    // Bit 0…7 may make it a message of another type; 8 means the same as 1 and is signed alike.
    if (damaged[0] === 8) continue;
    rig.send(AWAY, damaged);
    expect(rig.endpoint(1), `bit ${bit}`).toBe(HOME);
  }
});

test('without a registry a key is bound by its first signature', () => {
  const rig = new Rig();
  rig.send(HOME, signed(alice, 1, 1_000));
  rig.send(AWAY, signed(eve, 1, 2_000));
  expect(rig.endpoint(1)).toBe(HOME);
  expect(rig.count('keyMismatch')).toBe(1);
});

test('a node that the registry does not know gets its reply and no endpoint', () => {
  const rig = new Rig({ authority: registry });
  expect(rig.send(AWAY, emitDiscover(5))).toHaveLength(1);
  expect(rig.send(AWAY, signed(eve, 5, 1_000))).toHaveLength(1);
  expect(rig.beacon.nodeCount).toBe(0);
  expect(rig.count('unknownNode')).toBe(2);
});

test('one source can ask for 100 verifications a second', () => {
  const rig = new Rig({ authority: registry });
  for (let i = 1; i <= 150; i++) rig.send(AWAY, signed(alice, 1, i));
  expect(rig.count('verifyBudget')).toBe(50);
  rig.send(HOME, signed(alice, 1, 1_000));
  expect(rig.endpoint(1), 'another source is not affected').toBe(HOME);
});

test('verifications that wait are bounded', () => {
  const rig = new Rig({ authority: registry, isTrustedSource: () => true });
  rig.holdsJobs = true;
  for (let i = 1; i <= 1_100; i++)
    rig.send(AWAY, emitDiscover(1, { publicKey: alice.publicKey, signedAtMs: i, signature: new Uint8Array(64) }));
  expect(rig.count('verifyBudget')).toBe(76);
});

test('a full table is silent to new nodes and takes them when old ones are forgotten', () => {
  const rig = new Rig({ nodes: 2 });
  rig.send('192.0.2.1:1', emitDiscover(1));
  rig.send('192.0.2.2:1', emitDiscover(2));
  expect(rig.send('192.0.2.3:1', emitDiscover(3))).toEqual([]);
  expect(rig.count('nodesFull')).toBe(1);
  expect(rig.send('192.0.2.3:1', emitDiscover(0)), 'an address costs no room').toHaveLength(1);
  rig.now += 600_001;
  expect(rig.send('192.0.2.3:1', emitDiscover(3))).toHaveLength(1);
  expect(rig.beacon.nodeCount).toBe(1);
});

test('a relayed frame goes out in the buffer it came in', () => {
  const rig = new Rig();
  rig.send('192.0.2.2:1', emitDiscover(2));
  const bytes = new Uint8Array(20).fill(7);
  writeRelayHeader(bytes, 0, 1, 2);
  rig.beacon.handleDatagram(0, 5, { host: '192.0.2.1', port: 1 }, bytes);
  const sent = rig.beacon.pollTransmit()!;
  expect(sent.bytes.buffer).toBe(bytes.buffer);
  expect(Buffer.from(sent.bytes).toString('hex')).toBe(`0600000001${'07'.repeat(11)}`);
});

test('a node that said 8 gets extended deliveries', () => {
  const rig = new Rig();
  rig.send('192.0.2.2:1', hex('0800000002'));
  expect(rig.relay('192.0.2.1:1', 1, 2)).toEqual([{ to: '192.0.2.2:1', data: '090000000100000002abcd' }]);
  rig.send('192.0.2.2:1', emitDiscover(2));
  expect(rig.relay('192.0.2.1:1', 1, 2)[0]!.data).toBe('0600000001abcd');
});

test('a source relays 4000 packets a second; this machine a hundred times as many', () => {
  const rig = new Rig();
  rig.send('192.0.2.2:1', emitDiscover(2));
  rig.send(HOME, emitDiscover(1));
  const relayed = (from: string, sender: number, count: number): number => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += rig.relay(from, sender, 2).length;
    return sum;
  };
  expect(relayed(HOME, 1, 4_100)).toBe(4_000);
  expect(relayed(AWAY, 1, 4_100), 'with a forged sender').toBe(4_000);
  expect(relayed(AWAY, 3, 100), 'another forged sender, same source').toBe(0);
  expect(relayed('127.0.0.1:9', 9, 5_000)).toBe(5_000);
  rig.now += 100;
  expect(relayed(HOME, 1, 1_000)).toBe(400);
});

test('a sender at its endpoint and forged ones from its host have a budget each', () => {
  const rig = new Rig({ relayPacketsPerSecond: 10 });
  rig.send('192.0.2.2:1', emitDiscover(2));
  rig.send(HOME, emitDiscover(1));
  rig.send('198.51.100.1:5000', emitDiscover(3));
  const relayed = (from: string, sender: number): number => {
    let sum = 0;
    for (let i = 0; i < 20; i++) sum += rig.relay(from, sender, 2).length;
    return sum;
  };
  expect(relayed('198.51.100.1:6000', 1), 'forged').toBe(10);
  expect(relayed(HOME, 1), 'the sender itself').toBe(10);
  expect(relayed('198.51.100.1:5000', 3), 'another behind the same address').toBe(10);
  expect(relayed('198.51.100.1:6000', 3), 'forged, again').toBe(0);
});

test('a source punches once a second', () => {
  const rig = new Rig();
  rig.send(HOME, emitDiscover(1));
  rig.send('192.0.2.2:1', emitDiscover(2));
  expect(rig.send(HOME, emitPunchRequest(1, 2))).toHaveLength(2);
  rig.now += 999;
  expect(rig.send(HOME, emitPunchRequest(1, 2))).toEqual([]);
  expect(rig.send('192.0.2.2:1', emitPunchRequest(2, 1)), 'another source').toHaveLength(2);
  rig.now += 1;
  expect(rig.send(HOME, emitPunchRequest(1, 2))).toHaveLength(2);
  const gap = new Rig({ punchGapMs: 100 });
  gap.send(HOME, emitDiscover(1));
  gap.send('192.0.2.2:1', emitDiscover(2));
  expect(gap.send(HOME, emitPunchRequest(1, 2))).toHaveLength(2);
  expect(gap.send('192.0.2.2:1', emitPunchRequest(2, 1))).toEqual([]);
});

test('a punch tells nothing to those who may not know, and nothing about oneself', () => {
  const rig = new Rig({ mayPunch: (requester, target) => requester === 1 && target === 2 });
  rig.send(HOME, emitDiscover(1));
  rig.send('192.0.2.2:1', emitDiscover(2));
  expect(rig.send(HOME, emitPunchRequest(1, 2))).toHaveLength(2);
  expect(rig.send('192.0.2.2:1', emitPunchRequest(2, 1))).toEqual([]);
  rig.now += 1_000;
  expect(rig.send(HOME, emitPunchRequest(1, 1))).toEqual([]);
});

test('announcements count from configured beacons only, and for 90 s', () => {
  const peer = '192.0.2.9:9001';
  const rig = new Rig({ id: 3, peers: [{ host: '192.0.2.9', port: 9001 }] });
  rig.send(AWAY, emitSync(9, [50]));
  expect(rig.relay(HOME, 1, 50)).toEqual([]);
  expect(rig.count('syncFromStranger')).toBe(1);
  rig.send(peer, emitSync(9, [50, 51]));
  expect(rig.relay(HOME, 1, 50)).toEqual([{ to: peer, data: '050000000100000032abcd' }]);
  rig.send(peer, emitSync(9, [51]));
  expect(rig.relay(HOME, 1, 50), 'replaced').toEqual([]);
  expect(rig.relay(peer, 1, 51), 'never from beacon to beacon').toEqual([]);
  rig.now += 90_001;
  expect(rig.relay(HOME, 1, 51)).toEqual([]);
});

test('a beacon announces its nodes to configured beacons every 10 s', () => {
  const rig = new Rig({ id: 3, peers: [{ host: '192.0.2.9', port: 9001 }] });
  rig.send(HOME, emitDiscover(1));
  const expected = [{ to: '192.0.2.9:9001', data: '0700000003000100000001' }];
  expect(rig.elapse(0)).toEqual(expected);
  expect(rig.elapse(9_999)).toEqual([]);
  expect(rig.elapse(1)).toEqual(expected);
});

test('a poke is two bytes, at most one a second and node, and a held one comes later', () => {
  const rig = new Rig();
  rig.send(HOME, emitDiscover(1));
  const poke = (): Sent[] => {
    rig.beacon.notify(rig.now, 1);
    return rig.drain();
  };
  expect(poke()).toEqual([{ to: HOME, data: '0a01' }]);
  rig.now += 400;
  expect([...poke(), ...poke()]).toEqual([]);
  expect(rig.beacon.pollTimeout()).toBeLessThanOrEqual(1_000);
  expect(rig.elapse(600)).toEqual([{ to: HOME, data: '0a01' }]);
  expect(rig.elapse(5_000)).toEqual([]);
  rig.beacon.notify(rig.now, 77);
  expect(rig.drain()).toEqual([]);
});

test('random datagrams get no more out than they put in, and throw nothing', () => {
  const rig = new Rig();
  rig.send(HOME, emitDiscover(1));
  const next = random(11);
  for (let round = 0; round < 5_000; round++) {
    const bytes = new Uint8Array(Math.floor(next() * 120));
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(next() * 256);
    if (bytes.length > 0) bytes[0] = Math.floor(next() * 12);
    rig.now += 1;
    expect(rig.send(`192.0.2.${1 + (round % 250)}:7`, bytes).length).toBeLessThanOrEqual(2);
  }
});
