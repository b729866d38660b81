/**
 * Frames on the control socket (CP 5.1): cutting a byte stream into them, and writing them. There is no greeting, no
 * version and no request id. What the commands mean is in messages.ts.
 */
import { readU32, writeU32 } from '../wire/integers.ts';

/** Largest value of the length field: the command and its payload. */
export const FRAME_MAX = 1_048_576;

const PREFIX_BYTES = 4;
/** A reader gives a buffer above this back as soon as it is empty. */
const KEEP_BYTES = 16_384;

/** One frame. */
export interface Frame {
  readonly command: number;
  /** A view into the reader's buffer, valid until the next call. */
  readonly payload: Uint8Array;
}

/**
 * Writes a frame:
 *
 *   0  u32  length n = 1 + payload, at most 1 048 576
 *   4  u8   command
 *   5  n-1  payload
 *
 * @throws RangeError for a payload that does not fit.
 */
export function emitFrame(command: number, payload: Uint8Array): Uint8Array {
  if (payload.length >= FRAME_MAX) throw new RangeError(`Cannot frame ${payload.length} bytes: want < ${FRAME_MAX}`);
  const bytes = new Uint8Array(PREFIX_BYTES + 1 + payload.length);
  writeU32(bytes, 0, 1 + payload.length);
  bytes[PREFIX_BYTES] = command;
  bytes.set(payload, PREFIX_BYTES + 1);
  return bytes;
}

/**
 * Cuts a stream into frames. It holds what came and was not yet taken, never what a prefix promises.
 *
 * `push` what was received, then `next` until it answers undefined.
 */
export class FrameReader {
  #buffer: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #isOversize = false;
  #emptyFrames = 0;

  /** A frame was longer than allowed. Nothing behind it can be read: close the link. */
  get isOversize(): boolean {
    return this.#isOversize;
  }

  /** Frames without a command so far. They are passed over, as the reference does (observed). */
  get emptyFrames(): number {
    return this.#emptyFrames;
  }

  /** Bytes that wait for the rest of their frame, or to be taken. */
  get heldBytes(): number {
    return this.#end - this.#start;
  }

  push(bytes: Uint8Array): void {
    if (this.#isOversize) return;
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  next(): Frame | undefined {
    while (!this.#isOversize && this.heldBytes >= PREFIX_BYTES) {
      const length = readU32(this.#buffer, this.#start);
      if (length > FRAME_MAX) {
        this.#isOversize = true;
        this.#release();
        return undefined;
      }
      if (this.heldBytes < PREFIX_BYTES + length) return undefined;
      const at = this.#start + PREFIX_BYTES;
      this.#start = at + length;
      if (length > 0) return { command: this.#buffer[at]!, payload: this.#buffer.subarray(at + 1, at + length) };
      this.#emptyFrames += 1;
    }
    if (this.heldBytes === 0) this.#release();
    return undefined;
  }

  /** Makes room behind the end: by moving to the front, or by growing to the next power of two. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const held = this.#buffer.subarray(this.#start, this.#end);
    const needed = held.length + bytes;
    if (needed <= this.#buffer.length) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    } else {
      const grown = new Uint8Array(2 ** Math.ceil(Math.log2(needed)));
      grown.set(held);
      this.#buffer = grown;
    }
    this.#start = 0;
    this.#end = held.length;
  }

  #release(): void {
    this.#start = 0;
    this.#end = 0;
    if (this.#buffer.length > KEEP_BYTES) this.#buffer = new Uint8Array(0);
  }
}
