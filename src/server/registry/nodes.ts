/**
 * The life of a node: registering, heartbeats, keys, leaving (CP 1.7). A record is never thrown away, so a key always
 * finds its id again; a node that is silent too long is only treated as absent.
 */
import { formatAddress } from '../../wire/address.ts';
import { formatHostPort, isPrivateHost, isUnroutableTarget, parseHostPort } from '../../wire/host-port.ts';
import { CHALLENGE, type RegistryFields } from '../../wire/registry.ts';
import { isLocalHost } from '../budget.ts';
import { type Answer, accept, nodeNotFound, refuse, rfc3339 } from './answers.ts';
import { type Caller, type Context, REGISTRY_LIMITS } from './context.ts';
import { readId, readKey, readText, readTexts } from './fields.ts';
import { hostnameFault, hostnameTaken } from './names.ts';
import { type NodeChange, type NodeRecord, perform, type Steps } from './operations.ts';
import { checkSignature, isAdmin, isRefusal, ownNode, presentNode, signingNode } from './signer.ts';

const DAY_MS = 86_400_000;
const BACKBONE = 0;

/** CP 1.7.1–1.7.3. */
export function* register(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const publicKey = readText(fields, 'public_key');
  if (publicKey === '') return refuse('PROTOCOL', 'missing public_key');
  const key = readKey(publicKey);
  if (typeof key === 'number') {
    const fault = key < 0 ? 'illegal base64 data' : `invalid public key size: ${key}`;
    return refuse('PROTOCOL', `invalid public key: ${fault}`);
  }
  const known = yield* perform('nodeByKey', { publicKey });
  if (known === undefined && !context.newNodes.take(caller.now, caller.host, isLocalHost(caller.host))) {
    context.tally.add('rateLimited');
    return refuse('RATE_LIMITED', 'rate limited: too many new nodes from this address');
  }
  const isSigned = fields.signature !== undefined && fields.signature !== '';
  if (isSigned) {
    const text = CHALLENGE.register(readText(fields, 'listen_addr'), publicKey);
    const refusal = yield* checkSignature(context, publicKey, fields, [text]);
    if (refusal !== undefined) return refusal;
  } else if (context.settings.strictRegistration || known?.isSigned === true) {
    context.tally.add('unsignedRefused');
    const text =
      known?.isSigned === true
        ? 'unsigned registration cannot modify a signature-verified key'
        : 'signature required for registration';
    return refuse('REGISTRY_REFUSED', text);
  }
  const node = yield* admit(context, caller, fields, isSigned);
  return 'ok' in node ? node : yield* registered(context, caller, fields, node);
}

/** Makes the record, or brings it up to date. */
function* admit(
  context: Context,
  caller: Caller,
  fields: RegistryFields,
  isSigned: boolean,
): Steps<NodeRecord | Answer> {
  const publicKey = readText(fields, 'public_key');
  const seen = {
    endpoint: observedEndpoint(caller, readText(fields, 'listen_addr')),
    registeredHost: caller.host,
    lanAddresses: lanAddresses(fields),
    version: readText(fields, 'version').slice(0, REGISTRY_LIMITS.versionLength),
    isRelayOnly: fields.relay_only === true,
    isDeregistered: false,
    lastSeenMs: caller.unixMs,
  };
  // The owner is kept, never a way to another key's id (CP 1.21, R3).
  const owner = readText(fields, 'owner').slice(0, REGISTRY_LIMITS.ownerLength);
  const fresh = { originKey: publicKey, publicKey, isSigned, owner, tags: [], isPublic: false, networks: [BACKBONE] };
  const history = { acknowledgesMail: false, createdMs: caller.unixMs, rotatedMs: 0, rotations: 0 };
  // Twice, for another link may register the same key between the two steps.
  for (let attempt = 0; attempt < 2; attempt++) {
    const known = yield* perform('nodeByKey', { publicKey });
    if (known === undefined) {
      const added = yield* perform('addNode', {
        node: { ...fresh, ...history, ...seen },
        limit: context.settings.nodes,
      });
      if (added === 'full') return refuse('BUSY', 'registry full');
      if (added !== 'exists') return added;
      continue;
    }
    if (known.isSigned && !isSigned) break;
    const change: NodeChange = { ...seen, isSigned: known.isSigned || isSigned, owner: known.owner || owner };
    const changed = yield* perform('changeNode', { nodeId: known.nodeId, publicKey, change });
    if (changed !== undefined) return changed;
  }
  return refuse('BUSY', 'node changed meanwhile, retry');
}

/** The host name, if one is asked for, and the answer. */
function* registered(context: Context, caller: Caller, fields: RegistryFields, node: NodeRecord): Steps<Answer> {
  context.tally.add('registered');
  const wanted = readText(fields, 'hostname');
  let { hostname } = node;
  let fault = wanted === '' ? undefined : hostnameFault(wanted);
  if (wanted !== '' && fault === undefined) {
    const lapsedMs = caller.unixMs - context.settings.leaseMs;
    const holder = yield* perform('claimHostname', { nodeId: node.nodeId, hostname: wanted, lapsedMs });
    if (holder === node.nodeId) hostname = wanted;
    else fault = hostnameTaken(wanted, holder);
  }
  return accept('register', {
    node_id: node.nodeId,
    network_id: BACKBONE,
    address: formatAddress(BACKBONE, node.nodeId),
    public_key: node.publicKey,
    observed_addr: node.endpoint,
    protocol_version: 1,
    ...(hostname === '' ? {} : { hostname }),
    ...(fault === undefined ? {} : { hostname_error: fault }),
    ...(context.settings.discoverSignature ? { discover_sig: true } : {}),
  });
}

/** CP 1.7.4. */
export function* heartbeat(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* signingNode(context, caller, fields, { nodeId, text: CHALLENGE.heartbeat(nodeId) });
  if (isRefusal(node)) return node;
  const change = { lastSeenMs: caller.unixMs };
  const changed = yield* perform('changeNode', { nodeId, publicKey: node.publicKey, change });
  if (changed === undefined) return nodeNotFound(nodeId);
  return accept('heartbeat', { time: Math.floor(caller.unixMs / 1000) });
}

/** CP 1.7.6. Both forms of the signed text, the one that names the new key first. */
export function* rotateKey(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const newKey = readText(fields, 'new_public_key');
  const node = yield* presentNode(context, caller, nodeId);
  if (isRefusal(node)) return node;
  if (typeof readKey(newKey) === 'number') return refuse('PROTOCOL', 'invalid new_public_key');
  const texts = [CHALLENGE.rotateKey(nodeId, newKey), CHALLENGE.rotateKey(nodeId)];
  const refusal = yield* checkSignature(context, node.publicKey, fields, texts);
  if (refusal !== undefined) return refusal;
  if ((yield* perform('nodeByKey', { publicKey: newKey })) !== undefined) {
    return refuse('ALREADY_EXISTS', 'public key already registered');
  }
  const change = { publicKey: newKey, rotatedMs: caller.unixMs, rotations: node.rotations + 1 };
  const changed = yield* perform('changeNode', { nodeId, publicKey: node.publicKey, change });
  if (changed === undefined) return refuse('BUSY', 'key rotated concurrently, retry');
  return accept('rotate_key', { node_id: nodeId, address: formatAddress(BACKBONE, nodeId), public_key: newKey });
}

/** CP 1.7.7: for members of enterprise networks, and there are none here. */
export function* setKeyExpiry(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* ownNode(context, caller, fields, { nodeId, text: CHALLENGE.setKeyExpiry(nodeId) });
  return isRefusal(node) ? node : refuse('REGISTRY_REFUSED', 'enterprise feature: requires enterprise network');
}

/** CP 1.7.7. */
export function* getKeyInfo(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const node = yield* presentNode(context, caller, readId(fields, 'node_id'));
  if (isRefusal(node)) return node;
  return accept('get_key_info', {
    node_id: node.nodeId,
    created_at: rfc3339(node.createdMs),
    rotate_count: node.rotations,
    ...(node.rotatedMs === 0 ? {} : { rotated_at: rfc3339(node.rotatedMs) }),
    key_age_days: keyAgeDays(caller, node),
  });
}

/** Whole days since the key was made or rotated. */
export function keyAgeDays(caller: Caller, node: NodeRecord): number {
  return Math.max(0, Math.floor((caller.unixMs - (node.rotatedMs || node.createdMs)) / DAY_MS));
}

/** CP 1.7.5. Trust and the key's claim to its id stay; what others could see of the node goes. */
export function* deregister(context: Context, _caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* perform('node', { nodeId });
  if (node === undefined || node.isDeregistered) return accept('deregister');
  if (!isAdmin(context, fields)) {
    const refusal = yield* checkSignature(context, node.publicKey, fields, [CHALLENGE.deregister(nodeId)]);
    if (refusal !== undefined) return refusal;
  }
  yield* perform('claimHostname', { nodeId, hostname: '', lapsedMs: 0 });
  const gone = {
    isDeregistered: true,
    isPublic: false,
    tags: [],
    endpoint: '',
    lanAddresses: [],
    networks: [BACKBONE],
  };
  yield* perform('changeNode', { nodeId, publicKey: node.publicKey, change: gone });
  return accept('deregister');
}

/**
 * What the client says of its endpoint, unless that cannot be where others reach it; then the link's source address
 * stands in (CP 1.7.1).
 */
function observedEndpoint(caller: Caller, listenAddress: string): string {
  const given = parseHostPort(listenAddress);
  if (given === undefined) return formatHostPort(caller.host, caller.port);
  const isUseless = isPrivateHost(given.host) || isUnroutableTarget(given.host);
  return formatHostPort(isUseless ? caller.host : given.host, given.port);
}

function lanAddresses(fields: RegistryFields): string[] {
  const addresses: string[] = [];
  for (const text of readTexts(fields, 'lan_addrs').slice(0, REGISTRY_LIMITS.lanAddresses)) {
    const address = parseHostPort(text);
    if (address !== undefined) addresses.push(formatHostPort(address.host, address.port));
  }
  return addresses;
}
