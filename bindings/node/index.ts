/** `pilotwire` in Node: agents on UDP sockets of this process. */
import type { Agent as PortableAgent } from '../../src/api/agent.ts';
import { type AgentStarter, createStarter } from './agents.ts';
import { createNodeHost } from './host.ts';

export * from '../../src/index.ts';
export type { AgentStarter, ProcessAgentOptions } from './agents.ts';

/** A running agent. */
export type Agent = PortableAgent;

/** Starts agents. */
export const Agent: AgentStarter = createStarter(createNodeHost);
