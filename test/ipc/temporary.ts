// Folders that are gone after the test file. Their paths are short: a socket's has at most 103 bytes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const made: string[] = [];

afterAll(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** An empty folder that only we may enter. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'pw-'));
  made.push(path);
  return path;
}
