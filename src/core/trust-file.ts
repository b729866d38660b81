/**
 * `trust.json` (CP 2.9): the tables of trust as text and back. It reads what the existing network writes and adds, in
 * fields that others ignore, what they do not keep: outgoing requests, scope and expiry (CP 2.13 H7), and what the
 * registry has yet to hear of. Whether an entry still counts is for trust.ts.
 */
import { LIMITS } from '../config.ts';
import { fromBase64, toBase64 } from '../wire/base64.ts';
import { BROADCAST_NODE } from '../wire/packet.ts';
import { formatTime, parseTime, type UnixSeconds } from './rfc3339.ts';
import { receivedText, sentText } from './trust-text.ts';

/** A node that may speak to us. */
export interface TrustedNode {
  readonly nodeId: number;
  /** Ed25519, pinned; undefined until something confirmed one (entries that old versions wrote). */
  readonly publicKey: Uint8Array | undefined;
  readonly approvedAt: UnixSeconds;
  /** Both asked. */
  readonly isMutual: boolean;
  /** Trust that ends with the membership of this network (CP 2.13 H6); 0 is trust in the node itself. */
  readonly network: number;
  /** Only these ports of ours; undefined is all. */
  readonly ports: readonly number[] | undefined;
  readonly expiresAt: UnixSeconds | undefined;
  /** The registry knows; entries of other versions are taken to be. */
  readonly isReported: boolean;
}

/** A request that waits for our operator. */
export interface PendingTrust {
  readonly nodeId: number;
  readonly publicKey: Uint8Array | undefined;
  readonly justification: string;
  readonly receivedAt: UnixSeconds;
  /** `MAILBOX`, or the host that a direct request came from. */
  readonly source: string | undefined;
}

/** A request of ours that has no answer yet. */
export interface OutgoingTrust {
  readonly nodeId: number;
  readonly justification: string;
  readonly requestedAt: UnixSeconds;
}

/** Trust that we ended. */
export interface RevokedTrust {
  readonly nodeId: number;
  /** Until then nothing that the peer sends makes trust again. */
  readonly until: UnixSeconds;
  /** The registry has no pair any more. */
  readonly isConfirmed: boolean;
}

/** Everything that outlives the process, each table in the order in which its entries came. */
export interface TrustRecords {
  readonly trusted: Map<number, TrustedNode>;
  readonly pending: Map<number, PendingTrust>;
  readonly outgoing: Map<number, OutgoingTrust>;
  readonly revoked: Map<number, RevokedTrust>;
  /** Top-level fields of other versions, written back as they were. */
  readonly foreign: Readonly<Record<string, unknown>>;
}

/** What a text held. */
export interface TrustFile {
  readonly records: TrustRecords;
  /** Entries that could not be read, or were too many. */
  readonly skipped: number;
  /** The text is no such file at all; the records are empty. */
  readonly isDamaged: boolean;
}

/** Source of a request that came through the registry. */
export const MAILBOX = 'relay';

const KEY_BYTES = 32;
const HOST_LIMIT = 64;
const PORT_LIMIT = 0xffff;
const NETWORK_LIMIT = 0xffff;
const FOREIGN_DEPTH = 8;

type Fields = { readonly [field: string]: unknown };

/** Tables with nothing in them. */
export function emptyRecords(): TrustRecords {
  return { trusted: new Map(), pending: new Map(), outgoing: new Map(), revoked: new Map(), foreign: {} };
}

/** Reads any text; never throws. Entries that it does not understand are left out rather than guessed at. */
export function parseTrustFile(text: string): TrustFile {
  const damaged = { records: emptyRecords(), skipped: 0, isDamaged: true };
  if (text.length > LIMITS.processBytes) return damaged;
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return damaged;
  }
  if (!isObject(fields)) return damaged;
  const { trusted, pending, outgoing, revoked, ...others } = fields;
  const foreign = Object.fromEntries(Object.entries(others).filter(([, value]) => isShallow(value, FOREIGN_DEPTH)));
  const trustedTable = readTable(trusted, LIMITS.trustedNodes, readTrusted);
  const pendingTable = readTable(pending, LIMITS.pendingTrust, readPending);
  const outgoingTable = readTable(outgoing, LIMITS.outgoingTrust, readOutgoing);
  const revokedTable = readTable(revoked, LIMITS.trustedNodes, readRevoked);
  return {
    records: {
      trusted: trustedTable.entries,
      pending: pendingTable.entries,
      outgoing: outgoingTable.entries,
      revoked: revokedTable.entries,
      foreign,
    },
    skipped: trustedTable.skipped + pendingTable.skipped + outgoingTable.skipped + revokedTable.skipped,
    isDamaged: false,
  };
}

/** Two-space indented JSON; tables that are empty are left out, `trusted` never (CP 2.9). */
export function emitTrustFile(records: TrustRecords): string {
  const { pending, outgoing, revoked } = records;
  const file = {
    trusted: [...records.trusted.values()].map(trustedFields),
    ...(pending.size === 0 ? {} : { pending: [...pending.values()].map(pendingFields) }),
    ...(revoked.size === 0 ? {} : { revoked: [...revoked.values()].map(revokedFields) }),
    ...(outgoing.size === 0 ? {} : { outgoing: [...outgoing.values()].map(outgoingFields) }),
    ...records.foreign,
  };
  return JSON.stringify(file, null, 2);
}

function trustedFields(node: TrustedNode): Fields {
  return {
    node_id: node.nodeId,
    public_key: node.publicKey === undefined ? '' : toBase64(node.publicKey),
    approved_at: formatTime(node.approvedAt),
    mutual: node.isMutual,
    ...(node.network === 0 ? {} : { network: node.network }),
    ...(node.ports === undefined ? {} : { ports: node.ports }),
    ...(node.expiresAt === undefined ? {} : { expires_at: formatTime(node.expiresAt) }),
    ...(node.isReported ? {} : { unreported: true }),
  };
}

function pendingFields(request: PendingTrust): Fields {
  return {
    node_id: request.nodeId,
    ...(request.publicKey === undefined ? {} : { public_key: toBase64(request.publicKey) }),
    ...(request.justification === '' ? {} : { justification: request.justification }),
    received_at: formatTime(request.receivedAt),
    ...(request.source === undefined ? {} : { source: request.source }),
  };
}

function revokedFields(revoked: RevokedTrust): Fields {
  const fields = { node_id: revoked.nodeId, until: formatTime(revoked.until) };
  return revoked.isConfirmed ? fields : { ...fields, unconfirmed: true };
}

function outgoingFields(request: OutgoingTrust): Fields {
  return {
    node_id: request.nodeId,
    ...(request.justification === '' ? {} : { justification: request.justification }),
    requested_at: formatTime(request.requestedAt),
  };
}

function readTable<T extends { readonly nodeId: number }>(
  value: unknown,
  limit: number,
  read: (fields: Fields, nodeId: number) => T | undefined,
): { entries: Map<number, T>; skipped: number } {
  const entries = new Map<number, T>();
  // A nil slice is null in the files of the existing network.
  if (value === undefined || value === null) return { entries, skipped: 0 };
  if (!Array.isArray(value)) return { entries, skipped: 1 };
  let skipped = 0;
  for (const fields of value as unknown[]) {
    const nodeId = isObject(fields) ? integer(fields.node_id, 1, BROADCAST_NODE - 1) : undefined;
    const entry = nodeId === undefined ? undefined : read(fields as Fields, nodeId);
    // The first entry of a node counts: a later one must not widen what an earlier one limits.
    if (entry === undefined || entries.size >= limit || entries.has(entry.nodeId)) skipped += 1;
    else entries.set(entry.nodeId, entry);
  }
  return { entries, skipped };
}

/** A limit that cannot be read leaves the entry out: unlimited trust is not what it meant. */
function readTrusted(fields: Fields, nodeId: number): TrustedNode | undefined {
  const publicKey = readKey(fields.public_key);
  const network = fields.network === undefined ? 0 : integer(fields.network, 0, NETWORK_LIMIT);
  const ports = fields.ports === undefined ? undefined : readPorts(fields.ports);
  const expiresAt = fields.expires_at === undefined ? undefined : readTime(fields.expires_at);
  if (publicKey === 'damaged' || network === undefined) return undefined;
  if (fields.ports !== undefined && ports === undefined) return undefined;
  if (fields.expires_at !== undefined && expiresAt === undefined) return undefined;
  const approvedAt = readTime(fields.approved_at) ?? 0;
  const isMutual = fields.mutual === true;
  const isReported = fields.unreported !== true;
  return { nodeId, publicKey, approvedAt, isMutual, network, ports, expiresAt, isReported };
}

function readPending(fields: Fields, nodeId: number): PendingTrust | undefined {
  const publicKey = readKey(fields.public_key);
  const receivedAt = readTime(fields.received_at);
  if (publicKey === 'damaged' || receivedAt === undefined) return undefined;
  const { source } = fields;
  return {
    nodeId,
    publicKey,
    justification: typeof fields.justification === 'string' ? receivedText(fields.justification) : '',
    receivedAt,
    source: typeof source === 'string' && source.length <= HOST_LIMIT ? source : undefined,
  };
}

function readOutgoing(fields: Fields, nodeId: number): OutgoingTrust | undefined {
  const requestedAt = readTime(fields.requested_at);
  if (requestedAt === undefined) return undefined;
  const justification = typeof fields.justification === 'string' ? sentText(fields.justification) : '';
  return { nodeId, justification, requestedAt };
}

function readRevoked(fields: Fields, nodeId: number): RevokedTrust | undefined {
  const until = readTime(fields.until);
  return until === undefined ? undefined : { nodeId, until, isConfirmed: fields.unconfirmed !== true };
}

function readKey(value: unknown): Uint8Array | undefined | 'damaged' {
  if (value === undefined || value === null || value === '') return undefined;
  const key = typeof value === 'string' ? fromBase64(value) : undefined;
  return key?.length === KEY_BYTES ? key : 'damaged';
}

function readPorts(value: unknown): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length > PORT_LIMIT + 1) return undefined;
  const ports = (value as unknown[]).map((port) => integer(port, 0, PORT_LIMIT));
  return ports.includes(undefined) ? undefined : (ports as number[]);
}

function readTime(value: unknown): UnixSeconds | undefined {
  return typeof value === 'string' ? parseTime(value) : undefined;
}

function integer(value: unknown, low: number, high: number): number | undefined {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high
    ? (value as number)
    : undefined;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Deep nesting would exhaust the stack when the file is written. */
function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1));
}
