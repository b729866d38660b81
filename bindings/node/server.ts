/** `pilotwire/server` in Node: a rendezvous, registry and beacon, on sockets of this process. */
import { join } from 'node:path';
import {
  type RendezvousOptions as PortableOptions,
  type RendezvousServer,
  serveRendezvous as serve,
} from '../../src/server/serve.ts';
import { createNodeHost } from './host.ts';
import { loadOrCreateCertificate, readCertificate } from './tls.ts';

export type { RendezvousServer, RendezvousStats } from '../../src/server/serve.ts';
export { MemoryStore } from '../../src/server/store/memory.ts';
export type { Store } from '../../src/server/store/store.ts';

/** What to serve, and where. */
export interface RendezvousOptions extends Omit<PortableOptions, 'tls'> {
  /**
   * TLS beside plaintext on the same port. `true`: a certificate of its own, made once and kept in `directory`; its pin
   * is part of `url`. Or PEM of yours, or the files that it is in; clients then trust it as their system does.
   */
  readonly tls?:
    | true
    | { readonly certificate: string; readonly key: string }
    | { readonly certificateFile: string; readonly keyFile: string };
  /** Where the server's own certificate is kept. Needed with `tls: true`. */
  readonly directory?: string;
  /** Lets the process end although the server runs. Default false. */
  readonly unref?: boolean;
}

/**
 * Starts a rendezvous; by default on loopback, on a free port, in memory.
 *
 * @throws PilotError `PORT_IN_USE`, `IDENTITY_INVALID` (the certificate). TypeError for `tls: true` without `directory`.
 */
export async function serveRendezvous(options: RendezvousOptions = {}): Promise<RendezvousServer> {
  const { tls, directory, unref, ...rest } = options;
  const host = createNodeHost({ unref: unref ?? false });
  if (tls === undefined) return await serve(host, rest);
  if (tls !== true) {
    return await serve(host, { ...rest, tls: 'certificate' in tls ? tls : await readCertificate(host.files, tls) });
  }
  if (directory === undefined) throw new TypeError('Cannot serve TLS: a certificate of its own needs `directory`');
  const hosts = [rest.advertiseHost, rest.listenHost].filter((name) => name !== undefined);
  return await serve(host, { ...rest, tls: await loadOrCreateCertificate(host.files, join(directory), hosts) });
}
