/**
 * Trust as existing daemons keep it: the gate (DP 7.2), the messages on port 444 and the registry's mailbox (CP 2).
 */
import { createHash } from 'node:crypto';
import { PORT } from '../../src/wire/packet.ts';
import { emitTrustMessage, parseTrustMessage, type TrustMessage, trustText } from '../../src/wire/trust.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { PeerConnection } from './peer-connection.ts';
import type { PeerSelf } from './peer-exchange.ts';
import { sameBytes, verifies } from './peer-keys.ts';
import type { PeerLog } from './peer-log.ts';
import type { PeerRegistry } from './peer-registry.ts';
import type { PeerTransport } from './peer-socket.ts';

const CLOSE_AFTER_MS = 500;
const MAX_AGE_SECONDS = 300;
const MAX_AHEAD_SECONDS = 30;
const REPLY_WINDOW_MS = 300_000;
const PENDING = 256;

/** What trust needs of the rest. */
export interface TrustSetup {
  readonly self: PeerSelf;
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly log: PeerLog;
  readonly registry: PeerRegistry | undefined;
  readonly isPublic: () => boolean;
  /** Grants what is asked for at once (CP 2.5, row 5). */
  readonly autoApprove: boolean;
  readonly unixSeconds: () => number;
  readonly dial: (nodeId: number, port: number) => PeerConnection;
  readonly lookup: (nodeId: number, answer: (key: Uint8Array | undefined) => void) => void;
}

/** Whom one peer trusts. */
export class PeerTrust {
  /** Node id → key; undefined where nobody gave one. */
  readonly trusted: Map<number, Uint8Array | undefined> = new Map();
  /** Asked and not yet answered by `approve` or `reject`; node id → justification. */
  readonly pending: Map<number, string> = new Map();
  /** What this peer asked for. */
  readonly outgoing: Set<number> = new Set();
  /** Messages that passed the checks of CP 2.4, with the leg that brought them. */
  readonly messages: { readonly leg: 'direct' | 'relayed'; readonly message: TrustMessage }[] = [];
  readonly #setup: TrustSetup;
  readonly #seen: Set<string> = new Set();
  readonly #contacted: Map<number, number> = new Map();

  constructor(setup: TrustSetup) {
    this.#setup = setup;
  }

  /** As if the trust handshake had been made long ago. */
  trust(nodeId: number, key?: Uint8Array): void {
    this.trusted.set(nodeId, key);
  }

  /** This peer dialled or asked that node: the reply window opens (CP 2.10). */
  contacted(nodeId: number): void {
    this.#contacted.set(nodeId, this.#setup.transport.now());
  }

  /** DP 7.2, in its order. */
  gate(nodeId: number, port: number, answer: (isAdmitted: boolean) => void): void {
    const { isPublic, registry } = this.#setup;
    if (isPublic() || this.trusted.has(nodeId) || this.#isReply(nodeId, port)) answer(true);
    else if (registry === undefined) answer(false);
    else registry.checkTrust(nodeId, answer);
  }

  /** Asks for trust: directly, and by the registry when that fails (CP 2.1). @param done - Told the leg that worked. */
  request(nodeId: number, justification: string, done: (leg: 'direct' | 'relayed' | 'none') => void = () => {}): void {
    this.outgoing.add(nodeId);
    this.contacted(nodeId);
    this.#send(nodeId, { type: 'handshake_request', justification }, (isSent) => {
      const { registry } = this.#setup;
      if (isSent) done('direct');
      else if (registry === undefined) done('none');
      else
        registry.requestHandshake(nodeId, justification, ({ error }) => done(error === undefined ? 'relayed' : 'none'));
    });
  }

  /** Grants: local trust, `report_trust`, `respond_handshake`, then the message (CP 2.5). */
  approve(nodeId: number): void {
    const { registry } = this.#setup;
    this.pending.delete(nodeId);
    this.outgoing.delete(nodeId);
    this.trusted.set(nodeId, this.trusted.get(nodeId));
    this.contacted(nodeId);
    registry?.reportTrust(nodeId);
    registry?.respondHandshake(nodeId, true);
    this.#send(nodeId, { type: 'handshake_accept' });
  }

  reject(nodeId: number, reason: string): void {
    this.pending.delete(nodeId);
    this.#setup.registry?.respondHandshake(nodeId, false);
    this.#send(nodeId, { type: 'handshake_reject', reason });
  }

  revoke(nodeId: number, reason: string): void {
    this.#forget(nodeId);
    this.#setup.registry?.revokeTrust(nodeId);
    this.#send(nodeId, { type: 'handshake_revoke', reason });
  }

  /** Takes a connection to port 444: one message in what the first read returns (CP 2.2). */
  accept = (connection: PeerConnection): void => {
    let isFirst = true;
    connection.onData = (bytes) => {
      if (!isFirst) return;
      isFirst = false;
      const message = parseTrustMessage(bytes);
      if (message === undefined || message === 'incomplete') this.#setup.log.count('trust_malformed');
      else this.#check(message, connection.ends.remoteNode);
      connection.close();
    };
  };

  /** Reads the mailbox at the registry (CP 2.7). */
  poll(): void {
    const { registry } = this.#setup;
    registry?.pollHandshakes(({ requests, responses }) => {
      for (const { nodeId, justification } of requests) {
        this.#take(message('handshake_request', nodeId, { justification }), 'relayed');
      }
      for (const { nodeId, isAccepted } of responses) {
        this.#take(message(isAccepted ? 'handshake_accept' : 'handshake_reject', nodeId), 'relayed');
      }
    });
  }

  /** A message of this peer as it goes over the wire. */
  emit(fields: Partial<TrustMessage> & Pick<TrustMessage, 'type'>, to: number): Uint8Array {
    const { self, unixSeconds } = this.#setup;
    return emitTrustMessage({
      nodeId: self.nodeId,
      publicKey: self.identity.publicKey,
      justification: '',
      signature: self.identity.sign(new TextEncoder().encode(trustText(self.nodeId, to))),
      reason: '',
      timestamp: unixSeconds(),
      ...fields,
    });
  }

  /** One write, half a second, close; never reads (CP 2.2). */
  #send(
    nodeId: number,
    fields: Partial<TrustMessage> & Pick<TrustMessage, 'type'>,
    done: (isSent: boolean) => void = () => {},
  ): void {
    const { dial, transport } = this.#setup;
    const connection = dial(nodeId, PORT.trust);
    let isOpen = false;
    connection.onOpen = () => {
      isOpen = true;
      connection.write(this.emit(fields, nodeId));
      transport.setTimer(CLOSE_AFTER_MS, () => connection.close());
      done(true);
    };
    connection.onClosed = () => {
      if (!isOpen) done(false);
    };
  }

  #isReply(nodeId: number, port: number): boolean {
    const { behaviour, transport } = this.#setup;
    if (!behaviour.replyWindow || (port !== PORT.data && port !== PORT.trust)) return false;
    const at = this.#contacted.get(nodeId);
    return at !== undefined && transport.now() - at < REPLY_WINDOW_MS;
  }

  /** CP 2.4, for the direct leg. */
  #check(received: TrustMessage, tunnelPeer: number): void {
    const { behaviour, log, self, unixSeconds, lookup } = this.#setup;
    const age = unixSeconds() - received.timestamp;
    const { publicKey, signature, nodeId, type } = received;
    if (age > MAX_AGE_SECONDS || age < -MAX_AHEAD_SECONDS) {
      log.count('trust_too_old');
      return;
    }
    const replayKey = this.#replayKey(received);
    if (this.#seen.has(replayKey)) {
      log.count('trust_replay');
      return;
    }
    if (behaviour.bindsAccept && type !== 'handshake_request' && nodeId !== tunnelPeer) {
      log.count('trust_wrong_tunnel');
      return;
    }
    if (publicKey === undefined) {
      if (type === 'handshake_request' && !behaviour.acceptsUnsigned) log.count('trust_without_key');
      else this.#authenticated(received, replayKey);
      return;
    }
    const text = new TextEncoder().encode(trustText(nodeId, self.nodeId));
    if (signature === undefined || !verifies(publicKey, text, signature)) {
      log.count('trust_bad_signature');
      return;
    }
    lookup(nodeId, (key) => {
      // Accepted on the presented key when the registry cannot be reached.
      if (key !== undefined && !sameBytes(key, publicKey)) log.count('trust_wrong_key');
      else this.#authenticated(received, replayKey);
    });
  }

  #authenticated(received: TrustMessage, replayKey: string): void {
    this.#seen.add(replayKey);
    this.#take(received, 'direct');
  }

  /** [B] hashes the whole message; [N] type, text and signature, so a second honest one within 15 min is a replay. */
  #replayKey(received: TrustMessage): string {
    const { behaviour, self } = this.#setup;
    const hash = createHash('sha256');
    if (!behaviour.bindsAccept) return hash.update(emitTrustMessage(received)).digest('hex');
    hash.update(`${received.type}\0${trustText(received.nodeId, self.nodeId)}\0`);
    return hash.update(received.signature ?? '').digest('hex');
  }

  #take(received: TrustMessage, leg: 'direct' | 'relayed'): void {
    this.messages.push({ leg, message: received });
    const { nodeId, publicKey, type } = received;
    const wasAsked = this.outgoing.has(nodeId);
    switch (type) {
      case 'handshake_request':
        this.#handleRequest(received);
        return;
      case 'handshake_accept':
        // CP 2.6: [B] trusts whoever says so.
        if (this.#setup.behaviour.bindsAccept && !wasAsked) return;
        this.outgoing.delete(nodeId);
        this.trusted.set(nodeId, publicKey);
        this.#setup.registry?.reportTrust(nodeId);
        return;
      case 'handshake_reject':
        this.outgoing.delete(nodeId);
        return;
      case 'handshake_revoke':
        this.#forget(nodeId);
        return;
      default: {
        const unhandled: never = type;
        throw new Error(`Unhandled message: ${unhandled}`);
      }
    }
  }

  /** CP 2.5; networks and the list of trusted agents are not modelled. */
  #handleRequest({ nodeId, publicKey, justification }: TrustMessage): void {
    const isMutual = this.outgoing.has(nodeId);
    if (this.trusted.has(nodeId)) {
      this.#send(nodeId, { type: 'handshake_accept' });
    } else if (isMutual || this.#setup.autoApprove) {
      this.trusted.set(nodeId, publicKey);
      this.approve(nodeId);
    } else if (this.pending.size < PENDING || this.pending.has(nodeId)) {
      this.pending.set(nodeId, justification);
    }
  }

  #forget(nodeId: number): void {
    this.trusted.delete(nodeId);
    this.pending.delete(nodeId);
    this.outgoing.delete(nodeId);
  }
}

/** What the mailbox says, in the form of a message. */
function message(type: TrustMessage['type'], nodeId: number, fields: Partial<TrustMessage> = {}): TrustMessage {
  return {
    type,
    nodeId,
    publicKey: undefined,
    justification: '',
    signature: undefined,
    reason: '',
    timestamp: 0,
    ...fields,
  };
}
