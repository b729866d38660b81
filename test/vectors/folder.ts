/**
 * Where the recorded vectors lie: this folder, or the one that `npm run vectors -- DIR` names. Tests that read vectors
 * ask here, and have "recorded" in their names, by which the runner finds them. What only holds for the recordings in
 * this folder (how many there are, which types they show) is asked under `isOurs`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** The folder. */
export const FOLDER: string = resolve(process.env.PILOTWIRE_VECTORS ?? HERE);
/** Whether it is this one. */
export const isOurs: boolean = FOLDER === resolve(HERE);

/** All of `<name>.json`. */
export function readFile<T>(name: string): T {
  return JSON.parse(readText(`${name}.json`)) as T;
}

/** The field `vectors` of `<name>.json`. */
export function readVectors<T>(name: string): T {
  return readFile<{ vectors: T }>(name).vectors;
}

export function readText(file: string): string {
  return readFileSync(join(FOLDER, file), 'utf8');
}

export function readBytes(file: string): Uint8Array {
  return new Uint8Array(readFileSync(join(FOLDER, file)));
}

/** Every line of a `.jsonl`. */
export function readLines<T>(file: string): T[] {
  return readText(file)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

/** Names of the files that match. */
export function filesLike(pattern: RegExp): string[] {
  return readdirSync(FOLDER)
    .filter((name) => pattern.test(name))
    .sort();
}
