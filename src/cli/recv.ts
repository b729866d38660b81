/** `recv`: messages that other agents send to a port, one connection each. */
import type { Agent } from '../api/agent.ts';
import type { Connection } from '../api/connection.ts';
import type { Listener } from '../api/shapes.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { IDENTITY_FLAGS, START_MS, withAgent } from './agents.ts';
import { parseAgentPort } from './arguments.ts';
import { count } from './columns.ts';
import type { Call, Command } from './command.ts';
import { readAnswer } from './exchange.ts';

/** One entry of the answer (CP 7.2). */
type Message =
  | { readonly seq: number; readonly port: number; readonly data: string; readonly bytes: number }
  | { readonly seq: number; readonly port: number; readonly error: string };

const MESSAGES = { fallback: 1, least: 1, most: 1_000_000 } as const;
const TIMEOUT_MS: Millis = 30_000;
/** A peer that connects and says nothing holds up no others, and itself not for ever. */
const FIRST_BYTE_MS: Millis = 10_000;

/** Receives. */
export const recv: Command = {
  name: 'recv',
  usage: '<port>',
  summary: 'wait for messages on a port',
  details: 'A message is what one connection brings until it ends, or until nothing follows for 300 ms.',
  returns: 'messages[{seq, port, data, bytes} or {seq, port, error}], timeout',
  flags: [
    ...IDENTITY_FLAGS,
    { name: 'count', value: 'N', about: 'how many to wait for; default 1' },
    { name: 'timeout', value: 'DURATION', about: 'for all of them; default 30s' },
  ],
  async run(call: Call): Promise<void> {
    const { arguments: words, output } = call;
    words.atMost(1);
    const port = parseAgentPort(words.required(0, 'port'));
    const wanted = words.integer('count', MESSAGES);
    const timeoutMs = words.duration('timeout', TIMEOUT_MS);
    const messages = await withAgent(
      call,
      async (agent) => {
        const collected = collect(call, agent.listen(port), { port, wanted, timeoutMs });
        await output.note(`Listening at ${nameOf(agent)}:${port}`);
        return await collected;
      },
      START_MS,
    );
    const isShort = messages.length < wanted;
    const why = call.system.signal.aborted ? 'Stopped' : 'Time is up';
    const summary = isShort ? `${why}: ${count(messages.length, 'message')} of ${wanted}` : '';
    await output.succeed({ messages, timeout: isShort }, summary);
  },
};

/** Takes connections until there are enough messages, or time is up. Connections are read side by side. */
async function collect(
  call: Call,
  listener: Listener<Connection>,
  { port, wanted, timeoutMs }: { port: number; wanted: number; timeoutMs: Millis },
): Promise<Message[]> {
  const messages: Message[] = [];
  const reading = new Set<Promise<void>>();
  const stop = (): void => listener.close();
  const timer = call.system.setTimer(timeoutMs, stop);
  call.system.signal.addEventListener('abort', stop);
  const read = async (connection: Connection): Promise<void> => {
    const message = await receive(call, connection, messages, port);
    if (messages.length >= wanted) return;
    messages.push(message);
    if ('error' in message) await call.output.note(`${connection.peer}: ${message.error}`);
    if (messages.length >= wanted) stop();
  };
  for await (const connection of listener) {
    const running = read(connection).finally(() => reading.delete(running));
    reading.add(running);
  }
  timer.cancel();
  call.system.signal.removeEventListener('abort', stop);
  // Those that are being read when time is up may end; their peers wait for it.
  if (messages.length < wanted) await Promise.allSettled(reading);
  return messages;
}

async function receive(
  call: Call,
  connection: Connection,
  { length: seq }: readonly Message[],
  port: number,
): Promise<Message> {
  try {
    const options = { clock: call.system, timeoutMs: FIRST_BYTE_MS, written: Promise.resolve() };
    const { bytes, isTimedOut } = await readAnswer(connection, options);
    if (isTimedOut) throw new PilotError('TIMEOUT', `Nothing came within ${FIRST_BYTE_MS} ms`);
    await call.output.show(bytes);
    const data = new TextDecoder().decode(bytes);
    if (call.system.isTerminal && !data.endsWith('\n')) await call.output.print('');
    await connection.flush();
    return { seq, port, data, bytes: bytes.length };
  } catch (error) {
    connection.abort();
    return { seq, port, error: error instanceof Error ? error.message : String(error) };
  }
}

function nameOf(agent: Agent): string {
  return agent.hostname ?? agent.address.toString();
}
