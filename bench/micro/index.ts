/**
 * `npm run bench:micro`: measures what one function costs, against peers in the same process.
 *
 *   -- --only PATTERN   rows whose name matches, such as "M1" or "seal 98"      -- --quick   a tenth of the time
 *   -- --json FILE      writes the run                                         -- --compare FILE   against a run written before
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { aead } from './aead.ts';
import { regressions } from './compare.ts';
import { EFFORT, type Measurement, type Running } from './contest.ts';
import { crc } from './crc.ts';
import { packet } from './packet.ts';
import { receive } from './receive.ts';
import type { Recording, Row } from './record.ts';
import { routes } from './routes.ts';
import { absent, commitName, machineName, runtimeName } from './runtime.ts';
import { size } from './size.ts';
import { table } from './table.ts';
import { timing } from './timing.ts';
import { warmUp } from './warm-up.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    compare: { type: 'string' },
  },
});

const wanted = new RegExp(values.only ?? '', 'i');
const effort = values.quick ? EFFORT.quick : EFFORT.full;
const groups: readonly (() => Measurement[])[] = [size, aead, receive, crc, routes, packet, timing];
const rows: Row[] = [];
const kept = await warmUp();
for (const group of groups) {
  const chosen = group().filter(({ names }) => names.some((name) => wanted.test(name)));
  // A million routes in five tables are enough for the memory at one time.
  const sets = group === routes ? chosen.map((measurement) => [measurement]) : [chosen];
  for (const set of sets) rows.push(...(await measured(set)).filter(({ name }) => wanted.test(name)));
}
if (kept.length === 0) throw new Error('no build of the engine is for this runtime');
const recording: Recording = {
  commit: commitName(),
  machine: machineName(),
  runtime: runtimeName(),
  date: new Date().toISOString(),
  absent,
  rows,
};
process.stdout.write(table(recording));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(recording, null, 1)}\n`);
if (values.compare !== undefined) {
  const before = JSON.parse(readFileSync(values.compare, 'utf8')) as Recording;
  process.stdout.write(regressions(before, recording));
}

async function measured(set: readonly Measurement[]): Promise<Row[]> {
  const running: Running[] = [];
  for (const measurement of set) {
    process.stderr.write(`${measurement.names.join(', ')}\n`);
    running.push(await measurement.start(effort));
  }
  for (let turn = 0; turn < effort.rounds; turn++) {
    for (const one of running) await one.round(turn);
  }
  return running.flatMap((one) => one.finish());
}
