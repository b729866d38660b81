#!/usr/bin/env node
/** `pilotwire` on Node: lends the process to the command line (src/cli/), and ends as that says. */
import { homedir, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { Call, Command } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { CommandError } from '../../src/cli/failure.ts';
import { main } from '../../src/cli/main.ts';
import type { System } from '../../src/cli/system.ts';
import type { Millis } from '../../src/config.ts';
import { VERSION } from '../../src/version.ts';
import { runChild } from './demo/child.ts';
import { runDemo } from './demo/index.ts';
import { readDemoPage } from './demo/page.ts';
import { Agent } from './index.ts';
import { connectControl, listenControl } from './ipc.ts';
import { serveRendezvous } from './server.ts';

const FAILED = 1;
const LINGER_MS: Millis = 2_000;
/** The word by which the demo starts this program as one of its processes. */
const DEMO_CHILD = 'demo-child';

/** Node only: it starts processes. */
const demo: Command = {
  name: 'demo',
  usage: '',
  summary: 'see it work: a rendezvous and four agents as processes, real traffic',
  returns: 'rendezvous, agents, steps, peers, file, datagrams',
  flags: [{ name: 'file', value: 'PATH', about: 'a file to send; default 32 MiB of random bytes' }],
  async run({ arguments: words, output }: Call): Promise<void> {
    words.atMost(0);
    const report = await runDemo({
      file: words.text('file'),
      json: output.isJson,
      childCommand: [process.execPath, process.argv[1] ?? '', DEMO_CHILD],
      // The report itself goes into the envelope.
      write: (text) => void (output.isJson || process.stdout.write(text)),
    });
    if (!report.isOk) throw new CommandError('internal', `The demo failed: ${report.error ?? 'no reason given'}`);
    await output.succeed({ ...report }, '');
  },
};

function createSystem(): System {
  const home = process.env.PILOTWIRE_HOME ?? join(homedir(), '.pilotwire');
  return {
    words: process.argv.slice(2),
    environment: process.env,
    pid: process.pid,
    version: VERSION,
    home,
    lanAddress: lanAddress(),
    isTerminal: process.stdout.isTTY === true,
    signal: stopSignal(),
    now: () => performance.now(),
    setTimer: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    writeOut: (text) => write(process.stdout, text),
    writeError: (text) => write(process.stderr, text),
    input: () => process.stdin,
    startAgent: (options) => Agent.start({ ...options, home }),
    serveRendezvous: async ({ hasDemoPage, ...options }) =>
      await serveRendezvous(hasDemoPage === true ? { ...options, documents: await readDemoPage() } : options),
    listenControl,
    connectControl,
  };
}

/** The first one that is not this machine's own; IPv4 before IPv6, whose link-local addresses do not travel. */
function lanAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outward = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80'));
  return (outward.find(({ family }) => family === 'IPv4') ?? outward[0])?.address;
}

/** The first signal asks for an end in order; the second does not wait for it. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(FAILED);
      stop.abort();
    });
  }
  return stop.signal;
}

async function write(stream: NodeJS.WriteStream, text: string | Uint8Array): Promise<void> {
  // Who stops reading what we print (`| head`) is content with what it has: no error.
  await new Promise<void>((resolve) => stream.write(text, () => resolve()));
}

for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
if (process.argv[2] === DEMO_CHILD) await runChild();
process.exitCode = await main(createSystem(), [...COMMANDS, demo]);
// What the command opened is closed, and files that are being written shall be; nothing else may keep the process.
process.stdin.destroy();
setTimeout(() => process.exit(), LINGER_MS).unref();
