/**
 * Requests to the registry over one link, strictly one at a time (CP 1.2). It signs, asks for the link, opens it again
 * with back-off, and gives every request exactly one answer. What the answers mean is for registration.ts and directory.ts.
 */
import { LIMITS, type Millis, TIMERS } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { toBase64 } from '../wire/base64.ts';
import { emitJsonFrame, FrameReader } from '../wire/registry.ts';
import type { RegistryObject } from './events.ts';
import type { Jobs } from './jobs.ts';
import type { Counters } from './stats.ts';

/** How a request ended. */
export type RegistryOutcome = { ok: true; answer: RegistryObject } | { ok: false; code: ErrorCode; message: string };

type Continuation = (now: Millis, outcome: RegistryOutcome) => void;

/** A request. With `challenge`, its signature by our identity travels in the field `signature`. */
export interface RegistryRequest {
  readonly fields: RegistryObject;
  readonly challenge?: string;
  /** May be sent again when the link broke before the answer came (CP 1.6). */
  readonly isIdempotent?: boolean;
  /** A stranger caused it: what we want ourselves goes first. */
  readonly isBackground?: boolean;
}

interface Pending {
  readonly request: RegistryRequest;
  readonly then: Continuation;
  /** Until then it waits for its turn. */
  readonly deadline: Millis;
  /** Until then its answer is waited for; later than `deadline` when its turn came late. */
  answerBy: Millis;
  isSent: boolean;
  attempts: number;
}

/** Requests that may wait: ours, and those that strangers cause. */
const QUEUE_LIMIT = 1024;
const BACKGROUND_LIMIT: number = LIMITS.lookupQueue;
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 10_000;
const DECODER: TextDecoder = new TextDecoder('utf-8', { fatal: true });

/** Client side of the registry link. */
export class RegistryClient {
  readonly #jobs: Jobs;
  readonly #counters: Counters;
  readonly #identity: number;
  readonly #random: (into: Uint8Array) => void;
  readonly #waiting: Pending[] = [];
  readonly #background: Pending[] = [];
  #active: Pending | undefined;
  #isSigning = false;
  #reader: FrameReader = new FrameReader(LIMITS.registryFrameBytes);
  #state: 'idle' | 'opening' | 'open' | 'waiting' = 'idle';
  #backoffMs = BACKOFF_FIRST_MS;
  #reopenAt: Millis = Number.POSITIVE_INFINITY;
  #isClosed = false;
  readonly #commands: ('open' | 'close')[] = [];
  readonly #bytes: Uint8Array[] = [];

  constructor(parts: { jobs: Jobs; counters: Counters; identity: number; random: (into: Uint8Array) => void }) {
    this.#jobs = parts.jobs;
    this.#counters = parts.counters;
    this.#identity = parts.identity;
    this.#random = parts.random;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Requests that wait or are under way. */
  get size(): number {
    return this.#waiting.length + this.#background.length + (this.#active === undefined ? 0 : 1);
  }

  /** Opens the link if it is not open or opening. */
  start(): void {
    if (this.#state === 'idle' && !this.#isClosed) this.#open();
  }

  /** Queues a request; `then` runs once, with an answer or a code. */
  request(now: Millis, request: RegistryRequest, then: Continuation): void {
    if (this.#isClosed) {
      then(now, { ok: false, code: 'CLOSED', message: 'Cannot ask the registry: the agent is closed' });
      return;
    }
    const isBackground = request.isBackground === true;
    const queue = isBackground ? this.#background : this.#waiting;
    if (queue.length >= (isBackground ? BACKGROUND_LIMIT : QUEUE_LIMIT)) {
      then(now, { ok: false, code: 'BUSY', message: `Cannot ask the registry: ${queue.length} requests wait` });
      return;
    }
    const deadline = now + TIMERS.registryAnswerMs;
    queue.push({ request, then, deadline, answerBy: deadline, isSent: false, attempts: 0 });
    this.#next(now);
  }

  handleOpen(now: Millis): void {
    if (this.#state !== 'opening') return;
    this.#state = 'open';
    this.#reader = new FrameReader(LIMITS.registryFrameBytes);
    this.#next(now);
  }

  /** @param bytes - Borrowed until the call returns. */
  handleBytes(now: Millis, bytes: Uint8Array): void {
    if (this.#state !== 'open') return;
    if (!this.#reader.push(bytes)) {
      this.#breakLink(now, 'PROTOCOL');
      return;
    }
    const frame = this.#reader.next();
    if (frame === undefined) return;
    const active = this.#active;
    const answer = parseObject(frame);
    // One answer to one request (CP 1.2). What comes unasked would be taken for the answer to the next.
    const isUnasked = active === undefined || !active.isSent || this.#reader.bufferedBytes > 0;
    if (isUnasked || answer === undefined) {
      this.#counters.drop('registryMalformed');
      this.#breakLink(now, 'PROTOCOL');
      return;
    }
    // Only now the registry is known to work: one that takes links and answers nothing is asked ever more rarely.
    this.#backoffMs = BACKOFF_FIRST_MS;
    this.#active = undefined;
    active.then(now, outcomeOf(answer));
    this.#next(now);
  }

  handleClosed(now: Millis, code: ErrorCode | undefined): void {
    // Whoever broke the link hears of its end once more.
    if (this.#state === 'idle' || this.#state === 'waiting') return;
    this.#state = 'waiting';
    this.#reopenAt = now + this.#backoffMs * (0.75 + this.#chance() / 2);
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS);
    // What has not left yet belongs to this link.
    this.#bytes.length = 0;
    const active = this.#active;
    this.#active = undefined;
    if (active !== undefined) {
      // CP 1.2: what is not idempotent is never sent twice; its answer may have been lost.
      if (!active.isSent || (active.request.isIdempotent === true && active.attempts < 2)) this.#putBack(active);
      else active.then(now, unreachable(code));
    }
    // Waiting does not help.
    if (code === 'TLS_PIN_MISMATCH' || code === 'INSECURE') this.#failWaiting(now, Number.POSITIVE_INFINITY, code);
  }

  handleTimeout(now: Millis): void {
    if (now >= this.#reopenAt) this.#open();
    if (this.#active !== undefined && now >= this.#active.answerBy) this.#breakLink(now, undefined);
    this.#failWaiting(now, now, undefined);
    this.#next(now);
  }

  pollTimeout(): Millis {
    let at = Math.min(this.#reopenAt, this.#active?.answerBy ?? Number.POSITIVE_INFINITY);
    for (const [first] of [this.#waiting, this.#background]) at = Math.min(at, first?.deadline ?? at);
    return at;
  }

  pollCommand(): 'open' | 'close' | undefined {
    return this.#commands.shift();
  }

  /** Bytes for the link; owned by the caller. */
  pollBytes(): Uint8Array | undefined {
    return this.#bytes.shift();
  }

  /** Fails what waits with `CLOSED` and ends the link. */
  close(now: Millis): void {
    this.#isClosed = true;
    const failed = [...(this.#active === undefined ? [] : [this.#active]), ...this.#waiting, ...this.#background];
    this.#active = undefined;
    this.#waiting.length = 0;
    this.#background.length = 0;
    this.#reopenAt = Number.POSITIVE_INFINITY;
    if (this.#state === 'open' || this.#state === 'opening') this.#commands.push('close');
    this.#state = 'idle';
    for (const one of failed) one.then(now, { ok: false, code: 'CLOSED', message: 'The agent was closed' });
  }

  #open(): void {
    this.#reopenAt = Number.POSITIVE_INFINITY;
    this.#state = 'opening';
    this.#commands.push('open');
  }

  #next(now: Millis): void {
    if (this.#state !== 'open' || this.#active !== undefined || this.#isSigning) return;
    const next = this.#waiting.shift() ?? this.#background.shift();
    if (next === undefined) return;
    this.#active = next;
    next.answerBy = Math.max(next.deadline, now + TIMERS.registryAnswerMs / 2);
    const { fields, challenge } = next.request;
    if (challenge === undefined) {
      this.#send(next, fields);
      return;
    }
    this.#isSigning = true;
    const message = new TextEncoder().encode(challenge);
    this.#jobs.start({ kind: 'sign', identity: this.#identity, message }, (at, signature) => {
      this.#isSigning = false;
      if (this.#active === next && this.#state === 'open') {
        if (signature instanceof Uint8Array) {
          this.#send(next, { ...fields, signature: toBase64(signature) });
          return;
        }
        // Unsigned it would be refused, or worse: taken (CP 1.7.3).
        this.#active = undefined;
        next.then(at, { ok: false, code: 'IDENTITY_INVALID', message: 'Cannot ask the registry: no signature' });
      }
      this.#next(at);
    });
  }

  #send(pending: Pending, fields: RegistryObject): void {
    pending.attempts += 1;
    pending.isSent = true;
    this.#bytes.push(emitJsonFrame(fields));
  }

  /** In front again, within the time that it had. */
  #putBack(pending: Pending): void {
    pending.isSent = false;
    (pending.request.isBackground === true ? this.#background : this.#waiting).unshift(pending);
  }

  /** Answers those whose time was over at `until`. Deadlines rise along a queue. */
  #failWaiting(now: Millis, until: Millis, code: ErrorCode | undefined): void {
    const failed: Pending[] = [];
    for (const queue of [this.#waiting, this.#background]) {
      const left = queue.findIndex(({ deadline }) => deadline > until);
      failed.push(...queue.splice(0, left < 0 ? queue.length : left));
    }
    for (const { then } of failed) then(now, unreachable(code));
  }

  #breakLink(now: Millis, code: ErrorCode | undefined): void {
    this.#commands.push('close');
    this.handleClosed(now, code);
  }

  #chance(): number {
    const byte = new Uint8Array(1);
    this.#random(byte);
    return (byte[0] ?? 0) / 256;
  }
}

function parseObject(frame: Uint8Array): RegistryObject | undefined {
  try {
    const value: unknown = JSON.parse(DECODER.decode(frame));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    // CP 1.3: an answer without `type` is malformed.
    return typeof (value as RegistryObject).type === 'string' ? (value as RegistryObject) : undefined;
  } catch {
    return undefined;
  }
}

/** CP 1.4: an answer is an error when it carries the string field `error`. Our server adds `code`. */
function outcomeOf(answer: RegistryObject): RegistryOutcome {
  if (typeof answer.error !== 'string') return { ok: true, answer };
  const text = answer.error.slice(0, 300);
  const hint = `${text} ${typeof answer.code === 'string' ? answer.code : ''}`;
  let code: ErrorCode = 'REGISTRY_REFUSED';
  if (/not found|not_found/i.test(hint)) code = 'NOT_FOUND';
  else if (/rate.limited|too many/i.test(hint)) code = 'RATE_LIMITED';
  else if (/already/i.test(hint)) code = 'ALREADY_EXISTS';
  else if (/unknown.(type|request)/i.test(hint)) code = 'NOT_SUPPORTED';
  else if (/not.trusted|denied|private/i.test(hint)) code = 'NOT_TRUSTED';
  return { ok: false, code, message: `The registry refused: ${text}` };
}

function unreachable(code: ErrorCode | undefined): RegistryOutcome {
  return {
    ok: false,
    code: code ?? 'RENDEZVOUS_UNREACHABLE',
    message: 'Cannot reach the registry: no answer, or the link broke',
  };
}
