/** From the samples of contestants that took turns to rows of ratios. */
import type { PeerResult, Row } from './record.ts';
import { median, quantile } from './statistics.ts';

/** Which contestants a row of the report compares. Those that are not there are left out. */
export interface Comparison {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly peers: readonly string[];
}

/** What is measured. */
export type Measure = Pick<Row, 'unit' | 'better'>;

/** What one contestant came to. */
export interface Sampled {
  readonly name: string;
  readonly version: string;
  readonly samples: readonly number[];
  /** The median of each round. */
  readonly medians: readonly number[];
}

/** A row for each subject that is there, with all peers that are. */
export function rowsOf(comparison: Comparison, measure: Measure, all: readonly Sampled[]): Row[] {
  const named = (name: string): Sampled[] => all.filter((one) => one.name === name);
  const peers = comparison.peers.flatMap(named);
  return comparison.subjects.flatMap(named).map((subject) => ({
    name: comparison.name,
    subject: subject.name,
    ...measure,
    median: median(subject.medians),
    p95: quantile(subject.samples, measure.better === 'lower' ? 0.95 : 0.05),
    peers: Object.fromEntries(peers.map((peer) => [peer.name, compared(subject, peer, measure)])),
  }));
}

function compared(subject: Sampled, peer: Sampled, { better }: Measure): PeerResult {
  const best = better === 'lower' ? 0.1 : 0.9;
  return {
    version: peer.version,
    median: median(peer.medians),
    ratio: median(subject.medians) / median(peer.medians),
    best: quantile(subject.samples, best) / quantile(peer.samples, best),
  };
}
