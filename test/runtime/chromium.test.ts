import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { findChromium } from './chromium.mjs';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pilotwire-chromium-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

/** Puts a script there. */
function script(name: string, ...lines: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
  return path;
}

const telling = (version: string): string => `echo "Chromium ${version} built on Debian"`;

/** An apt-get that writes down how it was called and, asked to install, puts a chromium there. */
function apt(): string {
  const target = join(folder, 'chromium');
  const program = `printf '#!/bin/sh\\n${telling('3.2.1')}\\n' > ${target}; /bin/chmod 755 ${target}`;
  script('apt-get', `echo "$@" >> ${folder}/calls`, `[ "$1" = install ] && { ${program}; }`, 'true');
  return join(folder, 'calls');
}

test('the first name on PATH is found, with its version', () => {
  const path = script('google-chrome', telling('1.2.3.4'));
  expect(findChromium({ env: { PATH: folder }, isRoot: false })).toEqual({ path, version: '1.2.3.4', args: [] });
  const better = script('chromium', telling('5.6'));
  const env = { PATH: `${join(folder, 'nowhere')}${delimiter}${folder}` };
  expect(findChromium({ env, isRoot: false })).toMatchObject({ path: better, version: '5.6' });
});

test('root gets it without a sandbox', () => {
  script('chromium', telling('1.2'));
  expect(findChromium({ env: { PATH: folder }, isRoot: true })).toMatchObject({ args: ['--no-sandbox'] });
});

test('CHROMIUM_PATH goes before PATH, and nothing takes its place', () => {
  script('chromium', telling('1.2'));
  const other = script('other', telling('9.9'));
  const found = findChromium({ env: { PATH: folder, CHROMIUM_PATH: other }, isRoot: false });
  expect(found).toMatchObject({ path: other, version: '9.9' });
  const env = { PATH: folder, CHROMIUM_PATH: join(folder, 'nothing'), CI: 'true' };
  expect(findChromium({ env, isRoot: true }).missing).toContain('CHROMIUM_PATH');
});

test('one that does not start, or tells no version, is passed over', () => {
  script('chromium', 'exit 1');
  script('chromium-browser', 'echo "install me with snap"');
  const path = script('google-chrome', telling('4.0'));
  expect(findChromium({ env: { PATH: folder }, isRoot: false })).toMatchObject({ path });
});

test.each([
  ['nobody asked', {}, true],
  ['the user is not root', { CI: 'true', PILOTWIRE_INSTALL: '1' }, false],
  ['CI is something else', { CI: 'false', PILOTWIRE_INSTALL: '0' }, true],
])('nothing is installed where %s', (_, asked, isRoot) => {
  const calls = apt();
  const { missing } = findChromium({ env: { PATH: folder, ...asked }, isRoot });
  expect(missing).toMatch(/^No Chromium on this machine: install [^\n]+$/);
  expect(existsSync(calls)).toBe(false);
});

test.each([{ CI: 'true' }, { PILOTWIRE_INSTALL: '1' }])('%o lets root install it', (asked) => {
  apt();
  const found = findChromium({ env: { PATH: folder, ...asked }, isRoot: true });
  expect(found).toMatchObject({ path: join(folder, 'chromium'), version: '3.2.1' });
});

test('an installation that fails says so', () => {
  script('apt-get', 'exit 100');
  const { missing } = findChromium({ env: { PATH: folder, CI: 'true' }, isRoot: true });
  expect(missing).toContain('apt-get could not install chromium');
});
