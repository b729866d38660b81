/**
 * Asking about nodes: by id, by name, by tag (CP 1.8). What is private is told to those who may reach the node.
 */
import { formatAddress } from '../../wire/address.ts';
import { CHALLENGE, type RegistryFields } from '../../wire/registry.ts';
import { type Answer, accept, nodeNotFound, refuse, resolveDenied, rfc3339 } from './answers.ts';
import { type Caller, type Context, isLive, REGISTRY_LIMITS } from './context.ts';
import { readId, readText } from './fields.ts';
import { normalTag } from './names.ts';
import { keyAgeDays } from './nodes.ts';
import { type NodeRecord, perform, type Steps } from './operations.ts';
import { checkSignature, isAdmin, isRefusal, mayReach, presentNode, reachable, signingNode } from './signer.ts';

const BACKBONE = 0;
/** Highest network. */
const NETWORK_MAX = 0xffff;
/** Records asked of the store at once. */
const CHUNK = 500;

/** CP 1.8.1. */
export function* lookup(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* presentNode(context, caller, nodeId);
  if (isRefusal(node)) return node;
  if (context.settings.strictDirectory && !node.isPublic) {
    const requesterId = readId(fields, 'requester_id');
    const text = CHALLENGE.lookup(requesterId, nodeId);
    const requester = yield* signingNode(context, caller, fields, { nodeId: requesterId, text });
    if (isRefusal(requester) || !(yield* mayReach(requester, node))) return nodeNotFound(nodeId);
  }
  const endpoint = node.isPublic ? visibleEndpoint(context, node) : '';
  return accept('lookup', {
    node_id: nodeId,
    address: formatAddress(BACKBONE, nodeId),
    networks: node.networks,
    public_key: node.publicKey,
    public: node.isPublic,
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    ...(node.tags.length === 0 ? {} : { tags: node.tags }),
    ...(node.version === '' ? {} : { version: node.version }),
    ...(endpoint === '' ? {} : { real_addr: endpoint, endpoint }),
    ...(node.isRelayOnly ? { relay_only: true } : {}),
    last_seen_unix: Math.floor(node.lastSeenMs / 1000),
    key_generation: node.rotations,
  });
}

/** CP 1.8.2. */
export function* resolve(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const requesterId = readId(fields, 'requester_id');
  const text = CHALLENGE.resolve(requesterId, nodeId);
  const requester = yield* signingNode(context, caller, fields, { nodeId: requesterId, text });
  if (isRefusal(requester)) return requester;
  const node = yield* presentNode(context, caller, nodeId);
  if (isRefusal(node)) return node;
  if (!(yield* mayReach(requester, node))) {
    return context.settings.strictDirectory ? nodeNotFound(nodeId) : resolveDenied(nodeId);
  }
  const lan = node.isRelayOnly ? [] : node.lanAddresses;
  return accept('resolve', {
    node_id: nodeId,
    real_addr: visibleEndpoint(context, node),
    ...(lan.length === 0 ? {} : { lan_addrs: lan }),
    ...(node.isRelayOnly ? { relay_only: true } : {}),
    key_age_days: keyAgeDays(caller, node),
  });
}

/** What others may send to: the beacon stands in for nodes that want to be reached through it only. */
export function visibleEndpoint(context: Context, node: NodeRecord): string {
  return node.isRelayOnly ? (context.settings.ownBeacons[0]?.address ?? '') : node.endpoint;
}

/** CP 1.8.3. An unknown name and one that the requester may not see answer alike. */
export function* resolveHostname(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const hostname = readText(fields, 'hostname').slice(0, 2 * REGISTRY_LIMITS.hostnameLength);
  const missing = refuse('NOT_FOUND', `hostname "${hostname}" not found`);
  const node = hostname === '' ? undefined : yield* perform('nodeByHostname', { hostname });
  if (node === undefined || !isLive(context, caller, node)) return missing;
  const requesterId = readId(fields, 'requester_id');
  if (!node.isPublic || context.settings.strictDirectory) {
    const requester = yield* presentNode(context, caller, requesterId);
    if (isRefusal(requester)) return missing;
    // Outside strict mode the reference's clients do not sign this one; what is signed is verified all the same.
    if (context.settings.strictDirectory || fields.signature !== undefined) {
      const texts = [CHALLENGE.resolveHostname(requesterId)];
      const refusal = yield* checkSignature(context, requester.publicKey, fields, texts);
      if (refusal !== undefined) return refusal;
    }
    if (!(yield* mayReach(requester, node))) return missing;
  }
  return accept('resolve_hostname', {
    node_id: node.nodeId,
    address: formatAddress(BACKBONE, node.nodeId),
    public: node.isPublic,
    hostname,
    last_seen_unix: Math.floor(node.lastSeenMs / 1000),
  });
}

/**
 * CP 1.8.4, with pages (CP 1.21, R12): `after` a node id, at most `limit` entries; `next` says that there are more.
 * The backbone is for administrators.
 */
export function* listNodes(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const network = readId(fields, 'network_id', NETWORK_MAX);
  if (network !== BACKBONE) return refuse('NOT_FOUND', `network ${network}: network not found`);
  if (!isAdmin(context, fields)) return refuse('REGISTRY_REFUSED', 'the backbone is listed for administrators');
  const limit = Math.min(readId(fields, 'limit') || REGISTRY_LIMITS.listPage, REGISTRY_LIMITS.listPage);
  const nodes: RegistryFields[] = [];
  let after = readId(fields, 'after');
  let hasMore = true;
  while (hasMore && nodes.length < limit) {
    const wanted = Math.min(CHUNK, limit - nodes.length);
    const chunk = yield* perform('nodesAfter', { after, limit: wanted });
    for (const node of chunk) nodes.push(listed(context, caller, node));
    hasMore = chunk.length === wanted;
    after = chunk.at(-1)?.nodeId ?? after;
  }
  return accept('list_nodes', { nodes, ...(hasMore ? { next: after } : {}) });
}

function listed(context: Context, caller: Caller, node: NodeRecord): RegistryFields {
  const address = formatAddress(BACKBONE, node.nodeId);
  if (!isLive(context, caller, node)) return { node_id: node.nodeId, address, offline: true };
  return {
    node_id: node.nodeId,
    address,
    public: node.isPublic,
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    ...(node.isPublic ? { real_addr: visibleEndpoint(context, node) } : {}),
    ...(node.tags.length === 0 ? {} : { tags: node.tags }),
    ...(node.version === '' ? {} : { version: node.version }),
    last_seen: rfc3339(node.lastSeenMs),
  };
}

/**
 * Ours, not in the reference: the nodes with a tag that the requester may see, at most 100 in one answer, ascending by
 * id from `after`. `next` says where to go on; a page may be short, even empty, and have a next one.
 */
export function* findNodes(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const requesterId = readId(fields, 'requester_id');
  const text = CHALLENGE.findNodes(requesterId, readText(fields, 'tag'));
  const requester = yield* signingNode(context, caller, fields, { nodeId: requesterId, text });
  if (isRefusal(requester)) return requester;
  const tag = normalTag(readText(fields, 'tag'));
  if (tag === undefined) return refuse('PROTOCOL', 'invalid tag');
  const network = readId(fields, 'network_id', NETWORK_MAX);
  const found: NodeRecord[] = [];
  let after = readId(fields, 'after');
  let hasMore = true;
  for (let looked = 0; hasMore && looked < REGISTRY_LIMITS.findScan && found.length < REGISTRY_LIMITS.findPage; ) {
    const chunk = yield* perform('nodesByTag', { tag, after, limit: CHUNK });
    const present = chunk.filter((node) => isLive(context, caller, node) && node.networks.includes(network));
    const visible = yield* reachable(requester, present);
    const taken = visible.slice(0, REGISTRY_LIMITS.findPage - found.length);
    found.push(...taken);
    looked += chunk.length;
    hasMore = chunk.length === CHUNK || taken.length < visible.length;
    after = (taken.length < visible.length ? taken.at(-1)?.nodeId : chunk.at(-1)?.nodeId) ?? after;
  }
  const nodes = found.map((node) => ({
    node_id: node.nodeId,
    address: formatAddress(network, node.nodeId),
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    tags: node.tags,
    public: node.isPublic,
  }));
  return accept('find_nodes', { nodes, ...(hasMore ? { next: after } : {}) });
}
