/**
 * The store that lives in memory and answers at once. What it holds is bounded by the limits in the operations and by
 * its own bound on mail; nothing outlives the process.
 */
import type { BeaconRecord, MailEntry, NodeRecord, Results, StoreOperation } from '../registry/operations.ts';
import type { Store, StoreCounts, StoreResult } from './store.ts';

/** An operation of one type. */
type Of<Type extends StoreOperation['type']> = Extract<StoreOperation, { type: Type }>;

/** Messages in all mailboxes together; about 1.5 KiB each. */
const MAIL_MAX = 262_144;

/** Who consented: the origin keys of both, so that neither consent nor trust passes to another key. */
interface Consent {
  readonly fromKey: string;
  readonly toKey: string;
}

/** Maps, and nothing that waits. */
export class MemoryStore implements Store {
  readonly #nodes = new Map<number, NodeRecord>();
  readonly #byKey = new Map<string, number>();
  readonly #byHostname = new Map<string, number>();
  /** Ids ascending, per tag. */
  readonly #byTag = new Map<string, number[]>();
  readonly #consents = new Map<number, Map<number, Consent>>();
  readonly #mail = new Map<number, MailEntry[]>();
  /** Requests under way per sender. */
  readonly #sent = new Map<number, number>();
  readonly #beacons = new Map<number, BeaconRecord>();
  #nextNode = 1;
  #lastSeq = 0;
  #mailCount = 0;
  #consentCount = 0;

  execute(operation: StoreOperation): StoreResult {
    switch (operation.type) {
      case 'node':
        return this.#nodes.get(operation.nodeId);
      case 'nodeByKey':
        return this.#nodes.get(this.#byKey.get(operation.publicKey) ?? 0);
      case 'nodeByHostname':
        return this.#nodes.get(this.#byHostname.get(operation.hostname) ?? 0);
      case 'addNode':
        return this.#addNode(operation);
      case 'changeNode':
        return this.#changeNode(operation);
      case 'claimHostname':
        return this.#claimHostname(operation);
      case 'nodesAfter':
        return this.#nodesAfter(operation);
      case 'nodesByTag':
        return this.#nodesByTag(operation);
      case 'giveConsent':
        return this.#giveConsent(operation);
      case 'withdrawConsents': {
        const hadOne = this.#withdraw(operation.a, operation.b);
        return this.#withdraw(operation.b, operation.a) || hadOne;
      }
      case 'trusted':
        return this.#trusted(operation);
      case 'putMail':
        return this.#putMail(operation);
      case 'mail':
        return this.#mail.get(operation.nodeId) ?? [];
      case 'settleMail':
        return this.#settleMail(operation);
      case 'putBeacon':
        return this.#putBeacon(operation);
      case 'beacons':
        return [...this.#beacons.values()].filter((beacon) => beacon.expiresMs > operation.nowMs);
      case 'sweep':
        return this.#sweep(operation);
      default: {
        const never: never = operation;
        return never;
      }
    }
  }

  counts(): StoreCounts {
    return {
      nodes: this.#nodes.size,
      hostnames: this.#byHostname.size,
      consents: this.#consentCount,
      mail: this.#mailCount,
    };
  }

  async close(): Promise<void> {}

  #addNode({ node, limit }: Of<'addNode'>): Results['addNode'] {
    if (this.#byKey.has(node.publicKey)) return 'exists';
    if (this.#nodes.size >= limit) return 'full';
    const record = { ...node, nodeId: this.#nextNode, hostname: '' };
    this.#nextNode += 1;
    this.#nodes.set(record.nodeId, record);
    this.#byKey.set(record.publicKey, record.nodeId);
    for (const tag of record.tags) this.#index(tag, record.nodeId);
    return record;
  }

  #changeNode({ nodeId, publicKey, change }: Of<'changeNode'>): Results['changeNode'] {
    const node = this.#nodes.get(nodeId);
    if (node === undefined || node.publicKey !== publicKey) return undefined;
    const changed = { ...node, ...change };
    if (changed.publicKey !== publicKey) {
      if (this.#byKey.has(changed.publicKey)) return undefined;
      this.#byKey.delete(publicKey);
      this.#byKey.set(changed.publicKey, nodeId);
    }
    if (changed.tags !== node.tags) {
      for (const tag of node.tags) this.#unindex(tag, nodeId);
      for (const tag of changed.tags) this.#index(tag, nodeId);
    }
    this.#nodes.set(nodeId, changed);
    return changed;
  }

  #claimHostname({ nodeId, hostname, lapsedMs }: Of<'claimHostname'>): number {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return 0;
    const holder = hostname === '' ? undefined : this.#nodes.get(this.#byHostname.get(hostname) ?? 0);
    if (holder !== undefined && holder.nodeId !== nodeId) {
      if (holder.lastSeenMs > lapsedMs) return holder.nodeId;
      this.#nodes.set(holder.nodeId, { ...holder, hostname: '' });
    }
    if (node.hostname !== '') this.#byHostname.delete(node.hostname);
    if (hostname !== '') this.#byHostname.set(hostname, nodeId);
    this.#nodes.set(nodeId, { ...node, hostname });
    return nodeId;
  }

  /** Ids are given in order and records stay, so counting up finds them. */
  #nodesAfter({ after, limit }: Of<'nodesAfter'>): NodeRecord[] {
    const found: NodeRecord[] = [];
    for (let id = after + 1; id < this.#nextNode && found.length < limit; id++) {
      const node = this.#nodes.get(id);
      if (node !== undefined) found.push(node);
    }
    return found;
  }

  #nodesByTag({ tag, after, limit }: Of<'nodesByTag'>): NodeRecord[] {
    const ids = this.#byTag.get(tag) ?? [];
    const start = firstAbove(ids, after);
    return ids.slice(start, start + limit).map((id) => this.#nodes.get(id) as NodeRecord);
  }

  #index(tag: string, nodeId: number): void {
    const ids = this.#byTag.get(tag);
    if (ids === undefined) this.#byTag.set(tag, [nodeId]);
    else ids.splice(firstAbove(ids, nodeId), 0, nodeId);
  }

  #unindex(tag: string, nodeId: number): void {
    const ids = this.#byTag.get(tag);
    if (ids === undefined) return;
    const at = firstAbove(ids, nodeId) - 1;
    if (ids[at] === nodeId) ids.splice(at, 1);
    if (ids.length === 0) this.#byTag.delete(tag);
  }

  #giveConsent({ from, to, limit }: Of<'giveConsent'>): boolean {
    const given = this.#consents.get(from.nodeId) ?? new Map<number, Consent>();
    const isNew = !given.has(to.nodeId);
    if (isNew && given.size >= limit) return false;
    given.set(to.nodeId, { fromKey: from.originKey, toKey: to.originKey });
    this.#consents.set(from.nodeId, given);
    if (isNew) this.#consentCount += 1;
    return true;
  }

  #withdraw(from: number, to: number): boolean {
    const given = this.#consents.get(from);
    if (given?.delete(to) !== true) return false;
    this.#consentCount -= 1;
    if (given.size === 0) this.#consents.delete(from);
    return true;
  }

  #trusted({ node, peers }: Of<'trusted'>): Set<number> {
    const trusted = new Set<number>();
    for (const peer of peers) {
      if (this.#hasConsent(node, peer) && this.#hasConsent(peer, node)) trusted.add(peer.nodeId);
    }
    return trusted;
  }

  #hasConsent(from: NodeRecord, to: NodeRecord): boolean {
    const consent = this.#consents.get(from.nodeId)?.get(to.nodeId);
    return consent?.fromKey === from.originKey && consent.toKey === to.originKey;
  }

  #putMail({ to, mail, limit, sentLimit }: Of<'putMail'>): Results['putMail'] {
    const box = this.#mail.get(to) ?? [];
    const isRequest = mail.kind === 'request';
    const earlier = isRequest ? box.find((entry) => entry.kind === 'request' && entry.from === mail.from) : undefined;
    if (earlier !== undefined && !earlier.isRead) return 'pending';
    if (earlier !== undefined) this.#remove(to, box, [earlier.seq]);
    const held = box.filter((entry) => entry.kind === mail.kind).length;
    const sent = this.#sent.get(mail.from) ?? 0;
    if (held >= limit || (isRequest && sent >= sentLimit) || this.#mailCount >= MAIL_MAX) return 'full';
    // Above everything that an earlier run gave out, for clients remember what they acknowledged.
    this.#lastSeq = Math.max(this.#lastSeq + 1, mail.timestampMs);
    box.push({ ...mail, seq: this.#lastSeq, deliveredMs: 0, deliveries: 0, isRead: false });
    this.#mail.set(to, box);
    this.#mailCount += 1;
    if (isRequest) this.#sent.set(mail.from, sent + 1);
    return 'stored';
  }

  #settleMail({ nodeId, gone, read, delivered, nowMs }: Of<'settleMail'>): undefined {
    const box = this.#mail.get(nodeId);
    if (box === undefined) return;
    for (let i = 0; i < box.length; i++) {
      const entry = box[i] as MailEntry;
      if (read.includes(entry.seq)) box[i] = { ...entry, isRead: true };
      else if (delivered.includes(entry.seq))
        box[i] = { ...entry, deliveredMs: nowMs, deliveries: entry.deliveries + 1 };
    }
    this.#remove(nodeId, box, gone);
  }

  /** Takes entries out of a box and forgets an empty box. */
  #remove(nodeId: number, box: MailEntry[], seqs: readonly number[]): void {
    if (seqs.length === 0) return;
    const kept = box.filter((entry) => !seqs.includes(entry.seq));
    for (const entry of box) {
      if (entry.kind !== 'request' || !seqs.includes(entry.seq)) continue;
      const sent = (this.#sent.get(entry.from) ?? 1) - 1;
      if (sent === 0) this.#sent.delete(entry.from);
      else this.#sent.set(entry.from, sent);
    }
    this.#mailCount -= box.length - kept.length;
    box.splice(0, box.length, ...kept);
    if (box.length === 0) this.#mail.delete(nodeId);
  }

  #putBeacon({ beacon, limit, nowMs }: Of<'putBeacon'>): boolean {
    for (const [id, { expiresMs }] of this.#beacons) if (expiresMs <= nowMs) this.#beacons.delete(id);
    if (!this.#beacons.has(beacon.id) && this.#beacons.size >= limit) return false;
    this.#beacons.set(beacon.id, beacon);
    return true;
  }

  #sweep({ nowMs, mailMs }: Of<'sweep'>): undefined {
    for (const [nodeId, box] of this.#mail) {
      const expired = box.filter((entry) => nowMs - entry.timestampMs > mailMs);
      this.#remove(
        nodeId,
        box,
        expired.map((entry) => entry.seq),
      );
    }
    for (const [id, { expiresMs }] of this.#beacons) if (expiresMs <= nowMs) this.#beacons.delete(id);
  }
}

/** Index of the first element above `value` in an ascending list. */
function firstAbove(ids: readonly number[], value: number): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
