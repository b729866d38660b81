/** Agents of a process: what they share, and where their identities are. The same for every runtime with Node's modules. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../../src/api/agent.ts';
import { type OpenIdentity, openIdentity } from '../../src/api/identity.ts';
import type { AgentOptions } from '../../src/api/shapes.ts';
import type { Host } from '../../src/carrier/host.ts';
import { createShared } from '../../src/driver/shared.ts';
import type { Shared } from '../../src/driver.ts';
import { VERSION } from '../../src/version.ts';
import { type FoundAddon, findAddon } from './addon.ts';
import { createEngine } from './engine.ts';

/** Options of an agent in a process. */
export interface ProcessAgentOptions extends AgentOptions {
  /** Where identities with a plain name live; default `PILOTWIRE_HOME`, else `~/.pilotwire`. */
  readonly home?: string;
  /** Lets the process end although the agent runs. Default false. */
  readonly unref?: boolean;
}

/** Starts agents. */
export interface AgentStarter {
  /** Registers and begins to listen. @see AgentOptions for what can be set, `PilotError.code` for what can go wrong. */
  start(options: ProcessAgentOptions): Promise<Agent>;
}

/** Makes a host. */
export type CreateHost = (options: { readonly unref: boolean; readonly addon: FoundAddon }) => Host;

/**
 * Makes what a binding exports as `Agent`.
 *
 * @param createHost - Called once for agents that keep the process, once for others.
 * @param find - Finds the addon, where that needs more than looking.
 */
export function createStarter(createHost: CreateHost, find: () => FoundAddon = findAddon): AgentStarter {
  // One engine serves all agents of a process; it is made with the first.
  let kept: Shared | undefined;
  let unref: Shared | undefined;
  const sharedOfProcess = (): Shared => {
    if (kept === undefined) {
      const addon = find();
      const host = createHost({ unref: false, addon });
      kept = createShared(
        host,
        createEngine((into) => host.random(into), { addon }),
      );
    }
    return kept;
  };
  // The same engine and tables behind sockets that do not keep the process.
  const unrefShared = (): Shared => {
    unref ??= { ...sharedOfProcess(), host: createHost({ unref: true, addon: find() }) };
    return unref;
  };
  return {
    start: async (options) => {
      const shared = options.unref === true ? unrefShared() : sharedOfProcess();
      const openNamed = (identity: string | undefined): Promise<OpenIdentity> =>
        openIdentity(shared.host, homeOf(options), identity);
      return await Agent.start({ shared, openIdentity: openNamed, version: VERSION }, options);
    },
  };
}

function homeOf({ home, identity }: ProcessAgentOptions): string {
  // A runtime may ask its user before it shows the environment; a key in memory needs no home.
  if (home !== undefined || identity === undefined) return home ?? '';
  return process.env.PILOTWIRE_HOME ?? join(homedir(), '.pilotwire');
}
