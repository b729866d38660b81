/** The other side of worker.ts: asks over IPC. */
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { start } from './children.ts';
import { inside } from './namespaces.ts';
import type { Requests } from './worker.ts';

/** Longer than anything takes that is not stuck. */
const ANSWER_MS = 60_000;
const WORKER: string = fileURLToPath(new URL('flow-worker.js', import.meta.url));

/** Where and how a worker runs. */
export interface Setting {
  /** A network namespace; undefined: this one. */
  readonly namespace?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

/** A process that runs worker.ts. */
export class Worker {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #ids = 0;

  constructor({ namespace, env = {} }: Setting) {
    this.#child = start([...inside(namespace), process.execPath, WORKER], { env, ipc: true });
    this.#child.on('message', ({ id, value, error }: { id: number; value?: never; error?: string }) => {
      const waiter = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiter?.resolve(value as never);
      else waiter?.reject(new Error(error));
    });
    this.#child.once('exit', (code, signal) => this.#fail(`the process ended with ${signal ?? code}`));
    this.#child.once('error', ({ message }) => this.#fail(message));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Asks, and waits for the answer. @throws Error that says what was asked and what went wrong. */
  async ask<Name extends keyof Requests>(
    name: Name,
    options: Parameters<Requests[Name]>[0],
    timeoutMs = ANSWER_MS,
  ): Promise<Awaited<ReturnType<Requests[Name]>>> {
    const id = this.#ids++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Awaited<ReturnType<Requests[Name]>>>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
        this.#child.send({ id, name, options });
      });
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Ends the process. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    // Then it ends by itself.
    this.#child.disconnect();
    await gone;
  }

  #fail(reason: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}
