/** Waiting in a command: for its end, or for a while. */
import type { Millis } from '../config.ts';
import type { ControlClock } from '../ipc/link.ts';

/** Resolves when the signal fires. */
export async function untilStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Resolves after a while, or earlier when the signal fires. */
export async function pause(clock: ControlClock, delayMs: Millis, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimer(delayMs, end);
    signal.addEventListener('abort', end);
  });
}
