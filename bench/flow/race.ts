/**
 * Contestants take turns, round after round, each round begun by another; all are up and warm the whole time. Who fails is
 * out from then on, and named.
 */
import { note } from '../micro/absent.ts';
import type { Row } from '../micro/record.ts';
import { type Comparison, type Measure, rowsOf } from '../micro/rows.ts';
import { median } from '../micro/statistics.ts';
import type { Pairing } from './arena.ts';
import { withTargets } from './targets.ts';

/** How much to measure. */
export interface Effort {
  readonly rounds: number;
  /** How long one sample shall take. */
  readonly sampleMs: number;
  readonly dials: number;
  readonly coldDials: number;
  /** How long a load lasts. */
  readonly loadMs: number;
  readonly loads: number;
  readonly transfers: number;
  readonly floodMs: number;
  readonly crowd: number;
}

/** Full and quick runs. */
export const EFFORT: { readonly full: Effort; readonly quick: Effort } = {
  full: {
    ...{ rounds: 11, sampleMs: 800, dials: 20, coldDials: 4 },
    ...{ loadMs: 4000, loads: 5, transfers: 5, floodMs: 20_000, crowd: 10_000 },
  },
  quick: {
    ...{ rounds: 3, sampleMs: 300, dials: 10, coldDials: 2 },
    ...{ loadMs: 1500, loads: 3, transfers: 1, floodMs: 10_000, crowd: 1_000 },
  },
};

/** One row for all who take part. */
export interface Race extends Comparison {
  readonly measure: Measure;
  /** One turn. @returns Samples in the unit of the row. */
  run(pairing: Pairing): Promise<readonly number[]>;
  /** Before the first round. */
  warmUp?(pairing: Pairing): Promise<unknown>;
}

interface Entry {
  readonly name: string;
  readonly version: string;
  readonly samples: number[];
  readonly medians: number[];
}

/** Runs all races, `rounds` times each. @param say - Is told what happens. */
export async function race(
  races: readonly Race[],
  pairings: readonly Pairing[],
  rounds: number,
  say: (line: string) => void,
): Promise<Row[]> {
  const results = new Map(races.map((one) => [one, new Map<Pairing, Entry>()]));
  const out = new Set<Pairing>();
  const attempt = async (one: Race, pairing: Pairing, work: () => Promise<unknown>): Promise<void> => {
    if (out.has(pairing) || !takesPart(one, pairing)) return;
    try {
      await work();
    } catch (error) {
      out.add(pairing);
      note(`${pairing.name} from ${one.name} on`, error);
      say(`  ${pairing.name} is out: ${(error as Error).message}`);
    }
  };
  for (const one of races) {
    say(`${one.name}: warming up`);
    for (const pairing of pairings) await attempt(one, pairing, async () => await (one.warmUp ?? one.run)(pairing));
  }
  for (let turn = 0; turn < rounds; turn++) {
    say(`round ${turn + 1} of ${rounds}`);
    for (const one of races) {
      for (let i = 0; i < pairings.length; i++) {
        const pairing = pairings[(i + turn) % pairings.length]!;
        await attempt(one, pairing, async () => {
          const samples = await pairing.profiled(one.name, () => one.run(pairing));
          const entry = entryOf(results.get(one)!, pairing);
          entry.samples.push(...samples);
          entry.medians.push(median(samples));
        });
      }
    }
  }
  return races.flatMap((one) => rowsOf(one, one.measure, [...results.get(one)!.values()]).map(withTargets));
}

function takesPart({ subjects, peers }: Race, { name }: Pairing): boolean {
  return subjects.includes(name) || peers.includes(name);
}

function entryOf(entries: Map<Pairing, Entry>, pairing: Pairing): Entry {
  let entry = entries.get(pairing);
  if (entry === undefined) {
    entry = { name: pairing.name, version: pairing.version, samples: [], medians: [] };
    entries.set(pairing, entry);
  }
  return entry;
}
