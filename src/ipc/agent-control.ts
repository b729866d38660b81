/** `Control` of an agent in this process; the server puts it behind the socket. */
import type { Agent } from '../api/agent.ts';
import type { Connection } from '../api/connection.ts';
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import { Address } from '../wire/address.ts';
import { toBase64 } from '../wire/base64.ts';
import { type Control, type ControlAnswer, WAIT_MAX_MS } from './control.ts';
import { ANSWER_MAX, describeAgent, fitting } from './info.ts';

/** What the agent does not know of itself. */
export interface AgentControlOptions {
  readonly agent: Agent;
  /** Monotonic. */
  readonly now: () => Millis;
  readonly version: string;
  /** Virtual ports with a listener. */
  readonly ports: number;
}

/** For the brackets and the names around a list. */
const FRAME_OF_LIST_BYTES = 64;

/** Answers for one agent. */
export class AgentControl implements Control {
  readonly #options: AgentControlOptions;
  readonly #startedAt: Millis;
  /** The API has no numbers for connections; they get one when first shown, and keep it. */
  readonly #connectionIds = new WeakMap<Connection, number>();
  #nextConnectionId = 1;

  constructor(options: AgentControlOptions) {
    this.#options = options;
    this.#startedAt = options.now();
  }

  async info(): Promise<ControlAnswer> {
    const { agent, now, version, ports } = this.#options;
    const uptimeMs = now() - this.#startedAt;
    const connectionId = (connection: Connection): number => this.#connectionId(connection);
    return describeAgent(agent, { uptimeMs, ports, version, connectionId });
  }

  async request(nodeId: number, justification: string): Promise<ControlAnswer> {
    const status = await this.#options.agent.trust.request(new Address(0, nodeId), justification);
    return { node_id: nodeId, status };
  }

  async approve(nodeId: number): Promise<ControlAnswer> {
    await this.#options.agent.trust.approve(new Address(0, nodeId));
    return { node_id: nodeId, status: 'approved' };
  }

  async reject(nodeId: number, reason: string): Promise<ControlAnswer> {
    await this.#options.agent.trust.reject(new Address(0, nodeId), reason);
    return { node_id: nodeId, status: 'rejected' };
  }

  async revoke(nodeId: number): Promise<ControlAnswer> {
    await this.#options.agent.trust.revoke(new Address(0, nodeId));
    return { node_id: nodeId, status: 'revoked' };
  }

  async pending(): Promise<ControlAnswer> {
    const pending = this.#options.agent.trust.pending().map(({ peer, justification, publicKey, receivedAt }) => ({
      justification,
      node_id: peer.node,
      public_key: publicKey === undefined ? '' : toBase64(publicKey),
      received_at: Math.floor(receivedAt / 1_000),
    }));
    return { pending: fitting(pending, ANSWER_MAX - FRAME_OF_LIST_BYTES).items };
  }

  async trusted(): Promise<ControlAnswer> {
    const all = this.#options.agent.trust.list().sort((a, b) => b.approvedAt - a.approvedAt);
    const trusted = all.map(({ peer, publicKey, approvedAt, isMutual, network }) => ({
      approved_at: Math.floor(approvedAt / 1_000),
      mutual: isMutual,
      network,
      node_id: peer.node,
      public_key: publicKey === undefined ? '' : toBase64(publicKey),
    }));
    const { items, isCut } = fitting(trusted, ANSWER_MAX - FRAME_OF_LIST_BYTES);
    return { trusted: items, ...(isCut ? { trusted_truncated: true } : {}) };
  }

  async wait(nodeId: number, timeoutMs: Millis, signal?: AbortSignal): Promise<ControlAnswer> {
    try {
      const limit = { timeoutMs: Math.min(timeoutMs, WAIT_MAX_MS), ...(signal === undefined ? {} : { signal }) };
      await this.#options.agent.trust.wait(new Address(0, nodeId), limit);
      return { node_id: nodeId, trusted: true };
    } catch (error) {
      const isNo = error instanceof PilotError && (error.code === 'TIMEOUT' || error.code === 'TRUST_REJECTED');
      if (isNo) return { node_id: nodeId, trusted: false };
      throw error;
    }
  }

  #connectionId(connection: Connection): number {
    const known = this.#connectionIds.get(connection);
    if (known !== undefined) return known;
    const id = this.#nextConnectionId++;
    this.#connectionIds.set(connection, id);
    return id;
  }
}
