/**
 * Replay protection as existing daemons do it: 256 bits indexed by the counter and the highest counter seen (DP 3.11).
 * Not ours: ours is in replay.ts.
 */

const BITS = 256n;
const OLDER_EPOCHS = 4;
const MAX_PREFIXES = 1024;

/** One window. */
export class PeerWindow {
  #highest = 0n;
  readonly #seen: Uint8Array = new Uint8Array(Number(BITS));

  get highest(): bigint {
    return this.#highest;
  }

  /** Takes a counter or says why not. */
  accept(counter: bigint): 'ok' | 'replay' | 'outside' {
    if (this.#highest !== 0n && counter <= this.#highest) {
      if (this.#highest - counter >= BITS) return 'outside';
      if (this.#seen[slot(counter)] === 1) return 'replay';
      this.#seen[slot(counter)] = 1;
      return 'ok';
    }
    if (counter - this.#highest >= BITS) this.#seen.fill(0);
    else for (let c = this.#highest + 1n; c <= counter; c++) this.#seen[slot(c)] = 0;
    this.#highest = counter;
    this.#seen[slot(counter)] = 1;
    return 'ok';
  }

  /** Takes the bit back; "highest" stays, which is how one forged frame wedges a session (DP 3.16, security 6). */
  clear(counter: bigint): void {
    this.#seen[slot(counter)] = 0;
  }
}

function slot(counter: bigint): number {
  return Number(counter % BITS);
}

/** What `PeerEpochs` says of a frame that authenticated. */
export interface EpochAnswer {
  readonly status: 'ok' | 'replay' | 'outside' | 'stale' | 'exhausted';
  readonly isNewest: boolean;
  /** When the newest epoch began. */
  readonly newestSince: number;
}

interface Epoch {
  readonly prefix: number;
  readonly since: number;
  readonly window: PeerWindow;
}

/** One window per nonce prefix: the newest, four older, and the prefixes that left. */
export class PeerEpochs {
  /** The one used last first. */
  #epochs: Epoch[] = [];
  #newest: Epoch | undefined;
  readonly #retired: Set<number> = new Set();

  accept(prefix: number, counter: bigint, now: number): EpochAnswer {
    const known = this.#epochs.find((epoch) => epoch.prefix === prefix);
    if (known === undefined) return this.#open(prefix, counter, now);
    const isNewest = known === this.#newest;
    const verdict = known.window.accept(counter);
    if (verdict === 'ok') this.#epochs = [known, ...this.#epochs.filter((epoch) => epoch !== known)];
    // DP 3.11: what an older epoch refuses feeds no counter.
    const status = verdict === 'ok' || isNewest ? verdict : 'stale';
    return { status, isNewest, newestSince: this.#newest!.since };
  }

  #open(prefix: number, counter: bigint, now: number): EpochAnswer {
    const newestSince = this.#newest?.since ?? now;
    if (this.#retired.has(prefix)) return { status: 'stale', isNewest: false, newestSince };
    if (this.#epochs.length + this.#retired.size >= MAX_PREFIXES) {
      return { status: 'exhausted', isNewest: false, newestSince };
    }
    if (this.#epochs.length > OLDER_EPOCHS) {
      this.#retired.add(this.#epochs.pop()!.prefix);
    }
    this.#newest = { prefix, since: now, window: new PeerWindow() };
    this.#newest.window.accept(counter);
    this.#epochs.unshift(this.#newest);
    return { status: 'ok', isNewest: true, newestSince: now };
  }
}
