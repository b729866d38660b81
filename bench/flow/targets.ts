/** What is to be reached, by name of the row and subject; several where a row is compared with several peers. */
import type { Row, Target } from '../micro/record.ts';

interface Goal extends Target {
  readonly name: RegExp;
  readonly subject: string;
}

const GOALS: readonly Goal[] = [
  { name: /^F1 (64|1K)$/, subject: 'js', peer: 'tls', most: 1 },
  { name: /^F1 (64|1K)$/, subject: 'js', peer: 'nats', most: 1 / 4 },
  { name: /^F1 (64|1K)$/, subject: 'addon', peer: 'tls', most: 0.6 },
  { name: /^F1 (64|1K)$/, subject: 'addon', peer: 'nats', most: 1 / 6 },
  { name: /^(F2 1K|F3 bulk)$/, subject: 'js', peer: 'tls', least: 0.35 },
  { name: /^(F2 1K|F3 bulk) net$/, subject: 'js', peer: 'floor', least: 0.7 },
  { name: /^(F2 1K|F3 bulk) net$/, subject: 'js', peer: 'udx', least: 0.5 },
  { name: /^(F2 1K|F3 bulk)$/, subject: 'addon', peer: 'tls', least: 1 },
  { name: /^(F2 1K|F3 bulk)$/, subject: 'addon', peer: 'nats', least: 3 },
  { name: /^(F2 1K|F3 bulk) net$/, subject: 'addon', peer: 'tls', least: 0.7 },
  { name: /^F4 warm/, subject: 'js', peer: 'tls', most: 0.1 },
  { name: /^F4 cold/, subject: 'js', peer: 'tls', most: 0.5 },
  { name: /^F5 30ms 0%$/, subject: 'js', peer: 'tls', most: 1.2 },
  { name: /^F5 30ms 0.5%$/, subject: 'js', peer: 'tls', most: 0.4 },
  { name: /^F5 30ms 2%$/, subject: 'js', peer: 'tls', most: 0.25 },
  { name: /^F5 fair own$/, subject: 'js', least: 0.7 },
  { name: /^F5 fair tcp$/, subject: 'js', least: 1 / 3 },
  { name: /^F7 peer$/, subject: 'js', most: 4096 },
  { name: /^F8 \d+ cpu$/, subject: 'js', peer: 'nats', most: 0.7 },
  { name: /^F8 \d+ latency$/, subject: 'js', peer: 'nats', most: 1 / 3 },
  { name: /^F8 16÷1 /, subject: 'js', most: 1.3 },
  // The link itself: what is measured over it is worth nothing unless these hold.
  { name: /^link rtt 30ms$/, subject: 'control', least: 29.9, most: 33 },
  { name: /^link rate 100M$/, subject: 'control', least: 95, most: 100.5 },
  { name: /^link loss 2%$/, subject: 'control', least: 1.7, most: 2.3 },
];

/** The row with what is wanted of it. */
export function withTargets(row: Row): Row {
  const goals = GOALS.filter(({ name, subject }) => name.test(row.name) && subject === row.subject);
  const target = goals.map(({ name: _name, subject: _subject, ...one }): Target => one);
  return target.length === 0 ? row : { ...row, target };
}
