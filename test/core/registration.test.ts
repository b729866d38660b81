import { beforeEach, expect, test } from 'vitest';
import { type Profile, Registration, type RegistrationNews } from '../../src/core/registration.ts';
import { toBase64 } from '../../src/wire/base64.ts';
import { parseBeacon } from '../../src/wire/beacon.ts';
import { Desk } from './registry-rig.ts';

const OWN = '198.51.100.7';
const BEACONS = { beacons: [{ id: 1, addr: '203.0.113.5:9001' }] };

let desk: Desk;
let it: Registration;
beforeEach(() => {
  desk = new Desk();
  it = make();
});

function make(more: Partial<Profile> = {}): Registration {
  const profile: Profile = {
    publicKey: desk.publicKey,
    identity: desk.identity,
    hostname: undefined,
    tags: [],
    isPublic: false,
    version: '1',
    localPort: 4000,
    lanAddresses: [],
    rendezvous: { host: '203.0.113.5', port: 9000 },
    ...more,
  };
  return new Registration(desk.client, desk.jobs, profile, 1_700_000_000_000);
}

function elapse(ms: number): void {
  desk.elapse(ms, [it]);
}

/** The link opens, and the registry says where the beacon is. */
function arrive(beacons: Record<string, unknown> = BEACONS): void {
  desk.run();
  desk.commands.length = 0;
  desk.commands.push('open');
  desk.open();
  it.handleOpen(desk.now);
  desk.run();
  expect(desk.answer(beacons).type).toBe('beacon_list');
  it.handleTimeout(desk.now);
  desk.run();
}

function leave(): void {
  desk.close();
  it.handleClosed(undefined);
}

/** Started, seen by the beacon, registered as node 7, described, its mailbox read. */
function online(answer: Record<string, unknown> = {}): void {
  it.start(desk.now);
  it.handleReflexive(desk.now, OWN, 4001);
  arrive();
  expect(desk.answer({ node_id: 7, observed_addr: `${OWN}:4001`, ...answer }).type).toBe('register');
  settle();
  frames();
  news();
}

/** From now on all is answered at once but requests of this type. */
function settle(type = ''): void {
  desk.reply = (request) => (request.type === type ? undefined : {});
  elapse(0);
}

function news(): RegistrationNews[] {
  const all: RegistrationNews[] = [];
  for (let next = it.pollNews(); next !== undefined; next = it.pollNews()) all.push(next);
  return all;
}

function frames(): ReturnType<typeof parseBeacon>[] {
  desk.run();
  const all: ReturnType<typeof parseBeacon>[] = [];
  for (let next = it.pollFrame(); next !== undefined; next = it.pollFrame()) all.push(parseBeacon(next));
  return all;
}

/** How often a request of this type was made so far. */
const count = (type: string): number => desk.types.filter((one) => one === type).length;

test('it asks the beacon for its address and opens the link at the same time', () => {
  it.start(desk.now);
  desk.run();
  expect(desk.commands).toEqual(['open']);
  expect(frames()).toMatchObject([{ type: 'discover', nodeId: 0 }]);
  expect(news()).toEqual([{ type: 'beacon', host: '203.0.113.5', port: 9001 }]);
});

test('registration names the reflexive address, signed', () => {
  it = make({ hostname: 'alice', lanAddresses: ['192.168.1.2:4000'] });
  it.start(desk.now);
  expect(it.handleReflexive(desk.now, OWN, 4001)).toBe(true);
  arrive();
  const request = desk.answer({ node_id: 7, hostname: 'alice' });
  const key = toBase64(desk.publicKey);
  expect(request).toMatchObject({
    type: 'register',
    listen_addr: `${OWN}:4001`,
    public_key: key,
    hostname: 'alice',
    lan_addrs: ['192.168.1.2:4000'],
  });
  expect(desk.isSigned(request, `register:${OWN}:4001:${key}`)).toBe(true);
  expect(news()).toContainEqual({ type: 'registered', nodeId: 7, hostname: 'alice', hostnameError: undefined });
  expect([it.nodeId, it.isOnline]).toEqual([7, true]);
  expect(frames().at(-1)).toMatchObject({ type: 'discover', nodeId: 7, publicKey: desk.publicKey });
});

test('registration waits 400 ms for the address, then goes without it, and is made again when it comes', () => {
  it.start(desk.now);
  arrive();
  expect(count('register')).toBe(0);
  elapse(399);
  expect(count('register')).toBe(0);
  elapse(1);
  expect(desk.answer({ node_id: 7, observed_addr: `${OWN}:4000` }).listen_addr).toBe('0.0.0.0:4000');
  settle('register');
  it.handleReflexive(desk.now, OWN, 61_234);
  elapse(10);
  expect(desk.answer({ node_id: 7, observed_addr: `${OWN}:61234` }).listen_addr).toBe(`${OWN}:61234`);
  settle();
  elapse(10_000);
  expect(count('register')).toBe(2);
});

test('an address that the registry has already is not registered again', () => {
  it.start(desk.now);
  arrive();
  elapse(400);
  desk.answer({ node_id: 7, observed_addr: `${OWN}:4000` });
  settle();
  it.handleReflexive(desk.now, OWN, 4000);
  elapse(10_000);
  expect(count('register')).toBe(1);
});

test('an address that comes while a registration is under way is not lost', () => {
  it.start(desk.now);
  arrive();
  elapse(400);
  it.handleReflexive(desk.now, OWN, 4444);
  desk.answer({ node_id: 7, observed_addr: `${OWN}:4000` });
  settle('register');
  elapse(10);
  expect(desk.asked[0]).toMatchObject({ listen_addr: `${OWN}:4444` });
});

test('an address that jumps to and fro makes us register every 5 s, not each time', () => {
  online();
  const before = count('register');
  desk.reply = (request) => (request.type === 'register' ? { node_id: 7 } : {});
  for (let i = 0; i < 300; i++) {
    elapse(100);
    // As if each of ours were answered twice, from two addresses.
    if (frames().length === 0) continue;
    it.handleReflexive(desk.now, OWN, 5_000 + (i % 2));
    it.handleReflexive(desk.now, OWN, 6_000 + (i % 2));
  }
  expect(count('register') - before).toBeLessThanOrEqual(7);
});

test('a reply is believed for 2 s after our own question', () => {
  it.start(desk.now);
  desk.now += 2_001;
  expect(it.handleReflexive(desk.now, OWN, 4001)).toBe(false);
  expect(it.reflexive).toBeUndefined();
});

test('a private address is believed of a beacon that may be private, and of no other', () => {
  it.start(desk.now);
  expect(it.handleReflexive(desk.now, '192.168.1.5', 4001)).toBe(true);
  expect(it.reflexive).toBeUndefined();
  for (const host of ['127.0.0.1', 'localhost', 'registry.example']) {
    it = make({ rendezvous: { host, port: 9000 } });
    it.start(desk.now);
    it.handleReflexive(desk.now, '127.0.0.1', 4001);
    expect(it.reflexive, host).toEqual({ host: '127.0.0.1', port: 4001 });
  }
});

test('the beacon is asked every 25 s, and sooner while it does not answer', () => {
  online();
  it.handleReflexive(desk.now, OWN, 4001);
  let sent = 0;
  for (let i = 0; i < 1_000; i++) {
    elapse(100);
    const asked = frames().length;
    sent += asked;
    if (asked > 0) it.handleReflexive(desk.now, OWN, 4001);
  }
  expect(sent).toBe(4);
});

test('the beacon that the registry names is taken; one that listens everywhere is where the registry is', () => {
  it.start(desk.now);
  news();
  arrive({ beacons: [{ id: 1, addr: '198.51.100.9:7001' }] });
  expect(news()).toEqual([{ type: 'beacon', host: '198.51.100.9', port: 7001 }]);
  it = make();
  it.start(desk.now);
  news();
  leave();
  desk.elapse(500);
  arrive({ beacons: [{ id: 1, addr: ':7001' }, null, { addr: 5 }] });
  expect(news()).toEqual([{ type: 'beacon', host: '203.0.113.5', port: 7001 }]);
});

test('a signed Discover has a time that rises, even when the clock is set back', () => {
  online({ discover_sig: true });
  elapse(60_000);
  it.setUnixOffset(1_600_000_000_000);
  elapse(60_000);
  const times = frames().map((message) => (message?.type === 'discover' ? message.signedAt : undefined));
  expect(times.length).toBeGreaterThan(3);
  for (const [i, time] of times.entries()) if (i > 0) expect(time!).toBeGreaterThan(times[i - 1]!);
});

test('heartbeats go every minute; a registry that forgot us is told again at once', () => {
  online();
  elapse(60_000);
  expect(count('heartbeat')).toBe(1);
  settle('heartbeat');
  elapse(60_000);
  const before = count('register');
  expect(desk.isSigned(desk.refuse('node 7: node not found'), 'heartbeat:7')).toBe(true);
  elapse(1);
  expect(count('register')).toBe(before + 1);
});

test('other failures of a heartbeat lead to a registration after three in a row', () => {
  online();
  const before = count('register');
  desk.reply = (request) => (request.type === 'heartbeat' ? 'rate limited' : {});
  const registrations = [1, 2, 3].map(() => {
    elapse(60_000);
    return count('register') - before;
  });
  expect(registrations).toEqual([0, 0, 1]);
});

test('a registration that is refused is tried again after 1 s, doubling to 30 s, and tells of it', () => {
  it.start(desk.now);
  it.handleReflexive(desk.now, OWN, 4001);
  arrive();
  news();
  const gaps: number[] = [];
  for (let i = 0; i < 8; i++) {
    desk.refuse('request failed');
    expect(news()).toEqual([{ type: 'state', isOnline: false, code: 'REGISTRY_REFUSED' }]);
    const from = desk.now;
    while (desk.asked.length === 0) elapse(20);
    gaps.push(desk.now - from);
  }
  const jitter = 1 + desk.publicKey[2]! / 512;
  for (const [i, gap] of gaps.entries()) {
    expect(gap / (Math.min(1_000 * 2 ** i, 30_000) * jitter), `gap ${i}`).toBeCloseTo(1, 1);
  }
  desk.answer({ node_id: 7 });
  expect(it.isOnline).toBe(true);
});

test('an answer without a usable node id is a failure', () => {
  for (const node_id of [0, -3, '7', undefined]) {
    desk = new Desk();
    it = make();
    it.start(desk.now);
    it.handleReflexive(desk.now, OWN, 4001);
    arrive();
    news();
    desk.answer({ node_id });
    expect([it.isOnline, news()]).toEqual([false, [{ type: 'state', isOnline: false, code: 'PROTOCOL' }]]);
  }
});

test('an address that cannot be changed now leaves us online', () => {
  online();
  settle('register');
  it.handleReflexive(desk.now, OWN, 4_999);
  elapse(1);
  expect(desk.refuse('rate limited').type).toBe('register');
  expect([it.isOnline, news().filter(({ type }) => type === 'state')]).toEqual([true, []]);
});

test('without link there are neither heartbeats nor polls, nor timers for them', () => {
  online();
  leave();
  expect(news()).toEqual([{ type: 'state', isOnline: false, code: undefined }]);
  const before = desk.types.length;
  elapse(200_000);
  expect(desk.types.length).toBe(before);
});

test('a link that comes back means a registration, although an old one was still waiting', () => {
  online();
  settle('register');
  it.handleReflexive(desk.now, OWN, 4_999);
  elapse(1);
  leave();
  const before = count('register');
  desk.reply = (request) => (request.type === 'register' ? { node_id: 7, observed_addr: `${OWN}:4999` } : BEACONS);
  elapse(500);
  desk.open();
  it.handleOpen(desk.now);
  elapse(10_000);
  expect(count('register') - before).toBeLessThanOrEqual(2);
  expect(it.isOnline).toBe(true);
});

test('the mailbox is read every 30 s, every 2 s while answers are awaited', () => {
  online();
  const polls = (ms: number): number => {
    const before = count('poll_handshakes');
    elapse(ms);
    return count('poll_handshakes') - before;
  };
  expect(polls(60_000)).toBe(2);
  it.setFastPoll(desk.now, true);
  expect(polls(20_000)).toBeGreaterThanOrEqual(9);
  it.setFastPoll(desk.now, false);
  expect(polls(60_000)).toBeLessThanOrEqual(3);
});

test('a hint of the beacon makes us read the mailbox at once, at most every 2 s, and is never lost', () => {
  online();
  elapse(10_000);
  settle('poll_handshakes');
  const before = count('poll_handshakes');
  it.handleNotify(desk.now);
  elapse(1);
  expect(count('poll_handshakes')).toBe(before + 1);
  // While it is being read: what came behind is looked for again.
  it.handleNotify(desk.now);
  desk.answer({});
  elapse(2_100);
  expect(count('poll_handshakes')).toBe(before + 2);
  desk.answer({});
  // Right behind a reading.
  it.handleNotify(desk.now);
  elapse(2_100);
  expect(count('poll_handshakes')).toBe(before + 3);
  settle();
  for (let i = 0; i < 100; i++) {
    it.handleNotify(desk.now);
    elapse(100);
  }
  expect(count('poll_handshakes') - before).toBeLessThanOrEqual(9);
});

test('a hint before registration asks for nothing', () => {
  it.start(desk.now);
  arrive();
  it.handleNotify(desk.now);
  elapse(100);
  expect(count('poll_handshakes')).toBe(0);
});

test('a mailbox whose answer was lost is not read by the same request again', () => {
  online();
  settle('poll_handshakes');
  elapse(30_000);
  expect(desk.asked).toHaveLength(1);
  const before = count('poll_handshakes');
  leave();
  elapse(400);
  desk.open();
  expect(count('poll_handshakes')).toBe(before);
});

test('what was read is passed on, and acknowledged with the next reading', () => {
  online();
  it.acknowledgeMailbox(41);
  it.acknowledgeMailbox(12);
  news();
  settle('poll_handshakes');
  elapse(30_000);
  const request = desk.answer({ requests: [1] });
  expect(request).toMatchObject({ node_id: 7, ack: 41 });
  expect(desk.isSigned(request, 'poll_handshakes:7')).toBe(true);
  expect(news()).toEqual([{ type: 'mailbox', answer: { type: 'poll_handshakes_ok', requests: [1] } }]);
});

test('tags and visibility are told, and again with a heartbeat when that was too much at once', () => {
  it = make({ tags: ['search'], isPublic: true });
  it.start(desk.now);
  it.handleReflexive(desk.now, OWN, 4001);
  arrive();
  desk.answer({ node_id: 7 });
  const told: string[] = [];
  let refusal: string | undefined = 'rate limited';
  desk.reply = (request) => {
    if (!request.type.startsWith('set_')) return {};
    told.push(request.type);
    return refusal ?? {};
  };
  elapse(0);
  expect(told).toEqual(['set_tags', 'set_visibility']);
  refusal = undefined;
  elapse(60_000);
  expect(told).toEqual(['set_tags', 'set_visibility', 'set_tags', 'set_visibility']);
  elapse(120_000);
  expect(told).toHaveLength(4);
});
