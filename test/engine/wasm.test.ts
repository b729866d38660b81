/** The Wasm engine passes the suite in every build that this runtime takes; and what only it has. */
import { inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { RELAXED, SIMD, SIMD_DEFLATED } from '../../src/engine/binary.ts';
import { RECORD_WORDS, RX, STATUS } from '../../src/engine/engine.ts';
import { STAGE } from '../../src/engine/exports.ts';
import { createWasmEngine, loadWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';
import { openFrame, sealFrame } from '../reference/engine.ts';
import { crc32 } from '../reference/packet.ts';
import { deliver, OUR_PREFIX, Peer, place, Random, send, statusName } from './rig.ts';
import { routeTests } from './routes.ts';
import { engineSuite } from './suite.ts';

const BUILDS = (['simd', 'relaxed'] as const).filter(
  (build) => build === 'simd' || WebAssembly.validate(Buffer.from(RELAXED, 'base64')),
);

for (const build of BUILDS) {
  const name = build === 'simd' ? 'wasm' : 'wasm-relaxed';
  const create = (limits: { sessions: number }): WasmEngine => {
    const random = new Random(limits.sessions);
    return createWasmEngine(limits, (into) => into.set(random.bytes(into.length)), { build });
  };
  engineSuite(name, create, (engine, session, frames) => (engine as WasmEngine).exports.spend(session, frames));
  describe(`${name}: memory`, () => memoryTests(create));
  describe(`${name}: stages`, () => stageTests(create));
  const createWith = (limits: { sessions: number }, secret: bigint): WasmEngine => {
    const fill = (into: Uint8Array): void => {
      // The lower half comes first (src/engine/wasm.ts).
      const words = new DataView(into.buffer);
      words.setUint32(0, Number(secret & 0xffff_ffffn));
      words.setUint32(4, Number(secret >> 32n));
    };
    return createWasmEngine(limits, fill, { build });
  };
  describe(`${name}: routes`, () => routeTests(createWith));
}

/** A payload that takes a frame over a wrap of the counter's low byte, and leaves a few blocks over: all buffers are in use. */
const LONG = new Random(4).bytes(4_980);

test('the module imports its memory and nothing else', () => {
  for (const text of [SIMD, RELAXED]) {
    const bytes = Buffer.from(text, 'base64');
    if (!WebAssembly.validate(bytes)) continue;
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
    expect(imports).toEqual([{ module: 'env', name: 'memory', kind: 'memory' }]);
  }
});

test('the engine is named after its build, and limits beyond a 32-bit memory are refused', () => {
  const random = () => {};
  expect(createWasmEngine({ sessions: 1 }, random, { build: 'simd' }).name).toBe('wasm');
  const isRelaxed = WebAssembly.validate(Buffer.from(RELAXED, 'base64'));
  expect(createWasmEngine({ sessions: 1 }, random).name).toBe(isRelaxed ? 'wasm-relaxed' : 'wasm');
  for (const sessions of [0, -1, 1.5, Number.NaN, 4_000_001]) {
    expect(() => createWasmEngine({ sessions }, random)).toThrow(RangeError);
  }
});

test('loadWasmEngine() makes the plain build, deflated on its way, without blocking', async () => {
  expect(inflateRawSync(Buffer.from(SIMD_DEFLATED, 'base64')).toString('base64')).toBe(SIMD);
  const random = new Random(1);
  const engine = await loadWasmEngine({ sessions: 4 }, (into) => into.set(random.bytes(into.length)));
  expect(engine.name).toBe('wasm');
  const peer = new Peer(7, 1);
  peer.install(engine);
  const frames = [peer.frame(5, 1), peer.frame(5, 1)];
  expect(frames.map((frame) => deliver(engine, 0, frame).status)).toEqual(['OK', 'REPLAY']);
  for (const sessions of [0, 1.5, 4_000_001]) {
    await expect(loadWasmEngine({ sessions }, () => {})).rejects.toThrow(RangeError);
  }
});

function memoryTests(create: (limits: { sessions: number }) => WasmEngine): void {
  const peer = new Peer(7, 1);

  test('wipe leaves no byte of key, session or expanded key', () => {
    const engine = create({ sessions: 8 });
    // A first life lets tables that are made on first use be made. Its key is another, so what both leave would differ.
    const earlier = new Peer(peer.nodeId, 2);
    const first = earlier.install(engine);
    deliver(engine, 0, earlier.frame(5, 1));
    engine.wipe(first);
    const before = engine.memory.slice();
    const session = peer.install(engine);
    expect(Buffer.from(engine.memory).indexOf(peer.key)).toBeGreaterThan(0);
    deliver(engine, 0, peer.frame(5, 1));
    send(engine, session, { payload: LONG });
    deliver(engine, 0, peer.frame(5, 2, peer.packet({ payload: LONG })));
    const slotsPtr = engine.exports.memoryNeeded(8);
    expect(leftovers(before, engine.memory, slotsPtr).length).toBeGreaterThan(100);
    engine.wipe(session);
    expect(Buffer.from(engine.memory).indexOf(peer.key)).toBe(-1);
    // What may differ: records (64 bytes each way) and the hand of the cache, which is no memory.
    const records = [engine.receive, engine.transmit].map(({ byteOffset }) => byteOffset);
    for (const ptr of records) engine.memory.copyWithin(ptr, ptr + 4032, ptr + 4096);
    for (const ptr of records) before.copyWithin(ptr, ptr + 4032, ptr + 4096);
    expect(leftovers(before, engine.memory, slotsPtr)).toEqual([]);
  });

  test('wipe leaves nothing in the working buffers either when other keys drove the expanded one out', () => {
    const engine = create({ sessions: 1025 });
    const others = Array.from({ length: 1024 }, (_, i) => new Peer(100 + i, i).install(engine));
    const earlier = peer.install(engine);
    send(engine, earlier, {});
    engine.wipe(earlier);
    const staticBytes = engine.receive.byteOffset;
    const before = engine.memory.slice(0, staticBytes);
    const session = peer.install(engine);
    send(engine, session, { payload: LONG });
    for (const other of others) send(engine, other, {});
    expect(leftovers(before, engine.memory, staticBytes).length).toBeGreaterThan(100);
    engine.wipe(session);
    expect(leftovers(before, engine.memory, staticBytes)).toEqual([]);
  });

  test('install wipes the key that was handed over, also when the table is full', () => {
    const engine = create({ sessions: 1 });
    const other = new Peer(8, 9);
    peer.install(engine);
    expect(other.install(engine)).toBe(-1);
    expect(Buffer.from(engine.memory).indexOf(other.key)).toBe(-1);
    const at = Buffer.from(engine.memory).indexOf(peer.key);
    expect(Buffer.from(engine.memory).indexOf(peer.key, at + 1)).toBe(-1);
  });

  test('init fills no table', () => {
    const engine = create({ sessions: 16_384 });
    const filled = engine.memory.subarray(engine.receive.byteOffset).findIndex((byte) => byte !== 0);
    expect(filled).toBe(-1);
    expect(engine.memory.length).toBeLessThan(24 * 1024 * 1024);
  });

  test('the default number of sessions can be installed and found again', () => {
    const engine = create({ sessions: 16_384 });
    const key = peer.key;
    for (let id = 0; id < 16_384; id++) {
      if (engine.install({ owner: id & 3, localId: 1, peerId: id >> 1, key, prefix: id }) !== id)
        throw new Error('index');
    }
    expect(peer.install(engine)).toBe(-1);
    const probe = peer.frame(5, 1);
    for (let id = 0; id < 16_384; id += 97) {
      new DataView(probe.buffer).setUint32(4, id >> 1);
      expect(deliver(engine, id & 3, probe).session).toBe(id);
    }
  });

  test('more sessions talk in turn than the cache has expanded keys', () => {
    const engine = create({ sessions: 1100 });
    const peers = Array.from({ length: 1100 }, (_, i) => new Peer(i + 1, i * 3 + 1));
    const keyOf = (i: number): Uint8Array => peers[i]!.key.map((byte, k) => (k < 2 ? (i >> (8 * k)) & 0xff : byte));
    peers.forEach((each, i) => {
      engine.install({ owner: 0, localId: 1, peerId: each.nodeId, key: keyOf(i), prefix: OUR_PREFIX });
    });
    for (const step of [1, 7, 1099]) {
      for (let n = 0; n < 1100; n++) {
        const i = (n * step) % 1100;
        const frame = send(engine, i, { seq: i }) as Uint8Array;
        expect(openFrame(keyOf(i), frame), `session ${i}`).toBeDefined();
      }
    }
    engine.wipe(5);
    const again = engine.install({ owner: 0, localId: 1, peerId: 6, key: keyOf(9), prefix: OUR_PREFIX });
    expect(openFrame(keyOf(9), send(engine, again, {}) as Uint8Array)).toBeDefined();
  });

  test('forged frames do not drive out the expanded key of a peer that talks', () => {
    const engine = create({ sessions: 1030 });
    const peers = Array.from({ length: 1030 }, (_, i) => new Peer(i + 1, 1));
    const keys = peers.map(({ key }, i) => key.map((byte, k) => (k < 2 ? (i >> (8 * k)) & 0xff : byte)));
    peers.forEach(({ nodeId }, i) => {
      engine.install({ owner: 0, localId: 1, peerId: nodeId, key: keys[i]!, prefix: OUR_PREFIX });
    });
    // The cell of the cache lies in front of the key (assembly/session.ts).
    const isExpanded = (i: number): boolean => {
      const at = Buffer.from(engine.memory.buffer).lastIndexOf(keys[i]!);
      return new DataView(engine.memory.buffer).getUint32(at - 4, true) !== 0;
    };
    expect(openFrame(keys[0]!, send(engine, 0, {}) as Uint8Array)).toBeDefined();
    for (let i = 1; i < 1030; i++) expect(deliver(engine, 0, peers[i]!.frame(5, 1)).status).toBe('AEAD_FAILED');
    expect([0, 1, 2, 1029].map(isExpanded)).toEqual([true, false, false, true]);
  });

  test('a trap reaches the caller', () => {
    const engine = create({ sessions: 4 });
    engine.receive[RX.framePtr] = engine.memory.length - 4;
    engine.receive[RX.frameLen] = 100;
    expect(() => engine.open(0, 1)).not.toThrow();
    engine.receive[RX.framePtr] = engine.memory.length;
    expect(() => engine.open(0, 1)).toThrow(WebAssembly.RuntimeError);
  });

  test('crc32() agrees with the plain one at every length to 400', () => {
    const engine = create({ sessions: 4 });
    const bytes = new Random(9).bytes(420);
    const ptr = engine.claimReceive(bytes.length);
    engine.memory.set(bytes, ptr);
    for (let length = 0; length <= 400; length++) {
      const shift = length % 16;
      const expected = crc32(bytes.subarray(shift, shift + length));
      expect(engine.exports.crc32(ptr + shift, length) >>> 0).toBe(expected);
    }
  });
}

function stageTests(create: (limits: { sessions: number }) => WasmEngine): void {
  const owner = 0;
  const peers = [1, 2, 3].map((key) => new Peer(7, key));

  /** Four frames: of the oldest session, forged, not ours, of the newest. */
  function load(engine: WasmEngine): void {
    for (const peer of peers) peer.install(engine);
    const forged = peers[0]!.frame(9, 1);
    forged[25]! ^= 1;
    place(engine, [peers[0]!.frame(8, 1), forged, new Uint8Array(40), peers[2]!.frame(7, 1)]);
  }

  function words(engine: WasmEngine, word: number): number[] {
    return [0, 1, 2, 3].map((i) => engine.receive[i * RECORD_WORDS + word]!);
  }

  test('parse, aead, retry and finish give what open gives', () => {
    const fused = create({ sessions: 4 });
    load(fused);
    fused.open(owner, 4);
    const engine = create({ sessions: 4 });
    load(engine);
    engine.exports.parse(owner, 4);
    let rounds = 0;
    do engine.exports.aead(4);
    while (++rounds < 20 && engine.exports.retry(owner, 4) > 0);
    engine.exports.finish(4);
    expect(rounds).toBe(3);
    expect(engine.receive).toEqual(fused.receive);
    expect(words(engine, RX.status).map(statusName)).toEqual(['OK', 'AEAD_FAILED', 'NOT_PILS', 'OK']);
    expect(words(engine, RX.session)).toEqual([0, 2, 0xffffffff, 2]);
  });

  test('a prefix that two sessions hold is tried with both', () => {
    const engine = create({ sessions: 4 });
    const [older, newer] = [peers[0]!, peers[1]!];
    for (const peer of [older, newer]) peer.install(engine);
    // Only the stages let both open the prefix: fused, the second frame is asked of the first one's session alone.
    place(engine, [older.frame(9, 1), newer.frame(9, 1)]);
    engine.exports.parse(owner, 2);
    do engine.exports.aead(2);
    while (engine.exports.retry(owner, 2) > 0);
    engine.exports.finish(2);
    expect(deliver(engine, owner, older.frame(9, 2))).toMatchObject({ status: 'OK', session: 0, note: 2 });
    expect(deliver(engine, owner, newer.frame(9, 2))).toMatchObject({ status: 'OK', session: 1, note: 2 });
    expect(deliver(engine, owner, peers[2]!.frame(9, 2))).toMatchObject({ status: 'AEAD_FAILED', session: 1 });
  });

  test('a prefix that is retired while its frame is under way is refused', () => {
    const engine = create({ sessions: 4 });
    peers[0]!.install(engine);
    for (let prefix = 1; prefix <= 5; prefix++) deliver(engine, owner, peers[0]!.frame(prefix, 1));
    const [, late] = place(engine, [peers[0]!.frame(6, 1), peers[0]!.frame(1, 2)]);
    engine.exports.parse(owner, 2);
    engine.exports.aead(2);
    engine.exports.finish(2);
    expect(words(engine, RX.status).slice(0, 2).map(statusName)).toEqual(['OK', 'RETIRED']);
    expect(engine.memory.slice(late! + 20, late! + 59).every((byte) => byte === 0)).toBe(true);
  });

  test('a session wiped between the stages opens nothing', () => {
    const engine = create({ sessions: 4 });
    peers[0]!.install(engine);
    const [first] = place(engine, [peers[0]!.frame(9, 1), peers[0]!.frame(9, 2)]);
    engine.exports.parse(owner, 2);
    engine.exports.aead(1);
    engine.wipe(0);
    engine.exports.aead(2);
    expect(engine.exports.retry(owner, 2)).toBe(0);
    engine.exports.finish(2);
    expect(words(engine, RX.status).slice(0, 2).map(statusName)).toEqual(['NO_SESSION', 'AEAD_FAILED']);
    expect(engine.memory.slice(first! + 20, first! + 59).every((byte) => byte === 0)).toBe(true);
  });

  test('a session that gets the index of a wiped one between the stages opens none of its frames', () => {
    const engine = create({ sessions: 4 });
    const [victim, other] = [new Peer(7, 1), new Peer(8, 2)];
    expect(victim.install(engine)).toBe(0);
    // With its own key the other peer seals a packet of the victim; its aad is what opens its frames, the sender is not.
    const forged = sealFrame(other.key, { sender: 8, prefix: 9, counter: 1n }, victim.packet());
    new DataView(forged.buffer).setUint32(4, 7);
    place(engine, [forged]);
    engine.exports.parse(owner, 1);
    engine.wipe(0);
    expect(other.install(engine)).toBe(0);
    engine.exports.aead(1);
    expect(engine.exports.retry(owner, 1)).toBe(0);
    engine.exports.finish(1);
    expect(statusName(engine.receive[RX.status]!)).toBe('AEAD_FAILED');
  });

  test('a frame of the key before is not new to the session that got the index between the stages', () => {
    const engine = create({ sessions: 4 });
    peers[0]!.install(engine);
    place(engine, [peers[0]!.frame(9, 1)]);
    engine.exports.parse(owner, 1);
    engine.exports.aead(1);
    engine.wipe(0);
    expect(peers[1]!.install(engine)).toBe(0);
    engine.exports.finish(1);
    expect(statusName(engine.receive[RX.status]!)).toBe('NO_SESSION');
  });

  test('another AEAD can stand between parse and finish', () => {
    const engine = create({ sessions: 4 });
    load(engine);
    engine.exports.parse(owner, 4);
    do {
      for (let i = 0; i < 4; i++) {
        const record = engine.receive.subarray(i * RECORD_WORDS, (i + 1) * RECORD_WORDS);
        if (record[RX.status] !== STAGE.parsed) continue;
        const ptr = record[RX.framePtr]!;
        const plaintext = openFrame(
          peers[record[RX.session]!]!.key,
          engine.memory.slice(ptr, ptr + record[RX.frameLen]!),
        );
        if (plaintext !== undefined) {
          expect(plaintext.length).toBe(record[RX.payloadLen]);
          engine.memory.set(plaintext, record[RX.payloadPtr]!);
        }
        record[RX.status] = plaintext === undefined ? STAGE.refused : STAGE.opened;
      }
    } while (engine.exports.retry(owner, 4) > 0);
    engine.exports.finish(4);
    expect(words(engine, RX.status)).toEqual([STATUS.OK, STATUS.AEAD_FAILED, STATUS.NOT_PILS, STATUS.OK]);
  });

  test('gcmExpand, gcmAad, gcmSeal and gcmOpen work on memory that the caller brings', () => {
    const engine = create({ sessions: 4 });
    const { exports, memory } = engine;
    const base = (engine.claimReceive(65_000) + 63) & ~63;
    const key = base + exports.contextBytes();
    const [nonce, aad, start, data] = [key + 32, key + 48, key + 64, key + 80];
    const frame = peers[0]!.frame(9, 1);
    memory.set(peers[0]!.key, key);
    memory.set(frame.subarray(8, 20), nonce);
    memory.set(frame.subarray(4, 8), aad);
    memory.set(frame.subarray(20), data);
    exports.gcmExpand(key, base);
    exports.gcmAad(base, aad, 4, start);
    expect(exports.gcmOpen(base, nonce, start, 4, data, frame.length - 36)).toBe(1);
    expect(memory.slice(data, data + frame.length - 36)).toEqual(peers[0]!.packet());
    memory.fill(0, data + frame.length - 36, data + frame.length - 20);
    exports.gcmSeal(base, nonce, start, 4, data, frame.length - 36);
    expect(memory.slice(data, data + frame.length - 20)).toEqual(frame.slice(20));
    memory[data]! ^= 1;
    expect(exports.gcmOpen(base, nonce, start, 4, data, frame.length - 36)).toBe(0);
  });
}

/** Where bytes below `end` differ. */
function leftovers(before: Uint8Array, after: Uint8Array, end: number): number[] {
  const places: number[] = [];
  for (let i = 0; i < end; i++) if (before[i] !== after[i]) places.push(i);
  return places;
}
