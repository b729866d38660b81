/** What the documents print works: the examples run as they stand, in an empty project that has this package. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Connection, ERROR_CODES } from '../bindings/node/index.ts';
import { Agent } from '../src/api/agent.ts';
import { AgentTrust } from '../src/api/trust.ts';

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
  for (const name of ['README.md', 'ARCHITECTURE.md', 'llms.txt']) {
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

describe('llms.txt', () => {
  const text = readFileSync(join(ROOT, 'llms.txt'), 'utf8');

  test('names every error code, and no other', () => {
    const section = /## Error codes\n([\s\S]*?)\n## /.exec(text)?.[1] ?? '';
    expect(section.match(/[A-Z_]{4,}/g)).toEqual(Object.keys(ERROR_CODES));
  });

  test('names calls that exist', () => {
    const api = /## API\n([\s\S]*?)\n## /.exec(text)?.[1] ?? '';
    const called = [...api.matchAll(/\bme\.(\w+)\(/g)].map((match) => match[1] as string);
    const trust = /`me\.trust[\s\S]*?\n- /.exec(api)?.[0] ?? '';
    const trusting = [...trust.matchAll(/\.(\w+)\(/g)].map((match) => match[1] as string);
    const connecting = /→ `Connection`[\s\S]*?Targets/.exec(api)?.[0] ?? '';
    const connected = [...connecting.matchAll(/`(\w+)\(\)`/g)].map((match) => match[1] as string);
    expect([called.length > 8, trusting.length > 8, connected.length > 2]).toEqual([true, true, true]);
    for (const name of called) expect(Agent.prototype, name).toHaveProperty(name);
    for (const name of trusting) expect(AgentTrust.prototype, name).toHaveProperty(name);
    for (const name of connected) expect(Connection.prototype, name).toHaveProperty(name);
  });
});
