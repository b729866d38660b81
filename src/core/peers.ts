/**
 * The peers of one endpoint: who is known, who has to leave when the table is full, and who wants to be looked at next.
 * A stranger never displaces a peer with trust or connections (design: decision 7).
 */
import { LIMITS, type Millis } from '../config.ts';
import type { ExchangeContext } from './key-exchange.ts';
import type { Paths } from './paths.ts';
import { Peer } from './peer.ts';
import { Deadlines } from './timers.ts';

/** The peer table. */
export class Peers {
  readonly #context: ExchangeContext;
  readonly #paths: Paths;
  readonly #peers = new Map<number, Peer>();
  readonly #deadlines = new Deadlines();
  readonly #touched = new Set<Peer>();
  #strangers = 0;

  constructor(context: ExchangeContext, paths: Paths) {
    this.#context = context;
    this.#paths = paths;
  }

  get size(): number {
    return this.#peers.size;
  }

  get(id: number): Peer | undefined {
    return this.#peers.get(id);
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values();
  }

  /** The peer, made if need be. @returns Undefined when the table is full of peers that may stay. */
  obtain(now: Millis, id: number, isTrusted: boolean): Peer | undefined {
    const known = this.#peers.get(id);
    if (known !== undefined) return known;
    const isFull = this.#peers.size >= LIMITS.peers || (!isTrusted && this.#strangers >= LIMITS.strangerPeers);
    if (isFull && !this.#evict(now)) return undefined;
    const peer = new Peer(this.#context, id);
    peer.isTrusted = isTrusted;
    // So that it is forgotten although nothing ever comes of it.
    peer.sentAt = now;
    this.#peers.set(id, peer);
    if (!isTrusted) this.#strangers += 1;
    this.touch(peer);
    return peer;
  }

  /** Trust in the peer began or ended. */
  setTrusted(peer: Peer, isTrusted: boolean): void {
    if (peer.isTrusted === isTrusted) return;
    peer.isTrusted = isTrusted;
    this.#strangers += isTrusted ? -1 : 1;
  }

  /** Something about the peer changed: it is looked at before the turn ends. */
  touch(peer: Peer): void {
    this.#touched.add(peer);
  }

  /** The next peer that was touched; sets its timer anew. */
  pollTouched(): Peer | undefined {
    for (const peer of this.#touched) {
      this.#touched.delete(peer);
      return peer;
    }
    return undefined;
  }

  /** The peer's timer follows its state. */
  schedule(peer: Peer): void {
    if (this.#peers.get(peer.id) === peer) this.#deadlines.set(peer.id, peer.pollTimeout());
  }

  /** The next peer whose time has come. */
  pollDue(now: Millis): Peer | undefined {
    const id = this.#deadlines.pop(now);
    return id < 0 ? undefined : this.#peers.get(id);
  }

  pollTimeout(): Millis {
    return this.#deadlines.next();
  }

  /** Wipes the peer's keys and forgets it. Its streams were ended before. */
  remove(peer: Peer): void {
    if (!this.#peers.delete(peer.id)) return;
    if (!peer.isTrusted) this.#strangers -= 1;
    this.#deadlines.delete(peer.id);
    this.#touched.delete(peer);
    peer.exchange.close();
    this.#paths.release(peer.path.direct);
    this.#paths.release(peer.askedFrom);
  }

  /** Makes room: the oldest stranger that nobody here uses leaves. */
  #evict(now: Millis): boolean {
    for (const peer of this.#peers.values()) {
      if (peer.isTrusted || peer.isWanted(now)) continue;
      this.remove(peer);
      return true;
    }
    return false;
  }
}
