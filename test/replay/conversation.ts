/**
 * Stream connections as one end of them saw them: which packets belong together, and what of them two implementations
 * have to agree on. It reads packets only; who sent them, ours or a recorded peer, makes no difference.
 */
import type { Millis } from '../../src/config.ts';
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import { looksLikeSack } from '../../src/wire/sack.ts';
import type { Packet } from '../reference/packet.ts';

/** A packet that the peer in question sent or got. */
export interface Passed {
  readonly at: Millis;
  readonly isSent: boolean;
  readonly packet: Packet;
  /** The tunnel key that it was under, in hex. */
  readonly key: string;
}

/** One connection. */
export interface Conversation {
  readonly name: string;
  readonly peer: number;
  readonly network: number;
  readonly localPort: number;
  readonly peerPort: number;
  readonly isDialler: boolean;
  readonly passed: readonly Passed[];
}

/** From the first number to the one behind the last. */
export type Range = readonly [start: number, end: number];

/** The fields of a packet without payload. */
export type Header = Pick<Packet, 'flags' | 'seq' | 'ack' | 'window'>;

/** What has to be the same whoever sends it. Numbers are those of the packets. */
export interface Essence {
  /** The first SYN or SYN+ACK, and the first FIN or FIN+ACK. */
  readonly syn: Header | undefined;
  readonly fin: Header | undefined;
  readonly isReset: boolean;
  /** Payload sent, repetitions and cuts forgotten. */
  readonly ranges: readonly Range[];
  /** The peer's bytes up to here are acknowledged; its FIN is not counted. */
  readonly acknowledged: number;
}

/** Data starts behind the SYN. */
const FIRST = 1;

/** Sorts the packets of one peer by connection, in the order of the first packets. */
export function conversationsOf(passed: readonly Passed[]): Conversation[] {
  const found = new Map<string, Conversation & { passed: Passed[] }>();
  for (const one of passed) {
    const { packet, isSent } = one;
    if (packet.protocol !== PROTOCOL.stream) continue;
    const peer = isSent ? packet.destinationNode : packet.sourceNode;
    const network = isSent ? packet.destinationNetwork : packet.sourceNetwork;
    const localPort = isSent ? packet.sourcePort : packet.destinationPort;
    const peerPort = isSent ? packet.destinationPort : packet.sourcePort;
    const name = nameOf({ peer, network, localPort, peerPort });
    const known = found.get(name);
    if (known === undefined) {
      const isDialler = isSent === isSyn(packet);
      found.set(name, { name, peer, network, localPort, peerPort, isDialler, passed: [one] });
    } else known.passed.push(one);
  }
  return [...found.values()];
}

/** How a connection is called in maps and messages. */
export function nameOf(of: Pick<Conversation, 'peer' | 'network' | 'localPort' | 'peerPort'>): string {
  return `:${of.localPort} – ${of.network}/${of.peer}:${of.peerPort}`;
}

/** Whether it opens a connection. */
export function isSyn({ flags }: Packet): boolean {
  return (flags & (FLAG.SYN | FLAG.ACK)) === FLAG.SYN;
}

/** The bytes of a stream in a packet: none in what carries a SACK, or on SYN and FIN (DP 5.2). */
export function dataOf({ flags, payload }: Packet): Uint8Array {
  const isData = (flags & (FLAG.ACK | FLAG.SYN | FLAG.FIN | FLAG.RST)) === FLAG.ACK;
  return isData && !looksLikeSack(payload) ? payload : new Uint8Array(0);
}

/** What one end did, in what the other end can tell. */
export function essenceOf(conversation: Conversation): Essence {
  const sent = conversation.passed.filter(({ isSent }) => isSent).map(({ packet }) => packet);
  const firstWith = (flag: number): Header | undefined => {
    const found = sent.find(({ flags }) => (flags & flag) !== 0);
    return found && { flags: found.flags, seq: found.seq, ack: found.ack, window: found.window };
  };
  const acks = sent.filter(({ flags }) => (flags & FLAG.ACK) !== 0).map(({ ack }) => ack);
  return {
    syn: firstWith(FLAG.SYN),
    fin: firstWith(FLAG.FIN),
    isReset: firstWith(FLAG.RST) !== undefined,
    ranges: rangesOf(conversation, true),
    acknowledged: Math.min(Math.max(FIRST, ...acks), FIRST + streamOf(conversation, false).length),
  };
}

/** The bytes that a side of a conversation sent, in order, up to the first that never came. */
export function streamOf(conversation: Conversation, isSent: boolean): Uint8Array {
  const parts: Uint8Array[] = [];
  let next = FIRST;
  for (const { seq, data } of piecesOf(conversation, isSent)) {
    if (seq > next) break;
    if (seq + data.length <= next) continue;
    parts.push(data.subarray(next - seq));
    next = seq + data.length;
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** Everything that a side sent, repetitions merged. */
function rangesOf(conversation: Conversation, isSent: boolean): Range[] {
  const merged: Range[] = [];
  for (const { seq, data } of piecesOf(conversation, isSent)) {
    const last = merged.at(-1);
    const end = seq + data.length;
    if (last !== undefined && seq <= last[1]) merged[merged.length - 1] = [last[0], Math.max(last[1], end)];
    else merged.push([seq, end]);
  }
  return merged;
}

/** Payload by number. Recorded peers go on sending behind their FIN; those bytes are of no stream (DP 5.10). */
function piecesOf({ passed }: Conversation, isSent: boolean): { seq: number; data: Uint8Array }[] {
  const own = passed.filter((one) => one.isSent === isSent).map(({ packet }) => packet);
  const end = own.find(({ flags }) => (flags & FLAG.FIN) !== 0)?.seq ?? Number.POSITIVE_INFINITY;
  return own
    .map((packet) => ({ seq: packet.seq, data: dataOf(packet) }))
    .filter(({ seq, data }) => data.length > 0 && seq < end)
    .sort((a, b) => a.seq - b.seq);
}
