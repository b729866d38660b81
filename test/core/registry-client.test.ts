import { expect, test } from 'vitest';
import type { RegistryOutcome, RegistryRequest } from '../../src/core/registry-client.ts';
import { Desk } from './registry-rig.ts';

/** Asks, and keeps what came of it. */
function ask(desk: Desk, request: RegistryRequest): RegistryOutcome[] {
  const outcomes: RegistryOutcome[] = [];
  desk.client.request(desk.now, request, (_, outcome) => outcomes.push(outcome));
  desk.run();
  return outcomes;
}

function opened(): Desk {
  const desk = new Desk();
  desk.client.start();
  desk.open();
  return desk;
}

const code = (outcomes: RegistryOutcome[]): unknown => outcomes.map((one) => (one.ok ? 'ok' : one.code));

test('requests go one at a time, in order, each with its own answer', () => {
  const desk = opened();
  const first = ask(desk, { fields: { type: 'a' } });
  const second = ask(desk, { fields: { type: 'b' } });
  expect(desk.asked).toEqual([{ type: 'a' }]);
  expect(desk.client.size).toBe(2);
  desk.answer({ value: 1 });
  expect(first).toEqual([{ ok: true, answer: { type: 'a_ok', value: 1 } }]);
  expect(desk.asked).toEqual([{ type: 'b' }]);
  desk.answer();
  expect(code(second)).toEqual(['ok']);
  expect(desk.client.size).toBe(0);
});

test('a challenge is signed, and the request waits for that', () => {
  const desk = opened();
  desk.isSlow = true;
  ask(desk, { fields: { type: 'heartbeat', node_id: 7 }, challenge: 'heartbeat:7' });
  expect(desk.asked).toEqual([]);
  desk.isSlow = false;
  desk.run();
  expect(desk.isSigned(desk.asked[0]!, 'heartbeat:7')).toBe(true);
  expect(desk.isSigned(desk.asked[0]!, 'heartbeat:8')).toBe(false);
});

test('what cannot be signed is not sent without signature', () => {
  const desk = opened();
  desk.isLocked = true;
  const outcomes = ask(desk, { fields: { type: 'register' }, challenge: 'register:x' });
  const next = ask(desk, { fields: { type: 'beacon_list' } });
  expect(code(outcomes)).toEqual(['IDENTITY_INVALID']);
  expect(desk.types).toEqual(['beacon_list']);
  desk.answer();
  expect(code(next)).toEqual(['ok']);
});

test('refusals get codes', () => {
  const desk = opened();
  const texts: [string, string][] = [
    ['node 7: node not found', 'NOT_FOUND'],
    ['rate limited', 'RATE_LIMITED'],
    ['already pending', 'ALREADY_EXISTS'],
    ['unknown type: find_nodes', 'NOT_SUPPORTED'],
    ['resolve denied: node is private', 'NOT_TRUSTED'],
    ['request failed', 'REGISTRY_REFUSED'],
  ];
  for (const [text, expected] of texts) {
    const outcomes = ask(desk, { fields: { type: 'x' } });
    desk.refuse(text);
    expect(code(outcomes), text).toEqual([expected]);
  }
});

test('a request that finds no link waits 8 s for one', () => {
  const desk = new Desk();
  desk.client.start();
  const lost = ask(desk, { fields: { type: 'a' } });
  desk.elapse(7_999);
  expect(lost).toEqual([]);
  desk.elapse(1);
  expect(code(lost)).toEqual(['RENDEZVOUS_UNREACHABLE']);
  const kept = ask(desk, { fields: { type: 'b' } });
  desk.open();
  desk.answer();
  expect(code(kept)).toEqual(['ok']);
});

test('an answer that does not come breaks the link; what may be sent again goes once more', () => {
  const desk = opened();
  const outcomes = ask(desk, { fields: { type: 'lookup' }, isIdempotent: true });
  desk.elapse(3_000);
  desk.close();
  desk.elapse(400);
  desk.open();
  expect(desk.asked).toEqual([{ type: 'lookup' }]);
  desk.close();
  expect(code(outcomes)).toEqual(['RENDEZVOUS_UNREACHABLE']);
  expect(desk.types).toEqual(['lookup', 'lookup']);
  const other = opened();
  const silent = ask(other, { fields: { type: 'lookup' }, isIdempotent: true });
  other.elapse(8_000);
  expect(other.commands).toEqual(['close']);
  expect(code(silent)).toEqual(['RENDEZVOUS_UNREACHABLE']);
});

test('a request whose answer may have been lost is never sent again unless that is allowed', () => {
  const desk = opened();
  const outcomes = ask(desk, { fields: { type: 'request_handshake' } });
  desk.close();
  expect(code(outcomes)).toEqual(['RENDEZVOUS_UNREACHABLE']);
  desk.elapse(1_000);
  desk.open();
  expect(desk.types).toEqual(['request_handshake']);
});

test('a request that was being signed when the link broke was not sent, and goes on the next', () => {
  const desk = opened();
  desk.isSlow = true;
  const outcomes = ask(desk, { fields: { type: 'respond_handshake' }, challenge: 'respond:1:2' });
  desk.close();
  desk.elapse(1_000);
  desk.isSlow = false;
  desk.open();
  expect(desk.types).toEqual(['respond_handshake']);
  desk.answer();
  expect(code(outcomes)).toEqual(['ok']);
});

test('what has not left when the link breaks does not go on the next', () => {
  const desk = opened();
  const outcomes: RegistryOutcome[] = [];
  desk.client.request(desk.now, { fields: { type: 'request_handshake' } }, (_, outcome) => outcomes.push(outcome));
  desk.close();
  desk.elapse(1_000);
  desk.open();
  expect([desk.types, code(outcomes)]).toEqual([[], ['RENDEZVOUS_UNREACHABLE']]);
});

test('the link opens again after 0.25 s, doubling to 10 s, until an answer comes', () => {
  const desk = opened();
  const gaps: number[] = [];
  const fail = (): void => {
    desk.close();
    const from = desk.now;
    while (desk.commands.length === 0) desk.elapse(10);
    gaps.push(desk.now - from);
    desk.open();
  };
  for (let i = 0; i < 9; i++) fail();
  // A link that opens proves nothing.
  expect(gaps).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  ask(desk, { fields: { type: 'a' } });
  desk.answer();
  fail();
  expect(gaps[9]).toBe(250);
});

test('the end of a link that we broke is not heard twice', () => {
  const desk = opened();
  desk.gets(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  expect(desk.commands.splice(0)).toEqual(['close']);
  const at = desk.client.pollTimeout();
  desk.close();
  expect(desk.client.pollTimeout()).toBe(at);
});

test('an answer that nobody asked for breaks the link, and is never taken for the next one', () => {
  const desk = opened();
  desk.sends({ type: 'x_ok' });
  expect([desk.commands.splice(0), desk.counters.dropped('registryMalformed')]).toEqual([['close'], 1]);
  desk.elapse(1_000);
  desk.open();
  const first = ask(desk, { fields: { type: 'a' } });
  const second = ask(desk, { fields: { type: 'b' }, isIdempotent: true });
  const both = new Uint8Array([...frame('{"type":"a_ok"}'), ...frame('{"type":"b_ok","forged":true}')]);
  desk.gets(both);
  expect(desk.commands.splice(0)).toEqual(['close']);
  expect(code(first)).toEqual(['PROTOCOL']);
  expect(second).toEqual([]);
  desk.elapse(1_000);
  desk.open();
  desk.answer();
  expect(second).toEqual([{ ok: true, answer: { type: 'b_ok' } }]);
});

test('what is no answer breaks the link', () => {
  for (const text of ['{}', '[]', 'null', '7', '{"type":', '{"type":7}']) {
    const desk = opened();
    const outcomes = ask(desk, { fields: { type: 'a' } });
    desk.gets(frame(text));
    expect([code(outcomes), desk.commands], text).toEqual([['PROTOCOL'], ['close']]);
  }
});

test('an answer may come in pieces', () => {
  const desk = opened();
  const outcomes = ask(desk, { fields: { type: 'a' } });
  for (const byte of frame('{"type":"a_ok"}')) desk.gets(Uint8Array.of(byte));
  expect(code(outcomes)).toEqual(['ok']);
});

test('what we want ourselves goes before what strangers cause, and is not refused for their number', () => {
  const desk = opened();
  const strangers = Array.from({ length: 300 }, (_, i) =>
    ask(desk, { fields: { type: 'lookup', node_id: i }, isBackground: true }),
  );
  expect(strangers.filter((one) => one.length > 0)).toHaveLength(300 - 257);
  expect(code(strangers.flat())).toEqual(Array.from({ length: 43 }, () => 'BUSY'));
  const ours = ask(desk, { fields: { type: 'resolve' } });
  desk.answer();
  desk.answer();
  expect(code(ours)).toEqual(['ok']);
  desk.answer();
  expect(desk.types.slice(0, 3)).toEqual(['lookup', 'resolve', 'lookup']);
});

test('1024 may wait; the next is told so at once', () => {
  const desk = new Desk();
  const all = Array.from({ length: 1_025 }, () => ask(desk, { fields: { type: 'a' } }));
  expect(code(all.flat())).toEqual(['BUSY']);
  desk.elapse(9_000);
  expect(all.every((one) => one.length === 1)).toBe(true);
  expect(desk.client.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('a certificate that is not the pinned one fails all at once', () => {
  const desk = new Desk();
  desk.client.start();
  const all = [ask(desk, { fields: { type: 'a' }, isIdempotent: true }), ask(desk, { fields: { type: 'b' } })];
  desk.run();
  desk.close('TLS_PIN_MISMATCH');
  expect(code(all.flat())).toEqual(['TLS_PIN_MISMATCH', 'TLS_PIN_MISMATCH']);
});

test('close() answers everybody, once, and ends the link', () => {
  const desk = opened();
  const all = [
    ask(desk, { fields: { type: 'a' }, isIdempotent: true }),
    ask(desk, { fields: { type: 'b' }, challenge: 'b' }),
    ask(desk, { fields: { type: 'c' }, isBackground: true }),
  ];
  desk.client.close(desk.now);
  desk.run();
  expect(code(all.flat())).toEqual(['CLOSED', 'CLOSED', 'CLOSED']);
  expect(desk.commands).toEqual(['close']);
  expect(code(ask(desk, { fields: { type: 'd' } }))).toEqual(['CLOSED']);
  desk.close();
  desk.client.start();
  desk.elapse(60_000);
  expect(desk.commands).toEqual(['close']);
  expect(desk.client.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('a request made inside an answer is sent next', () => {
  const desk = opened();
  const outcomes: string[] = [];
  desk.client.request(desk.now, { fields: { type: 'a' } }, () => {
    outcomes.push('a');
    desk.client.request(desk.now, { fields: { type: 'b' } }, () => outcomes.push('b'));
  });
  desk.run();
  desk.answer();
  desk.answer();
  expect(outcomes).toEqual(['a', 'b']);
});

function frame(text: string): Uint8Array {
  const body = new TextEncoder().encode(text);
  return Uint8Array.of(0, 0, 0, body.length, ...body);
}
