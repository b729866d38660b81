/** What is to be reached, by name of the row and subject. */
import type { Row, Target } from './record.ts';

interface Goal extends Target {
  readonly name: RegExp;
  /** Omitted: all Wasm builds. */
  readonly subject?: string;
}

const GOALS: readonly Goal[] = [
  { name: /^M1 (seal|open) (34|98)$/, subject: 'wasm', peer: 'node:crypto', most: 0.12 },
  { name: /^M1 (seal|open) (34|98)$/, subject: 'wasm-relaxed', peer: 'node:crypto', most: 0.1 },
  { name: /^M2 (seal|open) 256$/, peer: 'node:crypto', most: 0.25 },
  { name: /^M3 (seal|open) 1200$/, subject: 'wasm', peer: 'node:crypto', most: 0.92 },
  { name: /^M3 (seal|open) 1200$/, subject: 'wasm-relaxed', peer: 'node:crypto', most: 0.78 },
  { name: /^M[123] dispatch /, subject: 'dispatch', peer: 'node:crypto + zlib.crc32', most: 1.1 },
  { name: /^M4 (seal|open) (34|98)$/, peer: 'fastest', most: 1 / 20 },
  { name: /^M4 (seal|open) 1200$/, peer: 'fastest', most: 1 / 13 },
  { name: /^M5 (one|batch) 64$/, subject: 'wasm', peer: 'js', most: 0.12 },
  { name: /^M5 (one|batch) 64$/, subject: 'wasm-relaxed', peer: 'js', most: 0.1 },
  { name: /^M5 one 64$/, subject: 'js', peer: 'node:crypto', most: 1.3 },
  { name: /^M6 34$/, peer: 'zlib', most: 0.33 },
  { name: /^M6 98$/, peer: 'zlib', most: 0.4 },
  { name: /^M6 1234$/, peer: 'zlib', most: 0.7 },
  { name: /^M7 one 1M$/, peer: 'Map', most: 0.25 },
  { name: /^M7 batch 1M$/, peer: 'Map', most: 0.04 },
  { name: /^M7 bytes 1M$/, most: 16 },
  // Design: no pause over 1 ms.
  { name: /^M7 longest insert 10M$/, most: 1000 },
  { name: /^M8 record$/, peer: 'js', most: 1.3 },
  // "No growth": what the measuring itself leaves behind is some kilobytes.
  { name: /^M8 heap$/, most: 64 * 1024 },
  { name: /^M9 raw$/, most: 64 * 1024 },
  { name: /^M9 brotli$/, most: 10 * 1024 },
  { name: /^M10 seal 34$/, subject: 'addon', peer: 'node:crypto', most: 0.025 },
  { name: /^M10 seal 1200$/, subject: 'addon', peer: 'node:crypto', most: 0.06 },
  { name: /^M11 receive /, subject: 'addon', peer: 'dgram', most: 0.11 },
  // The threshold of the dudect paper.
  { name: /^timing /, most: 4.5 },
  // What leaks has to be found, or the lines above say nothing.
  { name: /^timing /, subject: 'control', least: 4.5 },
];

/** The target of a row, if there is one. */
export function targetOf(name: string, subject: string): Target | undefined {
  const goal = GOALS.find((candidate) => candidate.name.test(name) && isFor(candidate, subject));
  if (goal === undefined) return undefined;
  const { name: _name, subject: _subject, ...target } = goal;
  return target;
}

function isFor(goal: Goal, subject: string): boolean {
  return goal.subject === undefined ? subject.startsWith('wasm') : goal.subject === subject;
}

/** What became of one target. */
export interface Achievement {
  readonly target: Target;
  /** The peer that it is about; empty: none. */
  readonly peer: string;
  readonly value: number;
  readonly isMet: boolean;
}

/** What a row achieved of its targets; nothing of one whose peer was not there. */
export function achieved({ target = [], median, peers }: Row): Achievement[] {
  const targets = 'length' in target ? target : [target];
  return targets.flatMap((one) => {
    const peer = peerOf(one, peers);
    const value = one.peer === undefined ? median : peers[peer]?.ratio;
    if (value === undefined) return [];
    return [{ target: one, peer, value, isMet: value <= (one.most ?? value) && value >= (one.least ?? value) }];
  });
}

/** The name of the peer that a target is about. */
export function peerOf(target: Target, peers: Row['peers']): string {
  if (target.peer !== 'fastest') return target.peer ?? '';
  return Object.entries(peers).sort(([, a], [, b]) => a.median - b.median)[0]?.[0] ?? '';
}
