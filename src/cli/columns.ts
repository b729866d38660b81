/** Text in columns for people. */

/** Rows as lines, every column as wide as its widest cell; the last one is not padded. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  const lineOf = (row: readonly string[]): string =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join('  ');
  return rows.map((row) => lineOf(row).trimEnd()).join('\n');
}

/** A table with headings, or what is said when it has no rows. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  return rows.length === 0 ? empty : alignColumns([headings.map((heading) => heading.toUpperCase()), ...rows]);
}

/** Milliseconds as people read them. */
export function formatMillis(millis: number): string {
  return millis < 10
    ? `${millis.toFixed(2)} ms`
    : millis < 1_000
      ? `${millis.toFixed(1)} ms`
      : `${(millis / 1_000).toFixed(2)} s`;
}

/** A time in Unix seconds, to the minute in UTC. */
export function formatTime(unixSeconds: number): string {
  return `${new Date(unixSeconds * 1_000).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}

/** One of something, or many. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}
