/**
 * Byte rings of a connection and the pool that accounts for their memory process-wide. A ring starts with nothing, gets
 * 4 KiB with its first byte and doubles up to its limit; the pool may refuse, and then the caller closes its window or
 * takes fewer bytes. Not a queue of chunks: a byte has one place from arrival to reading.
 */
import { type Bytes, LIMITS } from '../config.ts';

/** The first size of a ring that holds anything. */
export const FIRST_RING_BYTES: Bytes = 4096;

/** Up to here a loop is faster than the view that `TypedArray.set` needs (about 60 ns and 100 bytes of garbage). */
const LOOP_BYTES = 48;

/**
 * What bytes to send and bytes to read may each use of the pool. Neither can take all: full send buffers would leave no
 * memory for the data that empties them, on this side or on the other.
 */
const SHARE = 3 / 4;

/** Counts the bytes that all rings of a process hold. It owns no memory. */
export class BufferPool {
  readonly send: BufferShare;
  readonly receive: BufferShare;
  readonly #limit: Bytes;

  constructor(limit: Bytes = LIMITS.processBytes) {
    this.#limit = limit;
    this.send = new BufferShare(this, Math.floor(SHARE * limit));
    this.receive = new BufferShare(this, Math.floor(SHARE * limit));
  }

  get used(): Bytes {
    return this.send.used + this.receive.used;
  }

  get available(): Bytes {
    return this.#limit - this.used;
  }

  /** Whether an empty ring should give its memory back at once rather than keep it for the next byte. */
  get isTight(): boolean {
    return this.used > this.#limit / 2;
  }
}

/** The part of a pool for one direction. */
export class BufferShare {
  readonly #pool: BufferPool;
  readonly #limit: Bytes;
  #used: Bytes = 0;

  constructor(pool: BufferPool, limit: Bytes) {
    this.#pool = pool;
    this.#limit = limit;
  }

  get used(): Bytes {
    return this.#used;
  }

  get available(): Bytes {
    return Math.max(0, Math.min(this.#limit - this.#used, this.#pool.available));
  }

  get isTight(): boolean {
    return this.#pool.isTight;
  }

  /** @returns False when there are not that many left: nothing was taken. */
  take(bytes: Bytes): boolean {
    if (bytes > this.available) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: Bytes): void {
    this.#used -= bytes;
  }
}

const NOTHING = new Uint8Array(0);

/**
 * A ring of bytes. Places are counted from the oldest byte that was not dropped yet; `place + length` never exceeds the
 * capacity.
 */
export class ByteRing {
  readonly #pool: BufferShare;
  readonly #limit: Bytes;
  #memory: Uint8Array = NOTHING;
  #head = 0;

  constructor(pool: BufferShare, limit: Bytes) {
    this.#pool = pool;
    this.#limit = limit;
  }

  get capacity(): Bytes {
    return this.#memory.length;
  }

  /** What the capacity could become with what the pool has left; `reserve` succeeds up to here. */
  get reach(): Bytes {
    return Math.min(this.#limit, this.#memory.length + this.#pool.available);
  }

  /**
   * Makes room for `bytes` in all.
   *
   * @param kept - How many bytes from the oldest on must survive the move.
   * @returns False when the limit or the pool forbids it: nothing changed.
   */
  reserve(bytes: Bytes, kept: Bytes): boolean {
    const before = this.#memory.length;
    if (bytes <= before) return true;
    if (bytes > this.reach) return false;
    let capacity = Math.max(before, FIRST_RING_BYTES);
    while (capacity < bytes) capacity *= 2;
    // A pool that is nearly used up gives its rest in one step: growing by what is needed would copy again each time.
    capacity = Math.min(capacity, this.reach);
    if (!this.#pool.take(capacity - before)) return false;
    const memory = new Uint8Array(capacity);
    if (kept > 0) this.copyOut(0, memory, 0, kept);
    this.#memory = memory;
    this.#head = 0;
    return true;
  }

  /** Writes `bytes[from, to)` to `place`; the room was reserved. */
  copyIn(place: number, bytes: Uint8Array, from: number, to: number): void {
    const memory = this.#memory;
    let at = this.#head + place;
    if (at >= memory.length) at -= memory.length;
    const length = to - from;
    if (length <= LOOP_BYTES) {
      for (let i = from; i < to; i++) {
        memory[at++] = bytes[i]!;
        if (at === memory.length) at = 0;
      }
      return;
    }
    const first = Math.min(length, memory.length - at);
    memory.set(from === 0 && first === bytes.length ? bytes : bytes.subarray(from, from + first), at);
    if (first < length) memory.set(bytes.subarray(from + first, to), 0);
  }

  /** Copies `length` bytes from `place` on into `into` at `offset`. */
  copyOut(place: number, into: Uint8Array, offset: number, length: number): void {
    const memory = this.#memory;
    let at = this.#head + place;
    if (at >= memory.length) at -= memory.length;
    if (length <= LOOP_BYTES) {
      for (let i = 0; i < length; i++) {
        into[offset + i] = memory[at++]!;
        if (at === memory.length) at = 0;
      }
      return;
    }
    const first = Math.min(length, memory.length - at);
    into.set(memory.subarray(at, at + first), offset);
    if (first < length) into.set(memory.subarray(0, length - first), offset + first);
  }

  byteAt(place: number): number {
    const at = this.#head + place;
    return this.#memory[at >= this.#memory.length ? at - this.#memory.length : at] ?? 0;
  }

  /** Forgets the oldest `bytes`. */
  drop(bytes: Bytes): void {
    this.#head += bytes;
    if (this.#head >= this.#memory.length) this.#head -= this.#memory.length;
  }

  /** The ring is empty: its memory goes back when others need it. */
  yield(): void {
    if (this.#pool.isTight) this.release();
  }

  /** Gives all memory back to the pool. */
  release(): void {
    this.#pool.give(this.#memory.length);
    this.#memory = NOTHING;
    this.#head = 0;
  }
}
