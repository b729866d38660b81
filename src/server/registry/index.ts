/**
 * The registry: who is who, who trusts whom, and what waits for whom (CP 1). It has no sockets, no clock and no
 * storage: requests come in as objects, handlers yield what they need (operations.ts), answers go out as objects.
 */
import type { Millis } from '../../config.ts';
import type { RegistryFields } from '../../wire/registry.ts';
import { Budget } from '../budget.ts';
import { Tally } from '../tally.ts';
import { type Answer, refuse } from './answers.ts';
import { setHostname, setTags, setVisibility } from './attributes.ts';
import {
  type Caller,
  type Context,
  type Handler,
  REGISTRY_LIMITS,
  type RegistryCount,
  SETTINGS,
  type Settings,
} from './context.ts';
import { findNodes, listNodes, lookup, resolve, resolveHostname } from './directory.ts';
import { pollHandshakes, requestHandshake, respondHandshake } from './mailbox.ts';
import { beaconList, beaconRegister, punch } from './nat.ts';
import { deregister, getKeyInfo, heartbeat, register, rotateKey, setKeyExpiry } from './nodes.ts';
import { perform, type Steps } from './operations.ts';
import { mayReach } from './signer.ts';
import { checkTrust, reportTrust, revokeTrust } from './trust.ts';

export { type Answer, fieldsOf, maskedText } from './answers.ts';
export { type Caller, type RegistryCount, SETTINGS, type Settings } from './context.ts';
export {
  type NodeRecord,
  type Operation,
  perform,
  runSteps,
  type Steps,
  type StoreOperation,
  type VerifyOperation,
} from './operations.ts';
export { type LinkCount, Session } from './session.ts';

/** Every type of request that is known here (CP 1.6). A map: hostile types must not find `constructor`. */
const HANDLERS: ReadonlyMap<unknown, Handler> = new Map<unknown, Handler>([
  ['register', register],
  ['heartbeat', heartbeat],
  ['rotate_key', rotateKey],
  ['set_key_expiry', setKeyExpiry],
  ['get_key_info', getKeyInfo],
  ['deregister', deregister],
  ['lookup', lookup],
  ['resolve', resolve],
  ['resolve_hostname', resolveHostname],
  ['list_nodes', listNodes],
  ['find_nodes', findNodes],
  ['set_hostname', setHostname],
  ['set_tags', setTags],
  ['set_visibility', setVisibility],
  ['report_trust', reportTrust],
  ['revoke_trust', revokeTrust],
  ['check_trust', checkTrust],
  ['request_handshake', requestHandshake],
  ['poll_handshakes', pollHandshakes],
  ['respond_handshake', respondHandshake],
  ['punch', punch],
  ['beacon_register', beaconRegister],
  ['beacon_list', beaconList],
]);

/** Nodes to poke at most; the hint is not worth more memory. */
const NOTICES_MAX = 10_000;

/** One registry. Several may share a store. */
export class Registry {
  readonly #context: Context;
  readonly #notices = new Set<number>();
  #sweepAtMs: Millis = 0;

  constructor(settings?: Partial<Settings>) {
    this.#context = {
      settings: { ...SETTINGS, ...settings },
      tally: new Tally<RegistryCount>(),
      newNodes: new Budget({
        perSecond: REGISTRY_LIMITS.newNodesPerSecond,
        burst: REGISTRY_LIMITS.newNodesPerSecond,
        capacity: REGISTRY_LIMITS.sources,
      }),
      notify: (nodeId) => {
        if (this.#notices.size < NOTICES_MAX) this.#notices.add(nodeId);
      },
    };
  }

  get settings(): Settings {
    return this.#context.settings;
  }

  get tally(): Tally<RegistryCount> {
    return this.#context.tally;
  }

  /** Answers one request. Never throws on account of the request. */
  *handle(caller: Caller, fields: RegistryFields): Steps<Answer> {
    const { tally } = this.#context;
    tally.add('requests');
    const handler = HANDLERS.get(fields.type);
    if (handler === undefined) tally.add('unknownType');
    const answer =
      handler === undefined
        ? refuse('NOT_SUPPORTED', 'unknown message type')
        : yield* handler(this.#context, caller, fields);
    if (!answer.ok) tally.add('refused');
    return answer;
  }

  /** Whether the beacon may tell `requester` where `target` is: the rule of `punch` (CP 1.21, R5). */
  *mayPunch(requester: number, target: number): Steps<boolean> {
    const from = yield* perform('node', { nodeId: requester });
    const to = yield* perform('node', { nodeId: target });
    if (from === undefined || to === undefined || to.isRelayOnly) return false;
    return yield* mayReach(from, to);
  }

  /** Throws away what expired. @param unixMs - Unix ms. Call when `pollTimeout` says so. */
  *handleTimeout(unixMs: Millis): Steps<void> {
    if (unixMs < this.#sweepAtMs) return;
    this.#sweepAtMs = unixMs + REGISTRY_LIMITS.sweepMs;
    yield* perform('sweep', { nowMs: unixMs, mailMs: this.#context.settings.mailMs });
  }

  /** When `handleTimeout` has something to do, in Unix ms. */
  pollTimeout(): Millis {
    return this.#sweepAtMs;
  }

  /** A node in whose mailbox something new waits: the beacon may poke it (DP 4.6). */
  pollNotice(): number | undefined {
    const next = this.#notices.values().next();
    if (next.done) return undefined;
    this.#notices.delete(next.value);
    return next.value;
  }
}
