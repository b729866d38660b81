/** What is measured together, in one place and with the same processes. */
import { load } from './load.ts';
import { memory } from './memory.ts';
import { type Network, namespacesMissing, wiredPair } from './namespaces.ts';
import { paths } from './paths.ts';
import { race } from './race.ts';
import { among, type Group, within } from './run.ts';
import { streamRaces } from './streams.ts';

/** All, in the order of the report. */
export const GROUPS: readonly Group[] = [
  streams('', () => undefined),
  streams(' net', () => {
    const missing = namespacesMissing();
    if (missing !== undefined) throw new Error(missing);
    return wiredPair();
  }),
  paths(),
  memory(),
  load(),
];

function streams(suffix: string, connect: () => Network | undefined): Group {
  return {
    names: (effort) => streamRaces([], suffix, effort).map(({ name }) => name),
    run: (run) =>
      within(run, suffix.trim() || 'lo', connect, (arena) => {
        const races = streamRaces(run.subjects, suffix, run.effort).filter(({ name }) => run.wanted.test(name));
        const names = [...run.subjects, ...run.peers].filter((name) =>
          races.some(({ subjects, peers }) => subjects.includes(name) || peers.includes(name)),
        );
        return among(run, { names, arena }, (pairings) => race(races, pairings, run.effort.rounds, run.say));
      }),
  };
}
