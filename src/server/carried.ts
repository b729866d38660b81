/**
 * Nodes that a beacon reaches over a link instead of an endpoint (DP 4.11), and which link each has. That they are who
 * they say was proven before; see bridge.ts.
 */
import type { Millis } from '../config.ts';

/** A node and its link. */
export interface CarriedNode {
  /** The link. */
  readonly path: number;
  /** It may do a hundred times as much as strangers. */
  readonly isTrusted: boolean;
  notifiedAt: Millis;
}

/** The table of one beacon. Whoever opens links bounds it. */
export class Carried {
  readonly #nodes = new Map<number, CarriedNode>();

  get size(): number {
    return this.#nodes.size;
  }

  get(nodeId: number): CarriedNode | undefined {
    return this.#nodes.get(nodeId);
  }

  /** The newest link of a node is the one. */
  attach(nodeId: number, { path, isTrusted }: { path: number; isTrusted: boolean }): void {
    this.#nodes.set(nodeId, { path, isTrusted, notifiedAt: Number.NEGATIVE_INFINITY });
  }

  detach(nodeId: number, path: number): void {
    if (this.#nodes.get(nodeId)?.path === path) this.#nodes.delete(nodeId);
  }

  /** Some of the nodes. */
  ids(limit: number): number[] {
    const ids: number[] = [];
    for (const nodeId of this.#nodes.keys()) {
      if (ids.length >= limit) break;
      ids.push(nodeId);
    }
    return ids;
  }
}
