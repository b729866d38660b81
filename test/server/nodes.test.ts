import { expect, test } from 'vitest';
import { CHALLENGE } from '../../src/wire/registry.ts';
import { Identity, World } from './rig.ts';

const DAY = 86_400_000;
const alice = new Identity('alice');
const bob = new Identity('bob');

function unsigned(identity: Identity): { type: string; listen_addr: string; public_key: string } {
  return { type: 'register', listen_addr: '127.0.0.1:4000', public_key: identity.key };
}

test('a key gets the same id again, and different keys different ones', () => {
  const w = new World();
  expect([w.join(alice), w.join(bob), w.join(alice)]).toEqual([1, 2, 1]);
});

test('the first registration may be unsigned; once signed it never is again', () => {
  const w = new World();
  expect(w.ask(unsigned(alice)).node_id).toBe(1);
  expect(w.ask(unsigned(alice)).node_id).toBe(1);
  expect(w.join(alice)).toBe(1);
  expect(w.ask(unsigned(alice))).toMatchObject({
    type: 'error',
    error: 'unsigned registration cannot modify a signature-verified key',
    code: 'REGISTRY_REFUSED',
  });
  w.elapse(400 * DAY);
  expect(w.ask(unsigned(alice)).type).toBe('error');
});

test('an unsigned registration loses against a signed one that comes between its steps', () => {
  const w = new World();
  w.ask(unsigned(alice));
  const steps = w.registry.handle(w.caller, unsigned(alice));
  let step = steps.next();
  for (let reads = 0; !step.done; step = steps.next(w.execute(step.value))) {
    if (step.value.type === 'nodeByKey' && ++reads === 2) w.join(alice);
  }
  expect(step.value).toMatchObject({ ok: false, code: 'BUSY' });
});

test('two first registrations of a key at the same time make one node', () => {
  const w = new World();
  const steps = w.registry.handle(w.caller, unsigned(alice));
  let step = steps.next();
  for (; !step.done; step = steps.next(w.execute(step.value))) {
    if (step.value.type === 'addNode' && w.store.counts().nodes === 0) w.ask(unsigned(alice));
  }
  expect(step.value).toMatchObject({ ok: true, fields: { node_id: 1 } });
  expect(w.store.counts().nodes).toBe(1);
});

test('a registration signed by another key, or for another address, is refused', () => {
  const w = new World();
  const request = unsigned(alice);
  const signature = bob.sign(CHALLENGE.register(request.listen_addr, alice.key));
  expect(w.ask({ ...request, signature }).error).toBe('signature verification failed');
  const elsewhere = alice.sign(CHALLENGE.register('10.0.0.1:1', alice.key));
  expect(w.ask({ ...request, signature: elsewhere }).error).toBe('signature verification failed');
  for (const bad of ['AAAA', '%%%', 7, {}, []]) expect(w.ask({ ...request, signature: bad }).type).toBe('error');
  expect(w.store.counts().nodes).toBe(0);
});

test('strict registration refuses what is not signed', () => {
  const w = new World({ strictRegistration: true });
  expect(w.ask(unsigned(alice)).error).toBe('signature required for registration');
  expect(w.join(alice)).toBe(1);
});

test('naming the owner of another node does not give its id (R3)', () => {
  const w = new World();
  expect(w.join(alice, { owner: 'a@example.org' })).toBe(1);
  expect(w.join(bob, { owner: 'a@example.org' })).toBe(2);
  expect(w.ask({ type: 'lookup', node_id: 1 }).public_key).toBe(alice.key);
});

test('an endpoint nobody can reach is replaced by the source address of the link', () => {
  const w = new World();
  w.host = '198.51.100.7';
  const observed = (listen_addr: string): unknown => w.ask({ ...unsigned(bob), listen_addr }).observed_addr;
  expect(observed('203.0.113.9:4000')).toBe('203.0.113.9:4000');
  expect(observed('0.0.0.0:4000')).toBe('198.51.100.7:4000');
  expect(observed('10.1.2.3:4000')).toBe('198.51.100.7:4000');
  expect(observed('127.0.0.1:4000')).toBe('198.51.100.7:4000');
  expect(observed('224.0.0.1:4000')).toBe('198.51.100.7:4000');
  expect(observed('[2001:db8::1]:4000')).toBe('[2001:db8::1]:4000');
  expect(observed('')).toBe('198.51.100.7:50000');
  expect(observed('nonsense')).toBe('198.51.100.7:50000');
});

test('register_ok says that the beacon takes signed Discovers', () => {
  expect(new World().ask(unsigned(alice)).discover_sig).toBe(true);
  expect(new World({ discoverSignature: false }).ask(unsigned(alice))).not.toHaveProperty('discover_sig');
});

test('LAN addresses, version and owner are bounded', () => {
  const w = new World();
  const lan_addrs = [...Array.from({ length: 40 }, (_, i) => `192.168.0.${i}:1`), 'x', 7];
  const id = w.join(alice, { lan_addrs, version: 'v'.repeat(500) });
  const resolved = w.resolve(alice, id, id);
  expect(resolved.lan_addrs).toHaveLength(16);
  expect(w.ask({ type: 'lookup', node_id: id }).version).toHaveLength(64);
});

test('a full registry takes no new node and keeps the known ones', () => {
  const w = new World({ nodes: 1 });
  expect(w.join(alice)).toBe(1);
  expect(w.ask(unsigned(bob))).toMatchObject({ error: 'request failed', code: 'BUSY' });
  expect(w.join(alice)).toBe(1);
});

test('one address cannot register more than 100 new keys a second; known keys are not counted', () => {
  const w = new World();
  w.host = '198.51.100.7';
  const codes = Array.from({ length: 120 }, (_, i) => w.ask(unsigned(new Identity(`flood ${i}`))).code);
  expect(codes.filter((code) => code === 'RATE_LIMITED')).toHaveLength(20);
  expect(w.ask(unsigned(new Identity('flood 0'))).node_id).toBe(1);
  w.elapse(1_000);
  expect(w.ask(unsigned(bob)).type).toBe('register_ok');
});

test('a heartbeat is verified every time, also right after a good one (R8)', () => {
  const w = new World();
  const id = w.join(alice);
  expect(w.heartbeat(alice, id)).toEqual({ type: 'heartbeat_ok', time: Math.floor(w.unixMs / 1000) });
  expect(w.heartbeat(bob, id).error).toBe('signature verification failed');
  expect(w.ask({ type: 'heartbeat', node_id: id }).error).toBe('signature required for authenticated node');
});

test('a node silent for 30 minutes is not found; a heartbeat in time keeps it', () => {
  const w = new World();
  const id = w.join(alice);
  w.elapse(29 * 60_000);
  expect(w.heartbeat(alice, id).type).toBe('heartbeat_ok');
  w.elapse(29 * 60_000);
  expect(w.ask({ type: 'lookup', node_id: id }).type).toBe('lookup_ok');
  w.elapse(2 * 60_000);
  expect(w.ask({ type: 'lookup', node_id: id })).toMatchObject({
    error: `node ${id}: node not found`,
    code: 'NOT_FOUND',
  });
  expect(w.heartbeat(alice, id).error).toBe(`node ${id}: node not found`);
  expect(new World({ staleMs: 5 }).registry.settings.staleMs).toBe(5);
});

test('what a node said of itself is still there when it comes back (R13)', () => {
  const w = new World();
  const id = w.join(alice, { hostname: 'alice' });
  w.signed(alice, CHALLENGE.setTags(id), { type: 'set_tags', node_id: id, tags: ['ml'] });
  w.signed(alice, CHALLENGE.setVisibility(id), { type: 'set_visibility', node_id: id, public: true });
  w.elapse(DAY);
  expect(w.join(alice)).toBe(id);
  expect(w.ask({ type: 'lookup', node_id: id })).toMatchObject({ hostname: 'alice', tags: ['ml'], public: true });
});

test('a host name stays with its silent holder for 30 days, then anyone may have it (R13)', () => {
  const w = new World();
  w.join(alice, { hostname: 'cache' });
  w.elapse(29 * DAY);
  const id = w.join(bob);
  const claim = (): Record<string, unknown> =>
    w.signed(bob, CHALLENGE.setHostname(id), { type: 'set_hostname', node_id: id, hostname: 'cache' });
  expect(claim()).toMatchObject({ error: 'hostname "cache" already in use by node 1', code: 'ALREADY_EXISTS' });
  w.elapse(2 * DAY);
  w.join(bob);
  expect(claim().type).toBe('set_hostname_ok');
  const late = w.ask({ ...unsigned(new Identity('late')), hostname: 'cache' });
  expect(late).toMatchObject({ type: 'register_ok', hostname_error: 'hostname "cache" already in use by node 2' });
  w.join(alice);
  expect(w.ask({ type: 'lookup', node_id: 1 })).not.toHaveProperty('hostname');
});

test('a name given back is free at once', () => {
  const w = new World();
  const id = w.join(alice, { hostname: 'cache' });
  w.signed(alice, CHALLENGE.setHostname(id), { type: 'set_hostname', node_id: id, hostname: '' });
  expect(w.ask({ ...unsigned(bob), hostname: 'cache' })).toMatchObject({ hostname: 'cache' });
});

test('a taken or bad host name does not fail the registration and keeps the name that was', () => {
  const w = new World();
  w.join(bob, { hostname: 'bob' });
  w.join(alice, { hostname: 'alice' });
  const request = { ...unsigned(alice), signature: alice.sign(CHALLENGE.register('127.0.0.1:4000', alice.key)) };
  expect(w.ask({ ...request, hostname: 'bob' })).toMatchObject({
    hostname: 'alice',
    hostname_error: 'hostname "bob" already in use by node 1',
  });
  expect(w.ask({ ...request, hostname: 'Not Good' })).toMatchObject({ hostname: 'alice' });
  expect(w.ask({ ...request, hostname: 'backbone' }).hostname_error).toBe('hostname "backbone" is reserved');
});

test('deregister takes the name and the visibility, and the key finds its id again', () => {
  const w = new World();
  const id = w.join(alice, { hostname: 'alice' });
  w.signed(alice, CHALLENGE.setVisibility(id), { type: 'set_visibility', node_id: id, public: true });
  expect(w.ask({ type: 'deregister', node_id: id }).error).toBe('signature required for authenticated node');
  expect(w.signed(alice, CHALLENGE.deregister(id), { type: 'deregister', node_id: id })).toEqual({
    type: 'deregister_ok',
  });
  expect(w.ask({ type: 'lookup', node_id: id }).type).toBe('error');
  expect(w.ask({ type: 'deregister', node_id: 99 })).toEqual({ type: 'deregister_ok' });
  expect(w.ask({ ...unsigned(bob), hostname: 'alice' })).toMatchObject({ node_id: 2, hostname: 'alice' });
  expect(w.join(alice)).toBe(id);
  expect(w.ask({ type: 'lookup', node_id: id })).toMatchObject({ public: false });
});

test('rotate_key takes both signed forms, by the present key only', () => {
  const w = new World();
  const id = w.join(alice);
  const [second, third] = [new Identity('alice 2'), new Identity('alice 3')];
  const rotate = (by: Identity, to: Identity, text: string): Record<string, unknown> =>
    w.signed(by, text, { type: 'rotate_key', node_id: id, new_public_key: to.key });
  expect(rotate(bob, second, CHALLENGE.rotateKey(id, second.key)).error).toBe('signature verification failed');
  expect(rotate(alice, second, CHALLENGE.rotateKey(id, third.key)).error).toBe('signature verification failed');
  expect(rotate(alice, second, CHALLENGE.rotateKey(id, second.key))).toMatchObject({ public_key: second.key });
  expect(rotate(alice, third, CHALLENGE.rotateKey(id)).error).toBe('signature verification failed');
  expect(rotate(second, third, CHALLENGE.rotateKey(id))).toMatchObject({ public_key: third.key });
  expect(w.heartbeat(third, id).type).toBe('heartbeat_ok');
  expect(w.join(third)).toBe(id);
  expect(w.join(alice), 'the old key is a stranger').not.toBe(id);
  expect(w.ask({ type: 'get_key_info', node_id: id })).toMatchObject({ rotate_count: 2, key_age_days: 0 });
});

test('a key that another node has cannot be rotated to', () => {
  const w = new World();
  const id = w.join(alice);
  w.join(bob);
  const request = { type: 'rotate_key', node_id: id, new_public_key: bob.key };
  expect(w.signed(alice, CHALLENGE.rotateKey(id, bob.key), request).code).toBe('ALREADY_EXISTS');
  const nonsense = { type: 'rotate_key', node_id: id, new_public_key: 'AAAA' };
  expect(w.signed(alice, CHALLENGE.rotateKey(id, 'AAAA'), nonsense).code).toBe('PROTOCOL');
});

test('key age counts whole days since creation or rotation', () => {
  const w = new World({ staleMs: 10 * DAY });
  const id = w.join(alice);
  w.elapse(2.5 * DAY);
  expect(w.ask({ type: 'get_key_info', node_id: id })).toEqual({
    type: 'get_key_info_ok',
    node_id: id,
    created_at: '2026-11-22T20:48:17Z',
    rotate_count: 0,
    key_age_days: 2,
  });
  const next = new Identity('next');
  w.signed(alice, CHALLENGE.rotateKey(id), { type: 'rotate_key', node_id: id, new_public_key: next.key });
  expect(w.ask({ type: 'get_key_info', node_id: id })).toMatchObject({
    rotated_at: '2026-11-25T08:48:17Z',
    key_age_days: 0,
  });
});

test('the admin token stands in for the signature where CP 1.5 says so, and only if one is set', () => {
  const w = new World({ adminToken: 'secret' });
  const id = w.join(alice);
  const hide = { type: 'set_visibility', node_id: id, public: true };
  expect(w.ask({ ...hide, admin_token: 'secret' }).type).toBe('set_visibility_ok');
  expect(w.ask({ ...hide, admin_token: 'secreT' }).type).toBe('error');
  expect(w.ask({ type: 'heartbeat', node_id: id, admin_token: 'secret' }).type).toBe('error');
  const off = new World();
  off.join(alice);
  expect(off.ask({ ...hide, admin_token: '' }).type).toBe('error');
});

test('unknown types, and those that look like object members, are refused alike', () => {
  const w = new World();
  for (const type of ['constructor', '__proto__', 'toString', 'create_network', 7, null, undefined, {}]) {
    expect(w.ask({ type })).toEqual({ type: 'error', error: 'request failed', code: 'NOT_SUPPORTED' });
  }
});

/** Every request that its node signs (CP 1.5), about nodes 1 and 2. */
const SIGNED: [type: string, fields: Record<string, unknown>, challenge: string][] = [
  ['heartbeat', { node_id: 1 }, CHALLENGE.heartbeat(1)],
  ['rotate_key', { node_id: 1, new_public_key: new Identity('next').key }, CHALLENGE.rotateKey(1)],
  ['set_key_expiry', { node_id: 1, expires_at: '2030-01-01T00:00:00Z' }, CHALLENGE.setKeyExpiry(1)],
  ['deregister', { node_id: 1 }, CHALLENGE.deregister(1)],
  ['set_visibility', { node_id: 1, public: true }, CHALLENGE.setVisibility(1)],
  ['set_hostname', { node_id: 1, hostname: 'x' }, CHALLENGE.setHostname(1)],
  ['set_tags', { node_id: 1, tags: ['x'] }, CHALLENGE.setTags(1)],
  ['resolve', { requester_id: 1, node_id: 2 }, CHALLENGE.resolve(1, 2)],
  ['find_nodes', { requester_id: 1, tag: 'x' }, CHALLENGE.findNodes(1, 'x')],
  ['report_trust', { node_id: 1, peer_id: 2 }, CHALLENGE.reportTrust(1, 2)],
  ['revoke_trust', { node_id: 1, peer_id: 2 }, CHALLENGE.revokeTrust(1, 2)],
  ['request_handshake', { from_node_id: 1, to_node_id: 2 }, CHALLENGE.requestHandshake(1, 2)],
  ['poll_handshakes', { node_id: 1 }, CHALLENGE.pollHandshakes(1)],
  ['respond_handshake', { node_id: 1, peer_id: 2, accept: true }, CHALLENGE.respondHandshake(1, 2)],
  ['punch', { node_a: 1, node_b: 2, requester_id: 1 }, CHALLENGE.punch(1, 2)],
];

test.each(SIGNED)('%s is refused without a signature, and in the name of another', (type, fields, challenge) => {
  const world = new World();
  const [one, two] = [new Identity('one'), new Identity('two')];
  expect([world.join(one), world.join(two)]).toEqual([1, 2]);
  const without = world.ask({ type, ...fields });
  expect(without.error).toBe('signature required for authenticated node');
  expect(world.signed(two, challenge, { type, ...fields }).error).toBe('signature verification failed');
  expect(world.signed(one, `${challenge} `, { type, ...fields }).error).toBe('signature verification failed');
  expect(`${world.signed(one, challenge, { type, ...fields }).error}`).not.toMatch(/^signature/);
});
