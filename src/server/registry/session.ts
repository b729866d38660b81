/**
 * One link to the registry: bytes in, requests out, answers in, bytes out (CP 1.2, 1.6, 1.15). The first bytes decide
 * between JSON and binary frames. Requests are handed out one at a time, so answers keep their order; a peer that sends
 * on meanwhile fills a bounded buffer and is then cut off, for links have no way to stop the sender.
 */
import type { Millis } from '../../config.ts';
import { fromBase64 } from '../../wire/base64.ts';
import { emitJsonFrame, FrameReader, parseJson, type RegistryFields } from '../../wire/registry.ts';
import {
  BINARY_PROLOGUE,
  type BinaryRequest,
  emitBinaryError,
  emitBinaryJson,
  emitHeartbeatOk,
  emitLookupOk,
  emitResolveOk,
  parseBinaryRequest,
} from '../../wire/registry-binary.ts';
import { TRUSTED_FACTOR } from '../budget.ts';
import { type Answer, fieldsOf } from './answers.ts';

/** Bounds of one link. Rates are CP 1.6. */
export const LINK_LIMITS = {
  /** Largest request. Answers may have the protocol's 64 MiB, strangers' requests may not. */
  requestBytes: 262_144,
  /** Received and not yet answered. */
  pendingBytes: 524_288,
  idleMs: 300_000,
  /** How long an answer may wait for a peer that does not read. */
  stallMs: 30_000,
  graceMs: 5_000,
  slowPerSecond: 100,
  closePerSecond: 500,
  delayMs: 10,
} as const;

/** What is counted of links. */
export type LinkCount =
  | 'linksOpened'
  | 'jsonLinks'
  | 'binaryLinks'
  | 'httpNotServed'
  | 'badVersion'
  | 'frameTooLong'
  | 'flooded'
  | 'malformedBody'
  | 'tooManyRequests'
  | 'delayed'
  | 'idle'
  | 'stalled';

type Format = 'unknown' | 'json' | 'binary' | 'closed';

/** "GET ", the beginning of HTTP. */
const HTTP_GET: Uint8Array = Uint8Array.of(0x47, 0x45, 0x54, 0x20);
const MAGIC_BYTES = 4;

/** State of one link. Whoever holds it closes the link when `isClosed`, after having sent what `pollBytes` gives. */
export class Session {
  readonly #tally: { add(name: LinkCount): void };
  readonly #factor: number;
  readonly #openedAt: Millis;
  readonly #reader: FrameReader = new FrameReader(LINK_LIMITS.requestBytes);
  #format: Format = 'unknown';
  /** The first bytes, until they are enough to tell the format. */
  #head: Uint8Array = new Uint8Array(0);
  /** The binary request that is being answered: its answer has its own form. */
  #asked: BinaryRequest['type'] | undefined;
  #isBusy = false;
  #requests = 0;
  #nextAt: Millis;
  #requestAt: Millis;
  #blockedAt: Millis = Number.POSITIVE_INFINITY;
  readonly #frames: Uint8Array[] = [];

  /** @param isTrusted - The source is allowed a hundred times the rate. */
  constructor(now: Millis, options: { tally: { add(name: LinkCount): void }; isTrusted: boolean }) {
    this.#tally = options.tally;
    this.#factor = options.isTrusted ? TRUSTED_FACTOR : 1;
    this.#openedAt = now;
    this.#nextAt = now;
    this.#requestAt = now;
    this.#tally.add('linksOpened');
  }

  get isClosed(): boolean {
    return this.#format === 'closed';
  }

  /** Bytes held for this link. */
  get bufferedBytes(): number {
    return this.#head.length + this.#reader.bufferedBytes;
  }

  /** @param bytes - Borrowed until the call returns. */
  handleBytes(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (this.#format === 'unknown') {
      const head = new Uint8Array(this.#head.length + bytes.length);
      head.set(this.#head);
      head.set(bytes, this.#head.length);
      this.#head = head;
      this.#detect();
      return;
    }
    this.#read(bytes);
  }

  /** The next request, to be answered by `handleAnswer` before there is another. */
  pollRequest(now: Millis): RegistryFields | undefined {
    while (!this.#isBusy && !this.isClosed && now >= this.#nextAt && this.#blockedAt === Number.POSITIVE_INFINITY) {
      const body = this.#reader.next();
      if (body === undefined) {
        if (this.#reader.isBroken) this.#close('frameTooLong');
        return undefined;
      }
      this.#requestAt = now;
      this.#limit(now);
      const fields = this.#format === 'json' ? this.#readJson(body) : this.#readBinary(body);
      if (fields === undefined) continue;
      this.#isBusy = true;
      return fields;
    }
    return undefined;
  }

  handleAnswer(answer: Answer): void {
    if (!this.#isBusy) return;
    this.#isBusy = false;
    const frame = this.#format === 'json' ? emitJsonFrame(fieldsOf(answer)) : binaryAnswer(this.#asked, answer);
    this.#asked = undefined;
    if (!this.isClosed) this.#frames.push(frame);
  }

  /** Bytes for the link; owned by the caller. */
  pollBytes(): Uint8Array | undefined {
    return this.#frames.shift();
  }

  /** The peer does not read: no more requests are taken until `handleDrain`. */
  handleBlocked(now: Millis): void {
    this.#blockedAt = Math.min(this.#blockedAt, now);
  }

  handleDrain(): void {
    this.#blockedAt = Number.POSITIVE_INFINITY;
  }

  handleTimeout(now: Millis): void {
    if (this.isClosed) return;
    if (now - this.#blockedAt >= LINK_LIMITS.stallMs) this.#close('stalled');
    else if (!this.#isBusy && now - this.#requestAt >= LINK_LIMITS.idleMs) this.#close('idle');
  }

  /** When this link is idle too long, or not read from. */
  pollTimeout(): Millis {
    if (this.isClosed) return Number.POSITIVE_INFINITY;
    const idleAt = this.#isBusy ? Number.POSITIVE_INFINITY : this.#requestAt + LINK_LIMITS.idleMs;
    return Math.min(idleAt, this.#blockedAt + LINK_LIMITS.stallMs);
  }

  /** When `pollRequest` will go on, if the rate alone holds it back. */
  delayedUntil(now: Millis): Millis | undefined {
    const waits = !this.#isBusy && !this.isClosed && this.#reader.bufferedBytes > 0;
    return waits && now < this.#nextAt ? this.#nextAt : undefined;
  }

  /** CP 1.2: "PILT" and a version, "GET " (served elsewhere), or the length of a JSON frame. */
  #detect(): void {
    const head = this.#head;
    if (head.length < MAGIC_BYTES) return;
    const isBinary = beginsWith(head, BINARY_PROLOGUE, MAGIC_BYTES);
    if (isBinary && head.length < BINARY_PROLOGUE.length) return;
    this.#head = new Uint8Array(0);
    if (beginsWith(head, HTTP_GET, MAGIC_BYTES)) {
      this.#close('httpNotServed');
    } else if (!isBinary) {
      this.#format = 'json';
      this.#tally.add('jsonLinks');
      this.#read(head);
    } else if (beginsWith(head, BINARY_PROLOGUE, BINARY_PROLOGUE.length)) {
      this.#format = 'binary';
      this.#tally.add('binaryLinks');
      this.#read(head.subarray(BINARY_PROLOGUE.length));
    } else {
      this.#frames.push(emitBinaryError(`unsupported binary protocol version ${head[MAGIC_BYTES]}`));
      this.#close('badVersion');
    }
  }

  #read(bytes: Uint8Array): void {
    // Requests in front of a frame that is too long are still answered; `pollRequest` closes behind them.
    this.#reader.push(bytes);
    if (this.#reader.bufferedBytes > LINK_LIMITS.pendingBytes) this.#close('flooded');
  }

  /** CP 1.6: measured over the link's life, after the first seconds. */
  #limit(now: Millis): void {
    this.#requests += 1;
    const lifeMs = now - this.#openedAt;
    if (lifeMs < LINK_LIMITS.graceMs) return;
    const perSecond = (this.#requests * 1000) / lifeMs / this.#factor;
    if (perSecond > LINK_LIMITS.closePerSecond) {
      this.#close('tooManyRequests');
    } else if (perSecond > LINK_LIMITS.slowPerSecond) {
      this.#nextAt = now + LINK_LIMITS.delayMs;
      this.#tally.add('delayed');
    }
  }

  #readJson(body: Uint8Array): RegistryFields | undefined {
    if (this.isClosed) return undefined;
    const fields = parseJson(body);
    if (fields === undefined) this.#close('malformedBody');
    // The reference takes `null` for an object without fields.
    return fields === null ? {} : fields;
  }

  #readBinary(body: Uint8Array): RegistryFields | undefined {
    if (this.isClosed) return undefined;
    const request = parseBinaryRequest(body);
    if (request === undefined) {
      this.#close('malformedBody');
      return undefined;
    }
    this.#asked = request.type;
    switch (request.type) {
      case 'json': {
        const fields = parseJson(request.body);
        if (fields === undefined) return this.#refuse('json decode: invalid JSON object');
        return fields ?? {};
      }
      case 'heartbeat':
        // The body is borrowed, and verification may come later.
        return { type: 'heartbeat', node_id: request.nodeId, signature: request.signature.slice() };
      case 'lookup':
        return { type: 'lookup', node_id: request.nodeId };
      case 'resolve': {
        const { nodeId, requesterId, signature } = request;
        return { type: 'resolve', node_id: nodeId, requester_id: requesterId, signature: signature.slice() };
      }
      case 'short':
        return this.#refuse(`${request.name} request too short: ${request.length} bytes`);
      case 'unknown':
        return this.#refuse(`unknown message type 0x${request.code.toString(16).padStart(2, '0')}`);
      default: {
        const never: never = request;
        return never;
      }
    }
  }

  #refuse(text: string): undefined {
    this.#frames.push(emitBinaryError(text));
    return undefined;
  }

  #close(reason: LinkCount): void {
    if (this.isClosed) return;
    this.#format = 'closed';
    this.#tally.add(reason);
  }
}

function beginsWith(bytes: Uint8Array, prefix: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[i] !== prefix[i]) return false;
  return true;
}

/** The native form of an answer. Errors are not masked, and name nodes a little differently (CP 1.4, 1.15). */
function binaryAnswer(asked: BinaryRequest['type'] | undefined, answer: Answer): Uint8Array {
  if (asked === 'json') return emitBinaryJson(fieldsOf(answer));
  if (!answer.ok) return emitBinaryError(answer.text.replace(': node not found', ': not found'));
  const fields = answer.fields as AnswerFields;
  switch (asked) {
    case 'heartbeat':
      return emitHeartbeatOk(fields.time ?? 0, fields.key_expiry_warning === true);
    case 'lookup':
      return emitLookupOk({
        nodeId: fields.node_id ?? 0,
        isPublic: fields.public === true,
        networks: fields.networks ?? [],
        publicKey: fromBase64(fields.public_key ?? '') ?? new Uint8Array(0),
        hostname: fields.hostname ?? '',
        tags: fields.tags ?? [],
        realAddress: fields.real_addr ?? '',
      });
    default:
      return emitResolveOk({
        nodeId: fields.node_id ?? 0,
        realAddress: fields.real_addr ?? '',
        lanAddresses: fields.lan_addrs ?? [],
        keyAgeDays: fields.key_age_days,
      });
  }
}

/** Fields that our own handlers put into the three answers with a native form. */
interface AnswerFields {
  readonly time?: number;
  readonly key_expiry_warning?: boolean;
  readonly node_id?: number;
  readonly public?: boolean;
  readonly networks?: readonly number[];
  readonly public_key?: string;
  readonly hostname?: string;
  readonly tags?: readonly string[];
  readonly real_addr?: string;
  readonly lan_addrs?: readonly string[];
  readonly key_age_days?: number;
}
