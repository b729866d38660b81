/**
 * Which endpoint each node has at a beacon, and who may move it (design: decision 12; DP 4.12 for what goes wrong
 * without). A signed Discover moves it. An unsigned one does while the node never signed, and it comes from the address
 * that the node registered from, or the node was silent for a minute.
 */
import type { Millis } from '../config.ts';
import { BUDGETS, STRANGER } from '../config.ts';
import { type DiscoverMessage, discoverText } from '../wire/beacon.ts';
import { Budget } from './budget.ts';

/** What is counted here. */
export type EndpointCount =
  | 'endpointSet'
  | 'endpointMoved'
  | 'endpointHeld'
  | 'endpointTooSoon'
  | 'notSigned'
  | 'unknownNode'
  | 'keyMismatch'
  | 'staleSignature'
  | 'badSignature'
  | 'verifyBudget';

/** Where a datagram came from. Hosts are canonical text, so that equal addresses are equal texts. */
export interface Origin {
  readonly host: string;
  readonly port: number;
}

/** What the registry knows of a node. */
export interface EndpointAuthority {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Source address of its registration. */
  readonly registeredHost: string;
}

/** A signature to verify. */
export interface VerifyJob {
  readonly id: number;
  readonly publicKey: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/** What the beacon has of a node. */
export interface Endpoint {
  path: number;
  host: string;
  port: number;
  /** Last sign of life from this endpoint. */
  seenAt: Millis;
  /** When an unsigned Discover last moved it. */
  movedAt: Millis;
  /** Newest time that the node signed, in Unix ms; 0: it never signed. */
  signedAt: number;
  /** Its key, where no registry tells it: bound by the first signature. */
  publicKey: Uint8Array | undefined;
  isExtended: boolean;
  notifiedAt: Millis;
}

/** A Discover whose signature is being verified. */
interface Claim {
  readonly nodeId: number;
  readonly path: number;
  readonly host: string;
  readonly port: number;
  readonly signedAt: number;
  readonly publicKey: Uint8Array;
  readonly isExtended: boolean;
}

/** DP 4.7. */
const FORGET_MS = 600_000;
const MOVE_GAP_MS = 30_000;
/** Design decision 12. */
const SILENT_MS = 60_000;
const CLAIMS_MAX = 1_024;
const SOURCES = 65_536;
const NEVER = Number.NEGATIVE_INFINITY;
const ENCODER: TextEncoder = new TextEncoder();

/** The table of one beacon. */
export class Endpoints {
  readonly #tally: { add(name: EndpointCount): void };
  readonly #authority: ((nodeId: number) => EndpointAuthority | undefined) | undefined;
  readonly #limit: number;
  readonly #endpoints = new Map<number, Endpoint>();
  readonly #verifications: Budget = new Budget({
    perSecond: BUDGETS.verificationsPerSecond[STRANGER],
    burst: BUDGETS.verificationsPerSecond[STRANGER],
    capacity: SOURCES,
  });
  readonly #claims = new Map<number, Claim>();
  readonly #jobs: VerifyJob[] = [];
  #nextJob = 1;

  constructor(
    tally: { add(name: EndpointCount): void },
    options: { authority: ((nodeId: number) => EndpointAuthority | undefined) | undefined; limit: number },
  ) {
    this.#tally = tally;
    this.#authority = options.authority;
    this.#limit = options.limit;
  }

  get size(): number {
    return this.#endpoints.size;
  }

  /** Where a node is, unless it was silent for ten minutes. */
  get(now: Millis, nodeId: number): Endpoint | undefined {
    const endpoint = this.#endpoints.get(nodeId);
    return endpoint !== undefined && now - endpoint.seenAt <= FORGET_MS ? endpoint : undefined;
  }

  /** Whether the node is known or there is room for it. */
  hasRoom(now: Millis, nodeId: number): boolean {
    return this.#endpoints.has(nodeId) || this.#endpoints.size < this.#limit || this.sweep(now) > 0;
  }

  /** Takes a Discover with a node id: refreshes, moves, or begins to verify. */
  discover(now: Millis, source: { path: number; from: Origin; isTrusted: boolean }, message: DiscoverMessage): void {
    const { path, from } = source;
    const { nodeId, publicKey, signedAt, signature, extended } = message;
    const known = this.get(now, nodeId);
    const isHere = known !== undefined && isAt(known, from);
    if (isHere) {
      known.seenAt = now;
      known.path = path;
      known.isExtended = extended;
    }
    if (publicKey === undefined || signedAt === undefined || signature === undefined) {
      if (!isHere) this.#move(now, nodeId, source, { isExtended: extended, gapMs: MOVE_GAP_MS });
      return;
    }
    const authority = this.#authority?.(nodeId);
    if (this.#authority !== undefined && authority === undefined) {
      this.#tally.add('unknownNode');
      return;
    }
    const expected = authority?.publicKey ?? known?.publicKey;
    if (expected !== undefined && !isEqual(expected, publicKey)) {
      this.#tally.add('keyMismatch');
      return;
    }
    // Rising, so that a recorded Discover moves nothing.
    if (known !== undefined && signedAt <= known.signedAt) {
      this.#tally.add('staleSignature');
      return;
    }
    const isBudgeted = this.#claims.size < CLAIMS_MAX && this.#verifications.take(now, from.host, source.isTrusted);
    if (!isBudgeted) {
      this.#tally.add('verifyBudget');
      return;
    }
    const id = this.#nextJob;
    this.#nextJob += 1;
    const key = publicKey.slice();
    this.#claims.set(id, {
      nodeId,
      path,
      host: from.host,
      port: from.port,
      signedAt,
      publicKey: key,
      isExtended: extended,
    });
    const text = ENCODER.encode(discoverText(nodeId, signedAt));
    this.#jobs.push({ id, publicKey: key, message: text, signature: signature.slice() });
  }

  /** The endpoint of a node that speaks from there, moved there when unsigned words suffice. */
  claim(now: Millis, nodeId: number, source: { path: number; from: Origin }): Endpoint | undefined {
    if (nodeId === 0) return undefined;
    const known = this.get(now, nodeId);
    if (known !== undefined && isAt(known, source.from)) {
      known.seenAt = now;
      known.path = source.path;
      return known;
    }
    if (!this.hasRoom(now, nodeId)) return undefined;
    // DP 4.7: a punch request may move an endpoint without the gap.
    return this.#move(now, nodeId, source, { isExtended: known?.isExtended ?? false, gapMs: 0 });
  }

  handleVerified(now: Millis, id: number, isValid: boolean): void {
    const claim = this.#claims.get(id);
    if (claim === undefined) return;
    this.#claims.delete(id);
    if (!isValid) {
      this.#tally.add('badSignature');
      return;
    }
    const known = this.get(now, claim.nodeId);
    if (known !== undefined && claim.signedAt <= known.signedAt) {
      this.#tally.add('staleSignature');
      return;
    }
    if (!this.hasRoom(now, claim.nodeId)) return;
    const endpoint = this.#set(now, claim.nodeId, claim);
    endpoint.signedAt = claim.signedAt;
    endpoint.publicKey = claim.publicKey;
    endpoint.isExtended = claim.isExtended;
  }

  pollJob(): VerifyJob | undefined {
    return this.#jobs.shift();
  }

  /** Forgets what was silent too long. @returns How many. */
  sweep(now: Millis): number {
    const before = this.#endpoints.size;
    for (const [nodeId, { seenAt }] of this.#endpoints) if (now - seenAt > FORGET_MS) this.#endpoints.delete(nodeId);
    return before - this.#endpoints.size;
  }

  /** Some of the nodes that are here. */
  ids(now: Millis, limit: number): number[] {
    const ids: number[] = [];
    for (const [nodeId, { seenAt }] of this.#endpoints) {
      if (ids.length >= limit) break;
      if (now - seenAt <= FORGET_MS) ids.push(nodeId);
    }
    return ids;
  }

  /** Sets or moves an endpoint on unsigned words, where they suffice. */
  #move(
    now: Millis,
    nodeId: number,
    source: { path: number; from: Origin },
    how: { isExtended: boolean; gapMs: Millis },
  ): Endpoint | undefined {
    const authority = this.#authority?.(nodeId);
    if (this.#authority !== undefined && authority === undefined) {
      this.#tally.add('unknownNode');
      return undefined;
    }
    const known = this.get(now, nodeId);
    if (known !== undefined) {
      const fault = this.#fault(now, known, source.from, { authority, gapMs: how.gapMs });
      if (fault !== undefined) {
        this.#tally.add(fault);
        return undefined;
      }
    }
    const endpoint = this.#set(now, nodeId, { path: source.path, host: source.from.host, port: source.from.port });
    if (known !== undefined) endpoint.movedAt = now;
    endpoint.isExtended = how.isExtended;
    return endpoint;
  }

  /** Why unsigned words do not move this endpoint, if they do not. */
  #fault(
    now: Millis,
    known: Endpoint,
    from: Origin,
    grounds: { authority: EndpointAuthority | undefined; gapMs: Millis },
  ): 'notSigned' | 'endpointHeld' | 'endpointTooSoon' | undefined {
    if (known.signedAt > 0) return 'notSigned';
    // Without a registry the endpoint's own address has to stand in for that of the registration.
    const home = grounds.authority?.registeredHost ?? known.host;
    if (from.host !== home && now - known.seenAt < SILENT_MS) return 'endpointHeld';
    // The gap must not keep a node out that comes home after another took its place.
    const isReturning = from.host === home && known.host !== home;
    return !isReturning && now - known.movedAt < grounds.gapMs ? 'endpointTooSoon' : undefined;
  }

  #set(now: Millis, nodeId: number, at: { path: number; host: string; port: number }): Endpoint {
    const known = this.get(now, nodeId);
    if (known === undefined) {
      this.#tally.add('endpointSet');
      const fresh = { signedAt: 0, publicKey: undefined, isExtended: false, notifiedAt: NEVER, movedAt: NEVER };
      const endpoint = { path: at.path, host: at.host, port: at.port, seenAt: now, ...fresh };
      this.#endpoints.set(nodeId, endpoint);
      return endpoint;
    }
    if (!isAt(known, at)) this.#tally.add('endpointMoved');
    known.path = at.path;
    known.host = at.host;
    known.port = at.port;
    known.seenAt = now;
    return known;
  }
}

/** The path says nothing: the same address may get another one. */
function isAt(endpoint: Endpoint, from: Origin): boolean {
  return endpoint.port === from.port && endpoint.host === from.host;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
