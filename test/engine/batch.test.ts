/** The engine with an AEAD that takes whole batches: the same engine, whoever does the work, also when it fails. */
import { describe, expect, test } from 'vitest';
import { createEngine, makeBatchOf } from '../../bindings/node/engine.ts';
import type { BatchAead } from '../../src/engine/aead.ts';
import { RECORD_WORDS, TX } from '../../src/engine/engine.ts';
import { createWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';
import { addon, isSkipped, KERNELS } from '../bindings/node/addon/rig.ts';
import { openFrame } from '../reference/engine.ts';
import { deliver, deliverAll, OUR_PREFIX, Peer, Random, type Spend, send, writePacket } from './rig.ts';
import { engineSuite } from './suite.ts';

const spend: Spend = (engine, session, frames) => (engine as WasmEngine).exports.spend(session, frames);
const peer = new Peer(7, 1);

function create(limits: { sessions: number }, makeBatch: (sessions: number) => BatchAead): WasmEngine {
  const random = new Random(limits.sessions);
  return createWasmEngine(limits, (into) => into.set(random.bytes(into.length)), { makeBatch });
}

if (!isSkipped) {
  for (const kernel of KERNELS) {
    engineSuite(`addon ${kernel}`, (limits) => create(limits, makeBatchOf(addon, kernel)), spend);
  }
  const sealing = (sessions: number): BatchAead => ({
    ...makeBatchOf(addon)(sessions),
    open: () => {
      throw new Error('not today');
    },
  });
  engineSuite('addon that can only seal', (limits) => create(limits, sealing), spend);
}

describe.skipIf(isSkipped)('with the addon', () => {
  /** The addon, as often as `works` says, and a list of what it was asked for. */
  class Moody {
    works: (call: number) => boolean = () => true;
    readonly sealed: number[] = [];
    readonly opened: number[] = [];
    readonly forgotten: number[] = [];

    readonly make = (sessions: number): BatchAead => {
      const real = makeBatchOf(addon)(sessions);
      return {
        name: 'moody',
        seal: (memory, records, count) => {
          this.sealed.push(count);
          if (!this.works(this.sealed.length)) throw new Error('no seal');
          return real.seal(memory, records, count);
        },
        open: (memory, records, count) => {
          this.opened.push(count);
          if (!this.works(this.opened.length)) throw new Error('no open');
          real.open(memory, records, count);
        },
        forget: (session) => {
          this.forgotten.push(session);
          real.forget(session);
        },
      };
    };
  }

  test('a batch is one call each way, once the epoch is known', () => {
    const moody = new Moody();
    const engine = create({ sessions: 4 }, moody.make);
    const session = peer.install(engine);
    deliver(engine, 0, peer.frame(5, 1));
    const frames = Array.from({ length: 60 }, (_, i) => peer.frame(5, i + 2));
    expect(deliverAll(engine, 0, frames).every(({ status }) => status === 'OK')).toBe(true);
    expect(moody.opened).toEqual([1, 60]);
    for (let i = 0; i < 64; i++) {
      writePacket(engine, i, {
        framePtr: engine.claimTransmit(100),
        session,
        packet: { payload: new Uint8Array(100) },
      });
    }
    engine.seal(64);
    expect(moody.sealed).toEqual([64]);
  });

  test('no counter is used twice and none goes back, whenever it fails', () => {
    const moody = new Moody();
    const engine = create({ sessions: 4 }, moody.make);
    const session = peer.install(engine);
    moody.works = (call) => call % 3 !== 0;
    const counters: number[] = [];
    for (let i = 0; i < 30; i++) {
      const payload = new Random(i).bytes(i * 50);
      const frame = send(engine, session, { sourceNode: 1, payload }) as Uint8Array;
      const view = new DataView(frame.buffer, frame.byteOffset);
      expect(view.getUint32(8)).toBe(OUR_PREFIX);
      counters.push(view.getUint32(16));
      expect(openFrame(peer.key, frame)?.subarray(34)).toEqual(payload);
    }
    expect(new Set(counters).size).toBe(30);
    expect(counters).toEqual(counters.toSorted((a, b) => a - b));
    // Where it failed, the counter that it may have used is passed over.
    expect(engine.sealed(session)).toBe(40);
  });

  test('what it left of a batch is sealed like the rest', () => {
    const real = makeBatchOf(addon);
    const engine = create({ sessions: 4 }, (sessions) => {
      const aead = real(sessions);
      return {
        ...aead,
        seal: (memory, records, count) => aead.seal(memory, records, count >> 1) + (count - (count >> 1)),
      };
    });
    const session = peer.install(engine);
    const payloads = Array.from({ length: 10 }, (_, i) => new Random(i).bytes(30 * i));
    const slots = payloads.map((payload, i) => {
      const framePtr = engine.claimTransmit(payload.length);
      writePacket(engine, i, { framePtr, session, packet: { payload, sourceNode: 1 } });
      return framePtr;
    });
    engine.seal(10);
    for (const [i, ptr] of slots.entries()) {
      expect(engine.transmit[i * RECORD_WORDS + TX.status]).toBe(0);
      const frame = engine.memory.slice(ptr, ptr + engine.transmit[i * RECORD_WORDS + TX.frameLen]!);
      expect(openFrame(peer.key, frame)?.subarray(34)).toEqual(payloads[i]);
    }
  });

  test('it hears when a session comes or goes', () => {
    const moody = new Moody();
    const engine = create({ sessions: 4 }, moody.make);
    const session = peer.install(engine);
    engine.wipe(session);
    expect(moody.forgotten).toEqual([session, session]);
  });

  test('the engine of a process says so, and without it why', () => {
    const name = (found: typeof addon | string) =>
      createEngine((into) => into.fill(1), { runtime: 'node', addon: found }).name;
    expect(name(addon)).toMatch(new RegExp(`^wasm(-relaxed)? \\+ addon ${KERNELS[0]}$`));
    expect(name({ ...addon, kernels: [] })).toMatch(/ \+ node:crypto ≥ 1500 B \(addon: no AES instructions\)$/);
    expect(name('not built')).toMatch(/ \+ node:crypto ≥ 1500 B \(addon: not built\)$/);
  });
});
