/** The addon that PILOTWIRE_ADDON names, or that this checkout built (test/setup.mjs), for tests that are skipped where there is no compiler. */
import { type Addon, type AddonAead, findAddon } from '../../../../bindings/node/addon.ts';
import { STAGE } from '../../../../src/engine/exports.ts';

const found = findAddon();

export const isSkipped: boolean = typeof found === 'string';
/** Only to be used where tests are not skipped. */
export const addon: Addon = found as Addon;
/** Kernels of this processor. */
export const KERNELS: readonly string[] = isSkipped ? ['none'] : addon.kernels;

/** Layout of the memory that one packet is tried in: a record, the key, a frame. */
const RECORD = 0;
const KEY = 64;
const FRAME = 128;
const HEADER = 20;
const TAG = 16;

/** One frame in memory of its own, as the engine hands it over. */
export class Frame {
  readonly memory: Uint8Array;
  readonly record: Uint32Array;
  /** Bytes of packet. */
  readonly length: number;

  /** @param aad - 4 bytes. @param nonce - 12 bytes. */
  constructor(key: Uint8Array, aad: Uint8Array, nonce: Uint8Array, packet: Uint8Array) {
    this.length = packet.length;
    this.memory = new Uint8Array(FRAME + HEADER + packet.length + TAG + 64).fill(0xa5);
    this.record = new Uint32Array(this.memory.buffer, RECORD, 16).fill(0);
    this.memory.set(key, KEY);
    this.memory.set(aad, FRAME + 4);
    this.memory.set(nonce, FRAME + 8);
    this.memory.set(packet, FRAME + HEADER);
    this.record[0] = FRAME;
  }

  get packet(): Uint8Array {
    return this.memory.subarray(FRAME + HEADER, FRAME + HEADER + this.length);
  }

  get tag(): Uint8Array {
    return this.memory.subarray(FRAME + HEADER + this.length, FRAME + HEADER + this.length + TAG);
  }

  /** Everything behind the frame. */
  get rest(): Uint8Array {
    return this.memory.subarray(FRAME + HEADER + this.length + TAG);
  }

  /** @returns How many records are left. */
  seal(aead: AddonAead, session: number): number {
    this.record[1] = KEY;
    this.record[2] = STAGE.written;
    this.record[3] = session;
    this.record[7] = this.length - 34;
    return aead.seal(this.memory, RECORD, 1);
  }

  /** @returns The status of the record. */
  open(aead: AddonAead, session: number): number {
    this.record[2] = STAGE.parsed;
    this.record[3] = session;
    this.record[7] = this.length;
    this.record[8] = KEY;
    aead.open(this.memory, RECORD, 1);
    return this.record[2]!;
  }
}
