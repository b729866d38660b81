/** Sockets of the addon: what every socket keeps, by libuv and by a thread; batches; and what waits while the kernel is full. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Addon, PollerOptions, SendBuffers } from '../../../../bindings/node/addon.ts';
import { createBindUdp } from '../../../../bindings/node/addon-udp.ts';
import type { UdpSocket } from '../../../../src/carrier/host.ts';
import { closeEars, Ear, text, udpSuite } from '../udp-suite.ts';
import { addon, isSkipped } from './rig.ts';

const WAITS = [
  ['libuv', false],
  ['a thread', true],
] as const;

describe.skipIf(isSkipped).each(WAITS)('with %s', (_name, isThread) => {
  const bind = createBindUdp(addon, isThread);
  udpSuite('addon', bind);
  afterEach(closeEars);

  /** Bytes that say which datagram they are of. */
  const numbered = (number: number, length: number): Uint8Array => new Uint8Array(length).map((_, i) => number + i * 7);

  test('datagrams of every length keep their length, their order and their bytes, in runs and out of them', async () => {
    const [ear, from] = [await Ear.bind(bind, '127.0.0.1'), await Ear.bind(bind, '127.0.0.1')];
    const heard: Uint8Array[] = [];
    ear.datagram = (bytes) => heard.push(bytes.slice());
    // Runs, a shorter last, single ones, empty ones, and more than one message takes.
    const lengths = [...Array(100).fill(1000), 400, 1000, 1000, 7, 0, 0, 8, ...Array(70).fill(1200), 1300, 1, 9000];
    const memory = new Uint8Array(lengths.length * 9100);
    for (const [i, length] of lengths.entries()) {
      const slot = memory.subarray(i * 9100, i * 9100 + length);
      slot.set(numbered(i, length));
      from.socket.send(slot, ear.socket.local, i);
    }
    from.socket.flush?.();
    expect(from.released_).toHaveLength(lengths.length);
    await ear.until(() => heard.length === lengths.length);
    expect(heard.map(({ length }) => length)).toEqual(lengths);
    for (const [i, bytes] of heard.entries()) expect(Buffer.compare(bytes, numbered(i, lengths[i]!))).toBe(0);
  });

  test('each destination gets its own, in order, though they take turns', async () => {
    const from = await Ear.bind(bind);
    const ears = [await Ear.bind(bind, '127.0.0.1'), await Ear.bind(bind, '::1'), await Ear.bind(bind)];
    const places = ears.map(({ socket }) => ({
      host: socket.local.host === '::' ? '127.0.0.1' : socket.local.host,
      port: socket.local.port,
    }));
    const memory = new Uint8Array(60 * 100);
    for (let i = 0; i < 60; i++) {
      const slot = memory.subarray(i * 100, i * 100 + 50);
      slot.set(text(String(i).padStart(50)));
      from.socket.send(slot, places[(i * i) % 3]!, i);
    }
    for (const [which, ear] of ears.entries()) {
      const wanted = Array.from({ length: 60 }, (_, i) => i).filter((i) => (i * i) % 3 === which);
      await ear.until(() => ear.heard.length === wanted.length);
      expect(ear.heard.map((one) => Number(one.text))).toEqual(wanted);
    }
  });

  test('a batch ends with `turn`, and none is told without one', async () => {
    const [ear, from] = [await Ear.bind(bind, '127.0.0.1'), await Ear.bind(bind, '127.0.0.1')];
    expect(ear.socket.tellsTurns).toBe(true);
    for (let i = 0; i < 300; i++) from.socket.send(text(`${i}`), ear.socket.local, -1);
    await ear.until(() => ear.turns.at(-1) === 300);
    expect(ear.turns.length).toBeLessThan(300);
    expect(ear.turns).toEqual([...new Set(ear.turns)].sort((a, b) => a - b));
  });

  test('what was sent without `flush` leaves in the same turn', async () => {
    const ear = await Ear.bind(bind, '127.0.0.1');
    ear.socket.send(text('by itself'), ear.socket.local, 3);
    expect(ear.released_).toEqual([]);
    await Promise.resolve();
    expect(ear.released_).toEqual([3]);
    await ear.until(() => ear.heard.length === 1);
  });

  test('a lent slot may be used again as soon as it is released', async () => {
    const [ear, from] = [await Ear.bind(bind, '127.0.0.1'), await Ear.bind(bind, '127.0.0.1')];
    const memory = new Uint8Array(64);
    for (let i = 0; i < 20; i++) {
      memory.fill(65 + i);
      from.socket.send(memory, ear.socket.local, 0);
      from.socket.flush?.();
      expect(from.released_).toHaveLength(i + 1);
    }
    await ear.until(() => ear.heard.length === 20);
    expect(ear.heard.map((one) => one.text)).toEqual(
      Array.from({ length: 20 }, (_, i) => String.fromCharCode(65 + i).repeat(64)),
    );
  });

  test('a handler may close its socket, and others, in the middle of a batch', async () => {
    const [ear, other, from] = [
      await Ear.bind(bind, '127.0.0.1'),
      await Ear.bind(bind, '127.0.0.1'),
      await Ear.bind(bind, '127.0.0.1'),
    ];
    let heard = 0;
    const isClosed = new Promise<void>((resolve) => {
      ear.datagram = () => {
        heard += 1;
        if (heard < 3) return;
        for (const one of [ear, other, from]) one.socket.close();
        resolve();
      };
    });
    for (let i = 0; i < 50; i++) {
      from.socket.send(text('x'.repeat(100)), ear.socket.local, -1);
      from.socket.send(text('y'), other.socket.local, -1);
    }
    await isClosed;
    expect(heard).toBe(3);
    expect(ear.turns).toEqual([]);
    const next = await Ear.bind(bind, '127.0.0.1');
    next.socket.send(text('still works'), next.socket.local, 0);
    await next.until(() => next.heard.length === 1);
  });

  test('an error of a handler is one of the process, and the next batch comes', async () => {
    const ear = await Ear.bind(bind, '127.0.0.1');
    const errors: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => errors.push(error));
    try {
      const { datagram } = ear;
      ear.datagram = () => {
        ear.datagram = datagram;
        throw new Error('of the handler');
      };
      ear.socket.send(text('first'), ear.socket.local, -1);
      while (errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
      ear.socket.send(text('second'), ear.socket.local, -1);
      await ear.until(() => ear.heard.length === 1);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
    expect(errors.map((error) => (error as Error).message)).toEqual(['of the handler']);
  });

  test('the kernel here cuts and joins runs', async () => {
    const poller = new addon.Poller({
      thread: isThread,
      ring: new Uint8Array(addon.Poller.slotBytes),
      messages: new Uint32Array(addon.Poller.messageWords),
      received: () => {},
      writable: () => {},
    });
    const id = poller.bind('127.0.0.1', 0, false, true);
    expect(poller.describe(id)).toMatchObject({ address: '127.0.0.1', joins: true, splits: true });
    const plain = poller.bind('127.0.0.1', 0, false, false);
    expect(poller.describe(plain)).toMatchObject({ joins: false, splits: false });
    poller.close(id);
    poller.close(plain);
    poller.close(plain);
    expect(() => poller.describe(id)).toThrow(TypeError);
  });
});

test.skipIf(isSkipped)('what is no poller, datagram or address is refused, not believed', () => {
  const { Poller } = addon;
  const good: PollerOptions = {
    thread: false,
    ring: new Uint8Array(Poller.slotBytes),
    messages: new Uint32Array(Poller.messageWords),
    received: () => {},
    writable: () => {},
  };
  for (const bad of [undefined, {}, { ...good, ring: 1 }, { ...good, ring: good.messages }, { ...good, received: 1 }]) {
    expect(() => new Poller(bad as PollerOptions)).toThrow(TypeError);
  }
  const poller = new Poller(good);
  expect(() => poller.bind('no address', 0, false, true)).toThrow();
  const id = poller.bind('127.0.0.1', 0, false, true);
  const datagrams = new Uint32Array(2 * Poller.sendWords);
  const buffers: SendBuffers = { lent: new Uint8Array(100), own: new Uint8Array(0), datagrams };
  expect(() => poller.send(id, buffers, 0, 3)).toThrow(TypeError);
  expect(() => poller.send(id, buffers, 0xffff_ffff, 0xffff_ffff)).toThrow(TypeError);
  expect(() => poller.send(id, { ...buffers, datagrams: new Uint8Array(80) as never }, 0, 1)).toThrow(TypeError);
  expect(() => poller.send(id + 1000, buffers, 0, 1)).toThrow(TypeError);
  // Beyond the end of its buffer: as the kernel says it of an address that is none.
  datagrams.set([90, 20, 9, 0, 0x0100_007f]);
  expect(poller.send(id, buffers, 0, 1)).toBe(1);
  expect(datagrams[8]).not.toBe(0);
  expect(() => poller.sender(1, true)).toThrow(TypeError);
  expect(Poller.parse('fe80::1%lo', true)).toEqual([1, 0x80fe, 0, 0, 0x0100_0000]);
  for (const text of ['', '1.2.3', '::g', 'x'.repeat(1000)]) expect(Poller.parse(text, true)).toBeUndefined();
  poller.close(id);
});

describe('while the kernel has no room', () => {
  const WORDS = 10;
  /** How many datagrams the next calls take. */
  let takes: number[];
  /** First bytes of what the kernel took. */
  let taken: number[];
  let tell: PollerOptions;
  let released: number[];
  let socket: UdpSocket;

  /** As much of an addon as a socket touches. */
  const scripted = (): Addon => {
    class Poller {
      static readonly messageWords = 10;
      static readonly sendWords = WORDS;
      static readonly slotBytes = 100;
      static readonly parse = () => [0, 1, 2, 3, 4];
      readonly bind = () => 3;
      readonly describe = () => ({ address: '127.0.0.1', port: 9, joins: true, splits: true });
      readonly keep = () => {};
      readonly close = () => {};
      readonly sender = () => '127.0.0.1';
      constructor(options: PollerOptions) {
        tell = options;
      }
      send(_id: number, { lent, own, datagrams }: SendBuffers, first: number, count: number): number {
        const done = Math.min(takes.shift() ?? count, count);
        for (let i = first; i < first + done; i++) {
          const at = datagrams[i * WORDS]!;
          taken.push(at >= 0x8000_0000 ? own[at - 0x8000_0000]! : lent[at]!);
        }
        return done;
      }
    }
    return { version: 1, kernels: [], Aead: class {} as never, Poller: Poller as never };
  };

  beforeEach(async () => {
    takes = [];
    taken = [];
    released = [];
    const handler = { datagram: () => {}, released: (token: number) => released.push(token), unreachable: () => {} };
    socket = await createBindUdp(scripted(), false)({ host: '127.0.0.1', port: 0, handler }, { unref: false });
  });

  const memory = new Uint8Array(4096).map((_, i) => i);
  const to = { host: '127.0.0.1', port: 9 };
  const send = (first: number, count: number): void => {
    for (let i = first; i < first + count; i++) socket.send(memory.subarray(i, i + 1), to, i);
  };
  const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i & 0xff);

  test('datagrams wait in order, and with them their tokens', () => {
    takes = [3];
    send(0, 10);
    socket.flush?.();
    expect([taken, released]).toEqual([range(3), range(3)]);
    send(10, 5);
    socket.flush?.();
    expect(released).toEqual(range(3));
    takes = [4, 2];
    tell.writable(3);
    expect(released).toEqual(range(7));
    tell.writable(3);
    expect(released).toEqual(range(9));
    tell.writable(3);
    expect([taken, released]).toEqual([range(15), range(15)]);
  });

  test('at most 1,024 wait: what is beyond is dropped and its token comes back', () => {
    takes = [0];
    send(0, 1);
    socket.flush?.();
    send(1, 1030);
    expect(released).toEqual([1024, 1025, 1026, 1027, 1028, 1029, 1030]);
    tell.writable(3);
    expect(taken).toEqual(range(1024));
    expect(released).toHaveLength(1031);
  });

  test('copied ones wait, too, and are bounded in bytes', () => {
    takes = [0];
    for (let i = 0; i < 10; i++) {
      const copied = new Uint8Array(60_000).fill(i + 1);
      socket.send(copied, to, -1);
      socket.flush?.();
      copied.fill(0);
    }
    tell.writable(3);
    expect(taken).toEqual([1, 2, 3, 4]);
    socket.send(Uint8Array.of(9), to, -1);
    socket.flush?.();
    expect(taken.at(-1)).toBe(9);
  });

  test('close() gives back what waits', () => {
    takes = [1];
    send(0, 5);
    socket.flush?.();
    socket.close();
    expect(released).toEqual(range(5));
    expect(taken).toEqual([0]);
  });
});
