/**
 * The client's end of the WebSocket road to the beacon (DP 4.11): it has the link opened, signs the challenge, opens it
 * again with back-off, and notices when nothing comes through any more. What goes over it, and whether it is used at all,
 * is for carrier.ts.
 */
import type { Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { isEmptyDelivery, RELAY_BYTES, writeRelayHeader } from '../wire/beacon.ts';
import { challengeText, emitChallengeReply, isChallengePassed, parseChallenge, WEB_CLOSE } from '../wire/compat.ts';
import type { Jobs } from './jobs.ts';
import type { Counters } from './stats.ts';

/** What became of the link. */
export type BridgeNews =
  /** Our node id is proven: relays go both ways. */
  | { type: 'ready' }
  /** It ended; it is opened again unless it was `replaced`. */
  | { type: 'lost'; code: number; error: ErrorCode | undefined }
  /** The beacon's registry does not know us: register first. */
  | { type: 'notRegistered' }
  /** Another program with this identity has the link now. */
  | { type: 'replaced'; code: number };

/** Work for the driver. */
export type BridgeCommand = { type: 'open' } | { type: 'close' } | { type: 'send'; message: Uint8Array | string };

/** How the link ended. */
export interface BridgeEnd {
  readonly code: number;
  readonly reason: string;
  readonly error?: ErrorCode;
}

interface Parts {
  readonly jobs: Jobs;
  readonly counters: Counters;
  readonly identity: number;
  readonly identityKey: Uint8Array;
  readonly random: (into: Uint8Array) => void;
}

/** DP 4.11. */
const PROOF_MS: Millis = 10_000;
const BACKOFF_FIRST_MS: Millis = 250;
const BACKOFF_MAX_MS: Millis = 30_000;
/** A link that stood this long is opened again at once; one that did not waits, or two would hammer. */
const STABLE_MS: Millis = 2_000;
/** Pages cannot ping. A relay to ourselves comes back where the beacon is alive. */
const ECHO_AFTER_MS: Millis = 25_000;
const ECHO_MS: Millis = 10_000;
const NEVER = Number.POSITIVE_INFINITY;
/** How the existing network says that a newer link took over is not written anywhere; the word is. */
const REPLACED = /replaced/i;
const ENCODER: TextEncoder = new TextEncoder();

/** One agent's link to the beacon. */
export class Bridge {
  readonly #parts: Parts;
  #state: 'idle' | 'opening' | 'proving' | 'ready' | 'waiting' | 'ended' = 'idle';
  #nodeId = 0;
  #backoffMs: Millis = 0;
  #reopenAt: Millis = NEVER;
  #proveBy: Millis = NEVER;
  #readyAt: Millis = NEVER;
  #heardAt: Millis = 0;
  #echoBy: Millis = NEVER;
  /** Whether a relay to ourselves ever came back over this link: of a beacon that sends none back it says nothing. */
  #echoes = false;
  /** Counts links, so that a signature for an old challenge is not sent on a new one. */
  #link = 0;
  /** The last link that asked for a signature: one each, or a beacon could have us sign without end. */
  #challenged = 0;
  readonly #news: BridgeNews[] = [];
  readonly #commands: BridgeCommand[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /** Whether there is a link, or shall be one. */
  get isActive(): boolean {
    return this.#hasLink || this.#state === 'waiting';
  }

  /** Opens the link in the name of a node, now. One that is open in another name is opened again. */
  start(now: Millis, nodeId: number): void {
    const isOther = nodeId !== this.#nodeId;
    this.#nodeId = nodeId;
    if (this.#state === 'ended') return;
    if (this.#state === 'idle' || this.#state === 'waiting') this.#open();
    else if (isOther) this.#break(now);
  }

  /** Ends the link and opens none again. */
  stop(): void {
    if (this.#hasLink) this.#commands.push({ type: 'close' });
    this.#rest('ended');
  }

  /** The machine slept: is the link alive? */
  handleWake(now: Millis): void {
    if (this.#state === 'ready') this.#probe(now);
  }

  handleOpen(now: Millis): void {
    if (this.#state !== 'opening') return;
    this.#state = 'proving';
    this.#proveBy = now + PROOF_MS;
  }

  /** One of the three messages of the proof; later ones say nothing (DP 4.11). */
  handleText(now: Millis, text: string): void {
    if (this.#state !== 'proving') return;
    const challenge = parseChallenge(text);
    if (challenge !== undefined && this.#challenged !== this.#link) {
      this.#challenged = this.#link;
      const { jobs, identity, identityKey: publicKey } = this.#parts;
      const link = this.#link;
      const nodeId = this.#nodeId;
      const message = ENCODER.encode(challengeText(nodeId, challenge));
      jobs.start({ kind: 'sign', identity, message }, (_, signature) => {
        if (link !== this.#link || this.#state !== 'proving' || !(signature instanceof Uint8Array)) return;
        this.#send(emitChallengeReply({ nodeId, publicKey, signature }));
      });
    } else if (isChallengePassed(text)) {
      this.#state = 'ready';
      this.#proveBy = NEVER;
      this.#readyAt = now;
      this.#heardAt = now;
      this.#echoes = false;
      this.#probe(now);
      this.#news.push({ type: 'ready' });
    } else {
      this.#parts.counters.drop('beaconMalformed');
      this.#break(now);
    }
  }

  /** A message for us came. @returns True when it was our own probe, and nobody else's business. */
  handleBytes(now: Millis, bytes: Uint8Array): boolean {
    this.#heardAt = now;
    this.#echoBy = NEVER;
    const isEcho = isEmptyDelivery(bytes, this.#nodeId);
    this.#echoes ||= isEcho;
    return isEcho;
  }

  handleClosed(now: Millis, end: BridgeEnd): void {
    // Whoever broke the link hears of its end once more.
    if (!this.#hasLink) return;
    if (end.code === WEB_CLOSE.replaced || REPLACED.test(end.reason)) {
      this.#rest('ended');
      this.#news.push({ type: 'replaced', code: end.code });
      return;
    }
    if (now - this.#readyAt >= STABLE_MS) this.#backoffMs = 0;
    const waitMs = this.#backoffMs * (0.75 + this.#chance() / 2);
    this.#backoffMs = Math.min(Math.max(BACKOFF_FIRST_MS, this.#backoffMs * 2), BACKOFF_MAX_MS);
    this.#rest('waiting');
    this.#reopenAt = now + waitMs;
    if (end.code === WEB_CLOSE.notRegistered) this.#news.push({ type: 'notRegistered' });
    this.#news.push({ type: 'lost', code: end.code, error: end.error });
  }

  handleTimeout(now: Millis): void {
    if (now >= this.#reopenAt) this.#open();
    if (now >= this.#proveBy || (now >= this.#echoBy && this.#echoes)) {
      this.#break(now);
      return;
    }
    if (now >= this.#echoBy || now >= this.#probeAt) this.#probe(now);
  }

  pollTimeout(): Millis {
    return Math.min(this.#reopenAt, this.#proveBy, this.#echoBy, this.#probeAt);
  }

  pollNews(): BridgeNews | undefined {
    return this.#news.shift();
  }

  pollCommand(): BridgeCommand | undefined {
    return this.#commands.shift();
  }

  get #hasLink(): boolean {
    return this.#state === 'opening' || this.#state === 'proving' || this.#state === 'ready';
  }

  get #probeAt(): Millis {
    return this.#state === 'ready' && this.#echoBy === NEVER ? this.#heardAt + ECHO_AFTER_MS : NEVER;
  }

  #open(): void {
    this.#state = 'opening';
    this.#reopenAt = NEVER;
    this.#link += 1;
    this.#commands.push({ type: 'open' });
  }

  #break(now: Millis): void {
    this.#commands.push({ type: 'close' });
    this.handleClosed(now, { code: WEB_CLOSE.goingAway, reason: '' });
  }

  #rest(state: 'waiting' | 'ended'): void {
    this.#state = state;
    this.#reopenAt = NEVER;
    this.#proveBy = NEVER;
    this.#readyAt = NEVER;
    this.#echoBy = NEVER;
  }

  #probe(now: Millis): void {
    const bytes = new Uint8Array(RELAY_BYTES);
    writeRelayHeader(bytes, 0, this.#nodeId, this.#nodeId);
    // A beacon that sends none back is probed on: it keeps NATs and proxies on the way from forgetting the link.
    this.#echoBy = now + (this.#echoes ? ECHO_MS : ECHO_AFTER_MS);
    this.#send(bytes);
  }

  #send(message: Uint8Array | string): void {
    this.#commands.push({ type: 'send', message });
  }

  #chance(): number {
    const byte = new Uint8Array(1);
    this.#parts.random(byte);
    return (byte[0] ?? 0) / 256;
  }
}
