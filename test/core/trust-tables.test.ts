import { expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import { TrustTables } from '../../src/core/trust-tables.ts';
import { keyOf } from './trust-harness.ts';

const GRANTED = { publicKey: keyOf(7), isMutual: false, network: 0 };

test('the key stays when trust grows', () => {
  const tables = new TrustTables(undefined);
  tables.trust(7, { ...GRANTED, network: 12 }, 0);
  tables.trust(7, { ...GRANTED, publicKey: undefined }, 1);
  expect(tables.node(7, 1)).toMatchObject({ publicKey: keyOf(7), network: 0, approvedAt: 1 });
});

test('keys are copies: what the caller does with its bytes later does not matter', () => {
  const tables = new TrustTables(undefined);
  const key = keyOf(7);
  tables.trust(7, { ...GRANTED, publicKey: key }, 0);
  tables.trust(8, { ...GRANTED, publicKey: undefined }, 0);
  tables.pin(8, key);
  key.fill(255);
  expect([tables.node(7, 0)?.publicKey, tables.node(8, 0)?.publicKey]).toEqual([keyOf(7), keyOf(7)]);
});

test('a pinned key is pinned', () => {
  const tables = new TrustTables(undefined);
  tables.trust(7, GRANTED, 0);
  expect([tables.pin(7, keyOf(7, 1)), tables.pin(8, keyOf(8))]).toEqual([false, false]);
  expect(tables.node(7, 0)?.publicKey).toEqual(keyOf(7));
});

test('65,536 revocations are remembered; a confirmed one leaves for the next, else the oldest', () => {
  const tables = new TrustTables(undefined);
  for (let peer = 1; peer <= LIMITS.trustedNodes; peer++) tables.revoke(peer, 0);
  tables.confirm(5);
  tables.revoke(100_000, 0);
  expect([1, 5, 100_000].map((peer) => tables.decides(peer))).toEqual([true, false, true]);
  tables.revoke(100_001, 0);
  expect([1, 2, 100_001].map((peer) => tables.decides(peer))).toEqual([false, true, true]);
  expect(tables.unconfirmed()).toHaveLength(LIMITS.trustedNodes);
});

test('confirming and reporting are news once', () => {
  const tables = new TrustTables(undefined);
  tables.revoke(7, 0);
  expect([tables.confirm(7), tables.confirm(7), tables.confirm(8)]).toEqual([true, false, false]);
  tables.trust(7, GRANTED, 0);
  expect(tables.unreported()).toEqual([7]);
  expect([tables.report(7), tables.report(7), tables.report(8)]).toEqual([true, false, false]);
  expect([tables.unreported(), tables.unconfirmed()]).toEqual([[], []]);
});
