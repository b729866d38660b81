/** `pilotwire` in pages and workers: agents on WebSockets. */
import { Agent as PortableAgent } from '../../src/api/agent.ts';
import type { AgentOptions } from '../../src/api/shapes.ts';
import type { Host } from '../../src/carrier/host.ts';
import { createShared, type Shared } from '../../src/driver.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { loadWasmEngine } from '../../src/engine/wasm.ts';
import { PilotError } from '../../src/errors.ts';
import { VERSION } from '../../src/version.ts';
import { chooseKeys } from './curves.ts';
import { BrowserDatabase } from './database.ts';
import { createBrowserHost, isPage } from './host.ts';
import { BrowserIdentities } from './identity.ts';

export * from '../../src/index.ts';

/** Sessions of all agents of this page together (design: decision 2). */
const SESSIONS = 1_024;

/** A running agent. */
export type Agent = PortableAgent;

/** Options that only browsers have. */
export interface BrowserAgentOptions extends AgentOptions {
  /**
   * Whether an agent without a named identity is the first free of `agent-1`, `agent-2`, …, kept over a reload. Default
   * true in a page, false in a worker; without it, and where the browser keeps nothing, the key is in memory.
   */
  readonly isKept?: boolean;
}

/** Starts agents. */
export const Agent: {
  /** Registers and begins to listen. @see AgentOptions for what can be set, `PilotError.code` for what can go wrong. */
  start(options: BrowserAgentOptions): Promise<PortableAgent>;
} = {
  start: async (options) => {
    sharing ??= share().catch((error) => {
      sharing = undefined;
      throw error;
    });
    const { shared, identities } = await sharing;
    const isKept = options.isKept ?? isPage();
    return await PortableAgent.start(
      {
        shared,
        version: VERSION,
        openIdentity: async (name) => {
          if (name !== undefined) return await identities.open(name);
          return isKept ? await identities.openFree() : await identities.create();
        },
      },
      // UDP, where it is asked for by name, fails as what it is: not to be had.
      { ...options, transport: options.transport === 'udp' ? 'udp' : 'websocket' },
    );
  },
};

/** One engine serves all agents of a page; it is made with the first. */
let sharing: Promise<{ shared: Shared; identities: BrowserIdentities }> | undefined;

async function share(): Promise<{ shared: Shared; identities: BrowserIdentities }> {
  const database = new BrowserDatabase();
  const keys = await chooseKeys();
  const host = createBrowserHost({ files: database, jobs: keys.jobs });
  return { shared: createShared(host, await loadEngine(host)), identities: new BrowserIdentities(keys, database) };
}

async function loadEngine(host: Host): Promise<Engine> {
  try {
    return await loadWasmEngine({ sessions: SESSIONS }, (into) => host.random(into));
  } catch (cause) {
    throw new PilotError('NOT_SUPPORTED', 'Cannot start the engine: this page may not run WebAssembly with SIMD', {
      cause,
      hint: "its content security policy needs script-src 'wasm-unsafe-eval'",
    });
  }
}
