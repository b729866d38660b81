// `pilotwire` as processes, each test file with a home of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';

/** What is tested. */
export const PROGRAM: string = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Where identities of this test file live. The path is short: that of a socket has at most 103 bytes. */
export const HOME: string = mkdtempSync(join(tmpdir(), 'pw-'));

/** How a process ended. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const running = new Set<Running>();

afterAll(async () => {
  await Promise.all([...running].map((one) => one.stop('SIGKILL')));
  rmSync(HOME, { recursive: true, force: true });
});

/** A process that runs. */
export class Running {
  readonly child: ChildProcess;
  /** When it ended. */
  readonly ended: Promise<Ran>;
  out = '';
  err = '';

  constructor(words: readonly string[], environment: Record<string, string>) {
    const { PILOTWIRE_RENDEZVOUS: _a, PILOT_REGISTRY: _b, ...inherited } = process.env;
    this.child = spawn(process.execPath, [PROGRAM, ...words], {
      env: { ...inherited, PILOTWIRE_HOME: HOME, ...environment },
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    // One that ends before it read its input has no use for it.
    this.child.stdin!.on('error', () => {});
    running.add(this);
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        running.delete(this);
        resolve({ code, out: this.out, err: this.err });
      });
    });
  }

  /** Waits for the first line of standard output. */
  async firstLine(): Promise<string> {
    for (;;) {
      const end = this.out.indexOf('\n');
      if (end >= 0) return this.out.slice(0, end);
      const event = new Promise((resolve) => this.child.stdout!.once('data', resolve));
      const ended = this.ended.then(() => {
        throw new Error(`It ended: ${this.err}`);
      });
      await Promise.race([event, ended]);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ran> {
    this.child.kill(signal);
    return await this.ended;
  }
}

/** Starts a process. */
export function start(words: readonly string[], environment: Record<string, string> = {}): Running {
  return new Running(words, environment);
}

/** Runs a process to its end. */
export async function run(
  words: readonly string[],
  options: { environment?: Record<string, string>; input?: string | Uint8Array } = {},
): Promise<Ran> {
  const process = start(words, options.environment);
  process.child.stdin!.end(options.input ?? '');
  return await process.ended;
}

/** The `data` of a success with `--json`. */
export async function dataOf(words: readonly string[], environment: Record<string, string>): Promise<JsonObject> {
  const { code, out, err } = await run([...words, '--json'], { environment });
  if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${err}`);
  const lines = out.trimEnd().split('\n');
  const answer = JSON.parse(lines[0]!) as { status: string; data: JsonObject };
  if (lines.length !== 1 || answer.status !== 'ok') throw new Error(`No envelope: ${out}`);
  return answer.data;
}

/** The failure of a run with `--json`, with the exit code. */
export async function failureOf(words: readonly string[], environment: Record<string, string>): Promise<JsonObject> {
  const { code, out, err } = await run([...words, '--json'], { environment });
  if (out !== '') throw new Error(`${words.join(' ')} printed ${out}`);
  return { ...(JSON.parse(err) as JsonObject), exit: code };
}

/** Any JSON object; tests say what they expect in it. */
export type JsonObject = Record<string, unknown>;
