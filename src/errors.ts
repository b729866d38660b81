/**
 * The one table of errors: what a caller can meet, what it means, and whether trying again can help.
 * Hostile bytes are not errors; they are dropped and counted (core/stats.ts).
 */

/** Code → meaning and whether a retry can succeed without changing anything else. */
export const ERROR_CODES = {
  ADDRESS_INVALID: { retryable: false, meaning: 'the text is not an address' },
  ADDRESS_NETWORK_MISMATCH: { retryable: false, meaning: 'the first hex group does not repeat the network' },
  ALREADY_EXISTS: { retryable: false, meaning: 'the name or the request exists already' },
  BUSY: { retryable: true, meaning: 'a bounded queue or buffer is full' },
  CLOSED: { retryable: false, meaning: 'the agent, connection or server was closed by its owner' },
  CONNECTION_LOST: { retryable: true, meaning: 'the peer stopped answering on an open connection' },
  CONNECTION_REFUSED: { retryable: true, meaning: 'the peer has no listener on that port, or is full' },
  CONNECTION_RESET: { retryable: true, meaning: 'the peer aborted the connection' },
  DIAL_TIMEOUT: { retryable: true, meaning: 'no answer to a dial: unreachable, or not trusted' },
  IDENTITY_IN_USE: { retryable: false, meaning: 'another process uses this identity' },
  IDENTITY_INVALID: { retryable: false, meaning: 'the identity file is damaged or readable by others' },
  INSECURE: { retryable: false, meaning: 'plaintext to a rendezvous that is not on this machine' },
  KEY_CHANGED: { retryable: false, meaning: 'the peer shows another identity key than the pinned one' },
  NOT_FOUND: { retryable: true, meaning: 'no such node, name or request at the rendezvous' },
  NOT_PERMITTED: { retryable: false, meaning: 'the runtime was started without a permission that this needs' },
  NOT_SUPPORTED: { retryable: false, meaning: 'the other side does not know this request' },
  NOT_TRUSTED: { retryable: false, meaning: 'the rendezvous refuses: private, and no trust exists' },
  NOT_TRUSTED_OR_SILENT: { retryable: true, meaning: 'no sign of life: unreachable, or not trusted' },
  PORT_IN_USE: { retryable: false, meaning: 'this agent listens on that port already' },
  PROTOCOL: { retryable: false, meaning: 'the other side sent something that is not the protocol' },
  RATE_LIMITED: { retryable: true, meaning: 'too many requests' },
  REGISTRY_REFUSED: { retryable: false, meaning: 'the rendezvous refused the request' },
  REPLACED: { retryable: false, meaning: 'another program with this identity took the connection to the beacon' },
  RENDEZVOUS_UNREACHABLE: { retryable: true, meaning: 'the rendezvous does not answer' },
  TIMEOUT: { retryable: true, meaning: 'no result within the time given' },
  TLS_PIN_MISMATCH: { retryable: false, meaning: 'the server shows another certificate than the pinned one' },
  TOO_LARGE: { retryable: false, meaning: 'more bytes than one datagram or message may carry' },
  TRUST_REJECTED: { retryable: false, meaning: 'the peer rejected the trust request' },
  UNREACHABLE: { retryable: true, meaning: 'no path to the peer is known' },
} as const;

/** One of the stable codes of `ERROR_CODES`. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** Options of a `PilotError`: what to try instead, and what went wrong below. */
export interface PilotErrorOptions extends ErrorOptions {
  hint?: string;
}

/** A failure the caller can meet. Match `code`; messages may change. */
export class PilotError extends Error {
  override readonly name = 'PilotError';
  readonly code: ErrorCode;
  /** What the caller can do about it, if anything is known. */
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options?: PilotErrorOptions) {
    super(message, options);
    this.code = code;
    this.hint = options?.hint;
  }

  /** Whether the same call can succeed later. */
  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable;
  }
}
