/**
 * The trust handshake's decisions (CP 2.4 to 2.6): given one message and what we hold about its sender, what is to be
 * done. Functions of their arguments: the tables are in trust.ts, the sending is in trust-delivery.ts, signatures and
 * keys were looked at by the caller. Where the existing versions differ the newest is followed.
 */
import { TIMERS } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { BROADCAST_NODE } from '../wire/packet.ts';
import type { TrustMessage } from '../wire/trust.ts';
import type { UnixSeconds } from './rfc3339.ts';
import { isSameKey } from './same-key.ts';
import type { TrustedNode } from './trust-file.ts';

/** What the caller found out about a message that came over a stream to port 444. */
export interface DirectFacts {
  /** The peer that the tunnel authenticated; undefined when none was. */
  readonly authenticatedId: number | undefined;
  /** Over `trustText(sender, us)` with the key in the message. */
  readonly isSignatureValid: boolean;
  /** The sender's key at the registry, or the one its tunnel proved; undefined when neither is known. */
  readonly registryKey: Uint8Array | undefined;
  /** A network other than 0 of which both are members (CP 2.5 row 3). */
  readonly sharedNetwork: number | undefined;
  /** The host it came from; requests of one host are limited. */
  readonly source?: string | undefined;
}

/** The same of an entry in the mailbox, whose sender the registry authenticated. */
export interface RelayedFacts {
  readonly registryKey: Uint8Array | undefined;
  readonly sharedNetwork: number | undefined;
}

/** A request out of the mailbox (CP 1.9.2). */
export interface RelayedRequest {
  readonly from: number;
  readonly justification: string;
  readonly timestamp: UnixSeconds;
}

/** An answer out of the mailbox. */
export interface RelayedResponse {
  readonly from: number;
  readonly accept: boolean;
  readonly timestamp: UnixSeconds;
}

/**
 * Why a message changed nothing:
 * - `badSender`: from us, from nobody, or in the name of another than the tunnel's peer
 * - `stale`, `future`, `replay`: CP 2.4 rows 1 and 2
 * - `unsigned`: without key or signature; `badSignature`; `keyMismatch`: not the registry's key
 * - `keyChanged`: not the key that trust is bound to
 * - `unbound`: nobody confirmed the key, and this message needs that
 * - `notAuthenticated`: needs an authenticated tunnel
 * - `unsolicited`: answers what we did not ask, or ends what does not exist
 * - `cooldown`: we revoked the sender minutes ago
 * - `pendingFull`, `sourceFull`, `trustFull`: a table has no room
 */
export type TrustRefusal =
  | 'badSender'
  | 'stale'
  | 'future'
  | 'replay'
  | 'unsigned'
  | 'badSignature'
  | 'keyMismatch'
  | 'keyChanged'
  | 'unbound'
  | 'notAuthenticated'
  | 'unsolicited'
  | 'cooldown'
  | 'pendingFull'
  | 'sourceFull'
  | 'trustFull';

/** What became of a message. */
export type TrustVerdict = 'accepted' | TrustRefusal;

/** News about trust (CP 2.11). */
export type TrustEvent =
  | { type: 'received'; peer: number; justification: string }
  | { type: 'pending'; peer: number; justification: string }
  /** `by` the operator here, or the peer that we had asked. */
  | { type: 'approved'; peer: number; by: 'operator' | 'peer' }
  | { type: 'autoApproved'; peer: number; reason: ApprovalReason; network: number }
  | { type: 'rejected'; peer: number; reason: string }
  | { type: 'revoked'; peer: number; reason: 'operator' | 'network' | 'expired' }
  | { type: 'revokedByPeer'; peer: number; reason: string }
  /** The Ed25519 keys are their own fingerprints. Revoke and ask again to take the new one. */
  | { type: 'keyChanged'; peer: number; pinned: Uint8Array; shown: Uint8Array };

/** Why nobody was asked. */
export type ApprovalReason = 'mutual' | 'same_network' | 'auto_approve';

/**
 * What the endpoint is to do, in order. Each `sendDirect` is answered by `noteDirectResult`, each registry action by
 * `noteRegistryResult`; the next steps depend on them, or on their being late.
 */
export type TrustAction =
  | { type: 'sendDirect'; peer: number; messageType: TrustMessage['type']; justification: string; reason: string }
  | { type: 'relayRequest'; peer: number; justification: string }
  | { type: 'relayRespond'; peer: number; accept: boolean }
  | { type: 'reportTrust'; peer: number }
  | { type: 'revokeTrust'; peer: number }
  /** Close the streams and the tunnel: nothing of this peer counts any more. */
  | { type: 'tearDown'; peer: number }
  /** Write `save()` to the file before what follows. */
  | { type: 'persist' }
  | { type: 'event'; event: TrustEvent };

/** Actions that the registry answers. */
export type RegistryAction = 'relayRequest' | 'relayRespond' | 'reportTrust' | 'revokeTrust';

/** What of us an approved peer may use (CP 2.13 H7); omitted is all, for ever. */
export interface TrustScope {
  readonly ports?: readonly number[] | undefined;
  readonly expiresAt?: UnixSeconds | undefined;
}

/**
 * - `sent`: or will be, as soon as we are registered; repeated until answered
 * - `in_flight`: the same request is being sent this moment
 * - `already_trusted`: so it is; also when the peer had asked us, as ours is the yes then
 * - `invalid`: not a node, or ourselves
 * - `full`: no room in the table of trusted nodes
 */
export type RequestStatus = 'sent' | 'in_flight' | 'already_trusted' | 'invalid' | 'full';

/** `not_found`: nothing waits for an answer, or nothing is there to end. */
export type OperatorStatus = 'done' | 'not_found' | 'already_trusted' | 'full';

/** How the registry answered an action. */
export type RegistryResult = { readonly ok: true } | { readonly ok: false; readonly code: ErrorCode };

/** What we hold about a sender when its message is judged. */
export interface Standing {
  readonly trusted: TrustedNode | undefined;
  /** We asked it and wait for the answer. */
  readonly hasAsked: boolean;
  /** It asked us and waits for our operator. */
  readonly isPending: boolean;
  readonly isCoolingDown: boolean;
}

/** A node that could be somebody else. */
export function isPeer(nodeId: number, localId: number): boolean {
  return nodeId > 0 && nodeId < BROADCAST_NODE && nodeId !== localId;
}

/**
 * The checks that need no public-key work and no registry (CP 2.4 rows 1, 4, 5), so that the caller can make them first.
 * Row 2, replay, is trust.ts's.
 */
export function screenMessage(
  message: TrustMessage,
  authenticatedId: number | undefined,
  time: UnixSeconds,
): TrustRefusal | undefined {
  const { type, nodeId, publicKey, signature, timestamp } = message;
  // The existing versions take a request from any tunnel. But the signature covers neither type nor time (CP 2.13 H1),
  // so that a captured one could be sent for ever by whoever holds it; honest senders use their own tunnel.
  if (authenticatedId !== undefined && authenticatedId !== nodeId) return 'badSender';
  if ((time - timestamp) * 1000 > TIMERS.trustMessageAgeMs) return 'stale';
  if ((timestamp - time) * 1000 > TIMERS.trustMessageFutureMs) return 'future';
  if (publicKey === undefined || signature === undefined) return 'unsigned';
  if (authenticatedId === undefined && type !== 'handshake_request') return 'notAuthenticated';
  return undefined;
}

/** How far a key that was shown belongs to its sender (CP 2.4 row 3). Trust is bound to the pinned key for ever. */
export function bindKey(
  shown: Uint8Array | undefined,
  registryKey: Uint8Array | undefined,
  pinned: Uint8Array | undefined,
): 'bound' | 'unbound' | 'keyMismatch' | 'keyChanged' {
  if (shown === undefined) return 'unbound';
  if (pinned !== undefined && isSameKey(shown, pinned)) return 'bound';
  if (registryKey !== undefined && !isSameKey(shown, registryKey)) return 'keyMismatch';
  if (pinned !== undefined) return 'keyChanged';
  return registryKey === undefined ? 'unbound' : 'bound';
}

/** What to do with a request: answer again, approve for a reason, ask the operator, or refuse. */
export type RequestRuling = 'repeat' | ApprovalReason | 'pending' | TrustRefusal;

/** CP 2.5, first match wins. Row 4, the list of trusted agents, is empty here (CP 2.13 H5). */
export function judgeRequest(
  standing: Standing,
  facts: { isBound: boolean; sharedNetwork: number | undefined; autoApprove: boolean },
): RequestRuling {
  const { trusted, hasAsked } = standing;
  const { isBound } = facts;
  // The revoked can ask, but only the operator can say yes.
  if (standing.isCoolingDown) return 'pending';
  // Trust through a network becomes trust in the node once both asked for it.
  const isSettled = trusted !== undefined && (trusted.network === 0 || !hasAsked);
  if (isSettled && isBound) return 'repeat';
  if (isBound && hasAsked) return 'mutual';
  if (trusted !== undefined) return 'unbound';
  if (isBound && facts.sharedNetwork !== undefined && facts.sharedNetwork !== 0) return 'same_network';
  // DP 7.6 lets this one through unbound. Trust is in (id, key) pairs, so ours waits for a key.
  if (isBound && facts.autoApprove) return 'auto_approve';
  return 'pending';
}

/** CP 2.6: an approval counts for a request that we made, whichever way it comes (CP 2.13 H4). */
export function judgeAccept(standing: Standing): 'approve' | 'repeat' | TrustRefusal {
  if (standing.isCoolingDown) return 'cooldown';
  if (standing.hasAsked) return 'approve';
  return standing.trusted !== undefined ? 'repeat' : 'unsolicited';
}
