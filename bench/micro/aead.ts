/**
 * M1 to M4: AES-256-GCM. One packet of `size` bytes with 4 bytes of aad is sealed or opened; keys are set up before.
 * `engine` rows are the same packets through `Engine.seal` and `Engine.open`, which also write or check header, CRC, counter
 * and window, while their peers do nothing but the AEAD.
 */
import { crc32 } from 'node:zlib';
import type { WasmEngine } from '../../src/engine/wasm.ts';
import { aeadPeers, SECRETS } from './aead-peers.ts';
import { type Contestant, contest, type Measurement } from './contest.ts';
import { BUILDS, fresh, makeDispatching, makeEngine, makeEngines, pattern, takeArea, WASM } from './engines.ts';
import { FrameRig } from './frames.ts';
import type { Comparison } from './rows.ts';
import { HAS_NODE, nativeFrom } from './runtime.ts';

/** Sizes of packets: headers alone; 64, 222, 1 166 and 1 400 bytes of payload; a page; the largest there can be. */
const SIZES = [34, 98, 256, 1200, 1434, 4096, 65_507];
const NATIVE = ['node:crypto', 'webcrypto'];
const LIBRARIES = ['noble', 'stablelib'];
/** What does nothing but the AEAD beside the whole engine. */
const BARE = HAS_NODE ? 'node:crypto' : 'webcrypto';
const TAG = 16;
/** Around where kernel and node:crypto may cost the same. */
const CROSSING_SIZES = [98, 192, 224, 256, 288, 1152, 1280, 1434, 1600, 2048, 65_507];
const DISPATCH = 'dispatch';
const CHECKED = 'node:crypto + zlib.crc32';

/** All of M1 to M4. */
export function aead(): Measurement[] {
  const kernels = makeEngines().map(prepared);
  return [
    ...SIZES.flatMap((size) => [sealing(kernels, size), opening(kernels, size)]),
    ...SIZES.flatMap((size) => [engineSealing(size), engineOpening(size)]),
    ...(HAS_NODE ? CROSSING_SIZES : []).flatMap((size) => [crossing('seal', size), crossing('open', size)]),
    expanding(kernels),
  ];
}

/** An engine with the key expanded and the other inputs in its memory. */
interface Kernel {
  readonly engine: WasmEngine;
  readonly context: number;
  readonly noncePtr: number;
  /** Where the hash of messages with this aad starts: made once, as by a session. */
  readonly startPtr: number;
  readonly dataPtr: number;
  /** Bytes at `dataPtr`. */
  readonly room: number;
  readonly keyPtr: number;
}

function prepared(engine: WasmEngine): Kernel {
  const { start, length } = takeArea(engine);
  const context = Math.ceil(start / 64) * 64;
  const keyPtr = context + Math.ceil(engine.exports.contextBytes() / 64) * 64;
  const noncePtr = keyPtr + 64;
  const aadPtr = noncePtr + 64;
  const startPtr = aadPtr + 64;
  const dataPtr = startPtr + 64;
  engine.memory.set(SECRETS.key, keyPtr);
  engine.memory.set(SECRETS.nonce, noncePtr);
  engine.memory.set(SECRETS.aad, aadPtr);
  engine.exports.gcmExpand(keyPtr, context);
  engine.exports.gcmAad(context, aadPtr, SECRETS.aad.length, startPtr);
  return { engine, context, noncePtr, startPtr, dataPtr, room: start + length - dataPtr, keyPtr };
}

function title(what: string, size: number): string {
  return `${size < 256 ? 'M1' : size === 256 ? 'M2' : 'M3'} ${what} ${size}`;
}

function comparisons(what: string, size: number) {
  return [
    { name: title(what, size), subjects: WASM, peers: NATIVE },
    { name: `M4 ${what} ${size}`, subjects: WASM, peers: LIBRARIES },
  ];
}

function sealing(kernels: readonly Kernel[], size: number): Measurement {
  return contest(comparisons('seal', size), async () => [
    ...kernels.map((kernel) => sealer(kernel, size)),
    ...(await aeadPeers(size)).map(({ seal, ...peer }) => ({ ...peer, run: seal })),
  ]);
}

function opening(kernels: readonly Kernel[], size: number): Measurement {
  return contest(comparisons('open', size), async () => [
    ...kernels.map((kernel) => opener(kernel, size)),
    ...(await aeadPeers(size)).map(({ open, ...peer }) => ({ ...peer, run: open })),
  ]);
}

function sealer({ engine, context, noncePtr, startPtr, dataPtr }: Kernel, size: number): Contestant {
  const loop = fresh((exports: WasmEngine['exports'], args: readonly number[]) => {
    const [contextAt, nonceAt, startAt, dataAt, length] = args as [number, number, number, number, number];
    return (count: number): void => {
      for (let i = 0; i < count; i++) exports.gcmSeal(contextAt, nonceAt, startAt, 4, dataAt, length);
    };
  });
  const run = loop(engine.exports, [context, noncePtr, startPtr, dataPtr, size]);
  return { name: engine.name, version: '', run };
}

/** Opening is in place and destroys the message, so there are many of them, made anew before each sample. */
function opener(kernel: Kernel, size: number): Contestant {
  const { engine, context, noncePtr, startPtr, dataPtr, room } = kernel;
  // Not a power of two for any size: those would put all messages into the same few sets of the cache.
  const stride = ((size + TAG + 63) & ~63) | 64;
  const most = Math.min(256, Math.floor(room / stride));
  engine.memory.set(pattern(size), dataPtr);
  engine.exports.gcmSeal(context, noncePtr, startPtr, 4, dataPtr, size);
  const sealed = new Uint8Array(most * stride);
  for (let i = 0; i < most; i++) sealed.set(engine.memory.subarray(dataPtr, dataPtr + size + TAG), i * stride);
  const loop = fresh((exports: WasmEngine['exports'], args: readonly number[]) => {
    const [contextAt, nonceAt, startAt, dataAt, length, step] = args as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return (count: number): void => {
      let opened = 0;
      for (let i = 0; i < count; i++)
        opened += exports.gcmOpen(contextAt, nonceAt, startAt, 4, dataAt + i * step, length);
      if (opened !== count) throw new Error(`opened ${opened} of ${count}`);
    };
  });
  return {
    name: engine.name,
    version: '',
    most,
    prepare: (count) => engine.memory.set(sealed.subarray(0, count * stride), dataPtr),
    run: loop(engine.exports, [context, noncePtr, startPtr, dataPtr, size, stride]),
  };
}

function engineRows(what: 'seal' | 'open', size: number): Comparison[] {
  return [
    { name: title(`engine ${what}`, size), subjects: [...WASM, DISPATCH], peers: [BARE] },
    { name: title(`dispatch ${what}`, size), subjects: [DISPATCH], peers: [CHECKED] },
  ];
}

/** What no engine that does its AEAD in node:crypto gets below: that, and a CRC of the packet. */
function withChecksum(size: number, version: string, run: (count: number) => unknown): Contestant {
  const packet = Buffer.from(pattern(size));
  return {
    name: CHECKED,
    version,
    run(count) {
      run(count);
      let sum = 0;
      for (let i = 0; i < count; i++) sum ^= crc32(packet);
      return sum;
    },
  };
}

function engineSealing(size: number): Measurement {
  return contest(engineRows('seal', size), async () => [
    ...BUILDS.map((build) => engineSealer(makeEngine(build), size)),
    ...(HAS_NODE ? [dispatching('seal', size, nativeFrom())] : []),
    ...(await aeadPeers(size, BARE)).map(({ seal, ...peer }) => ({ ...peer, run: seal })),
    ...(await aeadPeers(size, 'node:crypto')).map(({ seal, version }) => withChecksum(size, version, seal)),
  ]);
}

function engineOpening(size: number): Measurement {
  return contest(engineRows('open', size), async () => [
    ...BUILDS.map((build) => engineOpener(makeEngine(build), size)),
    ...(HAS_NODE ? [dispatching('open', size, nativeFrom())] : []),
    ...(await aeadPeers(size, BARE)).map(({ open, ...peer }) => ({ ...peer, run: open })),
    ...(await aeadPeers(size, 'node:crypto')).map(({ open, version }) => withChecksum(size, version, open)),
  ]);
}

function engineSealer(engine: WasmEngine, size: number): Contestant {
  return { name: engine.name, version: '', run: new FrameRig(engine, size).sealer() };
}

function engineOpener(engine: WasmEngine, size: number): Contestant {
  return { name: engine.name, version: '', ...new FrameRig(engine, size).receiver(1) };
}

/** The engine as the binding makes it, but for where it hands packets over. */
function dispatching(what: 'seal' | 'open', size: number, from: number, name: string = DISPATCH): Contestant {
  const engine = makeDispatching(from);
  const rig = new FrameRig(engine, size, engine);
  return { name, version: '', ...(what === 'seal' ? { run: rig.sealer() } : rig.receiver(1)) };
}

/** The same engine with all packets through node:crypto, against none. */
function crossing(what: 'seal' | 'open', size: number): Measurement {
  const row = { name: `M3 crossing ${what} ${size}`, subjects: ['all native'], peers: WASM };
  return contest([row], () => [
    (what === 'seal' ? engineSealer : engineOpener)(makeEngine(BUILDS.at(-1)!), size),
    dispatching(what, size, 0, 'all native'),
  ]);
}

/** What a key costs before its first packet. */
function expanding(kernels: readonly Kernel[]): Measurement {
  return contest([{ name: 'M1 expand', subjects: WASM, peers: ['stablelib'] }], async () => [
    ...kernels.map(({ engine, keyPtr, context }) => ({
      name: engine.name,
      version: '',
      run: fresh((exports: WasmEngine['exports'], keyAt: number, contextAt: number) => (count: number): void => {
        for (let i = 0; i < count; i++) exports.gcmExpand(keyAt, contextAt);
      })(engine.exports, keyPtr, context),
    })),
    ...(await aeadPeers(34, 'stablelib')).flatMap(({ expand, ...peer }) => (expand ? [{ ...peer, run: expand }] : [])),
  ]);
}
