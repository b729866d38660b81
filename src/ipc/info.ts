/**
 * Info of an agent (CP 5.4), from what the agent knows of itself. A key whose value it cannot tell is left out rather
 * than made up; drivers of the reference take a missing one for zero.
 */
import type { Agent } from '../api/agent.ts';
import type { Connection } from '../api/connection.ts';
import type { PeerInfo } from '../api/shapes.ts';
import type { Millis } from '../config.ts';
import { toBase64 } from '../wire/base64.ts';
import type { ControlAnswer } from './control.ts';
import { FRAME_MAX } from './framing.ts';

/** CP 5.4: an answer is cut to this. */
export const ANSWER_MAX: number = FRAME_MAX - 64;

/** What is said of an agent besides what it says of itself. */
export interface InfoContext {
  readonly uptimeMs: Millis;
  /** Virtual ports with a listener. */
  readonly ports: number;
  readonly version: string;
  /** The number by which a connection is known. */
  readonly connectionId: (connection: Connection) => number;
}

const ENCODER: TextEncoder = new TextEncoder();
/** Of the bytes of an answer, what connections may take. */
const CONNECTION_SHARE = 0.5;
/** For everything that is not a list. */
const HEAD_BYTES = 8_192;

/** The object that Info answers with. */
export function describeAgent(agent: Agent, context: InfoContext): ControlAnswer {
  const stats = agent.stats();
  const { drops } = stats;
  const peers = agent.peers();
  const connections = agent.connections();
  const encrypted = peers.filter(({ isEncrypted }) => isEncrypted).length;
  const room = ANSWER_MAX - HEAD_BYTES;
  const connList = fitting(
    connections.map((connection) => describeConnection(connection, context.connectionId(connection))),
    room * CONNECTION_SHARE,
  );
  const peerList = fitting(busyFirst(peers, connections).map(describePeer), room - connList.bytes);
  return {
    address: agent.address.toString(),
    // Keys come only from signed exchanges.
    authenticated_peers: encrypted,
    bytes_recv: stats.bytesReceived,
    bytes_sent: stats.bytesSent,
    conn_list: connList.items,
    ...(connList.isCut ? { conn_list_truncated: true } : {}),
    connections: connections.length,
    email: '',
    encrypt: true,
    encrypted_peers: encrypted,
    features: [],
    handshake_pending_count: agent.trust.pending().length,
    hostname: agent.hostname ?? '',
    identity: true,
    networks: null,
    node_id: agent.nodeId,
    peer_list: peerList.items,
    ...(peerList.isCut ? { peer_list_truncated: true } : {}),
    peers: peers.length,
    pkts_recv: stats.datagramsReceived,
    pkts_sent: stats.datagramsSent,
    ports: context.ports,
    public_key: toBase64(agent.publicKey),
    relay_peer_count: peers.filter(({ path }) => path === 'relay').length,
    transport: 'udp',
    tunnel_encryption_failure: (drops.exchangeBadSignature ?? 0) + (drops.exchangeKeyMismatch ?? 0),
    tunnel_encryption_success: stats.keyExchanges,
    uptime_secs: Math.round(context.uptimeMs) / 1_000,
    version: context.version,
  };
}

/** As many items as fit. @param most - Bytes of JSON. */
export function fitting<T>(items: readonly T[], most: number): { items: readonly T[]; bytes: number; isCut: boolean } {
  let bytes = 0;
  for (const [i, item] of items.entries()) {
    const size = ENCODER.encode(JSON.stringify(item)).length + 1;
    if (bytes + size > most) return { items: items.slice(0, i), bytes, isCut: true };
    bytes += size;
  }
  return { items, bytes, isCut: false };
}

/** CP 5.4: when the list is cut, those with open connections are the last to go. */
function busyFirst(peers: readonly PeerInfo[], connections: readonly Connection[]): PeerInfo[] {
  const busy = new Set(connections.map(({ peer }) => peer.node));
  const isBusy = ({ address }: PeerInfo): boolean => busy.has(address.node);
  return [...peers.filter(isBusy), ...peers.filter((peer) => !isBusy(peer))];
}

function describePeer({ address, endpoint, isEncrypted, isTrusted, path, reason }: PeerInfo): object {
  return {
    authenticated: isEncrypted,
    encrypted: isEncrypted,
    endpoint: endpoint ?? '',
    node_id: address.node,
    // Ours, beside the reference's keys: how we reach it and why so.
    path,
    path_reason: reason,
    relay: path === 'relay',
    trusted: isTrusted,
  };
}

function describeConnection(connection: Connection, id: number): object {
  const stats = connection.stats();
  return {
    bytes_recv: stats.bytesReceived,
    bytes_sent: stats.bytesSent,
    cong_win: stats.congestionWindow,
    id,
    in_flight: stats.bytesInFlight,
    local_port: connection.localPort,
    remote_addr: connection.peer.toString(),
    remote_port: connection.peerPort,
    retransmits: stats.retransmits,
    segs_recv: stats.segmentsReceived,
    segs_sent: stats.segmentsSent,
    srtt_ms: stats.srtt,
    state: stats.state === 'SYN_RECEIVED' ? 'SYN_RECV' : stats.state,
  };
}
