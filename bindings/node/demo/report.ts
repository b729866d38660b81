/** What the demo found out, as data and as a table. */
/** What came of the file. */
export interface FileResult {
  readonly bytes: number;
  readonly ms: number;
  readonly dialMs: number;
  readonly megabytesPerSecond: number;
  readonly sha256: string;
  readonly theirs: string;
  readonly isSame: boolean;
}

/** What came of the datagrams. */
export interface DatagramsResult {
  readonly sent: number;
  readonly returned: number;
  readonly perSecond: number;
}

/** One peer of the agent that asks. */
export interface PeerRow {
  readonly name: string;
  readonly address: string;
  readonly path: string;
  /** From the first request for trust to the answer, key exchange included. */
  readonly setUpMs: number;
  readonly dialMs?: number;
  readonly rttP50Ms: number;
  readonly rttP99Ms: number;
  readonly megabytesPerSecond?: number;
  /** What the peer threw away, by reason. */
  readonly drops: Record<string, number>;
}

/** The whole run. */
export interface DemoReport {
  readonly isOk: boolean;
  readonly error?: string;
  readonly rendezvous?: { readonly url: string; readonly pid: number };
  readonly agents?: readonly {
    readonly name: string;
    readonly address: string;
    readonly pid: number;
    readonly startMs: number;
  }[];
  readonly steps: readonly string[];
  readonly peers: readonly PeerRow[];
  readonly file?: FileResult;
  readonly datagrams?: DatagramsResult;
}

const HEADS = ['peer', 'address', 'path', 'set-up ms', 'RTT p50 ms', 'RTT p99 ms', 'MB/s', 'drops'] as const;

/** The table at the end, or what went wrong. */
export function formatReport(report: DemoReport): string {
  if (!report.isOk) return `\n✗ ${report.error}\n`;
  const rows = report.peers.map((peer) => [
    peer.name,
    peer.address,
    peer.path,
    peer.setUpMs.toFixed(1),
    peer.rttP50Ms.toFixed(2),
    peer.rttP99Ms.toFixed(2),
    peer.megabytesPerSecond?.toFixed(1) ?? '–',
    dropsText(peer.drops),
  ]);
  const lines = [[...HEADS], ...rows];
  const widths = HEADS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `\n${text.join('\n')}\n`;
}

function dropsText(drops: Record<string, number>): string {
  const parts = Object.entries(drops).map(([reason, count]) => `${reason} ${count}`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}
