/**
 * Whose word a message is (CP 2.4): out of a message and what the caller found out about it comes a statement of a peer,
 * or the reason why it is none. What the statement changes is trust.ts's.
 */
import type { Millis } from '../config.ts';
import type { TrustMessage } from '../wire/trust.ts';
import type { UnixSeconds } from './rfc3339.ts';
import {
  bindKey,
  type DirectFacts,
  isPeer,
  type RelayedFacts,
  type RelayedRequest,
  type RelayedResponse,
  screenMessage,
  type TrustRefusal,
} from './trust-exchange.ts';
import { MAILBOX } from './trust-file.ts';
import { ReplayTable } from './trust-replay.ts';
import { receivedText } from './trust-text.ts';

/** What a peer says to us. */
export interface Statement {
  readonly type: 'request' | 'accept' | 'reject' | 'revoke';
  readonly peer: number;
  /** The peer's; undefined while nobody confirmed one, which only a request and a relayed rejection may be without. */
  readonly publicKey: Uint8Array | undefined;
  /** The justification or the reason, reduced to what may be shown. */
  readonly text: string;
  readonly sharedNetwork: number | undefined;
  /** `MAILBOX`, or the host that it came from. */
  readonly source: string | undefined;
}

/** When and by whom a message is read. */
export interface Reader {
  readonly now: Millis;
  readonly time: UnixSeconds;
  /** 0 before we are registered: then nothing can be for us. */
  readonly localId: number;
  /** The key that trust in the sender is bound to. */
  readonly pinned: Uint8Array | undefined;
}

const TYPES = {
  handshake_request: 'request',
  handshake_accept: 'accept',
  handshake_reject: 'reject',
  handshake_revoke: 'revoke',
} as const;
/** `trust.json` reads no longer host. */
const SOURCE_LIMIT = 64;

/** Reads messages, and none twice. */
export class TrustStatements {
  readonly #replay: ReplayTable = new ReplayTable();

  /** What refuses a message before any public-key work and before the registry is asked. */
  screen(reader: Reader, message: TrustMessage, authenticatedId: number | undefined): TrustRefusal | undefined {
    const { nodeId, type, timestamp } = message;
    if (reader.localId === 0 || !isPeer(nodeId, reader.localId)) return 'badSender';
    const refusal = screenMessage(message, authenticatedId, reader.time);
    return refusal ?? (this.#replay.has(nodeId, type, timestamp) ? 'replay' : undefined);
  }

  /** A message that came over a stream to port 444. */
  readDirect(reader: Reader, message: TrustMessage, facts: DirectFacts): Statement | TrustRefusal {
    const { nodeId: peer, type, timestamp, publicKey } = message;
    const { authenticatedId, registryKey, sharedNetwork, source } = facts;
    const refusal = this.screen(reader, message, authenticatedId);
    if (refusal !== undefined) return refusal;
    if (!facts.isSignatureValid) return 'badSignature';
    const binding = bindKey(publicKey, registryKey, reader.pinned);
    if (binding === 'keyMismatch' || binding === 'keyChanged') return binding;
    // Outside its tunnel, a message can be an old signature of the sender under a new time (CP 2.13 H1).
    const isBound = binding === 'bound' && authenticatedId !== undefined;
    if (!isBound && type !== 'handshake_request') return 'unbound';
    if (isBound) this.#replay.add(reader.now, { peer, kind: type, timestamp });
    return {
      type: TYPES[type],
      peer,
      publicKey: isBound ? publicKey : undefined,
      text: receivedText(type === 'handshake_request' ? message.justification : message.reason),
      sharedNetwork,
      source: source?.slice(0, SOURCE_LIMIT),
    };
  }

  /** A request out of the mailbox. The registry vouches for the sender, and mail may be days old. */
  readRequest(reader: Reader, request: RelayedRequest, facts: RelayedFacts): Statement | TrustRefusal {
    const { from: peer, timestamp, justification } = request;
    const refusal = this.#screenMail(reader, { peer, kind: 'relayed request', timestamp }, facts);
    return refusal ?? statementOf('request', peer, facts, receivedText(justification));
  }

  /** An answer out of the mailbox. */
  readResponse(reader: Reader, response: RelayedResponse, facts: RelayedFacts): Statement | TrustRefusal {
    const { from: peer, timestamp, accept } = response;
    const type = accept ? 'accept' : 'reject';
    const refusal = this.#screenMail(reader, { peer, kind: `relayed ${type}`, timestamp }, facts);
    if (refusal !== undefined) return refusal;
    // Trust is in a key; once there is one, the same answer counts.
    return accept && facts.registryKey === undefined ? 'unbound' : statementOf(type, peer, facts, '');
  }

  sweep(now: Millis): void {
    this.#replay.sweep(now);
  }

  #screenMail(
    { now, localId, pinned }: Reader,
    mail: { peer: number; kind: string; timestamp: UnixSeconds },
    { registryKey }: RelayedFacts,
  ): TrustRefusal | undefined {
    if (localId === 0 || !isPeer(mail.peer, localId)) return 'badSender';
    if (this.#replay.has(mail.peer, mail.kind, mail.timestamp)) return 'replay';
    if (bindKey(registryKey, registryKey, pinned) === 'keyChanged') return 'keyChanged';
    // Without a key it is worth reading again.
    if (registryKey !== undefined) this.#replay.add(now, mail);
    return undefined;
  }
}

function statementOf(type: Statement['type'], peer: number, facts: RelayedFacts, text: string): Statement {
  return { type, peer, publicKey: facts.registryKey, text, sharedNetwork: facts.sharedNetwork, source: MAILBOX };
}
