/**
 * Everything that speaking with peers takes, made and connected in one place. Arrows point down: a part knows those that
 * it is given here and none above.
 */
import type { Bytes, Millis } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import { PORT } from '../wire/packet.ts';
import { BeaconLink } from './beacon-link.ts';
import type { BufferPool } from './buffer.ts';
import { Control, pathOf } from './control.ts';
import { Datagrams } from './datagrams.ts';
import { Departures } from './departures.ts';
import { Directory } from './directory.ts';
import { Gate } from './gate.ts';
import { Intake } from './intake.ts';
import type { ExchangeContext } from './key-exchange.ts';
import { NO_PATH } from './paths.ts';
import type { Peer } from './peer.ts';
import { Peers } from './peers.ts';
import type { Presence } from './presence.ts';
import { Pump } from './pump.ts';
import { type Stream, Streams } from './streams.ts';
import { Trust } from './trust.ts';
import { TrustDelivery } from './trust-delivery.ts';
import { Tunnels } from './tunnels.ts';

/** MTU 1 500 without the headers of IPv6 and UDP. */
const ETHERNET_DATAGRAM: Bytes = 1_452;

/** What speaking with peers is done with. */
export interface Means {
  readonly engine: Engine;
  /** Sixteen bits that no other endpoint on this engine has. */
  readonly owner: number;
  readonly pool: BufferPool;
  /** Unix ms minus monotonic ms, now. */
  readonly unixOffset: Millis;
}

/** The parts of one endpoint. */
export interface Parts extends Presence {
  readonly context: ExchangeContext;
  readonly peers: Peers;
  readonly streams: Streams;
  readonly trust: Trust;
  readonly departures: Departures;
  readonly beacon: BeaconLink;
  readonly control: Control;
  readonly directory: Directory;
  readonly tunnels: Tunnels;
  readonly datagrams: Datagrams;
  readonly pump: Pump;
  readonly delivery: TrustDelivery;
  readonly intake: Intake;
}

/** Makes those that are missing. */
export function createParts(presence: Presence, { engine, owner, pool, unixOffset }: Means): Parts {
  const { counters, paths, carrier, socketPath, jobs, outbox, ports, tables, client, registration, options } = presence;
  const { random, profile, autoApprove } = options;
  const { identity, publicKey: identityKey, isPublic } = profile;
  const context: ExchangeContext = { engine, owner, random, jobs, counters, identity, identityKey, nodeId: 0 };
  const peers = new Peers(context, paths);
  const streams = new Streams({ ports, pool, counters, random, congestionControl: options.congestionControl });
  const trust = new Trust({ tables, unixOffset, autoApprove, isPublic });
  const departures = new Departures(engine, outbox, counters);
  const beacon = new BeaconLink(counters);
  const control = new Control({ engine, departures, counters, random });
  const directory = new Directory(client);
  const below = { engine, counters, paths, carrier, socketPath, peers, departures, beacon, control, directory };
  const tunnels = new Tunnels({ ...below, context, jobs, trust });
  const datagrams = new Datagrams({ engine, departures, ports, counters });
  const delivery = new TrustDelivery({
    ...{ trust, streams, directory, client, jobs, counters, context, unixOffset },
    dial: (now, id) => {
      const peer = peers.obtain(now, id, trust.isTrusted(now, id));
      return peer && dialPeer({ tunnels, streams }, now, peer, { network: 0, port: PORT.trust });
    },
    source: ({ peer }) => (pathOf(peer) === NO_PATH ? 'relay' : paths.host(peer.path.direct)),
  });
  const gate = new Gate({ trust, directory, counters });
  return {
    ...presence,
    ...{ context, peers, streams, trust, departures, beacon, control, directory, tunnels, datagrams, delivery },
    pump: new Pump({
      ...{ engine, peers, streams, departures, paths },
      datagramBytes: options.datagramBytes ?? (() => ETHERNET_DATAGRAM),
    }),
    intake: new Intake({ ...below, owner, registration, tunnels, gate, streams, datagrams }),
  };
}

/** Opens a stream to a peer, and the way there. @returns Undefined when streams or ports are used up. */
export function dialPeer(
  parts: { tunnels: Tunnels; streams: Streams },
  now: Millis,
  peer: Peer,
  to: { network: number; port: number },
): Stream | undefined {
  parts.tunnels.contact(now, peer);
  return parts.streams.dial(now, peer, to);
}
