/**
 * Everything an endpoint consists of, made and connected in one place. Arrows point down: a part knows those that it is
 * given here and none above.
 */
import type { Bytes, Millis } from '../config.ts';
import type { Engine } from '../engine/engine.ts';
import { PORT } from '../wire/packet.ts';
import { BeaconLink } from './beacon-link.ts';
import { Bridge } from './bridge.ts';
import type { BufferPool } from './buffer.ts';
import { Carrier, type Transport } from './carrier.ts';
import type { CongestionControlName } from './congestion.ts';
import { Control, pathOf } from './control.ts';
import { Datagrams } from './datagrams.ts';
import { Departures } from './departures.ts';
import { Directory } from './directory.ts';
import { Gate } from './gate.ts';
import { Intake } from './intake.ts';
import { Jobs } from './jobs.ts';
import type { ExchangeContext } from './key-exchange.ts';
import { Outbox } from './outbox.ts';
import { NO_PATH, Paths } from './paths.ts';
import type { Peer } from './peer.ts';
import { Peers } from './peers.ts';
import { Ports } from './ports.ts';
import { Pump } from './pump.ts';
import { type Profile, Registration } from './registration.ts';
import { RegistryClient } from './registry-client.ts';
import { Counters } from './stats.ts';
import { type Stream, Streams } from './streams.ts';
import { Trust } from './trust.ts';
import { TrustDelivery } from './trust-delivery.ts';
import { Tunnels } from './tunnels.ts';

/** MTU 1 500 without the headers of IPv6 and UDP. */
const ETHERNET_DATAGRAM: Bytes = 1_452;

/** What an endpoint is made with. */
export interface EndpointOptions {
  readonly now: Millis;
  /** Unix ms minus `now`. */
  readonly unixOffset: Millis;
  readonly engine: Engine;
  /** Sixteen bits that no other endpoint on this engine has. */
  readonly owner: number;
  readonly random: (into: Uint8Array) => void;
  readonly pool: BufferPool;
  readonly profile: Profile;
  /** Text of `trust.json`. */
  readonly trustText: string | undefined;
  /** Everybody who asks for trust gets it. */
  readonly autoApprove: boolean;
  /** Of all streams. Default `rate`. */
  readonly congestionControl?: CongestionControlName | undefined;
  /** Default `udp`. */
  readonly transport?: Transport;
  /** The largest datagram that leaves whole towards a host, as far as the runtime knows. Default: what Ethernet carries. */
  readonly datagramBytes?: (host: string) => Bytes;
}

/** The parts of one endpoint. */
export interface Parts {
  readonly counters: Counters;
  readonly paths: Paths;
  readonly jobs: Jobs;
  readonly context: ExchangeContext;
  readonly ports: Ports;
  readonly peers: Peers;
  readonly streams: Streams;
  readonly trust: Trust;
  readonly outbox: Outbox;
  readonly departures: Departures;
  readonly beacon: BeaconLink;
  readonly carrier: Carrier;
  readonly bridge: Bridge;
  /** The path that stands for the WebSocket: what is sent there goes over it, and to the beacon. */
  readonly socketPath: number;
  readonly control: Control;
  readonly client: RegistryClient;
  readonly directory: Directory;
  readonly registration: Registration;
  readonly tunnels: Tunnels;
  readonly datagrams: Datagrams;
  readonly pump: Pump;
  readonly delivery: TrustDelivery;
  readonly intake: Intake;
}

/** Makes them. */
export function createParts(options: EndpointOptions): Parts {
  const { engine, owner, random, pool, profile, unixOffset, trustText: text, autoApprove } = options;
  const { identity, publicKey: identityKey, isPublic } = profile;
  const counters = new Counters();
  const paths = new Paths();
  // No datagram comes from an address of that name.
  const socketPath = paths.intern('websocket', 0);
  paths.hold(socketPath);
  const carrier = new Carrier(options.transport ?? 'udp');
  const jobs = new Jobs();
  const outbox = new Outbox();
  const context: ExchangeContext = { engine, owner, random, jobs, counters, identity, identityKey, nodeId: 0 };
  const start = new Uint8Array(2);
  random(start);
  const ports = new Ports(start[0]! * 256 + start[1]!);
  ports.listen(PORT.trust);
  const peers = new Peers(context, paths);
  const streams = new Streams({ ports, pool, counters, random, congestionControl: options.congestionControl });
  const trust = new Trust({ text, unixOffset, autoApprove, isPublic });
  const departures = new Departures(engine, outbox, counters);
  const beacon = new BeaconLink(counters);
  const bridge = new Bridge({ jobs, counters, identity, identityKey, random });
  const control = new Control({ engine, departures, counters, random });
  const client = new RegistryClient({ jobs, counters, identity, random });
  const directory = new Directory(client);
  const registration = new Registration(client, jobs, profile, unixOffset);
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
    ...below,
    ...{ jobs, context, ports, streams, trust, outbox, client, registration, tunnels, datagrams, delivery, bridge },
    pump: new Pump({
      engine,
      peers,
      streams,
      departures,
      paths,
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
