/** `ping`: the round trip to another agent, which need not trust us. */
import type { Agent } from '../api/agent.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { IDENTITY_FLAGS, START_MS, withAgent } from './agents.ts';
import { count, formatMillis } from './columns.ts';
import type { Call, Command } from './command.ts';
import { pause } from './stop.ts';

/** What became of one ping (CP 7.2). */
type PingResult =
  | { readonly seq: number; readonly bytes: number; readonly rtt_ms: number }
  | { readonly seq: number; readonly error: string };

const PINGS = { fallback: 4, least: 1, most: 1_000 } as const;
const TIMEOUT_MS: Millis = 30_000;
/** The most that one ping waits. */
const ANSWER_MS: Millis = 5_000;
/** Half of what a peer answers to a stranger (DP 5.12). */
const INTERVAL_MS: Millis = 200;

/** Measures round trips. */
export const ping: Command = {
  name: 'ping',
  usage: '<target>',
  summary: 'measure the round trip to an agent',
  returns: 'target, results[{seq, bytes, rtt_ms} or {seq, error}], timeout',
  flags: [
    ...IDENTITY_FLAGS,
    { name: 'count', value: 'N', about: `default ${PINGS.fallback}` },
    { name: 'interval', value: 'DURATION', about: 'between two; default 200ms' },
    { name: 'timeout', value: 'DURATION', about: 'for all of them; default 30s' },
  ],
  async run(call: Call): Promise<void> {
    const { arguments: words, output } = call;
    words.atMost(1);
    const target = words.required(0, 'target');
    const amount = words.integer('count', PINGS);
    const interval = words.duration('interval', INTERVAL_MS);
    const timeoutMs = words.duration('timeout', TIMEOUT_MS);
    await withAgent(
      call,
      async (agent) => {
        const deadline = call.system.now() + timeoutMs;
        const results: PingResult[] = [];
        let lastError: unknown;
        for (let seq = 0; seq < amount; seq++) {
          if (seq > 0) await pause(call.system, interval, call.system.signal);
          const left = deadline - call.system.now();
          if (left <= 0 || call.system.signal.aborted) break;
          try {
            results.push(await pingOnce(agent, target, seq, Math.min(left, ANSWER_MS)));
          } catch (error) {
            if (!(error instanceof PilotError)) throw error;
            lastError = error;
            results.push({ seq, error: error.message });
          }
          await output.print(lineOf(target, results.at(-1)!));
        }
        // Nothing came back: that is a failure, in the words of the last attempt.
        if (lastError !== undefined && results.every((result) => 'error' in result)) throw lastError;
        const data = { target, results, timeout: results.length < amount };
        await output.succeed(data, summaryOf(results));
      },
      START_MS,
    );
  },
};

async function pingOnce(agent: Agent, target: string, seq: number, timeoutMs: Millis): Promise<PingResult> {
  const { rttMs, bytes } = await agent.ping(target, { timeoutMs });
  return { seq, bytes, rtt_ms: Math.round(rttMs * 1_000) / 1_000 };
}

function lineOf(target: string, result: PingResult): string {
  if ('error' in result) return `seq ${result.seq}: ${result.error}`;
  return `${result.bytes} bytes from ${target}: seq ${result.seq}  ${formatMillis(result.rtt_ms)}`;
}

function summaryOf(results: readonly PingResult[]): string {
  const times = results.flatMap((result) => ('rtt_ms' in result ? [result.rtt_ms] : [])).sort((a, b) => a - b);
  const answered = `${count(results.length, 'ping')}, ${count(times.length, 'answer')}`;
  const median = times[Math.floor((times.length - 1) / 2)];
  if (median === undefined) return answered;
  const [least, most] = [times[0]!, times.at(-1)!];
  return `${answered}: least ${formatMillis(least)}, median ${formatMillis(median)}, most ${formatMillis(most)}`;
}
