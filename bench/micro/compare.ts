/**
 * What became worse since a run that was recorded. Only ratios are compared, because times move with the machine; sizes,
 * which have no peer, are compared as they are.
 */
import { readFileSync } from 'node:fs';
import type { Recording, Row } from './record.ts';

/** Less than this is noise. */
const TOLERANCE = 1.2;

/** Reads what `--json` wrote. */
export function readRecording(path: string): Recording {
  return JSON.parse(readFileSync(path, 'utf8')) as Recording;
}

/** A line for each row that became worse by more than a fifth, ending in a line feed. */
export function regressions(before: Recording, after: Recording): string {
  const lines = after.rows.flatMap((row) => {
    const earlier = before.rows.find(({ name, subject }) => name === row.name && subject === row.subject);
    return earlier === undefined ? [] : worse(earlier, row);
  });
  const head = `Against commit ${before.commit} on ${before.runtime}, ${before.machine}:`;
  return `${[head, ...(lines.length > 0 ? lines : ['  nothing is more than 20 % worse']), ''].join('\n')}`;
}

function worse(before: Row, after: Row): string[] {
  const title = `  ${after.name} ${after.subject}`;
  const peers = Object.entries(after.peers);
  // A t below its threshold is chance.
  if (after.unit === 't') return [];
  if (peers.length === 0) return changed(title, before.median, after.median, after.better);
  return peers.flatMap(([name, peer]) => {
    const earlier = before.peers[name];
    return earlier === undefined ? [] : changed(`${title} ÷ ${name}`, earlier.ratio, peer.ratio, after.better);
  });
}

function changed(title: string, before: number, after: number, better: Row['better']): string[] {
  const factor = better === 'lower' ? after / before : before / after;
  if (!(factor > TOLERANCE)) return [];
  return [`${title}: ${before.toPrecision(3)} → ${after.toPrecision(3)}, ${Math.round((factor - 1) * 100)} % worse`];
}
