/**
 * The Bun host: Node's. Not on Bun.udpSocket: with `sendMany` it took a tenth off the processor time of a stream, but its
 * receive buffer cannot be set, and of 64 MB over loopback it lost ten times as many segments as Bun's node:dgram.
 */
import type { Host } from '../../src/carrier/host.ts';
import { createNodeHost, type NodeHostOptions } from '../node/host.ts';
import { bindUdp } from '../node/udp.ts';

/** Makes what the driver and the server need from Bun. Hosts share nothing; several may live in one process. */
export function createBunHost(options: NodeHostOptions = {}): Host {
  return createNodeHost({ ...options, sockets: { runtime: `bun ${process.versions.bun}`, name: 'dgram', bindUdp } });
}
