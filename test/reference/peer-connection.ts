/**
 * A connection as existing daemons keep it: states, opening and closing (DP 5.2–5.5, 5.10, 5.11, 5.18). The halves are in
 * peer-sender.ts and peer-receiver.ts.
 */
import { FLAG, seqLess } from '../../src/wire/packet.ts';
import { looksLikeSack } from '../../src/wire/sack.ts';
import type { Random } from './hostile.ts';
import type { Packet } from './packet.ts';
import type { Behaviour } from './peer-behaviour.ts';
import { PeerReceiver } from './peer-receiver.ts';
import { PeerSender } from './peer-sender.ts';
import type { PeerTimer, PeerTransport } from './peer-socket.ts';

const FIN_LINGER_MS = 5000;
const FIN_HOLD_MS = 15_000;
const PROBE_ANSWER_MS = 10_000;
const KEEPALIVES = 3;
const NOTHING: Uint8Array = new Uint8Array(0);

/** CLOSE_WAIT exists as a name only and is never entered (DP 5.2). */
export type PeerState = 'SYN_SENT' | 'SYN_RECV' | 'ESTABLISHED' | 'FIN_WAIT' | 'TIME_WAIT' | 'CLOSED';

/** Why a connection ended. */
export type PeerEnd = 'closed' | 'refused' | 'timeout' | 'reset' | 'gave_up' | 'aborted' | 'idle' | 'forgotten';

/** Both ends of a connection, seen from here. */
export interface PeerEnds {
  readonly network: number;
  readonly localNode: number;
  readonly localPort: number;
  readonly remoteNode: number;
  readonly remotePort: number;
}

/** What a connection needs of its peer. */
export interface ConnectionSetup {
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly random: Random;
  readonly ends: PeerEnds;
  readonly emit: (fields: Partial<Packet>) => void;
  readonly block: (ms: number, expired: () => void) => () => void;
  /** ESTABLISHED, after SYN+ACK or, where a SYN does not suffice, the final ACK. */
  readonly opened: (connection: PeerConnection) => void;
  /** Nothing will come or go any more: CLOSED. */
  readonly gone: (connection: PeerConnection) => void;
}

/** One connection. Set the callbacks in the call that hands it over. */
export class PeerConnection {
  readonly ends: PeerEnds;
  readonly sender: PeerSender;
  readonly receiver: PeerReceiver;
  state: PeerState = 'SYN_SENT';
  /** Undefined while it lives. */
  end: PeerEnd | undefined;
  /** Whether the other side has closed: no byte will follow. */
  isEnded = false;
  /** Since when it is in its state. */
  stateSince: number;
  lastActivityAt: number;
  /** Keepalives since the last sign of life. */
  keepalives = 0;
  receivedBytes = 0;
  /** Answers to FIN in TIME_WAIT. */
  finAnswers = 0;
  /** A dial succeeded. */
  onOpen: () => void = () => {};
  /** Bytes in order; without it they are kept for `read`. */
  onData: ((bytes: Uint8Array) => void) | undefined;
  /** The other side has closed. */
  onEnd: () => void = () => {};
  onClosed: (end: PeerEnd) => void = () => {};
  /** Written bytes went out. */
  onDrain: () => void = () => {};
  readonly #setup: ConnectionSetup;
  readonly #kept: Uint8Array[] = [];
  /** Written before the dial was answered. */
  readonly #unsent: Uint8Array[] = [];
  #isClosing = false;
  #finSeq: number | undefined;
  #heldFin: number | undefined;
  #linger: PeerTimer | undefined;
  #hold: PeerTimer | undefined;
  #probeAnsweredAt = Number.NEGATIVE_INFINITY;
  /** The third packet is no probe. */
  #isConfirmed = false;

  constructor(setup: ConnectionSetup) {
    const { behaviour, transport, random } = setup;
    this.#setup = setup;
    this.ends = setup.ends;
    this.stateSince = this.lastActivityAt = transport.now();
    const gaveUp = (): void => {
      this.#emit(FLAG.RST);
      this.finish('gave_up');
    };
    this.sender = new PeerSender(
      {
        behaviour,
        transport,
        random,
        emitData: (seq, payload) => this.#emitData(seq, payload),
        emitFin: (seq) => this.#emit(FLAG.FIN, seq),
        emitProbe: () => this.#emitAck(NOTHING),
        gaveUp,
        progressed: () => this.#progressed(),
      },
      (behaviour.initialSeq + 1) >>> 0,
    );
    this.receiver = new PeerReceiver(
      {
        behaviour,
        transport,
        emitAck: (payload) => this.#emitAck(payload),
        deliver: (bytes) => this.#deliver(bytes),
        block: setup.block,
        advanced: () => this.#handleHeldFin(),
      },
      0,
    );
  }

  /** Takes all bytes; `sender.bufferedBytes` says what waits. */
  write(bytes: Uint8Array): void {
    if (this.#isClosing || this.state === 'CLOSED' || this.state === 'TIME_WAIT') return;
    this.lastActivityAt = this.#setup.transport.now();
    if (this.state !== 'SYN_SENT') this.sender.write(bytes);
    else this.#unsent.push(bytes.slice());
  }

  /** All that came and was not taken by `onData`. */
  read(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#kept.splice(0)));
  }

  /** The application stops reading: slots fill, the window closes, then the router stands. */
  pause(): void {
    this.receiver.pause();
  }

  resume(): void {
    this.receiver.resume();
  }

  /** Ends in order, as far as the generation does (DP 5.10). */
  close(): void {
    if (this.#isClosing || this.state === 'CLOSED' || this.state === 'TIME_WAIT') return;
    this.#isClosing = true;
    if (this.state === 'SYN_SENT') {
      this.finish('closed');
      return;
    }
    if (this.#setup.behaviour.finWaitsForData) {
      this.#linger = this.#setup.transport.setTimer(FIN_LINGER_MS, () => this.#sendFin());
    }
    // What ends the hold of an early FIN is one's own close (DP 5.10).
    this.#heldFin = undefined;
    this.sender.flush();
  }

  /** Ends at once. */
  abort(): void {
    if (this.state === 'CLOSED') return;
    this.#emit(FLAG.RST);
    this.finish('aborted');
  }

  /** A SYN made this connection. */
  accept(syn: Packet): void {
    this.receiver.expected = (syn.seq + 1) >>> 0;
    this.sender.windowSegments = syn.window;
    this.#become(this.#setup.behaviour.acceptsOnFinalAck ? 'SYN_RECV' : 'ESTABLISHED');
    this.sendSynAck();
  }

  /** The answer to a SYN, repeated as the generation repeats it (DP 5.4). */
  sendSynAck(): void {
    const { initialSeq, synAckNumber } = this.#setup.behaviour;
    const seq = synAckNumber === 'original' ? initialSeq : (this.sender.next - 1) >>> 0;
    this.#emit(FLAG.SYN | FLAG.ACK, seq, this.receiver.expected);
  }

  sendSyn(): Partial<Packet> {
    return { flags: FLAG.SYN, seq: this.#setup.behaviour.initialSeq, window: this.receiver.freeSlots };
  }

  /** A packet of this connection that is no bare SYN; in the order of DP 5.2. */
  handlePacket(packet: Packet): void {
    this.keepalives = 0;
    this.lastActivityAt = this.#setup.transport.now();
    if (this.#heldFin !== undefined) this.#waitForTail();
    const { flags } = packet;
    if ((flags & FLAG.SYN) !== 0) this.#handleSynAck(packet);
    else if ((flags & FLAG.FIN) !== 0) this.#handleFin(packet);
    else if ((flags & FLAG.RST) !== 0) this.#handleRst();
    else if ((flags & FLAG.ACK) !== 0) this.#handleAck(packet);
  }

  /** An empty ACK because nothing happened for a while (DP 5.18). */
  sendKeepalive(): void {
    this.keepalives += 1;
    this.#emitAck(NOTHING);
  }

  get hasUnansweredKeepalives(): boolean {
    return this.keepalives >= KEEPALIVES;
  }

  /** CLOSED, without a word to the other side. */
  finish(end: PeerEnd): void {
    if (this.state === 'CLOSED') return;
    this.#become('CLOSED');
    this.end = end;
    this.sender.stop();
    this.#linger?.cancel();
    this.#hold?.cancel();
    this.receiver.stop();
    this.#setup.gone(this);
    this.onClosed(end);
  }

  #handleSynAck(packet: Packet): void {
    // DP 5.5: a repetition is ignored, and its ack is not compared with the ISN.
    if (this.state !== 'SYN_SENT') return;
    const { behaviour } = this.#setup;
    this.receiver.expected = (packet.seq + 1) >>> 0;
    this.sender.windowSegments = packet.window;
    this.#become('ESTABLISHED');
    this.#isConfirmed = true;
    this.#emit(FLAG.ACK, behaviour.finalAckSeqZero ? 0 : this.sender.next, this.receiver.expected);
    this.#setup.opened(this);
    this.onOpen();
    for (const bytes of this.#unsent.splice(0)) this.sender.write(bytes);
  }

  #handleRst(): void {
    this.finish(this.state === 'SYN_SENT' ? 'refused' : 'reset');
  }

  #handleAck(packet: Packet): void {
    if (this.state === 'SYN_SENT' || this.state === 'CLOSED') return;
    if (this.state === 'SYN_RECV') {
      this.#become('ESTABLISHED');
      this.#setup.opened(this);
    }
    const { ack, window, payload, seq } = packet;
    const isSack = looksLikeSack(payload);
    const isNews = payload.length > 0 || ack !== this.sender.oldest;
    this.sender.handleAck({ ack, windowSegments: window, payload, isSack });
    if (payload.length > 0 && !isSack && this.state !== 'TIME_WAIT') this.receiver.handleSegment(seq, payload);
    else if (this.#isConfirmed && !isNews && seq === this.receiver.expected) this.#answerProbe();
    this.#isConfirmed = true;
  }

  #answerProbe(): void {
    const { behaviour, transport } = this.#setup;
    const now = transport.now();
    if (behaviour.noProbeAnswer || now - this.#probeAnsweredAt < PROBE_ANSWER_MS) return;
    this.#probeAnsweredAt = now;
    this.#emitAck(NOTHING);
  }

  /** DP 5.10. */
  #handleFin(packet: Packet): void {
    const { behaviour } = this.#setup;
    const { seq, ack, window } = packet;
    if (behaviour.finCarriesAck && ack > 0 && this.state !== 'TIME_WAIT') {
      this.sender.handleAck({ ack, windowSegments: window, payload: NOTHING, isSack: false });
    }
    switch (this.state) {
      case 'SYN_RECV':
      case 'ESTABLISHED':
        if (behaviour.holdsEarlyFin && seqLess(this.receiver.expected, seq)) {
          this.#heldFin ??= seq;
          this.#waitForTail();
          this.receiver.acknowledge();
          return;
        }
        this.#closedByPeer(seq);
        return;
      case 'FIN_WAIT':
        this.#answerFin(seq);
        this.#enterTimeWait();
        return;
      case 'TIME_WAIT':
        if (!behaviour.finStorm && !behaviour.finAnsweredByAck) return;
        if (this.finAnswers >= behaviour.finStormCap) return;
        this.finAnswers += 1;
        this.#answerFin(seq);
        // DP app. D 1: it refreshes the time of activity.
        this.stateSince = this.#setup.transport.now();
        return;
      default:
    }
  }

  /** FORK says a pure ACK to what comes after its own FIN, the others FIN+ACK. */
  #answerFin(seq: number): void {
    const flags = this.#setup.behaviour.finAnsweredByAck ? FLAG.ACK : FLAG.FIN | FLAG.ACK;
    this.#setup.emit({ flags, seq: this.sender.next, ack: (seq + 1) >>> 0, window: 0 });
  }

  /** No half-close: what was not sent is gone (DP 5.10). */
  #closedByPeer(seq: number): void {
    this.#heldFin = undefined;
    this.#emit(FLAG.FIN | FLAG.ACK, this.sender.next, (seq + 1) >>> 0);
    this.#enterTimeWait();
  }

  #enterTimeWait(): void {
    this.#become('TIME_WAIT');
    this.sender.stop();
    this.#linger?.cancel();
    this.#hold?.cancel();
    if (this.isEnded) return;
    this.isEnded = true;
    this.onEnd();
  }

  /** A held FIN ends after 15 s in which nothing comes, tail missing. */
  #waitForTail(): void {
    this.#hold?.cancel();
    this.#hold = this.#setup.transport.setTimer(FIN_HOLD_MS, () => {
      if (this.#heldFin !== undefined) this.#closedByPeer(this.#heldFin);
    });
  }

  get isHoldingFin(): boolean {
    return this.#heldFin !== undefined;
  }

  #handleHeldFin(): void {
    const held = this.#heldFin;
    if (held !== undefined && !seqLess(this.receiver.expected, held)) this.#closedByPeer(held);
  }

  #progressed(): void {
    if (this.#isClosing && this.#finSeq === undefined) {
      const isReady = this.#setup.behaviour.finWaitsForData
        ? this.sender.isAcknowledged
        : this.sender.bufferedBytes === 0;
      if (isReady) this.#sendFin();
      return;
    }
    this.onDrain();
  }

  #sendFin(): void {
    if (this.#finSeq !== undefined || (this.state !== 'ESTABLISHED' && this.state !== 'SYN_RECV')) return;
    this.#linger?.cancel();
    this.#finSeq = this.sender.next;
    this.sender.next = (this.#finSeq + 1) >>> 0;
    this.#become('FIN_WAIT');
    if (this.#setup.behaviour.finRetransmission) this.sender.keepFin(this.#finSeq);
    this.#emit(FLAG.FIN, this.#finSeq);
  }

  #deliver(bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    if (this.onData === undefined) this.#kept.push(bytes);
    else this.onData(bytes);
  }

  #become(state: PeerState): void {
    this.state = state;
    this.stateSince = this.#setup.transport.now();
  }

  #emitData(seq: number, payload: Uint8Array): void {
    this.receiver.cancelDelay();
    this.#emit(FLAG.ACK, seq, this.receiver.expected, payload);
  }

  #emitAck(payload: Uint8Array): void {
    this.#emit(FLAG.ACK, this.sender.next, this.receiver.expected, payload);
  }

  /** RST and everything with FIN carry window 0, RST no numbers (DP 5.10, 5.11). */
  #emit(flags: number, seq = 0, ack = 0, payload: Uint8Array = NOTHING): void {
    const isLast = (flags & (FLAG.FIN | FLAG.RST)) !== 0;
    this.#setup.emit({ flags, seq, ack, window: isLast ? 0 : this.receiver.freeSlots, payload });
  }
}
