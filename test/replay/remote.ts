/**
 * The recorded peers, made to keep cause and effect. Ours cuts other segments and sends them at other times, so a recorded
 * answer can come before its question. Then: an acknowledgement names no more than ours has sent, and says the rest as
 * soon as it has; the answer to a FIN waits for the FIN, and the answer to a SYN for the SYN. All else arrives as it was
 * recorded, byte for byte.
 */
import { toHex } from '../../src/wire/base64.ts';
import { emitDelivery } from '../../src/wire/beacon.ts';
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import { emitSack, parseSack, sackLength } from '../../src/wire/sack.ts';
import { sealFrame } from '../reference/engine.ts';
import { emitPacket, type Packet } from '../reference/packet.ts';
import { dataOf, isSyn, nameOf } from './conversation.ts';
import type { Opened, RecordedDatagram } from './recording.ts';

/** A datagram as it reaches ours. */
export interface Arrival {
  readonly from: number;
  readonly bytes: Uint8Array;
  /** The packet in it, where it is encrypted. */
  readonly packet: Packet | undefined;
  readonly key: string | undefined;
}

/** How many arrivals were not as recorded. */
export interface RemoteCounts {
  /** Acknowledgements cut to what ours had sent. */
  cut: number;
  /** Packets that waited for ours. */
  held: number;
  /** Acknowledgements that were owed. */
  added: number;
}

/** One connection, as its recorded end sees ours. */
interface Dialogue {
  /** Behind the last number that ours sent. */
  end: number;
  hasFin: boolean;
  /** Highest acknowledgement that ours got, and that the recorded peer has given by now. */
  told: number;
  owed: number;
  /** The peer's own next number and window. */
  next: number;
  window: number;
  last: RecordedDatagram | undefined;
  readonly held: RecordedDatagram[];
}

/** The prefix of frames that were not recorded: an epoch of its own, so that no counter is used twice. */
const ADDED_PREFIX = 0x7f00_0001;

/** What one life meets. */
export class Remote {
  readonly counts: RemoteCounts = { cut: 0, held: 0, added: 0 };
  readonly #dialogues = new Map<string, Dialogue>();
  readonly #counters = new Map<string, bigint>();

  /** A recorded datagram comes. @returns What reaches ours now: nothing when it has to wait. */
  arrive(datagram: RecordedDatagram): Arrival[] {
    const { opened } = datagram;
    if (opened === undefined || opened.packet.protocol !== PROTOCOL.stream) return [plain(datagram)];
    const dialogue = this.#dialogue(opened.packet);
    if (mustWait(opened.packet, dialogue)) {
      this.counts.held += 1;
      dialogue.held.push(datagram);
      // Whoever answers a FIN has all that came before it.
      dialogue.owed = Math.max(dialogue.owed, opened.packet.ack - 1);
      return this.#settle(dialogue);
    }
    return [this.#deliver(dialogue, datagram, opened)];
  }

  /** Ours sent a packet. @returns What comes of it. */
  handleSent(packet: Packet): Arrival[] {
    if (packet.protocol !== PROTOCOL.stream) return [];
    const {
      destinationNode: peer,
      destinationNetwork: network,
      sourcePort: localPort,
      destinationPort: peerPort,
    } = packet;
    const dialogue = this.#find(nameOf({ peer, network, localPort, peerPort }));
    if ((packet.flags & FLAG.RST) !== 0) return [];
    const takesNumber = (packet.flags & (FLAG.SYN | FLAG.FIN)) !== 0;
    dialogue.end = Math.max(dialogue.end, packet.seq + (takesNumber ? 1 : dataOf(packet).length));
    if ((packet.flags & FLAG.FIN) !== 0) dialogue.hasFin = true;
    const free = dialogue.held.filter(({ opened }) => !mustWait(opened!.packet, dialogue));
    dialogue.held.splice(0, dialogue.held.length, ...dialogue.held.filter((one) => !free.includes(one)));
    return [...free.map((one) => this.#deliver(dialogue, one, one.opened!)), ...this.#settle(dialogue)];
  }

  /** Packets that still wait, by connection. */
  waiting(): string[] {
    return [...this.#dialogues].filter(([, { held }]) => held.length > 0).map(([name]) => name);
  }

  #dialogue({
    sourceNode: peer,
    sourceNetwork: network,
    destinationPort: localPort,
    sourcePort: peerPort,
  }: Packet): Dialogue {
    return this.#find(nameOf({ peer, network, localPort, peerPort }));
  }

  #find(name: string): Dialogue {
    const known = this.#dialogues.get(name);
    if (known !== undefined) return known;
    const made = { end: 0, hasFin: false, told: 0, owed: 0, next: 0, window: 0, last: undefined, held: [] };
    this.#dialogues.set(name, made);
    return made;
  }

  #deliver(dialogue: Dialogue, datagram: RecordedDatagram, opened: Opened): Arrival {
    const { packet } = opened;
    const hasAck = (packet.flags & FLAG.ACK) !== 0;
    const takesNumber = (packet.flags & (FLAG.SYN | FLAG.FIN)) !== 0;
    dialogue.last = datagram;
    dialogue.next = Math.max(dialogue.next, packet.seq + (takesNumber ? 1 : dataOf(packet).length));
    if (packet.flags === FLAG.ACK) dialogue.window = packet.window;
    if (!hasAck) return plain(datagram);
    dialogue.owed = Math.max(dialogue.owed, packet.ack);
    dialogue.told = Math.max(dialogue.told, Math.min(packet.ack, dialogue.end));
    const payload = clippedSack(packet.payload, dialogue.end);
    if (packet.ack <= dialogue.end && payload === packet.payload) return plain(datagram);
    this.counts.cut += 1;
    const cut = { ...packet, ack: Math.min(packet.ack, dialogue.end), payload };
    return this.#seal(datagram, { ...opened, packet: cut });
  }

  /** Says what the recorded peer has acknowledged and ours has sent since. */
  #settle(dialogue: Dialogue): Arrival[] {
    const { last, end, owed, told } = dialogue;
    const ack = Math.min(end, owed);
    if (last?.opened === undefined || ack <= told) return [];
    dialogue.told = ack;
    this.counts.added += 1;
    const { opened } = last;
    const name = toHex(opened.key);
    const counter = (this.#counters.get(name) ?? 0n) + 1n;
    this.#counters.set(name, counter);
    const { next: seq, window } = dialogue;
    const packet = { ...opened.packet, flags: FLAG.ACK, seq, ack, window, payload: new Uint8Array(0) };
    return [this.#seal(last, { ...opened, prefix: ADDED_PREFIX, counter, packet })];
  }

  #seal({ from, isRelayed }: RecordedDatagram, opened: Opened): Arrival {
    const { key, sender, packet } = opened;
    const frame = sealFrame(key, opened, emitPacket(packet));
    return { from, bytes: isRelayed ? emitDelivery(sender, frame) : frame, packet, key: toHex(key) };
  }
}

function plain({ from, bytes, opened }: RecordedDatagram): Arrival {
  return { from, bytes, packet: opened?.packet, key: opened === undefined ? undefined : toHex(opened.key) };
}

/** Whether it answers what ours has not said yet. */
function mustWait(packet: Packet, { end, hasFin }: Dialogue): boolean {
  if (isSyn(packet)) return false;
  return end === 0 || ((packet.flags & (FLAG.FIN | FLAG.ACK)) === (FLAG.FIN | FLAG.ACK) && !hasFin);
}

/** A SACK payload without what ours never sent; any other payload as it is. */
function clippedSack(payload: Uint8Array, end: number): Uint8Array {
  const blocks = new Uint32Array(8);
  const count = parseSack(payload, blocks);
  if (count === 0) return payload;
  const kept: number[] = [];
  for (let i = 0; i < count; i++) {
    if (blocks[2 * i]! < end) kept.push(blocks[2 * i]!, Math.min(blocks[2 * i + 1]!, end));
  }
  if (kept.length === 2 * count && kept.every((value, i) => value === blocks[i])) return payload;
  const clipped = new Uint8Array(kept.length === 0 ? 0 : sackLength(kept.length / 2));
  emitSack(clipped, 0, Uint32Array.from(kept), kept.length / 2);
  return clipped;
}
