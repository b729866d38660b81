/** What `connect` and `send` have in common: dial, write, read an answer, end in order (CP 7.2). */
import type { Bytes, Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { START_MS, withAgent } from './agents.ts';
import type { Call } from './command.ts';
import { type Answer, readAnswer, writeAll } from './exchange.ts';

/** Whom to talk to, and how. */
export interface Talk {
  readonly target: string;
  readonly port: number;
  readonly source: AsyncIterable<Uint8Array>;
  /** For the dial. */
  readonly dialMs: Millis;
  /** For the first byte of the answer, once everything was written. */
  readonly answerMs: Millis;
  readonly onChunk?: (chunk: Uint8Array) => Promise<void>;
}

/** What came of it. */
export interface TalkResult {
  readonly sentBytes: Bytes;
  readonly answer: Answer;
}

/** Opens a connection, writes the source, reads the answer. @throws PilotError of the dial or the connection. */
export async function talk(call: Call, what: Talk): Promise<TalkResult> {
  const { target, port, source, dialMs, answerMs, onChunk } = what;
  const { system } = call;
  return await withAgent(
    call,
    async (agent) => {
      const connection = await agent.dial(`${target}:${port}`, { timeoutMs: dialMs, signal: system.signal });
      const abort = (): void => connection.abort();
      system.signal.addEventListener('abort', abort);
      try {
        const written = writeAll(connection, source);
        const reading = readAnswer(connection, {
          clock: system,
          timeoutMs: answerMs,
          written,
          ...(onChunk === undefined ? {} : { onChunk }),
        });
        // A peer that reset the connection ends the writing too, although the source waits for a keyboard.
        const ended = connection.closed.then(() => written);
        const [sentBytes, answer] = await Promise.all([Promise.race([written, ended]), reading]);
        await connection.flush();
        return { sentBytes, answer };
      } catch (error) {
        connection.abort();
        throw error;
      } finally {
        system.signal.removeEventListener('abort', abort);
      }
    },
    START_MS,
  );
}

/** The error for an answer that did not come. */
export function noAnswer(target: string, port: number, result: TalkResult, answerMs: Millis): PilotError {
  return new PilotError(
    'TIMEOUT',
    `No answer from ${target}:${port} within ${answerMs} ms: ${result.sentBytes} bytes were sent and acknowledged`,
    { hint: 'the peer took them and said nothing; `send` does not want an answer' },
  );
}
