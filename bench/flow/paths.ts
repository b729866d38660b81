/**
 * F5: 5 MB over a path of some length, 100 Mbit/s, a queue of one product of bandwidth and delay, and loss, against TLS over
 * the kernel's CUBIC; and whether two flows, ours or one of each, share a narrow one. The link itself is tried first.
 */
import type { Row } from '../micro/record.ts';
import { median, quantile } from '../micro/statistics.ts';
import { type Arena, type Pairing, reopened } from './arena.ts';
import { FAIR_NAMES, fairness } from './fairness.ts';
import { type Link, linkMissing, openLink } from './link/link.ts';
import { type Race, race } from './race.ts';
import { among, type Group, type Run, within } from './run.ts';
import { withTargets } from './targets.ts';

const RTTS_MS = [30, 85];
const LOSSES = [0, 0.005, 0.02];
const MEGABITS = 100;
/** 5 000 000 bytes. */
const TRANSFER = { bytes: 50_000, messages: 100 };
const TRANSFER_MS = 300_000;
const PEERS = ['tls'];
const LINK_NAMES = ['link rtt 30ms', 'link rate 100M', 'link loss 2%'];
/** Full datagrams of `floor`: frames of 1 514 bytes with 1 402 of payload. */
const DATAGRAM = { payload: 1402, frame: 1514, count: 8_000 };
const LOSS_BYTES = { bytes: 65_536, messages: 512 };

/** Bytes that fill a path. */
export function bandwidthDelay(megabitsPerSecond: number, rttMs: number): number {
  return (megabitsPerSecond * 1e6 * rttMs) / 8000;
}

/** The group. */
export function paths(): Group {
  return {
    names: () => [...LINK_NAMES, ...races([], undefined).map(({ name }) => name), ...FAIR_NAMES],
    run: (run) =>
      within(
        run,
        'link',
        () => {
          const missing = linkMissing();
          if (missing !== undefined) throw new Error(missing);
          return openLink();
        },
        async (arena, link) => {
          const { effort, wanted, say } = run;
          const isWanted = (name: string): boolean => wanted.test(name);
          const rows: Row[] = [];
          if (LINK_NAMES.some(isWanted)) rows.push(...(await trial(run, arena, link)));
          const chosen = races(run.subjects, link).filter(({ name }) => isWanted(name));
          const names = [...run.subjects, ...PEERS];
          if (chosen.length > 0) {
            const transfers = (pairings: readonly Pairing[]) => race(chosen, pairings, effort.transfers, say);
            rows.push(...(await among(run, { names, arena }, transfers)));
          }
          if (FAIR_NAMES.some(isWanted)) {
            rows.push(...(await among(run, { names, arena, pairs: 2 }, (pairings) => fairness(run, link, pairings))));
          }
          return rows;
        },
      ),
  };
}

function races(subjects: readonly string[], link: Link | undefined): Race[] {
  return RTTS_MS.flatMap((rttMs) =>
    LOSSES.map((loss): Race => {
      // The same packets are lost to everybody, as far as they send the same.
      const turns = new Map<Pairing, number>();
      return {
        name: `F5 ${rttMs}ms ${loss * 100}%`,
        subjects,
        peers: PEERS,
        measure: { unit: 's', better: 'lower' },
        warmUp: async () => {},
        async run(pairing) {
          const seed = (turns.get(pairing) ?? 0) + 1;
          turns.set(pairing, seed);
          const queueBytes = bandwidthDelay(MEGABITS, rttMs);
          await link!.set({ delayMs: rttMs / 2, megabitsPerSecond: MEGABITS, queueBytes, loss: 0, seed });
          await reopened(pairing, 0);
          await link!.set({ delayMs: rttMs / 2, megabitsPerSecond: MEGABITS, queueBytes, loss, seed });
          const { ms } = await pairing.client.ask('sink', { pair: 0, ...TRANSFER }, TRANSFER_MS);
          return [ms / 1000];
        },
      };
    }),
  );
}

/** What the link does, measured by what is sent over it. */
async function trial(run: Run, arena: Arena, link: Link): Promise<Row[]> {
  const queueBytes = bandwidthDelay(MEGABITS, 30);
  const path = { delayMs: 15, megabitsPerSecond: MEGABITS, queueBytes, loss: 0, seed: 1 };
  const row = (name: string, unit: string, values: readonly number[]): Row =>
    withTargets({
      name,
      subject: 'control',
      unit,
      median: median(values),
      p95: quantile(values, 0.95),
      better: 'lower',
      peers: {},
    });
  return await among(run, { names: ['tls', 'floor'], arena }, async ([tls, floor]) => {
    if (tls === undefined || floor === undefined) return [];
    await link.set(path);
    const trips = await tls.client.ask('echo', { pair: 0, bytes: 64, ms: 3000 });
    await floor.client.ask('sink', { pair: 0, bytes: DATAGRAM.payload, messages: DATAGRAM.count });
    const { bytes, ms } = await floor.client.ask('sink', {
      pair: 0,
      bytes: DATAGRAM.payload,
      messages: DATAGRAM.count,
    });
    const bits = (bytes / DATAGRAM.payload) * DATAGRAM.frame * 8;
    const rate = bits / (ms - path.delayMs) / 1000;
    await link.set({ ...path, delayMs: 0, megabitsPerSecond: 1000, loss: 0.02 });
    await tls.client.ask('sink', { pair: 0, ...LOSS_BYTES }, TRANSFER_MS);
    const [, { frames, lost }] = await link.count();
    await link.set(path);
    return [
      row(
        LINK_NAMES[0]!,
        'ms',
        trips.map((us) => us / 1000),
      ),
      row(LINK_NAMES[1]!, 'Mbit/s', [rate]),
      row(LINK_NAMES[2]!, '%', [(100 * lost) / (frames + lost)]),
    ];
  });
}
