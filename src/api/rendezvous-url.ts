/**
 * Where the rendezvous is (design: decision 13): `pilot://host:port` in plaintext, `pilots://host:port` over TLS with the
 * system's trust, `pilots://host:port#sha256=…` pinned to one certificate.
 */
import type { LinkTarget } from '../carrier/host.ts';
import { PilotError } from '../errors.ts';

const PATTERN = /^(pilots?):\/\/(\[[0-9a-fA-F:.]+\]|[^:/?#\s[\]]+):(\d{1,5})\/?(?:#sha256=([0-9a-fA-F]{64}))?$/;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/**
 * Reads the URL of a rendezvous.
 *
 * @param isInsecureAllowed - Plaintext to other machines than this one.
 * @throws TypeError when it is no such URL. PilotError `INSECURE` for plaintext to another machine.
 */
export function parseRendezvousUrl(url: string, isInsecureAllowed: boolean): LinkTarget {
  const match = PATTERN.exec(url);
  const port = Number(match?.[3]);
  if (match === null || port === 0 || port > 0xffff) {
    throw new TypeError(
      `Cannot read rendezvous URL ${JSON.stringify(url)}: want pilot://host:port or pilots://host:port`,
    );
  }
  const [, scheme, bracketed = '', , pin] = match;
  const host = bracketed.replace(/^\[|\]$/g, '');
  if (scheme === 'pilots') {
    return { host, port, tls: { serverName: host, ...(pin === undefined ? {} : { pin: pin.toLowerCase() }) } };
  }
  if (pin !== undefined) throw new TypeError(`Cannot read rendezvous URL ${url}: a pin needs pilots://`);
  if (!isInsecureAllowed && !LOOPBACK.test(host)) {
    throw new PilotError('INSECURE', `Cannot use ${url}: plaintext to another machine`, {
      hint: 'use pilots://, or insecure: true on a network you trust',
    });
  }
  return { host, port };
}
