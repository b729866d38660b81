/**
 * What can be asked of an agent over its control socket, and in the same words of one in this process: Info and the
 * trust commands (CP 5.4, 5.5). Answers are the JSON objects of the wire, keys in alphabetical order as the reference
 * writes them.
 */
import type { Millis } from '../config.ts';

/** One JSON object. */
export interface ControlAnswer {
  readonly [key: string]: unknown;
}

/** An agent that is commanded by node ids. */
export interface Control {
  info(): Promise<ControlAnswer>;
  /** Asks a node for trust. */
  request(nodeId: number, justification: string): Promise<ControlAnswer>;
  /** @throws PilotError `NOT_FOUND` when the node did not ask. */
  approve(nodeId: number): Promise<ControlAnswer>;
  /** @throws PilotError `NOT_FOUND` when the node did not ask. */
  reject(nodeId: number, reason: string): Promise<ControlAnswer>;
  pending(): Promise<ControlAnswer>;
  trusted(): Promise<ControlAnswer>;
  /** @throws PilotError `NOT_FOUND` when the node was not trusted. */
  revoke(nodeId: number): Promise<ControlAnswer>;
  /** Waits until a node is trusted, at most 30 s. @param signal - Nobody wants the answer any more. */
  wait(nodeId: number, timeoutMs: Millis, signal?: AbortSignal): Promise<ControlAnswer>;
}

/** CP 5.5: the longest that one `wait` takes. */
export const WAIT_MAX_MS: Millis = 30_000;
