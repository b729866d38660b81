/**
 * What a run leaves behind: rows of ratios, and where and on what they were measured. The JSON that `--json` writes.
 */

/** A peer in the same run. */
export interface PeerResult {
  readonly version: string;
  readonly median: number;
  /** Median of the subject ÷ median of the peer. */
  readonly ratio: number;
  /** The same of the best tenth of the samples: what is left of the ratio when the machine is quiet. */
  readonly best: number;
}

/** A figure to reach. */
export interface Target {
  /** At most this ratio, or this median where no peer is named. */
  readonly most?: number;
  /** At least. */
  readonly least?: number;
  /** A peer, or `fastest` of the row's. */
  readonly peer?: string;
}

/** One thing measured. */
export interface Row {
  readonly name: string;
  readonly subject: string;
  readonly unit: string;
  readonly median: number;
  /** The worst of twenty: the 95th percentile, or the 5th where higher is better. */
  readonly p95: number;
  readonly better: 'lower' | 'higher';
  readonly peers: Readonly<Record<string, PeerResult>>;
  /** One, or several that are about different peers. */
  readonly target?: Target | readonly Target[];
}

/** A whole run. */
export interface Recording {
  readonly commit: string;
  readonly machine: string;
  readonly runtime: string;
  readonly date: string;
  /** Peers that this runtime does not have, or could not load. */
  readonly absent: readonly string[];
  readonly rows: readonly Row[];
}
