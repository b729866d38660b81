import { expect, test } from 'vitest';
import { REPLAY_ENTRIES, REPLAY_ENTRIES_PER_PEER, ReplayTable } from '../../src/core/trust-replay.ts';

const KIND = 'handshake_request';

function filled(peers: number): ReplayTable {
  const table = new ReplayTable();
  for (let peer = 1; peer <= peers; peer++) table.add(peer, { peer, kind: KIND, timestamp: 1 });
  return table;
}

test('a message is known by peer, kind and time stamp', () => {
  const table = filled(1);
  expect(table.has(1, KIND, 1)).toBe(true);
  expect([table.has(2, KIND, 1), table.has(1, 'handshake_accept', 1), table.has(1, KIND, 2)]).toEqual([
    false,
    false,
    false,
  ]);
});

test('ids and time stamps that read alike stay apart', () => {
  const table = new ReplayTable();
  table.add(0, { peer: 1, kind: KIND, timestamp: 11 });
  expect([table.has(11, KIND, 1), table.has(1, KIND, 1), table.has(1, KIND, -11)]).toEqual([false, false, false]);
});

test('a full table lets its oldest go, so that nobody is locked out (H3)', () => {
  const table = filled(REPLAY_ENTRIES + 1);
  expect(table.size).toBe(REPLAY_ENTRIES);
  expect([table.has(1, KIND, 1), table.has(2, KIND, 1), table.has(REPLAY_ENTRIES + 1, KIND, 1)]).toEqual([
    false,
    true,
    true,
  ]);
});

test('a peer that says much pushes out its own', () => {
  const table = filled(REPLAY_ENTRIES - REPLAY_ENTRIES_PER_PEER);
  for (let timestamp = 1; timestamp <= 10_000; timestamp++) table.add(9_999, { peer: 99_999, kind: KIND, timestamp });
  expect(table.size).toBe(REPLAY_ENTRIES);
  expect(table.has(1, KIND, 1)).toBe(true);
  const own = Array.from({ length: 20 }, (_, i) => table.has(99_999, KIND, 10_000 - i));
  expect(own.filter(Boolean)).toHaveLength(REPLAY_ENTRIES_PER_PEER);
  expect(own.slice(0, REPLAY_ENTRIES_PER_PEER)).not.toContain(false);
});

test('what is added twice has one place', () => {
  const table = new ReplayTable();
  for (let i = 0; i < 3; i++) table.add(i, { peer: 7, kind: KIND, timestamp: 1 });
  expect(table.size).toBe(1);
});

test('what is too old to be fresh is swept after 10 minutes', () => {
  const table = filled(0);
  table.add(0, { peer: 1, kind: KIND, timestamp: 1 });
  table.add(1_000, { peer: 2, kind: KIND, timestamp: 1 });
  table.sweep(599_999);
  expect(table.size).toBe(2);
  table.sweep(600_000);
  expect([table.has(1, KIND, 1), table.has(2, KIND, 1)]).toEqual([false, true]);
  table.sweep(10_000_000);
  expect(table.size).toBe(0);
  for (let timestamp = 1; timestamp <= 20; timestamp++) table.add(10_000_001, { peer: 1, kind: KIND, timestamp });
  expect(table.size, 'the places of what was swept are free').toBe(REPLAY_ENTRIES_PER_PEER);
});
