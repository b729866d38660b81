/**
 * Runs the registry's handlers: store and signatures may answer at once or by promise. The only place where the two
 * differ.
 */
import type { PublicKeyJobs } from '../carrier/host.ts';
import type { Operation, Steps } from './registry/index.ts';
import type { Store } from './store/store.ts';

/** Executes operations against one store. */
export class Runner {
  readonly #store: Store;
  readonly #jobs: PublicKeyJobs;
  readonly #onFailure: () => void;

  /** @param onFailure - Runs when the store or the crypto of the runtime failed. */
  constructor(store: Store, jobs: PublicKeyJobs, onFailure: () => void) {
    this.#store = store;
    this.#jobs = jobs;
    this.#onFailure = onFailure;
  }

  /** Runs to the end. @param then - Gets the result, before `run` returns if nothing had to wait; undefined: failed. */
  run<T>(steps: Steps<T>, then: (result: T | undefined) => void): void {
    const fail = (): void => {
      this.#onFailure();
      then(undefined);
    };
    const resume = (value: unknown): void => {
      let step = steps.next(value);
      while (!step.done) {
        const result = this.#execute(step.value);
        if (result instanceof Promise) {
          result.then(resume, fail);
          return;
        }
        step = steps.next(result);
      }
      then(step.value);
    };
    resume(undefined);
  }

  #execute(operation: Operation): unknown {
    if (operation.type !== 'verify') return this.#store.execute(operation);
    return this.#jobs.verify(operation.publicKey, operation.message, operation.signature);
  }
}
