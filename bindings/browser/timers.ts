/**
 * Timers of pages and workers. Hidden pages get theirs late, by up to a minute, and a frozen one when it thaws: whoever
 * waits compares its deadline when it wakes. The end of a turn is a message to ourselves, which no browser delays.
 */
import type { Timer } from '../../src/carrier/host.ts';
import type { Millis } from '../../src/config.ts';

/** The longest delay of a browser's timer; a longer one would fire at once. */
const LONGEST_DELAY_MS: Millis = 2 ** 31 - 1;

/** Calls back after the present turn, in the order of the calls. */
export class TurnTimers {
  readonly #channel: MessageChannel = new MessageChannel();
  #waiting: ((() => void) | undefined)[] = [];
  /** How many were called or cancelled before the first that waits. */
  #done = 0;

  constructor() {
    this.#channel.port1.onmessage = () => {
      const callback = this.#waiting.shift();
      this.#done += 1;
      callback?.();
    };
  }

  set(callback: () => void): Timer {
    const number = this.#done + this.#waiting.length;
    this.#waiting.push(callback);
    this.#channel.port2.postMessage(undefined);
    return {
      cancel: () => {
        if (number >= this.#done) this.#waiting[number - this.#done] = undefined;
      },
      unref() {},
    };
  }
}

/** Calls back once, never before `delayMs`. */
export function waitTimer(delayMs: Millis, callback: () => void): Timer {
  const due = performance.now() + delayMs;
  let timeout: ReturnType<typeof setTimeout>;
  const start = (remainingMs: Millis): void => {
    timeout = setTimeout(fire, Math.min(Math.ceil(remainingMs), LONGEST_DELAY_MS));
  };
  const fire = (): void => {
    const remainingMs = due - performance.now();
    if (remainingMs <= 0) callback();
    else start(remainingMs);
  };
  start(delayMs);
  return { cancel: () => clearTimeout(timeout), unref() {} };
}
