/**
 * Where the rendezvous is (design: decision 13): `pilot://host:port` in plaintext, `pilots://host:port` over TLS with the
 * system's trust, `pilots://host:port#sha256=…` pinned to one certificate. Its WebSockets are on the same port;
 * `ws://host[:port][/path]` and `wss://…` name them alone, for where nothing but HTTP passes.
 */
import type { LinkTarget } from '../carrier/host.ts';
import type { Transport } from '../core/carrier.ts';
import type { WebRoad } from '../driver/bridge-socket.ts';
import { PilotError } from '../errors.ts';

/** The roads to a rendezvous, and which of them are to be used. */
export interface Rendezvous {
  readonly host: string;
  readonly port: number;
  /** The registry's TCP port; undefined: WebSockets only. */
  readonly tcp: LinkTarget | undefined;
  readonly web: WebRoad;
  readonly transport: Transport;
}

const HOST = '(\\[[0-9a-fA-F:.]+\\]|[^:/?#\\s[\\]@]+)';
const PIN = '(?:#sha256=([0-9a-fA-F]{64}))?';
const LINK: RegExp = new RegExp(`^(pilots?)://${HOST}:(\\d{1,5})/?${PIN}$`);
const WEB: RegExp = new RegExp(`^(wss?)://${HOST}(?::(\\d{1,5}))?(/[^?#\\s]*)?${PIN}$`);
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;
const TRANSPORTS: readonly string[] = ['auto', 'udp', 'websocket'] satisfies Transport[];

/**
 * Reads the URL of a rendezvous.
 *
 * @param how - `isInsecureAllowed`: plaintext to other machines than this one.
 * @throws TypeError when it is no such URL, or one that has no UDP where that is asked for. PilotError `INSECURE` for
 *   plaintext to another machine.
 */
export function parseRendezvousUrl(
  url: string,
  how: { readonly isInsecureAllowed: boolean; readonly transport: Transport },
): Rendezvous {
  if (!TRANSPORTS.includes(how.transport)) {
    throw new TypeError(`Cannot use transport ${JSON.stringify(how.transport)}: want ${TRANSPORTS.join(', ')}`);
  }
  const link = LINK.exec(url);
  const [, scheme = '', bracketed = '', digits, path = '', webPin] = link ?? WEB.exec(url) ?? [];
  const isSecure = scheme === 'pilots' || scheme === 'wss';
  const port = digits === undefined && scheme !== '' ? (isSecure ? 443 : 80) : Number(digits);
  if (!(port > 0 && port <= 0xffff)) {
    const wanted = 'pilot://host:port, pilots://host:port, or wss://host; a pin is #sha256= and 64 hex digits';
    throw new TypeError(`Cannot read rendezvous URL ${JSON.stringify(url)}: want ${wanted}`);
  }
  const host = bracketed.replace(/^\[|\]$/g, '');
  const pin = (link === null ? webPin : link[4])?.toLowerCase();
  if (!isSecure && pin !== undefined) throw new TypeError(`Cannot read rendezvous URL ${url}: a pin needs TLS`);
  if (!isSecure && !how.isInsecureAllowed && !LOOPBACK.test(host)) {
    throw new PilotError('INSECURE', `Cannot use ${url}: plaintext to another machine`, {
      hint: 'use pilots:// or wss://, or insecure: true on a network you trust',
    });
  }
  const pinned = pin === undefined ? {} : { pin };
  const prefix = link === null ? path.replace(/\/+$/, '') : '';
  const web = { base: `${isSecure ? 'wss' : 'ws'}://${bracketed}:${port}${prefix}`, ...pinned };
  if (link === null) {
    if (how.transport === 'udp') throw new TypeError(`Cannot use UDP with ${url}: it names WebSockets only`);
    return { host, port, tcp: undefined, web, transport: 'websocket' };
  }
  const tcp = isSecure ? { host, port, tls: { serverName: host, ...pinned } } : { host, port };
  return { host, port, tcp, web, transport: how.transport };
}
