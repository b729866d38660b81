/**
 * Where ours does not do what the recorded peer did, and the rule that makes it so. A difference without a rule is a
 * fault of ours, or of the replay.
 */
import { FLAG, PORT, PROTOCOL } from '../../src/wire/packet.ts';
import { parseTrustMessage } from '../../src/wire/trust.ts';
import { type Conversation, conversationsOf, type Essence, essenceOf, type Range, streamOf } from './conversation.ts';
import { isTrust, type Plan } from './plan.ts';
import type { Performance } from './player.ts';

/** Why ours may differ. */
export const RULES = {
  strangerReset: 'design, decision 11: a stranger gets no sign, RST included',
  quickAck:
    'DP 5.9: ours acknowledges at once what the recorded peer would have after its delay, but the end came first',
  asksByAccepting: 'CP 2.6: asking for trust who has asked already is saying yes, so that an accept goes out',
  receiverCloses: 'CP 2.2: the receiver of a trust message closes, and does not wait for the sender to',
  triesDirectly: 'CP 2.8, 2.6: trust is told directly as well, where the recorded peer left it to the registry',
} as const;

/** The name of one. */
export type Rule = keyof typeof RULES;

/** One difference. */
export interface Difference {
  readonly connection: string;
  readonly what: string;
  readonly recorded: unknown;
  readonly ours: unknown;
  /** Undefined: no rule allows it. */
  readonly rule: Rule | undefined;
}

/** Compares connection by connection what ours sent, acknowledged and handed to the application. */
export function differencesIn(plan: Plan, performance: Performance): Difference[] {
  const ours = new Map(conversationsOf(performance.passed).map((one) => [one.name, one]));
  const recorded = new Map(plan.conversations.map((one) => [one.name, one]));
  const more = [...ours.values()].filter(({ name }) => !recorded.has(name));
  return [
    ...[...recorded.values()].flatMap((one) => {
      const own = ours.get(one.name) ?? { ...one, passed: [] };
      return isTrust(one) ? trustDifferences(one, own) : streamDifferences({ plan, performance }, one, own);
    }),
    ...more.map(({ name, peerPort, isDialler }): Difference => {
      const rule = isDialler && peerPort === PORT.trust ? 'triesDirectly' : undefined;
      return { connection: name, what: 'connection', recorded: undefined, ours: name, rule };
    }),
  ];
}

function streamDifferences(
  { plan, performance }: { plan: Plan; performance: Performance },
  recorded: Conversation,
  own: Conversation,
): Difference[] {
  const found = essenceDifferences(recorded.name, essenceOf(recorded), essenceOf(own)).map((difference) => {
    const isStranger = own.passed.some(({ packet }) => performance.fromStrangers.has(packet)) && !plan.isPublic;
    if (difference.what === 'isReset' && isStranger) return { ...difference, rule: 'strangerReset' as const };
    if (difference.what === 'acknowledged') return withAckRule(difference, recorded);
    return difference;
  });
  // Of what the recorded peer's application read there is no trace but the bytes that came.
  const came = streamOf(recorded, false);
  const read = Buffer.concat(performance.received.bytes.get(recorded.name) ?? []);
  if (read.equals(came)) return found;
  return [
    ...found,
    { connection: recorded.name, what: 'bytes', recorded: came.length, ours: read.length, rule: undefined },
  ];
}

/** All that came is acknowledged, sooner than the recorded peer did. */
function withAckRule(difference: Difference, recorded: Conversation): Difference {
  const isAll = difference.ours === 1 + streamOf(recorded, false).length;
  const isMore = Number(difference.ours) > Number(difference.recorded);
  const hasEnd = recorded.passed.some(({ packet }) => (packet.flags & FLAG.FIN) !== 0);
  return isAll && isMore && hasEnd ? { ...difference, rule: 'quickAck' } : difference;
}

function trustDifferences(recorded: Conversation, own: Conversation): Difference[] {
  const then = essenceOf(recorded);
  const now = essenceOf(own);
  const said = parseTrustMessage(streamOf(own, true));
  const meant = parseTrustMessage(streamOf(recorded, true));
  const isAccept = typeof said === 'object' && said.type === 'handshake_accept';
  const isInstead = isAccept && typeof meant === 'object' && meant.type === 'handshake_request';
  return essenceDifferences(recorded.name, then, now).map((difference) => {
    const { what } = difference;
    if (isInstead && (what === 'ranges' || what === 'fin') && endsBehind(now)) {
      return { ...difference, rule: 'asksByAccepting' };
    }
    const isPlainEnd = now.fin?.flags === FLAG.FIN && now.fin.seq === then.fin?.seq;
    if (what === 'fin' && !recorded.isDialler && isPlainEnd) return { ...difference, rule: 'receiverCloses' };
    return difference;
  });
}

/** One run of bytes, and the FIN directly behind it. */
function endsBehind({ ranges, fin }: Essence): boolean {
  return ranges.length === 1 && fin?.flags === FLAG.FIN && fin.seq === (ranges[0] as Range)[1];
}

function essenceDifferences(connection: string, recorded: Essence, ours: Essence): Difference[] {
  return (['syn', 'fin', 'isReset', 'ranges', 'acknowledged'] as const)
    .filter((what) => JSON.stringify(recorded[what]) !== JSON.stringify(ours[what]))
    .map((what) => ({ connection, what, recorded: recorded[what], ours: ours[what], rule: undefined }));
}

/** Datagrams that the application should have got: those that open, but for a stranger's at a private node (DP 7.2). */
export function datagramsFor(plan: Plan, performance: Performance, keys: ReadonlySet<string>): Uint8Array[] {
  return performance.passed
    .filter(({ isSent, packet, key }) => !isSent && packet.protocol === PROTOCOL.datagram && keys.has(key))
    .filter(({ packet }) => plan.isPublic || !performance.fromStrangers.has(packet))
    .map(({ packet }) => packet.payload);
}
