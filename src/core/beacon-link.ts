/**
 * The client side of the beacon (DP 4.2 to 4.8): which of its messages are believed, punching, and asking for it. The
 * reflexive address and when to ask for it are registration.ts's; relayed frames come out as frames.
 */
import { Bucket, Buckets } from '../budget.ts';
import type { Millis } from '../config.ts';
import { emitPunchRequest, parseBeacon } from '../wire/beacon.ts';
import { isUnroutableTarget } from '../wire/host-port.ts';
import { MAGIC } from '../wire/packet.ts';
import type { Counters } from './stats.ts';

/** What a beacon message asks the endpoint to do. */
export type BeaconNews =
  | { type: 'reflexive'; host: string; port: number }
  | { type: 'punch'; host: string; port: number }
  | { type: 'frame'; sender: number; offset: number }
  | { type: 'notify' };

/** Clients believe a punch command this long after a punch or exchange of theirs (design: decision 12). */
const PUNCH_BELIEF_MS: Millis = 10_000;
/** Punch commands obeyed per second: each makes us send to an address that the beacon chose. */
const PUNCHES_PER_SECOND = 10;
/** Own punch requests per peer: the beacon drops more (DP 4.7). */
const REQUESTS_PER_SECOND = 1;
const NOTIFY_MAILBOX = 1;

/** PILP, three of which open our side of a NAT (DP 3.7). */
export const PUNCH_FRAME: Uint8Array = Uint8Array.of(
  MAGIC.PILP >>> 24,
  (MAGIC.PILP >>> 16) & 0xff,
  (MAGIC.PILP >>> 8) & 0xff,
  MAGIC.PILP & 0xff,
);
/** How many of them go out for one command. */
export const PUNCH_COPIES = 3;

/** What one endpoint believes of its beacon. */
export class BeaconLink {
  readonly #counters: Counters;
  readonly #punches = new Bucket(PUNCHES_PER_SECOND);
  readonly #requests = new Buckets(REQUESTS_PER_SECOND, REQUESTS_PER_SECOND);
  #contactAt: Millis = Number.NEGATIVE_INFINITY;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  /** We began an exchange or asked for a punch: punch commands make sense now. */
  noteContact(now: Millis): void {
    this.#contactAt = now;
  }

  /** A punch request for a peer, unless one went out just now. */
  punchRequest(now: Millis, nodeId: number, peer: number): Uint8Array | undefined {
    this.noteContact(now);
    return this.#requests.take(now, peer) ? emitPunchRequest(nodeId, peer) : undefined;
  }

  /** Reads a message that came from the beacon's own address. @param bytes - Borrowed. @returns Undefined: counted. */
  handle(now: Millis, bytes: Uint8Array): BeaconNews | undefined {
    const message = parseBeacon(bytes);
    switch (message?.type) {
      case 'discoverReply':
        return { type: 'reflexive', host: message.host, port: message.port };
      case 'punchCommand':
        return this.#punch(now, message);
      case 'delivery':
        return { type: 'frame', sender: message.sender, offset: message.frameOffset };
      case 'notify':
        return message.kind === NOTIFY_MAILBOX ? { type: 'notify' } : undefined;
      case undefined:
        this.#counters.drop('beaconMalformed');
        return undefined;
      default:
        // What only beacons take: Discover, punch requests, relays, syncs.
        this.#counters.drop('beaconUnasked');
        return undefined;
    }
  }

  #punch(now: Millis, to: { host: string; port: number }): BeaconNews | undefined {
    const isBelieved = now - this.#contactAt <= PUNCH_BELIEF_MS && !isUnroutableTarget(to.host) && to.port !== 0;
    if (isBelieved && this.#punches.take(now)) return { type: 'punch', host: to.host, port: to.port };
    this.#counters.drop('beaconUnasked');
    return undefined;
  }
}
