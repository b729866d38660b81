/**
 * M10 and M11: the native addon, where this checkout has built it. Packets are sealed 64 in a call, CRC included, which the peer
 * does not make. Datagrams wait in the kernel when a sample begins and are copied into the memory of an engine, each by itself:
 * what is measured is the road from the socket to there, without whoever sent them.
 */
import { type Addon, findAddon } from '../../bindings/node/addon.ts';
import { createBindUdp } from '../../bindings/node/addon-udp.ts';
import type { BindUdp } from '../../bindings/node/addresses.ts';
import { makeBatchOf } from '../../bindings/node/engine.ts';
import { bindUdp } from '../../bindings/node/udp.ts';
import { BATCH, RECORD_WORDS } from '../../src/engine/engine.ts';
import { STAGE } from '../../src/engine/exports.ts';
import { createWasmEngine, type WasmEngine } from '../../src/engine/wasm.ts';
import { aeadPeers, SECRETS } from './aead-peers.ts';
import { type Contestant, contest, type Measurement } from './contest.ts';
import { makeEngine, pattern } from './engines.ts';
import { FrameRig } from './frames.ts';
import { HAS_NODE, note, versionOf } from './runtime.ts';

const ADDON = 'addon';
const PEER = 'node:crypto';
const SEAL_SIZES = [34, 98, 1200, 1434, 8192, 65_507];
const OPEN_SIZES = [34, 1200, 4096];
const DATAGRAM_SIZES = [64, 1200];
/** As many as fit into the receive buffer of a socket. */
const WAITING = 1_000;
const LOOPBACK = '127.0.0.1';

/** Nothing where there is no addon. */
export function addon(): Measurement[] {
  const found = HAS_NODE ? findAddon() : 'not in a page';
  if (typeof found === 'string' || found.kernels.length === 0) {
    note(ADDON, typeof found === 'string' ? found : 'no AES instructions');
    return [];
  }
  return [
    ...SEAL_SIZES.map((size) => sealing(found, size)),
    ...OPEN_SIZES.map((size) => opening(found, size)),
    ...DATAGRAM_SIZES.flatMap((size) => [receiving(found, size, false), receiving(found, size, true)]),
  ];
}

function sealing(found: Addon, size: number): Measurement {
  return contest([{ name: `M10 seal ${size}`, subjects: [ADDON], peers: [PEER] }], async () => [
    sealer(found, size),
    ...(await aeadPeers(size, PEER)).map(({ seal, ...peer }) => ({ ...peer, run: seal })),
  ]);
}

/** The AEAD alone, on records as the engine leaves them to it. */
function sealer(found: Addon, size: number): Contestant {
  const aead = makeBatchOf(found)(1);
  const recordBytes = RECORD_WORDS * 4;
  const stride = ((size + 36 + 63) & ~63) | 64;
  const memory = new Uint8Array(BATCH * (recordBytes + stride) + 64);
  const records = new Uint32Array(memory.buffer, 64, BATCH * RECORD_WORDS);
  memory.set(SECRETS.key);
  for (let i = 0; i < BATCH; i++) {
    const frame = 64 + BATCH * recordBytes + i * stride;
    memory.set([...SECRETS.aad, ...SECRETS.nonce], frame + 4);
    memory.set(pattern(size), frame + 20);
    records[i * RECORD_WORDS] = frame;
    records[i * RECORD_WORDS + 7] = size - 34;
  }
  const run = (count: number): void => {
    for (let done = 0; done < count; done += BATCH) {
      for (let at = 0; at < records.length; at += RECORD_WORDS) {
        records[at + 1] = 0;
        records[at + 2] = STAGE.written;
      }
      if (aead.seal(memory, 64, BATCH) !== 0) throw new Error('not all were sealed');
    }
  };
  return { name: ADDON, version: '', step: BATCH, most: 16_384, run };
}

/** The whole engine: frames are copied in, sessions found, windows and packets checked. */
function opening(found: Addon, size: number): Measurement {
  return contest([{ name: `M10 engine open ${size}`, subjects: [ADDON, 'wasm'], peers: [PEER] }], async () => [
    { name: ADDON, version: '', ...receiver(makeAddonEngine(found), size) },
    { name: 'wasm', version: '', ...receiver(makeEngine('simd'), size) },
    ...(await aeadPeers(size, PEER)).map(({ open, ...peer }) => ({ ...peer, run: open })),
  ]);
}

function receiver(engine: WasmEngine, size: number): Pick<Contestant, 'run' | 'prepare' | 'most' | 'step'> {
  return new FrameRig(engine, size, engine).receiver(BATCH);
}

function makeAddonEngine(found: Addon): WasmEngine {
  const random = (into: Uint8Array): void => {
    crypto.getRandomValues(into as Uint8Array<ArrayBuffer>);
  };
  return createWasmEngine({ sessions: 64 }, random, { makeBatch: makeBatchOf(found) });
}

/** @param isRun - Whether they were sent in runs, as sockets of the addon do. */
function receiving(found: Addon, size: number, isRun: boolean): Measurement {
  return contest(
    [{ name: `M11 receive ${isRun ? 'run ' : ''}${size}`, subjects: [ADDON], peers: ['dgram'] }],
    async () => {
      const thread = process.versions.bun !== undefined || process.versions.deno !== undefined;
      const engine = makeEngine('simd');
      const send = sender(found, size, isRun);
      return [
        await hearer(ADDON, createBindUdp(found, thread), { engine, send }),
        await hearer('dgram', (options) => bindUdp(options, { unref: true }), { engine, send }),
      ];
    },
  );
}

type Send = (port: number, count: number) => void;

/** One by one, or in runs that a receiver may get in one piece. */
function sender(found: Addon, size: number, isRun: boolean): Send {
  const { Poller } = found;
  const nothing = (): void => {};
  const poller = new Poller({
    thread: false,
    ring: new Uint8Array(0),
    messages: new Uint32Array(0),
    received: nothing,
    writable: nothing,
  });
  const address = Poller.parse(LOOPBACK, false)!;
  const datagrams = new Uint32Array(WAITING * Poller.sendWords);
  const buffers = { lent: pattern(size), own: new Uint8Array(0), datagrams };
  return (port, count) => {
    const id = poller.bind(LOOPBACK, 0, false, isRun);
    for (let i = 0; i < count; i++) datagrams.set([0, size, port, ...address, 0], i * Poller.sendWords);
    if (poller.send(id, buffers, 0, count) !== count) throw new Error('the kernel has no room');
    poller.close(id);
  };
}

async function hearer(
  name: string,
  bind: BindUdp,
  { engine, send }: { engine: WasmEngine; send: Send },
): Promise<Contestant> {
  let left = 0;
  let done = (): void => {};
  const slot = engine.claimReceive(2_000);
  const handler = {
    datagram: (bytes: Uint8Array): void => {
      engine.memory.set(bytes, slot);
      left -= 1;
      if (left === 0) done();
    },
    released: (): void => {},
    unreachable: (): void => {},
  };
  const socket = await bind({ host: LOOPBACK, port: 0, handler }, { unref: true });
  return {
    name,
    version: name === 'dgram' ? versionOf('uv') : '',
    isAsync: true,
    // Always as many: what waking up costs is shared by all of them, as it is where much comes.
    step: WAITING,
    most: WAITING,
    prepare: (count) => {
      left = count;
      send(socket.local.port, count);
    },
    run: () =>
      new Promise<void>((resolve) => {
        // The loop alone does not stay for sockets that are not kept.
        const keep = setInterval(() => {}, 1000);
        done = () => {
          clearInterval(keep);
          resolve();
        };
      }),
  };
}
