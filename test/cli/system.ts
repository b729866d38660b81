// The command line without a process: what it prints is kept, and what it would start is not there unless a test says.
import { main } from '../../src/cli/main.ts';
import type { System } from '../../src/cli/system.ts';
import { PilotError } from '../../src/errors.ts';

/** How a run ended. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const nothing = (what: string) => (): Promise<never> => Promise.reject(new Error(`This test has no ${what}`));

/** Runs a command line in this process. */
export async function runHere(words: readonly string[], lent: Partial<System> = {}): Promise<Ran> {
  let out = '';
  let err = '';
  const system: System = {
    words,
    environment: {},
    pid: 42,
    version: '1.2.3',
    home: 'nowhere',
    lanAddress: undefined,
    isTerminal: false,
    signal: new AbortController().signal,
    now: () => performance.now(),
    setTimer: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    writeOut: async (text) => {
      out += typeof text === 'string' ? text : new TextDecoder().decode(text);
    },
    writeError: async (text) => {
      err += text;
    },
    async *input() {},
    startAgent: nothing('agents'),
    serveRendezvous: nothing('servers'),
    listenControl: nothing('sockets'),
    connectControl: async () => undefined,
    ...lent,
  };
  return { code: await main(system), out, err };
}

/** An agent that cannot be started, and why. */
export function failing(error: Error): Partial<System> {
  return { startAgent: () => Promise.reject(error), environment: { PILOTWIRE_RENDEZVOUS: 'pilot://127.0.0.1:1' } };
}

/** An error of the API. */
export function pilotError(code: PilotError['code'], hint?: string): PilotError {
  return new PilotError(code, `Failed: ${code}`, hint === undefined ? {} : { hint });
}
