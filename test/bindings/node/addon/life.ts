/**
 * Drives everything of the addon in a process of its own, which a test starts and looks at: `node life.mjs WHAT libuv|thread`.
 * Says what it found as one line of JSON.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { type Addon, findAddon } from '../../../../bindings/node/addon.ts';
import { createBindUdp } from '../../../../bindings/node/addon-udp.ts';
import { makeBatchOf } from '../../../../bindings/node/engine.ts';
import type { UdpSocket } from '../../../../src/carrier/host.ts';
import { createWasmEngine } from '../../../../src/engine/wasm.ts';
import { deliver, Peer, send } from '../../../engine/rig.ts';

const LOOPBACK = '127.0.0.1';
const [what, wait] = isMainThread ? process.argv.slice(2) : (workerData as string[]);
const addon = findAddon() as Addon;
const bindUdp = createBindUdp(addon, wait === 'thread');
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
let heard = 0;

function say(found: object): void {
  process.stdout.write(`${JSON.stringify(found)}\n`);
}

function bind(bindOne = bindUdp): Promise<UdpSocket> {
  const handler = {
    datagram: () => {
      heard += 1;
    },
    released: () => {},
    unreachable: () => {},
  };
  return bindOne({ host: LOOPBACK, port: 0, handler }, { unref: false });
}

/** Two sockets that never stop sending to each other. */
async function flood(): Promise<void> {
  const sockets = [await bind(), await bind()];
  const bytes = new Uint8Array(1000);
  const round = (): void => {
    for (let i = 0; i < 100; i++) for (const from of sockets) from.send(bytes, sockets[i & 1]!.local, i);
    setImmediate(round);
  };
  round();
  const before = heard;
  while (heard < before + 1000) await turn();
}

/** Many pollers, sockets and AEADs, one after the other; a collection now and then. */
async function cycles(count: number): Promise<void> {
  const key = new Uint8Array(64);
  for (let i = 0; i < count; i++) {
    const sockets = createBindUdp(addon, wait === 'thread');
    const pair = [await bind(sockets), await bind(sockets)];
    const before = heard;
    pair[0]!.send(key, pair[1]!.local, 0);
    if (i % 2 === 0) pair[0]!.flush?.();
    while (i % 3 === 0 && heard === before) await turn();
    for (const socket of pair) socket.close();
    const engine = createWasmEngine({ sessions: 4 }, (into) => into.fill(1), { makeBatch: makeBatchOf(addon) });
    const peer = new Peer(7, i);
    const session = peer.install(engine);
    send(engine, session, { payload: key });
    if (deliver(engine, 0, peer.frame(5, 1)).status !== 'OK') throw new Error('does not open');
    // Garbage of V8 that is not collected in time is no leak of ours.
    if (i % 50 === 49) globalThis.gc?.();
    await turn();
  }
  await turn();
}

function rss(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}

switch (what) {
  case 'cycles': {
    const sizes: number[] = [];
    for (let i = 0; i < 5; i++) {
      await cycles(500);
      sizes.push(rss());
    }
    // Allocators settle and fluctuate; what leaks does so in every part.
    const grown = sizes.slice(1).map((size, i) => size - sizes[i]!);
    say({ grown: Math.min(...grown), heap: process.memoryUsage().heapUsed });
    break;
  }
  case 'exit':
    await flood();
    say({ ended: true });
    process.exit(7);
    break;
  case 'worker':
    for (let i = 0; i < 10; i++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: ['flood', wait], stdout: true });
      await new Promise((resolve) => worker.once('message', resolve));
      await worker.terminate();
    }
    say({ ended: true });
    break;
  case 'flood': {
    const { parentPort } = await import('node:worker_threads');
    await flood();
    parentPort?.postMessage('floods');
    break;
  }
  case 'close': {
    // While datagrams come, and while the thread is about to tell of some.
    for (let i = 0; i < 300; i++) {
      const [from, to] = [await bind(), await bind()];
      for (let n = 0; n < 50; n++) from.send(new Uint8Array(n * 20), to.local, n);
      from.flush?.();
      if (i % 3 === 0) await turn();
      for (const socket of i % 2 === 0 ? [from, to] : [to, from]) socket.close();
    }
    await turn();
    say({ ended: true });
    break;
  }
  case 'idle': {
    const socket = await bind();
    socket.unref();
    say({ ended: true });
    break;
  }
  default:
    throw new Error(`Nothing is called ${what}`);
}
