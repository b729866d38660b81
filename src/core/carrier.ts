/**
 * Which carrier takes what goes to the beacon and through it, UDP or the WebSocket, and why. UDP is tried first unless
 * the application said otherwise, and left only for a WebSocket that works: with neither, nothing is better than UDP,
 * which at least reaches neighbours.
 */
import type { Millis } from '../config.ts';
import type { ErrorCode } from '../errors.ts';

/** What the application asks for. */
export type Transport = 'auto' | 'udp' | 'websocket';

/** Why the present carrier was chosen, for `explain()` and `stats()`. */
export type CarrierReason =
  | 'asked-for'
  | 'udp-is-being-tried'
  | 'beacon-answers-over-udp'
  | 'beacon-silent-over-udp'
  | 'beacon-silent-over-udp-and-no-websocket';

/** Design, "Public surface": three Discovers in this time without an answer. */
const UDP_WAIT_MS: Millis = 1_500;
/** The rendezvous has no WebSockets, or none for us: no use in asking again. */
const HOPELESS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NOT_SUPPORTED',
  'REGISTRY_REFUSED',
  'REPLACED',
  'TLS_PIN_MISMATCH',
]);
const NEVER = Number.POSITIVE_INFINITY;

/** The choice of one endpoint. */
export class Carrier {
  readonly transport: Transport;
  #name: 'udp' | 'websocket';
  #reason: CarrierReason;
  #tryAt: Millis = NEVER;
  #isTrying = false;
  #isDecided: boolean;

  constructor(transport: Transport) {
    this.transport = transport;
    this.#name = transport === 'websocket' ? 'websocket' : 'udp';
    this.#reason = transport === 'auto' ? 'udp-is-being-tried' : 'asked-for';
    this.#isDecided = transport === 'udp';
  }

  get name(): 'udp' | 'websocket' {
    return this.#name;
  }

  get reason(): CarrierReason {
    return this.#reason;
  }

  /** Whether the carrier works, or was all that there is. */
  get isDecided(): boolean {
    return this.#isDecided;
  }

  /** Whether the WebSocket shall be open. */
  get wantsBridge(): boolean {
    return this.#name === 'websocket' || this.#isTrying;
  }

  /** Discovers go out, to a beacon that has not been asked before. */
  handleAsked(now: Millis): void {
    if (this.transport === 'auto' && this.#name === 'udp' && !this.#isTrying && !this.#isDecided) {
      this.#tryAt = now + UDP_WAIT_MS;
    }
  }

  /** The beacon answered over UDP. */
  handleReflexive(): void {
    if (this.transport !== 'auto' || this.#name === 'websocket') return;
    this.#tryAt = NEVER;
    this.#isTrying = false;
    this.#isDecided = true;
    this.#reason = 'beacon-answers-over-udp';
  }

  /** @returns True when the WebSocket is to be tried now. */
  handleTimeout(now: Millis): boolean {
    if (now < this.#tryAt) return false;
    this.#tryAt = NEVER;
    this.#isTrying = true;
    this.#reason = 'beacon-silent-over-udp';
    return true;
  }

  pollTimeout(): Millis {
    return this.#tryAt;
  }

  /** The WebSocket works. @returns True when everything changes over to it. */
  handleReady(): boolean {
    this.#isDecided = true;
    if (this.#name === 'websocket' || !this.#isTrying) return false;
    this.#name = 'websocket';
    this.#isTrying = false;
    return true;
  }

  /** The WebSocket could not be opened, or ended. */
  handleFailed(error: ErrorCode | undefined): void {
    if (this.#name === 'websocket' || !this.#isTrying) return;
    this.#isDecided = true;
    this.#reason = 'beacon-silent-over-udp-and-no-websocket';
    if (error !== undefined && HOPELESS.has(error)) this.#isTrying = false;
  }
}
