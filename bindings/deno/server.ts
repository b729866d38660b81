/** `pilotwire/server` in Deno: a rendezvous, registry and beacon, on sockets of this process. */
import { createServe, type ServeRendezvous } from '../node/rendezvous.ts';
import { createDenoHost } from './host.ts';
import { explained, findAllowedAddon } from './permissions.ts';

export type { RendezvousServer, RendezvousStats } from '../../src/server/serve.ts';
export { MemoryStore } from '../../src/server/store/memory.ts';
export type { Store } from '../../src/server/store/store.ts';
export type { RendezvousOptions, ServeRendezvous } from '../node/rendezvous.ts';

// The library for WebSockets reads the environment while it loads, so more than the host can be refused.
const SERVE: ServeRendezvous = createServe(createDenoHost, findAllowedAddon);

/**
 * Starts a rendezvous; by default on loopback, on a free port, in memory.
 *
 * @throws PilotError `PORT_IN_USE`, `IDENTITY_INVALID` (the certificate). TypeError for `tls: true` without `directory`.
 */
export const serveRendezvous: ServeRendezvous = (options) => explained('--allow-env', SERVE(options));
