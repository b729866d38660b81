/**
 * What a scripted peer received and sent, taken apart, for tests to look at. Bytes are copies that nobody changes.
 */
import { type BeaconMessage, parseBeacon } from '../../src/wire/beacon.ts';
import { readU32 } from '../../src/wire/integers.ts';
import { type KeyExchange, parseKeyExchange } from '../../src/wire/key-exchange.ts';
import { MAGIC } from '../../src/wire/packet.ts';
import type { Packet } from './packet.ts';

/** The first four bytes of a frame, `beacon` for a message to or from one, `other` for what is neither. */
export type FrameKind = keyof typeof MAGIC | 'beacon' | 'other';

/** Where a datagram comes from or goes to. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** One frame. A delivery or relay is two: the message, then the frame inside with `relayed`. */
export interface LoggedFrame {
  /** By the transport's clock. */
  readonly at: number;
  readonly kind: FrameKind;
  readonly place: Place;
  /** The other node in the envelope of the relay; undefined for what came or went directly. */
  readonly relayed: number | undefined;
  /** Of what is in `MAGIC`, but PILP. */
  readonly sender: number | undefined;
  /** PILS: prefix and counter. */
  readonly prefix: number | undefined;
  readonly counter: bigint | undefined;
  /** PILA and PILK. */
  readonly exchange: KeyExchange | undefined;
  readonly beacon: BeaconMessage | undefined;
  /** PILS and PILT, once opened. */
  packet: Packet | undefined;
  /** What became of it: `ok`, or why it was dropped. */
  outcome: string;
  readonly bytes: Uint8Array;
}

/** Fields that a packet must have. */
export type PacketFilter = Partial<Omit<Packet, 'payload'>>;

/** Takes a frame apart as far as that needs no key. */
export function logged(bytes: Uint8Array, at: number, place: Place, relayed?: number): LoggedFrame {
  const kind = kindOf(bytes);
  const hasSender = kind !== 'beacon' && kind !== 'other' && kind !== 'PILP' && kind !== 'PILT' && bytes.length >= 8;
  const isSealed = kind === 'PILS' && bytes.length >= 20;
  return {
    at,
    kind,
    place,
    relayed,
    sender: hasSender ? readU32(bytes, 4) : undefined,
    prefix: isSealed ? readU32(bytes, 8) : undefined,
    counter: isSealed ? (BigInt(readU32(bytes, 12)) << 32n) | BigInt(readU32(bytes, 16)) : undefined,
    exchange: kind === 'PILA' || kind === 'PILK' ? parseKeyExchange(bytes) : undefined,
    beacon: kind === 'beacon' ? parseBeacon(bytes) : undefined,
    packet: undefined,
    outcome: 'ok',
    bytes,
  };
}

/** DP 3.1. */
export function kindOf(bytes: Uint8Array): FrameKind {
  if (bytes.length > 0 && bytes[0]! < 0x10) return 'beacon';
  if (bytes.length < 4) return 'other';
  const magic = readU32(bytes, 0);
  for (const [name, value] of Object.entries(MAGIC)) if (value === magic) return name as FrameKind;
  return 'other';
}

/** All frames of one peer. */
export class PeerLog {
  readonly received: LoggedFrame[] = [];
  readonly sent: LoggedFrame[] = [];
  /** How often each thing happened that leaves no frame of its own, such as `socket_overflow`. */
  readonly counts: Map<string, number> = new Map();

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Packets received and taken, that have these fields, in order of arrival. */
  packets(filter: PacketFilter = {}): Packet[] {
    return pick(this.received, filter);
  }

  /** Packets sent. */
  sentPackets(filter: PacketFilter = {}): Packet[] {
    return pick(this.sent, filter);
  }

  /** Frames of a kind. */
  frames(kind: FrameKind): LoggedFrame[] {
    return this.received.filter((frame) => frame.kind === kind);
  }

  sentFrames(kind: FrameKind): LoggedFrame[] {
    return this.sent.filter((frame) => frame.kind === kind);
  }

  clear(): void {
    this.received.length = 0;
    this.sent.length = 0;
    this.counts.clear();
  }
}

function pick(frames: readonly LoggedFrame[], filter: PacketFilter): Packet[] {
  const wanted = Object.entries(filter) as [keyof PacketFilter, number][];
  const packets = frames.flatMap((frame) => (frame.packet === undefined ? [] : [frame.packet]));
  return packets.filter((packet) => wanted.every(([field, value]) => packet[field] === value));
}
