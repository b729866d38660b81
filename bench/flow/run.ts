/** A run under way: what was asked for, who is here, and how places and contestants are made and put away. */
import { note } from '../micro/absent.ts';
import type { Row } from '../micro/record.ts';
import { type Arena, Pairing } from './arena.ts';
import type { Network } from './namespaces.ts';
import type { Effort } from './race.ts';

/** What was asked for, and who is here. */
export interface Run {
  readonly certificate: string;
  readonly key: string;
  readonly subjects: readonly string[];
  readonly peers: readonly string[];
  readonly wanted: RegExp;
  readonly effort: Effort;
  readonly profiles: string | undefined;
  say(line: string): void;
}

/** Rows that are measured together. */
export interface Group {
  names(effort: Effort): readonly string[];
  run(run: Run): Promise<Row[]>;
}

/** Makes a place, does the work, and removes the place. @returns No row, and a note, where there is no such place. */
export async function within<N extends Network | undefined>(
  run: Run,
  name: string,
  connect: () => N | Promise<N>,
  work: (arena: Arena, network: N) => Promise<Row[]>,
): Promise<Row[]> {
  let network: N;
  try {
    network = await connect();
  } catch (error) {
    note(name, error);
    run.say(`*** without ${name}: ${(error as Error).message}`);
    return [];
  }
  try {
    const { certificate, key, profiles } = run;
    return await work({ name, network, certificate, key, profiles }, network);
  } finally {
    await network?.close();
  }
}

/** Starts those that can run there, does the work, and ends them. */
export async function among(
  run: Run,
  who: { readonly names: readonly string[]; readonly arena: Arena; readonly pairs?: number },
  work: (pairings: readonly Pairing[]) => Promise<Row[]>,
): Promise<Row[]> {
  const { names, arena, pairs = 1 } = who;
  const pairings: Pairing[] = [];
  try {
    for (const name of names) {
      const pairing = await Pairing.start(name, arena, pairs);
      if (pairing !== undefined) pairings.push(pairing);
    }
    run.say(`${arena.name}: ${pairings.map(({ name, version }) => `${name} (${version})`).join(', ')}`);
    return await work(pairings);
  } finally {
    for (const pairing of pairings) await pairing.close();
  }
}
