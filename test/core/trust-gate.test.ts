import { expect, test } from 'vitest';
import { TIMERS } from '../../src/config.ts';
import { CONTACTS, NEGATIVE_MS, POSITIVE_MS, REGISTRY_ANSWERS, TrustGate } from '../../src/core/trust-gate.ts';
import { Trace, trusting } from './trust-harness.ts';

const STRANGER = 66;

test('a stranger is asked about once, and dropped meanwhile', () => {
  const gate = new TrustGate();
  expect([gate.ask(0, 7), gate.ask(1, 7), gate.ask(1, 8)]).toEqual(['ask', 'drop', 'ask']);
  gate.noteAnswer(100, 7, true);
  expect([gate.ask(101, 7), gate.ask(101, 8)]).toEqual(['admit', 'drop']);
});

test('a yes counts for 60 s, a no for 5 s', () => {
  const gate = new TrustGate();
  gate.noteAnswer(0, 7, true);
  gate.noteAnswer(0, 8, false);
  expect([gate.ask(NEGATIVE_MS - 1, 8), gate.ask(NEGATIVE_MS, 8)]).toEqual(['drop', 'ask']);
  expect([gate.ask(POSITIVE_MS - 1, 7), gate.ask(POSITIVE_MS, 7)]).toEqual(['admit', 'ask']);
  expect([POSITIVE_MS, NEGATIVE_MS]).toEqual([60_000, 5_000]);
});

test('a registry that says nothing is asked again, at once when it could not be reached', () => {
  const gate = new TrustGate();
  gate.ask(0, 7);
  expect([gate.ask(TIMERS.registryAnswerMs - 1, 7), gate.ask(TIMERS.registryAnswerMs, 7)]).toEqual(['drop', 'ask']);
  gate.noteAnswer(TIMERS.registryAnswerMs, 7, undefined);
  expect(gate.ask(TIMERS.registryAnswerMs, 7)).toBe('ask');
});

test('a no after a yes counts, and a yes after a no', () => {
  const gate = new TrustGate();
  gate.noteAnswer(0, 7, true);
  gate.noteAnswer(1, 7, false);
  expect([gate.ask(2, 7), gate.isAdmitted(2, 7)]).toEqual(['drop', false]);
  gate.noteAnswer(3, 7, true);
  expect([gate.ask(4, 7), gate.isAdmitted(4, 7)]).toEqual(['admit', true]);
});

test('the reply window is open 5 minutes, for ports 1001 and 444', () => {
  const gate = new TrustGate();
  gate.noteContact(0, 7);
  const ports = (now: number, peer: number): boolean[] =>
    [1001, 444, 1000, 443, 0].map((port) => gate.isReply(now, peer, port));
  expect(ports(0, 7)).toEqual([true, true, false, false, false]);
  expect(ports(299_999, 7)).toEqual([true, true, false, false, false]);
  expect([...ports(300_000, 7), ...ports(0, 8)]).not.toContain(true);
  gate.noteContact(299_999, 7);
  expect(gate.isReply(500_000, 7, 1001)).toBe(true);
});

test('4,096 contacts are remembered; the oldest leaves', () => {
  const gate = new TrustGate();
  for (let peer = 1; peer <= CONTACTS; peer++) gate.noteContact(0, peer);
  gate.noteContact(0, 1);
  gate.noteContact(0, CONTACTS + 1);
  expect([gate.isReply(1, 1, 444), gate.isReply(1, 2, 444), gate.isReply(1, 3, 444)]).toEqual([true, false, true]);
  expect(gate.size).toBe(CONTACTS);
});

test('strangers who are refused displace each other, not those who may enter', () => {
  const gate = new TrustGate();
  gate.noteAnswer(0, 7, true);
  for (let peer = 100; peer < 100 + 3 * REGISTRY_ANSWERS; peer++) gate.ask(0, peer);
  expect(gate.ask(1, 7)).toBe('admit');
  expect(gate.size).toBe(REGISTRY_ANSWERS + 1);
});

test('nothing from before counts once trust ended', () => {
  const gate = new TrustGate();
  gate.noteContact(0, 7);
  gate.noteAnswer(0, 7, true);
  gate.close(1, 7);
  expect([gate.isReply(2, 7, 444), gate.isAdmitted(2, 7), gate.ask(2, 7)]).toEqual([false, false, 'drop']);
});

test('what is over is swept', () => {
  const gate = new TrustGate();
  gate.noteContact(0, 7);
  gate.noteAnswer(0, 8, true);
  gate.noteAnswer(0, 9, false);
  gate.sweep(NEGATIVE_MS);
  expect(gate.size).toBe(2);
  gate.sweep(300_000);
  expect(gate.size).toBe(0);
});

// The order of DP 7.2

test('a public node admits everybody', () => {
  const t = new Trace({ isPublic: true });
  expect([t.admits(STRANGER, 1000), t.admits(STRANGER, 22)]).toEqual(['admit', 'admit']);
});

test('the own table admits without the registry, on every port', () => {
  const t = trusting(7);
  expect([0, 22, 444, 1000, 1001, 65_535].map((port) => t.admits(7, port))).toEqual(Array(6).fill('admit'));
});

test('the reply window admits before the registry is asked, and without it', () => {
  const t = new Trace();
  t.trust.noteContact(t.now, STRANGER);
  expect([t.admits(STRANGER, 1001), t.admits(STRANGER, 444), t.admits(STRANGER, 1000)]).toEqual([
    'admit',
    'admit',
    'ask',
  ]);
});

test('the registry admits to all ports but trusts nobody', () => {
  const t = new Trace();
  expect([t.admits(STRANGER), t.admits(STRANGER)]).toEqual(['ask', 'drop']);
  t.trust.noteRegistryAnswer(t.now, STRANGER, true);
  expect([t.admits(STRANGER, 1000), t.admits(STRANGER, 22), t.isTrusted(STRANGER)]).toEqual(['admit', 'admit', false]);
  t.elapse(60_000);
  expect(t.admits(STRANGER)).toBe('ask');
  t.trust.noteRegistryAnswer(t.now, STRANGER, undefined);
  expect(t.admits(STRANGER)).toBe('ask');
});

test('what a peer sends opens no reply window', () => {
  const t = new Trace();
  t.gets('request', STRANGER);
  t.getsMail('request', STRANGER);
  t.trust.reject(t.now, STRANGER, 'no');
  expect(t.admits(STRANGER, 1001)).toBe('ask');
});
