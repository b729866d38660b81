/**
 * What a node says of itself: host name, tags, visibility (CP 1.8.5).
 */
import { CHALLENGE, type RegistryFields } from '../../wire/registry.ts';
import { type Answer, accept, nodeNotFound, refuse } from './answers.ts';
import type { Caller, Context } from './context.ts';
import { readId, readText } from './fields.ts';
import { hostnameFault, hostnameTaken, normalTags } from './names.ts';
import { perform, type Steps } from './operations.ts';
import { isRefusal, ownNode } from './signer.ts';

/** An empty name gives the present one back. */
export function* setHostname(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* ownNode(context, caller, fields, { nodeId, text: CHALLENGE.setHostname(nodeId) });
  if (isRefusal(node)) return node;
  const hostname = readText(fields, 'hostname');
  const fault = hostname === '' ? undefined : hostnameFault(hostname);
  if (fault !== undefined) return refuse('PROTOCOL', `invalid hostname: ${fault}`);
  const lapsedMs = caller.unixMs - context.settings.leaseMs;
  const holder = yield* perform('claimHostname', { nodeId, hostname, lapsedMs });
  if (holder !== nodeId) return refuse('ALREADY_EXISTS', hostnameTaken(hostname, holder));
  return accept('set_hostname', { node_id: nodeId, hostname });
}

/** Replaces all tags. */
export function* setTags(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* ownNode(context, caller, fields, { nodeId, text: CHALLENGE.setTags(nodeId) });
  if (isRefusal(node)) return node;
  const tags = normalTags(fields.tags);
  if (typeof tags === 'string') return refuse('PROTOCOL', tags);
  const changed = yield* perform('changeNode', { nodeId, publicKey: node.publicKey, change: { tags } });
  if (changed === undefined) return nodeNotFound(nodeId);
  // Cleared tags are `null`, as the reference has it (CP 1.8.5).
  return accept('set_tags', { node_id: nodeId, tags: tags.length === 0 ? null : tags });
}

/** Anything but `true` is private. */
export function* setVisibility(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const node = yield* ownNode(context, caller, fields, { nodeId, text: CHALLENGE.setVisibility(nodeId) });
  if (isRefusal(node)) return node;
  const isPublic = fields.public === true;
  const changed = yield* perform('changeNode', { nodeId, publicKey: node.publicKey, change: { isPublic } });
  if (changed === undefined) return nodeNotFound(nodeId);
  return accept('set_visibility', { node_id: nodeId, visibility: isPublic ? 'public' : 'private' });
}
