/**
 * One scripted peer against a puppet: a peer that exchanges keys and otherwise says only what the test says.
 */
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import { sackLength } from '../../src/wire/sack.ts';
import type { Packet } from './packet.ts';
import type { PeerOptions, ReferencePeer } from './peer.ts';
import type { Behaviour, Generation } from './peer-behaviour.ts';
import type { PeerConnection } from './peer-connection.ts';
import { PeerWorld } from './peer-world.ts';

export const { SYN, ACK, FIN, RST } = FLAG;

/** The puppet's port and the subject's. */
const PUPPET_PORT = 5000;
const SUBJECT_PORT = 7000;

/** A packet as a test writes it. */
export type Said = Partial<Packet>;

/** The test is the puppet, node 1; the peer under test is the subject, node 2. One way takes 1 ms. */
export class Script {
  readonly world: PeerWorld = new PeerWorld({ delayMs: 1 });
  readonly subject: ReferencePeer;
  readonly puppet: ReferencePeer;
  /** The subject's connections, in the order in which it was given them. */
  readonly accepted: PeerConnection[] = [];
  #seen = 0;
  #ports = { sourcePort: PUPPET_PORT, destinationPort: SUBJECT_PORT };

  constructor(generation: Generation, switches: Partial<Behaviour> = {}, options: Partial<PeerOptions> = {}) {
    const { transport: _, ...rest } = options;
    this.subject = this.world.add({ ...rest, nodeId: 2, generation, switches });
    const silent = { keepalive: 'none', pathProbes: false } as const;
    this.puppet = this.world.add({ nodeId: 1, generation: 'new', switches: silent, intercept: () => true });
    this.subject.listen(SUBJECT_PORT, (connection) => this.accepted.push(connection));
    this.puppet.reach(2);
    this.world.run(20);
  }

  /** The puppet sends a stream packet, which arrives before this returns. */
  says(fields: Said): void {
    this.puppet.sendPacket(2, { protocol: PROTOCOL.stream, window: 512, ...this.#ports, ...fields });
    this.world.run(1);
  }

  /** Stream packets that the subject sent since the last call and that arrived; `ms` pass first. */
  hears(ms = 1): Packet[] {
    this.world.run(ms);
    const all = this.puppet.log.packets({ protocol: PROTOCOL.stream });
    const fresh = all.slice(this.#seen);
    this.#seen = all.length;
    return fresh;
  }

  /** The puppet opens a connection; `hears` begins after it. */
  opened(): PeerConnection {
    this.says({ flags: SYN, seq: 100 });
    this.says({ flags: ACK, seq: 101, ack: 1 });
    this.hears();
    return this.accepted.at(-1)!;
  }

  /** The subject opens a connection, and the puppet answers with its number 100. */
  dialled(): PeerConnection {
    const connection = this.subject.dial(1, PUPPET_PORT);
    const [syn] = this.hears(2);
    this.#ports = { sourcePort: PUPPET_PORT, destinationPort: syn!.sourcePort };
    this.says({ flags: SYN | ACK, seq: 100, ack: 1 });
    return connection;
  }
}

/** Bytes of a SACK. */
export function sackOf(...blocks: [left: number, right: number][]): Uint8Array {
  const bytes = new Uint8Array(sackLength(blocks.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x5341434b);
  view.setUint8(4, blocks.length);
  blocks.forEach(([left, right], i) => {
    view.setUint32(5 + 8 * i, left);
    view.setUint32(9 + 8 * i, right);
  });
  return bytes;
}

/** `n` equal bytes. */
export function filled(n: number, byte = 1): Uint8Array {
  return new Uint8Array(n).fill(byte);
}

/** Flags, numbers and length, for comparing. */
export function brief(packet: Packet): [flags: number, seq: number, ack: number, length: number] {
  return [packet.flags, packet.seq, packet.ack, packet.payload.length];
}
