/** Starting an agent for a command: the flags that all of them have, where they come from, and what can go wrong. */
import type { Agent } from '../api/agent.ts';
import type { AgentOptions, Transport } from '../api/shapes.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import type { Flag } from './arguments.ts';
import type { Call } from './command.ts';
import { CommandError } from './failure.ts';

const TRANSPORTS: readonly Transport[] = ['auto', 'udp', 'websocket'];

/** The identity of those who do not name one. */
export const DEFAULT_IDENTITY = 'default';

/** How long an agent tries to register. */
export const START_MS: Millis = 15_000;

/** Flags of every command that starts an agent, or finds one that runs; for those with a `--timeout` of their own. */
export const IDENTITY_FLAGS: readonly Flag[] = [
  { name: 'rendezvous', value: 'URL', about: 'pilot://host:port, pilots://host:port#sha256=…, or wss://host' },
  { name: 'identity', value: 'NAME', about: `whose key: a name, or a path; default "${DEFAULT_IDENTITY}"` },
  { name: 'hostname', value: 'NAME', about: 'name by which others find the agent' },
  { name: 'tags', value: 'A,B', about: 'tags by which others find the agent, at most 10' },
  { name: 'public', about: 'everybody may speak to the agent; without it only those who are trusted' },
  { name: 'transport', value: 'NAME', about: 'auto, udp or websocket; default auto: UDP, or a WebSocket without it' },
  { name: 'insecure', about: 'plaintext to a rendezvous on another machine' },
];

/** The same with the common `--timeout`. */
export const AGENT_FLAGS: readonly Flag[] = [
  ...IDENTITY_FLAGS,
  { name: 'timeout', value: 'DURATION', about: 'how long to wait for the rendezvous; default 15s' },
];

/** Starts an agent as the flags say. The caller closes it. @param extra - Comes before the flags. */
export async function startAgent(call: Call, extra: Partial<AgentOptions> = {}): Promise<Agent> {
  const { arguments: words } = call;
  const identity = identityOf(call);
  const hostname = words.text('hostname');
  const tags = words.list('tags');
  const transport = transportOf(call);
  try {
    return await start(call, {
      identity,
      ...(hostname === undefined ? {} : { hostname }),
      ...(tags === undefined ? {} : { tags }),
      ...(transport === undefined ? {} : { transport }),
      visibility: words.isSet('public') ? 'public' : 'private',
      ...extra,
    });
  } catch (cause) {
    if (cause instanceof PilotError && cause.code === 'IDENTITY_IN_USE') throw inUse(identity, cause);
    throw cause;
  }
}

/** Starts an agent with a fresh key in memory, which only asks. The caller closes it. */
export async function startNameless(call: Call): Promise<Agent> {
  return await start(call, { echo: false });
}

/**
 * Runs something with an agent, and closes that; early, when the process shall end.
 *
 * @param timeoutMs - For the start; default is the common `--timeout`.
 */
export async function withAgent<T>(
  call: Call,
  run: (agent: Agent) => Promise<T>,
  timeoutMs: Millis = startMsOf(call),
): Promise<T> {
  const agent = await startAgent(call, { timeoutMs });
  const stop = (): void => void agent.close();
  call.system.signal.addEventListener('abort', stop);
  try {
    return await run(agent);
  } finally {
    call.system.signal.removeEventListener('abort', stop);
    await agent.close();
  }
}

function transportOf({ arguments: words }: Call): Transport | undefined {
  const text = words.text('transport');
  if (text === undefined) return undefined;
  const transport = TRANSPORTS.find((one) => one === text);
  if (transport !== undefined) return transport;
  throw new CommandError('invalid_argument', `Cannot use --transport ${text}: want ${TRANSPORTS.join(', ')}`);
}

/** The identity that the flags name. */
export function identityOf({ arguments: words }: Call): string {
  return words.text('identity') ?? DEFAULT_IDENTITY;
}

/** The rendezvous, when the flags or the environment name one. */
export function knownRendezvous({ arguments: words, system }: Call): string | undefined {
  const { PILOTWIRE_RENDEZVOUS: url, PILOT_REGISTRY: hostPort } = system.environment;
  return words.text('rendezvous') || url || (hostPort ? `pilot://${hostPort}` : undefined);
}

/** Nothing goes to a server that the user did not name, so there is no default. */
function rendezvousOf(call: Call): string {
  const url = knownRendezvous(call);
  if (url !== undefined) return url;
  throw new CommandError('invalid_argument', 'Which rendezvous? Neither --rendezvous nor PILOTWIRE_RENDEZVOUS is set', {
    hint: '`pilotwire rendezvous` starts one and prints its URL',
  });
}

async function start(call: Call, options: Omit<AgentOptions, 'rendezvous'>): Promise<Agent> {
  const { arguments: words, system } = call;
  try {
    return await system.startAgent({
      rendezvous: rendezvousOf(call),
      insecure: words.isSet('insecure'),
      timeoutMs: startMsOf(call),
      signal: system.signal,
      ...options,
    });
  } catch (cause) {
    // The API's word for misuse; here all of it came from the user.
    if (cause instanceof TypeError) throw new CommandError('invalid_argument', cause.message, { cause });
    throw cause;
  }
}

function startMsOf({ arguments: words }: Call): Millis {
  return words.duration('timeout', START_MS);
}

function inUse(identity: string, cause: PilotError): PilotError {
  return new PilotError(
    'IDENTITY_IN_USE',
    `Cannot start an agent as "${identity}": an agent with this identity runs already, perhaps \`pilotwire up\``,
    {
      cause,
      hint: 'this needs an agent of its own: stop the one that runs, or take another with --identity NAME (a new name makes a new identity)',
    },
  );
}
