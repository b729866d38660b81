/**
 * What the registry knows of others, cached: identity keys, addresses, names, trust (CP 1.8, 1.9). Strangers can make
 * us ask only within a budget; a question under way is never asked twice.
 */
import { LIMITS, type Millis, TIMERS } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { fromBase64 } from '../wire/base64.ts';
import { parseHostPort } from '../wire/host-port.ts';
import { BROADCAST_NODE } from '../wire/packet.ts';
import { CHALLENGE } from '../wire/registry.ts';
import type { RegistryObject } from './events.ts';
import type { RegistryClient, RegistryOutcome, RegistryRequest } from './registry-client.ts';

/** Where a node can be reached. */
export interface Location {
  readonly host: string;
  readonly port: number;
  readonly isRelayOnly: boolean;
}

/** A value, or why there is none. */
export type Found<T> = { ok: true; value: T } | { ok: false; code: ErrorCode; message: string };

type Then<T> = (now: Millis, found: Found<T>) => void;

interface Cached<T> {
  readonly found: Found<T>;
  readonly since: Millis;
  readonly until: Millis;
}

/** A question to the registry, and where its answer is kept. */
interface Question<T> {
  readonly cache: Cache<T>;
  readonly name: string;
  readonly request: RegistryRequest;
  readonly keepMs: Millis;
  readonly read: (answer: RegistryObject) => T | undefined;
}

const CACHE_ENTRIES = 16_384;
/** DP 3.10: negative answers are kept 3 s. */
const NEGATIVE_MS = 3_000;
const KEY_MS = 3_600_000;
const KEY_BYTES = 32;
const NOWHERE: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
const LOCATION_MS = 60_000;
/** Failures that say nothing about the node: the next question is asked. */
const NO_ANSWER: ReadonlySet<ErrorCode> = new Set([
  'BUSY',
  'CLOSED',
  'IDENTITY_INVALID',
  'INSECURE',
  'RENDEZVOUS_UNREACHABLE',
  'TLS_PIN_MISMATCH',
]);
const NOT_REGISTERED = { ok: false, code: 'RENDEZVOUS_UNREACHABLE', message: 'Not registered yet' } as const;

/** Questions about other nodes. `then` may run before the call returns. */
export class Directory {
  readonly #client: RegistryClient;
  readonly #keys: Cache<Uint8Array> = new Cache();
  readonly #locations: Cache<Location> = new Cache();
  readonly #names: Cache<number> = new Cache();
  /** 0 until registered. */
  nodeId = 0;

  constructor(client: RegistryClient) {
    this.#client = client;
  }

  /** The Ed25519 key that the registry has for a node. @param isBackground - A stranger wants to know. */
  key(now: Millis, peer: number, then: Then<Uint8Array>, isBackground = false): void {
    const requester_id = this.nodeId;
    const fields = { type: 'lookup', node_id: peer, ...(requester_id === 0 ? {} : { requester_id }) };
    const challenge = requester_id === 0 ? {} : { challenge: CHALLENGE.lookup(requester_id, peer) };
    const request = { fields, ...challenge, isBackground };
    this.#ask(now, { cache: this.#keys, name: `${peer}`, request, keepMs: KEY_MS, read: readKey }, then);
  }

  /** The same, not from memory, unless that is 3 s old at most: whoever shows wrong keys must not make us ask for each. */
  freshKey(now: Millis, peer: number, then: Then<Uint8Array>, isBackground = false): void {
    this.#keys.expire(`${peer}`, now - NEGATIVE_MS);
    this.key(now, peer, then, isBackground);
  }

  /** The key if it was asked before and is still kept. */
  cachedKey(now: Millis, peer: number): Uint8Array | undefined {
    const cached = this.#keys.get(now, `${peer}`);
    return cached?.ok ? cached.value : undefined;
  }

  /** The next question for this node's key goes to the registry. */
  forgetKey(peer: number): void {
    this.#keys.delete(`${peer}`);
  }

  /** The address of a node that lets us see it. */
  location(now: Millis, peer: number, then: Then<Location>): void {
    if (this.nodeId === 0) {
      then(now, NOT_REGISTERED);
      return;
    }
    const fields = { type: 'resolve', node_id: peer, requester_id: this.nodeId };
    const request = { fields, challenge: CHALLENGE.resolve(this.nodeId, peer) };
    const question = { cache: this.#locations, name: `${peer}`, request, keepMs: LOCATION_MS, read: readLocation };
    this.#ask(now, question, then);
  }

  /** Trust changed: what was not to be seen may be seen now. */
  forgetRefusals(): void {
    this.#names.forgetRefusals();
    this.#locations.forgetRefusals();
  }

  forgetLocation(peer: number): void {
    this.#locations.delete(`${peer}`);
  }

  /** The node that has a host name. Private names resolve for those they trust, so we say who asks (CP 1.8.3). */
  name(now: Millis, hostname: string, then: Then<number>): void {
    const requester_id = this.nodeId;
    const fields = { type: 'resolve_hostname', hostname, ...(requester_id === 0 ? {} : { requester_id }) };
    const challenge = requester_id === 0 ? {} : { challenge: CHALLENGE.resolveHostname(requester_id) };
    const request = { fields, ...challenge };
    const question = { cache: this.#names, name: hostname, request, keepMs: TIMERS.nameCacheMs, read: readNodeId };
    this.#ask(now, question, then);
  }

  /**
   * Whether the registry holds a trust pair or a shared network for us and `peer`. Not cached here.
   *
   * @param then - Gets undefined when the registry could not be asked.
   */
  trust(now: Millis, peer: number, then: (now: Millis, isTrusted: boolean | undefined) => void): void {
    if (this.nodeId === 0) {
      then(now, undefined);
      return;
    }
    const challenge = CHALLENGE.checkTrust(this.nodeId, peer);
    const fields = { type: 'check_trust', node_id: this.nodeId, peer_id: peer, requester_id: this.nodeId };
    this.#client.request(now, { fields, challenge, isIdempotent: true, isBackground: true }, (at, outcome) => {
      // A refusal is an answer: who asked again for each packet would only hear it again.
      if (outcome.ok) then(at, outcome.answer.trusted === true);
      else then(at, NO_ANSWER.has(outcome.code) ? undefined : false);
    });
  }

  #ask<T>(now: Millis, question: Question<T>, then: Then<T>): void {
    const { cache, name, request, keepMs, read } = question;
    const cached = cache.get(now, name);
    if (cached !== undefined) {
      then(now, cached);
      return;
    }
    const place = cache.join(name, then);
    if (place === 'full') then(now, { ok: false, code: 'BUSY', message: 'Too many wait for the same answer' });
    if (place !== 'first') return;
    this.#client.request(now, { ...request, isIdempotent: true }, (at, outcome) => {
      const found = foundIn(outcome, read);
      const isKept = found.ok || !NO_ANSWER.has(found.code);
      if (isKept) cache.set(name, { found, since: at, until: at + (found.ok ? keepMs : NEGATIVE_MS) });
      for (const waiting of cache.leave(name)) waiting(at, found);
    });
  }
}

/** Answers by name, and who waits for one; both bounded. */
class Cache<T> {
  readonly #entries = new Map<string, Cached<T>>();
  readonly #waiting = new Map<string, Then<T>[]>();

  get(now: Millis, name: string): Found<T> | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.until <= now) return undefined;
    return entry.found;
  }

  set(name: string, entry: Cached<T>): void {
    this.#entries.delete(name);
    if (this.#entries.size >= CACHE_ENTRIES) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(name, entry);
  }

  delete(name: string): void {
    this.#entries.delete(name);
  }

  forgetRefusals(): void {
    for (const [name, { found }] of this.#entries) if (!found.ok) this.#entries.delete(name);
  }

  /** Forgets what was known before `since`. */
  expire(name: string, since: Millis): void {
    if ((this.#entries.get(name)?.since ?? since) < since) this.#entries.delete(name);
  }

  /** Waits for the answer. The first one has to ask. */
  join(name: string, then: Then<T>): 'first' | 'joined' | 'full' {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) {
      this.#waiting.set(name, [then]);
      return 'first';
    }
    if (waiting.length >= LIMITS.lookupQueue) return 'full';
    waiting.push(then);
    return 'joined';
  }

  leave(name: string): Then<T>[] {
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.delete(name);
    return waiting;
  }
}

function foundIn<T>(outcome: RegistryOutcome, read: (answer: RegistryObject) => T | undefined): Found<T> {
  if (!outcome.ok) return outcome;
  const value = read(outcome.answer);
  if (value === undefined)
    return { ok: false, code: 'PROTOCOL', message: 'The registry sent an answer without its fields' };
  return { ok: true, value };
}

function readKey(answer: RegistryObject): Uint8Array | undefined {
  const key = typeof answer.public_key === 'string' ? fromBase64(answer.public_key) : undefined;
  return key?.length === KEY_BYTES ? key : undefined;
}

/** Nothing can be sent to port 0 or to no host; runtimes throw when asked to. */
function readLocation(answer: RegistryObject): Location | undefined {
  const address = typeof answer.real_addr === 'string' ? parseHostPort(answer.real_addr) : undefined;
  if (address === undefined || address.port === 0 || NOWHERE.has(address.host)) return undefined;
  return { ...address, isRelayOnly: answer.relay_only === true };
}

function readNodeId(answer: RegistryObject): number | undefined {
  const id = answer.node_id;
  return typeof id === 'number' && Number.isInteger(id) && id > 0 && id < BROADCAST_NODE ? id : undefined;
}
