/**
 * Carries trust messages (CP 2.1, 2.2): to and from port 444 over streams, through the registry's mailbox, and the
 * decisions of trust.ts to whoever carries them out. What a message means is not known here.
 */
import { LIMITS, type Millis } from '../config.ts';
import { CHALLENGE } from '../wire/registry.ts';
import { emitTrustMessage, parseTrustMessage, type TrustMessage, trustText } from '../wire/trust.ts';
import type { Directory } from './directory.ts';
import { EVENT, type RegistryObject } from './events.ts';
import type { Jobs } from './jobs.ts';
import type { ExchangeContext } from './key-exchange.ts';
import type { RegistryClient } from './registry-client.ts';
import type { Counters } from './stats.ts';
import type { Stream, Streams } from './streams.ts';
import { Deadlines } from './timers.ts';
import type { Trust } from './trust.ts';
import type { RegistryAction, TrustAction, TrustEvent } from './trust-exchange.ts';

/** What is left for the endpoint to do. */
export type DeliveryNews =
  /** Write the file, then call `handleSaved`: nothing else comes before. */
  | { type: 'save'; text: string }
  | { type: 'event'; event: TrustEvent }
  /** Trust in the peer may have begun or ended. */
  | { type: 'changed'; peer: number }
  | { type: 'tearDown'; peer: number }
  /** Mailbox entries up to `seq` are safe here. */
  | { type: 'acknowledge'; seq: number };

interface Parts {
  readonly trust: Trust;
  readonly streams: Streams;
  readonly directory: Directory;
  readonly client: RegistryClient;
  readonly jobs: Jobs;
  readonly counters: Counters;
  readonly context: ExchangeContext;
  /** Opens a stream to the trust port of a peer. */
  readonly dial: (now: Millis, peer: number) => Stream | undefined;
  /** Groups direct requests for limits. */
  readonly source: (stream: Stream) => string;
  /** Unix ms minus monotonic ms. */
  readonly unixOffset: Millis;
}

interface Incoming {
  readonly stream: Stream;
  bytes: Uint8Array;
}

interface Outgoing {
  readonly stream: Stream;
  readonly peer: number;
  readonly messageType: TrustMessage['type'];
  readonly bytes: Uint8Array;
  isDelivered: boolean;
}

/** CP 2.2. */
const RECEIVE_MS: Millis = 10_000;
const FIRST_BYTES = 2_048;
const MAILBOX_ENTRIES = 256;
/** Peers and kinds of messages whose last time stamp is remembered. */
const STAMPS = 4_096;

/** Trust messages of one endpoint. */
export class TrustDelivery {
  readonly #parts: Parts;
  readonly #incoming = new Map<number, Incoming>();
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #deadlines = new Deadlines();
  readonly #perSource = new Map<number, number>();
  readonly #stamps = new Map<string, number>();
  readonly #news: DeliveryNews[] = [];
  #isSaving = false;
  /** Mailbox entries whose sender's key is being looked up, and what may be acknowledged when none is left. */
  #mailUnderWay = 0;
  #mailSeq = 0;
  #acknowledgedSeq = 0;
  #unixOffset: Millis;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#unixOffset = parts.unixOffset;
  }

  setUnixOffset(unixOffset: Millis): void {
    this.#unixOffset = unixOffset;
  }

  /** Whether the stream carries a trust message: the application does not see it. */
  owns(stream: Stream): boolean {
    return this.#incoming.has(stream.id) || this.#outgoing.has(stream.id);
  }

  /** Something happened on a stream that is ours, or that a peer opened to the trust port. */
  handleStream(now: Millis, stream: Stream, bits: number): void {
    const outgoing = this.#outgoing.get(stream.id);
    if (outgoing !== undefined) {
      this.#send(now, outgoing, bits);
      return;
    }
    const incoming = this.#incoming.get(stream.id) ?? this.#accept(now, stream);
    if (incoming !== undefined) this.#receive(now, incoming, bits);
  }

  /** The mailbox was read (CP 1.9.2). */
  handleMailbox(now: Millis, answer: RegistryObject): void {
    const requests = objects(answer.requests);
    const responses = objects(answer.responses);
    for (const entry of [...requests, ...responses]) {
      const from = integer(entry.from_node_id);
      if (from === undefined) continue;
      this.#mailSeq = Math.max(this.#mailSeq, integer(entry.seq) ?? 0);
      const timestamp = integer(entry.timestamp) ?? 0;
      this.#mailUnderWay += 1;
      this.#parts.directory.key(now, from, (at, found) => {
        this.#mailUnderWay -= 1;
        const facts = { registryKey: found.ok ? found.value : undefined, sharedNetwork: undefined };
        const { trust } = this.#parts;
        const isRequest = typeof entry.accept !== 'boolean';
        const justification = typeof entry.justification === 'string' ? entry.justification : '';
        const verdict = isRequest
          ? trust.handleRelayedRequest(at, { from, justification, timestamp }, facts)
          : trust.handleRelayedResponse(at, { from, accept: entry.accept === true, timestamp }, facts);
        if (verdict !== 'accepted') this.#parts.counters.drop('trustRefused');
        // Without the sender's key an answer is of little worth: it stays in the box and comes again.
        const isUnreachable = !found.ok && found.code === 'RENDEZVOUS_UNREACHABLE';
        if (verdict === 'unbound' && !isRequest && isUnreachable)
          this.#mailSeq = Math.min(this.#mailSeq, (integer(entry.seq) ?? 1) - 1);
      });
    }
  }

  /** The file is written. */
  handleSaved(_now: Millis): void {
    this.#isSaving = false;
  }

  handleTimeout(now: Millis): void {
    this.#parts.trust.handleTimeout(now);
    for (let id = this.#deadlines.pop(now); id >= 0; id = this.#deadlines.pop(now)) {
      const incoming = this.#incoming.get(id);
      if (incoming === undefined) continue;
      this.#parts.counters.drop('trustMalformed');
      this.#finish(now, incoming);
    }
  }

  pollTimeout(): Millis {
    return Math.min(
      this.#deadlines.next(),
      this.#isSaving ? Number.POSITIVE_INFINITY : this.#parts.trust.pollTimeout(),
    );
  }

  /** Carries out what trust.ts decided, until a save has to be waited for. */
  drain(now: Millis): void {
    while (!this.#isSaving) {
      const action = this.#parts.trust.pollAction();
      if (action === undefined) break;
      this.#perform(now, action);
    }
    if (this.#isSaving || this.#mailUnderWay > 0 || this.#mailSeq <= this.#acknowledgedSeq) return;
    this.#acknowledgedSeq = this.#mailSeq;
    this.#news.push({ type: 'acknowledge', seq: this.#mailSeq });
  }

  pollNews(): DeliveryNews | undefined {
    return this.#news.shift();
  }

  #perform(now: Millis, action: TrustAction): void {
    switch (action.type) {
      case 'persist':
        this.#isSaving = true;
        this.#news.push({ type: 'save', text: this.#parts.trust.save() });
        return;
      case 'event':
        this.#news.push({ type: 'changed', peer: action.event.peer }, action);
        this.#parts.directory.forgetRefusals();
        if (action.event.type === 'approved' || action.event.type === 'autoApproved') {
          this.#dropRequests(now, action.event.peer);
        }
        return;
      case 'tearDown':
        this.#news.push(action, { type: 'changed', peer: action.peer });
        return;
      case 'sendDirect':
        this.#sign(now, action);
        return;
      default:
        this.#ask(now, action);
    }
  }

  /** Trust came about: a request that still waits for a key would only surprise the peer. */
  #dropRequests(now: Millis, peer: number): void {
    for (const { stream, peer: to, messageType } of this.#outgoing.values()) {
      const isWaiting = to === peer && messageType === 'handshake_request' && stream.connection.synSends === 0;
      if (!isWaiting) continue;
      stream.connection.abort(now);
      this.#parts.streams.touch(now, stream);
    }
  }

  #ask(now: Millis, action: Extract<TrustAction, { type: RegistryAction }>): void {
    const { client, context, trust } = this.#parts;
    const own = context.nodeId;
    const { peer } = action;
    const pair = { node_id: own, peer_id: peer };
    const request = {
      relayRequest: {
        fields: { type: 'request_handshake', from_node_id: own, to_node_id: peer },
        challenge: CHALLENGE.requestHandshake(own, peer),
        isIdempotent: false,
      },
      relayRespond: {
        fields: { type: 'respond_handshake', ...pair },
        challenge: CHALLENGE.respondHandshake(own, peer),
        isIdempotent: false,
      },
      reportTrust: {
        fields: { type: 'report_trust', ...pair },
        challenge: CHALLENGE.reportTrust(own, peer),
        isIdempotent: true,
      },
      revokeTrust: {
        fields: { type: 'revoke_trust', ...pair },
        challenge: CHALLENGE.revokeTrust(own, peer),
        isIdempotent: true,
      },
    }[action.type];
    const extra =
      action.type === 'relayRequest'
        ? { justification: action.justification }
        : action.type === 'relayRespond'
          ? { accept: action.accept }
          : {};
    client.request(now, { ...request, fields: { ...request.fields, ...extra } }, (at, outcome) => {
      trust.noteRegistryResult(at, action.type, peer, outcome.ok ? { ok: true } : { ok: false, code: outcome.code });
    });
  }

  /** The signature covers the two ids only (CP 2.3). */
  #sign(now: Millis, action: Extract<TrustAction, { type: 'sendDirect' }>): void {
    const { jobs, context } = this.#parts;
    const message = new TextEncoder().encode(trustText(context.nodeId, action.peer));
    jobs.start({ kind: 'sign', identity: context.identity, message }, (at, signature) => {
      if (signature instanceof Uint8Array) this.#dial(Math.max(at, now), action, signature);
      else this.#parts.trust.noteDirectResult(at, action.peer, action.messageType, false);
    });
  }

  #dial(now: Millis, action: Extract<TrustAction, { type: 'sendDirect' }>, signature: Uint8Array): void {
    const { context, dial, trust } = this.#parts;
    const { peer, messageType, justification, reason } = action;
    const timestamp = this.#stamp(now, `${peer} ${messageType}`);
    const publicKey = context.identityKey;
    const nodeId = context.nodeId;
    const bytes = emitTrustMessage({
      type: messageType,
      nodeId,
      publicKey,
      justification,
      signature,
      reason,
      timestamp,
    });
    const stream = dial(now, peer);
    if (stream === undefined) trust.noteDirectResult(now, peer, messageType, false);
    else this.#outgoing.set(stream.id, { stream, peer, messageType, bytes, isDelivered: false });
  }

  /** Two messages of one kind in one second would pass for one and its replay (CP 2.4): the second is a second later. */
  #stamp(now: Millis, name: string): number {
    const stamp = Math.max(Math.floor((now + this.#unixOffset) / 1000), (this.#stamps.get(name) ?? 0) + 1);
    this.#stamps.delete(name);
    if (this.#stamps.size >= STAMPS) {
      for (const oldest of this.#stamps.keys()) {
        this.#stamps.delete(oldest);
        break;
      }
    }
    this.#stamps.set(name, stamp);
    return stamp;
  }

  #send(now: Millis, outgoing: Outgoing, bits: number): void {
    const { stream, peer, messageType, bytes } = outgoing;
    const { streams, trust } = this.#parts;
    if ((bits & EVENT.connected) !== 0) {
      // One write: the existing network reads one segment (CP 2.2).
      stream.connection.write(bytes);
      stream.connection.close(now);
      streams.touch(now, stream);
    }
    if ((bits & EVENT.acknowledged) !== 0 && !outgoing.isDelivered) {
      outgoing.isDelivered = true;
      trust.noteDirectResult(now, peer, messageType, true);
    }
    if ((bits & EVENT.closed) === 0) return;
    this.#outgoing.delete(stream.id);
    const isDelivered = stream.connection.error === undefined && stream.failure === undefined;
    if (!outgoing.isDelivered) trust.noteDirectResult(now, peer, messageType, isDelivered);
  }

  #accept(now: Millis, stream: Stream): Incoming | undefined {
    const { counters, streams } = this.#parts;
    const source = stream.peer.id;
    const held = this.#perSource.get(source) ?? 0;
    if (held >= LIMITS.trustStreamsPerSource || this.#incoming.size >= LIMITS.trustStreams) {
      counters.drop('trustLimited');
      stream.connection.abort(now);
      streams.touch(now, stream);
      return undefined;
    }
    this.#perSource.set(source, held + 1);
    const incoming = { stream, bytes: new Uint8Array(0) };
    this.#incoming.set(stream.id, incoming);
    this.#deadlines.set(stream.id, now + RECEIVE_MS);
    return incoming;
  }

  #receive(now: Millis, incoming: Incoming, bits: number): void {
    const { connection } = incoming.stream;
    for (let room = FIRST_BYTES; connection.readableBytes > 0; room *= 2) {
      const chunk = new Uint8Array(Math.min(room, connection.readableBytes));
      const length = connection.read(chunk);
      const bytes = new Uint8Array(incoming.bytes.length + length);
      bytes.set(incoming.bytes);
      bytes.set(chunk.subarray(0, length), incoming.bytes.length);
      incoming.bytes = bytes;
      if (bytes.length > LIMITS.trustMessageBytes) break;
    }
    const isOver = (bits & (EVENT.closed | EVENT.readEnded)) !== 0;
    const isTooLong = incoming.bytes.length > LIMITS.trustMessageBytes;
    const message = isTooLong ? undefined : parseTrustMessage(incoming.bytes);
    if (message === 'incomplete') {
      if (!isOver) {
        this.#parts.streams.touch(now, incoming.stream);
        return;
      }
      if (incoming.bytes.length > 0) this.#parts.counters.drop('trustMalformed');
    } else if (message === undefined) this.#parts.counters.drop('trustMalformed');
    else this.#check(now, incoming.stream, message);
    this.#finish(now, incoming);
  }

  #finish(now: Millis, incoming: Incoming): void {
    const { stream } = incoming;
    if (!this.#incoming.delete(stream.id)) return;
    this.#deadlines.delete(stream.id);
    const held = (this.#perSource.get(stream.peer.id) ?? 1) - 1;
    if (held <= 0) this.#perSource.delete(stream.peer.id);
    else this.#perSource.set(stream.peer.id, held);
    stream.connection.close(now);
    // What else the stream says interests nobody; the table of streams lets it go when it is closed.
    stream.isAnnounced = false;
    this.#parts.streams.touch(now, stream);
  }

  #check(now: Millis, stream: Stream, message: TrustMessage): void {
    const { trust, jobs, context, counters, source } = this.#parts;
    const authenticatedId = stream.peer.id;
    const { publicKey, signature } = message;
    if (
      trust.screen(now, message, authenticatedId) !== undefined ||
      publicKey === undefined ||
      signature === undefined
    ) {
      counters.drop('trustRefused');
      return;
    }
    const signed = new TextEncoder().encode(trustText(message.nodeId, context.nodeId));
    const registryKey = stream.peer.identityKey;
    const from = source(stream);
    jobs.start({ kind: 'verify', publicKey, message: signed, signature }, (at, isValid) => {
      const isSignatureValid = isValid === true;
      const facts = { authenticatedId, isSignatureValid, registryKey, sharedNetwork: undefined, source: from };
      if (trust.handleDirect(at, message, facts) !== 'accepted') counters.drop('trustRefused');
    });
  }
}

function objects(value: unknown): { readonly [field: string]: unknown }[] {
  if (!Array.isArray(value)) return [];
  return value
    .slice(0, MAILBOX_ENTRIES)
    .filter((entry): entry is { [field: string]: unknown } => typeof entry === 'object' && entry !== null);
}

function integer(value: unknown): number | undefined {
  return Number.isInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}
