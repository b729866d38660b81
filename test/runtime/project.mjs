// An empty project with the package in it, as `npm pack` makes it and `npm install` unpacks it.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleLife } from '../bindings/node/addon/program.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(dirname(HERE));
const PROGRAMS = ['smoke.mjs', 'process.mjs'];

/**
 * Packs, which builds everything anew, and installs. Outside of this repository: whatever the package needs and does
 * not bring would be found in our own node_modules.
 *
 * @returns The folder, the path of the tarball, and what removes both.
 */
export async function createProject() {
  const folder = mkdtempSync(join(tmpdir(), 'pilotwire-runtime-'));
  const directory = join(folder, 'project');
  mkdirSync(directory);
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: ROOT, stdio: ['ignore', 2, 2] });
  const tarball = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.tgz')),
  );
  const list = { name: 'empty', version: '0.0.0', private: true, type: 'module' };
  writeFileSync(join(directory, 'package.json'), JSON.stringify(list));
  const words = ['install', '--no-audit', '--no-fund', '--silent', tarball];
  execFileSync('npm', words, { cwd: directory, stdio: ['ignore', 2, 2] });
  for (const name of PROGRAMS) copyFileSync(join(HERE, name), join(directory, name));
  await build({
    entryPoints: [join(HERE, 'host/main.ts')],
    outfile: join(directory, 'host.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['@peculiar/x509'],
    logLevel: 'warning',
  });
  await bundleLife(directory);
  return { directory, tarball, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
