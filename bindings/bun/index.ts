/** `pilotwire` in Bun: agents on UDP sockets of this process. */
import type { Agent as PortableAgent } from '../../src/api/agent.ts';
import { type AgentStarter, createStarter } from '../node/agents.ts';
import { createBunHost } from './host.ts';

export * from '../../src/index.ts';
export type { AgentStarter, ProcessAgentOptions } from '../node/agents.ts';

/** A running agent. */
export type Agent = PortableAgent;

/** Starts agents. */
export const Agent: AgentStarter = createStarter(createBunHost);
