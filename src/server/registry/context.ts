/**
 * What every handler gets besides its request: the settings of this registry, who is calling, and where to say that
 * something happened.
 */
import type { Millis } from '../../config.ts';
import type { RegistryFields } from '../../wire/registry.ts';
import type { Budget } from '../budget.ts';
import type { Tally } from '../tally.ts';
import type { Answer } from './answers.ts';
import type { NodeRecord, Steps } from './operations.ts';

/** How a registry behaves. */
export interface Settings {
  /** CP 1.7.4: a node silent for longer is as good as gone until it registers again. */
  readonly staleMs: Millis;
  /** CP 1.21, R13: how long a silent node keeps its host name. */
  readonly leaseMs: Millis;
  /** CP 1.21, R11: how long mail waits. */
  readonly mailMs: Millis;
  /** Nodes ever registered; then `registry full`. */
  readonly nodes: number;
  /** CP 1.8.1: private nodes exist only for those who may reach them. */
  readonly strictDirectory: boolean;
  /** CP 1.7.3: unsigned registrations are refused. */
  readonly strictRegistration: boolean;
  /** Empty: administration is off. */
  readonly adminToken: string;
  /** CP 1.21, R7: what a beacon must show, in the field `admin_token`. Empty: only the admin token will do. */
  readonly beaconSecret: string;
  /** The beacon takes signed Discovers (design: decision 12): `register_ok` says so. */
  readonly discoverSignature: boolean;
  /** The beacons that belong to this registry. The first stands in for the endpoints of relay-only nodes. */
  readonly ownBeacons: readonly { readonly id: number; readonly address: string }[];
}

/** Figures of CP 1.2–1.10 where they have one; the rest are bounds of ours. */
export const SETTINGS: Settings = {
  staleMs: 30 * 60_000,
  leaseMs: 30 * 86_400_000,
  mailMs: 7 * 86_400_000,
  nodes: 1_000_000,
  strictDirectory: false,
  strictRegistration: false,
  adminToken: '',
  beaconSecret: '',
  discoverSignature: true,
  ownBeacons: [],
};

/** Bounds on what one node can make us keep or do. */
export const REGISTRY_LIMITS = {
  /** CP 1.9.2. */
  justificationBytes: 1_024,
  inboxRequests: 100,
  inboxResponses: 1_024,
  sentRequests: 1_024,
  lanAddresses: 16,
  ownerLength: 254,
  versionLength: 64,
  tags: 10,
  tagLength: 32,
  hostnameLength: 63,
  beacons: 64,
  /** CP 1.10. */
  beaconMs: 60_000,
  /** Nodes in one answer of `find_nodes`, and those looked at for it. */
  findPage: 100,
  findScan: 2_000,
  /** An entry takes up to about 700 bytes, an answer 64 MiB. */
  listPage: 50_000,
  /** CP 1.6: registrations of unknown keys, per source. */
  newNodesPerSecond: 100,
  sources: 50_000,
  sweepMs: 60_000,
  /** CP 1.9.2: a reader that does not acknowledge gets a lost answer again this long after, three times in all. */
  redeliverMs: 60_000,
  redeliveries: 3,
} as const;

/** Who asks. */
export interface Caller {
  /** Source address of the link. */
  readonly host: string;
  readonly port: number;
  /** Monotonic. */
  readonly now: Millis;
  /** Unix ms: what is kept is kept in these. */
  readonly unixMs: Millis;
  /** When the link was opened, in Unix ms. */
  readonly linkOpenedMs: Millis;
}

/** What handlers count. */
export type RegistryCount =
  | 'requests'
  | 'refused'
  | 'unknownType'
  | 'badSignature'
  | 'unsignedRefused'
  | 'registered'
  | 'rateLimited'
  | 'mailDelivered'
  | 'mailRedelivered';

/** Shared by the handlers of one registry. */
export interface Context {
  readonly settings: Settings;
  readonly tally: Tally<RegistryCount>;
  readonly newNodes: Budget;
  /** Something waits in the mailbox of this node. */
  notify(nodeId: number): void;
}

/** One type of request. */
export type Handler = (context: Context, caller: Caller, fields: RegistryFields) => Steps<Answer>;

/** Whether a node counts as present. What is silent too long stays on record (CP 1.21, R13) but is `not found`. */
export function isLive(context: Context, caller: Caller, node: NodeRecord): boolean {
  return !node.isDeregistered && caller.unixMs - node.lastSeenMs <= context.settings.staleMs;
}
