/**
 * The receiving half of a connection: order, slots, acknowledgements, SACK, and what happens when the application does not
 * read (DP 5.6–5.9, 5.20). Segments are matched by their exact number; there is no trimming.
 */

import { seqDiff, seqLess } from '../../src/wire/packet.ts';
import { emitSack, SACK_MAX_BLOCKS, sackLength } from '../../src/wire/sack.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { PeerTimer, PeerTransport } from './peer-socket.ts';

const PAIR = 2;

/** What the receiving half needs of its connection. */
export interface ReceiverSetup {
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  /** An ACK; the payload is a SACK or empty. */
  readonly emitAck: (payload: Uint8Array) => void;
  /** The application gets bytes. */
  readonly deliver: (bytes: Uint8Array) => void;
  /** Brings the router to a stand (`PeerSocket.block`). */
  readonly block: (ms: number, expired: () => void) => () => void;
  /** `expected` has moved. */
  readonly advanced: () => void;
}

/** Receiving half of one connection. */
export class PeerReceiver {
  /** Number of the next byte in order. */
  expected: number;
  /** Segments that were lost because nobody read or the out-of-order buffer was full. */
  dropped = 0;
  readonly #setup: ReceiverSetup;
  /** Slots that the application did not take yet. */
  readonly #slots: Uint8Array[] = [];
  readonly #early: Map<number, Uint8Array> = new Map();
  #reads = true;
  #unacknowledged = 0;
  #delay: PeerTimer | undefined;
  #quickAcks: number;
  #release: (() => void) | undefined;
  #blocked: { seq: number; payload: Uint8Array } | undefined;

  constructor(setup: ReceiverSetup, expected: number) {
    this.#setup = setup;
    this.expected = expected;
    this.#quickAcks = setup.behaviour.quickAcks;
  }

  /** What is advertised. */
  get freeSlots(): number {
    return this.#setup.behaviour.receiveSlots - this.#slots.length;
  }

  get outOfOrderSegments(): number {
    return this.#early.size;
  }

  /** The application stops reading. */
  pause(): void {
    this.#reads = false;
  }

  /** The application reads all there is and goes on. */
  resume(): void {
    this.#reads = true;
    const wasClosed = this.freeSlots === 0;
    this.#drainSlots();
    const blocked = this.#blocked;
    if (blocked !== undefined) {
      const release = this.#release;
      this.#blocked = undefined;
      this.#release = undefined;
      this.#take(blocked.seq, blocked.payload);
      release?.();
    } else if (wasClosed && this.#setup.behaviour.windowUpdate) {
      this.acknowledge();
    }
  }

  /** A segment with data. */
  handleSegment(seq: number, payload: Uint8Array): void {
    const { behaviour } = this.#setup;
    if (seq === this.expected) {
      this.#early.delete(seq);
      this.#take(seq, payload);
      return;
    }
    if (seqLess(this.expected, seq)) {
      if (this.#early.size >= behaviour.outOfOrderSlots && !this.#early.has(seq)) {
        this.dropped += 1;
        return;
      }
      this.#early.set(seq, payload);
    }
    this.acknowledge();
  }

  /** Acknowledges at once, with SACK where there is something to report. */
  acknowledge(): void {
    this.cancelDelay();
    this.#setup.emitAck(this.#sack());
  }

  /** Data on its way carries the acknowledgement. */
  cancelDelay(): void {
    this.#delay?.cancel();
    this.#delay = undefined;
    this.#unacknowledged = 0;
  }

  stop(): void {
    this.cancelDelay();
    const release = this.#release;
    this.#release = undefined;
    this.#blocked = undefined;
    release?.();
  }

  /** In order. Waits for room, if need be with the whole router. */
  #take(seq: number, payload: Uint8Array): void {
    if (this.freeSlots === 0) {
      this.#wait(seq, payload);
      return;
    }
    this.#accept(payload);
    for (let next = this.#early.get(this.expected); next !== undefined; next = this.#early.get(this.expected)) {
      const at = this.expected;
      this.#early.delete(at);
      if (this.freeSlots === 0) {
        this.#wait(at, next);
        break;
      }
      this.#accept(next);
    }
    this.#acknowledgeInOrder();
    this.#setup.advanced();
  }

  #accept(payload: Uint8Array): void {
    this.expected = (this.expected + payload.length) >>> 0;
    this.#unacknowledged += 1;
    this.#slots.push(payload);
    if (this.#reads) this.#drainSlots();
  }

  #drainSlots(): void {
    while (this.#slots.length > 0 && this.#reads) this.#setup.deliver(this.#slots.shift()!);
  }

  #wait(seq: number, payload: Uint8Array): void {
    const { behaviour, block } = this.#setup;
    this.#blocked = { seq, payload };
    this.#release = block(behaviour.deliveryWaitMs, () => {
      this.#blocked = undefined;
      this.#release = undefined;
      if (!behaviour.parking) {
        this.dropped += 1;
        return;
      }
      // DP 5.6: not acknowledged, reported by SACK, delivered when it comes again.
      this.#early.set(seq, payload);
      this.acknowledge();
    });
  }

  /** DP 5.9. */
  #acknowledgeInOrder(): void {
    const { behaviour, transport } = this.#setup;
    // Data that the application wrote meanwhile has carried it.
    if (this.#unacknowledged === 0) return;
    if (this.#early.size > 0 || this.#unacknowledged >= PAIR) {
      this.acknowledge();
    } else if (this.#quickAcks > 0) {
      this.#quickAcks -= 1;
      this.acknowledge();
    } else {
      this.#delay ??= transport.setTimer(behaviour.delayedAckMs, () => {
        this.#delay = undefined;
        this.#quickAcks = behaviour.quickAcks;
        this.acknowledge();
      });
    }
  }

  /** DP 5.8: merged runs, four of them. */
  #sack(): Uint8Array {
    if (this.#early.size === 0) return new Uint8Array(0);
    const starts = [...this.#early.keys()].sort((a, b) => seqDiff(a, b));
    const runs: [left: number, right: number][] = [];
    for (const left of starts) {
      const right = (left + this.#early.get(left)!.length) >>> 0;
      const last = runs.at(-1);
      if (last !== undefined && last[1] === left) last[1] = right;
      else runs.push([left, right]);
    }
    const isLowest = this.#setup.behaviour.sackBlocks === 'lowest';
    const blocks = isLowest ? runs.slice(0, SACK_MAX_BLOCKS) : runs.slice(-SACK_MAX_BLOCKS);
    const payload = new Uint8Array(sackLength(blocks.length));
    emitSack(payload, 0, Uint32Array.from(blocks.flat()), blocks.length);
    return payload;
  }
}
