/**
 * The stages of the engine that an AEAD of the runtime does, for packets that Wasm hands over because of their length
 * (assembly/handover.ts). Sessions, counters, windows and checks stay where they are: this changes bytes of a packet in
 * place and says in the record what came of it. What the AEAD throws at stays with Wasm.
 *
 * Frames are opened here only for sessions whose last long frame verified; the others prove themselves in Wasm first. So a
 * forged frame makes no handle, and a flood of them costs what it costs there: to refuse one takes node:crypto 10 µs,
 * which throws, and Wasm 1.4 µs, which decrypts nothing (1,434 B, Node 20).
 */
import type { Aead, AeadMessage, NativeAead } from './aead.ts';
import { FRAME_HEADER, PAYLOAD_OFFSET, RECORD_WORDS, RX, STATUS, TX } from './engine.ts';
import { STAGE, type WasmExports } from './exports.ts';
import { type NativeKey, NativeKeys } from './native-keys.ts';

const KEY_BYTES = 32;
const PACKET_HEADER = PAYLOAD_OFFSET - FRAME_HEADER;

/** The memory of an engine and its records. */
export interface NativeMemory {
  readonly exports: WasmExports;
  readonly memory: Uint8Array;
  readonly receive: Uint32Array;
  readonly transmit: Uint32Array;
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Serves one engine. */
export class NativeStages {
  readonly #engine: NativeMemory;
  readonly #aead: Aead;
  readonly #keys: NativeKeys;
  /** One for all packets; the views but `data` stay. */
  readonly #message: Mutable<AeadMessage>;

  constructor(engine: NativeMemory, { aead, from }: NativeAead) {
    const { exports, memory } = engine;
    const ptr = exports.handover();
    this.#engine = engine;
    this.#aead = aead;
    this.#keys = new NativeKeys(aead);
    this.#message = {
      aad: memory.subarray(ptr, ptr + 4),
      nonce: memory.subarray(ptr + 4, ptr + 16),
      tag: memory.subarray(ptr + 16, ptr + 32),
      data: memory.subarray(0, 0),
    };
    exports.nativeFrom(from);
  }

  /** A session with this index is gone, or new. */
  forget(session: number): void {
    this.#keys.forget(session);
  }

  /** Goes on with a batch that `open` stopped at record `index`. */
  open(owner: number, index: number, count: number): void {
    const { exports } = this.#engine;
    for (let i = index; i < count; ) {
      const isDone = this.#openRecord(i * RECORD_WORDS);
      const next = exports.openOn(owner, i, count);
      // The same record again when there is another session to try.
      if (!isDone && next !== i) this.#prove(i * RECORD_WORDS);
      i = next;
    }
  }

  /** Goes on with a batch that `seal` stopped at record `index`. */
  seal(index: number, count: number): void {
    const { exports } = this.#engine;
    for (let i = index; i < count; i = exports.sealOn(i, count)) this.#sealRecord(i * RECORD_WORDS);
  }

  /** @returns False when it is left to Wasm. */
  #openRecord(at: number): boolean {
    const { receive, memory } = this.#engine;
    const key = this.#keys.get(receive[at + RX.session]!);
    if (key === undefined || !key.isProven) return false;
    const ptr = receive[at + RX.payloadPtr]!;
    this.#message.data = memory.subarray(ptr, ptr + receive[at + RX.payloadLen]!);
    let isOpen: boolean;
    try {
      isOpen = this.#aead.open(key.handle, this.#message);
    } catch {
      // The status is as it was, and so is the ciphertext.
      return false;
    }
    receive[at + RX.status] = isOpen ? STAGE.opened : STAGE.refused;
    key.isProven = isOpen;
    key.isUsed ||= isOpen;
    return true;
  }

  /** A frame that Wasm opened speaks for the next ones of its session. */
  #prove(at: number): void {
    const { receive } = this.#engine;
    if (receive[at + RX.status] !== STATUS.OK) return;
    try {
      this.#keyOf(receive[at + RX.session]!).isProven = true;
    } catch {
      // No handle, no help.
    }
  }

  #sealRecord(at: number): void {
    const { transmit, memory } = this.#engine;
    const ptr = transmit[at + TX.framePtr]! + FRAME_HEADER;
    this.#message.data = memory.subarray(ptr, ptr + PACKET_HEADER + transmit[at + TX.payloadLen]!);
    try {
      this.#aead.seal(this.#keyOf(transmit[at + TX.session]!).handle, this.#message);
      transmit[at + TX.status] = STAGE.encrypted;
    } catch {
      // The status is as it was: Wasm seals, under the next counter.
    }
  }

  #keyOf(session: number): NativeKey {
    const key = this.#keys.get(session);
    if (key !== undefined) {
      key.isUsed = true;
      return key;
    }
    const { exports, memory } = this.#engine;
    const ptr = exports.keyOf(session);
    return this.#keys.add(session, memory.subarray(ptr, ptr + KEY_BYTES));
  }
}
