/**
 * Addresses of the network underneath: `ip:port` and `[v6]:port` as text, IP addresses as bytes, and which of them are
 * private or useless as targets. An IPv4 address mapped into IPv6 is always reduced to IPv4, and text is canonical
 * (RFC 5952), so equal endpoints are equal strings.
 */
import { parsePort } from './address.ts';

const V4_BYTES = 4;
const V6_BYTES = 16;
const V6_GROUPS = 8;
/** The longest IPv6 text, with room for brackets, port and a zone. */
const TEXT_MAX = 128;
/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2). */
const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;

/**
 * Reads an endpoint. Host names are not endpoints. An empty host is `::`, all addresses, as Go programs write it.
 *
 * @returns The host in canonical text, without brackets or zone.
 */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  if (text.length > TEXT_MAX) return undefined;
  const colon = text.lastIndexOf(':');
  if (colon < 0) return undefined;
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) return undefined;
  const written = text.slice(0, colon);
  if (written === '') return { host: '::', port };
  const isBracketed = written.startsWith('[') && written.endsWith(']');
  const name = isBracketed ? written.slice(1, -1) : written;
  if (name.includes(':') !== isBracketed) return undefined;
  const bytes = ipBytes(name);
  return bytes === undefined ? undefined : { host: ipText(bytes), port };
}

/** Writes an endpoint; a host with a colon gets brackets. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Reads an IP address: 4 bytes, or 16 that are not IPv4-mapped. A zone (`%eth0`) names nothing elsewhere: dropped. */
export function ipBytes(host: string): Uint8Array | undefined {
  if (host.length > TEXT_MAX) return undefined;
  if (!host.includes(':')) return v4Bytes(host);
  const percent = host.indexOf('%');
  const bytes = v6Bytes(percent < 0 ? host : host.slice(0, percent));
  return bytes !== undefined && isMapped(bytes) ? bytes.slice(V6_BYTES - V4_BYTES) : bytes;
}

/** Canonical text. @param bytes - 4 or 16 bytes; IPv4-mapped ones come out as IPv4. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === V4_BYTES) return bytes.join('.');
  if (isMapped(bytes)) return bytes.subarray(V6_BYTES - V4_BYTES).join('.');
  const groups: number[] = [];
  for (let i = 0; i < V6_BYTES; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  const [start, length] = longestZeroRun(groups);
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  // RFC 5952 §4.2.2: a single zero group is written out.
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}

/**
 * Whether nobody on the internet reaches this host by its address: RFC 1918, unique local, loopback, link-local,
 * unspecified. Not 100.64/10: carriers use it, and it may well be what a beacon sees. False for names.
 */
export function isPrivateHost(host: string): boolean {
  const bytes = ipBytes(host);
  if (bytes === undefined) return false;
  if (isLoopback(bytes) || isUnspecified(bytes) || isLinkLocal(bytes)) return true;
  const a = bytes[0]!;
  const b = bytes[1]!;
  if (bytes.length === V6_BYTES) return (a & 0xfe) === 0xfc;
  return a === 10 || (a === 172 && (b & 0xf0) === 16) || (a === 192 && b === 168);
}

/**
 * Whether a punch must never go there, whoever asks: loopback, unspecified, link-local, multicast, broadcast and
 * reserved addresses. True for names.
 */
export function isUnroutableTarget(host: string): boolean {
  const bytes = ipBytes(host);
  if (bytes === undefined) return true;
  if (isLoopback(bytes) || isUnspecified(bytes) || isLinkLocal(bytes)) return true;
  // 224/4 is multicast; 240/4 is reserved and ends in broadcast.
  return bytes.length === V6_BYTES ? bytes[0] === 0xff : bytes[0]! >= 224;
}

/** Four decimal numbers. Leading zeros are refused: some readers take them for octal. */
function v4Bytes(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const parts = match.slice(1);
  if (parts.some((part) => Number(part) > 255 || (part.length > 1 && part.startsWith('0')))) return undefined;
  return Uint8Array.from(parts, Number);
}

/** RFC 4291 §2.2: groups, one `::` for any number of zero groups, the last 32 bits perhaps in IPv4 form. */
function v6Bytes(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = v6Groups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? v6Groups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const zeros = V6_GROUPS - head.length - tail.length;
  // RFC 4291: `::` stands for one group or more.
  if (halves.length === 1 ? zeros !== 0 : zeros < 1) return undefined;
  const bytes = new Uint8Array(V6_BYTES);
  const groups = [...head, ...new Array<number>(zeros).fill(0), ...tail];
  groups.forEach((group, i) => {
    bytes[2 * i] = group >>> 8;
    bytes[2 * i + 1] = group;
  });
  return bytes;
}

/** The groups of one side of a `::`. @param isLast - The text ends here, so IPv4 form is allowed. */
function v6Groups(text: string, isLast: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const v4 = isLast && i === parts.length - 1 ? v4Bytes(part) : undefined;
    if (v4 === undefined) return undefined;
    groups.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
  }
  return groups;
}

/** RFC 5952 §4.2.3: the longest run, the first of equals. @returns Start and length. */
function longestZeroRun(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  let length = 0;
  groups.forEach((group, i) => {
    length = group === 0 ? length + 1 : 0;
    if (length > best[1]) best = [i - length + 1, length];
  });
  return best;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === V6_BYTES && MAPPED_PREFIX.every((byte, i) => bytes[i] === byte);
}

function isLoopback(bytes: Uint8Array): boolean {
  if (bytes.length === V4_BYTES) return bytes[0] === 127;
  return bytes.every((byte, i) => byte === (i === V6_BYTES - 1 ? 1 : 0));
}

/** 0/8 is "this network" (RFC 1122 §3.2.1.3); 0.0.0.0 and :: reach the own machine when sent to. */
function isUnspecified(bytes: Uint8Array): boolean {
  return bytes.length === V4_BYTES ? bytes[0] === 0 : bytes.every((byte) => byte === 0);
}

function isLinkLocal(bytes: Uint8Array): boolean {
  if (bytes.length === V4_BYTES) return bytes[0] === 169 && bytes[1] === 254;
  return bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}
