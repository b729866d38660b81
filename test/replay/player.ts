/**
 * Lives a recorded life again with our endpoint: virtual time, real keys, the engine in WebAssembly. Everything that came
 * to the recorded peer comes to ours, the application does what it did, and what ours sends is opened and kept.
 */
import { createPublicKeyJobs, type SynchronousKeyJobs } from '../../bindings/node/keys.ts';
import type { Millis } from '../../src/config.ts';
import { BufferPool } from '../../src/core/buffer.ts';
import { Contacts } from '../../src/core/contacts.ts';
import { Endpoint } from '../../src/core/endpoint.ts';
import type { Event } from '../../src/core/events.ts';
import type { Job, JobResult } from '../../src/core/jobs.ts';
import type { DropReason } from '../../src/core/stats.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { toHex } from '../../src/wire/base64.ts';
import { PROTOCOL } from '../../src/wire/packet.ts';
import { FRAME_PREFIX_BYTES, type RegistryFields } from '../../src/wire/registry.ts';
import type { Packet } from '../reference/packet.ts';
import { Application, type Received } from './application.ts';
import { isSyn, type Passed } from './conversation.ts';
import { withPrefixes } from './engine.ts';
import type { Plan } from './plan.ts';
import { Opener } from './recording.ts';
import { RecordedRegistry } from './registry.ts';
import { type Arrival, Remote, type RemoteCounts } from './remote.ts';

/** What became of a life. */
export interface Performance {
  /** Encrypted packets that ours sent, and those that came to it, as they came. */
  readonly passed: readonly Passed[];
  /** Encrypted frames of ours that no recorded key opens. */
  readonly sealedOtherwise: number;
  /** Prefixes under which ours sent, in order, by hex of the key. */
  readonly prefixes: ReadonlyMap<string, readonly number[]>;
  /** Of those that came: connections and datagrams that a peer began whom ours did not trust at that moment. */
  readonly fromStrangers: ReadonlySet<Packet>;
  readonly received: Received;
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
  readonly framesOpened: number;
  /** Registered as whom, and `trust.json` at the end. */
  readonly nodeId: number;
  readonly trustText: string | undefined;
  readonly counts: RemoteCounts;
  readonly stillWaiting: readonly string[];
  /** What ours asked the registry, and what of it no recorded peer asked. */
  readonly asked: readonly RegistryFields[];
  readonly neverAsked: readonly string[];
}

/** What happens at a time. */
interface Item {
  readonly at: Millis;
  readonly run: (now: Millis) => void;
}

const HOST = '127.0.0.1';
/** What comes of a packet of ours takes this long to come back. */
const TURN_MS: Millis = 0.1;
/** Timers of a runtime fire when their time is over. */
const LATE_MS: Millis = 0.01;
/** Steps without time passing: more is a loop. */
const MAX_STEPS = 10_000;

/** Plays one life to its end. @param engine - May be shared; each life needs an owner of its own. */
export function play(
  plan: Plan,
  engine: Engine,
  options: { owner: number; trustText?: string | undefined },
): Performance {
  return new Player(plan, engine, options).run();
}

class Player {
  readonly #plan: Plan;
  readonly #endpoint: Endpoint;
  readonly #jobs: SynchronousKeyJobs = createPublicKeyJobs();
  readonly #registry: RecordedRegistry;
  readonly #remote: Remote = new Remote();
  readonly #opener: Opener;
  readonly #application: Application;
  readonly #passed: Passed[] = [];
  readonly #fromStrangers = new Set<Packet>();
  readonly #prefixes = new Map<string, number[]>();
  /** By time; those that came first are first among equals. */
  readonly #items: Item[];
  readonly #end: Millis;
  #sealedOtherwise = 0;
  #trustText: string | undefined;

  constructor(plan: Plan, engine: Engine, { owner, trustText }: { owner: number; trustText?: string | undefined }) {
    const { recording, life, isPublic } = plan;
    const { identity, publicKey } = this.#jobs.importIdentity(life.seed.slice());
    this.#plan = plan;
    this.#end = life.until;
    this.#opener = new Opener(recording.keys.map(({ key }) => key));
    this.#registry = new RecordedRegistry(recording, life);
    this.#trustText = trustText;
    this.#endpoint = new Endpoint({
      unixOffset: recording.startUnixMs,
      random: (into) => fill(into, life.secret),
      profile: {
        publicKey,
        identity,
        hostname: undefined,
        tags: [],
        isPublic,
        version: 'replay',
        localPort: life.port,
        lanAddresses: [],
        rendezvous: { host: HOST, port: recording.registryPort },
      },
      trustText,
      autoApprove: false,
    });
    this.#endpoint.meet(life.from, (...how) => new Contacts(...how), {
      engine: withPrefixes(engine, plan.prefixes),
      owner,
      pool: new BufferPool(),
    });
    this.#application = new Application(plan, this.#endpoint);
    const arrivals = plan.arrivals.map((one) => ({
      at: one.at,
      run: (now: Millis) => this.#arrive(now, this.#remote.arrive(one)),
    }));
    const calls = plan.calls.map((one) => ({ at: one.at, run: (now: Millis) => this.#application.call(now, one) }));
    this.#items = [...calls, ...arrivals].sort((a, b) => a.at - b.at);
  }

  run(): Performance {
    const { life } = this.#plan;
    this.#application.listen();
    this.#endpoint.start(life.from);
    this.#drain(life.from);
    let steps = 0;
    for (let now = life.from; ; ) {
      const due = this.#endpoint.pollTimeout() + LATE_MS;
      const item = this.#items[0];
      const at = Math.max(now, Math.min(due, item?.at ?? Number.POSITIVE_INFINITY));
      if (at > this.#end) break;
      steps = at > now ? 0 : steps + 1;
      if (steps > MAX_STEPS) throw new Error(`The endpoint never rests at ${at} ms`);
      now = at;
      if (item !== undefined && item.at <= at) {
        this.#items.shift();
        item.run(now);
      } else this.#endpoint.handleTimeout(now);
      this.#drain(now);
    }
    return this.#result();
  }

  #result(): Performance {
    const { counters, nodeId } = this.#endpoint;
    return {
      passed: this.#passed,
      sealedOtherwise: this.#sealedOtherwise,
      prefixes: this.#prefixes,
      received: this.#application.received,
      drops: counters.drops(),
      framesOpened: counters.framesOpened,
      nodeId,
      trustText: this.#trustText,
      counts: this.#remote.counts,
      stillWaiting: this.#remote.waiting(),
      fromStrangers: this.#fromStrangers,
      asked: this.#registry.asked,
      neverAsked: [...this.#registry.unknown],
    };
  }

  #at(at: Millis, run: (now: Millis) => void): void {
    const place = this.#items.findIndex((item) => item.at > at);
    this.#items.splice(place < 0 ? this.#items.length : place, 0, { at, run });
  }

  #arrive(now: Millis, arrivals: readonly Arrival[]): void {
    const { paths } = this.#endpoint;
    for (const { from, bytes, packet, key } of arrivals) {
      if (packet !== undefined && key !== undefined) {
        this.#passed.push({ at: now, isSent: false, packet, key });
        const begins = isSyn(packet) || packet.protocol === PROTOCOL.datagram;
        if (begins && !this.#endpoint.contacts.trust.isTrusted(now, packet.sourceNode)) this.#fromStrangers.add(packet);
      }
      this.#endpoint.handleDatagram(now, paths.intern(HOST, from), bytes);
      this.#endpoint.handleBatch(now);
    }
  }

  /** As the driver does. */
  #drain(now: Millis): void {
    const endpoint = this.#endpoint;
    for (let isBusy = true; isBusy; ) {
      isBusy = false;
      for (let event = endpoint.pollEvent(); event !== undefined; event = endpoint.pollEvent()) {
        this.#handleEvent(now, event);
        isBusy = true;
      }
      for (let bytes = endpoint.pollLink(); bytes !== undefined; bytes = endpoint.pollLink()) {
        const reply = this.#registry.ask(now, bytes.subarray(FRAME_PREFIX_BYTES));
        this.#at(reply.at, (at) => endpoint.handleLink(at, 0, reply.bytes));
      }
      for (let next = endpoint.pollTransmit(now); next !== undefined; next = endpoint.pollTransmit(now)) {
        const bytes = next.bytes.slice();
        const to = endpoint.paths.port(next.path);
        if (next.token >= 0) endpoint.release(next.token);
        this.#note(now, to, bytes);
        isBusy = true;
      }
    }
  }

  #note(now: Millis, to: number, bytes: Uint8Array): void {
    const { frame, opened } = this.#opener.read({ at: now, from: this.#plan.life.port, to, bytes });
    if (opened === undefined) {
      if (frame !== undefined && isEncrypted(frame)) this.#sealedOtherwise += 1;
      return;
    }
    const key = toHex(opened.key);
    const known = this.#prefixes.get(key) ?? [];
    if (!known.includes(opened.prefix)) known.push(opened.prefix);
    this.#prefixes.set(key, known);
    this.#passed.push({ at: now, isSent: true, packet: opened.packet, key });
    const caused = this.#remote.handleSent(opened.packet);
    if (caused.length > 0) this.#at(now + TURN_MS, (at) => this.#arrive(at, caused));
  }

  #handleEvent(now: Millis, event: Event): void {
    switch (event.type) {
      case 'job': {
        const result = this.#execute(event.job);
        if (event.id !== 0) this.#endpoint.handleJob(now, event.id, result);
        return;
      }
      case 'openLink':
        this.#at(now, (at) => this.#endpoint.handleLink(at, 0, 'open'));
        return;
      case 'saveTrust':
        this.#trustText = event.text;
        this.#endpoint.handleTrustSaved(now);
        return;
      default:
        this.#application.handleEvent(now, event);
    }
  }

  #execute(job: Job): JobResult {
    switch (job.kind) {
      case 'sign':
        return this.#jobs.sign(job.identity, job.message);
      case 'verify':
        return this.#jobs.verify(job.publicKey, job.message, job.signature);
      case 'createExchange':
        return this.#jobs.createExchange(job.random);
      case 'agree':
        return this.#jobs.agree(job.exchange, job.peerKey, job.info);
      case 'forget':
        this.#jobs.forget(job.handle);
        return undefined;
    }
  }
}

/**
 * The recorded draws: a secret for X25519 has 32 bytes; all others are zero, which makes every first number 0 and the
 * first ephemeral port 49152, as the existing network has them (DP 5.3, 5.14).
 */
function fill(into: Uint8Array, secret: Uint8Array): void {
  into.fill(0);
  if (into.length === secret.length) into.set(secret);
}

function isEncrypted(frame: Uint8Array): boolean {
  return frame.length > 4 && Buffer.from(frame.subarray(0, 4)).toString('latin1') === 'PILS';
}
