import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Channel } from '../../bench/flow/channel.ts';
import { jainIndex } from '../../bench/flow/fairness.ts';
import { scaling } from '../../bench/flow/load.ts';
import { parseOptions } from '../../bench/flow/options.ts';
import { bandwidthDelay } from '../../bench/flow/paths.ts';
import { ACCOUNT, HEADER, Reception, WHAT } from '../../bench/flow/service.ts';
import { withTargets } from '../../bench/flow/targets.ts';
import type { Recording, Row } from '../../bench/micro/record.ts';
import { rowsOf } from '../../bench/micro/rows.ts';
import { table } from '../../bench/micro/table.ts';
import { achieved } from '../../bench/micro/targets.ts';

function row(name: string, medians: { [name: string]: number }, more: Partial<Row> = {}): Row {
  const { js: median = 1, ...others } = medians;
  const peers = Object.entries(others).map(([peer, value]) => {
    const ratio = median / value;
    return [peer, { version: '1', median: value, ratio, best: ratio }];
  });
  const measure = { unit: 'µs', better: 'lower' } as const;
  return { name, subject: 'js', median, p95: median, ...measure, peers: Object.fromEntries(peers), ...more };
}

function recording(...rows: Row[]): Recording {
  return { commit: 'abc', machine: 'a machine', runtime: 'node 20', date: '', absent: ['nats: no nats-server'], rows };
}

test('nothing asked for is all rows, all subjects and all peers, at length', () => {
  const options = parseOptions([]);
  expect(options).toMatchObject({ isQuick: false, isList: false, subjects: ['js', 'addon'], peers: undefined });
  expect(options.wanted.test('F1 64')).toBe(true);
});

test('options are read, lists by commas', () => {
  const args = ['--only', '^f2', '--quick', '--peers', 'tls,nats', '--subjects', 'js', '--json', 'a', '--profile', 'b'];
  const options = parseOptions(args);
  expect(options).toMatchObject({ isQuick: true, subjects: ['js'], peers: ['tls', 'nats'], json: 'a', profiles: 'b' });
  expect(options.wanted.test('F2 1K')).toBe(true);
  expect(options.wanted.test('F1 64')).toBe(false);
});

test('a run to compare with is read before anything is measured', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pilotwire-flow-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'run.json');
  writeFileSync(file, JSON.stringify(recording(row('F1 64', {}))));
  expect(parseOptions(['--compare', file]).before?.rows).toHaveLength(1);
  expect(() => parseOptions(['--compare', join(folder, 'none')])).toThrow('no such file');
});

test.each([
  ['--subject', 'js'],
  ['--subjects', 'go'],
  ['--peers', 'tsl'],
  ['--only', '('],
])('%s %s is refused', (...args) => {
  expect(() => parseOptions(args)).toThrow();
});

test("Jain's index is 1 for equals and 1/n when one has all", () => {
  expect(jainIndex([5, 5])).toBe(1);
  expect(jainIndex([7, 0])).toBe(0.5);
  expect(jainIndex([3, 1])).toBeCloseTo(0.8);
});

test('100 Mbit/s for 30 ms are 375 000 bytes', () => {
  expect(bandwidthDelay(100, 30)).toBe(375_000);
});

test('where more is better, the worst and the best of the samples are at the other ends', () => {
  const samples = Array.from({ length: 101 }, (_, i) => i);
  const one = { version: '1', samples, medians: [50] };
  const all = [
    { ...one, name: 'js' },
    { ...one, name: 'tls', samples: samples.map((value) => 2 * value), medians: [100] },
  ];
  const comparison = { name: 'F2', subjects: ['js', 'addon'], peers: ['tls', 'nats'] };
  const rows = rowsOf(comparison, { unit: 'k/s', better: 'higher' }, all);
  expect(rows).toHaveLength(1);
  expect(rows[0]).toMatchObject({ subject: 'js', median: 50, p95: 5, better: 'higher' });
  expect(rows[0]!.peers).toEqual({ tls: { version: '1', median: 100, ratio: 0.5, best: 0.5 } });
  expect(rowsOf(comparison, { unit: 'µs', better: 'lower' }, all)[0]!.p95).toBe(95);
});

test('a row has a target for each peer that one is about', () => {
  const { target } = withTargets(row('F1 64', {}));
  expect(target).toEqual([
    { peer: 'tls', most: 1 },
    { peer: 'nats', most: 0.25 },
  ]);
  expect(withTargets(row('F1 64 net', {})).target).toBeUndefined();
  expect(withTargets(row('F1 64', {}, { subject: 'addon' })).target).toContainEqual({ peer: 'tls', most: 0.6 });
});

test('each target is held against its own peer, and against none that was not there', () => {
  const both = achieved(withTargets(row('F1 64', { js: 50, tls: 60, nats: 100 })));
  expect(both.map(({ peer, isMet }) => [peer, isMet])).toEqual([
    ['tls', true],
    ['nats', false],
  ]);
  expect(achieved(withTargets(row('F1 64', { js: 50, tls: 40 }))).map(({ isMet }) => isMet)).toEqual([false]);
});

test('a target may have two ends', () => {
  const control = (median: number): Row => withTargets(row('link loss 2%', { js: median }, { subject: 'control' }));
  expect([1.5, 2, 2.5].map((median) => achieved(control(median))[0]!.isMet)).toEqual([false, true, false]);
});

test('the table shows every peer, the verdict beside the one it is about, and who is absent', () => {
  const text = table(recording(withTargets(row('F1 64', { js: 50, tls: 60, udx: 55, nats: 100 }))));
  const lines = text.split('\n');
  expect(lines.find((line) => line.includes(' tls '))).toMatch(/F1 64 +js .*≤ 1\.000 +met$/);
  expect(lines.find((line) => line.includes(' nats '))).toMatch(/0\.500 +≤ 0\.250 +MISSED$/);
  expect(lines.find((line) => line.includes(' udx '))).toMatch(/0\.909 +0\.909$/);
  expect(text).toContain('nats: no nats-server');
});

test('a target that is about no peer has a line before the peers', () => {
  const fair = withTargets(row('F5 fair own', { js: 0.9, tls: 0.99 }, { unit: 'Jain', better: 'higher' }));
  const lines = table(recording(fair)).split('\n');
  expect(lines.find((line) => line.startsWith('F5 fair own'))).toMatch(/≥ 0\.700 Jain +met$/);
  expect(lines.some((line) => line.includes(' tls '))).toBe(true);
});

test('how load grows is told for ours and for each peer that is in both', () => {
  const rows = [
    row('F8 1 cpu', { js: 10, nats: 20, tls: 5 }),
    row('F8 8 cpu', { js: 11, nats: 20 }),
    row('F8 16 cpu', { js: 12, nats: 30 }),
  ];
  const [grown] = scaling(rows, 'cpu');
  expect(grown).toMatchObject({ name: 'F8 16÷1 cpu', median: 1.2, target: [{ most: 1.3 }] });
  expect(Object.keys(grown!.peers)).toEqual(['nats']);
  expect(grown!.peers.nats).toMatchObject({ median: 1.5, ratio: expect.closeTo(0.8) });
  expect(scaling(rows.slice(1), 'cpu')).toEqual([]);
});

/** A server's end of a channel that keeps what it sends. */
function reception(): { reception: Reception; arrive: (bytes: Uint8Array) => void; sent: Buffer[] } {
  const sent: Buffer[] = [];
  const channel: Channel = {
    send(bytes) {
      sent.push(Buffer.from(bytes));
      return undefined;
    },
    onData: () => {},
    close: () => {},
  };
  const made = new Reception(channel);
  return { reception: made, arrive: (bytes) => channel.onData(bytes), sent };
}

function announced(what: number, bytes: number, messages: number): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(what, 0);
  header.writeUInt32BE(bytes, 4);
  header.writeDoubleBE(messages, 8);
  return header;
}

test.each([1, 7, 16, 100_000])('a server understands what arrives in pieces of %d bytes', (piece) => {
  const { reception: made, arrive, sent } = reception();
  const stamps = Buffer.alloc(60);
  const all = Buffer.concat([
    ...[announced(WHAT.echo, 5, 2), Buffer.from('hello'), Buffer.from('world')],
    ...[announced(WHAT.sink, 40, 3), Buffer.alloc(120)],
    ...[announced(WHAT.paced, 20, 3), stamps],
  ]);
  for (let i = 0; i < all.length; i += piece) arrive(all.subarray(i, i + piece));
  const text = Buffer.concat(sent);
  expect(text.subarray(0, 10).toString()).toBe('helloworld');
  expect(text).toHaveLength(10 + 2 * ACCOUNT);
  expect(text.readDoubleBE(10)).toBe(120);
  expect(text.readDoubleBE(10 + ACCOUNT)).toBe(60);
  expect(made.latencies).toHaveLength(3);
  expect(made.received).toBe(10 + 120 + 60);
});

test('nothing is accounted for before all of it is there', () => {
  const { arrive, sent } = reception();
  arrive(announced(WHAT.sink, 100, 2));
  arrive(Buffer.alloc(199));
  expect(sent).toEqual([]);
  arrive(Buffer.alloc(1));
  expect(sent).toHaveLength(1);
});
