/** Rendezvous of a process: their certificates on disk. The same for every runtime with Node's modules. */
import {
  type RendezvousOptions as PortableOptions,
  type RendezvousServer,
  serveRendezvous,
} from '../../src/server/serve.ts';
import { type FoundAddon, findAddon } from './addon.ts';
import type { CreateHost } from './agents.ts';
import { loadOrCreateCertificate, readCertificate } from './tls.ts';

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
export type ServeRendezvous = (options?: RendezvousOptions) => Promise<RendezvousServer>;

/** Makes what a binding exports as `serveRendezvous`. @param find - As in `createStarter`. */
export function createServe(createHost: CreateHost, find: () => FoundAddon = findAddon): ServeRendezvous {
  return async (options = {}) => {
    const { tls, directory, unref, ...rest } = options;
    const host = createHost({ unref: unref ?? false, addon: find() });
    if (tls === undefined) return await serveRendezvous(host, rest);
    if (tls !== true) {
      const own = 'certificate' in tls ? tls : await readCertificate(host.files, tls);
      return await serveRendezvous(host, { ...rest, tls: own });
    }
    if (directory === undefined) throw new TypeError('Cannot serve TLS: a certificate of its own needs `directory`');
    const hosts = [rest.advertiseHost, rest.listenHost].filter((name) => name !== undefined);
    const certificate = await loadOrCreateCertificate(host.files, directory, hosts);
    return await serveRendezvous(host, { ...rest, tls: certificate });
  };
}
