/**
 * What a store of the registry is: something that answers the registry's operations, at once or later. Each operation
 * is atomic; what it means stands with the operation (registry/operations.ts).
 */
import type { Results, StoreOperation } from '../registry/operations.ts';

/** Where nodes, trust and mail are kept. */
export interface Store {
  /** Result of the operation, or a promise of it. Rejects when the store fails; nothing was changed then. */
  execute(operation: StoreOperation): StoreResult | Promise<StoreResult>;
  /** Records held, for statistics. */
  counts(): StoreCounts;
  close(): Promise<void>;
}

/** Result of any operation of the store. */
export type StoreResult = Results[StoreOperation['type']];

/** How much a store holds. */
export interface StoreCounts {
  readonly nodes: number;
  readonly hostnames: number;
  readonly consents: number;
  readonly mail: number;
}
