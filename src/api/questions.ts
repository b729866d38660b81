/** Questions to core whose answers come as events: a ticket out, an outcome in. And what the directory answers with. */
import type { Outcome, RegistryObject, Ticket } from '../core/events.ts';
import type { RegistryRequest } from '../core/registry-client.ts';
import type { Driver } from '../driver.ts';
import { PilotError } from '../errors.ts';
import { Address } from '../wire/address.ts';
import { CHALLENGE } from '../wire/registry.ts';
import type { FoundAgent } from './shapes.ts';
import type { Target } from './target.ts';
import { pause } from './wait.ts';

const FIND_PAGES = 100;
/** Pauses before a name is asked for again. */
const FIRST_CONTACT_MS = [250, 500, 1_000] as const;

/** Open questions of one agent. */
export class Questions {
  readonly #driver: () => Driver;
  readonly #open = new Map<Ticket, (outcome: Outcome) => void>();
  #next = 1;

  constructor(driver: () => Driver) {
    this.#driver = driver;
  }

  /** Asks and waits. @param begin - Hands the ticket to core. @throws PilotError what core answered. */
  async ask(begin: (driver: Driver, ticket: Ticket) => void, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    const driver = this.#driver();
    const ticket = this.#next++;
    return await new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#open.delete(ticket);
        reject(signal?.reason);
      };
      this.#open.set(ticket, (outcome) => {
        signal?.removeEventListener('abort', onAbort);
        if (outcome.ok) resolve(outcome.value);
        else reject(new PilotError(outcome.code, outcome.message));
      });
      signal?.addEventListener('abort', onAbort);
      begin(driver, ticket);
      driver.flush();
    });
  }

  /** An answer came. */
  settle(ticket: Ticket, outcome: Outcome): void {
    const settle = this.#open.get(ticket);
    this.#open.delete(ticket);
    settle?.(outcome);
  }

  /** Nothing will be answered any more. */
  close(): void {
    for (const ticket of [...this.#open.keys()]) {
      this.settle(ticket, { ok: false, code: 'CLOSED', message: 'The agent was closed' });
    }
  }

  /** One request to the registry. */
  async request(request: RegistryRequest): Promise<RegistryObject> {
    return (await this.ask((driver, ticket) =>
      driver.endpoint.request(driver.now(), ticket, request),
    )) as RegistryObject;
  }

  /** The address of what a caller named. @throws PilotError `NOT_FOUND` */
  async resolve(target: Target, signal?: AbortSignal): Promise<Address> {
    // Whoever names a peer is about to speak with it.
    if (!this.#driver().endpoint.hasContacts) await this.#driver().meet();
    if (target.kind === 'node') return new Address(target.network, target.node);
    const { name } = target;
    const ask = (): Promise<unknown> =>
      this.ask((driver, ticket) => driver.endpoint.contacts.resolve(driver.now(), ticket, name), signal);
    for (const pauseMs of FIRST_CONTACT_MS) {
      try {
        return new Address(0, (await ask()) as number);
      } catch (error) {
        if (!(error instanceof PilotError) || error.code !== 'NOT_FOUND' || !this.#isTrustComing()) throw error;
        await pause(this.#driver(), pauseMs, signal);
      }
    }
    return new Address(0, (await ask()) as number);
  }

  /** CP 2.8: a private name shows itself to friends, and one of those we asked may have become one this moment. */
  #isTrustComing(): boolean {
    const driver = this.#driver();
    const { trust } = driver.endpoint.contacts;
    return trust.outgoing().length > 0 || trust.isAwaiting(driver.now());
  }

  /** What the registry has of a node. */
  async lookup(node: number): Promise<FoundAgent> {
    const requester_id = this.#driver().endpoint.nodeId;
    const fields = { type: 'lookup', node_id: node, requester_id };
    return foundOf(await this.request({ fields, challenge: CHALLENGE.lookup(requester_id, node), isIdempotent: true }));
  }

  /** All nodes with a tag that show themselves to us. */
  async findByTag(tag: string): Promise<FoundAgent[]> {
    const requester_id = this.#driver().endpoint.nodeId;
    const challenge = CHALLENGE.findNodes(requester_id, tag);
    const found: FoundAgent[] = [];
    let after: unknown;
    for (let page = 0; page < FIND_PAGES; page++) {
      const fields = { type: 'find_nodes', tag, requester_id, ...(after === undefined ? {} : { after }) };
      const answer = await this.request({ fields, challenge, isIdempotent: true }).catch(unsupported);
      if (Array.isArray(answer.nodes)) found.push(...(answer.nodes as RegistryObject[]).map(foundOf));
      after = answer.next;
      if (after === undefined) break;
    }
    return found;
  }
}

/** Registries of others refuse what they do not know, in words that say nothing (CP 1.4). */
function unsupported(error: unknown): never {
  if (!(error instanceof PilotError) || error.code !== 'REGISTRY_REFUSED') throw error;
  throw new PilotError('NOT_SUPPORTED', 'Cannot find agents by tag: this rendezvous does not know how', {
    cause: error,
  });
}

function foundOf(node: { readonly [field: string]: unknown }): FoundAgent {
  const nodeId = typeof node.node_id === 'number' ? node.node_id : 0;
  return {
    address: new Address(0, nodeId),
    nodeId,
    hostname: typeof node.hostname === 'string' ? node.hostname : undefined,
    tags: Array.isArray(node.tags) ? node.tags.filter((tag) => typeof tag === 'string') : [],
    isPublic: node.public === true,
  };
}
