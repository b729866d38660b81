/**
 * A registry of the tests' own at the other end of the link: it sees what a client asks, in order, and says what it is
 * told to. Time and link are the test's.
 */
import { expect } from 'vitest';
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import type { RegistryObject } from '../../src/core/events.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { RegistryClient } from '../../src/core/registry-client.ts';
import { Counters } from '../../src/core/stats.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { fromBase64 } from '../../src/wire/base64.ts';
import { emitJsonFrame, FrameReader, parseJson } from '../../src/wire/registry.ts';

const KEYS = createPublicKeyJobs();
const SEED = new Uint8Array(32).fill(7);
const IDENTITY = KEYS.importIdentity(SEED);

/** One client and its link. */
export class Desk {
  now = 5_000;
  readonly jobs: Jobs = new Jobs();
  readonly counters: Counters = new Counters();
  readonly client: RegistryClient;
  readonly publicKey: Uint8Array = IDENTITY.publicKey;
  readonly identity: number = IDENTITY.identity;
  /** What was asked and not answered yet. */
  readonly asked: RegistryObject[] = [];
  /** All that was ever asked, by type. */
  readonly types: string[] = [];
  readonly commands: string[] = [];
  /** Jobs are left to the test. */
  isSlow = false;
  /** Signing fails. */
  isLocked = false;
  /** Answers at once, where it is set and does not say undefined. A text refuses. */
  reply: ((request: RegistryObject) => Record<string, unknown> | string | undefined) | undefined;
  #reader = new FrameReader(1 << 20);

  constructor() {
    const { jobs, counters, identity } = this;
    this.client = new RegistryClient({ jobs, counters, identity, random: (into) => into.fill(128) });
  }

  /** Does the jobs that wait and looks at what the client wants. */
  run(): void {
    for (let next = this.isSlow ? undefined : this.jobs.poll(); next !== undefined; next = this.jobs.poll()) {
      if (next.job.kind !== 'sign') throw new Error(`unexpected ${next.job.kind}`);
      const signature = this.isLocked ? undefined : KEYS.sign(next.job.identity, next.job.message);
      this.jobs.handle(this.now, next.id, signature);
    }
    for (let command = this.client.pollCommand(); command !== undefined; command = this.client.pollCommand()) {
      this.commands.push(command);
    }
    for (let bytes = this.client.pollBytes(); bytes !== undefined; bytes = this.client.pollBytes()) {
      this.#reader.push(bytes);
    }
    for (let body = this.#reader.next(); body !== undefined; body = this.#reader.next()) {
      const request = parseJson(body) as RegistryObject;
      this.types.push(request.type);
      this.asked.push(request);
    }
    const reply = this.asked[0] === undefined ? undefined : this.reply?.(this.asked[0]);
    if (typeof reply === 'string') this.refuse(reply);
    else if (reply !== undefined) this.answer(reply);
  }

  /** The link opens, as it was asked to. */
  open(): void {
    this.run();
    expect(this.commands.shift()).toBe('open');
    this.#reader = new FrameReader(1 << 20);
    this.asked.length = 0;
    this.client.handleOpen(this.now);
    this.run();
  }

  close(code?: ErrorCode): void {
    this.client.handleClosed(this.now, code);
    this.run();
  }

  /** Answers the oldest question. @returns It. */
  answer(fields: Record<string, unknown> = {}): RegistryObject {
    const request = this.asked.shift();
    if (request === undefined) throw new Error('nothing was asked');
    this.sends({ type: `${request.type}_ok`, ...fields });
    return request;
  }

  refuse(error: string): RegistryObject {
    return this.answer({ type: 'error', error });
  }

  sends(fields: Record<string, unknown>): void {
    this.gets(emitJsonFrame(fields));
  }

  gets(bytes: Uint8Array): void {
    this.client.handleBytes(this.now, bytes);
    this.run();
  }

  /** Whether the request carries our signature over `text`. */
  isSigned(request: RegistryObject, text: string): boolean {
    const signature = fromBase64(String(request.signature));
    return signature !== undefined && KEYS.verify(this.publicKey, new TextEncoder().encode(text), signature);
  }

  /** Lets time pass; `others` are what has timers beside the client. */
  elapse(ms: number, others: { handleTimeout(now: number): void; pollTimeout(): number }[] = []): void {
    const end = this.now + ms;
    const all = [this.client, ...others];
    let turns = 0;
    this.run();
    for (;;) {
      const at = Math.min(...all.map((one) => one.pollTimeout()));
      if (at > end) break;
      turns = at > this.now ? 0 : turns + 1;
      expect(turns, 'a timer that is due again and again').toBeLessThan(20);
      this.now = Math.max(this.now, at);
      for (const one of all) one.handleTimeout(this.now);
      this.run();
    }
    this.now = end;
  }
}
