/**
 * What the connection tests share: a trace (one connection against hand-written segments) and a world (two connections
 * over a link that loses, doubles and reorders, in virtual time).
 */
import { expect } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import type { CongestionControlName } from '../../src/core/congestion.ts';
import { Connection, type ConnectionLimits, type ConnectionState, type Segment } from '../../src/core/connection.ts';
import { FLAG } from '../../src/wire/packet.ts';

export const { SYN, ACK, FIN, RST } = FLAG;
/** Our first number and the peer's. Traces count from them: SYN is 0, the first byte is 1. */
export const OURS = 1000;
export const PEERS = 0xffff_fff0;
export const OFFER: Uint8Array = Uint8Array.of(0x50, 0x57, 1, 3);

/** A segment as a trace writes it: numbers relative to the SYN of their sender. */
export interface Line {
  flags: number;
  seq?: number;
  ack?: number;
  window?: number;
  /** Text, or so many bytes of the test stream, or bytes. */
  data?: string | Uint8Array;
}

/** Byte `i` of every test stream. */
export function byteAt(i: number): number {
  return (i * 31 + (i >>> 8) * 7 + 11) & 0xff;
}

/** Bytes `from` to `to` of the test stream. */
export function stream(from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(to - from);
  for (let i = 0; i < bytes.length; i++) bytes[i] = byteAt(from + i);
  return bytes;
}

/** Payload of a SACK in trace numbers. */
export function sack(base: number, ...blocks: [left: number, right: number][]): Uint8Array {
  const bytes = new Uint8Array(5 + 8 * blocks.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x5341434b);
  view.setUint8(4, blocks.length);
  blocks.forEach(([left, right], i) => {
    view.setUint32(5 + 8 * i, (base + left) >>> 0);
    view.setUint32(9 + 8 * i, (base + right) >>> 0);
  });
  return bytes;
}

export interface TraceOptions {
  role?: 'dialler' | 'listener';
  own?: boolean;
  limits?: Partial<ConnectionLimits>;
  pool?: BufferPool;
  congestionControl?: CongestionControlName;
}

/** One connection and its peer, who is the test. */
export class Trace {
  now = 5000;
  readonly pool: BufferPool;
  readonly c: Connection;
  readonly #out: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
  readonly #memory = new Uint8Array(70_000);

  constructor(options: TraceOptions = {}) {
    this.pool = options.pool ?? new BufferPool();
    this.c = new Connection({
      now: this.now,
      role: options.role ?? 'dialler',
      initialSeq: OURS,
      offersOwn: options.own ?? false,
      pool: this.pool,
      congestionControl: options.congestionControl,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
  }

  /** The next segment that leaves, or undefined. */
  next(): Required<Line> | undefined {
    const out = this.#out;
    if (!this.c.pollTransmit(this.now, out)) return undefined;
    this.c.copyPayload(out, this.#memory, 3);
    return {
      flags: out.flags,
      seq: (out.seq - OURS) | 0,
      ack: (out.flags & ACK) === 0 ? out.ack : (out.ack - PEERS) | 0,
      window: out.windowSegments,
      data: this.#memory.slice(3, 3 + out.payloadLength),
    };
  }

  /** The next segment is this one; what is not written is not compared, but no data means no payload. */
  sends(line: Line): void {
    const next = this.next();
    expect(next, 'a segment leaves').toBeDefined();
    const { data, ...rest } = line;
    expect({ ...next, data: undefined }).toMatchObject(rest);
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : (data ?? new Uint8Array(0));
    expect([...(next!.data as Uint8Array)]).toEqual([...bytes]);
  }

  sendsNothing(): void {
    expect(this.next()).toBeUndefined();
  }

  /** Everything that leaves now. */
  drain(): Required<Line>[] {
    const lines: Required<Line>[] = [];
    for (let line = this.next(); line !== undefined; line = this.next()) lines.push(line);
    return lines;
  }

  gets(line: Line): void {
    const { flags, seq = 0, ack, window = 512, data } = line;
    const payload = typeof data === 'string' ? new TextEncoder().encode(data) : (data ?? new Uint8Array(0));
    const segment: Segment = {
      flags,
      seq: (flags & RST) !== 0 ? 0 : (PEERS + seq) >>> 0,
      ack: ack === undefined ? 0 : (OURS + ack) >>> 0,
      windowSegments: (flags & (FIN | RST)) !== 0 ? 0 : window,
      payloadLength: payload.length,
    };
    this.c.handleSegment(this.now, segment, payload);
  }

  /** Time passes; timers run when they are due. */
  elapse(ms: number): void {
    const end = this.now + ms;
    while (this.c.pollTimeout() <= end) {
      this.now = Math.max(this.now, this.c.pollTimeout());
      this.c.handleTimeout(this.now);
      expect(this.c.pollTimeout()).toBeGreaterThan(this.now);
    }
    this.now = end;
  }

  /** Time passes and what leaves meanwhile is collected with the time since the start of the call. */
  watch(ms: number): { at: number; line: Required<Line> }[] {
    const start = this.now;
    const end = this.now + ms;
    const seen: { at: number; line: Required<Line> }[] = [];
    for (;;) {
      for (const line of this.drain()) seen.push({ at: Math.round(this.now - start), line });
      const at = this.c.pollTimeout();
      if (at > end) break;
      this.now = Math.max(this.now, at);
      this.c.handleTimeout(this.now);
    }
    this.now = end;
    return seen;
  }

  write(data: string | Uint8Array): number {
    return this.c.write(typeof data === 'string' ? new TextEncoder().encode(data) : data);
  }

  /** All that is readable, as text. */
  read(): string {
    const bytes = new Uint8Array(this.c.readableBytes);
    this.c.read(bytes);
    return new TextDecoder('latin1').decode(bytes);
  }

  is(state: ConnectionState): void {
    expect(this.c.state).toBe(state);
  }
}

/** A dialler that is connected to a reference peer, or to one of ours; the exchange took `rtt` ms. */
export function established(options: TraceOptions & { rtt?: number } = {}): Trace {
  const t = new Trace(options);
  if (options.role === 'listener') {
    t.gets({ flags: SYN, seq: 0, ...(options.own ? { data: OFFER } : {}) });
    t.sends({ flags: SYN | ACK, seq: 0, ack: 1, ...(options.own ? { data: OFFER } : {}) });
    t.elapse(options.rtt ?? 10);
    t.gets({ flags: ACK, seq: 1, ack: 1 });
  } else {
    t.sends({ flags: SYN, seq: 0, ack: 0, ...(options.own ? { data: OFFER } : {}) });
    t.elapse(options.rtt ?? 10);
    t.gets({ flags: SYN | ACK, seq: 0, ack: 1, ...(options.own ? { data: OFFER } : {}) });
    t.sends({ flags: ACK, seq: 1, ack: 1 });
  }
  t.is('ESTABLISHED');
  t.sendsNothing();
  t.c.takeEvents();
  return t;
}

/** Mulberry32: a small seeded generator. */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
