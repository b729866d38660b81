/**
 * Public-key work that core wants done: an event out, a handle in (design: decision 4). Core never sees a private key;
 * it holds the handles of `PublicKeyJobs`. The driver answers in the same turn where it can, or later.
 */
import type { Millis } from '../config.ts';

/** One operation for the driver to carry out. Byte fields are owned by the driver once polled. */
export type Job =
  | { kind: 'sign'; identity: number; message: Uint8Array }
  | { kind: 'verify'; publicKey: Uint8Array; message: Uint8Array; signature: Uint8Array }
  | { kind: 'createExchange'; random: Uint8Array }
  | { kind: 'agree'; exchange: number; peerKey: Uint8Array; info: string }
  | { kind: 'forget'; handle: number };

/** What a job answers: a signature, a verdict, a pair, a session key, or undefined when it failed. */
export type JobResult = Uint8Array | boolean | { exchange: number; publicKey: Uint8Array } | undefined;

type Continuation = (now: Millis, result: JobResult) => void;

/** The jobs of one endpoint that are still to come, and those under way. */
export class Jobs {
  #nextId = 1;
  readonly #waiting: { id: number; job: Job }[] = [];
  readonly #running = new Map<number, { then: Continuation; peer: number }>();

  /** Jobs started and not answered. */
  get size(): number {
    return this.#running.size;
  }

  /** Queues a job; `then` runs inside `handle`. @param peer - Whose state the continuation changes; 0: nobody's. */
  start(job: Job, then: Continuation, peer = 0): void {
    const id = this.#nextId++;
    this.#running.set(id, { then, peer });
    this.#waiting.push({ id, job });
  }

  /** Queues a job nobody waits for. */
  post(job: Job): void {
    this.#waiting.push({ id: 0, job });
  }

  /** The next job for the driver; id 0 wants no answer. */
  poll(): { id: number; job: Job } | undefined {
    return this.#waiting.shift();
  }

  /** Continues what waited for job `id`. Unknown ids are ignored. @returns The peer that was named at the start. */
  handle(now: Millis, id: number, result: JobResult): number {
    const running = this.#running.get(id);
    if (running === undefined) return 0;
    this.#running.delete(id);
    running.then(now, result);
    return running.peer;
  }
}
