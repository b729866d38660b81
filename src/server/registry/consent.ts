/**
 * What trust at the registry rests on: consent that was given, and requests for trust that still wait, which are the
 * asker's consent (CP 1.21, R4).
 */
import { LIMITS } from '../../config.ts';
import { type Refusal, refuse } from './answers.ts';
import type { Caller, Context } from './context.ts';
import { type MailEntry, type NodeRecord, perform, type Steps } from './operations.ts';

/** Stores the consent of `node`, and that of `peer` where it asked for trust. @returns What to refuse with, if anything. */
export function* consent(node: NodeRecord, peer: NodeRecord, isMutual: boolean): Steps<Refusal | undefined> {
  const limit = LIMITS.trustedNodes;
  const isGiven = yield* perform('giveConsent', { from: node, to: peer, limit });
  const isReturned = !isMutual || (yield* perform('giveConsent', { from: peer, to: node, limit }));
  return isGiven && isReturned ? undefined : refuse('BUSY', `too many trusted nodes (max ${limit})`);
}

/** The request for trust that waits for an answer, read or not. */
export function* openRequest(
  context: Context,
  caller: Caller,
  way: { from: number; to: number },
): Steps<MailEntry | undefined> {
  const mail = yield* perform('mail', { nodeId: way.to });
  return mail.find((entry) => entry.kind === 'request' && entry.from === way.from && isFresh(context, caller, entry));
}

/** Whether an entry's time is not up. */
export function isFresh(context: Context, caller: Caller, entry: MailEntry): boolean {
  return caller.unixMs - entry.timestampMs <= context.settings.mailMs;
}
