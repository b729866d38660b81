/**
 * What an agent is without others: registered, reachable over a carrier, and with a memory of whom it trusts.
 * Everything that speaking with a peer takes beside it is in parts.ts; nothing here knows of that.
 */
import type { Bytes, Millis } from '../config.ts';
import { PORT } from '../wire/packet.ts';
import { Bridge } from './bridge.ts';
import { Carrier, type Transport } from './carrier.ts';
import type { CongestionControlName } from './congestion.ts';
import type { Event } from './events.ts';
import { Jobs } from './jobs.ts';
import { Outbox } from './outbox.ts';
import { Paths } from './paths.ts';
import { Ports } from './ports.ts';
import { type Profile, Registration } from './registration.ts';
import { RegistryClient } from './registry-client.ts';
import { Counters } from './stats.ts';
import { TrustTables } from './trust-tables.ts';

/** What an endpoint is made with. */
export interface EndpointOptions {
  /** Unix ms minus monotonic ms. */
  readonly unixOffset: Millis;
  readonly random: (into: Uint8Array) => void;
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
  readonly datagramBytes?: ((host: string) => Bytes) | undefined;
}

/** The parts that are there from the start. */
export interface Presence {
  readonly options: EndpointOptions;
  readonly counters: Counters;
  readonly paths: Paths;
  /** The path that stands for the WebSocket: what is sent there goes over it, and to the beacon. */
  readonly socketPath: number;
  readonly carrier: Carrier;
  readonly jobs: Jobs;
  readonly outbox: Outbox;
  readonly ports: Ports;
  /** Whom we trust, and who asked: to be read. */
  readonly tables: TrustTables;
  readonly bridge: Bridge;
  readonly client: RegistryClient;
  readonly registration: Registration;
  /** What the driver is to hear, in the order in which it came about. */
  readonly events: Event[];
}

/** Makes them. */
export function createPresence(options: EndpointOptions): Presence {
  const { random, profile, unixOffset } = options;
  const { identity, publicKey: identityKey } = profile;
  const counters = new Counters();
  const paths = new Paths();
  // No datagram comes from an address of that name.
  const socketPath = paths.intern('websocket', 0);
  paths.hold(socketPath);
  const jobs = new Jobs();
  const start = new Uint8Array(2);
  random(start);
  const ports = new Ports(start[0]! * 256 + start[1]!);
  ports.listen(PORT.trust);
  const client = new RegistryClient({ jobs, counters, identity, random });
  return {
    ...{ options, counters, paths, socketPath, jobs, ports, client, events: [] },
    carrier: new Carrier(options.transport ?? 'udp'),
    outbox: new Outbox(),
    tables: new TrustTables(options.trustText),
    bridge: new Bridge({ jobs, counters, identity, identityKey, random }),
    registration: new Registration(client, jobs, profile, unixOffset),
  };
}
