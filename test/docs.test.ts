/** What the documents print works: the examples run as they stand, in an empty project that has this package. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

test('the example of the README runs and prints what was sent', async () => {
  const code = /```js\n([\s\S]*?)```/.exec(README)?.[1] ?? '';
  expect(code).toContain("from 'pilotwire'");
  const project = mkdtempSync(join(tmpdir(), 'pilotwire-docs-'));
  onTestFinished(() => rmSync(project, { recursive: true, force: true }));
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(ROOT, join(project, 'node_modules', 'pilotwire'));
  writeFileSync(join(project, 'example.mjs'), code);
  const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: project, timeout: 20_000 });
  expect(stdout).toBe('hello, bob\n');
});

test('every file that the documents name exists', () => {
  for (const name of ['README.md', 'ARCHITECTURE.md']) {
    const text = readFileSync(join(ROOT, name), 'utf8');
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map((match) => match[1] as string);
    const code = [...text.matchAll(/`((?:src|core|api|bindings|assembly|test)\/[\w./-]+\.ts)`/g)].map((match) => {
      const path = match[1] as string;
      return /^(core|api)\//.test(path) ? `src/${path}` : path;
    });
    for (const path of [...links, ...code]) expect(existsSync(join(ROOT, path)), `${name} names ${path}`).toBe(true);
  }
});

test('every script that the documents print is one of the package', () => {
  const scripts = Object.keys(
    (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }).scripts,
  );
  for (const match of README.matchAll(/npm run ([\w:]+)/g)) expect(scripts).toContain(match[1]);
});
