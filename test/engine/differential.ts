/** The engine and its plain twin live through the same long random life and must agree on every word and every byte. */
import { expect, test } from 'vitest';
import { type Engine, RECORD_WORDS, RX, STATUS } from '../../src/engine/engine.ts';
import { ReferenceEngine } from '../reference/engine.ts';
import type { Packet } from '../reference/packet.ts';
import { type CreateEngine, OUR_PREFIX, Peer, place, Random, send } from './rig.ts';

const SESSIONS = 12;
const COMPARED = Object.entries(RX).filter(([name]) => name !== 'framePtr' && name !== 'payloadPtr');

export function differentialTests(create: CreateEngine): void {
  test('through random lives of sessions, frames and packets', () => {
    const met = new Set<number>();
    for (let seed = 1; seed <= 4; seed++) live(create, seed, met);
    const never: number[] = [STATUS.TOO_MANY_EPOCHS, STATUS.EXHAUSTED];
    const all = Object.values(STATUS).filter((status) => !never.includes(status));
    expect(
      [...met].sort((a, b) => a - b),
      'statuses that were met',
    ).toEqual(all);
  });
}

function live(create: CreateEngine, seed: number, met: Set<number>): void {
  const engine = create({ sessions: SESSIONS });
  const twin = new ReferenceEngine({ sessions: SESSIONS });
  const both = [engine, twin] as const;
  const life = new Life(new Random(seed));
  for (let step = 0; step < 500; step++) {
    if (step < 4 || life.random.next(30) === 0) life.change(both);
    const owner = life.random.next(2);
    const frames = Array.from({ length: 1 + life.random.next(4) }, () => life.nextFrame());
    const [actual, expected] = both.map((each) => open(each, owner, frames));
    expect(actual, `seed ${seed}, step ${step}`).toEqual(expected);
    for (const record of expected!) met.add(record.words.status!);
    if (life.random.next(3) === 0) {
      const packet = life.fields(1);
      const session = life.random.next(SESSIONS);
      expect(send(engine, session, packet), `seed ${seed}, step ${step}`).toEqual(send(twin, session, packet));
      expect(engine.sealed(session)).toBe(twin.sealed(session));
    }
  }
}

/** Chooses what happens next. */
class Life {
  readonly random: Random;
  readonly #peers: Peer[];
  #sent: Uint8Array[] = [];
  #highest = 10;

  constructor(random: Random) {
    this.random = random;
    this.#peers = [1, 2, 3, 4, 5, 6].map((key) => new Peer(0xfffffff0 + (key & 1), key));
  }

  change(engines: readonly Engine[]): void {
    const session = this.random.next(SESSIONS);
    const peer = this.random.pick(this.#peers);
    const owner = this.random.next(2);
    const isWipe = this.random.next(3) === 0;
    const answers = engines.map((each) => (isWipe ? each.wipe(session) : peer.install(each, owner)));
    expect(answers[0]).toBe(answers[1]);
  }

  nextFrame(): Uint8Array {
    const chance = this.random.next(100);
    if (chance < 10 && this.#sent.length > 0) return this.random.pick(this.#sent);
    const peer = this.random.pick(this.#peers);
    const frame = peer.frame(this.#prefix(), this.#counter(), this.#plaintext(peer));
    if (chance < 16) frame[this.random.next(frame.length)]! ^= 1 << this.random.next(8);
    if (chance === 16) return frame.subarray(0, this.random.next(frame.length));
    this.#sent.push(frame);
    if (this.#sent.length > 40) this.#sent.shift();
    return frame;
  }

  fields(sourceNode: number): Partial<Packet> {
    const { random } = this;
    return {
      protocol: 1 + random.next(3),
      flags: random.next(16),
      sourceNetwork: random.next(65_536),
      sourceNode,
      destinationNetwork: random.next(65_536),
      destinationNode: random.next(2 ** 32),
      sourcePort: random.next(65_536),
      destinationPort: random.next(2) * random.next(65_536),
      seq: random.next(2 ** 32),
      ack: random.next(2 ** 32),
      window: random.next(65_536),
      payload: random.bytes(random.pick([0, 0, 1, 14, 30, 64, 94, 200, 1152])),
    };
  }

  /** Few prefixes at a time, drifting, so that epochs open, age and retire. */
  #prefix(): number {
    const drift = Math.floor(this.#highest / 400);
    return this.random.next(40) === 0 ? OUR_PREFIX : drift + this.random.next(3);
  }

  #counter(): number {
    this.#highest += this.random.pick([0, 1, 1, 2, 30, 70]);
    return Math.max(0, this.#highest - this.random.pick([0, 0, 0, 1, 5, 63, 64, 200, 255, 256, 1023, 1024, 5000]));
  }

  #plaintext(peer: Peer): Uint8Array {
    const packet = peer.packet(this.fields(this.random.next(12) === 0 ? this.random.next(2) : peer.nodeId));
    switch (this.random.next(16)) {
      case 0:
        return packet.subarray(0, this.random.next(packet.length));
      case 1:
        packet[this.random.next(packet.length)]! ^= 1 << this.random.next(8);
        return packet;
      case 2: {
        const longer = new Uint8Array(packet.length + 9).fill(0xee);
        longer.set(packet);
        return longer;
      }
      default:
        return packet;
    }
  }
}

interface Answer {
  words: Record<string, number>;
  /** Distance of the payload from the frame; negative when there is none. */
  payloadOffset: number;
  slot: string;
}

function open(engine: Engine, owner: number, frames: readonly Uint8Array[]): Answer[] {
  const slots = place(engine, frames);
  engine.open(owner, frames.length);
  return slots.map((ptr, i) => {
    const words = Object.fromEntries(COMPARED.map(([name, word]) => [name, engine.receive[i * RECORD_WORDS + word]!]));
    const payloadPtr = engine.receive[i * RECORD_WORDS + RX.payloadPtr]!;
    // The tag is no part of the contract: what stands behind the packet after open is the engine's.
    const slot = Buffer.from(engine.memory.subarray(ptr, ptr + Math.max(0, frames[i]!.length - 16))).toString('hex');
    engine.releaseReceive(ptr);
    return { words, payloadOffset: payloadPtr === 0 ? -1 : payloadPtr - ptr, slot };
  });
}
