/**
 * How often a source may do something: two tables of token buckets, one for strangers and one for sources on this
 * machine, which may do a hundred times as much (design: decision 8), for agents there share one address. Strangers
 * who fill their table push no trusted source out of its own.
 */
import { Buckets } from '../budget.ts';
import { type Millis, STRANGER, TRUSTED } from '../config.ts';
import { ipBytes, ipText } from '../wire/host-port.ts';

const NETWORK_BYTES = 8;
/** What a trusted source may do, as a multiple of what others may. */
export const TRUSTED_FACTOR = 100;

/** Whether an address is this machine's own. @param host - Canonical text. */
export function isLocalHost(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/**
 * Whom an address counts as: of IPv6, the network of 64 bits that one subscriber has at least (RFC 6177 §2).
 *
 * @param host - Canonical text.
 */
export function sourceOf(host: string): string {
  if (!host.includes(':') || isLocalHost(host)) return host;
  const bytes = ipBytes(host);
  return bytes === undefined ? host : `${ipText(bytes.fill(0, NETWORK_BYTES))}/64`;
}

/** A bucket per source and kind of source, at most `capacity` of each kind. */
export class Budget {
  readonly #buckets: readonly [stranger: Buckets, trusted: Buckets];

  /** @param limits - Those of a stranger: refill rate, most tokens held, sources remembered. */
  constructor({ perSecond, burst, capacity }: { perSecond: number; burst: number; capacity: number }) {
    this.#buckets = [
      new Buckets(perSecond, burst, capacity),
      new Buckets(perSecond * TRUSTED_FACTOR, burst * TRUSTED_FACTOR, capacity),
    ];
  }

  /** Takes one token of a source if it has one. @param source - A number and its text are two sources. */
  take(now: Millis, source: string | number, isTrusted: boolean): boolean {
    return this.#buckets[isTrusted ? TRUSTED : STRANGER].take(now, source);
  }
}
