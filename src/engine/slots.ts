/**
 * Slots: fixed pieces of engine memory that frames are received into and sent from. Four pools with free lists; who
 * claims a slot owns its bytes until it is released. Strides are no powers of two, so that the headers of a batch spread
 * over the cache's sets (bench/micro).
 */
import { HEADROOM, OVERHEAD, SLOTS } from './engine.ts';

/** A pool begins with its first slot on a multiple of this. */
const ALIGNMENT = 64;

/** Bytes that all slots take, for a base that is a multiple of 64. */
export const SLOT_AREA_BYTES: number =
  poolBytes(SLOTS.rx) + poolBytes(SLOTS.rxLarge) + poolBytes(SLOTS.tx) + poolBytes(SLOTS.txLarge) + ALIGNMENT;

/** The slots of one engine. Nothing allocates after construction. */
export class Slots {
  readonly #rx: Pool;
  readonly #rxLarge: Pool;
  readonly #tx: Pool;
  readonly #txLarge: Pool;

  /** @param base - First byte of `SLOT_AREA_BYTES` bytes; a multiple of 64, not 0. */
  constructor(base: number) {
    this.#rx = new Pool(base, SLOTS.rx);
    this.#rxLarge = new Pool(this.#rx.end, SLOTS.rxLarge);
    // So that the frame, which stands behind the headroom, is aligned to 16.
    this.#tx = new Pool(this.#rxLarge.end + 16 - HEADROOM, SLOTS.tx);
    this.#txLarge = new Pool(this.#tx.end, SLOTS.txLarge);
  }

  /** @returns Pointer to a slot for `length` bytes, or 0 when none is free or fits. */
  claimReceive(length: number): number {
    if (length <= SLOTS.rx.bytes) return this.#rx.claim();
    return length <= SLOTS.rxLarge.bytes ? this.#rxLarge.claim() : 0;
  }

  /** @throws RangeError when `ptr` is not a claimed slot: two owners of one slot would mix frames. */
  releaseReceive(ptr: number): void {
    if (ptr < this.#rx.end) this.#rx.release(ptr);
    else this.#rxLarge.release(ptr);
  }

  /** @returns Frame pointer of a slot for a payload of `payloadLength` bytes, or 0 when none is free or fits. */
  claimTransmit(payloadLength: number): number {
    const ptr = this.#poolFor(payloadLength)?.claim() ?? 0;
    return ptr === 0 ? 0 : ptr + HEADROOM;
  }

  /** Whether `claimTransmit` would find a slot. */
  hasTransmit(payloadLength: number): boolean {
    return this.#poolFor(payloadLength)?.hasFree ?? false;
  }

  /** @throws RangeError when `framePtr` is not a claimed slot: a slot sent twice could carry plaintext. */
  releaseTransmit(framePtr: number): void {
    const ptr = framePtr - HEADROOM;
    if (ptr < this.#tx.end) this.#tx.release(ptr);
    else this.#txLarge.release(ptr);
  }

  #poolFor(payloadLength: number): Pool | undefined {
    const bytes = HEADROOM + OVERHEAD + payloadLength;
    return bytes <= SLOTS.tx.bytes ? this.#tx : bytes <= SLOTS.txLarge.bytes ? this.#txLarge : undefined;
  }
}

interface PoolSize {
  readonly count: number;
  readonly bytes: number;
}

function poolBytes(size: PoolSize): number {
  return size.count * size.bytes;
}

class Pool {
  /** First byte behind the last slot. */
  readonly end: number;
  readonly #base: number;
  readonly #stride: number;
  /** A stack: the slot that was used last is warm in the cache. */
  readonly #free: number[] = [];
  readonly #isClaimed: Uint8Array;

  constructor(base: number, size: PoolSize) {
    this.#base = base;
    this.#stride = size.bytes;
    this.end = base + poolBytes(size);
    this.#isClaimed = new Uint8Array(size.count);
    for (let i = size.count - 1; i >= 0; i--) this.#free.push(i);
  }

  get hasFree(): boolean {
    return this.#free.length > 0;
  }

  claim(): number {
    const index = this.#free.pop();
    if (index === undefined) return 0;
    this.#isClaimed[index] = 1;
    return this.#base + index * this.#stride;
  }

  release(ptr: number): void {
    const index = (ptr - this.#base) / this.#stride;
    if (this.#isClaimed[index] !== 1) throw new RangeError(`Cannot release slot at ${ptr}: it is not claimed`);
    this.#isClaimed[index] = 0;
    this.#free.push(index);
  }
}
