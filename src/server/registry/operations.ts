/**
 * What the registry's handlers ask of the world: reads and writes of the store, and signatures to verify. Handlers are
 * generators that yield these; whoever runs them answers at once or later (design: decision 1). Between two yields
 * other requests may run, so a write that depends on what was read names it and fails when it changed.
 */
import type { Millis } from '../../config.ts';

/** All that is kept of a node. Immutable: a change makes a new one. Times are Unix ms. */
export interface NodeRecord {
  /** Never given to another key (CP 1.7.2). */
  readonly nodeId: number;
  /** The key that the node was created with: names the line of its rotations, which is what trust is bound to. */
  readonly originKey: string;
  /** Base64, 32 bytes. */
  readonly publicKey: string;
  /** A signed registration was seen; unsigned ones are refused for ever (CP 1.7.3). */
  readonly isSigned: boolean;
  readonly owner: string;
  /** Underlay `host:port`. */
  readonly endpoint: string;
  /** Where the registration came from: the source address of its link. */
  readonly registeredHost: string;
  readonly lanAddresses: readonly string[];
  readonly version: string;
  readonly isRelayOnly: boolean;
  /** Empty: none. */
  readonly hostname: string;
  readonly tags: readonly string[];
  readonly isPublic: boolean;
  /** Ascending; network 0 is the backbone, where everyone is. */
  readonly networks: readonly number[];
  /** It acknowledges mail: what it was sent stays until it says that it has it. */
  readonly acknowledgesMail: boolean;
  readonly isDeregistered: boolean;
  readonly createdMs: Millis;
  /** 0: never. */
  readonly rotatedMs: Millis;
  readonly rotations: number;
  readonly lastSeenMs: Millis;
}

/** What may change by `changeNode`. Host names go through `claimHostname`, since others may hold them. */
export type NodeChange = Partial<Omit<NodeRecord, 'nodeId' | 'originKey' | 'hostname' | 'createdMs'>>;

/** One message in a mailbox (CP 1.9.2). */
export interface MailEntry {
  /** Rises with every entry, over restarts too; what a client acknowledges. */
  readonly seq: number;
  readonly kind: 'request' | 'response';
  readonly from: number;
  /** Key of the sender when it signed. */
  readonly publicKey: string;
  readonly justification: string;
  readonly accept: boolean;
  readonly timestampMs: Millis;
  /** When it was last part of an answer; 0: never. */
  readonly deliveredMs: Millis;
  readonly deliveries: number;
  /** The addressee has it. A request then only waits to be responded to. */
  readonly isRead: boolean;
}

/** A message to be put into a mailbox. */
export type NewMail = Pick<MailEntry, 'kind' | 'from' | 'publicKey' | 'justification' | 'accept' | 'timestampMs'>;

/** A beacon that announced itself. */
export interface BeaconRecord {
  readonly id: number;
  readonly address: string;
  readonly expiresMs: Millis;
}

/** Fields of each operation, by type. */
interface Inputs {
  node: { nodeId: number };
  nodeByKey: { publicKey: string };
  nodeByHostname: { hostname: string };
  addNode: { node: Omit<NodeRecord, 'nodeId' | 'hostname'>; limit: number };
  /** `publicKey`: the key that the node must still have. */
  changeNode: { nodeId: number; publicKey: string; change: NodeChange };
  /** An empty name gives the present one back. Leases of nodes not seen since `lapsedMs` are void. */
  claimHostname: { nodeId: number; hostname: string; lapsedMs: Millis };
  /** Ascending by id, those above `after`. */
  nodesAfter: { after: number; limit: number };
  nodesByTag: { tag: string; after: number; limit: number };
  giveConsent: { from: NodeRecord; to: NodeRecord; limit: number };
  withdrawConsents: { a: number; b: number };
  trusted: { node: NodeRecord; peers: readonly NodeRecord[] };
  putMail: { to: number; mail: NewMail; limit: number; sentLimit: number };
  mail: { nodeId: number };
  /** `gone` leave, `read` become so, `delivered` were part of an answer at `nowMs`. */
  settleMail: {
    nodeId: number;
    gone: readonly number[];
    read: readonly number[];
    delivered: readonly number[];
    nowMs: Millis;
  };
  putBeacon: { beacon: BeaconRecord; limit: number; nowMs: Millis };
  beacons: { nowMs: Millis };
  /** Throws away what has expired. */
  sweep: { nowMs: Millis; mailMs: Millis };
  verify: { publicKey: Uint8Array; message: Uint8Array; signature: Uint8Array };
}

/** Result of each operation, by type. */
export interface Results {
  node: NodeRecord | undefined;
  nodeByKey: NodeRecord | undefined;
  nodeByHostname: NodeRecord | undefined;
  /** `exists`: another request registered this key meanwhile. */
  addNode: NodeRecord | 'exists' | 'full';
  /** Undefined: the node has another key by now, or the new key belongs to another node. */
  changeNode: NodeRecord | undefined;
  /** The holder: `nodeId` when it succeeded. */
  claimHostname: number;
  nodesAfter: readonly NodeRecord[];
  nodesByTag: readonly NodeRecord[];
  /** False: too many. */
  giveConsent: boolean;
  /** False: there were none. */
  withdrawConsents: boolean;
  /** Ids of those peers with whom consent is mutual. */
  trusted: ReadonlySet<number>;
  /** A request from that sender may wait already. */
  putMail: 'stored' | 'pending' | 'full';
  mail: readonly MailEntry[];
  settleMail: undefined;
  putBeacon: boolean;
  beacons: readonly BeaconRecord[];
  sweep: undefined;
  verify: boolean;
}

type OperationOf<Type extends keyof Inputs> = { readonly type: Type } & Readonly<Inputs[Type]>;

/** Something that a handler waits for. */
export type Operation = { [Type in keyof Inputs]: OperationOf<Type> }[keyof Inputs];
/** The verification of a signature: not for the store. */
export type VerifyOperation = OperationOf<'verify'>;
/** Everything that the store answers. */
export type StoreOperation = Exclude<Operation, VerifyOperation>;

/** What a handler is: it yields operations, is resumed with their results, and returns `T`. */
export type Steps<T> = Generator<Operation, T, unknown>;

/** Yields one operation and types its result: the only place where that is asserted. */
export function* perform<Type extends keyof Inputs>(type: Type, fields: Inputs[Type]): Steps<Results[Type]> {
  return (yield { type, ...fields } as unknown as Operation) as Results[Type];
}

/** Runs a handler whose operations are all answered at once. */
export function runSteps<T>(steps: Steps<T>, execute: (operation: Operation) => unknown): T {
  let step = steps.next();
  while (!step.done) step = steps.next(execute(step.value));
  return step.value;
}
