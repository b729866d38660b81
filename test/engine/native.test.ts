/** The engine with an AEAD of the runtime for long packets: the same engine, whoever does the work; and keys that end in time. */
import { describe, expect, test } from 'vitest';
import { createAead } from '../../bindings/node/aead.ts';
import { createEngine } from '../../bindings/node/engine.ts';
import type { Aead } from '../../src/engine/aead.ts';
import { FRAME_HEADER, PAYLOAD_OFFSET, RECORD_WORDS, TX } from '../../src/engine/engine.ts';
import { createWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';
import { openFrame } from '../reference/engine.ts';
import { createDispatching, WatchedAead } from './native-rig.ts';
import { deliver, deliverAll, OUR_PREFIX, Peer, type Spend, send, statusName, toHex, writePacket } from './rig.ts';
import { engineSuite } from './suite.ts';

const HEADER = PAYLOAD_OFFSET - FRAME_HEADER;
const spend: Spend = (engine, session, frames) => (engine as WasmEngine).exports.spend(session, frames);
const peer = new Peer(7, 1);
const other = new Peer(7, 2);

for (const from of [0, 128, Number.POSITIVE_INFINITY]) {
  const asked = { seal: 0, open: 0, refused: 0 };
  const real = createAead();
  const aead: typeof real = {
    ...real,
    seal: (handle, message) => {
      asked.seal++;
      real.seal(handle, message);
    },
    open: (handle, message) => {
      const isOpen = real.open(handle, message);
      asked[isOpen ? 'open' : 'refused']++;
      return isOpen;
    },
  };
  engineSuite(`native from ${from} B`, (limits) => createDispatching(limits, aead, from), spend);
  test(`native from ${from} B: the suite above has asked the AEAD`, () => {
    const few = from === Number.POSITIVE_INFINITY ? 0 : 20;
    for (const times of Object.values(asked)) expect(Math.min(times, 20)).toBe(few);
  });
}

const unable: Aead = {
  ...createAead(),
  open: () => {
    throw new Error('not today');
  },
};
engineSuite('native that can only seal', (limits) => createDispatching(limits, unable, 0), spend);

function payload(packetBytes: number): Uint8Array {
  return new Uint8Array(packetBytes - HEADER).map((_, i) => i * 5 + 1);
}

/** A frame of the peer around a packet of so many bytes. */
function frameOf(from: Peer, counter: number, packetBytes: number): Uint8Array {
  return from.frame(5, counter, from.packet({ payload: payload(packetBytes) }));
}

describe('where it is used', () => {
  test('packets of `from` bytes and more go to it, shorter ones do not', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 500);
    const session = peer.install(engine);
    deliver(engine, 0, frameOf(peer, 1, 1000));
    for (const [i, bytes] of [34, 499, 500, 501, 4096].entries()) {
      expect(deliver(engine, 0, frameOf(peer, i + 2, bytes)).packet?.payload).toEqual(payload(bytes));
      const frame = send(engine, session, { sourceNode: 1, payload: payload(bytes) }) as Uint8Array;
      expect(openFrame(peer.key, frame)?.subarray(HEADER)).toEqual(payload(bytes));
    }
    expect(aead.opened).toEqual([500, 501, 4096]);
    expect(aead.sealed).toEqual([500, 501, 4096]);
  });

  test('frames are the same bytes, whoever made them', () => {
    const [native, wasm] = [0, Number.POSITIVE_INFINITY].map((from) =>
      createDispatching({ sessions: 4 }, createAead(), from),
    ) as [WasmEngine, WasmEngine];
    const session = peer.install(native);
    peer.install(wasm);
    for (const bytes of [34, 35, 49, 50, 98, 1200, 4096, 8226]) {
      const packet = { sourceNode: 1, protocol: 1, seq: bytes, payload: payload(bytes) };
      expect(toHex(send(native, session, packet) as Uint8Array)).toBe(toHex(send(wasm, session, packet) as Uint8Array));
    }
  });

  test('a batch without a long packet is one call, one with two of them three', () => {
    const engine = createDispatching({ sessions: 4 }, createAead(), 500);
    const calls: string[] = [];
    const counted = Object.fromEntries(
      (['open', 'openOn', 'seal', 'sealOn'] as const).map((name) => {
        const call = engine.exports[name] as (...args: number[]) => number;
        const counting = (...args: number[]): number => {
          calls.push(name);
          return call(...args);
        };
        return [name, counting];
      }),
    );
    Object.assign(engine, { exports: { ...engine.exports, ...counted } });
    peer.install(engine);
    const batch = (first: number, ...sizes: number[]): string[] => {
      calls.length = 0;
      const opened = deliverAll(
        engine,
        0,
        sizes.map((bytes, i) => frameOf(peer, first + i, bytes)),
      );
      expect(opened.map(({ status }) => status)).toEqual(sizes.map(() => 'OK'));
      return calls.slice();
    };
    expect(batch(1, 34, 100, 499)).toEqual(['open']);
    expect(batch(4, 34, 500, 100, 600)).toEqual(['open', 'openOn', 'openOn']);
  });

  test('a long batch is sealed in its order, short packets and refused ones between', () => {
    const engine = createDispatching({ sessions: 4 }, createAead(), 500);
    const session = peer.install(engine);
    const sizes = [34, 700, 100, 500, 499, 900];
    const slots = sizes.map((bytes) => engine.claimTransmit(bytes));
    sizes.forEach((bytes, i) => {
      const packet = { sourceNode: 1, seq: i, payload: payload(bytes) };
      writePacket(engine, i, { framePtr: slots[i]!, session: i === 2 ? 3 : session, packet });
    });
    engine.seal(sizes.length);
    const word = (i: number, name: number): number => engine.transmit[i * RECORD_WORDS + name]!;
    const statuses = sizes.map((_, i) => statusName(word(i, TX.status)));
    expect(statuses).toEqual(['OK', 'OK', 'EXHAUSTED', 'OK', 'OK', 'OK']);
    const counters = sizes.flatMap((bytes, i) => {
      if (i === 2) return [];
      const frame = engine.memory.slice(slots[i]!, slots[i]! + word(i, TX.frameLen));
      expect(openFrame(peer.key, frame)?.subarray(HEADER)).toEqual(payload(bytes));
      return new DataView(frame.buffer).getUint32(16);
    });
    expect(counters).toEqual([1, 2, 3, 4, 5]);
  });

  test('the name says it; a threshold that is no number of bytes is refused', () => {
    const own = createDispatching({ sessions: 1 }, createAead(), Number.POSITIVE_INFINITY).name;
    expect(own).toMatch(/^wasm(-relaxed)?$/);
    expect(createDispatching({ sessions: 1 }, createAead(), 700).name).toBe(`${own} + node:crypto ≥ 700 B`);
    for (const from of [-1, 1.5, Number.NaN, 2 ** 32, Number.NEGATIVE_INFINITY]) {
      expect(() => createDispatching({ sessions: 1 }, createAead(), from)).toThrow(RangeError);
    }
  });

  test('a runtime has its own threshold, and Deno none', () => {
    const name = (runtime?: 'node' | 'bun' | 'deno') =>
      createEngine((into) => into.fill(1), runtime ? { runtime } : {}).name;
    expect(name('node')).toMatch(/ \+ node:crypto ≥ \d+ B$/);
    expect(name('bun')).toMatch(/ \+ node:crypto ≥ \d+ B$/);
    expect(name('bun')).not.toBe(name('node'));
    expect(name('deno')).toMatch(/^wasm(-relaxed)?$/);
    expect(name()).toBe(name('node'));
  });
});

describe('forged frames', () => {
  /** Sessions of one peer that have all proven themselves, each under a prefix of its own. */
  function proven(): { engine: WasmEngine; aead: WatchedAead; peers: Peer[] } {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 8 }, aead, 0);
    const peers = [1, 2, 3].map((key) => new Peer(7, key));
    peers.forEach((each, i) => {
      each.install(engine);
      expect(deliver(engine, 0, each.frame(10 + i, 1)).status).toBe('OK');
    });
    aead.opened.length = 0;
    return { engine, aead, peers };
  }

  test('leave no plaintext in the slot, under any of the sessions that are tried', () => {
    const { engine, aead } = proven();
    const frame = frameOf(peer, 1, 2000);
    frame[frame.length - 1]! ^= 1;
    const opened = deliver(engine, 0, frame);
    expect(opened.status).toBe('AEAD_FAILED');
    expect(opened.slot).toEqual(frame.slice(FRAME_HEADER, frame.length - 16));
    expect(aead.opened).toHaveLength(3);
    expect(deliver(engine, 0, frameOf(peer, 1, 2000)).status).toBe('OK');
  });

  test('an unknown prefix finds its session behind others that refuse it', () => {
    const { engine, aead, peers } = proven();
    expect(deliver(engine, 0, frameOf(peers[0]!, 1, 2000))).toMatchObject({ status: 'OK', session: 0 });
    expect(aead.opened).toHaveLength(3);
  });

  test('are refused in Wasm after the first, until the session proves itself again', () => {
    const { engine, aead } = proven();
    const get = (counter: number, isForged: boolean): [string, number] => {
      const frame = peer.frame(10, counter);
      if (isForged) frame[30]! ^= 1;
      const { status } = deliver(engine, 0, frame);
      return [status, aead.opened.splice(0).length];
    };
    expect(get(2, false)).toEqual(['OK', 1]);
    expect(get(3, true)).toEqual(['AEAD_FAILED', 1]);
    for (let i = 0; i < 3; i++) expect(get(3, true)).toEqual(['AEAD_FAILED', 0]);
    // An old frame proves nothing: whoever forges can have recorded one.
    expect(get(2, false)).toEqual(['REPLAY', 0]);
    expect(get(3, true)).toEqual(['AEAD_FAILED', 0]);
    expect(get(4, false)).toEqual(['OK', 0]);
    expect(get(5, false)).toEqual(['OK', 1]);
  });

  test('make no handle', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 0);
    peer.install(engine);
    expect(deliver(engine, 0, frameOf(other, 1, 2000)).status).toBe('AEAD_FAILED');
    expect(aead.imported).toEqual([]);
  });
});

describe('an AEAD that throws', () => {
  test('on opening, or for want of a key: Wasm opens', () => {
    for (const broken of [{ open: true }, { importKey: true }]) {
      const aead = new WatchedAead();
      aead.broken = broken;
      const engine = createDispatching({ sessions: 4 }, aead, 0);
      peer.install(engine);
      const forged = frameOf(peer, 2, 2000);
      forged[100]! ^= 1;
      const frames = [frameOf(peer, 1, 2000), frameOf(peer, 3, 2000), forged, frameOf(peer, 1, 2000)];
      const statuses = frames.map((frame) => deliver(engine, 0, frame).status);
      expect(statuses).toEqual(['OK', 'OK', 'AEAD_FAILED', 'REPLAY']);
    }
  });

  test('on opening, for one of several sessions: those after it are tried', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 0);
    for (const each of [peer, other]) {
      each.install(engine);
      deliver(engine, 0, each.frame(each === peer ? 10 : 11, 1));
    }
    aead.broken = { open: true };
    expect(deliver(engine, 0, frameOf(peer, 1, 2000))).toMatchObject({ status: 'OK', session: 0 });
  });

  test('on sealing: Wasm seals, and no nonce is used twice', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 0);
    const session = peer.install(engine);
    const packet = { sourceNode: 1, payload: payload(2000) };
    const frames = [{ seal: true }, {}, { seal: true }, { importKey: true }].map((broken) => {
      aead.broken = broken;
      return send(engine, session, packet) as Uint8Array;
    });
    for (const frame of frames) expect(openFrame(peer.key, frame)?.subarray(HEADER)).toEqual(payload(2000));
    const nonces = frames.map((frame) => toHex(frame.subarray(8, 20)));
    const counters = nonces.map((nonce) => Number.parseInt(nonce.slice(8), 16));
    expect(counters).toEqual([2, 3, 5, 6]);
    expect(aead.nonces).toHaveLength(4);
    expect(engine.sealed(session)).toBe(6);
  });

  test('on sealing, when it has written ciphertext already: nothing of it leaves under the same nonce', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 0);
    const session = peer.install(engine);
    aead.broken = { seal: true };
    aead.beforeThrow = ({ data }) => {
      data.fill(0xcc);
    };
    const frame = send(engine, session, { payload: payload(2000) }) as Uint8Array;
    expect(aead.nonces).toEqual([`${OUR_PREFIX.toString(16).padStart(8, '0')}0000000000000001`]);
    expect(aead.nonces).not.toContain(toHex(frame.subarray(8, 20)));
  });

  test('on sealing under the last counter: the session is exhausted', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 0);
    const session = peer.install(engine);
    spend(engine, session, 2 ** 32 - 2);
    aead.broken = { seal: true };
    expect(send(engine, session, { payload: payload(2000) })).toBe('EXHAUSTED');
    expect(engine.transmit[TX.frameLen]).toBe(0);
    expect(engine.sealed(session)).toBe(2 ** 32 - 1);
  });
});

describe('keys', () => {
  test('a session with an index that was used before is opened and sealed under its own key', () => {
    for (const wipe of [(engine: WasmEngine) => engine.wipe(0), (engine: WasmEngine) => engine.exports.wipe(0)]) {
      const engine = createDispatching({ sessions: 4 }, new WatchedAead(), 0);
      expect(peer.install(engine)).toBe(0);
      expect(deliver(engine, 0, frameOf(peer, 1, 2000)).status).toBe('OK');
      expect(openFrame(peer.key, send(engine, 0, { payload: payload(2000) }) as Uint8Array)).toBeDefined();
      wipe(engine);
      expect(other.install(engine)).toBe(0);
      const frame = send(engine, 0, { payload: payload(2000) }) as Uint8Array;
      expect(openFrame(peer.key, frame)).toBeUndefined();
      expect(openFrame(other.key, frame)).toBeDefined();
      expect(deliver(engine, 0, frameOf(peer, 2, 2000)).status).toBe('AEAD_FAILED');
      expect(deliver(engine, 0, frameOf(other, 3, 2000)).status).toBe('OK');
    }
  });

  test('the same through thousands of sessions that come and go', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 16 }, aead, 0);
    const keys = new Map<number, number>();
    for (let step = 0; step < 3000; step++) {
      const keyByte = step & 0xff;
      if (keys.size === 16 || (step % 3 === 2 && keys.size > 0)) {
        const index = [...keys.keys()][(step * 7) % keys.size]!;
        engine.wipe(index);
        keys.delete(index);
      }
      keys.set(new Peer(step, keyByte).install(engine), keyByte);
      const index = [...keys.keys()][(step * 5) % keys.size]!;
      const frame = send(engine, index, {}) as Uint8Array;
      expect(openFrame(new Peer(0, keys.get(index)!).key, frame), `step ${step}`).toBeDefined();
      expect(aead.live).toBeLessThanOrEqual(keys.size);
    }
  });

  test('a wiped session takes its handle with it', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 0);
    const sessions = [peer, other].map((each) => each.install(engine));
    for (const session of sessions) send(engine, session, {});
    expect(aead.live).toBe(2);
    engine.wipe(sessions[0]!);
    expect(aead.live).toBe(1);
    engine.wipe(sessions[0]!);
    expect(send(engine, sessions[0]!, {})).toBe('EXHAUSTED');
    expect(deliver(engine, 0, frameOf(peer, 1, 2000)).status).toBe('AEAD_FAILED');
    expect(deliver(engine, 0, frameOf(other, 1, 2000)).status).toBe('OK');
    expect(aead.live).toBe(1);
  });

  test('a handle is made once, when the first long packet wants it', () => {
    const aead = new WatchedAead();
    const engine = createDispatching({ sessions: 4 }, aead, 500);
    const session = peer.install(engine);
    deliver(engine, 0, frameOf(peer, 1, 100));
    expect(aead.imported).toEqual([]);
    for (const counter of [2, 3, 4]) deliver(engine, 0, frameOf(peer, counter, 1000));
    expect(aead.opened).toEqual([1000, 1000]);
    send(engine, session, { payload: payload(1000) });
    expect(aead.imported).toEqual([peer.key]);
  });

  /** More sessions than handles are kept, each with a key of its own. */
  function crowd(aead: WatchedAead, count: number): { engine: WasmEngine; keyOf: (i: number) => Uint8Array } {
    const engine = createDispatching({ sessions: count }, aead, 0);
    const keyOf = (i: number): Uint8Array => peer.key.map((byte, k) => (k < 2 ? (i >> (8 * k)) & 0xff : byte));
    for (let i = 0; i < count; i++) {
      engine.install({ owner: 0, localId: 1, peerId: i + 1, key: keyOf(i), prefix: OUR_PREFIX });
    }
    return { engine, keyOf };
  }

  test('at most 1,024 handles are kept, however many sessions talk', () => {
    const aead = new WatchedAead();
    const { engine, keyOf } = crowd(aead, 1100);
    for (const step of [1, 7, 1099]) {
      for (let n = 0; n < 1100; n++) {
        const i = (n * step) % 1100;
        const frame = send(engine, i, { seq: i }) as Uint8Array;
        expect(openFrame(keyOf(i), frame), `session ${i}`).toBeDefined();
      }
    }
    expect(aead.live).toBe(1024);
    for (let i = 0; i < 1100; i++) engine.wipe(i);
    expect(aead.live).toBe(0);
  });

  test('a handle that is used again and again stays, whoever comes and goes', () => {
    const sender = new Peer(1, 1);
    let counter = 0;
    const uses = [
      (engine: WasmEngine): unknown => send(engine, 0, {}),
      (engine: WasmEngine): unknown => deliver(engine, 0, sender.frame(5, ++counter)),
    ];
    for (const use of uses) {
      const aead = new WatchedAead();
      const { engine, keyOf } = crowd(aead, 3000);
      sender.key.set(keyOf(0));
      for (let i = 1; i < 3000; i++) {
        if (i % 500 === 1) for (let twice = 0; twice < 2; twice++) use(engine);
        send(engine, i, {});
      }
      const importsOf = (i: number): number => aead.imported.filter((key) => toHex(key) === toHex(keyOf(i))).length;
      expect(importsOf(0)).toBe(1);
      send(engine, 1, {});
      expect(importsOf(1)).toBe(2);
    }
  });
});

test('a runtime that reads late reads the frame: it stays as it was through later batches and the end of its session', () => {
  const engine = createDispatching({ sessions: 4 }, createAead(), 0);
  const session = peer.install(engine);
  const late = engine.claimTransmit(1200);
  writePacket(engine, 0, { framePtr: late, session, packet: { sourceNode: 1, payload: payload(1200) } });
  engine.seal(1);
  const end = late + engine.transmit[TX.frameLen]!;
  const frame = engine.memory.slice(late, end);
  expect(openFrame(peer.key, frame)?.subarray(HEADER)).toEqual(payload(1200));
  for (let i = 0; i < 100; i++) send(engine, session, { payload: payload(1200) });
  deliver(engine, 0, frameOf(peer, 1, 1200));
  engine.wipe(session);
  expect(engine.memory.slice(late, end)).toEqual(frame);
});

test('wipe leaves no byte of the key', () => {
  const engine = createDispatching({ sessions: 4 }, createAead(), 0);
  const session = peer.install(engine);
  deliver(engine, 0, frameOf(peer, 1, 2000));
  send(engine, session, { payload: payload(2000) });
  expect(Buffer.from(engine.memory).indexOf(peer.key)).toBeGreaterThan(0);
  engine.wipe(session);
  expect(Buffer.from(engine.memory).indexOf(peer.key)).toBe(-1);
});

test('without an AEAD nothing is handed over', () => {
  const engine = createWasmEngine({ sessions: 1 }, (into) => into.fill(1));
  const session = peer.install(engine);
  expect(openFrame(peer.key, send(engine, session, { payload: payload(8226) }) as Uint8Array)).toBeDefined();
});
