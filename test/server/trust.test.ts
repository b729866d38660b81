import { beforeEach, expect, test } from 'vitest';
import { CHALLENGE } from '../../src/wire/registry.ts';
import { Identity, type Mail, World } from './rig.ts';

const DAY = 86_400_000;
const alice = new Identity('alice');
const bob = new Identity('bob');
const eve = new Identity('eve');
let w: World;
let [a, b, e] = [0, 0, 0];

beforeEach(() => {
  w = new World({ staleMs: 30 * DAY });
  [a, b, e] = [w.join(alice), w.join(bob), w.join(eve)];
});

function from(mail: Mail): number[][] {
  return [mail.requests, mail.responses].map((entries) => entries.map((entry) => entry.from_node_id));
}

/** A link that was opened now: the one before broke. */
function reconnect(): void {
  w.unixMs += 10;
  w.linkOpenedMs = w.unixMs;
  w.unixMs += 10;
}

test('a pair exists when both reported, not when one did (R4)', () => {
  expect(w.report(alice, a, b)).toEqual({ type: 'report_trust_ok' });
  expect([w.isTrusted(a, b), w.isTrusted(b, a)]).toEqual([false, false]);
  expect(w.report(eve, a, b).error, 'in the name of another').toBe('signature verification failed');
  expect(w.report(bob, b, a)).toEqual({ type: 'report_trust_ok' });
  expect([w.isTrusted(a, b), w.isTrusted(b, a), w.isTrusted(a, e)]).toEqual([true, true, false]);
});

test('a revoked pair does not come back by one side alone', () => {
  w.report(alice, a, b);
  w.report(bob, b, a);
  expect(w.revoke(alice, a, b)).toEqual({ type: 'revoke_trust_ok' });
  expect(w.isTrusted(a, b)).toBe(false);
  expect(w.revoke(alice, a, b).error).toBe('request failed');
  w.report(alice, a, b);
  expect(w.isTrusted(a, b)).toBe(false);
  w.report(bob, b, a);
  expect(w.isTrusted(a, b)).toBe(true);
});

test('revoking takes back a request that still waits', () => {
  w.request(alice, a, b);
  expect(w.revoke(alice, a, b).type).toBe('revoke_trust_ok');
  expect(from(w.poll(bob, b))).toEqual([[], []]);
  w.report(bob, b, a);
  expect(w.isTrusted(a, b)).toBe(false);
});

test('trust stays with a node whose key is rotated, and its old key inherits nothing', () => {
  w.report(alice, a, b);
  w.report(bob, b, a);
  const next = new Identity('alice 2');
  w.signed(alice, CHALLENGE.rotateKey(a), { type: 'rotate_key', node_id: a, new_public_key: next.key });
  expect(w.isTrusted(a, b)).toBe(true);
  expect(w.resolve(next, a, b).type).toBe('resolve_ok');
  const again = w.join(alice);
  expect(w.isTrusted(again, b)).toBe(false);
});

test('trust that was given to a key is not that of another key under the same id', () => {
  w.report(alice, a, b);
  w.report(bob, b, a);
  const node = (id: number): never => w.store.execute({ type: 'node', nodeId: id }) as never;
  const stranger = { ...(node(a) as object), originKey: eve.key, publicKey: eve.key } as never;
  expect(w.store.execute({ type: 'trusted', node: node(b), peers: [node(a)] })).toEqual(new Set([a]));
  expect(w.store.execute({ type: 'trusted', node: node(b), peers: [stranger] })).toEqual(new Set());
});

test('trust outlives silence and leaving', () => {
  w.report(alice, a, b);
  w.report(bob, b, a);
  w.signed(alice, CHALLENGE.deregister(a), { type: 'deregister', node_id: a });
  w.elapse(31 * DAY);
  w.join(alice);
  w.join(bob);
  expect(w.isTrusted(a, b)).toBe(true);
});

test('a request and its acceptance are the two consents', () => {
  expect(w.request(alice, a, b, 'let us')).toEqual({ type: 'request_handshake_ok', status: 'delivered' });
  expect(w.isTrusted(a, b)).toBe(false);
  expect(w.poll(bob, b).requests).toEqual([{ from_node_id: a, justification: 'let us', timestamp: w.unixMs / 1000 }]);
  expect(w.respond(bob, b, a)).toEqual({ type: 'respond_handshake_ok', accept: true, peer_id: a });
  expect(w.isTrusted(a, b)).toBe(true);
  expect(w.poll(alice, a).responses).toEqual([{ from_node_id: b, accept: true, timestamp: w.unixMs / 1000 }]);
});

test('reporting trust in someone whose request waits makes the pair, and the request can still be answered', () => {
  w.request(alice, a, b);
  w.report(bob, b, a);
  expect(w.isTrusted(a, b)).toBe(true);
  w.respond(bob, b, a);
  expect(from(w.poll(alice, a))).toEqual([[], [b]]);
});

test('a rejection makes no pair and reaches the asker', () => {
  w.request(alice, a, b);
  expect(w.respond(bob, b, a, false).accept).toBe(false);
  expect(w.isTrusted(a, b)).toBe(false);
  expect(w.poll(alice, a).responses).toMatchObject([{ from_node_id: b, accept: false }]);
  w.report(bob, b, a);
  expect(w.isTrusted(a, b), 'the request was used up').toBe(false);
});

test('an acceptance that nobody asked for makes no pair and reaches nobody', () => {
  expect(w.respond(eve, e, a).type).toBe('respond_handshake_ok');
  expect(w.isTrusted(a, e)).toBe(false);
  expect(from(w.poll(alice, a))).toEqual([[], []]);
  expect(w.respond(eve, b, a).error).toBe('signature verification failed');
});

test('answering twice, because the first answer was lost, delivers one response', () => {
  w.request(alice, a, b);
  w.respond(bob, b, a);
  expect(w.respond(bob, b, a).type).toBe('respond_handshake_ok');
  expect(from(w.poll(alice, a))).toEqual([[], [b]]);
});

test('one request per pair waits, and a read one can be made again', () => {
  w.request(alice, a, b, 'first');
  expect(w.request(alice, a, b, 'second')).toMatchObject({
    error: `handshake request already pending from node ${a}`,
    code: 'ALREADY_EXISTS',
  });
  w.poll(bob, b);
  w.poll(bob, b);
  expect(w.request(alice, a, b, 'third').status).toBe('delivered');
  expect(w.poll(bob, b).requests).toMatchObject([{ justification: 'third' }]);
});

test('mailboxes are bounded: justification, requests per box, requests per sender', () => {
  expect(w.request(alice, a, b, 'é'.repeat(513)).error).toBe('justification too long (max 1024 bytes)');
  expect(w.request(alice, a, b, 'é'.repeat(512)).status).toBe('delivered');
  for (let i = 0; i < 99; i++) {
    const one = new Identity(`crowd ${i}`);
    w.request(one, w.join(one), b);
  }
  expect(w.request(eve, e, b)).toEqual({ type: 'error', error: 'request failed', code: 'BUSY' });
  expect(w.poll(bob, b).requests).toHaveLength(100);
});

test('one sender can have 1024 requests under way; an answered one makes room', () => {
  const put = (to: number): unknown => {
    const mail = { kind: 'request', from: a, publicKey: alice.key, justification: '', accept: false } as const;
    const sent = { ...mail, timestampMs: w.unixMs };
    return w.store.execute({ type: 'putMail', to, mail: sent, limit: 100, sentLimit: 1_024 });
  };
  w.request(alice, a, b);
  for (let to = 100; to < 1_123; to++) expect(put(to)).toBe('stored');
  expect(w.request(alice, a, e).code).toBe('BUSY');
  w.respond(bob, b, a);
  expect(w.request(alice, a, e).status).toBe('delivered');
});

test('mail is thrown away after seven days', () => {
  w.request(alice, a, b);
  w.elapse(7 * DAY + 60_001);
  expect(w.store.counts().mail).toBe(0);
  expect(from(w.poll(bob, b))).toEqual([[], []]);
  w.report(bob, b, a);
  expect(w.isTrusted(a, b)).toBe(false);
});

test('a request is delivered once to a client of the reference on a link that works', () => {
  w.request(alice, a, b);
  expect(from(w.poll(bob, b))).toEqual([[a], []]);
  w.unixMs += 2_000;
  expect(from(w.poll(bob, b))).toEqual([[], []]);
  expect(w.respond(bob, b, a).type).toBe('respond_handshake_ok');
  expect(w.isTrusted(a, b), 'reading did not use the request up').toBe(true);
});

test('a poll over a new link gets again what the old one may have lost', () => {
  w.request(alice, a, b);
  w.request(bob, b, a);
  w.respond(bob, b, a);
  w.unixMs += 10;
  expect(from(w.poll(alice, a))).toEqual([[b], [b]]);
  reconnect();
  expect(from(w.poll(alice, a))).toEqual([[b], [b]]);
  reconnect();
  expect(from(w.poll(alice, a))).toEqual([[b], [b]]);
  reconnect();
  expect(from(w.poll(alice, a)), 'three times in all').toEqual([[], []]);
});

test('a poll over a new link gets nothing again after a minute', () => {
  w.request(alice, a, b);
  w.poll(bob, b);
  w.unixMs += 61_000;
  reconnect();
  expect(from(w.poll(bob, b))).toEqual([[], []]);
});

test('mail stays until a client that acknowledges has it, whatever is lost between', () => {
  w.request(alice, a, b);
  const first = w.poll(bob, b, { ack: 0 });
  expect(first.requests).toMatchObject([{ from_node_id: a, public_key: alice.key }]);
  expect(w.poll(bob, b, { ack: 0 })).toEqual(first);
  w.request(eve, e, b);
  const both = w.poll(bob, b, { ack: 0 });
  expect(from(both)).toEqual([[a, e], []]);
  expect(from(w.poll(bob, b, { ack: both.requests[0]!.seq }))).toEqual([[e], []]);
  expect(from(w.poll(bob, b, { ack: both.requests[1]!.seq }))).toEqual([[], []]);
  w.respond(bob, b, a);
  expect(w.isTrusted(a, b)).toBe(true);
});

test('a poll without ack takes nothing from a client that once acknowledged', () => {
  w.request(alice, a, b);
  w.poll(bob, b, { ack: 0 });
  w.poll(bob, b);
  w.poll(bob, b);
  expect(from(w.poll(bob, b, { ack: 0 }))).toEqual([[a], []]);
});

test('an ack takes nothing that was not delivered before', () => {
  w.request(alice, a, b);
  expect(from(w.poll(bob, b, { ack: Number.MAX_SAFE_INTEGER }))).toEqual([[a], []]);
  expect(from(w.poll(bob, b, { ack: Number.MAX_SAFE_INTEGER }))).toEqual([[], []]);
});

test('sequence numbers rise over a restart of the registry', () => {
  w.request(alice, a, b);
  const before = w.poll(bob, b, { ack: 0 }).requests[0]!.seq!;
  const fresh = new World();
  fresh.unixMs += 1_000;
  const [x, y] = [fresh.join(alice), fresh.join(bob)];
  fresh.request(alice, x, y);
  expect(fresh.poll(bob, y, { ack: before }).requests[0]!.seq!).toBeGreaterThan(before);
});

test('a request and a response each say that something waits', () => {
  const notices = (): number[] => {
    const ids: number[] = [];
    for (let id = w.registry.pollNotice(); id !== undefined; id = w.registry.pollNotice()) ids.push(id);
    return ids;
  };
  w.request(alice, a, b);
  expect(notices()).toEqual([b]);
  w.respond(bob, b, a);
  expect(notices()).toEqual([a]);
  w.respond(bob, b, a);
  expect(notices()).toEqual([]);
});

test('nobody asks, answers or trusts himself', () => {
  expect(w.request(alice, a, a).type).toBe('error');
  expect(w.respond(alice, a, a).type).toBe('error');
  expect(w.report(alice, a, a).type).toBe('error');
});

test('nobody reads the mailbox of another, and nothing leaves it for that', () => {
  w.request(alice, a, b);
  for (const more of [{}, { ack: 0 }, { ack: Number.MAX_SAFE_INTEGER }]) {
    expect(w.poll(eve, b, more)).toMatchObject({ error: 'signature verification failed' });
  }
  expect(w.ask({ type: 'poll_handshakes', node_id: b }).type).toBe('error');
  expect(from(w.poll(bob, b))).toEqual([[a], []]);
});

test('mail is over after 7 days, also before it is swept away', () => {
  w.elapse(1);
  w.elapse(10_000);
  w.request(alice, a, b);
  w.elapse(7 * DAY - 20_000);
  w.elapse(20_001);
  expect(w.registry.pollTimeout()).toBeGreaterThan(w.unixMs);
  expect(from(w.poll(bob, b))).toEqual([[], []]);
  w.report(bob, b, a);
  expect(w.isTrusted(a, b)).toBe(false);
});
