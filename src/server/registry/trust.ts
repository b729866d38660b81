/**
 * Trust at the registry (CP 1.9.1). Consent has a direction and is signed by the one who gives it; a pair exists when
 * both gave theirs (CP 1.21, R4). One-sided reports are answered as the reference does.
 */
import { CHALLENGE, type RegistryFields } from '../../wire/registry.ts';
import { type Answer, accept, nodeNotFound, refuse } from './answers.ts';
import { consent, openRequest } from './consent.ts';
import type { Caller, Context } from './context.ts';
import { readId } from './fields.ts';
import { perform, type Steps } from './operations.ts';
import { checkSignature, isRefusal, presentNode, sharesNetwork, signingNode } from './signer.ts';

/** The signer consents. A request for trust that the peer signed and that waits here counts as the peer's consent. */
export function* reportTrust(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const peerId = readId(fields, 'peer_id');
  const text = CHALLENGE.reportTrust(nodeId, peerId);
  const node = yield* signingNode(context, caller, fields, { nodeId, text });
  if (isRefusal(node)) return node;
  const peer = yield* presentNode(context, caller, peerId);
  if (isRefusal(peer)) return peer;
  if (nodeId === peerId) return refuse('PROTOCOL', 'a node cannot trust itself');
  const isAsked = (yield* openRequest(context, caller, { from: peerId, to: nodeId })) !== undefined;
  return (yield* consent(node, peer, isAsked)) ?? accept('report_trust');
}

/** Takes the consent of both away: what was revoked must not come back by one side alone. */
export function* revokeTrust(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const peerId = readId(fields, 'peer_id');
  const text = CHALLENGE.revokeTrust(nodeId, peerId);
  const node = yield* signingNode(context, caller, fields, { nodeId, text });
  if (isRefusal(node)) return node;
  // A request that still waits is consent too, and would be answered after the revocation.
  const asked = yield* openRequest(context, caller, { from: nodeId, to: peerId });
  if (asked !== undefined) {
    const settled = { gone: [asked.seq], read: [], delivered: [] };
    yield* perform('settleMail', { nodeId: peerId, ...settled, nowMs: caller.unixMs });
  }
  const hadConsent = yield* perform('withdrawConsents', { a: nodeId, b: peerId });
  if (!hadConsent && asked === undefined) return refuse('NOT_FOUND', `no trust pair of ${nodeId} and ${peerId}`);
  return accept('revoke_trust');
}

/** Whether trust is mutual, or a network is shared. */
export function* checkTrust(context: Context, _caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const peerId = readId(fields, 'peer_id');
  const node = yield* perform('node', { nodeId });
  const peer = yield* perform('node', { nodeId: peerId });
  if (context.settings.strictDirectory) {
    const requesterId = readId(fields, 'requester_id') || nodeId;
    const requester = [node, peer].find((one) => one?.nodeId === requesterId);
    if (requester === undefined) return nodeNotFound(peerId);
    const texts = [CHALLENGE.checkTrust(nodeId, peerId)];
    const refusal = yield* checkSignature(context, requester.publicKey, fields, texts);
    if (refusal !== undefined) return refusal;
  }
  if (node === undefined || peer === undefined) return accept('check_trust', { trusted: false });
  const trusted = sharesNetwork(node, peer) || (yield* perform('trusted', { node, peers: [peer] })).has(peerId);
  return accept('check_trust', { trusted });
}
