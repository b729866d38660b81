/** What a caller names: an address, a node id or a host name, with or without a port. */
import { PilotError } from '../errors.ts';
import { Address, parsePort } from '../wire/address.ts';

/** A node by number, or by a name that the rendezvous resolves. */
export type Target =
  | { readonly kind: 'node'; readonly network: number; readonly node: number }
  | { readonly kind: 'name'; readonly name: string };

/** CP 1.8.5. */
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const NODE = /^\d{1,10}$/;

/**
 * Reads `0:0000.0000.0002`, `2` or `bob`, in this order.
 *
 * @throws PilotError `ADDRESS_INVALID` or `ADDRESS_NETWORK_MISMATCH`. TypeError for what is no text, such as a number.
 */
export function parseTarget(target: string | Address): Target {
  if (target instanceof Address) return { kind: 'node', network: target.network, node: target.node };
  if (typeof target !== 'string') throw new TypeError(`Cannot read ${String(target)}: want a text, as in "bob" or "2"`);
  if (target.includes(':')) return parseTarget(Address.parse(target));
  if (NODE.test(target) && Number(target) <= 0xffff_ffff) return { kind: 'node', network: 0, node: Number(target) };
  if (NAME.test(target)) return { kind: 'name', name: target };
  throw new PilotError('ADDRESS_INVALID', `Cannot read ${JSON.stringify(target)}: no address, node id or host name`, {
    hint: 'host names have lower-case letters, digits and "-"',
  });
}

/**
 * Reads a target with a port behind the last colon: `bob:1000`, `2:1000`, `0:0000.0000.0002:1000`.
 *
 * @throws TypeError when it is no text, or there is no port: there is no default.
 */
export function parseTargetPort(text: string): { target: Target; port: number } {
  if (typeof text !== 'string') throw new TypeError(`Cannot read ${String(text)}: want a text, as in "bob:1000"`);
  const at = text.lastIndexOf(':');
  const port = at < 0 ? undefined : parsePort(text.slice(at + 1));
  if (port === undefined) throw new TypeError(`Cannot read ${JSON.stringify(text)}: want a port, as in "bob:1000"`);
  return { target: parseTarget(text.slice(0, at)), port };
}
