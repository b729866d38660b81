/** `pilotwire/server` in Deno: a rendezvous, registry and beacon, on sockets of this process. */
import { createServe, type ServeRendezvous } from '../node/rendezvous.ts';
import { createDenoHost } from './host.ts';

export type { RendezvousServer, RendezvousStats } from '../../src/server/serve.ts';
export { MemoryStore } from '../../src/server/store/memory.ts';
export type { Store } from '../../src/server/store/store.ts';
export type { RendezvousOptions, ServeRendezvous } from '../node/rendezvous.ts';

/**
 * Starts a rendezvous; by default on loopback, on a free port, in memory.
 *
 * @throws PilotError `PORT_IN_USE`, `IDENTITY_INVALID` (the certificate). TypeError for `tls: true` without `directory`.
 */
export const serveRendezvous: ServeRendezvous = createServe(createDenoHost);
