/** What `pilotwire` exports in every runtime, beside the `Agent` that its binding starts. */
export { Connection } from './api/connection.ts';
export type {
  AgentOptions,
  AgentStats,
  CallOptions,
  CongestionControlName,
  ConnectionDrops,
  ConnectionState,
  ConnectionStats,
  Diagnostic,
  DropReason,
  Explanation,
  FoundAgent,
  Listener,
  PeerInfo,
  Pong,
  ReceivedDatagram,
} from './api/shapes.ts';
export type { AgentTrust, TrustedPeer, TrustRequest, TrustRequestStatus } from './api/trust.ts';
export { ERROR_CODES, type ErrorCode, PilotError, type PilotErrorOptions } from './errors.ts';
export { Address, type AddressParseOptions } from './wire/address.ts';
