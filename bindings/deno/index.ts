/** `pilotwire` in Deno: agents on UDP sockets of this process. */
import type { Agent as PortableAgent } from '../../src/api/agent.ts';
import { type AgentStarter, createStarter } from '../node/agents.ts';
import { createDenoHost } from './host.ts';
import { explained, findAllowedAddon } from './permissions.ts';

export * from '../../src/index.ts';
export type { AgentStarter, ProcessAgentOptions } from '../node/agents.ts';

const STARTER: AgentStarter = createStarter(createDenoHost, findAllowedAddon);

/** A running agent. */
export type Agent = PortableAgent;

/** Starts agents. */
export const Agent: AgentStarter = {
  // Home and environment are asked for before the host is.
  start: (options) => explained('--allow-env --allow-sys', STARTER.start(options)),
};
