import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readRecording, regressions } from '../../bench/micro/compare.ts';
import type { PeerResult, Recording, Row } from '../../bench/micro/record.ts';

const ALL = /./;

function peer(ratio: number, best = ratio): PeerResult {
  return { version: '1', median: 100, ratio, best };
}

function row(name: string, peers: Row['peers'], more: Partial<Row> = {}): Row {
  return { name, subject: 'wasm', unit: 'ns', median: 50, p95: 60, better: 'lower', peers, ...more };
}

function recording(...rows: Row[]): Recording {
  return { commit: 'abc', machine: 'a machine', runtime: 'node 20', date: '', absent: [], rows };
}

/** Without the line that says what is compared. */
function linesOf(before: Recording, after: Recording, wanted = ALL): string[] {
  return regressions(before, after, wanted).trimEnd().split('\n').slice(1);
}

test('a ratio that is a fifth worse is told, with both figures', () => {
  const before = recording(row('M1', { zlib: peer(0.1), noble: peer(0.5) }), row('M2', { zlib: peer(1) }));
  const after = recording(row('M1', { zlib: peer(0.15), noble: peer(0.59) }), row('M2', { zlib: peer(0.1) }));
  expect(linesOf(before, after)).toEqual(['  M1 wasm ÷ zlib: 0.100 → 0.150, 50 % worse']);
  expect(linesOf(after, before)).toEqual(['  M2 wasm ÷ zlib: 0.100 → 1.00, 900 % worse']);
});

test('where only the median or only the best is worse, the machine was busy', () => {
  const before = recording(row('M1', { zlib: peer(0.1, 0.1) }));
  expect(linesOf(before, recording(row('M1', { zlib: peer(0.2, 0.1) })))).toEqual([
    '  nothing of 1 rows is more than 20 % worse',
  ]);
  expect(linesOf(before, recording(row('M1', { zlib: peer(0.1, 0.2) })))[0]).toContain('nothing');
});

test('where more is better, less is worse', () => {
  const before = recording(row('M1', { zlib: peer(2) }, { better: 'higher' }));
  const after = recording(row('M1', { zlib: peer(1) }, { better: 'higher' }));
  expect(linesOf(before, after)).toEqual(['  M1 wasm ÷ zlib: 2.00 → 1.00, 100 % worse']);
  expect(linesOf(after, before)[0]).toContain('nothing');
});

test('a size is compared as it is, a time without a peer is not', () => {
  const before = recording(row('M9', {}, { unit: 'B', median: 1000 }), row('M1', {}, { median: 10 }));
  const after = recording(row('M9', {}, { unit: 'B', median: 1500 }), row('M1', {}, { median: 90 }));
  expect(linesOf(before, after)).toEqual(['  M9 wasm: 1000 → 1500, 50 % worse']);
});

test('a t, and the heap, are told only beyond their limit', () => {
  const timing = (median: number): Row => row('timing a', {}, { unit: 't', median, target: { most: 4.5 } });
  const heap = (median: number): Row => row('M8 heap', {}, { unit: 'B', median, target: { most: 65_536 } });
  expect(linesOf(recording(timing(1), heap(100)), recording(timing(4), heap(9_000)))[0]).toContain('nothing of 2');
  expect(linesOf(recording(timing(1), heap(100)), recording(timing(9), heap(90_000)))).toEqual([
    '  timing a wasm: 1.00 → 9.00, beyond its limit',
    '  M8 heap wasm: 100 → 90000, beyond its limit',
  ]);
  expect(linesOf(recording(timing(8)), recording(timing(9)))[0]).toContain('nothing');
});

test('another runtime is pointed out', () => {
  const before = { ...recording(row('M1', { zlib: peer(1) })), runtime: 'deno 2' };
  const after = recording(row('M1', { zlib: peer(1) }));
  expect(regressions(before, after, ALL)).toContain('on deno 2, a machine:\n  this is node 20');
  expect(regressions(after, after, ALL)).not.toContain('this is');
});

test('rows and peers that one of them does not have are named, those not asked for are not', () => {
  const before = recording(row('M1', { zlib: peer(1), noble: peer(1) }), row('M6', { zlib: peer(1) }), row('M7', {}));
  const after = recording(row('M1', { zlib: peer(1), js: peer(1) }), row('M5', {}));
  expect(linesOf(before, after, /M[1-6]/)).toEqual([
    '  nothing of 1 rows is more than 20 % worse',
    '  only there, not compared: M1 wasm ÷ noble, M6 wasm',
    '  only here, not compared: M1 wasm ÷ js, M5 wasm',
  ]);
});

test('two runs without a common row do not pass for equal', () => {
  expect(linesOf(recording(row('M1', {})), recording(row('M2', {})))[0]).toBe('  no row is in both');
});

test('a file that is missing, or something else, is named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pilotwire-compare-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'run.json');
  expect(() => readRecording(path)).toThrow(`Cannot compare with ${path}: there is no such file`);
  expect(() => readRecording(folder)).toThrow(`Cannot compare with ${folder}: EISDIR`);
  for (const text of ['', '# text', '{}', 'null', '{"runtime":"node 20"}']) {
    writeFileSync(path, text);
    expect(() => readRecording(path), text).toThrow(`Cannot compare with ${path}: not what --json writes`);
  }
  writeFileSync(path, JSON.stringify(recording()));
  expect(readRecording(path)).toEqual(recording());
});
