/** What applications give to an agent and get from it. Shapes only. */

import type { CarrierReason, Transport } from '../core/carrier.ts';
import type { CongestionControlName } from '../core/congestion.ts';
import type { DropReason } from '../core/stats.ts';
import type { Explanation } from '../core/tunnels.ts';
import type { Shared } from '../driver.ts';
import type { Address } from '../wire/address.ts';
import type { OpenIdentity } from './identity.ts';

export type { CarrierReason, Transport } from '../core/carrier.ts';
export type { CongestionControlName } from '../core/congestion.ts';
export type { ConnectionStats } from '../core/connection.ts';
export type { ConnectionDrops, ConnectionState } from '../core/connection-options.ts';
export type { Pong } from '../core/events.ts';
export type { DropReason } from '../core/stats.ts';
export type { Explanation } from '../core/tunnels.ts';

/** What an agent is started with. */
export interface AgentOptions {
  /**
   * `pilot://host:port`, or `pilots://host:port#sha256=…`. Where only HTTP passes, such as behind a reverse proxy:
   * `wss://host/path`, or `ws://` on this machine.
   */
  readonly rendezvous: string;
  /**
   * A name, or where there are files a path; omitted: a fresh key in memory. A page without a name takes the first free
   * of `agent-1`, `agent-2`, …
   */
  readonly identity?: string;
  /** Unique at the rendezvous: lower-case letters, digits and "-". */
  readonly hostname?: string;
  /** At most 10, by which others find this agent. */
  readonly tags?: readonly string[];
  /** Default private: only trusted peers may speak to this agent. */
  readonly visibility?: 'private' | 'public';
  /** Allows plaintext to a rendezvous on another machine. */
  readonly insecure?: boolean;
  /** Everybody who asks for trust gets it. Default false. */
  readonly autoApprove?: boolean;
  /** Answers on port 7. Default true. */
  readonly echo?: boolean;
  /**
   * How the beacon and the relay are reached. Default `auto`: by UDP, or over a WebSocket where the beacon does not answer
   * to three Discovers in 1.5 s. Over a WebSocket everything goes through the relay; `websocket` uses nothing else,
   * for the registry neither.
   */
  readonly transport?: Transport;
  /**
   * How fast streams send. Default `rate`: as fast as the path was seen to deliver, with short queues; losses count only
   * where many are lost, or where they met a queue. `cubic` (RFC 9438) fills the queue and takes every loss for
   * congestion, as kernels do for TCP.
   */
  readonly congestionControl?: CongestionControlName;
  /** UDP port; default any free one. */
  readonly port?: number;
  /** Address to bind; default all. */
  readonly listenHost?: string;
  /** For registration. Default 15 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What a binding lends. */
export interface AgentRuntime {
  readonly shared: Shared;
  /**
   * Opens the identity that `AgentOptions.identity` names, made at first use; the agent releases it.
   * @throws PilotError `IDENTITY_IN_USE`, `IDENTITY_INVALID`
   */
  readonly openIdentity: (name: string | undefined) => Promise<OpenIdentity>;
  readonly version: string;
}

/** Waiting for something. */
export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A datagram from a peer. */
export interface ReceivedDatagram {
  readonly peer: Address;
  readonly peerPort: number;
  readonly bytes: Uint8Array;
}

/** What the rendezvous says of an agent. */
export interface FoundAgent {
  readonly address: Address;
  readonly nodeId: number;
  readonly hostname: string | undefined;
  readonly tags: readonly string[];
  readonly isPublic: boolean;
}

/** A source of items that is read with `for await`, and closed by leaving the loop or by `close`. */
export interface Listener<T> extends AsyncIterable<T> {
  close(): void;
}

/** News that an agent does not log. */
export interface Diagnostic {
  readonly level: 'info' | 'warning';
  readonly code: string;
  readonly facts: { readonly [name: string]: string | number };
}

/** Totals of one agent. */
export interface AgentStats {
  /** Which build runs, and from how many bytes of packet on which AEAD: `wasm-relaxed + node:crypto ≥ 1500 B`. */
  readonly engine: string;
  readonly host: string;
  /** What datagrams travel in, and why. */
  readonly carrier: 'udp' | 'websocket';
  readonly carrierReason: CarrierReason;
  readonly peers: number;
  readonly connections: number;
  readonly datagramsReceived: number;
  readonly datagramsSent: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly keyExchanges: number;
  readonly rekeys: number;
  /** What was thrown away, by reason; only those that occurred. */
  readonly drops: Partial<Record<DropReason, number>>;
}

/** How a peer is reached now. */
export interface PeerInfo extends Explanation {
  readonly address: Address;
  readonly isTrusted: boolean;
  readonly isEncrypted: boolean;
  /** Where it is spoken to directly, `host:port`. */
  readonly endpoint: string | undefined;
}
