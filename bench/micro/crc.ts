/** M6: CRC-32. Every contestant has the bytes where it wants them: ours in engine memory, the others as from a socket. */
import { crc32 as zlibCrc32 } from 'node:zlib';
import type { WasmEngine } from '../../src/engine/wasm.ts';
import { type Contestant, contest, type Measurement } from './contest.ts';
import { fresh, makeEngines, pattern, WASM } from './engines.ts';
import { HAS_NODE, loadPeer, note, received, versionOf } from './runtime.ts';

const SIZES = [34, 98, 1234, 8192, 65_507];
const PEERS = ['zlib', 'crc-32', 'node-rs', 'hash-wasm'];

/** All of M6. */
export function crc(): Measurement[] {
  const engines = makeEngines();
  return SIZES.map((size) =>
    contest([{ name: `M6 ${size}`, subjects: WASM, peers: PEERS }], async () => {
      const data = received(pattern(size));
      const peers = await crcPeers(data);
      const contestants = [...engines.map((engine) => ours(engine, data)), ...peers];
      const expected = (contestants.at(-1)!.run(1) as number) >>> 0;
      for (const { name, run } of contestants) {
        if ((run(1) as number) >>> 0 !== expected) throw new Error(`${name} disagrees about a CRC of ${size} bytes`);
      }
      return contestants;
    }),
  );
}

function ours(engine: WasmEngine, data: Uint8Array): Contestant {
  const ptr = engine.claimReceive(data.length);
  engine.memory.set(data, ptr);
  engine.releaseReceive(ptr);
  const loop = fresh((exports: WasmEngine['exports'], at: number, length: number) => (count: number): number => {
    let last = 0;
    for (let i = 0; i < count; i++) last = exports.crc32(at, length);
    return last;
  });
  return { name: engine.name, version: '', run: loop(engine.exports, ptr, data.length) };
}

interface HashWasm {
  createCRC32(): Promise<{ init(): void; update(data: Uint8Array): void; digest(type: 'binary'): Uint8Array }>;
}

async function crcPeers(data: Uint8Array): Promise<Contestant[]> {
  const peers: Contestant[] = [];
  if (HAS_NODE) peers.push({ name: 'zlib', version: versionOf('zlib'), run: repeated(zlibCrc32, data) });
  else note('zlib', 'not in a page');
  const js = await loadPeer<{ buf(data: Uint8Array): number }>('crc-32');
  if (js !== undefined) peers.push({ name: 'crc-32', version: js.version, run: repeated(js.module.buf, data) });
  const native = await loadPeer<{ crc32(data: Uint8Array): number }>('@node-rs/crc32');
  if (native !== undefined) {
    peers.push({ name: 'node-rs', version: native.version, run: repeated(native.module.crc32, data) });
  }
  const wasm = await loadPeer<HashWasm>('hash-wasm');
  if (wasm !== undefined) {
    const hasher = await wasm.module.createCRC32();
    const digest = (bytes: Uint8Array): number => {
      hasher.init();
      hasher.update(bytes);
      const [a, b, c, d] = hasher.digest('binary') as unknown as [number, number, number, number];
      return (a << 24) | (b << 16) | (c << 8) | d;
    };
    peers.push({ name: 'hash-wasm', version: wasm.version, run: repeated(digest, data) });
  }
  return peers;
}

function repeated(crc32: (data: Uint8Array) => number, data: Uint8Array): (count: number) => number {
  const loop = fresh((hash: (bytes: Uint8Array) => number, bytes: Uint8Array) => (count: number): number => {
    let last = 0;
    for (let i = 0; i < count; i++) last = hash(bytes);
    return last;
  });
  return loop(crc32, data);
}
