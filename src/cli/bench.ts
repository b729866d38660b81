/** `bench`: how fast bytes go to another agent's echo and back (CP 4.1, 7.2). */
import type { Connection } from '../api/connection.ts';
import type { Bytes, Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { PORT } from '../wire/packet.ts';
import { IDENTITY_FLAGS, START_MS, withAgent } from './agents.ts';
import { parseInteger } from './arguments.ts';
import { alignColumns } from './columns.ts';
import type { Call, Command } from './command.ts';

const MIB: Bytes = 1_048_576;
const CHUNK_BYTES: Bytes = 65_536;
const TIMEOUT_MS: Millis = 120_000;
const SIZES = { least: 1, most: 65_536 } as const;

interface Measured {
  readonly receivedBytes: Bytes;
  readonly sendMs: Millis;
  readonly totalMs: Millis;
}

/** Measures throughput. */
export const bench: Command = {
  name: 'bench',
  usage: '<target> [MB=1]',
  summary: 'measure how fast bytes go to an agent and back',
  details: 'The agent must serve its echo (port 7) and let you in. `mbps` are megabits per second.',
  returns: 'target, sent_bytes, recv_bytes, send_duration_ms, total_duration_ms, send_mbps, total_mbps',
  flags: [...IDENTITY_FLAGS, { name: 'timeout', value: 'DURATION', about: 'default 120s' }],
  async run(call: Call): Promise<void> {
    const { arguments: words, output, system } = call;
    words.atMost(2);
    const target = words.required(0, 'target');
    const total = parseInteger('MB', words.optional(1) ?? '1', SIZES) * MIB;
    const timeoutMs = words.duration('timeout', TIMEOUT_MS);
    await withAgent(
      call,
      async (agent) => {
        const connection = await agent.dial(`${target}:${PORT.echo}`, { timeoutMs, signal: system.signal });
        let isLate = false;
        const timer = system.setTimer(timeoutMs, () => {
          isLate = true;
          connection.abort();
        });
        try {
          const { receivedBytes, sendMs, totalMs } = await measure(connection, total, system.now);
          const data = {
            target,
            sent_bytes: total,
            recv_bytes: receivedBytes,
            send_duration_ms: rounded(sendMs),
            total_duration_ms: rounded(totalMs),
            send_mbps: rounded(megabits(total, sendMs)),
            total_mbps: rounded(megabits(total, totalMs)),
          };
          const rows = [
            ['sent', `${total / MIB} MiB in ${data.send_duration_ms} ms`, `${data.send_mbps} Mbit/s`],
            ['and back', `${total / MIB} MiB in ${data.total_duration_ms} ms`, `${data.total_mbps} Mbit/s`],
          ];
          await output.succeed(data, alignColumns(rows));
          await connection.close();
        } catch (cause) {
          if (!isLate) throw cause;
          throw new PilotError('TIMEOUT', `Cannot finish: ${target} did not send all back in ${timeoutMs} ms`, {
            cause,
          });
        } finally {
          timer.cancel();
        }
      },
      START_MS,
    );
  },
};

async function measure(connection: Connection, total: Bytes, now: () => Millis): Promise<Measured> {
  const startedAt = now();
  let sentAt = startedAt;
  let receivedBytes = 0;
  const send = async (): Promise<void> => {
    const writer = connection.writable.getWriter();
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let sent = 0; sent < total; sent += chunk.length) await writer.write(chunk);
    sentAt = now();
    writer.close().catch(() => {});
  };
  const receive = async (): Promise<void> => {
    const reader = connection.readable.getReader();
    while (receivedBytes < total) {
      const { done, value } = await reader.read();
      if (done) throw new PilotError('CONNECTION_LOST', `The echo ended after ${receivedBytes} of ${total} bytes`);
      receivedBytes += value.length;
    }
    reader.releaseLock();
  };
  await Promise.all([send(), receive()]);
  return { receivedBytes, sendMs: sentAt - startedAt, totalMs: now() - startedAt };
}

function megabits(bytes: Bytes, millis: Millis): number {
  return (bytes * 8) / 1_000 / Math.max(millis, 0.001);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
