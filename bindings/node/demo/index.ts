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

async function play({ options, home, start, say }: Stage): Promise<DemoReport> {
  const steps: string[] = [];
  const step = (text: string): void => {
    steps.push(text);
    say(`✓ ${text}`);
  };
  const server = start('rendezvous');
  const { url, pid: serverPid } = await server.ask<{ url: string; pid: number }>({ do: 'rendezvous' });
  step(`rendezvous at ${url} (process ${serverPid})`);

  const [alice, bob, carol, mallory] = ['alice', 'bob', 'carol', 'mallory'].map(start) as [
    DemoChild,
    DemoChild,
    DemoChild,
    DemoChild,
  ];
  const agents = [alice, bob, carol, mallory];
  const started = await Promise.all(
    agents.map(async (child) => {
      const tags = child === bob ? ['search', 'specialist'] : [];
      const made = await child.ask<{ address: string; pid: number; startMs: number }>({
        do: 'start',
        rendezvous: url,
        hostname: child.name,
        tags,
        home,
      });
      return { name: child.name, ...made };
    }),
  );
  const addressOf = (child: DemoChild): string => started.find(({ name }) => name === child.name)?.address ?? '';
  step(
    `${started.length} agents in ${started.length} processes, private: ${started.map((a) => `${a.name} ${a.address}`).join(', ')}`,
  );

  const refused = await mallory.ask<{ isRefused: boolean; code: string }>({
    do: 'tryDial',
    target: addressOf(bob),
    timeoutMs: 1_500,
  });
  const drops = (await bob.ask<{ drops: Record<string, number> }>({ do: 'stats' })).drops;
  if (!refused.isRefused || (drops.untrusted ?? 0) === 0) throw new Error('A stranger was not refused');
  step(`a stranger's dial is dropped without a sign (${refused.code}; ${drops.untrusted} dropped at bob)`);

  const peers: PeerRow[] = [];
  const trusts = new Map<DemoChild, number>();
  for (const peer of [bob, carol]) {
    const approval = peer.ask<{ justification: string }>({ do: 'approve', from: addressOf(alice) });
    const asked = await alice.ask<{ trustMs: number }>({
      do: 'trust',
      target: addressOf(peer),
      why: 'to share results',
    });
    const { justification } = await approval;
    trusts.set(peer, asked.trustMs);
    step(`${peer.name} approved "${justification}" in ${asked.trustMs.toFixed(0)} ms`);
  }

  const found = await alice.ask<{ byName: string; byTag: string[] }>({ do: 'find', name: 'bob', tag: 'search' });
  if (found.byName !== addressOf(bob) || !found.byTag.includes(addressOf(bob))) throw new Error('bob was not found');
  step(`bob found by name and by tag "search": ${found.byName}`);

  const bytes = options.file === undefined ? FILE_BYTES : statSync(options.file).size;
  const file = await alice.ask<FileResult>({ do: 'file', target: 'bob', path: options.file, bytes });
  if (!file.isSame) throw new Error(`The file arrived damaged: SHA-256 ${file.theirs}, not ${file.sha256}`);
  step(
    `${(file.bytes / 1e6).toFixed(1)} MB to bob at ${file.megabytesPerSecond.toFixed(1)} MB/s, SHA-256 ${file.sha256.slice(0, 16)}… equal`,
  );

  for (const peer of [bob, carol]) {
    const rounds = await alice.ask<RoundsResult>({ do: 'rounds', target: peer.name, count: ROUNDS });
    step(
      `${rounds.count} rounds with ${peer.name}: p50 ${rounds.p50Ms.toFixed(2)} ms, p99 ${rounds.p99Ms.toFixed(2)} ms`,
    );
    const way = await alice.ask<{ path: string; carrier: string; reason: string }>({
      do: 'explain',
      target: peer.name,
    });
    peers.push({
      name: peer.name,
      address: addressOf(peer),
      path: `${way.path} ${way.carrier}`,
      setUpMs: trusts.get(peer) ?? Number.NaN,
      dialMs: peer === bob ? file.dialMs : undefined,
      rttP50Ms: rounds.p50Ms,
      rttP99Ms: rounds.p99Ms,
      megabytesPerSecond: peer === bob ? file.megabytesPerSecond : undefined,
      drops: {},
    });
  }

  const datagrams = await alice.ask<DatagramsResult>({ do: 'datagrams', target: 'bob', count: DATAGRAMS });
  if (datagrams.returned < DATAGRAMS * 0.9)
    throw new Error(`Only ${datagrams.returned} of ${DATAGRAMS} datagrams came back`);
  step(
    `${datagrams.sent} datagrams to bob and back: ${datagrams.returned} returned, ${datagrams.perSecond.toFixed(0)} a second`,
  );

  await server.kill();
  const after = await alice.ask<RoundsResult>({ do: 'rounds', target: addressOf(bob), count: 100 });
  step(`rendezvous killed; a new connection and ${after.count} rounds with bob: p50 ${after.p50Ms.toFixed(2)} ms`);

  for (const row of peers) {
    const child = row.name === 'bob' ? bob : carol;
    Object.assign(row.drops, (await child.ask<{ drops: Record<string, number> }>({ do: 'stats' })).drops);
  }
  return { isOk: true, rendezvous: { url, pid: serverPid }, agents: started, steps, peers, file, datagrams };
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
