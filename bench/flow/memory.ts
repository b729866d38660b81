/**
 * F7: what a connected peer costs in memory. One agent in a process of its own, thousands of others in a few processes; all
 * have its trust and a tunnel, none a stream. The rendezvous is in yet another process.
 */
import { note } from '../micro/absent.ts';
import type { Row } from '../micro/record.ts';
import type { Arena } from './arena.ts';
import { type Group, type Run, within } from './run.ts';
import { VARIANTS } from './subject.ts';
import { withTargets } from './targets.ts';
import { Worker } from './worker-process.ts';

const NAME = 'F7 peer';
const PROCESSES = 4;
const CROWD_MS = 1_200_000;

/** The group. */
export function memory(): Group {
  return {
    names: () => [NAME],
    run: (run) =>
      within(
        run,
        'memory',
        () => undefined,
        async (arena) => {
          const rows: Row[] = [];
          for (const name of run.subjects) rows.push(...(await measured(run, arena, name)));
          return rows;
        },
      ),
  };
}

async function measured({ effort, say }: Run, { certificate, key }: Arena, name: string): Promise<Row[]> {
  const { env, mark } = VARIANTS.find((variant) => variant.name === name)!;
  const place = { host: '127.0.0.1', isLoopback: true, certificate, key, brokerPort: 0, pair: 0 };
  const workers: Worker[] = [];
  const worker = async (): Promise<Worker> => {
    const made = new Worker({ env });
    workers.push(made);
    await made.ask('load', { name: 'subject' });
    return made;
  };
  try {
    const { address: front } = await (await worker()).ask('serve', { ...place, pair: 1 });
    const [rendezvous] = String(front).split(' ') as [string];
    const server = await worker();
    const { address, facts } = await server.ask('serve', { ...place, rendezvous });
    if (mark?.test(facts) === false) throw new Error(`this is ${facts}`);
    const crowd: Worker[] = [];
    for (let i = 0; i < PROCESSES; i++) crowd.push(await worker());
    const join = async (agents: number): Promise<void> => {
      const each = { ...place, rendezvous, address: String(address), agents: agents / PROCESSES };
      await Promise.all(crowd.map((one) => one.ask('crowd', each, CROWD_MS)));
    };
    // What the first ones bring is code and tables, not peers.
    await join(PROCESSES * 8);
    const before = await server.ask('resident', undefined);
    say(`${NAME}: ${effort.crowd} agents`);
    await join(effort.crowd);
    const after = await server.ask('resident', undefined);
    const bytes = (after - before) / effort.crowd;
    const row: Row = { name: NAME, subject: name, unit: 'B', median: bytes, p95: bytes, better: 'lower', peers: {} };
    return [withTargets(row)];
  } catch (error) {
    note(`${NAME} ${name}`, error);
    say(`  ${name} is out: ${(error as Error).message}`);
    return [];
  } finally {
    for (const one of workers) await one.close();
  }
}
