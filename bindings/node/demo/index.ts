/**
 * `pilotwire demo`: a rendezvous and four agents as separate processes do the main job, with real traffic: a stranger is
 * refused, trust is asked for and given, a specialist is found, a file is sent, messages and datagrams are timed, and then
 * the rendezvous is killed and all goes on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Command } from './child.ts';
import { type DatagramsResult, type DemoReport, type FileResult, formatReport, type PeerRow } from './report.ts';

/** What the command line says. */
export interface DemoOptions {
  /** A file to send; omitted: 32 MiB of random bytes. */
  readonly file: string | undefined;
  readonly json: boolean;
  /** How to start this program as one of the processes. */
  readonly childCommand: readonly [command: string, ...args: string[]];
  readonly write: (text: string) => void;
}

const FILE_BYTES = 32 * 1024 * 1024;
const ROUNDS = 1_000;
const DATAGRAMS = 10_000;
const ANSWER_MS = 45_000;

/** Runs the demo. @returns The report; `report.error` says what went wrong. */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const home = mkdtempSync(join(tmpdir(), 'pilotwire-demo-'));
  const children: DemoChild[] = [];
  const say = (text: string): void => {
    if (!options.json) options.write(`${text}\n`);
  };
  const start = (name: string): DemoChild => {
    const child = new DemoChild(name, options.childCommand);
    children.push(child);
    return child;
  };
  let report: DemoReport;
  try {
    report = await play({ options, home, start, say });
  } catch (error) {
    report = { isOk: false, error: error instanceof Error ? error.message : String(error), steps: [], peers: [] };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    rmSync(home, { recursive: true, force: true });
  }
  options.write(options.json ? `${JSON.stringify(report)}\n` : formatReport(report));
  return report;
}

interface Stage {
  readonly options: DemoOptions;
  readonly home: string;
  readonly start: (name: string) => DemoChild;
  readonly say: (text: string) => void;
}

async function play(stage: Stage): Promise<DemoReport> {
  const { options, start, say } = stage;
  const steps: string[] = [];
  const step = (text: string): void => {
    steps.push(text);
    say(`✓ ${text}`);
  };
  const server = start('rendezvous');
  const { url, pid } = await server.ask<{ url: string; pid: number }>({ do: 'rendezvous' });
  step(`rendezvous at ${url} (process ${pid})`);
  const cast = await startAgents(stage, url);
  const { alice, bob, carol } = cast;
  const names = cast.started.map((agent) => `${agent.name} ${agent.address}`);
  step(`${names.length} agents in ${names.length} processes, private: ${names.join(', ')}`);
  await refuseStranger(cast, step);
  const trustMs = new Map([
    [bob, await giveTrust(cast, bob, step)],
    [carol, await giveTrust(cast, carol, step)],
  ]);
  await findSpecialist(cast, step);
  const file = await sendFile(cast, options.file, step);
  const peers: PeerRow[] = [];
  for (const peer of [bob, carol]) {
    const times = peer === bob ? file : undefined;
    peers.push({ ...(await talk(cast, peer, step)), ...pick(times), setUpMs: trustMs.get(peer) ?? Number.NaN });
  }
  const datagrams = await sendDatagrams(cast, step);
  await server.kill();
  const after = await alice.ask<RoundsResult>({ do: 'rounds', target: cast.addressOf(bob), count: 100 });
  step(`rendezvous killed; a new connection and ${after.count} rounds with bob: p50 ${after.p50Ms.toFixed(2)} ms`);
  for (const row of peers) Object.assign(row.drops, await dropsOf(row.name === 'bob' ? bob : carol));
  return { isOk: true, rendezvous: { url, pid }, agents: cast.started, steps, peers, file, datagrams };
}

interface Started {
  readonly name: string;
  readonly address: string;
  readonly pid: number;
  readonly startMs: number;
}

interface Cast {
  readonly alice: DemoChild;
  readonly bob: DemoChild;
  readonly carol: DemoChild;
  readonly mallory: DemoChild;
  readonly started: readonly Started[];
  readonly addressOf: (child: DemoChild) => string;
}

type Step = (text: string) => void;

async function startAgents({ home, start }: Stage, rendezvous: string): Promise<Cast> {
  const [alice, bob, carol, mallory] = [start('alice'), start('bob'), start('carol'), start('mallory')];
  const started = await Promise.all(
    [alice, bob, carol, mallory].map(async (child) => {
      const tags = child === bob ? ['search', 'specialist'] : [];
      const { name: hostname } = child;
      const made = await child.ask<Omit<Started, 'name'>>({ do: 'start', rendezvous, hostname, tags, home });
      return { name: hostname, ...made };
    }),
  );
  const addressOf = (child: DemoChild): string => started.find(({ name }) => name === child.name)?.address ?? '';
  return { alice, bob, carol, mallory, started, addressOf };
}

async function refuseStranger({ mallory, bob, addressOf }: Cast, step: Step): Promise<void> {
  const attempt = { do: 'tryDial', target: addressOf(bob), timeoutMs: 1_500 } as const;
  const { isRefused, code } = await mallory.ask<{ isRefused: boolean; code: string }>(attempt);
  const { untrusted = 0 } = await dropsOf(bob);
  if (!isRefused || untrusted === 0) throw new Error('A stranger was not refused');
  step(`a stranger's dial is dropped without a sign (${code}; ${untrusted} dropped at bob)`);
}

async function giveTrust({ alice, addressOf }: Cast, peer: DemoChild, step: Step): Promise<number> {
  const approval = peer.ask<{ justification: string }>({ do: 'approve', from: addressOf(alice) });
  const request = { do: 'trust', target: addressOf(peer), why: 'to share results' } as const;
  const { trustMs } = await alice.ask<{ trustMs: number }>(request);
  const { justification } = await approval;
  step(`${peer.name} approved "${justification}" in ${trustMs.toFixed(0)} ms`);
  return trustMs;
}

async function findSpecialist({ alice, bob, addressOf }: Cast, step: Step): Promise<void> {
  const found = await alice.ask<{ byName: string; byTag: string[] }>({ do: 'find', name: 'bob', tag: 'search' });
  if (found.byName !== addressOf(bob) || !found.byTag.includes(addressOf(bob))) throw new Error('bob was not found');
  step(`bob found by name and by tag "search": ${found.byName}`);
}

async function sendFile({ alice }: Cast, path: string | undefined, step: Step): Promise<FileResult> {
  const bytes = path === undefined ? FILE_BYTES : statSync(path).size;
  const file = await alice.ask<FileResult>({ do: 'file', target: 'bob', path, bytes });
  if (!file.isSame) throw new Error(`The file arrived damaged: SHA-256 ${file.theirs}, not ${file.sha256}`);
  const [size, speed] = [(file.bytes / 1e6).toFixed(1), file.megabytesPerSecond.toFixed(1)];
  step(`${size} MB to bob at ${speed} MB/s, SHA-256 ${file.sha256.slice(0, 16)}… equal`);
  return file;
}

async function talk({ alice, addressOf }: Cast, peer: DemoChild, step: Step): Promise<Omit<PeerRow, 'setUpMs'>> {
  const rounds = await alice.ask<RoundsResult>({ do: 'rounds', target: peer.name, count: ROUNDS });
  step(
    `${rounds.count} rounds with ${peer.name}: p50 ${rounds.p50Ms.toFixed(2)} ms, p99 ${rounds.p99Ms.toFixed(2)} ms`,
  );
  const way = await alice.ask<{ path: string; carrier: string }>({ do: 'explain', target: peer.name });
  return {
    name: peer.name,
    address: addressOf(peer),
    path: `${way.path} ${way.carrier}`,
    rttP50Ms: rounds.p50Ms,
    rttP99Ms: rounds.p99Ms,
    drops: {},
  };
}

async function sendDatagrams({ alice }: Cast, step: Step): Promise<DatagramsResult> {
  const result = await alice.ask<DatagramsResult>({ do: 'datagrams', target: 'bob', count: DATAGRAMS });
  const { sent, returned, perSecond } = result;
  if (returned < sent * 0.9) throw new Error(`Only ${returned} of ${sent} datagrams came back`);
  step(`${sent} datagrams to bob and back: ${returned} returned, ${perSecond.toFixed(0)} a second`);
  return result;
}

async function dropsOf(child: DemoChild): Promise<Record<string, number>> {
  return (await child.ask<{ drops: Record<string, number> }>({ do: 'stats' })).drops;
}

function pick(file: FileResult | undefined): Pick<PeerRow, 'dialMs' | 'megabytesPerSecond'> {
  return file === undefined ? {} : { dialMs: file.dialMs, megabytesPerSecond: file.megabytesPerSecond };
}

interface RoundsResult {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

type ChildAnswer = { ok: true; value: unknown } | { ok: false; code: string; message: string };

/** A process of the demo, spoken to in lines. */
class DemoChild {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void; text: string }[] = [];
  #isKilled = false;

  constructor(name: string, command: readonly [string, ...string[]]) {
    this.name = name;
    const [file, ...args] = command;
    this.#process = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    // Only pipes carry answers; a process that is gone shows as an exit.
    this.#process.stdin?.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout as NodeJS.ReadableStream });
    this.#lines.on('line', (line) => this.#handleLine(line));
    this.#process.on('exit', (code, signal) => this.#fail(`ended with ${signal ?? code}`));
    this.#process.on('error', (error) => this.#fail(error.message));
  }

  async ask<T>(command: Command): Promise<T> {
    const answer = new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.name}: no answer to ${command.do}`)), ANSWER_MS);
      this.#waiting.push({
        text: command.do,
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
    this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
    return (await answer) as T;
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    if (this.#isKilled || this.#process.exitCode !== null) return;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.stdin?.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 7_000);
    await exited;
    clearTimeout(timer);
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    this.#isKilled = true;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
  }

  #handleLine(line: string): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return;
    const answer = JSON.parse(line) as ChildAnswer;
    if (answer.ok) waiting.resolve(answer.value);
    else waiting.reject(new Error(`${this.name} ${waiting.text}: ${answer.code} ${answer.message}`));
  }

  #fail(why: string): void {
    for (const waiting of this.#waiting.splice(0))
      waiting.reject(new Error(`${this.name} ${why} during ${waiting.text}`));
  }
}
