/**
 * F8: pairs of agents that send 2 000 messages of 1 KB a second each, all senders in one process, all receivers in another,
 * a broker and its work besides. What a message costs, over all processes, and how long it takes.
 */
import type { Row } from '../micro/record.ts';
import type { Pairing } from './arena.ts';
import { type Race, race } from './race.ts';
import { among, type Group, type Run, within } from './run.ts';
import { withTargets } from './targets.ts';

const PAIRS = [1, 8, 16];
const MOST_PAIRS = 16;
const PEERS: readonly string[] = ['nats', 'tls', 'udx'];
const MESSAGE_BYTES = 1024;
const PER_SECOND = 2000;
const WHAT = ['latency', 'cpu'] as const;

function nameOf(pairs: number | string, what: string): string {
  return `F8 ${pairs} ${what}`;
}

/** The group. */
export function load(): Group {
  return {
    names: () => [...PAIRS, `${MOST_PAIRS}÷1`].flatMap((pairs) => WHAT.map((what) => nameOf(pairs, what))),
    async run(run) {
      const rows: Row[] = [];
      for (const pairs of PAIRS.filter((each) => isWanted(run, each))) {
        const names = [...run.subjects, ...PEERS.filter((name) => run.peers.includes(name))];
        rows.push(
          ...(await within(
            run,
            `${pairs} pairs`,
            () => undefined,
            (arena) =>
              among(run, { names, arena, pairs }, (pairings) =>
                race(races(run, pairs), pairings, run.effort.loads, run.say),
              ),
          )),
        );
      }
      return [...rows, ...WHAT.flatMap((what) => scaling(rows, what))];
    },
  };
}

/** Whether a row of so many pairs is wanted, or one for which these are compared. */
function isWanted({ wanted }: Run, pairs: number): boolean {
  const isCompared = pairs === 1 || pairs === MOST_PAIRS;
  const names = [pairs, ...(isCompared ? [`${MOST_PAIRS}÷1`] : [])];
  return names.some((each) => WHAT.some((what) => wanted.test(nameOf(each, what))));
}

function races({ subjects, effort }: Run, pairs: number): Race[] {
  const all = { subjects, peers: PEERS };
  const messages = Math.round((PER_SECOND * effort.loadMs) / 1000);
  // Of the same turn: a load gives both rows.
  const microseconds = new Map<Pairing, number>();
  return [
    {
      ...all,
      name: nameOf(pairs, 'latency'),
      measure: { unit: 'µs', better: 'lower' },
      async run(pairing) {
        await pairing.server.ask('latencies', undefined);
        const before = pairing.cpuSeconds();
        await pairing.client.ask('paced', { pairs, bytes: MESSAGE_BYTES, perSecond: PER_SECOND, messages });
        const spent = pairing.cpuSeconds() - before;
        microseconds.set(pairing, (spent * 1e6) / (messages * pairs));
        return (await pairing.server.ask('latencies', undefined)).map((ms) => ms * 1000);
      },
    },
    {
      ...all,
      name: nameOf(pairs, 'cpu'),
      measure: { unit: 'µs', better: 'lower' },
      warmUp: async () => {},
      run: async (pairing) => [microseconds.get(pairing)!],
    },
  ];
}

/** How much more it is for many than for one; the peers' own as well. */
export function scaling(rows: readonly Row[], what: string): Row[] {
  return rows
    .filter(({ name }) => name === nameOf(MOST_PAIRS, what))
    .flatMap((large) => {
      const small = rows.find(({ name, subject }) => name === nameOf(1, what) && subject === large.subject);
      if (small === undefined) return [];
      const median = large.median / small.median;
      const peers = Object.entries(large.peers).flatMap(([peer, result]) => {
        const alone = small.peers[peer];
        if (alone === undefined) return [];
        const factor = result.median / alone.median;
        return [[peer, { version: result.version, median: factor, ratio: median / factor, best: median / factor }]];
      });
      const p95 = large.p95 / small.p95;
      return [
        withTargets({
          ...large,
          name: nameOf(`${MOST_PAIRS}÷1`, what),
          unit: '×',
          median,
          p95,
          peers: Object.fromEntries(peers),
        }),
      ];
    });
}
