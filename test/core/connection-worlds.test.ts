import { expect, test } from 'vitest';
import { BufferPool } from '../../src/core/buffer.ts';
import { Connection, type ConnectionLimits, type Segment } from '../../src/core/connection.ts';
import { EVENT } from '../../src/core/events.ts';
import { byteAt, seeded } from './connection-harness.ts';

interface Flying {
  at: number;
  order: number;
  to: number;
  segment: Segment;
  payload: Uint8Array;
}

/** What an application does: writes its bytes in pieces, reads in pieces, pauses, and ends in one of two ways. */
class App {
  readonly connection: Connection;
  readonly random: () => number;
  readonly toWrite: number;
  readonly toRead: number;
  /** Ends its own direction and reads on to the end; else it closes when all bytes it expects came. */
  readonly halfCloses: boolean;
  written = 0;
  seen = 0;
  isWrong = false;
  isConnected = false;
  hasEnded = false;
  pausedUntil = 0;
  hasShutdown = false;
  isClosing = false;

  constructor(
    connection: Connection,
    random: () => number,
    plan: [toWrite: number, toRead: number, halfCloses: boolean],
  ) {
    this.connection = connection;
    this.random = random;
    [this.toWrite, this.toRead, this.halfCloses] = plan;
  }

  run(now: number): void {
    const c = this.connection;
    const events = c.takeEvents();
    if ((events & EVENT.connected) !== 0) this.isConnected = true;
    if (!this.isConnected || c.state === 'CLOSED' || now < this.pausedUntil) return;
    if (this.random() < 0.01) {
      this.pausedUntil = now + this.random() * 2000;
      return;
    }
    this.#write();
    const piece = new Uint8Array(1 + Math.floor(this.random() * 6000));
    for (let n = c.read(piece); n > 0; n = c.read(piece)) {
      for (let i = 0; i < n; i++) if (piece[i] !== byteAt(this.seen + i)) this.isWrong = true;
      this.seen += n;
      if (this.random() < 0.2) break;
    }
    if (this.seen > this.toRead) this.isWrong = true;
    if (c.isReadEnded) this.hasEnded = true;
    const hasWritten = this.written === this.toWrite;
    if (this.halfCloses && hasWritten && !this.hasShutdown) {
      this.hasShutdown = true;
      c.shutdown(now);
    }
    const hasRead = this.halfCloses ? this.hasEnded && c.isWriteAcknowledged : this.seen === this.toRead;
    if (hasWritten && hasRead && !this.isClosing) {
      this.isClosing = true;
      c.close(now);
    }
  }

  #write(): void {
    for (let rounds = 0; rounds < 4 && this.written < this.toWrite; rounds++) {
      const size = this.random() < 0.5 ? 1 + Math.floor(this.random() * 200) : 1 + Math.floor(this.random() * 20_000);
      const piece = new Uint8Array(Math.min(size, this.toWrite - this.written));
      for (let i = 0; i < piece.length; i++) piece[i] = byteAt(this.written + i);
      const taken = this.connection.write(piece);
      this.written += taken;
      if (taken < piece.length) return;
    }
  }
}

interface WorldOptions {
  seed: number;
  loss: number;
  own: boolean;
  limits?: Partial<ConnectionLimits>;
  poolBytes?: number;
  /** Most bytes of a direction. */
  bytes?: number;
}

/** Runs a world to its end and returns what there is to check. */
function run(options: WorldOptions): { apps: [App, App]; pool: BufferPool; now: number; steps: number } {
  const random = seeded(options.seed);
  const pool = new BufferPool(options.poolBytes);
  const limits = options.limits ?? {};
  const make = (role: 'dialler' | 'listener') =>
    new Connection({
      now: 0,
      role,
      initialSeq: Math.floor(random() * 0x3fff_ffff),
      offersOwn: options.own || (role === 'listener' && random() < 0.5),
      pool,
      limits,
    });
  const most = options.bytes ?? 150_000;
  const sizes = [0, 1].map(() => (random() < 0.15 ? 0 : Math.floor(random() ** 2 * most)));
  const halfCloses = options.own && random() < 0.7;
  const apps: [App, App] = [
    new App(make('dialler'), random, [sizes[0]!, sizes[1]!, halfCloses]),
    new App(make('listener'), random, [sizes[1]!, sizes[0]!, halfCloses]),
  ];
  const delay = 0.2 + random() ** 3 * 80;
  const jitter = random() < 0.5 ? random() * 3 : delay * random();
  const flying: Flying[] = [];
  const out: Segment = { flags: 0, seq: 0, ack: 0, windowSegments: 0, payloadLength: 0 };
  let now = 0;
  let order = 0;
  let steps = 0;
  const transmit = (from: number) => {
    const { connection } = apps[from]!;
    while (connection.pollTransmit(now, out)) {
      const payload = new Uint8Array(out.payloadLength);
      connection.copyPayload(out, payload, 0);
      expect(out.payloadLength).toBeLessThanOrEqual(1152);
      for (let copies = random() < 0.03 ? 2 : 1; copies > 0; copies--) {
        if (random() < options.loss) continue;
        const at = now + delay + random() * jitter;
        flying.push({ at, order: order++, to: 1 - from, segment: { ...out }, payload });
      }
      // Now and then the caller has no room for more until the next turn.
      if (random() < 0.02) return;
    }
  };
  while (apps.some(({ connection }) => connection.state !== 'CLOSED') && ++steps < 200_000) {
    let next = now + 20;
    for (const f of flying) if (f.at < next) next = f.at;
    for (const { connection } of apps) next = Math.min(next, connection.pollTimeout());
    now = Math.max(now, next);
    for (const { connection } of apps) {
      if (connection.pollTimeout() > now) continue;
      connection.handleTimeout(now);
      expect(connection.pollTimeout()).toBeGreaterThan(now);
    }
    const due = flying.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const f of due) {
      flying.splice(flying.indexOf(f), 1);
      apps[f.to]!.connection.handleSegment(now, f.segment, f.payload);
    }
    for (const i of [0, 1]) {
      apps[i]!.run(now);
      transmit(i);
    }
  }
  for (const { connection } of apps) while (connection.pollTransmit(now, out));
  return { apps, pool, now, steps };
}

function check(options: WorldOptions): void {
  const { apps, pool, steps } = run(options);
  const label = `seed ${options.seed} loss ${options.loss} own ${options.own}`;
  expect(steps, `${label}: ends`).toBeLessThan(200_000);
  expect(pool.used, `${label}: pool`).toBe(0);
  for (const [i, app] of apps.entries()) {
    const side = `${label} side ${i}`;
    expect(app.connection.error, `${side}: error`).toBeUndefined();
    expect(app.isWrong, `${side}: bytes`).toBe(false);
    expect(app.seen, `${side}: count`).toBe(app.toRead);
    expect(app.connection.state, side).toBe('CLOSED');
    expect(app.connection.pollTimeout(), side).toBe(Number.POSITIVE_INFINITY);
    if (app.halfCloses) expect(app.hasEnded, `${side}: ended`).toBe(true);
  }
}

const WORLDS = 60;
for (const own of [true, false]) {
  for (const loss of [0, 0.02, 0.1, 0.2]) {
    const name = `${own ? 'own' : 'reference'} profile at ${100 * loss} % loss`;
    test(`every byte arrives in order once and both ends are CLOSED: ${name}`, () => {
      for (let i = 0; i < WORLDS; i++) check({ seed: 1000 * loss * 1000 + i + (own ? 500 : 0), loss, own });
    });
  }
}

test('small buffers and closed windows lose nothing', () => {
  const limits = { writableBytes: 8192, readableBytes: 9000, windowSegments: 6, outOfOrderSegments: 4 };
  for (let i = 0; i < 30; i++) check({ seed: 77_000 + i, loss: 0.05, own: i % 2 === 0, limits, bytes: 60_000 });
});

test('a pool that is used up slows down and loses nothing', () => {
  for (let i = 0; i < 20; i++) check({ seed: 88_000 + i, loss: 0.03, own: i % 2 === 0, poolBytes: 24_000 });
});
