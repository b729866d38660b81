/**
 * What became worse since a run that was recorded. Times move with the machine, so ratios are compared; sizes, which have no
 * peer, as they are; and of what is chance as long as it keeps its limit, whether it does.
 */
import { readFileSync } from 'node:fs';
import type { Recording, Row } from './record.ts';
import { achieved } from './targets.ts';

/** Less than this is noise. */
const TOLERANCE = 1.2;

/** Reads what `--json` wrote. @throws Error whose message names the file and what is wrong with it. */
export function readRecording(path: string): Recording {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new Error(`Cannot compare with ${path}: ${code === 'ENOENT' ? 'there is no such file' : code}`);
  }
  try {
    const read = JSON.parse(text) as Partial<Recording>;
    if (typeof read.runtime === 'string' && Array.isArray(read.rows)) return read as Recording;
  } catch {
    // No JSON at all: the same answer.
  }
  throw new Error(`Cannot compare with ${path}: not what --json writes`);
}

/**
 * A line for each row that became worse by more than a fifth, and for what only one of the two runs has; ends in a line feed.
 *
 * @param wanted - The rows that were to be measured now: others are not missing.
 */
export function regressions(before: Recording, after: Recording, wanted: RegExp): string {
  const there = before.rows.filter(({ name }) => wanted.test(name));
  const lines = [`Against commit ${before.commit} on ${before.runtime}, ${before.machine}:`];
  if (before.runtime !== after.runtime) {
    lines.push(`  this is ${after.runtime}: where peers differ, so do ratios to them`);
  }
  const pairs = after.rows.flatMap((row) => {
    const earlier = there.find((candidate) => titleOf(candidate) === titleOf(row));
    return earlier === undefined ? [] : [[earlier, row] as const];
  });
  const found = pairs.flatMap(([earlier, row]) => worse(earlier, row));
  if (pairs.length === 0) lines.push('  no row is in both');
  else if (found.length === 0) lines.push(`  nothing of ${pairs.length} rows is more than 20 % worse`);
  lines.push(...found, ...oneSided('only there', there, after.rows), ...oneSided('only here', after.rows, there));
  return `${lines.join('\n')}\n`;
}

function titleOf({ name, subject }: Row): string {
  return `${name} ${subject}`;
}

function worse(before: Row, after: Row): string[] {
  const title = `  ${titleOf(after)}`;
  if (isChance(after)) {
    const isWorse = achieved(before).every(({ isMet }) => isMet) && achieved(after).some(({ isMet }) => !isMet);
    return isWorse ? [`${title}: ${figure(before)} → ${figure(after)}, beyond its limit`] : [];
  }
  const peers = Object.entries(after.peers);
  // Without a peer a time says nothing.
  if (peers.length === 0) return after.unit === 'ns' ? [] : changed(title, before, after);
  return peers.flatMap(([name, peer]) => {
    const earlier = before.peers[name];
    if (earlier === undefined) return [];
    const [then, now] = [
      { ...before, median: earlier.ratio },
      { ...after, median: peer.ratio },
    ];
    // Both: a busy machine moves one of them, a slower function the two.
    const isBestWorse = factorOf(earlier.best, peer.best, after.better) > TOLERANCE;
    return isBestWorse ? changed(`${title} ÷ ${name}`, then, now) : [];
  });
}

/** A t below its threshold, and what the measuring leaves on the heap. */
function isChance({ unit, name }: Row): boolean {
  return unit === 't' || name === 'M8 heap';
}

function changed(title: string, before: Row, after: Row): string[] {
  const factor = factorOf(before.median, after.median, after.better);
  if (!(factor > TOLERANCE)) return [];
  return [`${title}: ${figure(before)} → ${figure(after)}, ${Math.round((factor - 1) * 100)} % worse`];
}

function factorOf(before: number, after: number, better: Row['better']): number {
  return better === 'lower' ? after / before : before / after;
}

function figure({ median }: Row): string {
  return median >= 1000 ? String(Math.round(median)) : median.toPrecision(3);
}

/** Rows and peers of one run that the other does not have. */
function oneSided(where: string, rows: readonly Row[], others: readonly Row[]): string[] {
  const names = rows.flatMap((row) => {
    const other = others.find((candidate) => titleOf(candidate) === titleOf(row));
    if (other === undefined) return [titleOf(row)];
    const peers = Object.keys(row.peers).filter((peer) => other.peers[peer] === undefined);
    return peers.map((peer) => `${titleOf(row)} ÷ ${peer}`);
  });
  return names.length === 0 ? [] : [`  ${where}, not compared: ${names.join(', ')}`];
}
