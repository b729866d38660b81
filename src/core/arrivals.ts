/**
 * Encrypted frames on their way in: copied into slots of engine memory as they come, opened together (design: the seam).
 * Who sent them and what they mean is the caller's business.
 */
import { BATCH, type Engine, RECORD_WORDS, RX } from '../engine/engine.ts';
import type { Origin } from './admission.ts';

/** Frames of one endpoint that wait for the next batch. */
export class Arrivals {
  readonly #engine: Engine;
  readonly #owner: number;
  readonly #slots = new Uint32Array(BATCH);
  readonly #lengths = new Uint32Array(BATCH);
  readonly #origins: Origin[] = [];
  #count = 0;

  constructor(engine: Engine, owner: number) {
    this.#engine = engine;
    this.#owner = owner;
  }

  /** Frames that wait. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === BATCH;
  }

  /** Copies a frame into a slot. @param frame - Borrowed. @returns False when no slot is free, or the frame fits none. */
  add(frame: Uint8Array, origin: Origin): boolean {
    if (this.isFull) return false;
    const slot = this.#engine.claimReceive(frame.length);
    if (slot === 0) return false;
    this.#engine.memory.set(frame, slot);
    this.#slots[this.#count] = slot;
    this.#lengths[this.#count] = frame.length;
    this.#origins[this.#count] = origin;
    this.#count += 1;
    return true;
  }

  /** Opens all that wait. Record `i` of `engine.receive` then belongs to `origin(i)`. @returns How many. */
  open(): number {
    const { receive } = this.#engine;
    for (let i = 0; i < this.#count; i++) {
      receive[i * RECORD_WORDS + RX.framePtr] = this.#slots[i]!;
      receive[i * RECORD_WORDS + RX.frameLen] = this.#lengths[i]!;
    }
    if (this.#count > 0) this.#engine.open(this.#owner, this.#count);
    return this.#count;
  }

  origin(i: number): Origin {
    return this.#origins[i]!;
  }

  /** The records were read: their slots are free again. */
  release(): void {
    for (let i = 0; i < this.#count; i++) this.#engine.releaseReceive(this.#slots[i]!);
    this.#count = 0;
    this.#origins.length = 0;
  }
}
