// A process of the smoke suite as its parent sees it: lines of JSON, an end, and a limit for both.
import { spawn } from 'node:child_process';

const LIMIT_MS = 60_000;

/** A program on one runtime. */
export class Child {
  /** Steps that it reported: name and, for one that failed, the error. */
  steps = [];
  /** Resolves with the exit code, or with what went wrong. */
  ended;
  #child;
  #news = [];
  #wake;
  #error = '';

  /** @param program - Its file, and what it is told. @param limitMs - When it is ended. */
  constructor(command, cwd, program, limitMs = LIMIT_MS) {
    const [binary, ...words] = command;
    const child = spawn(binary, [...words, ...program], { cwd, env: environment() });
    this.#child = child;
    child.stdin.on('error', () => {});
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#error += text;
    });
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) this.#hear(line);
    });
    const limit = setTimeout(() => {
      this.#error += `It was ended after ${limitMs} ms\n`;
      child.kill('SIGKILL');
    }, limitMs);
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(String(error)));
      child.once('close', (code, signal) => resolve(code ?? signal));
    }).finally(() => {
      clearTimeout(limit);
      this.#wake?.();
    });
  }

  /** The next line that is no step. @throws Error when it ends before. */
  async next() {
    let isOver = false;
    void this.ended.then(() => {
      isOver = true;
    });
    while (this.#news.length === 0) {
      if (isOver) throw new Error(`It ended early: ${this.#error}`);
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#news.shift();
  }

  /** Lets it end in order. */
  async stop() {
    this.#child.stdin.end();
    return await this.ended;
  }

  /** What it wrote where errors go. */
  get errorText() {
    return this.#error;
  }

  #hear(line) {
    let news;
    try {
      news = JSON.parse(line);
    } catch {
      this.#error += `${line}\n`;
      return;
    }
    if (news.step === undefined) this.#news.push(news);
    else this.steps.push(news);
    this.#wake?.();
  }
}

/** Ours, less what would make a difference. */
function environment() {
  const { PILOTWIRE_HOME: _a, PILOTWIRE_RENDEZVOUS: _b, NODE_OPTIONS: _c, ...rest } = process.env;
  return { ...rest, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' };
}
