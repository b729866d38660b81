/**
 * What a connection sends next: resets first, then the SYN exchange, selective acknowledgements, data, FIN and last the
 * acknowledgement that no data carried (DP 5.4 to 5.11). It fills in header fields; what may be sent is decided by the
 * sender, the receiver and closing.
 */
import type { Bytes, Millis } from '../config.ts';
import { FLAG } from '../wire/packet.ts';
import { emitSack, sackLength } from '../wire/sack.ts';
import type { Closing } from './closing.ts';
import type { Receiver } from './receive.ts';
import type { Sender } from './sender.ts';

/** The fields of a stream packet that belong to the connection. One object is reused by the caller. */
export interface Segment {
  /** `FLAG` bits. */
  flags: number;
  seq: number;
  ack: number;
  /** Free receive slots: windows count segments, not bytes (DP 5.7). Between our own, but for SYNs, KiB. */
  windowSegments: number;
  payloadLength: number;
}

/**
 * Payload of a SYN that offers, or of a SYN+ACK that accepts, the profile between our own. Others ignore data on SYN
 * (DP 5.2).
 *
 *   0  2   `PW`
 *   2  u8  version = 1
 *   3  u8  bits; bit 0: half-close; bit 1: windows count KiB, segments have any boundaries
 */
const OFFER = [0x50, 0x57, 1, 3] as const;
const OFFER_BYTES: Bytes = OFFER.length;
const OFFER_BITS = OFFER[3];

/** Whether a payload of a SYN or SYN+ACK speaks of our profile. */
export function isOffer(payload: Uint8Array): boolean {
  if (payload.length < OFFER_BYTES || payload[0] !== OFFER[0] || payload[1] !== OFFER[1]) return false;
  return payload[2]! >= OFFER[2] && (payload[3]! & OFFER_BITS) === OFFER_BITS;
}

const PAYLOAD = { none: 0, offer: 1, sack: 2, data: 3 } as const;

/** Chooses and describes the next packet. */
export class Transmit {
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #closing: Closing;
  readonly #initialSeq: number;
  /** A RST should leave; afterwards nothing does. */
  isResetWanted = false;
  /** Flags of a SYN or SYN+ACK that should leave, 0 for none. */
  synFlags = 0;
  /** SYN packets carry our offer. */
  offers = false;
  /** Data may flow. */
  isOpen = false;
  /** An empty ACK should leave to see whether the peer lives. */
  isKeepaliveWanted = false;
  segmentsSent = 0;
  bytesSent: Bytes = 0;
  #payload: number = PAYLOAD.none;
  #start = 0;
  readonly #blocks = new Uint32Array(8);
  #blockCount = 0;

  constructor(sender: Sender, receiver: Receiver, closing: Closing, initialSeq: number) {
    this.#sender = sender;
    this.#receiver = receiver;
    this.#closing = closing;
    this.#initialSeq = initialSeq;
  }

  /** Fills `out` with the next packet. @returns False when there is none now. */
  poll(now: Millis, out: Segment): boolean {
    if (!this.#choose(now, out)) return false;
    this.segmentsSent += 1;
    this.bytesSent += out.payloadLength;
    return true;
  }

  /** Writes the payload of the packet that `poll` chose last. */
  copyPayload(out: Segment, memory: Uint8Array, offset: number): void {
    if (this.#payload === PAYLOAD.data) this.#sender.copy(this.#start, out.payloadLength, memory, offset);
    else if (this.#payload === PAYLOAD.sack) emitSack(memory, offset, this.#blocks, this.#blockCount);
    else if (this.#payload === PAYLOAD.offer) for (let i = 0; i < OFFER_BYTES; i++) memory[offset + i] = OFFER[i]!;
  }

  #choose(now: Millis, out: Segment): boolean {
    this.#payload = PAYLOAD.none;
    out.payloadLength = 0;
    if (this.isResetWanted) {
      this.isResetWanted = false;
      return this.#bare(out, FLAG.RST, 0, 0);
    }
    if (this.synFlags !== 0) return this.#syn(out);
    if (!this.isOpen) return false;
    const receiver = this.#receiver;
    if (receiver.isAckWanted && receiver.hasGap) return this.#sack(out);
    if (receiver.plainAcks > 0) {
      receiver.plainAckSent();
      return this.#acknowledge(out);
    }
    const i = this.#sender.poll(now);
    if (i >= 0) return this.#data(out, i);
    if (this.#closing.poll(now)) return this.#fin(out);
    const isProbeWanted = this.#sender.takeProbe();
    if (!receiver.isAckWanted && !isProbeWanted && !this.isKeepaliveWanted) return false;
    this.isKeepaliveWanted = false;
    return this.#acknowledge(out);
  }

  #syn(out: Segment): boolean {
    const flags = this.synFlags;
    this.synFlags = 0;
    const ack = (flags & FLAG.ACK) === 0 ? 0 : this.#receiver.ackNumber;
    // DP 5.4: a repeated SYN+ACK has the original number, and acknowledges what has been received by now.
    this.#bare(out, flags, this.#initialSeq, ack);
    out.windowSegments = this.#receiver.synWindow;
    this.#receiver.advertise(out.windowSegments);
    if (this.offers) {
      this.#payload = PAYLOAD.offer;
      out.payloadLength = OFFER_BYTES;
    }
    return true;
  }

  #sack(out: Segment): boolean {
    this.#acknowledge(out);
    this.#blockCount = this.#receiver.blocks(this.#blocks);
    this.#payload = PAYLOAD.sack;
    out.payloadLength = sackLength(this.#blockCount);
    return true;
  }

  #data(out: Segment, i: number): boolean {
    const start = this.#sender.flight.start(i);
    this.#acknowledge(out);
    out.seq = this.#sender.seqOf(start);
    this.#payload = PAYLOAD.data;
    this.#start = start;
    out.payloadLength = this.#sender.flight.length(i);
    return true;
  }

  #fin(out: Segment): boolean {
    const seq = this.#sender.seqOf(this.#sender.end);
    if (!this.#closing.isReply) return this.#bare(out, FLAG.FIN, seq, 0);
    this.#bare(out, FLAG.FIN | FLAG.ACK, seq, this.#receiver.ackNumber);
    this.#receiver.acknowledged();
    return true;
  }

  /** An ACK without payload, or the header of one with. */
  #acknowledge(out: Segment): boolean {
    const sender = this.#sender;
    const next = this.#closing.isSent && sender.isAllSent ? sender.next + 1 : sender.next;
    this.#bare(out, FLAG.ACK, sender.seqOf(next), this.#receiver.ackNumber);
    out.windowSegments = this.#receiver.window;
    this.#receiver.advertise(out.windowSegments);
    this.#receiver.acknowledged();
    return true;
  }

  #bare(out: Segment, flags: number, seq: number, ack: number): boolean {
    out.flags = flags;
    out.seq = seq;
    out.ack = ack;
    out.windowSegments = 0;
    return true;
  }
}
