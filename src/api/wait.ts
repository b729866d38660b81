/** Waiting for something that may come, time out or be called off. */
import type { Timer } from '../carrier/host.ts';
import type { Millis } from '../config.ts';

/** How long to wait, and for whom. */
export interface WaitOptions {
  /** Starts a timer. */
  readonly setTimer: (delayMs: Millis, callback: () => void) => Timer;
  /** Undefined: for ever. */
  readonly timeoutMs: Millis | undefined;
  readonly signal: AbortSignal | undefined;
  /** What is thrown when the time is over. */
  readonly timeoutError: () => Error;
}

/**
 * Waits until `done` is called.
 *
 * @param begin - Gets `done`, called without an error for success; returns what undoes it, which runs at the end in any
 *   case.
 * @throws The error given to `done`, `timeoutError()`, or the signal's reason.
 */
export async function waitFor(
  options: WaitOptions,
  begin: (done: (error?: unknown) => void) => () => void,
): Promise<void> {
  const { setTimer, timeoutMs, signal, timeoutError } = options;
  signal?.throwIfAborted();
  let timer: Timer | undefined;
  let onAbort: (() => void) | undefined;
  let undo: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const done = (error?: unknown): void => {
        if (error === undefined) resolve();
        else reject(error);
      };
      onAbort = () => done(signal?.reason);
      signal?.addEventListener('abort', onAbort);
      if (timeoutMs !== undefined) timer = setTimer(timeoutMs, () => done(timeoutError()));
      undo = begin(done);
    });
  } finally {
    timer?.cancel();
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
    undo?.();
  }
}

/** Lets time pass. @throws The signal's reason. */
export async function pause(
  timers: Pick<WaitOptions, 'setTimer'>,
  delayMs: Millis,
  signal: AbortSignal | undefined,
): Promise<void> {
  const setTimer: WaitOptions['setTimer'] = (ms, callback) => timers.setTimer(ms, callback);
  await waitFor({ setTimer, timeoutMs: undefined, signal, timeoutError: () => new Error() }, (done) => {
    const timer = setTimer(delayMs, () => done());
    return () => timer.cancel();
  });
}
