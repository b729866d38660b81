/** What is measured together, in one place and with the same processes. */
import { note } from '../micro/absent.ts';
import type { Row } from '../micro/record.ts';
import { type Arena, Pairing } from './arena.ts';
import { type Network, namespacesMissing, wiredPair } from './namespaces.ts';
import { type Effort, type Race, race } from './race.ts';
import { streamRaces } from './streams.ts';

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

/** All, in the order of the report. */
export const GROUPS: readonly Group[] = [
  streams('', () => undefined),
  streams(' net', () => {
    const missing = namespacesMissing();
    if (missing !== undefined) throw new Error(missing);
    return wiredPair();
  }),
];

function streams(suffix: string, connect: () => Network | undefined): Group {
  return {
    names: (effort) => streamRaces([], suffix, effort).map(({ name }) => name),
    async run(run) {
      const races = streamRaces(run.subjects, suffix, run.effort).filter(({ name }) => run.wanted.test(name));
      return await within(run, suffix.trim() || 'lo', connect, (arena) => contest(run, arena, races));
    },
  };
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

async function contest(run: Run, arena: Arena, races: readonly Race[]): Promise<Row[]> {
  const names = [...run.subjects, ...run.peers].filter((name) =>
    races.some(({ subjects, peers }) => subjects.includes(name) || peers.includes(name)),
  );
  const pairings = await pairingsOf(names, arena);
  run.say(`${arena.name}: ${pairings.map(({ name, version }) => `${name} (${version})`).join(', ')}`);
  try {
    return await race(races, pairings, run.effort.rounds, run.say);
  } finally {
    for (const pairing of pairings) await pairing.close();
  }
}

/** Those of them that can run here. */
export async function pairingsOf(names: readonly string[], arena: Arena, pairs = 1): Promise<Pairing[]> {
  const pairings: Pairing[] = [];
  for (const name of names) {
    const pairing = await Pairing.start(name, arena, pairs);
    if (pairing !== undefined) pairings.push(pairing);
  }
  return pairings;
}
