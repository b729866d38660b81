/**
 * Who signed a request, and whether that one may reach another node (CP 1.5, 1.8.2).
 */
import { fromBase64 } from '../../wire/base64.ts';
import type { RegistryFields } from '../../wire/registry.ts';
import { nodeNotFound, type Refusal, refuse } from './answers.ts';
import { type Caller, type Context, isLive } from './context.ts';
import { isSameSecret, readSignature, readText } from './fields.ts';
import { type NodeRecord, perform, type Steps } from './operations.ts';

const ENCODER: TextEncoder = new TextEncoder();

/** The node if it is present, or the refusal to send. */
export function* presentNode(context: Context, caller: Caller, nodeId: number): Steps<NodeRecord | Refusal> {
  const node = yield* perform('node', { nodeId });
  return node !== undefined && isLive(context, caller, node) ? node : nodeNotFound(nodeId);
}

/** Tells a refusal from a record. */
export function isRefusal(value: NodeRecord | Refusal | undefined): value is Refusal {
  return value !== undefined && 'ok' in value;
}

/** Verifies the request's signature by `publicKey` over one of `texts`. @returns What to refuse with, if anything. */
export function* checkSignature(
  context: Context,
  publicKey: string,
  fields: RegistryFields,
  texts: readonly string[],
): Steps<Refusal | undefined> {
  const signature = readSignature(fields);
  if (signature === 'none') return refuse('REGISTRY_REFUSED', 'signature required for authenticated node');
  const key = fromBase64(publicKey);
  if (key !== undefined && signature !== 'malformed') {
    for (const text of texts) {
      // Verified every time: a recent success says nothing of this request (CP 1.21, R8).
      if (yield* perform('verify', { publicKey: key, message: ENCODER.encode(text), signature })) return undefined;
    }
  }
  context.tally.add('badSignature');
  return refuse('REGISTRY_REFUSED', 'signature verification failed');
}

/** The present node that signed the request, or the refusal to send. */
export function* signingNode(
  context: Context,
  caller: Caller,
  fields: RegistryFields,
  signer: { nodeId: number; text: string },
): Steps<NodeRecord | Refusal> {
  const node = yield* presentNode(context, caller, signer.nodeId);
  if (isRefusal(node)) return node;
  return (yield* checkSignature(context, node.publicKey, fields, [signer.text])) ?? node;
}

/** Whether the request shows the global admin token. */
export function isAdmin(context: Context, fields: RegistryFields): boolean {
  return isSameSecret(readText(fields, 'admin_token'), context.settings.adminToken);
}

/** The present node a request is about, which signed it, or an administrator did (CP 1.5, `S|A`). */
export function* ownNode(
  context: Context,
  caller: Caller,
  fields: RegistryFields,
  owner: { nodeId: number; text: string },
): Steps<NodeRecord | Refusal> {
  if (isAdmin(context, fields)) return yield* presentNode(context, caller, owner.nodeId);
  return yield* signingNode(context, caller, fields, owner);
}

/** Which of `peers` let `requester` see where they are: itself, public ones, those with mutual trust or a shared network. */
export function* reachable(requester: NodeRecord, peers: readonly NodeRecord[]): Steps<NodeRecord[]> {
  const isOpen = (peer: NodeRecord): boolean =>
    peer.nodeId === requester.nodeId || peer.isPublic || sharesNetwork(requester, peer);
  const closed = peers.filter((peer) => !isOpen(peer));
  const trusted = closed.length === 0 ? undefined : yield* perform('trusted', { node: requester, peers: closed });
  return peers.filter((peer) => isOpen(peer) || trusted?.has(peer.nodeId) === true);
}

/** `reachable` for one. */
export function* mayReach(requester: NodeRecord, peer: NodeRecord): Steps<boolean> {
  return (yield* reachable(requester, [peer])).length === 1;
}

/** The backbone is no bond: everyone is on it. */
export function sharesNetwork(a: NodeRecord, b: NodeRecord): boolean {
  return a.networks.some((network) => network !== 0 && b.networks.includes(network));
}
