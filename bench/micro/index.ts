/**
 * `npm run bench:micro`: measures what one function costs, against peers in the same process.
 *
 *   -- --only PATTERN   rows whose name matches, such as "M1" or "seal 98"      -- --quick   a tenth of the time
 *   -- --json FILE      writes the run                                         -- --compare FILE   against a run written before
 *   -- --chromium       in a page of headless Chromium instead
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { inChromium } from './chromium.ts';
import { readRecording, regressions } from './compare.ts';
import type { Recording } from './record.ts';
import { run } from './run.ts';
import { commitName, machineName } from './runtime.ts';
import { table } from './table.ts';

const OPTIONS = {
  only: { type: 'string', default: '' },
  quick: { type: 'boolean', default: false },
  json: { type: 'string' },
  compare: { type: 'string' },
  chromium: { type: 'boolean', default: false },
} as const;

/** What the figures are of. */
const SOURCES = ['assembly', 'src/engine', 'bench/micro'];

/** All that can be wrong with what was asked for shows before the measuring, which takes minutes. */
function asked() {
  try {
    const { values } = parseArgs({ options: OPTIONS });
    const before = values.compare === undefined ? undefined : readRecording(values.compare);
    return { ...values, before, wanted: new RegExp(values.only, 'i') };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return process.exit(2);
  }
}

const { before, wanted, ...values } = asked();
const selection = { only: values.only, isQuick: values.quick };
const say = (line: string): boolean => process.stderr.write(`${line}\n`);
const { runtime, absent, rows } = await (values.chromium ? inChromium : run)(selection, say);
const recording: Recording = {
  commit: commitName(SOURCES),
  machine: machineName(),
  runtime,
  date: new Date().toISOString(),
  absent,
  rows,
};
process.stdout.write(table(recording));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(recording, null, 1)}\n`);
if (before !== undefined) process.stdout.write(`\n${regressions(before, recording, wanted)}`);
