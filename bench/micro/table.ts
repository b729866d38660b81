/** A run as a table for the terminal: a line for each row and peer, with what is wanted and whether it is reached. */
import type { Recording, Row } from './record.ts';
import { type Achievement, achieved } from './targets.ts';

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
  const results = achieved(row);
  const aims = (peer: string): string[] =>
    aim(
      row,
      results.find((result) => result.peer === peer),
    );
  const peers = Object.entries(row.peers);
  const head = [row.name, row.subject, figure(row.median, row.unit), figure(row.p95, row.unit)];
  // Targets that are about no peer have a line of their own.
  const own =
    results.some(({ peer }) => peer === '') || peers.length === 0 ? [[...head, '', '', '', '', ...aims('')]] : [];
  const others = peers.map(([name, peer], i) => [
    ...(i === 0 && own.length === 0 ? head : ['', '', '', '']),
    name,
    figure(peer.median, row.unit),
    ratio(peer.ratio),
    ratio(peer.best),
    ...aims(name),
  ]);
  return [...own, ...others];
}

function aim(row: Row, result: Achievement | undefined): [target: string, verdict: string] {
  if (result === undefined) return ['', ''];
  const { peer, most, least } = result.target;
  const text = (limit: number): string => (peer === undefined ? figure(limit, row.unit) : ratio(limit));
  const limits = [
    ...(least === undefined ? [] : [`≥ ${text(least)}`]),
    ...(most === undefined ? [] : [`≤ ${text(most)}`]),
  ];
  return [limits.join(' '), result.isMet ? 'met' : 'MISSED'];
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
