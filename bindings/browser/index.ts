/** `pilotwire` in pages and workers: agents on WebSockets. */
import { Agent as PortableAgent } from '../../src/api/agent.ts';
import type { AgentOptions } from '../../src/api/shapes.ts';
import { MeetingRoom } from '../../src/driver/meeting.ts';
import { Owners, type Shared } from '../../src/driver.ts';
import { PilotError } from '../../src/errors.ts';
import { VERSION } from '../../src/version.ts';
import { chooseKeys } from './curves.ts';
import { BrowserDatabase } from './database.ts';
import { createBrowserHost, isPage } from './host.ts';
import { BrowserIdentities } from './identity.ts';

export * from '../../src/index.ts';

/** A module with one SIMD instruction: whether the engine will run is told before it is loaded. */
const SMALLEST = [
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0],
  ...[10, 9, 1, 7, 0, 0x41, 0, 0xfd, 0x0f, 0x1a, 0x0b],
];

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

/** One engine serves all agents of a page; it is loaded with the first peer that one of them speaks with. */
let sharing: Promise<{ shared: Shared; identities: BrowserIdentities }> | undefined;

async function share(): Promise<{ shared: Shared; identities: BrowserIdentities }> {
  await checkEngine();
  const database = new BrowserDatabase();
  const keys = await chooseKeys();
  const host = createBrowserHost({ files: database, jobs: keys.jobs });
  const room = new MeetingRoom(async () => (await import('./peers.ts')).loadMeetings(host));
  const shared: Shared = { host, engineName: 'wasm', room, owners: new Owners(), drivers: new Set() };
  return { shared, identities: new BrowserIdentities(keys, database) };
}

/** @throws PilotError `NOT_SUPPORTED` */
async function checkEngine(): Promise<void> {
  try {
    await WebAssembly.compile(new Uint8Array(SMALLEST));
  } catch (cause) {
    throw new PilotError('NOT_SUPPORTED', 'Cannot start the engine: this page may not run WebAssembly with SIMD', {
      cause,
      hint: "its content security policy needs script-src 'wasm-unsafe-eval'",
    });
  }
}
