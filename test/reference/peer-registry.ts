/**
 * What a daemon asks its registry (CP 1.5–1.10), as requests and answers; the link is somebody else's.
 */
import { fromBase64, toBase64 } from '../../src/wire/base64.ts';
import { parseHostPort } from '../../src/wire/host-port.ts';
import { CHALLENGE, type RegistryFields } from '../../src/wire/registry.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { PeerSelf } from './peer-exchange.ts';
import type { Resolved } from './peer-tunnel.ts';

/** Carries a request to a registry and the answer back, in the same call or later. */
export type RegistryAsk = (request: RegistryFields, answer: (fields: RegistryFields) => void) => void;

/** What is told with a registration (CP 1.7.1). */
export interface RegistrationFields {
  /** `host:port`, exactly as it shall be signed. */
  readonly listenAddress: string;
  readonly hostname?: string;
  readonly owner?: string;
  readonly relayOnly?: boolean;
  readonly lanAddresses?: readonly string[];
}

/** What a poll of the mailbox brings (CP 1.9.2). */
export interface PolledHandshakes {
  readonly requests: readonly { readonly nodeId: number; readonly justification: string }[];
  readonly responses: readonly { readonly nodeId: number; readonly isAccepted: boolean }[];
}

/** A client of one registry. */
export class PeerRegistry {
  readonly #self: PeerSelf;
  readonly #behaviour: Behaviour;
  readonly #ask: RegistryAsk;

  constructor(self: PeerSelf, behaviour: Behaviour, ask: RegistryAsk) {
    this.#self = self;
    this.#behaviour = behaviour;
    this.#ask = ask;
  }

  /** Any request as it is. */
  ask(request: RegistryFields, answer: (fields: RegistryFields) => void = () => {}): void {
    this.#ask(request, answer);
  }

  /** Adds the signature of this node over `challenge`. */
  signed(challenge: string, request: RegistryFields, answer: (fields: RegistryFields) => void = () => {}): void {
    const signature = toBase64(this.#self.identity.sign(new TextEncoder().encode(challenge)));
    this.#ask({ ...request, signature }, answer);
  }

  /** Registers and takes the node id. */
  register(fields: RegistrationFields, done: (nodeId: number | undefined) => void = () => {}): void {
    const publicKey = toBase64(this.#self.identity.publicKey);
    const request: RegistryFields = {
      type: 'register',
      listen_addr: fields.listenAddress,
      public_key: publicKey,
      version: 'reference',
      ...(fields.owner === undefined ? {} : { owner: fields.owner }),
      ...(fields.hostname === undefined ? {} : { hostname: fields.hostname }),
      ...(fields.relayOnly === undefined ? {} : { relay_only: fields.relayOnly }),
      ...(fields.lanAddresses === undefined ? {} : { lan_addrs: fields.lanAddresses }),
    };
    const taken = (answer: RegistryFields): void => {
      const nodeId = typeof answer.node_id === 'number' && answer.error === undefined ? answer.node_id : undefined;
      if (nodeId !== undefined) this.#self.nodeId = nodeId;
      done(nodeId);
    };
    if (this.#behaviour.signsRegister) {
      this.signed(CHALLENGE.register(fields.listenAddress, publicKey), request, taken);
    } else {
      this.#ask(request, taken);
    }
  }

  heartbeat(answer?: (fields: RegistryFields) => void): void {
    const { nodeId } = this.#self;
    this.signed(CHALLENGE.heartbeat(nodeId), { type: 'heartbeat', node_id: nodeId }, answer);
  }

  setVisibility(isPublic: boolean): void {
    const { nodeId } = this.#self;
    const request = { type: 'set_visibility', node_id: nodeId, public: isPublic };
    this.signed(CHALLENGE.setVisibility(nodeId), request);
  }

  /** The Ed25519 key of a node; undefined when the registry does not know it or cannot be asked. */
  lookup(nodeId: number, answer: (key: Uint8Array | undefined) => void): void {
    this.#ask({ type: 'lookup', node_id: nodeId }, ({ public_key }) => {
      const key = typeof public_key === 'string' ? fromBase64(public_key) : undefined;
      answer(key?.length === 32 ? key : undefined);
    });
  }

  /** Where a node is; undefined when the registry does not say (CP 1.8.2). */
  resolve(nodeId: number, answer: (found: Resolved | undefined) => void): void {
    const requester = this.#self.nodeId;
    const request = { type: 'resolve', node_id: nodeId, requester_id: requester };
    this.signed(CHALLENGE.resolve(requester, nodeId), request, ({ real_addr, relay_only }) => {
      const relayOnly = relay_only === true;
      const place = typeof real_addr === 'string' ? parseHostPort(real_addr) : undefined;
      answer(place === undefined ? undefined : { endpoint: relayOnly ? undefined : place, relayOnly });
    });
  }

  reportTrust(peer: number, answer?: (fields: RegistryFields) => void): void {
    const { nodeId } = this.#self;
    const request = { type: 'report_trust', node_id: nodeId, peer_id: peer };
    this.signed(CHALLENGE.reportTrust(nodeId, peer), request, answer);
  }

  revokeTrust(peer: number, answer?: (fields: RegistryFields) => void): void {
    const { nodeId } = this.#self;
    const request = { type: 'revoke_trust', node_id: nodeId, peer_id: peer };
    this.signed(CHALLENGE.revokeTrust(nodeId, peer), request, answer);
  }

  /** Whether the registry has a trust pair or a shared network (CP 1.9.1). */
  checkTrust(peer: number, answer: (isTrusted: boolean) => void): void {
    const request = { type: 'check_trust', node_id: this.#self.nodeId, peer_id: peer };
    this.#ask(request, ({ trusted }) => answer(trusted === true));
  }

  requestHandshake(to: number, justification: string, answer?: (fields: RegistryFields) => void): void {
    const { nodeId } = this.#self;
    const request = { type: 'request_handshake', from_node_id: nodeId, to_node_id: to, justification };
    this.signed(CHALLENGE.requestHandshake(nodeId, to), request, answer);
  }

  respondHandshake(peer: number, isAccepted: boolean, answer?: (fields: RegistryFields) => void): void {
    const { nodeId } = this.#self;
    const request = { type: 'respond_handshake', node_id: nodeId, peer_id: peer, accept: isAccepted };
    this.signed(CHALLENGE.respondHandshake(nodeId, peer), request, answer);
  }

  /** Empties the mailbox. */
  pollHandshakes(answer: (polled: PolledHandshakes) => void): void {
    const { nodeId } = this.#self;
    const request = { type: 'poll_handshakes', node_id: nodeId };
    this.signed(CHALLENGE.pollHandshakes(nodeId), request, ({ requests, responses }) => {
      answer({
        requests: entries(requests).map(({ from_node_id, justification }) => ({
          nodeId: Number(from_node_id),
          justification: String(justification ?? ''),
        })),
        responses: entries(responses).map(({ from_node_id, accept }) => ({
          nodeId: Number(from_node_id),
          isAccepted: accept === true,
        })),
      });
    });
  }
}

function entries(list: unknown): RegistryFields[] {
  return Array.isArray(list) ? (list as RegistryFields[]) : [];
}
