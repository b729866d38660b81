/**
 * The mailbox through which nodes that cannot reach each other yet ask for trust (CP 1.9.2).
 *
 * A lost answer loses nothing (CP 1.21, R11). Our clients send `ack`, the highest `seq` that they have safely: only
 * what was delivered and lies below it leaves. Clients of the reference send none; for them an entry counts as
 * received with their next poll, unless that comes over a link opened after the delivery: then the answer may have
 * died with the old link and the entry is sent again, for a minute and three times in all.
 */
import { CHALLENGE, type RegistryFields } from '../../wire/registry.ts';
import { type Answer, accept, nodeNotFound, refuse } from './answers.ts';
import { consent, isFresh, openRequest } from './consent.ts';
import { type Caller, type Context, REGISTRY_LIMITS } from './context.ts';
import { readId, readText } from './fields.ts';
import { type MailEntry, type NewMail, type NodeRecord, perform, type Steps } from './operations.ts';
import { isRefusal, presentNode, signingNode } from './signer.ts';

const ENCODER: TextEncoder = new TextEncoder();

/** Asks another node for trust. */
export function* requestHandshake(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const from = readId(fields, 'from_node_id');
  const to = readId(fields, 'to_node_id');
  const text = CHALLENGE.requestHandshake(from, to);
  const sender = yield* signingNode(context, caller, fields, { nodeId: from, text });
  if (isRefusal(sender)) return sender;
  const target = yield* presentNode(context, caller, to);
  if (isRefusal(target)) return target;
  if (from === to) return refuse('PROTOCOL', 'a node cannot ask itself for trust');
  const justification = readText(fields, 'justification');
  if (ENCODER.encode(justification).length > REGISTRY_LIMITS.justificationBytes) {
    return refuse('TOO_LARGE', `justification too long (max ${REGISTRY_LIMITS.justificationBytes} bytes)`);
  }
  const mail = { ...newMail(caller, sender), kind: 'request', justification } as const;
  const { inboxRequests: limit, sentRequests: sentLimit } = REGISTRY_LIMITS;
  const stored = yield* perform('putMail', { to, mail, limit, sentLimit });
  if (stored === 'pending') return refuse('ALREADY_EXISTS', `handshake request already pending from node ${from}`);
  if (stored === 'full') return refuse('BUSY', 'handshake inbox full');
  context.notify(to);
  return accept('request_handshake', { status: 'delivered' });
}

/** Reads the mailbox. */
export function* pollHandshakes(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const text = CHALLENGE.pollHandshakes(nodeId);
  const node = yield* signingNode(context, caller, fields, { nodeId, text });
  if (isRefusal(node)) return node;
  const ack = typeof fields.ack === 'number' ? fields.ack : undefined;
  // Sticky, so that a replayed poll of an older kind cannot empty the box of a client that acknowledges.
  if (ack !== undefined && !node.acknowledgesMail) {
    yield* perform('changeNode', { nodeId, publicKey: node.publicKey, change: { acknowledgesMail: true } });
  }
  const isAcknowledging = ack !== undefined || node.acknowledgesMail;
  const unread = (yield* perform('mail', { nodeId })).filter(
    (entry) => !entry.isRead && isFresh(context, caller, entry),
  );
  const isReceived = (entry: MailEntry): boolean =>
    entry.deliveredMs > 0 && (isAcknowledging ? entry.seq <= (ack ?? 0) : !isLikelyLost(caller, entry));
  const received = unread.filter(isReceived);
  const offered = unread.filter((entry) => !isReceived(entry));
  const seqs = (entries: readonly MailEntry[], kind?: MailEntry['kind']): number[] =>
    entries.filter((entry) => kind === undefined || entry.kind === kind).map((entry) => entry.seq);
  yield* perform('settleMail', {
    nodeId,
    gone: seqs(received, 'response'),
    // A request stays, for its answer must find it (CP 1.9.2).
    read: seqs(received, 'request'),
    delivered: seqs(offered),
    nowMs: caller.unixMs,
  });
  for (const entry of offered) context.tally.add(entry.deliveries === 0 ? 'mailDelivered' : 'mailRedelivered');
  return accept('poll_handshakes', {
    requests: offered.filter(({ kind }) => kind === 'request').map((entry) => requestFields(entry, isAcknowledging)),
    responses: offered.filter(({ kind }) => kind === 'response').map((entry) => responseFields(entry, isAcknowledging)),
  });
}

/** Says yes or no to a request. */
export function* respondHandshake(context: Context, caller: Caller, fields: RegistryFields): Steps<Answer> {
  const nodeId = readId(fields, 'node_id');
  const peerId = readId(fields, 'peer_id');
  const isAccepted = fields.accept === true;
  const text = CHALLENGE.respondHandshake(nodeId, peerId);
  const node = yield* signingNode(context, caller, fields, { nodeId, text });
  if (isRefusal(node)) return node;
  const peer = yield* perform('node', { nodeId: peerId });
  if (peer === undefined || peer.isDeregistered) return nodeNotFound(peerId);
  if (nodeId === peerId) return refuse('PROTOCOL', 'a node cannot answer itself');
  const request = yield* openRequest(context, caller, { from: peerId, to: nodeId });
  if (isAccepted) {
    const refusal = yield* consent(node, peer, request !== undefined);
    if (refusal !== undefined) return refusal;
  }
  // Without a request it is consent like any other, and nothing that reaches the peer: nobody gets answers unasked.
  if (request !== undefined) {
    const mail = { ...newMail(caller, node), kind: 'response', accept: isAccepted } as const;
    const { inboxResponses: limit, sentRequests: sentLimit } = REGISTRY_LIMITS;
    const stored = yield* perform('putMail', { to: peerId, mail, limit, sentLimit });
    if (stored === 'full') return refuse('BUSY', 'handshake inbox full');
    const settled = { gone: [request.seq], read: [], delivered: [] };
    yield* perform('settleMail', { nodeId, ...settled, nowMs: caller.unixMs });
    context.notify(peerId);
  }
  return accept('respond_handshake', { accept: isAccepted, peer_id: peerId });
}

function newMail(caller: Caller, sender: NodeRecord): Omit<NewMail, 'kind'> {
  return {
    from: sender.nodeId,
    publicKey: sender.publicKey,
    justification: '',
    accept: false,
    timestampMs: caller.unixMs,
  };
}

/** Whether the answer that carried an entry may have died with its link. */
function isLikelyLost(caller: Caller, entry: MailEntry): boolean {
  return (
    caller.linkOpenedMs > entry.deliveredMs &&
    caller.unixMs - entry.deliveredMs <= REGISTRY_LIMITS.redeliverMs &&
    entry.deliveries < REGISTRY_LIMITS.redeliveries
  );
}

function requestFields(entry: MailEntry, withSeq: boolean): RegistryFields {
  const { from, justification, publicKey, seq } = entry;
  const fields = { from_node_id: from, justification, timestamp: Math.floor(entry.timestampMs / 1000) };
  return withSeq ? { ...fields, public_key: publicKey, seq } : fields;
}

function responseFields(entry: MailEntry, withSeq: boolean): RegistryFields {
  const fields = { from_node_id: entry.from, accept: entry.accept, timestamp: Math.floor(entry.timestampMs / 1000) };
  return withSeq ? { ...fields, public_key: entry.publicKey, seq: entry.seq } : fields;
}
