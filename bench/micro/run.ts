/** Runs the measurements that are wanted, in whatever runtime this is. */
import { addon } from './addon.ts';
import { aead } from './aead.ts';
import { EFFORT, type Effort, type Measurement, type Running } from './contest.ts';
import { crc } from './crc.ts';
import { packet } from './packet.ts';
import { receive } from './receive.ts';
import type { Row } from './record.ts';
import { routes } from './routes.ts';
import { absent, runtimeName } from './runtime.ts';
import { size } from './size.ts';
import { timing } from './timing.ts';
import { warmUp } from './warm-up.ts';

/** What to measure. */
export interface Selection {
  /** A pattern for the names of rows. */
  readonly only: string;
  readonly isQuick: boolean;
}

/** What was measured, and where. */
export interface Measured {
  readonly runtime: string;
  readonly absent: readonly string[];
  readonly rows: readonly Row[];
}

const GROUPS: readonly (() => Measurement[])[] = [size, aead, receive, crc, routes, packet, addon, timing];

/** @param say - Is told the names of the rows whose turn it is. */
export async function run({ only, isQuick }: Selection, say: (line: string) => void): Promise<Measured> {
  const wanted = new RegExp(only, 'i');
  const effort = isQuick ? EFFORT.quick : EFFORT.full;
  const rows: Row[] = [];
  const kept = await warmUp();
  for (const group of GROUPS) {
    const chosen = group().filter(({ names }) => names.some((name) => wanted.test(name)));
    // A million routes in five tables are enough for the memory at one time.
    const sets = group === routes ? chosen.map((measurement) => [measurement]) : [chosen];
    for (const set of sets) {
      const done = await measured(set, effort, say);
      rows.push(...done.filter(({ name }) => wanted.test(name)));
    }
  }
  if (rows.length === 0) throw new Error(`No row has a name like ${only}`);
  if (kept.length === 0) throw new Error('no build of the engine is for this runtime');
  return { runtime: runtimeName(), absent, rows };
}

async function measured(set: readonly Measurement[], effort: Effort, say: (line: string) => void): Promise<Row[]> {
  const running: Running[] = [];
  for (const measurement of set) {
    say(measurement.names.join(', '));
    running.push(await measurement.start(effort));
  }
  for (let turn = 0; turn < effort.rounds; turn++) {
    for (const one of running) await one.round(turn);
  }
  return running.flatMap((one) => one.finish());
}
