/**
 * Who may speak to the application (DP 7, design: decision 11). What is not let in is dropped without a sign, listener
 * or not, RST included. The tables are trust.ts's; here the registry is asked, within a budget.
 */
import { Bucket, Buckets } from '../budget.ts';
import { BUDGETS, type Millis, STRANGER } from '../config.ts';
import { FLAG, PORT } from '../wire/packet.ts';
import type { Directory } from './directory.ts';
import type { Peer } from './peer.ts';
import type { Counters } from './stats.ts';
import type { StreamPacket } from './streams.ts';
import type { Trust } from './trust.ts';

/** Design, decision 11: what a stranger may do at port 444. */
const TRUST_SYN_PER_SECOND = 1;
const TRUST_SYN_BURST = 4;

/** The gate of one endpoint. */
export class Gate {
  readonly #trust: Trust;
  readonly #directory: Directory;
  readonly #counters: Counters;
  readonly #lookups = new Bucket(BUDGETS.registryLookupsPerSecond[STRANGER]);
  readonly #trustSyns = new Buckets(TRUST_SYN_PER_SECOND, TRUST_SYN_BURST);

  constructor(parts: { trust: Trust; directory: Directory; counters: Counters }) {
    this.#trust = parts.trust;
    this.#directory = parts.directory;
    this.#counters = parts.counters;
  }

  /** Whether a stream packet without connection goes on: only a SYN can open anything. */
  admitsStream(now: Millis, peer: Peer, packet: StreamPacket): boolean {
    if ((packet.segment.flags & (FLAG.SYN | FLAG.ACK)) !== FLAG.SYN) return true;
    if (packet.localPort !== PORT.trust) return this.admits(now, peer, packet.localPort);
    if (peer.isTrusted || this.#trustSyns.take(now, peer.id)) return true;
    this.#counters.drop('synLimited');
    return false;
  }

  /** Whether the peer may use a port of ours. Not now may mean: the registry is being asked. */
  admits(now: Millis, peer: Peer, port: number): boolean {
    const verdict = this.#trust.admits(now, peer.id, port);
    if (verdict === 'admit') return true;
    this.#counters.drop('untrusted');
    if (verdict !== 'ask') return false;
    if (this.#lookups.take(now)) {
      this.#directory.trust(now, peer.id, (at, isTrusted) => this.#trust.noteRegistryAnswer(at, peer.id, isTrusted));
    } else {
      // Nobody could be asked: the next packet asks again.
      this.#trust.noteRegistryAnswer(now, peer.id, undefined);
    }
    return false;
  }
}
