import { beforeEach, expect, test } from 'vitest';
import { Directory, type Found, type Location } from '../../src/core/directory.ts';
import { toBase64 } from '../../src/wire/base64.ts';
import { Desk } from './registry-rig.ts';

const KEY = new Uint8Array(32).fill(3);
const OTHER = new Uint8Array(32).fill(4);

let desk: Desk;
let directory: Directory;
beforeEach(() => {
  desk = new Desk();
  directory = new Directory(desk.client);
  directory.nodeId = 7;
  desk.client.start();
  desk.open();
});

function key(peer: number, isBackground = false): Found<Uint8Array>[] {
  const found: Found<Uint8Array>[] = [];
  directory.key(desk.now, peer, (_, one) => found.push(one), isBackground);
  desk.run();
  return found;
}

function location(peer: number): Found<Location>[] {
  const found: Found<Location>[] = [];
  directory.location(desk.now, peer, (_, one) => found.push(one));
  desk.run();
  return found;
}

function name(hostname: string): Found<number>[] {
  const found: Found<number>[] = [];
  directory.name(desk.now, hostname, (_, one) => found.push(one));
  desk.run();
  return found;
}

test('a key is asked for once, however many want it, and kept for an hour', () => {
  const all = [key(9), key(9), key(9)];
  expect(desk.asked).toHaveLength(1);
  const request = desk.answer({ public_key: toBase64(KEY) });
  expect(request).toMatchObject({ type: 'lookup', node_id: 9, requester_id: 7 });
  expect(desk.isSigned(request, 'lookup:7:9')).toBe(true);
  for (const one of all) expect(one).toEqual([{ ok: true, value: KEY }]);
  expect(directory.cachedKey(desk.now, 9)).toEqual(KEY);
  desk.now += 3_599_000;
  expect(key(9)).toEqual([{ ok: true, value: KEY }]);
  desk.now += 2_000;
  expect(directory.cachedKey(desk.now, 9)).toBeUndefined();
  expect(key(9)).toEqual([]);
  expect(desk.asked).toHaveLength(1);
});

test('before registration a key is asked for without a name and without signature', () => {
  directory.nodeId = 0;
  key(9);
  expect(desk.asked[0]).toEqual({ type: 'lookup', node_id: 9 });
  expect(location(9)).toMatchObject([{ ok: false, code: 'RENDEZVOUS_UNREACHABLE' }]);
  name('bob');
  desk.answer({});
  expect(desk.asked[0]).toEqual({ type: 'resolve_hostname', hostname: 'bob' });
});

test('"there is none" is kept for 3 s', () => {
  const first = key(9);
  desk.refuse('node 9: node not found');
  expect(first).toMatchObject([{ ok: false, code: 'NOT_FOUND' }]);
  desk.now += 2_999;
  expect(key(9)).toMatchObject([{ ok: false, code: 'NOT_FOUND' }]);
  expect(desk.asked).toEqual([]);
  desk.now += 1;
  expect(key(9)).toEqual([]);
  expect(desk.asked).toHaveLength(1);
});

test('that the registry could not be asked is said, and not kept as if it had answered', () => {
  const first = key(9);
  desk.close();
  desk.elapse(9_000);
  expect(first).toMatchObject([{ ok: false, code: 'RENDEZVOUS_UNREACHABLE' }]);
  desk.open();
  expect(key(9)).toEqual([]);
  expect(desk.asked).toHaveLength(1);
  desk.answer({ public_key: toBase64(KEY) });
  expect(directory.cachedKey(desk.now, 9)).toEqual(KEY);
});

test('a full queue is no answer about a node', () => {
  for (let i = 0; i < 400; i++) key(1_000 + i, true);
  expect(key(2_000, true)).toMatchObject([{ ok: false, code: 'BUSY' }]);
  expect(key(2_000)).toEqual([]);
});

test('who waits for the same answer is bounded, and told', () => {
  const all = Array.from({ length: 300 }, () => key(9));
  const told = all.filter((one) => one.length > 0);
  expect(told).toHaveLength(300 - 256);
  for (const one of told) expect(one).toMatchObject([{ ok: false, code: 'BUSY' }]);
  desk.answer({ public_key: toBase64(KEY) });
  expect(all.every((one) => one.length === 1)).toBe(true);
});

test('a key that is doubted is asked for anew, at most every 3 s', () => {
  key(9);
  desk.answer({ public_key: toBase64(KEY) });
  const doubts: Found<Uint8Array>[] = [];
  const doubt = (): void => {
    directory.freshKey(desk.now, 9, (_, one) => doubts.push(one));
    desk.run();
  };
  desk.now += 1_000;
  doubt();
  expect(doubts).toEqual([{ ok: true, value: KEY }]);
  desk.now += 2_001;
  doubt();
  expect(desk.asked).toHaveLength(1);
  desk.answer({ public_key: toBase64(OTHER) });
  expect(doubts[1]).toEqual({ ok: true, value: OTHER });
  for (let i = 0; i < 10; i++) doubt();
  expect(desk.asked).toEqual([]);
});

test('what is forgotten is asked for again', () => {
  key(9);
  desk.answer({ public_key: toBase64(KEY) });
  directory.forgetKey(9);
  location(9);
  expect(key(9)).toEqual([]);
  desk.answer({ real_addr: '192.0.2.1:4000' });
  directory.forgetLocation(9);
  expect(location(9)).toEqual([]);
});

test('answers without their fields are no answers', () => {
  for (const fields of [{}, { public_key: 7 }, { public_key: 'AAAA' }, { public_key: '!' }]) {
    directory.forgetKey(9);
    const found = key(9);
    desk.answer(fields);
    expect(found, JSON.stringify(fields)).toMatchObject([{ ok: false, code: 'PROTOCOL' }]);
  }
});

test('an address is resolved, signed, and kept for a minute', () => {
  const found = location(9);
  const request = desk.answer({ real_addr: '192.0.2.1:4000' });
  expect(request).toMatchObject({ type: 'resolve', node_id: 9, requester_id: 7 });
  expect(desk.isSigned(request, 'resolve:7:9')).toBe(true);
  expect(found).toEqual([{ ok: true, value: { host: '192.0.2.1', port: 4000, isRelayOnly: false } }]);
  desk.now += 59_999;
  expect(location(9)).toHaveLength(1);
  desk.now += 1;
  expect(location(9)).toEqual([]);
  desk.answer({ real_addr: '[2001:db8::1]:4000', relay_only: true });
  expect(location(9)).toEqual([{ ok: true, value: { host: '2001:db8::1', port: 4000, isRelayOnly: true } }]);
});

test('an address to which nothing can be sent is none', () => {
  for (const real_addr of ['', '192.0.2.1:0', '0.0.0.0:4000', '[::]:4000', ':4000', 'example.org:4000', 7, null]) {
    directory.forgetLocation(9);
    const found = location(9);
    desk.answer({ real_addr });
    expect(found, String(real_addr)).toMatchObject([{ ok: false, code: 'PROTOCOL' }]);
    desk.now += 3_001;
  }
});

test('a name is resolved, saying who asks', () => {
  const found = name('bob');
  const request = desk.answer({ node_id: 9 });
  expect(request).toMatchObject({ type: 'resolve_hostname', hostname: 'bob', requester_id: 7 });
  expect(desk.isSigned(request, 'resolve_hostname:7')).toBe(true);
  expect([found, name('bob')]).toEqual([[{ ok: true, value: 9 }], [{ ok: true, value: 9 }]]);
  for (const node_id of [0, -1, 1.5, 2 ** 32, '9', null]) {
    const bad = name(`name${node_id}`);
    desk.answer({ node_id });
    expect(bad, String(node_id)).toMatchObject([{ ok: false, code: 'PROTOCOL' }]);
  }
});

test('trust is asked for behind what we want ourselves', () => {
  const answers: unknown[] = [];
  const ask = (): void => directory.trust(desk.now, 9, (_, isTrusted) => answers.push(isTrusted));
  ask();
  ask();
  location(5);
  const request = desk.answer({ trusted: true });
  expect(request).toMatchObject({ type: 'check_trust', node_id: 7, peer_id: 9, requester_id: 7 });
  expect(desk.isSigned(request, 'check_trust:7:9')).toBe(true);
  expect(desk.answer({ real_addr: '192.0.2.1:4000' }).type).toBe('resolve');
  desk.answer({ trusted: 'yes' });
  expect(answers).toEqual([true, false]);
});

test('whether there is trust: a refusal says no, silence says nothing', () => {
  const answers: unknown[] = [];
  const ask = (): void => directory.trust(desk.now, 9, (_, isTrusted) => answers.push(isTrusted));
  ask();
  desk.run();
  desk.refuse('node 9: node not found');
  ask();
  desk.close();
  desk.elapse(9_000);
  directory.nodeId = 0;
  ask();
  expect(answers).toEqual([false, undefined, undefined]);
});
