/**
 * Where our registry answers otherwise than the recorded one, and why: rules of CP 1.21, networks that are not served
 * (CP 1.11 to 1.14), and what the newest reference changed. A rule excuses an answer only when what went before bears it
 * out, so it holds for any recording.
 */
import { CHALLENGE } from '../../src/wire/registry.ts';
import { verifyEd25519 } from './rig.ts';

export type Fields = Record<string, unknown>;

/** One request with both answers. */
export interface Exchange {
  readonly request: Fields;
  readonly recorded: Fields;
  readonly ours: Fields;
}

/** Requests of CP 1.2 to 1.10; all others get the answer to an unknown type. */
export const SERVED: ReadonlySet<unknown> = new Set([
  ...['register', 'heartbeat', 'rotate_key', 'set_key_expiry', 'get_key_info', 'deregister'],
  ...['lookup', 'resolve', 'resolve_hostname', 'list_nodes', 'set_hostname', 'set_tags', 'set_visibility'],
  ...['report_trust', 'revoke_trust', 'check_trust', 'request_handshake', 'poll_handshakes', 'respond_handshake'],
  ...['punch', 'beacon_register', 'beacon_list'],
]);

/** What earlier exchanges of a recording showed. */
export class History {
  readonly #keys = new Map<unknown, string>();
  readonly #owners = new Set<unknown>();
  readonly #consents = new Set<string>();
  #hasBeacons = false;

  note({ request, ours }: Exchange): void {
    const { type } = request;
    if (ours.type === 'register_ok' || ours.type === 'rotate_key_ok') {
      this.#keys.set(ours.node_id, ours.public_key as string);
    }
    if (type === 'register') this.#owners.add(request.owner);
    if (type === 'beacon_register') this.#hasBeacons = true;
    if (ours.type === 'report_trust_ok') this.#consents.add(`${request.node_id} ${request.peer_id}`);
    if (ours.type === 'revoke_trust_ok') {
      this.#consents.delete(`${request.node_id} ${request.peer_id}`);
      this.#consents.delete(`${request.peer_id} ${request.node_id}`);
    }
  }

  /** Whether the present key of a node signed this. */
  isSigned(nodeId: unknown, text: string, signature: unknown): boolean {
    const key = this.#keys.get(nodeId);
    if (key === undefined || typeof signature !== 'string') return false;
    const [publicKey, bytes] = [key, signature].map((base64) => Uint8Array.from(Buffer.from(base64, 'base64')));
    return bytes!.length === 64 && verifyEd25519(publicKey!, new TextEncoder().encode(text), bytes!);
  }

  hasOwner(owner: unknown): boolean {
    return owner !== undefined && owner !== '' && this.#owners.has(owner);
  }

  get hasBeacons(): boolean {
    return this.#hasBeacons;
  }

  isOneSided(a: unknown, b: unknown): boolean {
    return this.#consents.has(`${a} ${b}`) !== this.#consents.has(`${b} ${a}`);
  }
}

interface Rule {
  readonly name: string;
  readonly types: readonly string[];
  explains(exchange: Exchange, history: History): boolean;
}

const isError = (answer: Fields, text: RegExp): boolean => answer.type === 'error' && text.test(`${answer.error}`);
const without = (answer: Fields, name: string): string => {
  const { [name]: _, ...rest } = answer;
  return JSON.stringify(Object.entries(rest).sort());
};

const RULES: readonly Rule[] = [
  {
    name: 'R8: heartbeats are always verified',
    types: ['heartbeat'],
    explains: ({ request, recorded, ours }, history) =>
      recorded.type === 'heartbeat_ok' &&
      isError(ours, /^signature (verification failed|required for authenticated node)$/) &&
      !history.isSigned(request.node_id, CHALLENGE.heartbeat(request.node_id as number), request.signature),
  },
  {
    name: 'CP 1.4 [N]: the mask lets "signature" through',
    types: [...SERVED] as string[],
    explains: ({ recorded, ours }) =>
      isError(recorded, /^request failed$/) && isError(ours, /^signature verification failed$/),
  },
  {
    name: 'R4: one side alone makes no pair',
    types: ['check_trust'],
    explains: ({ request, recorded, ours }, history) =>
      recorded.trusted === true && ours.trusted === false && history.isOneSided(request.node_id, request.peer_id),
  },
  {
    name: 'R7: beacons show a secret',
    types: ['beacon_register', 'beacon_list'],
    explains: ({ request, recorded, ours }, history) =>
      request.type === 'beacon_register'
        ? recorded.type === 'beacon_register_ok' && isError(ours, /^invalid admin token$/)
        : history.hasBeacons && JSON.stringify(ours.beacons) === '[]',
  },
  {
    name: 'R3: the owner is no way to an id',
    types: ['register'],
    explains: ({ request, recorded, ours }, history) =>
      recorded.node_id !== ours.node_id && history.hasOwner(request.owner) && ours.type === 'register_ok',
  },
  {
    name: 'no networks here',
    types: ['list_nodes', 'lookup', 'set_key_expiry'],
    explains: ({ request, recorded, ours }) => {
      if (request.type === 'list_nodes')
        return isError(ours, new RegExp(`^network ${request.network_id}: network not`));
      if (request.type === 'set_key_expiry') return isError(ours, /^enterprise feature: requires enterprise network$/);
      const isMember = (recorded.networks as unknown[] | undefined)?.some((network) => network !== 0) === true;
      return isMember && without(recorded, 'networks') === without(ours, 'networks');
    },
  },
  {
    name: 'no networks here, so no expiry',
    types: ['get_key_info'],
    explains: ({ recorded, ours }) => 'expires_at' in recorded && without(recorded, 'expires_at') === without(ours, ''),
  },
];

/** The rule by which our answer differs; undefined when there is none. */
export function ruleFor(exchange: Exchange, history: History): string | undefined {
  const rule = RULES.find(
    ({ types, explains }) => types.includes(exchange.request.type as string) && explains(exchange, history),
  );
  return rule?.name;
}
