/**
 * Overlay addresses: 48 bits, and the text that people paste (DP 1). Parsing is exactly as strict as the existing
 * network; what it refuses that people are likely to paste gets a hint (design: decision 14).
 */
import { PilotError } from '../errors.ts';

/** Length of an address on the wire. */
export const ADDRESS_BYTES = 6;

const NETWORK = 0;
const NODE = 2;

/** Longest piece of a refused text that an error message repeats. */
const QUOTED_MAX = 64;

/** How `Address.parse` reads. */
export interface AddressParseOptions {
  /** Take the three groups as the 48 bits they are, even where the first does not repeat the network. */
  readonly lenient?: boolean;
}

/**
 * An address: a node within a network. Immutable.
 *
 *   0  u16  network
 *   2  u32  node
 *
 * As text `N:GGGG.HHHH.LLLL`: the network in decimal, the network again, the node in two halves, all in upper-case hex.
 */
export class Address {
  readonly network: number;
  readonly node: number;

  /** @throws RangeError when `network` is not a u16 or `node` not a u32. */
  constructor(network: number, node: number) {
    if (!Number.isInteger(network) || network < 0 || network > 0xffff) {
      throw new RangeError(`Network must be an integer from 0 to 65535: got ${network}`);
    }
    if (!Number.isInteger(node) || node < 0 || node > 0xffff_ffff) {
      throw new RangeError(`Node id must be an integer from 0 to 4294967295: got ${node}`);
    }
    this.network = network;
    this.node = node;
  }

  /** Reads the text form. @throws PilotError `ADDRESS_INVALID`, or `ADDRESS_NETWORK_MISMATCH` with both readings as hint. */
  static parse(text: string, options?: AddressParseOptions): Address {
    const read = readText(text);
    if (typeof read === 'string')
      throw new PilotError('ADDRESS_INVALID', `Cannot read address ${quote(text)}: ${read}`);
    const { network, group, node } = read;
    if (network !== group && options?.lenient !== true) {
      throw new PilotError(
        'ADDRESS_NETWORK_MISMATCH',
        `Cannot read address ${quote(text)}: the network is ${network}, the first group says ${group} (0x${hex4(group)})`,
        {
          hint: `if meant as 48 bits: ${formatAddress(group, node)}; if meant in network ${network}: ${formatAddress(network, node)}`,
        },
      );
    }
    return new Address(group, node);
  }

  /** The canonical text, which `parse` reads back. */
  toString(): string {
    return formatAddress(this.network, this.node);
  }

  toJSON(): string {
    return this.toString();
  }

  equals(other: Address): boolean {
    return this.network === other.network && this.node === other.node;
  }
}

/** Reads six bytes. The caller has made sure that they are there: a short buffer is malformed, not the zero address. */
export function readAddress(view: DataView, offset: number): Address {
  return new Address(view.getUint16(offset + NETWORK), view.getUint32(offset + NODE));
}

/** Writes six bytes. */
export function writeAddress(view: DataView, offset: number, network: number, node: number): void {
  view.setUint16(offset + NETWORK, network);
  view.setUint32(offset + NODE, node);
}

/** The canonical text of an address that is at hand as two numbers. */
export function formatAddress(network: number, node: number): string {
  return `${network}:${hex4(network)}.${hex4(node >>> 16)}.${hex4(node & 0xffff)}`;
}

/** Reads `<address>:<port>` (DP 1.3). @throws PilotError as `Address.parse`; `ADDRESS_INVALID` for the port. */
export function parseSocketAddress(text: string): { address: Address; port: number } {
  const colon = text.lastIndexOf(':');
  // The only colon belongs to the address.
  if (colon < 0 || colon === text.indexOf(':')) {
    throw new PilotError('ADDRESS_INVALID', `Cannot read socket address ${quote(text)}: want <address>:<port>`);
  }
  const address = Address.parse(text.slice(0, colon));
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) {
    throw new PilotError(
      'ADDRESS_INVALID',
      `Cannot read socket address ${quote(text)}: the port is not a number from 0 to 65535`,
    );
  }
  return { address, port };
}

/** Decimal digits that make at most 65535; leading zeros count for nothing (DP 1.2, rule 2). */
export function parsePort(text: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined;
  const value = Number(text);
  return value <= 0xffff ? value : undefined;
}

/** DP 1.2, rules 1 to 3. @returns The three numbers, or what is wrong. */
function readText(text: string): { network: number; group: number; node: number } | string {
  const colon = text.indexOf(':');
  if (colon < 0) return 'want N:GGGG.HHHH.LLLL';
  const network = parsePort(text.slice(0, colon));
  if (network === undefined) return 'the network is not a number from 0 to 65535';
  const groups = /^([0-9a-fA-F]{4})\.([0-9a-fA-F]{4})\.([0-9a-fA-F]{4})$/.exec(text.slice(colon + 1));
  if (groups === null) return 'want three groups of four hex digits behind the colon';
  return {
    network,
    group: Number.parseInt(groups[1]!, 16),
    node: Number.parseInt(groups[2]! + groups[3]!, 16),
  };
}

function hex4(value: number): string {
  return value.toString(16).toUpperCase().padStart(4, '0');
}

function quote(text: string): string {
  return JSON.stringify(text.length <= QUOTED_MAX ? text : `${text.slice(0, QUOTED_MAX)}…`);
}
