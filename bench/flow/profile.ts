/** Where the time of this process goes, from one moment to another; for Chromium's DevTools. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { dirname } from 'node:path';

/** Microseconds between two samples. */
const INTERVAL = 200;

let session: Session | undefined;

/** Begins. */
export async function startProfile(): Promise<void> {
  session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL });
  await session.post('Profiler.start');
}

/** Ends, and writes it. */
export async function endProfile({ file }: { file: string }): Promise<void> {
  const { profile } = await session!.post('Profiler.stop');
  session!.disconnect();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(profile));
}
