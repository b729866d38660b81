/** What a run does without: named in the report, so that a row that is not there is not taken for one that was forgotten. */

/** Contestants that are missing, and why. */
export const absent: string[] = [];

/** Notes that a contestant is missing. */
export function note(name: string, error: unknown): void {
  const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
  // Without the paths of this machine: what is written here is kept.
  const line = `${name}: ${reason?.replace(/(file:\/\/)?(\/[\w.@-]+){2,}/g, '…')}`;
  if (!absent.includes(line)) absent.push(line);
}
