/**
 * Frames for an engine to seal and to open. The engine seals them to itself: it is the peer under one owner and the
 * receiver under another. A frame opens once, so before each sample the receiver's session is forgotten and installed
 * again: its window is as good as new, and the same frames can be opened again.
 */
import { BATCH, FRAME_HEADER, OVERHEAD, PAYLOAD_OFFSET, RECORD_WORDS, RX, TX } from '../../src/engine/engine.ts';
import type { WasmEngine } from '../../src/engine/wasm.ts';
import type { Contestant } from './contest.ts';
import { fresh, pattern } from './engines.ts';
import { received } from './runtime.ts';

/** Bytes of the packet header, which the sizes of packets count and those of payloads do not. */
export const PACKET_HEADER: number = PAYLOAD_OFFSET - FRAME_HEADER;
/** Who sends the frames, and under which prefix and key. */
export const SENDER: { readonly nodeId: number; readonly prefix: number; readonly key: Uint8Array } = {
  nodeId: 0x0001_2345,
  prefix: 0x2bad_cafe,
  key: pattern(32, 3),
};

const RECEIVER = { owner: 1, nodeId: 0x0002_3456, prefix: 0x1234_5678 };
const FRAMES = 4 * BATCH;
/** The largest ones take a megabyte of memory each time. */
const LARGE_FRAMES = 16;

/** An engine with a session and frames for it. */
export class FrameRig {
  readonly engine: WasmEngine;
  /** What is called: straight to the exports, since the methods of engines are one code for all of them. */
  readonly #calls: Calls;
  /** Frames 0 to n, the counter of frame i is i + 1. The first opens the epoch and expands the key, untimed. */
  readonly frames: readonly Uint8Array[];
  readonly #size: number;
  readonly #sending: number;
  #receiving: number;

  /**
   * @param size - Of the packet, 34 to 65 507 bytes.
   * @param calls - The engine itself where more than Wasm is at work.
   */
  constructor(engine: WasmEngine, size: number, calls: Calls = engine.exports) {
    this.engine = engine;
    this.#calls = calls;
    this.#size = size;
    const { nodeId, prefix, key } = SENDER;
    this.#sending = engine.install({ owner: 0, localId: nodeId, peerId: RECEIVER.nodeId, key, prefix });
    this.#receiving = this.#install();
    this.frames = this.#sealAll(size > 8192 ? LARGE_FRAMES : FRAMES);
  }

  /** Seals one frame after the other, each where the one before was. */
  sealer(): (count: number) => void {
    const fields = this.#fields();
    fields[TX.framePtr] = this.#claim();
    return fresh(sealLoop)(this.#calls, this.engine.transmit, { fields, status: TX.status });
  }

  /** Receives frames as a binding hands them over: into a slot, through `open`, and every word of the record read. */
  receiver(batch: number): Pick<Contestant, 'run' | 'prepare' | 'most' | 'step'> {
    const slots = Array.from({ length: batch }, () => this.#claim());
    const { frames, engine } = this;
    const words = { ...RX, record: RECORD_WORDS };
    const open = fresh(openLoop)(this.#calls, engine, { frames, slots, owner: RECEIVER.owner, words });
    const usable = frames.length - 1;
    return {
      step: batch,
      most: usable - (usable % batch),
      prepare: () => {
        engine.wipe(this.#receiving);
        this.#receiving = this.#install();
        open(0, 1);
      },
      run: (count) => {
        let sum = 0;
        for (let first = 1; first <= count; first += batch) sum += open(first, batch);
        return sum;
      },
    };
  }

  #install(): number {
    const { owner, nodeId, prefix } = RECEIVER;
    return this.engine.install({ owner, localId: nodeId, peerId: SENDER.nodeId, key: SENDER.key, prefix });
  }

  /** A slot that this rig keeps. The large receive slots take anything, and sealing does not mind where it seals. */
  #claim(): number {
    const { engine } = this;
    const length = this.#size - PACKET_HEADER + OVERHEAD;
    const ptr = engine.claimReceive(length);
    if (ptr === 0) throw new Error(`no slot for ${length} bytes`);
    return ptr;
  }

  #fields(): Uint32Array {
    const fields = new Uint32Array(RECORD_WORDS);
    fields[TX.session] = this.#sending;
    fields[TX.payloadLen] = this.#size - PACKET_HEADER;
    fields[TX.kind] = 0x201;
    fields[TX.sourceNode] = SENDER.nodeId;
    fields[TX.destinationNode] = RECEIVER.nodeId;
    fields[TX.ports] = 0xc000_03e8;
    fields[TX.seq] = 0x1234_5678;
    fields[TX.ack] = 0x2345_6789;
    fields[TX.window] = 512;
    return fields;
  }

  #sealAll(count: number): Uint8Array[] {
    const { engine } = this;
    const framePtr = this.#claim();
    const payload = pattern(this.#size - PACKET_HEADER);
    const sealed = Array.from({ length: count + 1 }, () => {
      engine.memory.set(payload, framePtr + PAYLOAD_OFFSET);
      engine.transmit.set(this.#fields());
      engine.transmit[TX.framePtr] = framePtr;
      engine.seal(1);
      return received(engine.memory.subarray(framePtr, framePtr + engine.transmit[TX.frameLen]!));
    });
    engine.releaseReceive(framePtr);
    return sealed;
  }
}

interface Calls {
  open(owner: number, count: number): unknown;
  seal(count: number): unknown;
}

interface Sealing {
  readonly fields: Uint32Array;
  /** Its word in a record. */
  readonly status: number;
}

function sealLoop(calls: Calls, transmit: Uint32Array, { fields, status }: Sealing) {
  return (count: number): void => {
    for (let i = 0; i < count; i++) {
      for (let word = 0; word < fields.length; word++) transmit[word] = fields[word]!;
      calls.seal(1);
      if (transmit[status] !== 0) throw new Error(`seal answered ${transmit[status]}`);
    }
  };
}

interface Opening {
  readonly frames: readonly Uint8Array[];
  readonly slots: readonly number[];
  readonly owner: number;
  readonly words: typeof RX & { readonly record: number };
}

function openLoop(calls: Calls, { memory, receive }: WasmEngine, { frames, slots, owner, words }: Opening) {
  const { record, framePtr, frameLen, status, session } = words;
  return (first: number, count: number): number => {
    for (let i = 0; i < count; i++) {
      const frame = frames[first + i]!;
      memory.set(frame, slots[i]!);
      receive[i * record + framePtr] = slots[i]!;
      receive[i * record + frameLen] = frame.length;
    }
    calls.open(owner, count);
    let sum = 0;
    for (let at = 0; at < count * record; at += record) {
      if (receive[at + status] !== 0) throw new Error(`open answered ${receive[at + status]}`);
      for (let word = session; word < record; word++) sum += receive[at + word]!;
    }
    return sum;
  };
}
