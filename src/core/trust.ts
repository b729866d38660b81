/**
 * Trust of one agent (CP 2, DP 7): messages, the operator's calls and time in, `TrustAction`s out. Read trust-exchange.ts
 * first: the decisions are there. This file applies them to the tables, and says in which order what follows is done.
 */
import { type Millis, TIMERS } from '../config.ts';
import type { TrustMessage } from '../wire/trust.ts';
import type { UnixSeconds } from './rfc3339.ts';
import { isSameKey } from './same-key.ts';
import { KeyAlarm } from './trust-alarm.ts';
import {
  type DirectFacts,
  isPeer,
  judgeAccept,
  judgeRequest,
  type OperatorStatus,
  type RegistryAction,
  type RegistryResult,
  type RelayedFacts,
  type RelayedRequest,
  type RelayedResponse,
  type RequestStatus,
  type TrustAction,
  type TrustEvent,
  type TrustRefusal,
  type TrustScope,
  type TrustVerdict,
} from './trust-exchange.ts';
import { MAILBOX, type OutgoingTrust, type PendingTrust, type TrustedNode } from './trust-file.ts';
import { TrustGate } from './trust-gate.ts';
import { TrustRevocations } from './trust-revocations.ts';
import { type Reader, type Statement, TrustStatements } from './trust-statements.ts';
import { type Delivery, delivery, type Purpose, TrustSteps } from './trust-steps.ts';
import type { Granted, TrustTables } from './trust-tables.ts';
import { sentText } from './trust-text.ts';

/** What an agent starts with. */
export interface TrustOptions {
  /** What is so. Others may read them, and this alone writes. */
  readonly tables: TrustTables;
  /** DP 7.2 row 1: everybody may come in. Trust is kept all the same. */
  readonly isPublic?: boolean;
  /** CP 2.5 row 5. */
  readonly autoApprove?: boolean;
  /** Unix ms minus monotonic ms. */
  readonly unixOffset: Millis;
}

/** CP 2.4. */
const SWEEP_MS: Millis = 300_000;
/** Strangers' requests are written together: a crash loses at most a second of them, a flood costs one write in that. */
const PERSIST_MS: Millis = 1_000;
const NEVER: Millis = Number.POSITIVE_INFINITY;
const ALWAYS: Millis = Number.NEGATIVE_INFINITY;

/** Who may speak to one agent. Drain `pollAction` after every call that may change something. */
export class Trust {
  readonly #tables: TrustTables;
  readonly #gate: TrustGate = new TrustGate();
  readonly #statements: TrustStatements = new TrustStatements();
  readonly #steps: TrustSteps = new TrustSteps();
  readonly #revocations: TrustRevocations = new TrustRevocations();
  readonly #isPublic: boolean;
  readonly #autoApprove: boolean;
  readonly #actions: TrustAction[] = [];
  readonly #alarm: KeyAlarm = new KeyAlarm();
  #unixOffset: Millis;
  #localId = 0;
  #isPersistQueued = false;
  #persistAt: Millis = NEVER;
  #sweepAt: Millis = ALWAYS;

  constructor(options: TrustOptions) {
    this.#tables = options.tables;
    this.#isPublic = options.isPublic ?? false;
    this.#autoApprove = options.autoApprove ?? false;
    this.#unixOffset = options.unixOffset;
  }

  /** The wall clock moved, or a minute passed. @param unixOffset - Unix ms minus monotonic ms. */
  setUnixOffset(unixOffset: Millis): void {
    this.#unixOffset = unixOffset;
  }

  /** We are registered: what was left undone before is taken up again. Until then every message is refused. */
  setLocalId(now: Millis, localId: number): void {
    const isFirst = this.#localId === 0;
    this.#localId = localId;
    if (!isFirst || localId === 0) return;
    for (const { nodeId, justification } of this.#tables.outgoing()) {
      this.#steps.schedule(delivery(nodeId, 'request', justification));
    }
    for (const peer of this.#tables.unreported()) this.#steps.schedule(delivery(peer, 'accept'));
    if (this.#tables.unconfirmed().length > 0) this.#revocations.resume(now);
  }

  // Who is trusted

  /** @param port - Of ours; without it, whether the peer may use any. */
  isTrusted(now: Millis, peer: number, port?: number): boolean {
    return this.#tables.mayUse(peer, port, this.#time(now));
  }

  /** The key that trust is bound to; undefined when there is no trust, or none was seen yet. */
  pinnedKey(now: Millis, peer: number): Uint8Array | undefined {
    return this.#tables.node(peer, this.#time(now))?.publicKey;
  }

  trusted(now: Millis): TrustedNode[] {
    return this.#tables.trusted(this.#time(now));
  }

  /** Requests that wait for the operator. */
  pending(): PendingTrust[] {
    return this.#tables.pending();
  }

  /** Requests of ours without an answer. */
  outgoing(): OutgoingTrust[] {
    return this.#tables.outgoing();
  }

  /** Whether an answer may come any moment, so that the mailbox is to be read often (CP 2.7). */
  isAwaiting(now: Millis): boolean {
    return this.#tables.hasOutgoing && this.#steps.isAwaiting(now);
  }

  // The gate

  /**
   * DP 7.2, for a SYN or datagram of an authenticated peer. A SYN to port 444 is not asked about: that port is open to
   * all of them, within its own limits (design: decision 11).
   *
   * @returns `'ask'`: the registry is to be asked, see `noteRegistryAnswer`; drop meanwhile, without a sign.
   */
  admits(now: Millis, peer: number, port: number): 'admit' | 'drop' | 'ask' {
    if (this.#isPublic) return 'admit';
    if (this.isTrusted(now, peer, port)) return 'admit';
    if (this.#gate.isReply(now, peer, port)) return 'admit';
    // Limited or ended here, the registry's word cannot widen it: one side alone can make a pair there (CP 1.21 R4).
    return this.#tables.decides(peer) ? 'drop' : this.#gate.ask(now, peer);
  }

  /** We dialled the peer (CP 2.10). */
  noteContact(now: Millis, peer: number): void {
    this.#gate.noteContact(now, peer);
  }

  /** @param isTrusted - Undefined: the registry could not be asked. */
  noteRegistryAnswer(now: Millis, peer: number, isTrusted: boolean | undefined): void {
    this.#gate.noteAnswer(now, peer, isTrusted);
  }

  /** The tunnel of `peer` proved a key that the registry has for it. @returns False: trust is bound to another one. */
  noteKey(now: Millis, peer: number, publicKey: Uint8Array): boolean {
    const pinned = this.pinnedKey(now, peer);
    if (pinned !== undefined && !isSameKey(pinned, publicKey)) {
      this.#keyChanged(now, peer, publicKey);
      return false;
    }
    if (this.#tables.pin(peer, publicKey)) this.#persistSoon(now);
    return true;
  }

  /** The network is not shared any more, by `peer` or, without it, by anybody: trust that rests on it ends (CP 2.13 H6). */
  endMembership(now: Millis, network: number, peer?: number): void {
    if (network === 0) return;
    for (const node of this.trusted(now)) {
      if (node.network === network && (peer ?? node.nodeId) === node.nodeId) this.#end(now, node.nodeId, 'network');
    }
  }

  // Messages

  /**
   * What refuses a message before any public-key work and before the registry is asked. `handleDirect` looks again.
   *
   * @param authenticatedId - As in `DirectFacts`.
   */
  screen(now: Millis, message: TrustMessage, authenticatedId: number | undefined): TrustRefusal | undefined {
    return this.#statements.screen(this.#reader(now, message.nodeId), message, authenticatedId);
  }

  /** A message that came over a stream to port 444. */
  handleDirect(now: Millis, message: TrustMessage, facts: DirectFacts): TrustVerdict {
    const { nodeId } = message;
    const statement = this.#statements.readDirect(this.#reader(now, nodeId), message, facts);
    return this.#handle(now, statement, { peer: nodeId, registryKey: facts.registryKey });
  }

  /**
   * A request out of the mailbox. Acknowledge it there when the actions are carried out, `persist` above all; what comes
   * again because that got lost changes nothing (CP 1.21 R11).
   */
  handleRelayedRequest(now: Millis, request: RelayedRequest, facts: RelayedFacts): TrustVerdict {
    const statement = this.#statements.readRequest(this.#reader(now, request.from), request, facts);
    return this.#handle(now, statement, { peer: request.from, registryKey: facts.registryKey });
  }

  /** An answer out of the mailbox. After `'unbound'` leave it there: with the sender's key it counts. */
  handleRelayedResponse(now: Millis, response: RelayedResponse, facts: RelayedFacts): TrustVerdict {
    const statement = this.#statements.readResponse(this.#reader(now, response.from), response, facts);
    return this.#handle(now, statement, { peer: response.from, registryKey: facts.registryKey });
  }

  // The operator

  /** Asks `peer` for trust. An explicit request ends the cooldown after a revocation (CP 2.6). */
  request(now: Millis, peer: number, justification: string): RequestStatus {
    if (!isPeer(peer, this.#localId)) return 'invalid';
    // Or its end would take what begins now with it.
    this.#expire(now);
    const node = this.#tables.node(peer, this.#time(now));
    if (node?.network === 0) return 'already_trusted';
    if (this.#tables.isFull && node === undefined) return 'full';
    if (this.#tables.pendingOf(peer)?.publicKey !== undefined) {
      this.approve(now, peer);
      return 'already_trusted';
    }
    const text = sentText(justification);
    const isSame = this.#tables.outgoingOf(peer)?.justification === text;
    if (isSame && this.#steps.isUnderWay(peer, 'request')) return 'in_flight';
    const forgotten = this.#tables.ask({ nodeId: peer, justification: text, requestedAt: this.#time(now) });
    if (forgotten !== undefined) this.#cancel(now, forgotten);
    this.#persist();
    if (this.#localId !== 0) this.#deliver(now, delivery(peer, 'request', text));
    return 'sent';
  }

  /** Says yes to a request that waits. */
  approve(now: Millis, peer: number, scope: TrustScope = {}): OperatorStatus {
    const pending = this.#tables.pendingOf(peer);
    if (pending === undefined) return this.isTrusted(now, peer) ? 'already_trusted' : 'not_found';
    const { publicKey, source } = pending;
    const isMutual = this.#tables.outgoingOf(peer) !== undefined;
    if (!this.#trust(now, peer, { publicKey, isMutual, network: 0, ...scope })) return 'full';
    this.#emit({ type: 'approved', peer, by: 'operator' });
    this.#deliver(now, { ...delivery(peer, 'accept'), isFromMailbox: source === MAILBOX });
    return 'done';
  }

  /** Says no to a request that waits. */
  reject(now: Millis, peer: number, reason: string): OperatorStatus {
    const pending = this.#tables.pendingOf(peer);
    if (pending === undefined || !this.#tables.dropPending(peer)) return 'not_found';
    this.#persist();
    this.#deliver(now, { ...delivery(peer, 'reject', sentText(reason)), isFromMailbox: pending.source === MAILBOX });
    return 'done';
  }

  /** Ends trust, and the questions in both directions. Also keeps out whom only the registry let in. */
  revoke(now: Millis, peer: number): OperatorStatus {
    const { trusted, hasAsked, isPending } = this.#tables.standing(peer, this.#time(now));
    const isKnown = trusted !== undefined || hasAsked || isPending || this.#gate.isAdmitted(now, peer);
    if (!isKnown) return 'not_found';
    this.#end(now, peer, 'operator');
    return 'done';
  }

  // What came of the actions

  /** A `sendDirect` ended. @param isDelivered - The peer has all bytes. */
  noteDirectResult(now: Millis, peer: number, messageType: TrustMessage['type'], isDelivered: boolean): void {
    const purpose = messageType.slice('handshake_'.length) as Purpose;
    this.#steps.noteDirect(now, peer, { purpose, isDelivered });
    this.#drain(now);
  }

  /** The registry answered an action, or could not be reached. */
  noteRegistryResult(now: Millis, action: RegistryAction, peer: number, outcome: RegistryResult): void {
    if (action === 'revokeTrust') {
      // CP 1.9.1: an error when there is no pair, which is what we want.
      if (!outcome.ok && outcome.code !== 'NOT_FOUND') return;
      this.#revocations.noteConfirmed(now);
      if (this.#tables.confirm(peer)) this.#persistSoon(now);
      return;
    }
    // What waits at the registry already is as good as sent (CP 1.9.2).
    const isDone = outcome.ok || (action === 'relayRequest' && outcome.code === 'ALREADY_EXISTS');
    if (isDone && action === 'reportTrust' && this.#tables.report(peer)) this.#persistSoon(now);
    this.#steps.noteRegistry(now, peer, { action, isDone });
    this.#drain(now);
  }

  handleTimeout(now: Millis): void {
    if (now >= this.#persistAt) this.#persist();
    if (now >= this.#sweepAt) this.#sweep(now);
    this.#expire(now);
    if (now >= this.#revocations.pollTimeout()) {
      const waiting = this.#tables.unconfirmed().filter((peer) => !this.#steps.isUnderWay(peer, 'revoke'));
      for (const peer of this.#revocations.take(now, waiting)) this.#actions.push({ type: 'revokeTrust', peer });
    }
    this.#steps.handleTimeout(now);
    this.#drain(now);
  }

  pollTimeout(): Millis {
    // One more, as the difference of two clocks is not exact: woken too early, it would be woken for ever.
    const expiry = this.#tables.nextExpiry() * 1000 - this.#unixOffset + 1;
    return Math.min(expiry, this.#persistAt, this.#sweepAt, this.#revocations.pollTimeout(), this.#steps.pollTimeout());
  }

  /** The next action; see `TrustAction`. */
  pollAction(): TrustAction | undefined {
    const action = this.#actions.shift();
    if (action?.type === 'persist') this.#isPersistQueued = false;
    return action;
  }

  /** The end is near: what would have been written soon is to be written now. */
  close(): void {
    if (this.#persistAt !== NEVER) this.#persist();
  }

  /** The text of `trust.json` as it should be now. */
  save(): string {
    return this.#tables.save();
  }

  #handle(
    now: Millis,
    statement: Statement | TrustRefusal,
    sender: { peer: number; registryKey: Uint8Array | undefined },
  ): TrustVerdict {
    if (typeof statement === 'string') {
      if (statement === 'keyChanged') this.#keyChanged(now, sender.peer, sender.registryKey);
      return statement;
    }
    const { type } = statement;
    this.#expire(now);
    switch (type) {
      case 'request':
        return this.#handleRequest(now, statement);
      case 'accept':
        return this.#handleAccept(now, statement);
      case 'reject':
        return this.#handleReject(now, statement);
      case 'revoke':
        return this.#handleRevoke(now, statement);
      default:
        return type satisfies never;
    }
  }

  #handleRequest(now: Millis, request: Statement): TrustVerdict {
    const { peer, publicKey, sharedNetwork, source } = request;
    const standing = this.#tables.standing(peer, this.#time(now));
    const isBound = publicKey !== undefined;
    const ruling = judgeRequest(standing, { isBound, sharedNetwork, autoApprove: this.#autoApprove });
    const answer = { ...delivery(peer, 'accept'), isFromMailbox: source === MAILBOX };
    switch (ruling) {
      case 'pending':
        return this.#hold(now, request);
      case 'repeat':
        if (isBound && this.#tables.pin(peer, publicKey)) this.#persist();
        this.#deliver(now, answer);
        return 'accepted';
      case 'mutual':
      case 'same_network':
      case 'auto_approve': {
        const network = ruling === 'same_network' ? (sharedNetwork ?? 0) : 0;
        if (!this.#trust(now, peer, { publicKey, isMutual: ruling === 'mutual', network })) return 'trustFull';
        this.#emit({ type: 'received', peer, justification: request.text });
        this.#emit({ type: 'autoApproved', peer, reason: ruling, network });
        this.#deliver(now, answer);
        return 'accepted';
      }
      default:
        return ruling;
    }
  }

  /** CP 2.5 row 6. */
  #hold(now: Millis, { peer, publicKey, text: justification, source }: Statement): TrustVerdict {
    const held = { nodeId: peer, publicKey: publicKey?.slice(), justification, receivedAt: this.#time(now), source };
    const result = this.#tables.hold(held);
    switch (result) {
      case 'new':
      case 'changed':
        // The registry forgets what it is told we have, so that has to be safe first (CP 2.13 H9).
        if (source === MAILBOX) this.#persist();
        else this.#persistSoon(now);
        this.#emit({ type: 'received', peer, justification });
        this.#emit({ type: 'pending', peer, justification });
        return 'accepted';
      case 'same':
        this.#persistSoon(now);
        return 'accepted';
      default:
        return result;
    }
  }

  #handleAccept(now: Millis, { peer, publicKey }: Statement): TrustVerdict {
    const ruling = judgeAccept(this.#tables.standing(peer, this.#time(now)));
    if (ruling === 'repeat') {
      if (publicKey !== undefined && this.#tables.pin(peer, publicKey)) this.#persist();
      return 'accepted';
    }
    if (ruling !== 'approve') return ruling;
    if (!this.#trust(now, peer, { publicKey, isMutual: true, network: 0 })) return 'trustFull';
    this.#emit({ type: 'approved', peer, by: 'peer' });
    this.#deliver(now, { ...delivery(peer, 'accept'), isTold: true });
    return 'accepted';
  }

  #handleReject(now: Millis, { peer, text: reason }: Statement): TrustVerdict {
    if (!this.#tables.dropOutgoing(peer)) return 'unsolicited';
    this.#cancel(now, peer);
    this.#persist();
    this.#emit({ type: 'rejected', peer, reason });
    return 'accepted';
  }

  #handleRevoke(now: Millis, { peer, text: reason }: Statement): TrustVerdict {
    const wasTrusted = this.isTrusted(now, peer);
    if (!this.#tables.forget(peer)) return 'unsolicited';
    this.#cancel(now, peer);
    this.#gate.close(now, peer);
    this.#persist();
    this.#emit({ type: 'revokedByPeer', peer, reason });
    // A question taken back is no reason to hang up.
    if (wasTrusted) this.#actions.push({ type: 'tearDown', peer });
    return 'accepted';
  }

  /** Trust begins. @returns False: no room. */
  #trust(now: Millis, peer: number, granted: Granted): boolean {
    const isDone = this.#tables.trust(peer, granted, this.#time(now));
    if (isDone) this.#persist();
    return isDone;
  }

  /** We end it: the peer hears it first, while it still can (CP 2.6). */
  #end(now: Millis, peer: number, reason: 'operator' | 'network' | 'expired'): void {
    const time = this.#time(now);
    this.#tables.revoke(peer, reason === 'operator' ? time + TIMERS.trustCooldownMs / 1000 : time);
    this.#alarm.forget(peer);
    this.#gate.close(now, peer);
    this.#persist();
    this.#emit({ type: 'revoked', peer, reason });
    this.#deliver(now, delivery(peer, 'revoke', reason === 'operator' ? '' : reason));
  }

  #expire(now: Millis): void {
    const time = this.#time(now);
    for (let peer = this.#tables.popExpired(time); peer !== undefined; peer = this.#tables.popExpired(time)) {
      this.#end(now, peer, 'expired');
    }
  }

  #sweep(now: Millis): void {
    this.#sweepAt = now + SWEEP_MS;
    this.#gate.sweep(now);
    this.#statements.sweep(now);
    const { unanswered, isChanged } = this.#tables.sweep(this.#time(now));
    for (const peer of unanswered) this.#cancel(now, peer);
    if (isChanged) this.#persistSoon(now);
  }

  #deliver(now: Millis, what: Delivery): void {
    this.#steps.start(now, what);
    this.#drain(now);
  }

  #cancel(now: Millis, peer: number): void {
    this.#steps.cancel(peer);
    this.#drain(now);
  }

  #drain(now: Millis): void {
    for (let action = this.#steps.pollAction(); action !== undefined; action = this.#steps.pollAction()) {
      if (isRequest(action)) this.#gate.noteContact(now, action.peer);
      if (action.type === 'revokeTrust') this.#revocations.noteTold(now);
      this.#actions.push(action);
    }
  }

  /** @param shown - Undefined while nobody confirmed it: then anyone could raise this alarm. */
  #keyChanged(now: Millis, peer: number, shown: Uint8Array | undefined): void {
    const pinned = this.pinnedKey(now, peer);
    if (pinned === undefined || shown === undefined || !this.#alarm.isDue(now, peer)) return;
    this.#emit({ type: 'keyChanged', peer, pinned: pinned.slice(), shown: shown.slice() });
  }

  #emit(event: TrustEvent): void {
    this.#actions.push({ type: 'event', event });
  }

  /** One that waits in the queue will write this change too, and stands before all that follows. */
  #persist(): void {
    this.#persistAt = NEVER;
    if (this.#isPersistQueued) return;
    this.#isPersistQueued = true;
    this.#actions.push({ type: 'persist' });
  }

  #persistSoon(now: Millis): void {
    this.#persistAt = Math.min(this.#persistAt, now + PERSIST_MS);
  }

  #reader(now: Millis, sender: number): Reader {
    return { now, time: this.#time(now), localId: this.#localId, pinned: this.pinnedKey(now, sender) };
  }

  #time(now: Millis): UnixSeconds {
    return Math.floor((now + this.#unixOffset) / 1000);
  }
}

/** Whether it is of those that ask a peer for trust. */
function isRequest(action: TrustAction): action is Exclude<TrustAction, { type: 'persist' | 'event' }> {
  return action.type === 'relayRequest' || (action.type === 'sendDirect' && action.messageType === 'handshake_request');
}
