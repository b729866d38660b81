/**
 * What helps nodes through NATs: each other's endpoints, and the beacons (CP 1.10).
 */
import { formatHostPort, parseHostPort } from '../../wire/host-port.ts';
import { CHALLENGE, type RegistryFields } from '../../wire/registry.ts';
import { type Answer, accept, refuse, resolveDenied } from './answers.ts';
import { type Caller, type Context, REGISTRY_LIMITS } from './context.ts';
import { visibleEndpoint } from './directory.ts';
import { isSameSecret, readId, readText } from './fields.ts';
import { perform, type Steps } from './operations.ts';
import { isAdmin, isRefusal, mayReach, presentNode, signingNode } from './signer.ts';

/** Both endpoints, to one of the two; only if it could resolve the other as well (CP 1.21, R5). */
export function* punch(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeA = readId(fields, 'node_a');
  const nodeB = readId(fields, 'node_b');
  const requesterId = readId(fields, 'requester_id');
  const text = CHALLENGE.punch(nodeA, nodeB);
  const requester = yield* signingNode(context, caller, fields, { nodeId: requesterId, text });
  if (isRefusal(requester)) return requester;
  if (requesterId !== nodeA && requesterId !== nodeB) return refuse('NOT_TRUSTED', 'punch is for one of the two nodes');
  const peerId = requesterId === nodeA ? nodeB : nodeA;
  const peer = yield* presentNode(context, caller, peerId);
  if (isRefusal(peer)) return peer;
  if (!(yield* mayReach(requester, peer))) return resolveDenied(peerId);
  const [a, b] = requesterId === nodeA ? [requester, peer] : [peer, requester];
  return accept('punch', {
    node_a: nodeA,
    node_a_addr: visibleEndpoint(context, a),
    node_b: nodeB,
    node_b_addr: visibleEndpoint(context, b),
  });
}

/** Only for those who know the secret: a beacon sees who talks to whom (CP 1.21, R7). */
export function* beaconRegister(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const isKnown = isSameSecret(readText(fields, 'admin_token'), context.settings.beaconSecret);
  if (!isKnown && !isAdmin(context, fields)) return refuse('REGISTRY_REFUSED', 'invalid admin token');
  const id = readId(fields, 'beacon_id');
  if (id === 0) return refuse('PROTOCOL', 'beacon_id is required');
  const address = parseHostPort(readText(fields, 'addr'));
  if (address === undefined || address.port === 0) return refuse('PROTOCOL', 'invalid addr');
  const expiresMs = caller.unixMs + REGISTRY_LIMITS.beaconMs;
  const beacon = { id, address: formatHostPort(address.host, address.port), expiresMs };
  const isStored = yield* perform('putBeacon', { beacon, limit: REGISTRY_LIMITS.beacons, nowMs: caller.unixMs });
  return isStored ? accept('beacon_register', { beacon_id: id }) : refuse('BUSY', 'too many beacons');
}

/** Our own first, then those that announced themselves. */
export function* beaconList(context: Context, caller: Caller): Steps<Answer> {
  const others = yield* perform('beacons', { nowMs: caller.unixMs });
  const all = [...context.settings.ownBeacons, ...others];
  return accept('beacon_list', { beacons: all.map(({ id, address }) => ({ id, addr: address })) });
}
