/**
 * What the trust tests share: one agent's trust in virtual time, whose actions read as lines, against hand-made messages.
 */
import { expect } from 'vitest';
import { Trust } from '../../src/core/trust.ts';
import type {
  DirectFacts,
  RegistryAction,
  RegistryResult,
  RelayedFacts,
  TrustAction,
  TrustEvent,
  TrustVerdict,
} from '../../src/core/trust-exchange.ts';
import { TrustTables } from '../../src/core/trust-tables.ts';
import type { TrustMessage } from '../../src/wire/trust.ts';

/** Our own id in all traces. */
export const US = 1;
/** Unix seconds at which every trace begins. */
export const START = 1_700_000_000;
const START_NOW = 5_000;

export const OK: RegistryResult = { ok: true };
export const DOWN: RegistryResult = { ok: false, code: 'RENDEZVOUS_UNREACHABLE' };
export const NONE: RegistryResult = { ok: false, code: 'NOT_FOUND' };

/** The identity key of a node; `version` 0 is the one that the registry has. */
export function keyOf(nodeId: number, version = 0): Uint8Array {
  const key = new Uint8Array(32).fill(version);
  new DataView(key.buffer).setUint32(0, nodeId);
  return key;
}

export type Kind = 'request' | 'accept' | 'reject' | 'revoke';

export interface Options {
  text?: string;
  isPublic?: boolean;
  autoApprove?: boolean;
  /** 0: not registered yet. */
  localId?: number;
  /** Unix seconds. */
  startsAt?: number;
}

/** One agent's trust. */
export class Trace {
  now = START_NOW;
  readonly trust: Trust;
  /** What was read at the start, and is so since. */
  readonly file: TrustTables;
  readonly #unixOffset: number;

  constructor(options: Options = {}) {
    const { localId = US, startsAt = START, text, ...rest } = options;
    this.#unixOffset = startsAt * 1000 - START_NOW;
    this.file = new TrustTables(text);
    this.trust = new Trust({ ...rest, tables: this.file, unixOffset: this.#unixOffset });
    if (localId !== 0) this.trust.setLocalId(this.now, localId);
    this.trust.handleTimeout(this.now);
  }

  /** Unix seconds. */
  get time(): number {
    return Math.floor((this.now + this.#unixOffset) / 1000);
  }

  /** A message over a stream, signed, through the sender's own tunnel and fresh, unless said otherwise. */
  gets(type: Kind, from: number, over: Partial<TrustMessage> = {}, facts: Partial<DirectFacts> = {}): TrustVerdict {
    const message: TrustMessage = {
      type: `handshake_${type}`,
      nodeId: from,
      publicKey: keyOf(from),
      justification: '',
      signature: new Uint8Array(64),
      reason: '',
      timestamp: this.time,
      ...over,
    };
    const all = { authenticatedId: from, isSignatureValid: true, registryKey: keyOf(from), sharedNetwork: undefined };
    return this.trust.handleDirect(this.now, message, { ...all, ...facts });
  }

  /** An entry of the mailbox, whose sender's key the registry knows unless said otherwise. */
  getsMail(
    type: 'request' | 'accept' | 'reject',
    from: number,
    over: { justification?: string; timestamp?: number } = {},
    facts: Partial<RelayedFacts> = {},
  ): TrustVerdict {
    const { justification = '', timestamp = this.time } = over;
    const known = { registryKey: keyOf(from), sharedNetwork: undefined, ...facts };
    if (type === 'request') {
      return this.trust.handleRelayedRequest(this.now, { from, justification, timestamp }, known);
    }
    return this.trust.handleRelayedResponse(this.now, { from, accept: type === 'accept', timestamp }, known);
  }

  /** What is to be done, in order; nothing is left over. */
  does(...lines: string[]): void {
    expect(this.drain()).toEqual(lines);
  }

  drain(): string[] {
    const lines: string[] = [];
    for (let action = this.trust.pollAction(); action !== undefined; action = this.trust.pollAction()) {
      lines.push(lineOf(action));
    }
    return lines;
  }

  /** Lets time pass, waking whenever that is asked for. @returns What was to be done meanwhile, with the time of it. */
  elapse(ms: number): string[] {
    const end = this.now + ms;
    const start = this.now;
    const lines: string[] = [];
    for (let at = this.trust.pollTimeout(); at <= end; at = this.trust.pollTimeout()) {
      const before = this.now;
      this.now = Math.max(this.now, at);
      this.trust.handleTimeout(this.now);
      lines.push(...this.drain().map((line) => `${this.now - start} ${line}`));
      if (at <= before && this.trust.pollTimeout() <= before) throw new Error('it asks to be woken for nothing');
    }
    this.now = end;
    return lines;
  }

  direct(peer: number, type: Kind, isDelivered: boolean): void {
    this.trust.noteDirectResult(this.now, peer, `handshake_${type}`, isDelivered);
  }

  registry(action: RegistryAction, peer: number, result: RegistryResult = OK): void {
    this.trust.noteRegistryResult(this.now, action, peer, result);
  }

  admits(peer: number, port = 1000): string {
    return this.trust.admits(this.now, peer, port);
  }

  isTrusted(peer: number, port?: number): boolean {
    return this.trust.isTrusted(this.now, peer, port);
  }

  /** Node ids by table. */
  get tables(): { trusted: number[]; pending: number[]; outgoing: number[] } {
    const { trust, now } = this;
    const ids = (entries: readonly { nodeId: number }[]): number[] => entries.map(({ nodeId }) => nodeId);
    return { trusted: ids(trust.trusted(now)), pending: ids(trust.pending()), outgoing: ids(trust.outgoing()) };
  }

  /** The same agent after a crash, with what was saved last. */
  restarted(options: Options = {}): Trace {
    return new Trace({ text: this.trust.save(), startsAt: this.time, ...options });
  }
}

/** Trust in `peers`, made in the course of normal events and told to everybody. */
export function trusting(...peers: number[]): Trace {
  const t = new Trace();
  for (const peer of peers) {
    t.gets('request', peer);
    t.trust.approve(t.now, peer);
    t.registry('reportTrust', peer);
    t.direct(peer, 'accept', true);
  }
  t.elapse(2_000);
  t.drain();
  return t;
}

function lineOf(action: TrustAction): string {
  switch (action.type) {
    case 'persist':
      return 'persist';
    case 'sendDirect':
      return `direct ${action.messageType.slice(10)} to ${action.peer}${tail(action.justification + action.reason)}`;
    case 'relayRequest':
      return `relayRequest ${action.peer}${tail(action.justification)}`;
    case 'relayRespond':
      return `relayRespond ${action.peer}: ${action.accept ? 'yes' : 'no'}`;
    case 'event':
      return `event ${action.event.type} ${action.event.peer}${tail(detailOf(action.event))}`;
    default:
      return `${action.type} ${action.peer}`;
  }
}

function detailOf(event: TrustEvent): string {
  switch (event.type) {
    case 'received':
    case 'pending':
      return event.justification;
    case 'approved':
      return event.by;
    case 'autoApproved':
      return `${event.reason} ${event.network}`;
    case 'keyChanged':
      return `${event.pinned.at(-1)} → ${event.shown.at(-1)}`;
    default:
      return event.reason;
  }
}

function tail(text: string): string {
  return text === '' ? '' : `: ${text}`;
}
