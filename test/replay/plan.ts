/**
 * What the application of a recorded peer did, read off its packets and its questions to the registry: dials, writes,
 * ends, datagrams, and calls for trust. Each has the time at which the recording shows it first.
 */
import type { Millis } from '../../src/config.ts';
import { toHex } from '../../src/wire/base64.ts';
import { readU32 } from '../../src/wire/integers.ts';
import { FLAG, MAGIC, PORT, PROTOCOL } from '../../src/wire/packet.ts';
import { parseTrustMessage } from '../../src/wire/trust.ts';
import { type Conversation, conversationsOf, dataOf, isSyn, type Passed, streamOf } from './conversation.ts';
import { type Life, PEER_PORTS, type RecordedDatagram, type Recording } from './recording.ts';

/** One call of the application. */
export type Call = { readonly at: Millis } & (
  | { type: 'dial' | 'end'; conversation: Conversation }
  /** Up to so many bytes in all. Without such calls, everything at once. */
  | { type: 'read'; conversation: Conversation; until: number }
  | { type: 'write'; conversation: Conversation; bytes: Uint8Array }
  | { type: 'datagram'; peer: number; network: number; sourcePort: number; port: number; bytes: Uint8Array }
  | { type: 'requestTrust'; peer: number; justification: string }
  | { type: 'revokeTrust'; peer: number }
);

/** A life as it is to be lived again. */
export interface Plan {
  readonly recording: Recording;
  readonly life: Life;
  readonly isPublic: boolean;
  /** Datagrams that came to the peer while it lived, as it took them. */
  readonly arrivals: readonly RecordedDatagram[];
  /** What it sent and got that was encrypted. */
  readonly passed: readonly Passed[];
  readonly conversations: readonly Conversation[];
  readonly calls: readonly Call[];
  readonly listens: readonly number[];
  readonly takesDatagrams: readonly number[];
  /** Trust was asked for through the registry: ours tries directly as well (CP 2.6), with dials that were not recorded. */
  readonly dialsMore: boolean;
  /** Prefixes under which it sent, by hex of the key, in order. */
  readonly prefixes: ReadonlyMap<string, readonly number[]>;
}

/** A first contact begins this long before its SYN at most: resolving, punching, exchanging keys. */
const CONTACT_MS: Millis = 20_000;
/** DP 4.10: a dial of ours ends after this; the recorded version goes on for 29 s. */
const DIAL_MS: Millis = 17_250;
/** A private node says nothing, a public one says so when it registers. */
const VISIBILITY_MS: Millis = 1_000;

/** Reads a life off its recording. */
export function planOf(recording: Recording, life: Life): Plan {
  const during = recording.datagrams.filter(({ at }) => at >= life.from && at <= life.until);
  const departures = during.filter(({ from }) => from === life.port);
  const passed = during.flatMap(({ at, from, to, opened }): Passed[] => {
    if (opened === undefined || (from !== life.port && to !== life.port)) return [];
    return [{ at, isSent: from === life.port, packet: opened.packet, key: toHex(opened.key) }];
  });
  const conversations = conversationsOf(passed);
  const ofApplication = conversations.filter((one) => !isTrust(one));
  const stalls = conversations.map(stallOf).filter((stall) => stall !== undefined);
  const context = { recording, life, departures, passed };
  const calls = [
    ...ofApplication.flatMap((one) => streamCalls(context, one)),
    ...passed.flatMap(datagramCall),
    ...trustCalls(context, conversations.filter(isTrust)),
  ];
  return {
    recording,
    life,
    isPublic: life.questions.some((q) => q.request.public === true && q.at - life.from < VISIBILITY_MS),
    arrivals: during.filter(({ to }) => to === life.port).map((one) => afterStalls(one, stalls)),
    passed,
    conversations,
    calls: calls.sort((a, b) => a.at - b.at),
    listens: [...new Set(ofApplication.filter(isServed).map(({ localPort }) => localPort))],
    takesDatagrams: [...new Set(passed.filter(isDatagramIn).map(({ packet }) => packet.destinationPort))],
    dialsMore: life.questions.some(({ request }) => request.type === 'request_handshake'),
    prefixes: prefixesOf(departures),
  };
}

/** Carries trust messages, which are the endpoint's own business. */
export function isTrust({ localPort, peerPort }: Conversation): boolean {
  return localPort === PORT.trust || peerPort === PORT.trust;
}

/** When nothing was taken from the socket. */
interface Stall {
  readonly from: Millis;
  readonly until: Millis;
}

interface Context {
  readonly recording: Recording;
  readonly life: Life;
  readonly departures: readonly RecordedDatagram[];
  readonly passed: readonly Passed[];
}

function isServed({ isDialler, passed }: Conversation): boolean {
  return !isDialler && passed.some(({ isSent, packet }) => isSent && (packet.flags & FLAG.SYN) !== 0);
}

function isDatagramIn({ isSent, packet }: Passed): boolean {
  return !isSent && packet.protocol === PROTOCOL.datagram;
}

function prefixesOf(departures: readonly RecordedDatagram[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const { opened } of departures) {
    if (opened === undefined) continue;
    const name = toHex(opened.key);
    const known = found.get(name) ?? [];
    if (!known.includes(opened.prefix)) known.push(opened.prefix);
    found.set(name, known);
  }
  return found;
}

function streamCalls(context: Context, conversation: Conversation): Call[] {
  const sent = conversation.passed.filter(({ isSent }) => isSent);
  const calls: Call[] = [];
  if (conversation.isDialler) calls.push({ at: dialTime(context, conversation), type: 'dial', conversation });
  let written = 1;
  for (const { at, packet } of sent) {
    const bytes = dataOf(packet);
    const end = packet.seq + bytes.length;
    if (bytes.length === 0 || end <= written) continue;
    calls.push({ at, type: 'write', conversation, bytes: bytes.subarray(written - packet.seq) });
    written = end;
  }
  const fin = sent.find(({ packet }) => (packet.flags & FLAG.FIN) !== 0);
  // A FIN+ACK is the answer of the peer's stack, not a call (DP 5.10).
  if (fin?.packet.flags === FLAG.FIN) calls.push({ at: fin.at, type: 'end', conversation });
  return [...calls, ...readCalls(conversation)];
}

/** When the application called `dial`: with the SYN, or with what had to come before it. */
function dialTime(context: Context, { peer, passed: own }: Conversation): Millis {
  const syns = own.filter(({ isSent, packet }) => isSent && isSyn(packet));
  const answer = own.find(({ isSent, packet }) => !isSent && (packet.flags & FLAG.SYN) !== 0);
  const first = syns[0]!;
  // DP 4.10: where the recorded dial outlasts ours, the application has to call again; the last SYN is the one answered.
  if (answer !== undefined && answer.at - contactTime(context, peer, first) > DIAL_MS) {
    return syns.findLast(({ at }) => at < answer.at)!.at;
  }
  return contactTime(context, peer, first);
}

/** When the peer began to look for another, of which `first` is the first packet that it sent. */
function contactTime({ recording, life, departures, passed }: Context, peer: number, first: Passed): Millis {
  const isKnown = passed.some(({ at, key }) => key === first.key && at < first.at);
  if (isKnown) return first.at;
  const isBefore = ({ at }: { at: Millis }): boolean => at <= first.at && first.at - at < CONTACT_MS;
  const asked = life.questions.findLast(
    (q) => q.request.type === 'resolve' && q.request.node_id === peer && isBefore(q),
  );
  if (asked !== undefined) return asked.at;
  const port = recording.registryPort + PEER_PORTS + peer;
  const exchange = departures.find(({ at, to, frame, relayedTo }) => {
    const isExchange = frame !== undefined && frame.length > 4 && readU32(frame, 0) === MAGIC.PILA;
    return isExchange && (to === port || relayedTo === peer) && isBefore({ at });
  });
  return exchange?.at ?? first.at;
}

/**
 * How far the application had read and when, where it was slower than the network: the recorded window had closed. It
 * counts segments (DP 5.7), so it tells how many of those that came were read.
 */
function readCalls(conversation: Conversation): Call[] {
  const { passed } = conversation;
  const isAck = ({ isSent, packet }: Passed): boolean => isSent && packet.flags === FLAG.ACK;
  const windows = passed.filter(isAck).map(({ packet }) => packet.window);
  if (!windows.includes(0)) return [];
  const slots = Math.max(...windows);
  const ends = new Set<number>();
  const calls: Call[] = [];
  for (const one of passed) {
    const { at, isSent, packet } = one;
    const length = dataOf(packet).length;
    if (!isSent && length > 0) ends.add(packet.seq + length);
    if (!isAck(one)) continue;
    const inOrder = [...ends].filter((end) => end <= packet.ack).sort((a, b) => a - b);
    const read = inOrder[inOrder.length - 1 - (slots - packet.window)];
    calls.push({ at, type: 'read', conversation, until: (read ?? 1) - 1 });
  }
  return calls;
}

/**
 * While an application does not read, the recorded daemon stands still and takes nothing from its socket (DP 5.20 point 6,
 * appendix D 14); what comes meanwhile is acknowledged later. Ours drops what a closed window does not allow, and its peer
 * would send it again. The recorded one has no reason to, so ours gets these datagrams when the recorded daemon took them.
 */
function stallOf({ passed }: Conversation): Stall | undefined {
  const acks = passed.filter(({ isSent, packet }) => isSent && packet.flags === FLAG.ACK);
  const closed = acks.findIndex(({ packet }) => packet.window === 0);
  const opened = acks.slice(closed).find(({ packet }) => packet.window > 0);
  return closed < 0 || opened === undefined ? undefined : { from: acks[closed]!.at, until: opened.at };
}

function afterStalls(datagram: RecordedDatagram, stalls: readonly Stall[]): RecordedDatagram {
  const stall = stalls.find(({ from, until }) => datagram.at > from && datagram.at < until);
  return stall === undefined ? datagram : { ...datagram, at: stall.until };
}

function datagramCall({ at, isSent, packet }: Passed): Call[] {
  if (!isSent || packet.protocol !== PROTOCOL.datagram) return [];
  const { destinationNode: peer, destinationNetwork: network, sourcePort, destinationPort: port, payload } = packet;
  return [{ at, type: 'datagram', peer, network, sourcePort, port, bytes: payload }];
}

/** Requests that went over a stream or into a mailbox, and ends of trust. Answers are the endpoint's own. */
function trustCalls(context: Context, streams: readonly Conversation[]): Call[] {
  const calls: Call[] = [];
  for (const conversation of streams.filter(({ isDialler }) => isDialler)) {
    const message = parseTrustMessage(streamOf(conversation, true));
    if (typeof message !== 'object' || message.type !== 'handshake_request') continue;
    const { peer, passed } = conversation;
    const at = contactTime(context, peer, passed[0]!);
    calls.push({ at, type: 'requestTrust', peer, justification: message.justification });
  }
  for (const { at, request } of context.life.questions) {
    if (request.type === 'request_handshake') {
      const { to_node_id: peer, justification } = request;
      calls.push({ at, type: 'requestTrust', peer: Number(peer), justification: String(justification ?? '') });
    } else if (request.type === 'revoke_trust') calls.push({ at, type: 'revokeTrust', peer: Number(request.peer_id) });
  }
  return calls;
}
