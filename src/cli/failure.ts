/**
 * What went wrong, in the words of the command line (CP 7.1): one table from our codes to its codes. The envelope has no
 * field for ours, so it stands in brackets behind the hint.
 */
import { ERROR_CODES, type ErrorCode, PilotError } from '../errors.ts';

/** The codes of CP 7.1. */
export type FailureCode =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'not_running'
  | 'connection_failed'
  | 'timeout'
  | 'internal'
  | 'io_error'
  | 'invalid_state'
  | 'expired'
  | 'unavailable'
  | 'auth_required'
  | 'conflict';

/** What the envelope of a failure holds. */
export interface Failure {
  readonly code: FailureCode;
  readonly message: string;
  readonly hint?: string;
}

/** Our code → the command line's. */
export const FAILURE_CODES: { readonly [code in ErrorCode]: FailureCode } = {
  ADDRESS_INVALID: 'invalid_argument',
  ADDRESS_NETWORK_MISMATCH: 'invalid_argument',
  ALREADY_EXISTS: 'already_exists',
  BUSY: 'unavailable',
  CLOSED: 'invalid_state',
  CONNECTION_LOST: 'connection_failed',
  CONNECTION_REFUSED: 'connection_failed',
  CONNECTION_RESET: 'connection_failed',
  DIAL_TIMEOUT: 'timeout',
  IDENTITY_IN_USE: 'conflict',
  IDENTITY_INVALID: 'io_error',
  INSECURE: 'invalid_argument',
  KEY_CHANGED: 'conflict',
  NOT_FOUND: 'not_found',
  NOT_PERMITTED: 'io_error',
  NOT_SUPPORTED: 'unavailable',
  NOT_TRUSTED: 'auth_required',
  NOT_TRUSTED_OR_SILENT: 'timeout',
  PORT_IN_USE: 'already_exists',
  PROTOCOL: 'internal',
  RATE_LIMITED: 'unavailable',
  REGISTRY_REFUSED: 'invalid_state',
  REPLACED: 'invalid_state',
  RENDEZVOUS_UNREACHABLE: 'connection_failed',
  TIMEOUT: 'timeout',
  TLS_PIN_MISMATCH: 'connection_failed',
  TOO_LARGE: 'invalid_argument',
  TRUST_REJECTED: 'auth_required',
  UNREACHABLE: 'connection_failed',
};

/** In the words of the command line, where the API's hint speaks of calls. */
const HINTS: { readonly [code in ErrorCode]?: string } = {
  CONNECTION_REFUSED: 'nobody listens on that port, or the peer is full',
  DIAL_TIMEOUT: 'unreachable, or it does not trust you: see `pilotwire explain`, and ask with `pilotwire handshake`',
  INSECURE: 'use pilots://, or --insecure on a network that you trust',
  NOT_TRUSTED_OR_SILENT: 'unreachable, or it does not trust you: ask with `pilotwire handshake`',
};

/** What to do next, where the error does not say. */
const NEXT: { readonly [code in ErrorCode]?: string } = {
  NOT_FOUND:
    'private names show themselves to those who are trusted: take a node id; `pilotwire pending` lists requests',
  PORT_IN_USE: 'take another port, or stop the program that has it',
  TLS_PIN_MISMATCH: 'take the URL that the rendezvous prints; if it is that one, somebody else answers there',
};

/** A failure of the command line itself: a word that it cannot read, or nobody to talk to. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: FailureCode;
  readonly hint: string | undefined;

  constructor(code: FailureCode, message: string, options?: { readonly hint?: string; readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.hint = options?.hint;
  }
}

/** Reads whatever was thrown. */
export function failureOf(error: unknown): Failure {
  if (error instanceof PilotError) {
    const hint = `${HINTS[error.code] ?? error.hint ?? NEXT[error.code] ?? ERROR_CODES[error.code].meaning} [${error.code}]`;
    return { code: FAILURE_CODES[error.code], message: error.message, hint };
  }
  if (error instanceof CommandError) {
    const { code, message, hint } = error;
    return { code, message, ...(hint === undefined ? {} : { hint }) };
  }
  if (!(error instanceof Error)) return { code: 'internal', message: String(error) };
  // Errors of the operating system carry its code as text.
  const isSystem = 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code);
  return { code: isSystem ? 'io_error' : 'internal', message: error.message };
}
