/**
 * Streams over one bottleneck, in virtual time: pairs of connections whose data share a line with a rate and a queue, and
 * whose acknowledgements come back over another. No encryption and no endpoints: what is looked at is congestion control.
 */
import { BufferPool } from '../../src/core/buffer.ts';
import type { CongestionControlName } from '../../src/core/congestion.ts';
import { Connection, type ConnectionLimits, type Segment } from '../../src/core/connection.ts';
import { Clock, type ClockEvent, Line, Random } from '../../src/testing/index.ts';

/** UDP, IP and what the tunnel adds (DP 3.5). */
const OVERHEAD_BYTES = 28 + 70;
const PIECE = new Uint8Array(65_536);
/** What a bottleneck is like. */
export interface PathOptions {
  readonly seed: number;
  /** Without queues. */
  readonly rttMs: number;
  readonly bytesPerSecond: number;
  /** What the queue holds, in round trips at the rate. */
  readonly queue: number;
  /** Each direction. */
  readonly loss?: number;
  readonly jitterMs?: number;
  readonly reordering?: number;
}

/** Who sends, and how. */
export interface FlowOptions {
  readonly congestionControl?: CongestionControlName;
  /** Omitted: it never ends. */
  readonly bytes?: number;
  readonly startMs?: number;
  readonly limits?: Partial<ConnectionLimits>;
  /** The application writes no faster. */
  readonly bytesPerSecond?: number;
  /** The peer is one of ours; default true. */
  readonly own?: boolean;
}

/** One direction of one connection. */
export class Flow {
  readonly sender: Connection;
  readonly receiver: Connection;
  readonly options: FlowOptions;
  readonly startMs: number;
  written = 0;
  read = 0;
  /** When the last byte was read. */
  doneMs = Number.NaN;
  /** Bytes read by then, once per 100 ms. */
  readonly progress: number[] = [];
  readonly rtts: number[] = [];
  readonly timers: (ClockEvent | undefined)[] = [undefined, undefined];

  constructor(now: number, options: FlowOptions, pool: BufferPool) {
    const { congestionControl, limits = {}, own = true } = options;
    const rest = { now, initialSeq: 1, pool, limits };
    this.options = options;
    this.startMs = now;
    this.sender = new Connection({ ...rest, role: 'dialler', offersOwn: own, congestionControl });
    this.receiver = new Connection({ ...rest, role: 'listener', offersOwn: own });
  }

  get isDone(): boolean {
    return this.read === this.options.bytes;
  }

  get seconds(): number {
    return (this.doneMs - this.startMs) / 1000;
  }
}

/** A bottleneck and those who share it. */
export class Path {
  readonly clock = new Clock();
  readonly there: Line;
  readonly back: Line;
  readonly flows: Flow[] = [];
  readonly #pool = new BufferPool(1024 * 1024 * 1024);
  readonly #out: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
  dropped = 0;

  constructor(options: PathOptions) {
    const { seed, rttMs, bytesPerSecond, queue, loss = 0, jitterMs = 0, reordering = 0 } = options;
    const random = new Random(seed);
    const rest = { delayMs: rttMs / 2, loss, jitterMs, reordering };
    const queueBytes = Math.max(3000, (queue * rttMs * bytesPerSecond) / 1000);
    this.there = new Line(random.fork('there'), { ...rest, bytesPerSecond, queueBytes });
    this.back = new Line(random.fork('back'), rest);
  }

  add(options: FlowOptions = {}): void {
    this.clock.at(options.startMs ?? 0, 'flow', () => {
      const flow = new Flow(this.clock.now, options, this.#pool);
      this.flows.push(flow);
      this.#turn(flow, 0);
      this.#turn(flow, 1);
      this.#sample(flow);
    });
  }

  run(untilMs: number): void {
    while (this.clock.next <= untilMs && !(this.flows.length > 0 && this.flows.every(({ isDone }) => isDone))) {
      this.clock.step();
    }
  }

  #sample(flow: Flow): void {
    flow.progress.push(flow.read);
    this.clock.after(100, 'sample', () => this.#sample(flow));
  }

  /** What a side does in one turn of its event loop. */
  #turn(flow: Flow, side: number): void {
    const { now } = this.clock;
    const connection = side === 0 ? flow.sender : flow.receiver;
    if (side === 0) this.#write(flow);
    else this.#read(flow);
    connection.takeEvents();
    while (connection.pollTransmit(now, this.#out)) {
      const payload = new Uint8Array(this.#out.payloadLength);
      connection.copyPayload(this.#out, payload, 0);
      this.#send(flow, side, { ...this.#out }, payload);
    }
    const before = flow.timers[side];
    if (before !== undefined) this.clock.cancel(before);
    const at = connection.pollTimeout();
    // Timers of a runtime are late, and whole milliseconds.
    if (at < Number.POSITIVE_INFINITY)
      flow.timers[side] = this.clock.at(Math.ceil(at), 'timer', () => this.#wake(flow, side));
  }

  #wake(flow: Flow, side: number): void {
    const connection = side === 0 ? flow.sender : flow.receiver;
    connection.handleTimeout(this.clock.now);
    this.#turn(flow, side);
  }

  #send(flow: Flow, side: number, segment: Segment, payload: Uint8Array): void {
    const line = side === 0 ? this.there : this.back;
    const exits = line.enter(this.clock.now, payload.length + OVERHEAD_BYTES);
    if (typeof exits === 'string') {
      this.dropped += 1;
      return;
    }
    const to = side === 0 ? flow.receiver : flow.sender;
    for (const at of exits) {
      this.clock.at(at, 'segment', () => {
        to.handleSegment(this.clock.now, segment, payload);
        if (side === 1) flow.rtts.push(flow.sender.stats().srtt);
        this.#turn(flow, 1 - side);
      });
    }
  }

  #write(flow: Flow): void {
    const { bytes = Number.POSITIVE_INFINITY, bytesPerSecond } = flow.options;
    const due = bytesPerSecond === undefined ? bytes : ((this.clock.now - flow.startMs) * bytesPerSecond) / 1000;
    for (;;) {
      const length = Math.min(PIECE.length, Math.min(bytes, due) - flow.written);
      const taken = length >= 1 ? flow.sender.write(PIECE.subarray(0, length)) : 0;
      flow.written += taken;
      if (taken === 0) return;
    }
  }

  #read(flow: Flow): void {
    for (let n = flow.receiver.read(PIECE); n > 0; n = flow.receiver.read(PIECE)) flow.read += n;
    if (flow.isDone && Number.isNaN(flow.doneMs)) flow.doneMs = this.clock.now;
  }
}

/** Jain's index of fairness: 1 is equal, 1/n is all for one. */
export function fairness(shares: readonly number[]): number {
  const sum = shares.reduce((a, b) => a + b, 0);
  return sum ** 2 / (shares.length * shares.reduce((a, b) => a + b * b, 0));
}

/** The middle one. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
