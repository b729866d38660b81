/**
 * What a virtual machine must know about IP addresses: their one spelling, the special ones, and how much a header
 * costs.
 */
import type { Bytes } from '../config.ts';
import { ipBytes, ipText } from '../wire/host-port.ts';

/** The largest UDP payload of IPv4 (RFC 768: 65 535 less both headers). */
export const UDP_PAYLOAD_BYTES: Bytes = 65_507;

const IPV4_UDP_BYTES: Bytes = 28;
const IPV6_UDP_BYTES: Bytes = 48;

/** One spelling for each address; undefined for names. */
export function canonicalHost(text: string): string | undefined {
  const bytes = ipBytes(text);
  return bytes === undefined ? undefined : ipText(bytes);
}

/** Whether a socket bound to this takes what is sent to any address of its machine. */
export function isEvery(host: string): boolean {
  return host === '::' || host === '0.0.0.0';
}

/** Whether it never leaves the machine. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

/** Whether two addresses are of one family. */
export function isSameFamily(a: string, b: string): boolean {
  return a.includes(':') === b.includes(':');
}

/** What a datagram with this payload weighs on the way to `host`. */
export function packetBytes(host: string, payloadBytes: Bytes): Bytes {
  return payloadBytes + (host.includes(':') ? IPV6_UDP_BYTES : IPV4_UDP_BYTES);
}
