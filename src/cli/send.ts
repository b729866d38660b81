/** `send`: bytes to another agent, delivered; an answer is welcome and not waited for long. */
import type { Millis } from '../config.ts';
import { IDENTITY_FLAGS } from './agents.ts';
import { parseAgentPort } from './arguments.ts';
import { count } from './columns.ts';
import type { Call, Command } from './command.ts';
import { onePiece } from './exchange.ts';
import { CommandError } from './failure.ts';
import { talk } from './talk.ts';

const TIMEOUT_MS: Millis = 30_000;
/** The peer has everything by then, and has not said that it would answer. */
const ANSWER_MS: Millis = 2_000;

/** Sends. */
export const send: Command = {
  name: 'send',
  usage: '<target> <port>',
  summary: 'deliver a text to a port of an agent',
  returns: 'target, port, sent (bytes), response (text)',
  flags: [
    ...IDENTITY_FLAGS,
    { name: 'data', value: 'TEXT', about: 'what to send' },
    { name: 'timeout', value: 'DURATION', about: 'for the connection; default 30s' },
  ],
  async run(call: Call): Promise<void> {
    const { arguments: words, output } = call;
    words.atMost(2);
    const target = words.required(0, 'target');
    const port = parseAgentPort(words.required(1, 'port'));
    const data = words.text('data');
    if (data === undefined) throw new CommandError('invalid_argument', 'Nothing to send: --data TEXT is missing');
    const timeoutMs = words.duration('timeout', TIMEOUT_MS);
    const { sentBytes, answer } = await talk(call, {
      target,
      port,
      source: onePiece(new TextEncoder().encode(data)),
      dialMs: timeoutMs,
      answerMs: Math.min(timeoutMs, ANSWER_MS),
    });
    const response = new TextDecoder().decode(answer.bytes);
    const text = `Delivered ${count(sentBytes, 'byte')} to ${target}:${port}${response === '' ? '' : `\n${response}`}`;
    await output.succeed({ target, port, sent: sentBytes, response }, text);
  },
};
