/** Whether flows share a narrow path: two of one kind (R. Jain's index, 1 is fair, 1/2 is all for one), and one of ours with TCP. */
import type { PeerResult, Row } from '../micro/record.ts';
import { type Pairing, reopened } from './arena.ts';
import type { Link } from './link/link.ts';
import type { Run } from './run.ts';
import { withTargets } from './targets.ts';

/** Names of the rows. */
export const FAIR_NAMES: readonly string[] = ['F5 fair own', 'F5 fair tcp'];

const MEGABITS = 20;
const RTT_MS = 30;
const MESSAGE_BYTES = 16_384;
/** The share of the time after which counting begins: the flows have found each other. */
const SETTLED = 0.25;
const ANSWER_MS = 120_000;

/** One flow: pair `pair` of a contestant. */
interface Flow {
  readonly pairing: Pairing;
  readonly pair: number;
}

/** (Σx)² ÷ n Σx²: 1 when all get the same, 1/n when one gets all. */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return sum ** 2 / (shares.length * squares);
}

/** @param pairings - Each with two pairs; TLS among them. */
export async function fairness(run: Run, link: Link, pairings: readonly Pairing[]): Promise<Row[]> {
  const queueBytes = (MEGABITS * 1e6 * RTT_MS) / 8000;
  await link.set({ delayMs: RTT_MS / 2, megabitsPerSecond: MEGABITS, queueBytes, loss: 0, seed: 1 });
  const tls = pairings.find(({ name }) => name === 'tls');
  const subjects = pairings.filter(({ name }) => name !== 'tls');
  const twoOf = async (pairing: Pairing): Promise<number> => {
    run.say(`fairness: two of ${pairing.name}`);
    return jainIndex(
      await shared(
        [
          { pairing, pair: 0 },
          { pairing, pair: 1 },
        ],
        run.effort.floodMs,
      ),
    );
  };
  const ofTls = tls === undefined ? undefined : await twoOf(tls);
  const rows: Row[] = [];
  for (const subject of subjects) {
    const own = await twoOf(subject);
    const peers = ofTls === undefined ? {} : { tls: compared(own, ofTls, tls!.version) };
    rows.push(rowOf('F5 fair own', subject.name, { value: own, unit: 'Jain', peers }));
    if (tls === undefined) continue;
    run.say(`fairness: ${subject.name} and tls`);
    const flows = [
      { pairing: subject, pair: 0 },
      { pairing: tls, pair: 0 },
    ];
    const [ours, theirs] = (await shared(flows, run.effort.floodMs)) as [number, number];
    rows.push(rowOf('F5 fair tcp', subject.name, { value: theirs / (ours + theirs), unit: 'of it', peers: {} }));
  }
  return rows;
}

function compared(own: number, other: number, version: string): PeerResult {
  return { version, median: other, ratio: own / other, best: own / other };
}

function rowOf(name: string, subject: string, what: { value: number; unit: string; peers: Row['peers'] }): Row {
  const { value, unit, peers } = what;
  return withTargets({ name, subject, unit, median: value, p95: value, better: 'higher', peers });
}

/** Lets flows fill the path together. @returns Bytes of each that arrived once they had settled. */
async function shared(flows: readonly Flow[], ms: number): Promise<number[]> {
  const places: number[] = [];
  for (const { pairing, pair } of flows) {
    await reopened(pairing, pair);
    // Open for the client is not yet accepted by the server; after an echo it is, and the last one.
    await pairing.client.ask('echo', { pair, bytes: 64, ms: 1 });
    places.push((await pairing.server.ask('received', undefined)).length - 1);
  }
  const counts = (): Promise<number[]> =>
    Promise.all(flows.map(async ({ pairing }, i) => (await pairing.server.ask('received', undefined))[places[i]!]!));
  const floods = flows.map(({ pairing, pair }) =>
    pairing.client.ask('flood', { pair, bytes: MESSAGE_BYTES, ms }, ANSWER_MS),
  );
  await new Promise((resolve) => setTimeout(resolve, ms * SETTLED));
  const before = await counts();
  await new Promise((resolve) => setTimeout(resolve, ms * (0.95 - SETTLED)));
  const after = await counts();
  await Promise.all(floods);
  for (const { pairing, pair } of flows) await reopened(pairing, pair);
  return after.map((bytes, i) => bytes - before[i]!);
}
