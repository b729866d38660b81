// A control server without sockets, agents or time: links that remember, a clock that is turned by hand, answers that
// wait until they are given.
import type { Control, ControlAnswer } from '../../src/ipc/control.ts';
import { type Frame, FrameReader } from '../../src/ipc/framing.ts';
import type { ControlClock, ControlLink, ControlTimer } from '../../src/ipc/link.ts';

/** One end of a link; what was written to it can be read as frames. */
export class TestLink implements ControlLink {
  readonly calls: string[] = [];
  readonly written: Uint8Array[] = [];
  /** What `write` answers. */
  hasRoom = true;
  isPaused = false;

  write(bytes: Uint8Array): boolean {
    this.calls.push('write');
    this.written.push(Uint8Array.from(bytes));
    return this.hasRoom;
  }

  pause(): void {
    this.calls.push('pause');
    this.isPaused = true;
  }

  resume(): void {
    this.calls.push('resume');
    this.isPaused = false;
  }

  close(): void {
    this.calls.push('close');
  }

  destroy(): void {
    this.calls.push('destroy');
  }

  get isDestroyed(): boolean {
    return this.calls.includes('destroy');
  }

  frames(): { command: number; payload: Uint8Array }[] {
    return framesOf(...this.written);
  }
}

/** All frames in some bytes. */
export function framesOf(...parts: readonly Uint8Array[]): { command: number; payload: Uint8Array }[] {
  const reader = new FrameReader();
  for (const part of parts) reader.push(part);
  const frames: { command: number; payload: Uint8Array }[] = [];
  for (let frame: Frame | undefined = reader.next(); frame !== undefined; frame = reader.next()) {
    frames.push({ command: frame.command, payload: Uint8Array.from(frame.payload) });
  }
  return frames;
}

/** Time stands still until `elapse`. */
export class TestClock implements ControlClock {
  #now = 0;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  get timers(): number {
    return this.#timers.size;
  }

  setTimer(delayMs: number, callback: () => void): ControlTimer {
    const timer = { at: this.#now + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  elapse(millis: number): void {
    this.#now += millis;
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue;
      timer.callback();
    }
  }
}

/** Every question waits for `answer` or `fail`, in order; `questions` says what was asked. */
export class TestControl implements Control {
  readonly questions: string[] = [];
  readonly signals: AbortSignal[] = [];
  readonly #open: { resolve: (answer: ControlAnswer) => void; reject: (error: unknown) => void }[] = [];

  info = (): Promise<ControlAnswer> => this.#ask('info');
  request = (nodeId: number, text: string): Promise<ControlAnswer> => this.#ask(`request ${nodeId} ${text}`);
  approve = (nodeId: number): Promise<ControlAnswer> => this.#ask(`approve ${nodeId}`);
  reject = (nodeId: number, reason: string): Promise<ControlAnswer> => this.#ask(`reject ${nodeId} ${reason}`);
  pending = (): Promise<ControlAnswer> => this.#ask('pending');
  trusted = (): Promise<ControlAnswer> => this.#ask('trusted');
  revoke = (nodeId: number): Promise<ControlAnswer> => this.#ask(`revoke ${nodeId}`);

  wait(nodeId: number, timeoutMs: number, signal?: AbortSignal): Promise<ControlAnswer> {
    if (signal !== undefined) this.signals.push(signal);
    return this.#ask(`wait ${nodeId} ${timeoutMs}`);
  }

  async answer(answer: ControlAnswer, index = 0): Promise<void> {
    this.#open.splice(index, 1)[0]!.resolve(answer);
    await settled();
  }

  async fail(error: unknown): Promise<void> {
    this.#open.shift()!.reject(error);
    await settled();
  }

  #ask(question: string): Promise<ControlAnswer> {
    this.questions.push(question);
    return new Promise((resolve, reject) => {
      this.#open.push({ resolve, reject });
    });
  }
}

/** Lets every promise that can go on do so. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
