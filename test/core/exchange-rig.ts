/**
 * What the key-exchange tests share: two sides with real keys and the real engine, and a pipe that loses, doubles and
 * delays in virtual time. A side does what tunnels.ts does with frames, and no more.
 */
import { afterEach, expect } from 'vitest';
import { createPublicKeyJobs, type SynchronousKeyJobs } from '../../bindings/node/keys.ts';
import { type Job, type JobResult, Jobs } from '../../src/core/jobs.ts';
import { type ExchangeContext, KeyExchange } from '../../src/core/key-exchange.ts';
import { Counters } from '../../src/core/stats.ts';
import { RX_NOTE } from '../../src/engine/engine.ts';
import { createWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';
import { readU32, writeU32 } from '../../src/wire/integers.ts';
import { emitPila, parseKeyExchange, signedExchange } from '../../src/wire/key-exchange.ts';
import { MAGIC, PROTOCOL } from '../../src/wire/packet.ts';
import { deliver, Random, send } from '../engine/rig.ts';

/** Something at an end of the pipe. */
export interface End {
  readonly id: number;
  handle(bytes: Uint8Array): void;
  handleTimeout(): void;
  pollTimeout(): number;
  /** Frames that leave now. */
  drain(): Uint8Array[];
  close(): void;
}

/** A frame on its way. */
interface Flying {
  readonly at: number;
  readonly order: number;
  readonly to: End;
  readonly bytes: Uint8Array;
}

/** How the pipe treats frames; numbers are chances and milliseconds. */
export interface Weather {
  loss: number;
  duplicate: number;
  delay: number;
  jitter: number;
}

export const CALM: Weather = { loss: 0, duplicate: 0, delay: 20, jitter: 0 };

const worlds: World[] = [];

// What a failed test leaves must not fail the next.
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

/** One engine serves all, as in a process. */
let engine: WasmEngine | undefined;
let owners = 0;

function fill(random: Random): (into: Uint8Array) => void {
  return (into) => into.set(random.bytes(into.length));
}

export function sharedEngine(): WasmEngine {
  engine ??= createWasmEngine({ sessions: 64 }, fill(new Random(1)));
  return engine;
}

/** Virtual time and the pipe between two ends. */
export class World {
  now = 10_000;
  weather: Weather = { ...CALM };
  readonly random: Random;
  readonly ends: End[] = [];
  /** Frames that were sent, in order, whatever became of them. */
  readonly sent: { at: number; from: number; bytes: Uint8Array }[] = [];
  /** A frame for which this answers false is lost. */
  passes: (from: number, bytes: Uint8Array) => boolean = () => true;
  #flying: Flying[] = [];
  #order = 0;

  constructor(seed = 1) {
    this.random = new Random(seed);
    worlds.push(this);
  }

  chance(): number {
    return this.random.next(1_000_000) / 1_000_000;
  }

  /** Puts a frame into the pipe as if it came from the other end. */
  inject(to: End, bytes: Uint8Array, delay = 0): void {
    this.#flying.push({ at: this.now + delay, order: this.#order++, to, bytes: bytes.slice() });
  }

  /** Lets time pass; frames arrive and timers run when they are due. */
  elapse(ms: number): void {
    const end = this.now + ms;
    let turns = 0;
    this.flush();
    for (;;) {
      const at = this.#nextAt();
      if (at > end) break;
      turns = at > this.now ? 0 : turns + 1;
      expect(turns, 'a timer that is due again and again').toBeLessThan(200);
      this.now = Math.max(this.now, at);
      this.#deliver();
      for (const one of this.ends) if (one.pollTimeout() <= this.now) one.handleTimeout();
      this.flush();
    }
    this.now = end;
  }

  /** Sends what the ends have to send. */
  flush(): void {
    for (const one of this.ends) {
      const to = this.ends.find((other) => other !== one);
      for (const bytes of one.drain()) {
        this.sent.push({ at: this.now, from: one.id, bytes });
        if (to !== undefined && this.passes(one.id, bytes)) this.#launch(to, bytes);
      }
    }
  }

  /** Frames with this magic that an end sent, and when. */
  sentBy(from: number, magic: number): { at: number; bytes: Uint8Array }[] {
    return this.sent.filter((one) => one.from === from && readU32(one.bytes, 0) === magic);
  }

  close(): void {
    for (const one of this.ends) one.close();
  }

  #launch(to: End, bytes: Uint8Array): void {
    const { loss, duplicate, delay, jitter } = this.weather;
    for (let copies = this.chance() < duplicate ? 2 : 1; copies > 0; copies--) {
      if (this.chance() < loss) continue;
      this.#flying.push({ at: this.now + delay + this.chance() * jitter, order: this.#order++, to, bytes });
    }
  }

  #nextAt(): number {
    return Math.min(...this.#flying.map(({ at }) => at), ...this.ends.map((one) => one.pollTimeout()));
  }

  #deliver(): void {
    const due = this.#flying.filter(({ at }) => at <= this.now);
    this.#flying = this.#flying.filter(({ at }) => at > this.now);
    due.sort((a, b) => a.at - b.at || a.order - b.order);
    for (const { to, bytes } of due) to.handle(bytes.slice());
  }
}

/** Frames in a row that cannot be opened. */
const FAILURES = 5;
const PING_BYTES = 8;
const NEXT_MESSAGE_MS = 400;

/** A key exchange, and the little of an endpoint around it. */
export class Side implements End {
  readonly id: number;
  readonly peerId: number;
  exchange: KeyExchange;
  readonly jobs: Jobs = new Jobs();
  readonly counters: Counters = new Counters();
  readonly identityKey: Uint8Array;
  readonly owner: number;
  /** Jobs done, by kind. */
  readonly done: Record<Job['kind'], number> = { sign: 0, verify: 0, createExchange: 0, agree: 0, forget: 0 };
  /** Session keys as core got them. */
  readonly agreed: Uint8Array[] = [];
  /** Private X25519 keys that exist. */
  readonly livePairs: Set<number> = new Set();
  /** Numbers of the messages that arrived. */
  readonly received: Set<number> = new Set();
  readonly waiting: number[] = [];
  /** How long a job takes; 0: the same turn. */
  jobMs = 0;
  /** Whether the peer's capabilities come with its first frame. */
  tellsKind = true;
  /** Jobs of this kind fail. */
  failing: Job['kind'] | undefined;
  mayRotate: boolean;
  /** How often `handleAuthenticated` said that capabilities start anew. */
  news = 0;
  readonly #world: World;
  readonly #keys: SynchronousKeyJobs = createPublicKeyJobs();
  readonly #identity: number;
  readonly #context: ExchangeContext;
  #running: { at: number; id: number; job: Job }[] = [];
  readonly #out: Uint8Array[] = [];
  #failures = 0;
  #next = 0;
  #talksUntil = 0;
  #talksAt: number = Number.POSITIVE_INFINITY;

  constructor(world: World, id: number, peerId: number) {
    this.#world = world;
    this.id = id;
    this.peerId = peerId;
    this.owner = owners++;
    const seed = world.random.bytes(32);
    const { identity, publicKey } = this.#keys.importIdentity(seed);
    this.identityKey = publicKey;
    this.#identity = identity;
    this.#context = {
      engine: sharedEngine(),
      owner: this.owner,
      random: fill(world.random),
      jobs: this.jobs,
      counters: this.counters,
      identity,
      identityKey: publicKey,
      nodeId: id,
    };
    this.exchange = new KeyExchange(this.#context, peerId);
    this.mayRotate = id < peerId;
    world.ends.push(this);
  }

  get now(): number {
    return this.#world.now;
  }

  begin(): void {
    this.exchange.begin(this.now);
    this.#world.flush();
  }

  /** Sends a message, now or when there is a key, and asks for a key if need be. @returns Its number. */
  say(): number {
    const number = this.#next++;
    this.waiting.push(number);
    if (!this.exchange.hasSession) this.exchange.begin(this.now);
    this.#world.flush();
    return number;
  }

  /** Says something every 400 ms. */
  talk(ms: number): void {
    this.#talksAt = this.now;
    this.#talksUntil = this.now + ms;
  }

  handle(bytes: Uint8Array): void {
    const magic = readU32(bytes, 0);
    if (magic === MAGIC.PILS) this.#open(bytes);
    else this.#exchange(bytes);
    this.#runJobs();
  }

  handleTimeout(): void {
    while (this.#running.length > 0 && this.#running[0]!.at <= this.now) {
      const { id, job } = this.#running.shift()!;
      this.#answer(id, job);
    }
    if (this.now >= this.#talksAt) {
      this.#talksAt = this.now + NEXT_MESSAGE_MS;
      if (this.#talksAt > this.#talksUntil) this.#talksAt = Number.POSITIVE_INFINITY;
      this.waiting.push(this.#next++);
      if (!this.exchange.hasSession) this.exchange.begin(this.now);
    }
    this.exchange.handleTimeout(this.now, this.mayRotate);
    this.#runJobs();
  }

  pollTimeout(): number {
    return Math.min(this.exchange.pollTimeout(), this.#talksAt, this.#running[0]?.at ?? Number.POSITIVE_INFINITY);
  }

  drain(): Uint8Array[] {
    this.#runJobs();
    for (let next = this.exchange.pollFrame(); next !== undefined; next = this.exchange.pollFrame()) {
      this.#out.push(next.frame);
    }
    for (let session = this.exchange.pollProbe(); session >= 0; session = this.exchange.pollProbe()) {
      this.#ping(session);
    }
    while (this.waiting.length > 0) {
      const session = this.exchange.sendSession(this.now);
      if (session < 0) break;
      const payload = new Uint8Array(4);
      writeU32(payload, 0, this.waiting.shift()!);
      this.exchange.noteSent(this.now);
      this.#seal(session, { protocol: PROTOCOL.datagram, payload });
    }
    return this.#out.splice(0);
  }

  close(): void {
    this.exchange.close();
    const { jobMs } = this;
    this.jobMs = 0;
    this.#runJobs();
    for (const { id, job } of this.#running.splice(0)) this.#answer(id, job);
    this.#runJobs();
    this.jobMs = jobMs;
  }

  /** Does a job that the test took itself. */
  runJob(next: { id: number; job: Job }): void {
    this.#answer(next.id, next.job);
  }

  /** Whether the engine has this session for this side. */
  holds(session: number): boolean {
    return typeof send(sharedEngine(), session, { sourceNode: this.id }) !== 'string';
  }

  /** A PILA of this node that was recorded before the test began: its private half is gone. */
  oldPila(): Uint8Array {
    const { exchange, publicKey: exchangeKey } = this.#keys.createExchange(this.#world.random.bytes(32));
    this.#keys.forget(exchange);
    const signature = this.#keys.sign(this.#identity, signedExchange(this.id, exchangeKey));
    return emitPila({ sender: this.id, exchangeKey, identityKey: this.identityKey, signature });
  }

  /** The process ends and begins again: same identity, no memory. */
  restart(): void {
    this.close();
    this.exchange = new KeyExchange(this.#context, this.peerId);
  }

  #exchange(bytes: Uint8Array): void {
    const message = parseKeyExchange(bytes);
    if (message === undefined || message.sender !== this.peerId) return;
    if (message.identityKey === undefined || message.signature === undefined) {
      this.exchange.handleKeyRequest(this.now);
    } else if (this.exchange.isUnchanged(message.exchangeKey)) {
      this.exchange.handleUnchanged(this.now, message.exchangeKey);
    } else {
      const { identityKey: publicKey, signature, exchangeKey } = message;
      const signed = signedExchange(message.sender, exchangeKey);
      this.jobs.start({ kind: 'verify', publicKey, message: signed, signature }, (now, isValid) => {
        if (isValid === true) this.exchange.handleVerified(now, exchangeKey);
      });
    }
  }

  #open(bytes: Uint8Array): void {
    const opened = deliver(sharedEngine(), this.owner, bytes);
    if (opened.status !== 'OK') {
      this.#refuse(opened.status);
      return;
    }
    this.#failures = 0;
    const isCollision = (opened.note & RX_NOTE.prefixCollision) !== 0;
    if (this.exchange.handleAuthenticated(this.now, opened.session, { retired: opened.note >>> 8, isCollision })) {
      this.news += 1;
      if (this.tellsKind) this.exchange.notePeerKind(true);
    }
    const { protocol, flags, payload, sourcePort } = opened.packet!;
    if (protocol === PROTOCOL.control) {
      if (flags === 0) this.#pong(sourcePort);
      return;
    }
    this.received.add(readU32(payload, 0));
    // As an acknowledgement would.
    if (payload.length === 4)
      this.#seal(this.exchange.sendSession(this.now), { payload: payload.slice(), protocol: 3, flags: 2 });
  }

  #refuse(status: string): void {
    if (status === 'REPLAY' || status === 'OUTSIDE_WINDOW') return;
    this.#failures += 1;
    if (status !== 'NO_SESSION' && this.#failures < FAILURES) return;
    this.#failures = 0;
    this.exchange.handleUnreadable(this.now);
  }

  #ping(session: number): void {
    this.exchange.noteSent(this.now);
    this.#seal(session, { protocol: PROTOCOL.control, sourcePort: 50_000, payload: new Uint8Array(PING_BYTES) });
  }

  #pong(port: number): void {
    const payload = new Uint8Array(PING_BYTES);
    this.#seal(this.exchange.sendSession(this.now), {
      protocol: PROTOCOL.control,
      flags: 2,
      destinationPort: port,
      payload,
    });
  }

  #seal(session: number, packet: Parameters<typeof send>[2]): void {
    if (session < 0) return;
    const sealed = send(sharedEngine(), session, { ...packet, sourceNode: this.id, destinationNode: this.peerId });
    if (typeof sealed === 'string') this.exchange.handleExhausted(this.now, session);
    else this.#out.push(sealed);
  }

  #runJobs(): void {
    for (let next = this.jobs.poll(); next !== undefined; next = this.jobs.poll()) {
      if (this.jobMs === 0 || next.id === 0) this.#answer(next.id, next.job);
      else this.#running.push({ ...next, at: this.now + this.jobMs });
    }
  }

  #answer(id: number, job: Job): void {
    this.done[job.kind] += 1;
    const result = job.kind === this.failing ? undefined : this.#execute(job);
    if (id !== 0) this.jobs.handle(this.now, id, result);
  }

  #execute(job: Job): JobResult {
    switch (job.kind) {
      case 'sign':
        return this.#keys.sign(job.identity, job.message);
      case 'verify':
        return this.#keys.verify(job.publicKey, job.message, job.signature);
      case 'createExchange': {
        const made = this.#keys.createExchange(job.random);
        this.livePairs.add(made.exchange);
        return made;
      }
      case 'agree': {
        const key = this.#keys.agree(job.exchange, job.peerKey, job.info);
        if (key !== undefined) this.agreed.push(key);
        return key;
      }
      case 'forget':
        expect(this.livePairs.delete(job.handle), 'a pair is forgotten once').toBe(true);
        this.#keys.forget(job.handle);
        return undefined;
    }
  }
}

/** Two of ours, ids 1 and 2. */
export function pair(seed = 1): { world: World; a: Side; b: Side } {
  const world = new World(seed);
  return { world, a: new Side(world, 1, 2), b: new Side(world, 2, 1) };
}

/** Two of ours with a proven session, everything calm. */
export function connected(seed = 1): { world: World; a: Side; b: Side } {
  const all = pair(seed);
  all.a.say();
  all.world.elapse(1_000);
  expect(all.b.received.has(0)).toBe(true);
  return all;
}

/** Whether a message of each side reaches the other within a second. */
export function carries(world: World, a: Side, b: Side): boolean {
  const [toB, toA] = [a.say(), b.say()];
  world.elapse(1_000);
  return b.received.has(toB) && a.received.has(toA);
}
