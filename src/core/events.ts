/** What an endpoint tells its driver: results, news for the application, and work for the runtime. */
import type { Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import type { Job } from './jobs.ts';
import type { TrustEvent } from './trust-exchange.ts';

/** Index of a connection of one endpoint; never reused while the endpoint lives. */
export type ConnectionId = number;
/** Number of a question; its answer carries the same. */
export type Ticket = number;

/** One object of the registry's JSON protocol. */
export type RegistryObject = { readonly type: string; readonly [field: string]: unknown };

/** How a question ended. */
export type Outcome = { ok: true; value: unknown } | { ok: false; code: ErrorCode; message: string };

/** What may have happened on a connection; bits of `Connection.takeEvents`. */
export const EVENT = {
  /** ESTABLISHED was reached; a listener's side may be shown to the application. */
  connected: 1,
  readable: 2,
  /** There is room again after a write that was cut short. */
  writable: 4,
  /** The peer's FIN arrived in order: what is readable now is the rest. */
  readEnded: 8,
  /** All that was written arrived, and the end of it. */
  acknowledged: 16,
  /** CLOSED was reached. */
  closed: 32,
} as const;

/** News and work, in the order they came about. */
export type Event =
  | { type: 'job'; id: number; job: Job }
  | { type: 'openLink'; link: number }
  | { type: 'closeLink'; link: number }
  /** The WebSocket to the beacon; `sendBridge` is not for what `pollTransmit` gives. */
  | { type: 'openBridge' }
  | { type: 'closeBridge' }
  | { type: 'sendBridge'; message: Uint8Array | string }
  | { type: 'registered'; nodeId: number; hostname: string | undefined; hostnameError: string | undefined }
  | { type: 'registryState'; isOnline: boolean; code: ErrorCode | undefined }
  /** Which carrier is used is decided or it works again; the WebSocket ended and is opened again, or is another's now. */
  | { type: 'carrier'; state: 'ready' | 'lost' | 'replaced'; code: ErrorCode | undefined; closed: number }
  | { type: 'accepted'; connection: ConnectionId; peer: number; network: number; peerPort: number; port: number }
  /** `bits` are `EVENT` bits. */
  | { type: 'connection'; connection: ConnectionId; bits: number }
  | { type: 'datagram'; peer: number; network: number; peerPort: number; port: number; bytes: Uint8Array }
  | { type: 'answer'; ticket: Ticket; outcome: Outcome }
  | { type: 'trust'; event: TrustEvent }
  | { type: 'saveTrust'; text: string }
  /** Somebody is to be spoken with: bring the contacts, and `Endpoint.meet` them. */
  | { type: 'meet' }
  | { type: 'diagnostic'; level: 'info' | 'warning'; code: string; facts: Record<string, number | string> };

/** Time since something was sent, as `pong` answers carry it. */
export interface Pong {
  readonly rttMs: Millis;
  readonly bytes: number;
}
