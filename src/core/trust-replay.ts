/**
 * Trust messages that were taken lately, so that none is taken twice (CP 2.4). The key is peer, kind and time stamp, not
 * the signature as in the existing network, where it makes every honest retry a replay (CP 2.13 H8).
 */
import type { Millis } from '../config.ts';
import type { UnixSeconds } from './rfc3339.ts';

/** CP 2.4; the oldest leaves when full, so that a flood never locks others out (H3). */
export const REPLAY_ENTRIES = 8_192;
/** A peer that sends more pushes out its own. */
export const REPLAY_ENTRIES_PER_PEER = 16;
/** Longer than any message is fresh: 5 min old plus 30 s ahead of our clock. */
const KEEP_MS: Millis = 600_000;

/** A bounded set of messages. Add only what was authenticated. */
export class ReplayTable {
  readonly #entries = new Map<string, { readonly peer: number; readonly at: Millis }>();
  readonly #names = new Map<number, Set<string>>();

  get size(): number {
    return this.#entries.size;
  }

  has(peer: number, kind: string, timestamp: UnixSeconds): boolean {
    return this.#entries.has(nameOf(peer, kind, timestamp));
  }

  add(now: Millis, message: { peer: number; kind: string; timestamp: UnixSeconds }): void {
    const { peer } = message;
    const name = nameOf(peer, message.kind, message.timestamp);
    if (this.#entries.has(name)) return;
    const own = this.#names.get(peer);
    if (own !== undefined && own.size >= REPLAY_ENTRIES_PER_PEER) this.#delete(first(own));
    else if (this.#entries.size >= REPLAY_ENTRIES) this.#delete(first(this.#entries.keys()));
    this.#entries.set(name, { peer, at: now });
    const names = this.#names.get(peer);
    if (names === undefined) this.#names.set(peer, new Set([name]));
    else names.add(name);
  }

  /** Forgets what is too old to be fresh. */
  sweep(now: Millis): void {
    for (const [name, { at }] of this.#entries) {
      if (now - at < KEEP_MS) return;
      this.#delete(name);
    }
  }

  #delete(name: string | undefined): void {
    const entry = name === undefined ? undefined : this.#entries.get(name);
    if (name === undefined || entry === undefined) return;
    this.#entries.delete(name);
    const names = this.#names.get(entry.peer);
    names?.delete(name);
    if (names?.size === 0) this.#names.delete(entry.peer);
  }
}

function nameOf(peer: number, kind: string, timestamp: UnixSeconds): string {
  return `${peer} ${kind} ${timestamp}`;
}

function first(names: Iterable<string>): string | undefined {
  for (const name of names) return name;
  return undefined;
}
