/** A run as a table for the terminal: a line for each row and peer, with what is wanted and whether it is reached. */
import type { Recording, Row } from './record.ts';
import { achieved, peerOf } from './targets.ts';

const HEAD = ['name', 'subject', 'median', 'p95', 'peer', 'its median', 'ratio', 'best', 'target', ''];

/** The whole table, ending in a line feed. */
export function table({ commit, machine, runtime, absent, rows }: Recording): string {
  const lines = [HEAD, ...rows.flatMap(linesOf)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => padded(cell, widths[column]!, column))
      .join('  ')
      .trimEnd(),
  );
  const missing = absent.map((line) => `not in this runtime: ${line}`);
  return `${[`${runtime}, commit ${commit}, ${machine}`, '', ...text, '', ...missing].join('\n')}\n`;
}

function linesOf(row: Row): string[][] {
  const peers = Object.entries(row.peers);
  const head = [row.name, row.subject, figure(row.median, row.unit), figure(row.p95, row.unit)];
  const [target, verdict] = aim(row);
  if (peers.length === 0) return [[...head, '', '', '', '', target, verdict]];
  const goal = row.target === undefined ? '' : peerOf(row.target, row.peers) || peers[0]![0];
  return peers.map(([name, peer], i) => {
    const isGoal = name === goal;
    return [
      ...(i === 0 ? head : ['', '', '', '']),
      name,
      figure(peer.median, row.unit),
      ratio(peer.ratio),
      ratio(peer.best),
      isGoal ? target : '',
      isGoal ? verdict : '',
    ];
  });
}

function aim(row: Row): [target: string, verdict: string] {
  const result = achieved(row);
  if (row.target === undefined || result === undefined) return ['', ''];
  const { peer, most, least } = row.target;
  const limit = most ?? least ?? 0;
  const text = peer === undefined ? figure(limit, row.unit) : ratio(limit);
  return [`${most === undefined ? '≥' : '≤'} ${text}`, result.isMet ? 'met' : 'MISSED'];
}

function ratio(value: number): string {
  return value < 10 ? value.toFixed(3) : value.toFixed(0);
}

/** A figure with its unit, at most four digits. */
function figure(value: number, unit: string): string {
  if (unit === 'ns' && value >= 10_000) return `${(value / 1000).toPrecision(4)} µs`;
  if (unit === 't') return `t ${value.toFixed(2)}`;
  return `${value >= 1000 ? Math.round(value) : value.toPrecision(3)} ${unit}`;
}

function padded(cell: string, width: number, column: number): string {
  const isText = column < 2 || column === 4 || column > 7;
  return isText ? cell.padEnd(width) : cell.padStart(width);
}
