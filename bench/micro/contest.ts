/**
 * The measuring itself: all contestants of a contest take turns in one process, round after round, and all contests of a
 * group take turns too, so that whatever else the machine does meets all of them. One sample is many operations; tinybench
 * takes the samples and their time.
 *
 * Time is the CPU time of the process, which others on the machine do not stretch; its clock has steps of 1 µs, hence the
 * length of a sample. A page has no such clock, but one of the time of day with steps of 5 µs: there a sample is the mean of as
 * many runs as make the error of a step small.
 *
 * Every sample begins at another depth of the stack. V8 keeps what does not fit into registers in frames that it aligns to
 * 8 bytes; where such a frame lies across the end of a page, vector code takes up to twice its time. That is so at one depth in
 * twenty: for one who always calls from the same depth it is all or nothing, here it is the 95th percentile.
 */
import { Bench, type Task } from 'tinybench';
import { Random } from './engines.ts';
import type { Row } from './record.ts';
import { type Comparison, type Measure, rowsOf } from './rows.ts';
import { median } from './statistics.ts';
import { targetOf } from './targets.ts';

/** One way to do the work. */
export interface Contestant {
  readonly name: string;
  readonly version: string;
  /** Does the work `count` times, one after the other; checks itself and throws when it went wrong. Needs no `this`. */
  readonly run: (count: number) => unknown;
  /** Untimed, before each `run(count)`. */
  prepare?(count: number): void;
  readonly isAsync?: boolean;
  /** The most operations that one preparation is good for; a multiple of `step`. */
  readonly most?: number;
  /** Operations come in so many at once. */
  readonly step?: number;
}

/** How much to measure. */
export interface Effort {
  readonly rounds: number;
  /** Samples of each contestant in a round. */
  readonly samples: number;
  /** How long one sample shall take. */
  readonly sampleNs: number;
  readonly isQuick: boolean;
}

/** Something that gives rows. */
export interface Measurement {
  /** Names of the rows, by which `--only` selects. */
  readonly names: readonly string[];
  /** Prepares it and warms it up. */
  start(effort: Effort): Promise<Running>;
}

/** A measurement under way. */
export interface Running {
  /** One of `effort.rounds`. @param turn - Its number. */
  round(turn: number): Promise<void>;
  finish(): readonly Row[];
}

/** Full and quick runs. */
export const EFFORT: { readonly full: Effort; readonly quick: Effort } = {
  full: { rounds: 40, samples: 5, sampleNs: 500_000, isQuick: false },
  quick: { rounds: 10, samples: 3, sampleNs: 200_000, isQuick: true },
};

/** V8 compiles Wasm anew, for speed, after about 1 500 calls. */
const WARM_OPERATIONS = 3_000;
const WARM_MS = 40;
/** Enough for one that needs milliseconds for one operation. */
const WARM_LIMIT_MS = 400;
/** For the compilers, which work in threads of their own. */
const SETTLE_MS = 30;
/** A sample of less would say more about the loop around it. */
const FEWEST = 100;
const MOST = 16_384;

const processClock = globalThis.process?.cpuUsage;

/** A sample in a page takes so many steps of its clock: half a percent. */
const STEPS = 200;

/** Eight bytes each: from nothing to a page. */
const DEPTHS = 512;

/** What time is measured on. */
export const CLOCK: string = processClock === undefined ? 'wall' : 'cpu';

/** @returns Milliseconds since some moment. */
export function now(): number {
  if (processClock === undefined) return performance.now();
  const { user, system } = processClock.call(process);
  return (user + system) / 1000;
}

/** Milliseconds between two readings of the wall clock that differ: some ns, or the 5 or 100 µs of a page. */
export const WALL_STEP_MS: number = Math.min(...Array.from({ length: 20 }, wallStep));

function wallStep(): number {
  const start = performance.now();
  let end = start;
  while (end === start) end = performance.now();
  return end - start;
}

/** A contest as a measurement. @param enter - Makes the contestants; called when it is their turn. */
export function contest(
  rows: readonly Comparison[],
  enter: () => readonly Contestant[] | Promise<readonly Contestant[]>,
): Measurement {
  const start = async (effort: Effort): Promise<Running> => {
    const entries: Entry[] = [];
    for (const contestant of await enter()) entries.push(await entered(contestant, effort));
    const tasks = tasksOf(entries, effort);
    const round = async (turn: number): Promise<void> => {
      for (let i = 0; i < entries.length; i++) {
        // Each round begins with another, so that nobody always follows the same one's garbage.
        const at = (i + turn) % entries.length;
        await takeSamples(tasks[at]!, entries[at]!);
      }
    };
    return { round, finish: () => rows.flatMap((row) => rowsOf(row, MEASURE, entries.map(sampled)).map(withTarget)) };
  };
  return { names: rows.map(({ name }) => name), start };
}

const MEASURE: Measure = { unit: 'ns', better: 'lower' };

function sampled({ contestant, samples, medians }: Entry) {
  return { name: contestant.name, version: contestant.version, samples, medians };
}

/** The row with the target for it, if there is one. */
export function withTarget(row: Row): Row {
  const target = targetOf(row.name, row.subject);
  return target === undefined ? row : { ...row, target };
}

/** A measurement without rounds. */
export function once(names: readonly string[], measure: (effort: Effort) => readonly Row[]): Measurement {
  const start = async (effort: Effort): Promise<Running> => {
    const rows = measure(effort);
    return { round: async () => {}, finish: () => rows };
  };
  return { names, start };
}

interface Entry {
  readonly contestant: Contestant;
  /** Operations in a run. */
  readonly count: number;
  /** Runs in a sample. */
  readonly repeats: number;
  /** Nanoseconds per operation: all samples, and the median of each round. */
  readonly samples: number[];
  readonly medians: number[];
}

async function entered(contestant: Contestant, effort: Effort): Promise<Entry> {
  const { most = MOST, step = 1 } = contestant;
  const fitting = (count: number): number => Math.min(Math.ceil(count / step) * step, most);
  const time = async (count: number): Promise<number> => {
    contestant.prepare?.(count);
    const start = now();
    const result = contestant.run(count);
    if (contestant.isAsync) await result;
    return now() - start;
  };
  let operations = 0;
  let spent = 0;
  while ((operations < WARM_OPERATIONS || spent < WARM_MS) && spent < WARM_LIMIT_MS) {
    const count = fitting(spent === 0 ? 1 : FEWEST);
    spent += Math.max(await time(count), 1e-3);
    operations += count;
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const trial = fitting(Math.ceil((operations / spent) * 0.5));
  const operationNs = Math.max(((await time(trial)) / trial) * 1e6, 1);
  const wanted = Math.ceil(effort.sampleNs / operationNs);
  const leastNs = processClock === undefined ? STEPS * WALL_STEP_MS * 1e6 : 0;
  // Fewer than FEWEST only where they would take four times as long as a sample should.
  const fewest = FEWEST * operationNs > 4 * effort.sampleNs ? 1 : FEWEST;
  const chosen = fitting(Math.max(wanted, fewest));
  const repeats = Math.max(1, Math.ceil(leastNs / (chosen * operationNs)));
  return { contestant, count: chosen, repeats, samples: [], medians: [] };
}

function tasksOf(entries: readonly Entry[], effort: Effort): Task[] {
  const bench = new Bench({
    now,
    time: 0,
    iterations: effort.samples,
    warmup: false,
    retainSamples: true,
    // A step of a coarse clock is not what reading it takes.
    subtractTimerOverhead: processClock !== undefined,
    throws: true,
  });
  return entries.map((entry) => addTask(bench, entry));
}

function addTask(bench: Bench, entry: Entry): Task {
  const { contestant, count, repeats } = entry;
  const { name, run, isAsync = false } = contestant;
  const random = new Random(1);
  // The first argument is taken; the others only lie on the stack.
  let padded: number[] = [];
  const beforeEach = (): void => {
    padded = new Array<number>(1 + random.below(DEPTHS)).fill(count);
    contestant.prepare?.(count);
  };
  const once = (): unknown => Reflect.apply(run, undefined, padded);
  if (repeats === 1) bench.add(name, once, { async: isAsync, beforeEach });
  else bench.add(name, (isAsync ? meanOfAsync : meanOf)(once, beforeEach, repeats), { async: isAsync });
  return bench.getTask(name)!;
}

/** Runs and times by itself, as often as the sample has runs. */
function meanOf(once: () => unknown, beforeEach: () => void, repeats: number) {
  return () => {
    let spent = 0;
    for (let i = 0; i < repeats; i++) {
      beforeEach();
      const start = now();
      once();
      spent += now() - start;
    }
    return { overriddenDuration: spent / repeats };
  };
}

function meanOfAsync(once: () => unknown, beforeEach: () => void, repeats: number) {
  return async () => {
    let spent = 0;
    for (let i = 0; i < repeats; i++) {
      beforeEach();
      const start = now();
      await once();
      spent += now() - start;
    }
    return { overriddenDuration: spent / repeats };
  };
}

async function takeSamples(task: Task, entry: Entry): Promise<void> {
  task.reset();
  if (entry.contestant.isAsync) await task.run();
  else task.runSync();
  const { result } = task;
  if (result.state !== 'completed') throw new Error(`${entry.contestant.name}: ${result.state}`);
  const samples = result.latency.samples!.map((ms) => (ms * 1e6) / entry.count);
  entry.samples.push(...samples);
  entry.medians.push(median(samples));
}
