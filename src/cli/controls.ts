/**
 * An agent to command: the `up` of this identity through its control socket, or, when none runs, one of our own for as
 * long as the command takes.
 */
import { identityPath } from '../api/identity.ts';
import { parseTarget } from '../api/target.ts';
import { PilotError } from '../errors.ts';
import { AgentControl } from '../ipc/agent-control.ts';
import { ControlClient } from '../ipc/client.ts';
import type { Control } from '../ipc/control.ts';
import { identityOf, knownRendezvous, startNameless, withAgent } from './agents.ts';
import type { Call } from './command.ts';
import { CommandError } from './failure.ts';

/** Port 444, where trust is asked for, is always open; the echo on port 7 unless it was turned off. */
export const SERVICE_PORTS = { trust: 1, echo: 1 } as const;

/** What a command has to do with. */
export interface Commanded {
  readonly control: Control;
  /** A running `up`, not an agent of this process. */
  readonly isRunning: boolean;
  /** The node id of an address, a number or a host name. @throws PilotError `NOT_FOUND`, `ADDRESS_INVALID` */
  nodeIdOf(target: string): Promise<number>;
}

/** Where the control socket of an identity is. @throws CommandError for a name that is no file name. */
export function controlPath(call: Call): string {
  try {
    return identityPath(call.system.home, identityOf(call)).replace(/[^/\\]*$/, 'pilot.sock');
  } catch (cause) {
    if (cause instanceof TypeError) throw new CommandError('invalid_argument', cause.message, { cause });
    throw cause;
  }
}

/** Runs something with the agent of this identity, wherever that runs. */
export async function withControl(call: Call, run: (commanded: Commanded) => Promise<void>): Promise<void> {
  const client = new ControlClient(call.system);
  const link = await call.system.connectControl(controlPath(call), client);
  if (link === undefined) {
    await withOwn(call, run);
    return;
  }
  client.attach(link);
  const stop = (): void => client.close();
  call.system.signal.addEventListener('abort', stop);
  try {
    await run({ control: client, isRunning: true, nodeIdOf: (target) => nodeIdBeside(call, target) });
  } finally {
    call.system.signal.removeEventListener('abort', stop);
    client.close();
  }
}

async function withOwn(call: Call, run: (commanded: Commanded) => Promise<void>): Promise<void> {
  if (knownRendezvous(call) === undefined) {
    const message = `No agent runs as "${identityOf(call)}", and without a rendezvous none can be started`;
    throw new CommandError('not_running', message, {
      hint: 'start one with `pilotwire up --rendezvous URL`, or give --rendezvous here',
    });
  }
  await withAgent(call, async (agent) => {
    const { now, version } = call.system;
    const ports = SERVICE_PORTS.trust + SERVICE_PORTS.echo;
    const nodeIdOf = async (text: string): Promise<number> => {
      const target = parseTarget(text);
      return target.kind === 'node' ? target.node : (await agent.find(text)).nodeId;
    };
    await run({ control: new AgentControl({ agent, now, version, ports }), isRunning: false, nodeIdOf });
  });
}

/** The socket has no question for names, so an agent in memory asks; it sees what everybody sees. */
async function nodeIdBeside(call: Call, text: string): Promise<number> {
  const target = parseTarget(text);
  if (target.kind === 'node') return target.node;
  const hint = 'give its node id or address; private names show themselves only to those who are trusted';
  if (knownRendezvous(call) === undefined) {
    throw new CommandError('invalid_argument', `Cannot look up "${text}": no rendezvous is known here`, { hint });
  }
  const agent = await startNameless(call);
  try {
    return (await agent.find(text)).nodeId;
  } catch (cause) {
    if (!(cause instanceof PilotError) || cause.code !== 'NOT_FOUND') throw cause;
    throw new PilotError('NOT_FOUND', `Cannot find "${text}": nobody has that name, or it is private`, { cause, hint });
  } finally {
    await agent.close();
  }
}
