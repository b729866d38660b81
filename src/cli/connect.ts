/** `connect`: a question to another agent, and its answer. */
import type { Millis } from '../config.ts';
import { IDENTITY_FLAGS } from './agents.ts';
import { parseAgentPort } from './arguments.ts';
import type { Call, Command } from './command.ts';
import { onePiece } from './exchange.ts';
import { noAnswer, talk } from './talk.ts';

/** Stdio (CP 4.2). */
const PORT = 1_000;
const TIMEOUT_MS: Millis = 30_000;

/** Connects. */
export const connect: Command = {
  name: 'connect',
  usage: `<target> [port=${PORT}]`,
  summary: 'send a text or standard input to an agent, and print its answer',
  details: 'The answer is over when the agent ends it, or when nothing follows for 300 ms.',
  returns: 'target, port, sent (bytes), response (text)',
  flags: [
    ...IDENTITY_FLAGS,
    { name: 'message', value: 'TEXT', about: 'what to send; without it standard input to its end' },
    { name: 'timeout', value: 'DURATION', about: 'for the connection, and again for the answer; default 30s' },
  ],
  async run(call: Call): Promise<void> {
    const { arguments: words, output, system } = call;
    words.atMost(2);
    const target = words.required(0, 'target');
    const port = parseAgentPort(words.optional(1) ?? `${PORT}`);
    const message = words.text('message');
    const timeoutMs = words.duration('timeout', TIMEOUT_MS);
    const result = await talk(call, {
      target,
      port,
      source: message === undefined ? system.input() : onePiece(new TextEncoder().encode(message)),
      dialMs: timeoutMs,
      answerMs: timeoutMs,
      onChunk: (chunk) => output.show(chunk),
    });
    if (result.answer.isTimedOut) throw noAnswer(target, port, result, timeoutMs);
    const response = new TextDecoder().decode(result.answer.bytes);
    await output.succeed({ target, port, sent: result.sentBytes, response }, '');
    // A prompt shall not stand in the answer's last line.
    if (system.isTerminal && response !== '' && !response.endsWith('\n')) await output.print('');
  },
};
