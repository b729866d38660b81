/**
 * The tables of trust with their limits: who is trusted, who asks, whom we asked, whom we revoked. It knows what counts
 * at a given Unix time and what has no room; what a message or the operator means by it is trust.ts's.
 */
import { LIMITS, TIMERS } from '../config.ts';
import type { UnixSeconds } from './rfc3339.ts';
import { isSameKey } from './same-key.ts';
import { Deadlines } from './timers.ts';
import type { Standing, TrustScope } from './trust-exchange.ts';
import {
  emitTrustFile,
  emptyRecords,
  MAILBOX,
  type OutgoingTrust,
  type PendingTrust,
  parseTrustFile,
  type TrustedNode,
  type TrustRecords,
} from './trust-file.ts';

/**
 * Requests held that came through the registry. All of them have one source, and strangers must not be able to fill
 * either way for the other.
 */
export const PENDING_FROM_MAILBOX: number = LIMITS.pendingTrust / 2;

const COOLDOWN_SECONDS: UnixSeconds = TIMERS.trustCooldownMs / 1000;
/** CP 2.5 and 2.6: 30 days, in both directions. */
const REQUEST_SECONDS: UnixSeconds = TIMERS.outgoingTrustMs / 1000;

/** What trust a peer gets; see `TrustedNode`. */
export interface Granted extends TrustScope {
  readonly publicKey: Uint8Array | undefined;
  readonly isMutual: boolean;
  readonly network: number;
}

/** What became of a request to be held; all but the first three change nothing. */
export type HoldResult = 'new' | 'changed' | 'same' | 'unbound' | 'pendingFull' | 'sourceFull';

/** Bounded tables. A full one keeps what it has: only `outgoing` lets its oldest go (CP 2.6). */
export class TrustTables {
  /** Entries of the text that could not be read, or were too many; it is not written before trust changes. */
  readonly skipped: number;
  /** The text was no such file. The caller decides whether to go on, for the first change overwrites it. */
  readonly isDamaged: boolean;
  readonly #records: TrustRecords;
  /** By Unix seconds. */
  readonly #expiries: Deadlines = new Deadlines();

  /** @param text - `trust.json`; undefined where there is none. */
  constructor(text: string | undefined) {
    const file = text === undefined ? undefined : parseTrustFile(text);
    this.#records = file?.records ?? emptyRecords();
    this.skipped = file?.skipped ?? 0;
    this.isDamaged = file?.isDamaged ?? false;
    const { trusted, revoked } = this.#records;
    // A file may hold both; the later of the two was meant.
    for (const { nodeId, until } of revoked.values()) {
      const approvedAt = trusted.get(nodeId)?.approvedAt;
      if (approvedAt !== undefined && approvedAt > until - COOLDOWN_SECONDS) revoked.delete(nodeId);
      else trusted.delete(nodeId);
    }
    for (const { nodeId, expiresAt } of trusted.values()) {
      if (expiresAt !== undefined) this.#expiries.set(nodeId, expiresAt);
    }
  }

  /** The entry of a trusted node while it counts. */
  node(peer: number, time: UnixSeconds): TrustedNode | undefined {
    const node = this.#records.trusted.get(peer);
    return node?.expiresAt === undefined || time < node.expiresAt ? node : undefined;
  }

  /** @param port - Undefined: any at all. */
  mayUse(peer: number, port: number | undefined, time: UnixSeconds): boolean {
    const node = this.node(peer, time);
    return node !== undefined && (port === undefined || node.ports === undefined || node.ports.includes(port));
  }

  standing(peer: number, time: UnixSeconds): Standing {
    const { pending, outgoing, revoked } = this.#records;
    return {
      trusted: this.node(peer, time),
      hasAsked: outgoing.has(peer),
      isPending: pending.has(peer),
      isCoolingDown: time < (revoked.get(peer)?.until ?? Number.NEGATIVE_INFINITY),
    };
  }

  trusted(time: UnixSeconds): TrustedNode[] {
    return [...this.#records.trusted.values()].filter(({ nodeId }) => this.node(nodeId, time) !== undefined);
  }

  pending(): PendingTrust[] {
    return [...this.#records.pending.values()];
  }

  outgoing(): OutgoingTrust[] {
    return [...this.#records.outgoing.values()];
  }

  pendingOf(peer: number): PendingTrust | undefined {
    return this.#records.pending.get(peer);
  }

  outgoingOf(peer: number): OutgoingTrust | undefined {
    return this.#records.outgoing.get(peer);
  }

  get hasOutgoing(): boolean {
    return this.#records.outgoing.size > 0;
  }

  /** We trust it, if only in part or until a moment ago, or ended that and made none since: the registry is not asked. */
  decides(peer: number): boolean {
    return this.#records.trusted.has(peer) || this.#records.revoked.has(peer);
  }

  get isFull(): boolean {
    return this.#records.trusted.size >= LIMITS.trustedNodes;
  }

  /**
   * Trust begins or grows: questions in both directions are answered, a revocation is over. The key stays, and so does
   * what the operator limited.
   *
   * @returns False: no room, no change.
   */
  trust(peer: number, granted: Granted, time: UnixSeconds): boolean {
    const { trusted, pending, outgoing, revoked } = this.#records;
    if (this.isFull && !trusted.has(peer)) return false;
    const before = this.node(peer, time);
    const { isMutual, network } = granted;
    const publicKey = before?.publicKey ?? granted.publicKey?.slice();
    const ports = granted.ports ?? before?.ports;
    const expiresAt = granted.expiresAt ?? before?.expiresAt;
    const isReported = false;
    trusted.set(peer, { nodeId: peer, publicKey, approvedAt: time, isMutual, network, ports, expiresAt, isReported });
    pending.delete(peer);
    outgoing.delete(peer);
    revoked.delete(peer);
    this.#expiries.set(peer, expiresAt ?? Number.POSITIVE_INFINITY);
    return true;
  }

  /** Binds a trusted node without a key to its first one. @returns Whether anything changed. */
  pin(peer: number, publicKey: Uint8Array): boolean {
    const node = this.#records.trusted.get(peer);
    if (node === undefined || node.publicKey !== undefined) return false;
    this.#records.trusted.set(peer, { ...node, publicKey: publicKey.slice() });
    return true;
  }

  /** Keeps a request for the operator; one of the same node gives its place (CP 2.5). */
  hold(request: PendingTrust): HoldResult {
    const { pending } = this.#records;
    const { nodeId, source, publicKey, justification } = request;
    const before = pending.get(nodeId);
    // Who cannot prove to be the node must not change what it said when it could.
    if (before?.publicKey !== undefined && publicKey === undefined) return 'unbound';
    if (before === undefined && pending.size >= LIMITS.pendingTrust) return 'pendingFull';
    let fromSource = 0;
    for (const other of pending.values()) if (other.source === source && other.nodeId !== nodeId) fromSource += 1;
    if (fromSource >= (source === MAILBOX ? PENDING_FROM_MAILBOX : LIMITS.pendingTrustPerSource)) return 'sourceFull';
    pending.set(nodeId, request);
    if (before === undefined) return 'new';
    const isKeySame =
      before.publicKey === publicKey ||
      (before.publicKey !== undefined && publicKey !== undefined && isSameKey(before.publicKey, publicKey));
    return isKeySame && before.justification === justification ? 'same' : 'changed';
  }

  dropPending(peer: number): boolean {
    return this.#records.pending.delete(peer);
  }

  /** Notes that we ask, which ends a cooldown (CP 2.6). @returns The node whose request was forgotten for it, if any. */
  ask(request: OutgoingTrust): number | undefined {
    const { outgoing, revoked } = this.#records;
    revoked.delete(request.nodeId);
    outgoing.delete(request.nodeId);
    const oldest = outgoing.size >= LIMITS.outgoingTrust ? firstKey(outgoing) : undefined;
    if (oldest !== undefined) outgoing.delete(oldest);
    outgoing.set(request.nodeId, request);
    return oldest;
  }

  dropOutgoing(peer: number): boolean {
    return this.#records.outgoing.delete(peer);
  }

  /** The peer ended it. @returns Whether there was anything: trust, or a question in either direction. */
  forget(peer: number): boolean {
    this.#expiries.delete(peer);
    const { trusted, pending, outgoing } = this.#records;
    return [trusted, pending, outgoing].map((table) => table.delete(peer)).includes(true);
  }

  /** We end it, whatever there was. The registry has yet to hear of it. */
  revoke(peer: number, until: UnixSeconds): void {
    const { revoked } = this.#records;
    this.forget(peer);
    revoked.delete(peer);
    if (revoked.size >= LIMITS.trustedNodes) {
      const confirmed = [...revoked.values()].find(({ isConfirmed }) => isConfirmed)?.nodeId;
      revoked.delete(confirmed ?? firstKey(revoked) ?? 0);
    }
    revoked.set(peer, { nodeId: peer, until, isConfirmed: false });
  }

  /** The registry knows of the trust. @returns Whether that is news. */
  report(peer: number): boolean {
    const node = this.#records.trusted.get(peer);
    if (node === undefined || node.isReported) return false;
    this.#records.trusted.set(peer, { ...node, isReported: true });
    return true;
  }

  /** Trust that the registry does not know of. */
  unreported(): number[] {
    const waiting: number[] = [];
    for (const { nodeId, isReported } of this.#records.trusted.values()) if (!isReported) waiting.push(nodeId);
    return waiting;
  }

  /** The registry has no pair any more. @returns Whether that is news. */
  confirm(peer: number): boolean {
    const entry = this.#records.revoked.get(peer);
    if (entry === undefined || entry.isConfirmed) return false;
    this.#records.revoked.set(peer, { ...entry, isConfirmed: true });
    return true;
  }

  /** Revocations that the registry has not confirmed. */
  unconfirmed(): number[] {
    const waiting: number[] = [];
    for (const { nodeId, isConfirmed } of this.#records.revoked.values()) if (!isConfirmed) waiting.push(nodeId);
    return waiting;
  }

  /** Something is left to be told, or ends at a time: somebody has to see to it. */
  get hasErrands(): boolean {
    const isUntold = this.hasOutgoing || this.unreported().length > 0 || this.unconfirmed().length > 0;
    return isUntold || this.nextExpiry() < Number.POSITIVE_INFINITY;
  }

  /** When the next trust expires, `Infinity` when none does. */
  nextExpiry(): UnixSeconds {
    return this.#expiries.next();
  }

  /** A node whose trust has expired; each is returned once, and is still in the table. */
  popExpired(time: UnixSeconds): number | undefined {
    const peer = this.#expiries.pop(time);
    return peer < 0 ? undefined : peer;
  }

  /** Forgets requests nobody answered. @returns The nodes that we had asked, and whether anything was forgotten. */
  sweep(time: UnixSeconds): { unanswered: number[]; isChanged: boolean } {
    const { pending, outgoing } = this.#records;
    const unanswered: number[] = [];
    let isChanged = false;
    for (const { nodeId, receivedAt } of pending.values()) {
      if (time - receivedAt > REQUEST_SECONDS) isChanged = pending.delete(nodeId);
    }
    for (const { nodeId, requestedAt } of outgoing.values()) {
      if (time - requestedAt <= REQUEST_SECONDS) continue;
      isChanged = outgoing.delete(nodeId);
      unanswered.push(nodeId);
    }
    return { unanswered, isChanged };
  }

  /** The text of `trust.json` as it should be now. */
  save(): string {
    return emitTrustFile(this.#records);
  }
}

function firstKey(table: ReadonlyMap<number, unknown>): number | undefined {
  for (const key of table.keys()) return key;
  return undefined;
}
