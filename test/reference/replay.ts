/**
 * Plain twin of assembly/replay.ts: counters seen are kept in a set, so that nothing can go wrong in a bit map
 * (DP 3.11, design: decision 10).
 */

/** What a window says of a counter. */
export type WindowVerdict = 'OK' | 'REPLAY' | 'OUTSIDE_WINDOW';

/** The last `size` counters of one epoch. */
export class ReplayWindow {
  #size: bigint;
  #highest = 0n;
  #seen: Set<bigint> = new Set();

  constructor(size: number) {
    this.#size = BigInt(size);
  }

  accept(counter: bigint): WindowVerdict {
    if (counter === 0n) return 'OUTSIDE_WINDOW';
    if (this.#highest - counter >= this.#size) return 'OUTSIDE_WINDOW';
    if (this.#seen.has(counter)) return 'REPLAY';
    this.#seen.add(counter);
    if (counter > this.#highest) this.#highest = counter;
    if (this.#seen.size > 4 * Number(this.#size)) this.#prune();
    return 'OK';
  }

  /** Keeps the last `size` counters only. */
  shrink(size: number): void {
    this.#size = BigInt(size);
    this.#prune();
  }

  #prune(): void {
    for (const counter of this.#seen) if (this.#highest - counter >= this.#size) this.#seen.delete(counter);
  }
}

/** What the epochs of a session say of an authenticated frame. */
export interface EpochVerdict {
  status: WindowVerdict | 'RETIRED' | 'TOO_MANY_EPOCHS';
  isNew: boolean;
  isNewest: boolean;
}

interface Epoch {
  prefix: number;
  used: number;
  window: ReplayWindow;
}

const NEWEST_BITS = 1024;
const OLDER_BITS = 256;
const MAX_OLDER = 4;
const MAX_RETIRED = 64;

/** All epochs of one session: the newest, up to four older ones, and the prefixes that left. */
export class Epochs {
  readonly #retired: number[] = [];
  #newest: Epoch | undefined;
  #older: Epoch[] = [];
  #clock = 0;

  get retiredCount(): number {
    return this.#retired.length;
  }

  holds(prefix: number): boolean {
    return this.#find(prefix) !== undefined;
  }

  isRetired(prefix: number): boolean {
    return this.#retired.includes(prefix);
  }

  accept(prefix: number, counter: bigint): EpochVerdict {
    const held = this.#find(prefix);
    if (held !== undefined) {
      const status = held.window.accept(counter);
      if (status === 'OK') held.used = ++this.#clock;
      return { status, isNew: false, isNewest: held === this.#newest };
    }
    if (this.isRetired(prefix)) return { status: 'RETIRED', isNew: false, isNewest: false };
    if (counter === 0n) return { status: 'OUTSIDE_WINDOW', isNew: false, isNewest: false };
    if (!this.#makeRoom()) return { status: 'TOO_MANY_EPOCHS', isNew: false, isNewest: false };
    const window = new ReplayWindow(NEWEST_BITS);
    window.accept(counter);
    this.#newest = { prefix, used: ++this.#clock, window };
    return { status: 'OK', isNew: true, isNewest: true };
  }

  #find(prefix: number): Epoch | undefined {
    return this.#newest?.prefix === prefix ? this.#newest : this.#older.find((epoch) => epoch.prefix === prefix);
  }

  /** The newest becomes an older one; when there are four, the least recently used of them is retired first. */
  #makeRoom(): boolean {
    if (this.#newest === undefined) return true;
    if (this.#older.length === MAX_OLDER) {
      if (this.#retired.length === MAX_RETIRED) return false;
      this.#older.sort((a, b) => a.used - b.used);
      this.#retired.push(this.#older.shift()!.prefix);
    }
    this.#newest.window.shrink(OLDER_BITS);
    this.#older.push(this.#newest);
    return true;
  }
}
