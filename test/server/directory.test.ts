import { beforeEach, expect, test } from 'vitest';
import { CHALLENGE } from '../../src/wire/registry.ts';
import { Identity, World } from './rig.ts';

const alice = new Identity('alice');
const bob = new Identity('bob');
const eve = new Identity('eve');
let w: World;
let [a, b, e] = [0, 0, 0];

beforeEach(() => {
  join(new World());
});

function join(world: World): void {
  w = world;
  [a, b, e] = [w.join(alice, { hostname: 'alice' }), w.join(bob, { lan_addrs: ['10.0.0.5:1'] }), w.join(eve)];
}

function show(identity: Identity, node_id: number, isPublic = true): void {
  const fields = { type: 'set_visibility', node_id, public: isPublic };
  w.signed(identity, CHALLENGE.setVisibility(node_id), fields);
}

function tag(identity: Identity, node_id: number, ...tags: string[]): Record<string, unknown> {
  return w.signed(identity, CHALLENGE.setTags(node_id), { type: 'set_tags', node_id, tags });
}

function find(
  identity: Identity,
  requester_id: number,
  name: string,
  more = {},
): { nodes: { node_id: number }[]; next?: number } {
  const fields = { type: 'find_nodes', requester_id, tag: name, ...more };
  return w.signed(identity, CHALLENGE.findNodes(requester_id, name), fields) as never;
}

function pair(): void {
  w.report(alice, a, b);
  w.report(bob, b, a);
}

test('a private endpoint is resolved for those in mutual trust, a public one for everyone registered', () => {
  expect(w.resolve(alice, a, b)).toEqual({ type: 'error', error: 'request failed', code: 'NOT_TRUSTED' });
  pair();
  expect(w.resolve(alice, a, b)).toMatchObject({ real_addr: '127.0.0.1:4000', lan_addrs: ['10.0.0.5:1'] });
  expect(w.resolve(eve, e, b).code).toBe('NOT_TRUSTED');
  show(bob, b);
  expect(w.resolve(eve, e, b).type).toBe('resolve_ok');
  expect(w.resolve(eve, a, b).error, 'in the name of another').toBe('signature verification failed');
  expect(w.resolve(eve, 99, b).code).toBe('NOT_FOUND');
});

test('lookup shows the endpoint of public nodes only', () => {
  expect(w.ask({ type: 'lookup', node_id: b })).not.toHaveProperty('real_addr');
  show(bob, b);
  expect(w.ask({ type: 'lookup', node_id: b })).toMatchObject({
    real_addr: '127.0.0.1:4000',
    endpoint: '127.0.0.1:4000',
  });
});

test('a relay-only node shows the beacon in place of its endpoint', () => {
  join(new World({ ownBeacons: [{ id: 1, address: '192.0.2.1:9001' }] }));
  w.join(bob, { relay_only: true, lan_addrs: ['10.0.0.5:1'] });
  show(bob, b);
  expect(w.ask({ type: 'lookup', node_id: b })).toMatchObject({ real_addr: '192.0.2.1:9001', relay_only: true });
  const resolved = w.resolve(alice, a, b);
  expect(resolved).toMatchObject({ real_addr: '192.0.2.1:9001', relay_only: true });
  expect(resolved).not.toHaveProperty('lan_addrs');
});

test('in strict mode a private node exists only for those who may reach it', () => {
  join(new World({ strictDirectory: true }));
  const lookup = { type: 'lookup', node_id: b, requester_id: a };
  expect(w.ask({ type: 'lookup', node_id: b }).code).toBe('NOT_FOUND');
  expect(w.signed(alice, CHALLENGE.lookup(a, b), lookup).code).toBe('NOT_FOUND');
  expect(w.resolve(alice, a, b).code).toBe('NOT_FOUND');
  pair();
  expect(w.ask(lookup).code, 'unsigned').toBe('NOT_FOUND');
  expect(w.signed(alice, CHALLENGE.lookup(a, b), lookup).type).toBe('lookup_ok');
  expect(w.ask({ type: 'check_trust', node_id: a, peer_id: b }).type).toBe('error');
  const check = { type: 'check_trust', node_id: a, peer_id: b, requester_id: a };
  expect(w.signed(alice, CHALLENGE.checkTrust(a, b), check).trusted).toBe(true);
  expect(w.signed(eve, CHALLENGE.checkTrust(a, b), { ...check, requester_id: e }).type).toBe('error');
});

test('a private host name resolves for its node and those in mutual trust', () => {
  const resolve = (requester_id: number, more = {}): Record<string, unknown> =>
    w.ask({ type: 'resolve_hostname', hostname: 'alice', requester_id, ...more });
  expect(resolve(a).node_id).toBe(a);
  expect(resolve(b)).toMatchObject({ error: 'hostname "alice" not found', code: 'NOT_FOUND' });
  pair();
  expect(resolve(b).node_id).toBe(a);
  expect(resolve(b, { signature: bob.sign(CHALLENGE.resolveHostname(b)) }).node_id).toBe(a);
  expect(resolve(b, { signature: eve.sign(CHALLENGE.resolveHostname(b)) }).error).toBe('signature verification failed');
  expect(resolve(e).code).toBe('NOT_FOUND');
  w.elapse(31 * 60_000);
  w.join(bob);
  expect(resolve(b).code, 'the holder is away').toBe('NOT_FOUND');
});

test('tags are kept without #, without repetition, and null when cleared', () => {
  expect(tag(alice, a, '#web', 'web', 'ml').tags).toEqual(['web', 'ml']);
  expect(tag(alice, a).tags).toBeNull();
  expect(tag(alice, a, 'x'.repeat(33)).type).toBe('error');
  expect(tag(alice, a, ...Array.from({ length: 11 }, (_, i) => `t${i}`)).error).toBe('too many tags (max 10)');
  const fields = { type: 'set_tags', node_id: a };
  expect(w.signed(alice, CHALLENGE.setTags(a), { ...fields, tags: 'web' }).type).toBe('error');
  expect(w.signed(alice, CHALLENGE.setTags(a), { ...fields, tags: [1] }).type).toBe('error');
});

test('find_nodes shows the nodes with a tag that the requester may see', () => {
  tag(bob, b, 'search');
  tag(eve, e, 'search', 'other');
  expect(find(alice, a, 'search')).toMatchObject({ type: 'find_nodes_ok', nodes: [] });
  show(eve, e);
  expect(find(alice, a, '#search').nodes).toEqual([
    { node_id: e, address: '0:0000.0000.0003', tags: ['search', 'other'], public: true },
  ]);
  pair();
  expect(find(alice, a, 'search').nodes.map((node) => node.node_id)).toEqual([b, e]);
  tag(eve, e, 'other');
  expect(find(alice, a, 'search').nodes.map((node) => node.node_id)).toEqual([b]);
  expect(find(bob, a, 'search')).toMatchObject({ error: 'signature verification failed' });
  expect(find(alice, a, 'Not Good')).toMatchObject({ error: 'invalid tag' });
  expect(find(alice, a, 'search', { network_id: 3 }).nodes).toEqual([]);
  w.elapse(31 * 60_000);
  w.join(alice);
  expect(find(alice, a, 'search').nodes).toEqual([]);
});

test('find_nodes gives pages of 100 that together hold each visible node once', () => {
  const ids: number[] = [];
  for (let i = 0; i < 250; i++) {
    const one = new Identity(`many ${i}`);
    const id = w.join(one);
    tag(one, id, 'many');
    if (i % 10 === 0) continue;
    show(one, id);
    ids.push(id);
  }
  const found: number[] = [];
  const sizes: number[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page = find(alice, a, 'many', { after });
    found.push(...page.nodes.map((node) => node.node_id));
    sizes.push(page.nodes.length);
    after = page.next;
  }
  expect(found).toEqual(ids);
  expect(sizes).toEqual([100, 100, 25]);
});

test('list_nodes of the backbone is for administrators, in pages', () => {
  join(new World({ adminToken: 'secret' }));
  const list = { type: 'list_nodes', network_id: 0 };
  expect(w.ask(list)).toEqual({ type: 'error', error: 'request failed', code: 'REGISTRY_REFUSED' });
  const page = w.ask({ ...list, admin_token: 'secret', limit: 2 }) as { nodes: { node_id: number }[]; next?: number };
  expect(page.nodes.map((node) => node.node_id)).toEqual([a, b]);
  expect(page.next).toBe(b);
  expect(page.nodes[0]).toMatchObject({ hostname: 'alice', last_seen: '2026-11-22T20:48:17Z', public: false });
  const rest = w.ask({ ...list, admin_token: 'secret', limit: 2, after: page.next });
  expect(rest).toMatchObject({ nodes: [{ node_id: e }] });
  expect(rest).not.toHaveProperty('next');
  w.elapse(31 * 60_000);
  expect(w.ask({ ...list, admin_token: 'secret', limit: 1 })).toMatchObject({
    nodes: [{ node_id: a, address: '0:0000.0000.0001', offline: true }],
  });
});

test('punch tells endpoints only to those who could resolve them (R5)', () => {
  const punch = (identity: Identity, requester_id: number, node_a: number, node_b: number): Record<string, unknown> =>
    w.signed(identity, CHALLENGE.punch(node_a, node_b), { type: 'punch', requester_id, node_a, node_b });
  expect(punch(alice, a, a, b)).toEqual({ type: 'error', error: 'request failed', code: 'NOT_TRUSTED' });
  w.report(alice, a, b);
  expect(punch(alice, a, a, b).code, 'one side alone').toBe('NOT_TRUSTED');
  w.report(bob, b, a);
  expect(punch(alice, a, a, b)).toMatchObject({ node_a: a, node_a_addr: '127.0.0.1:4000', node_b: b });
  expect(punch(bob, b, a, b).type).toBe('punch_ok');
  expect(punch(eve, e, a, b).code, 'none of the two').toBe('NOT_TRUSTED');
  expect(punch(eve, a, a, b).error, 'in the name of another').toBe('signature verification failed');
  show(bob, b);
  expect(punch(eve, e, e, b).type, 'public').toBe('punch_ok');
  show(alice, a);
  expect(punch(eve, e, a, b).code, 'none of the two, both public').toBe('NOT_TRUSTED');
});

test('a beacon shows the secret to be listed, and is forgotten after a minute (R7)', () => {
  join(new World({ beaconSecret: 'shared', ownBeacons: [{ id: 1, address: '192.0.2.1:9001' }] }));
  const register = { type: 'beacon_register', beacon_id: 7, addr: '192.0.2.7:9001' };
  expect(w.ask(register).error).toBe('invalid admin token');
  expect(w.ask({ ...register, admin_token: 'Shared' }).error).toBe('invalid admin token');
  expect(w.ask({ ...register, admin_token: 'shared' })).toEqual({ type: 'beacon_register_ok', beacon_id: 7 });
  expect(w.ask({ ...register, admin_token: 'shared', beacon_id: 0 }).type).toBe('error');
  expect(w.ask({ ...register, admin_token: 'shared', addr: 'x' }).error).toBe('invalid addr');
  const own = { id: 1, addr: '192.0.2.1:9001' };
  expect(w.ask({ type: 'beacon_list' }).beacons).toEqual([own, { id: 7, addr: '192.0.2.7:9001' }]);
  w.elapse(60_001);
  expect(w.ask({ type: 'beacon_list' }).beacons).toEqual([own]);
});

test('a beacon is not listed in the time between its end and the next sweep', () => {
  join(new World({ beaconSecret: 'shared' }));
  w.elapse(1);
  w.elapse(10_000);
  w.ask({ type: 'beacon_register', beacon_id: 7, addr: '192.0.2.7:9001', admin_token: 'shared' });
  w.elapse(50_000);
  expect(w.ask({ type: 'beacon_list' }).beacons).toHaveLength(1);
  w.elapse(10_001);
  expect(w.registry.pollTimeout()).toBeGreaterThan(w.unixMs);
  expect(w.ask({ type: 'beacon_list' }).beacons).toEqual([]);
});
