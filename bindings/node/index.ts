/** `pilotwire` in Node: agents on UDP sockets of this process. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Agent as PortableAgent } from '../../src/api/agent.ts';
import type { AgentOptions, AgentRuntime } from '../../src/api/shapes.ts';
import { createShared, type Shared } from '../../src/driver.ts';
import { VERSION } from '../../src/version.ts';
import { createEngine } from './engine.ts';
import { createNodeHost } from './host.ts';

export { Connection } from '../../src/api/connection.ts';
export type {
  AgentOptions,
  AgentStats,
  CallOptions,
  ConnectionStats,
  Diagnostic,
  Explanation,
  FoundAgent,
  Listener,
  PeerInfo,
  Pong,
  ReceivedDatagram,
} from '../../src/api/shapes.ts';
export type { AgentTrust, TrustedPeer, TrustRequest, TrustRequestStatus } from '../../src/api/trust.ts';
export { ERROR_CODES, type ErrorCode, PilotError } from '../../src/errors.ts';
export { Address } from '../../src/wire/address.ts';

/** A running agent. */
export type Agent = PortableAgent;

/** Starts agents. */
export const Agent: {
  /** Registers and begins to listen. @see AgentOptions for what can be set, `PilotError.code` for what can go wrong. */
  start(options: NodeAgentOptions): Promise<PortableAgent>;
} = {
  start: async (options) => {
    const home = options.home ?? process.env.PILOTWIRE_HOME ?? join(homedir(), '.pilotwire');
    const shared = options.unref === true ? unrefShared() : sharedOfProcess();
    const runtime: AgentRuntime = { shared, home, version: VERSION };
    return await PortableAgent.start(runtime, options);
  },
};

/** Options that only Node has. */
export interface NodeAgentOptions extends AgentOptions {
  /** Where identities with a plain name live; default `PILOTWIRE_HOME`, else `~/.pilotwire`. */
  readonly home?: string;
  /** Lets the process end although the agent runs. Default false. */
  readonly unref?: boolean;
}

let shared: Shared | undefined;
let unref: Shared | undefined;

/** One engine serves all agents of a process; it is made with the first. */
function sharedOfProcess(): Shared {
  if (shared === undefined) {
    const host = createNodeHost();
    const engine = createEngine((into) => host.random(into));
    shared = createShared(host, engine);
  }
  return shared;
}

/** The same engine and tables behind sockets that do not keep the process. */
function unrefShared(): Shared {
  unref ??= { ...sharedOfProcess(), host: createNodeHost({ unref: true }) };
  return unref;
}
