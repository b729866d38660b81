/**
 * Stand-ins for what is around one part of an endpoint: an engine whose seal always works, a peer with a key, and
 * departures that keep what is staged.
 */
import type { Departures, PacketFields, Way } from '../../src/core/departures.ts';
import type { Peer } from '../../src/core/peer.ts';
import type { StreamPacket } from '../../src/core/streams.ts';
import type { Engine } from '../../src/engine/engine.ts';

/** When every test begins. */
export const NOW = 100_000;
/** The path straight to a peer. */
export const DIRECT = 5;

/** A stand-in of which the code under test sees no more than what is there. */
export function stub<T>(parts: object): T {
  return parts as unknown as T;
}

/** An engine whose slots are numbers and whose seal always works. */
export function fakeEngine(): { engine: Engine; released: number[] } {
  const released: number[] = [];
  let slot = 0;
  const engine = stub<Engine>({
    memory: new Uint8Array(1 << 20),
    receive: new Uint32Array(64 * 16),
    transmit: new Uint32Array(64 * 16),
    claimTransmit: () => {
      slot = (slot % 200) + 1;
      return slot * 4_000;
    },
    hasTransmit: () => true,
    releaseTransmit: (ptr: number) => released.push(ptr),
    claimReceive: () => 4_000,
    releaseReceive: () => {},
    open: () => {},
    seal: () => {},
    install: () => 1,
    wipe: () => {},
  });
  return { engine, released };
}

/** A peer with a key. */
export function fakePeer(fields: object = {}): Peer {
  return stub<Peer>({
    id: 2,
    isTrusted: false,
    isOwn: false,
    exchange: { sendSession: () => 1 },
    path: { isRelayed: false, direct: DIRECT, handleDirectAnswer: () => {} },
    streams: new Map(),
    pings: new Map(),
    waitingPings: [],
    addPing(this: { pings: Map<number, unknown> }, port: number, ping: unknown) {
      this.pings.set(port, ping);
      return true;
    },
    mayBeOwn: () => false,
    noteSent: () => false,
    ...fields,
  });
}

/** A packet of the peer. */
export function packet(fields: Partial<StreamPacket>, segment: Partial<StreamPacket['segment']> = {}): StreamPacket {
  const bare = { flags: 0, seq: 7, ack: 0, windowSegments: 0, payloadLength: 0 };
  return { network: 0, localNetwork: 0, peerPort: 50_000, localPort: 0, ...fields, segment: { ...bare, ...segment } };
}

/** What is staged, instead of sent. */
export function fakeDepartures(): {
  departures: Departures;
  staged: { fields: PacketFields; way: Way; length: number }[];
} {
  const staged: { fields: PacketFields; way: Way; length: number }[] = [];
  const departures = stub<Departures>({
    claim: () => 4_000,
    canClaim: () => true,
    unclaim: () => {},
    payloadAt: (ptr: number) => ptr + 100,
    stage: (_: number, length: number, fields: PacketFields, way: Way) =>
      staged.push({ length, fields: { ...fields }, way: { ...way } }),
  });
  return { departures, staged };
}
