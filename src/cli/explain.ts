/** `explain`: how another agent is reached, and why so; or why not. */
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { IDENTITY_FLAGS, START_MS, withAgent } from './agents.ts';
import { alignColumns, formatMillis } from './columns.ts';
import type { Call, Command } from './command.ts';

const TIMEOUT_MS: Millis = 5_000;

/** Explains the way to a peer. */
export const explain: Command = {
  name: 'explain',
  usage: '<target>',
  summary: 'say how an agent is reached, and why',
  returns: 'target, address, path, carrier, reason, carrier_reason, and rtt_ms or error',
  flags: [...IDENTITY_FLAGS, { name: 'timeout', value: 'DURATION', about: 'how long to try; default 5s' }],
  async run(call: Call): Promise<void> {
    const { arguments: words, output } = call;
    words.atMost(1);
    const target = words.required(0, 'target');
    const timeoutMs = words.duration('timeout', TIMEOUT_MS);
    await withAgent(
      call,
      async (agent) => {
        const { address } = await agent.find(target);
        let rttMs: Millis | undefined;
        let error: string | undefined;
        try {
          // Before the first contact there is nothing to explain.
          await agent.ping(address, { timeoutMs });
          // The first one had a key exchange in it.
          ({ rttMs } = await agent.ping(address, { timeoutMs }));
        } catch (cause) {
          if (!(cause instanceof PilotError)) throw cause;
          error = cause.message;
        }
        const { path, carrier, reason, carrierReason: carrier_reason } = await agent.explain(address);
        const outcome = rttMs === undefined ? { error } : { rtt_ms: Math.round(rttMs * 1_000) / 1_000 };
        const rows = [
          ['address', address.toString()],
          ['path', path],
          ['because', reason],
          ['carrier', carrier],
          ['because', carrier_reason],
          rttMs === undefined ? ['error', error ?? ''] : ['round trip', formatMillis(rttMs)],
        ];
        await output.succeed(
          { target, address, path, carrier, reason, carrier_reason, ...outcome },
          alignColumns(rows),
        );
      },
      START_MS,
    );
  },
};
