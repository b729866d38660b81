// A registry in a world without sockets: virtual time, real signatures, answers at once.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import {
  type Caller,
  fieldsOf,
  type LinkCount,
  type Operation,
  Registry,
  runSteps,
  Session,
  type Settings,
} from '../../src/server/registry/index.ts';
import { MemoryStore } from '../../src/server/store/memory.ts';
import type { Store } from '../../src/server/store/store.ts';
import { Tally } from '../../src/server/tally.ts';
import { CHALLENGE, type RegistryFields } from '../../src/wire/registry.ts';

/** The second at which most vectors were recorded. */
export const RECORDED_MS = 1_795_380_497_000;

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

export class Identity {
  readonly publicKey: Uint8Array;
  readonly key: string;
  readonly #private: KeyObject;

  constructor(name: string) {
    const seed = createHash('sha256').update(name).digest();
    this.#private = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
    const spki = createPublicKey(this.#private).export({ format: 'der', type: 'spki' });
    this.publicKey = new Uint8Array(spki.subarray(-32));
    this.key = Buffer.from(this.publicKey).toString('base64');
  }

  sign(text: string): string {
    return Buffer.from(this.signBytes(text)).toString('base64');
  }

  signBytes(text: string): Uint8Array {
    return new Uint8Array(sign(null, Buffer.from(text), this.#private));
  }
}

export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' });
  return verify(null, message, key, signature);
}

/** One registry, its store and its clock. */
export class World {
  readonly registry: Registry;
  readonly store: Store = new MemoryStore();
  unixMs = RECORDED_MS;
  /** Where requests come from, and when their link was opened. */
  host = '127.0.0.1';
  linkOpenedMs: number = RECORDED_MS;
  verifications = 0;

  constructor(settings?: Partial<Settings>) {
    this.registry = new Registry(settings);
  }

  get caller(): Caller {
    const { host, unixMs, linkOpenedMs } = this;
    return { host, port: 50_000, now: unixMs - RECORDED_MS, unixMs, linkOpenedMs };
  }

  execute = (operation: Operation): unknown => {
    if (operation.type !== 'verify') return this.store.execute(operation);
    this.verifications += 1;
    return verifyEd25519(operation.publicKey, operation.message, operation.signature);
  };

  /** The answer as a JSON client sees it. */
  ask(fields: RegistryFields): Record<string, unknown> {
    return { ...fieldsOf(runSteps(this.registry.handle(this.caller, fields), this.execute)) };
  }

  /** Signs with `challenge`, then asks. */
  signed(identity: Identity, challenge: string, fields: RegistryFields): Record<string, unknown> {
    return this.ask({ ...fields, signature: identity.sign(challenge) });
  }

  /** Registers, signed, and returns the node id. */
  join(identity: Identity, fields: RegistryFields = {}): number {
    const listen_addr = `${this.host}:4000`;
    const challenge = CHALLENGE.register(listen_addr, identity.key);
    const request = { type: 'register', listen_addr, public_key: identity.key, ...fields };
    return this.signed(identity, challenge, request).node_id as number;
  }

  heartbeat(identity: Identity, node_id: number): Record<string, unknown> {
    return this.signed(identity, CHALLENGE.heartbeat(node_id), { type: 'heartbeat', node_id });
  }

  report(identity: Identity, node_id: number, peer_id: number): Record<string, unknown> {
    const fields = { type: 'report_trust', node_id, peer_id };
    return this.signed(identity, CHALLENGE.reportTrust(node_id, peer_id), fields);
  }

  revoke(identity: Identity, node_id: number, peer_id: number): Record<string, unknown> {
    const fields = { type: 'revoke_trust', node_id, peer_id };
    return this.signed(identity, CHALLENGE.revokeTrust(node_id, peer_id), fields);
  }

  isTrusted(node_id: number, peer_id: number): unknown {
    return this.ask({ type: 'check_trust', node_id, peer_id }).trusted;
  }

  resolve(identity: Identity, requester_id: number, node_id: number): Record<string, unknown> {
    const fields = { type: 'resolve', node_id, requester_id };
    return this.signed(identity, CHALLENGE.resolve(requester_id, node_id), fields);
  }

  request(identity: Identity, from_node_id: number, to_node_id: number, justification = 'hi'): Record<string, unknown> {
    const fields = { type: 'request_handshake', from_node_id, to_node_id, justification };
    return this.signed(identity, CHALLENGE.requestHandshake(from_node_id, to_node_id), fields);
  }

  poll(identity: Identity, node_id: number, more: RegistryFields = {}): Mail {
    const fields = { type: 'poll_handshakes', node_id, ...more };
    return this.signed(identity, CHALLENGE.pollHandshakes(node_id), fields) as unknown as Mail;
  }

  respond(identity: Identity, node_id: number, peer_id: number, accept = true): Record<string, unknown> {
    const fields = { type: 'respond_handshake', node_id, peer_id, accept };
    return this.signed(identity, CHALLENGE.respondHandshake(node_id, peer_id), fields);
  }

  /** Lets time pass and runs what is due. */
  elapse(ms: number): void {
    this.unixMs += ms;
    if (this.unixMs >= this.registry.pollTimeout()) runSteps(this.registry.handleTimeout(this.unixMs), this.execute);
  }
}

export interface Mail {
  readonly requests: { from_node_id: number; justification: string; seq?: number; public_key?: string }[];
  readonly responses: { from_node_id: number; accept: boolean; seq?: number }[];
}

/** One link to a world's registry. */
export class Wire {
  readonly tally: Tally<LinkCount> = new Tally<LinkCount>();
  readonly session: Session;
  readonly #world: World;

  constructor(world: World, isTrusted = true) {
    this.#world = world;
    this.session = new Session(world.caller.now, { tally: this.tally, isTrusted });
  }

  /** Sends bytes and returns all that comes back. */
  send(bytes: Uint8Array): Uint8Array[] {
    this.session.handleBytes(bytes);
    return this.pump();
  }

  pump(): Uint8Array[] {
    const { registry, caller, execute } = this.#world;
    const out: Uint8Array[] = [];
    const flush = (): void => {
      for (let bytes = this.session.pollBytes(); bytes; bytes = this.session.pollBytes()) out.push(bytes);
    };
    for (let fields = this.session.pollRequest(caller.now); fields; fields = this.session.pollRequest(caller.now)) {
      this.session.handleAnswer(runSteps(registry.handle(caller, fields), execute));
      flush();
    }
    flush();
    return out;
  }

  /** Sends one body in a frame and returns the JSON answer. */
  json(body: Uint8Array): Record<string, unknown> | undefined {
    const [answer] = this.send(prefixed(body));
    return answer === undefined ? undefined : JSON.parse(Buffer.from(answer.subarray(4)).toString('utf8'));
  }
}

export function prefixed(body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(4 + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.set(body, 4);
  return new Uint8Array(bytes);
}

export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** A small seeded generator (xorshift32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}
