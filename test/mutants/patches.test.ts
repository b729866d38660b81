/** Every mutant says which rule it removes and which tests should notice; running them is `npm run test:mutants`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = join(HERE, '../..');
const PATCHES = readdirSync(HERE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.patch'));

test('every mutant names its rule, tests that are there, and files that are there', () => {
  expect(PATCHES.length).toBeGreaterThan(250);
  for (const name of PATCHES) {
    const [rule, tests, ...diff] = readFileSync(join(HERE, name), 'utf8').split('\n');
    expect(rule, name).toMatch(/^# \S.*: \S/);
    expect(tests, name).toMatch(/^# test\//);
    for (const file of tests!.slice(2).split(' ')) expect(existsSync(join(ROOT, file)), `${name}: ${file}`).toBe(true);
    const files = diff.filter((line) => line.startsWith('+++ b/')).map((line) => line.slice(6));
    expect(files.length, name).toBeGreaterThan(0);
    for (const file of files) expect(existsSync(join(ROOT, file)), `${name}: ${file}`).toBe(true);
  }
});

test('every mutant still fits the file that it changes', () => {
  for (const name of PATCHES) {
    for (const part of readFileSync(join(HERE, name), 'utf8').split(/^(?=diff --git )/m)) {
      const file = /^\+\+\+ b\/(.*)$/m.exec(part)?.[1];
      if (file === undefined) continue;
      const source = readFileSync(join(ROOT, file), 'utf8');
      for (const hunk of part.split(/^@@.*@@.*\n/m).slice(1)) {
        const lines = hunk.split('\n').filter((line) => /^[ -]/.test(line));
        expect(source.includes(lines.map((line) => line.slice(1)).join('\n')), `${name}: ${file}`).toBe(true);
      }
    }
  }
});
