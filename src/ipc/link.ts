/**
 * What a runtime lends to the control socket: local byte links and a clock. Whoever may open the socket may command the
 * agent, so a binding must keep other users out; nothing here authenticates.
 */
import type { Millis } from '../config.ts';

/** One end of a local byte link. */
export interface ControlLink {
  /** Takes the bytes, which the caller leaves alone; false: they wait, and `drain` follows when they are gone. */
  write(bytes: Uint8Array): boolean;
  /** No `data` until `resume`: what the other side writes stays with the operating system, and then with the other side. */
  pause(): void;
  resume(): void;
  /** Ends after what was written. */
  close(): void;
  /** Ends at once. */
  destroy(): void;
}

/** What a link tells its owner. */
export interface ControlHandler {
  /** `bytes` is borrowed until the call returns. */
  data(bytes: Uint8Array): void;
  drain(): void;
  /** Once, last. */
  closed(): void;
}

/** A socket that accepts links. */
export interface ControlListener {
  /** No more links; those that are open stay. The name goes away. */
  close(): Promise<void>;
}

/** Something to come. */
export interface ControlTimer {
  cancel(): void;
}

/** Monotonic time. */
export interface ControlClock {
  now(): Millis;
  setTimer(delayMs: Millis, callback: () => void): ControlTimer;
}
