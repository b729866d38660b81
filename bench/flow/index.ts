/**
 * `npm run bench:flow`: what users feel. Two processes each, encrypted and reliable, ours and others, in turns.
 *
 *   -- --only PATTERN    rows whose name matches              -- --quick          a tenth of the time
 *   -- --list            only the names of the rows           -- --json FILE      writes the run
 *   -- --compare FILE    against a run written before         -- --profile DIR    profiles of our processes
 *   -- --subjects NAMES  js, addon                            -- --peers NAMES    some of them
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFiles } from '../../bindings/node/files.ts';
import { loadOrCreateCertificate } from '../../bindings/node/tls.ts';
import { absent, note } from '../micro/absent.ts';
import { regressions } from '../micro/compare.ts';
import type { Recording, Row } from '../micro/record.ts';
import { commitName, machineName, runtimeName } from '../micro/runtime.ts';
import { table } from '../micro/table.ts';
import { BROKER_OF, missingBrokers } from './brokers.ts';
import { stopAll } from './children.ts';
import { GROUPS } from './groups.ts';
import { removeNamespaces } from './namespaces.ts';
import { type Options, parseOptions } from './options.ts';
import { EFFORT } from './race.ts';
import type { Run } from './run.ts';
import { PEERS } from './streams.ts';

const SOURCES = ['src', 'assembly', 'bindings', 'bench/flow'];

function asked(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return process.exit(2);
  }
}

const options = asked();
const say = (line: string): void => void process.stderr.write(`${line}\n`);
process.on('exit', () => {
  stopAll();
  removeNamespaces();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));

/** Peers that are here; a loud line for each that is not. */
function present(): string[] {
  const named = PEERS.filter((name) => options.peers?.includes(name) !== false);
  const missing = missingBrokers(named.flatMap((name) => BROKER_OF[name] ?? []));
  for (const [name, why] of missing) {
    note(name, why);
    say(`*** without ${name}: ${why}`);
  }
  return named.filter((name) => !missing.has(name as never));
}

async function certificateIn(folder: string): Promise<{ certificate: string; key: string }> {
  const { certificate, key } = await loadOrCreateCertificate(createFiles(), folder);
  return { certificate, key };
}

async function rows(folder: string): Promise<Row[]> {
  const effort = options.isQuick ? EFFORT.quick : EFFORT.full;
  const { subjects, wanted, profiles } = options;
  const run: Run = { ...(await certificateIn(folder)), subjects, peers: present(), wanted, effort, profiles, say };
  const found: Row[] = [];
  for (const group of GROUPS) {
    if (group.names(effort).some((name) => wanted.test(name))) found.push(...(await group.run(run)));
  }
  return found.filter(({ name }) => wanted.test(name));
}

if (options.isList) {
  const names = GROUPS.flatMap((group) => group.names(EFFORT.full)).filter((name) => options.wanted.test(name));
  process.stdout.write(`${names.join('\n')}\n`);
  process.exit(0);
}
const folder = mkdtempSync(join(tmpdir(), 'pilotwire-flow-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const measured = await rows(folder);
if (measured.length === 0) {
  say([`No row: none has a name like ${options.wanted}, or none could run here`, ...absent].join('\n'));
  process.exit(1);
}
const recording: Recording = {
  commit: commitName(SOURCES),
  machine: machineName(),
  runtime: runtimeName(),
  date: new Date().toISOString(),
  absent,
  rows: measured,
};
process.stdout.write(table(recording));
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(recording, null, 1)}\n`);
if (options.before !== undefined) {
  process.stdout.write(`\n${regressions(options.before, recording, options.wanted)}`);
}
process.exit(0);
