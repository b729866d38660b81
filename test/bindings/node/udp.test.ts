import { execFile } from 'node:child_process';
import { Socket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { reduceMapped } from '../../../bindings/node/addresses.ts';
import { bindUdp } from '../../../bindings/node/udp.ts';
import type { HostPort, UdpHandler, UdpSocket } from '../../../src/carrier/host.ts';

const open: UdpSocket[] = [];

afterEach(() => {
  vi.restoreAllMocks();
  for (const socket of open.splice(0)) socket.close();
});

/** A socket that records what its handler hears; `until` waits for the next that makes the condition true. */
class Ear implements UdpHandler {
  readonly heard: { text: string; from: HostPort }[] = [];
  readonly released_: number[] = [];
  readonly lost: (HostPort | undefined)[] = [];
  socket!: UdpSocket;
  #wake: (() => void) | undefined;

  static async bind(host?: string, port = 0): Promise<Ear> {
    const ear = new Ear();
    ear.socket = await bindUdp({ port, handler: ear, ...(host === undefined ? {} : { host }) });
    open.push(ear.socket);
    return ear;
  }

  get port(): number {
    return this.socket.local.port;
  }

  datagram(bytes: Uint8Array, from: HostPort): void {
    this.heard.push({ text: Buffer.from(bytes).toString(), from });
    this.#wake?.();
  }

  released(token: number): void {
    this.released_.push(token);
    this.#wake?.();
  }

  unreachable(to: HostPort | undefined): void {
    this.lost.push(to);
    this.#wake?.();
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('addresses', () => {
  test('a socket without host talks to IPv4 and IPv6, and names IPv4 senders plainly', async () => {
    const both = await Ear.bind();
    const four = await Ear.bind('127.0.0.1');
    const six = await Ear.bind('::1');
    four.socket.send(text('four'), { host: '127.0.0.1', port: both.port }, 0);
    six.socket.send(text('six'), { host: '::1', port: both.port }, 0);
    await both.until(() => both.heard.length === 2);
    const from = Object.fromEntries(both.heard.map((one) => [one.text, one.from]));
    expect(from.four).toMatchObject({ host: '127.0.0.1', port: four.port });
    expect(from.six).toMatchObject({ host: '::1', port: six.port });

    both.socket.send(text('to four'), from.four!, 1);
    both.socket.send(text('to six'), from.six!, 2);
    await four.until(() => four.heard.length === 1);
    await six.until(() => six.heard.length === 1);
    expect(four.heard[0]).toMatchObject({ text: 'to four', from: { host: '127.0.0.1', port: both.port } });
    expect(six.heard[0]).toMatchObject({ text: 'to six', from: { host: '::1', port: both.port } });
    expect(both.lost).toEqual([]);
  });

  test('the local address is the one bound, with the port that the system chose', async () => {
    const ear = await Ear.bind('127.0.0.1');
    expect(ear.socket.local.host).toBe('127.0.0.1');
    expect(ear.port).toBeGreaterThan(0);
  });

  test('without IPv6 the socket falls back to IPv4', async () => {
    const realBind = Socket.prototype.bind;
    vi.spyOn(Socket.prototype, 'bind').mockImplementation(function (this: Socket, ...args: unknown[]) {
      const options = args[0] as { address: string };
      if (options.address !== '::') return Reflect.apply(realBind, this, args);
      process.nextTick(() => this.emit('error', Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' })));
      return this;
    });
    const ear = await Ear.bind();
    expect(ear.socket.local.host).toBe('0.0.0.0');
  });

  test('a taken port is PORT_IN_USE, with and without host', async () => {
    const ear = await Ear.bind();
    await expect(Ear.bind(undefined, ear.port)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    const four = await Ear.bind('127.0.0.1');
    await expect(Ear.bind('127.0.0.1', four.port)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });

  test('a host that is no address is ADDRESS_INVALID, an address of another machine UNREACHABLE', async () => {
    await expect(Ear.bind('example.org')).rejects.toMatchObject({ code: 'ADDRESS_INVALID' });
    await expect(Ear.bind('192.0.2.1')).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('reduceMapped() touches mapped addresses only', () => {
    expect(reduceMapped('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(reduceMapped('::ffff:0:1')).toBe('::ffff:0:1');
    expect(reduceMapped('2001:db8::1')).toBe('2001:db8::1');
    expect(reduceMapped('192.0.2.1')).toBe('192.0.2.1');
  });

  test('two datagrams of one sender come with the same object', async () => {
    const ear = await Ear.bind('127.0.0.1');
    const other = await Ear.bind('127.0.0.1');
    for (const token of [0, 1]) other.socket.send(text('x'), ear.socket.local, token);
    await ear.until(() => ear.heard.length === 2);
    expect(ear.heard[0]!.from).toBe(ear.heard[1]!.from);
  });

  test('buffer sizes that the system refuses do not matter', async () => {
    for (const name of ['setRecvBufferSize', 'setSendBufferSize'] as const) {
      vi.spyOn(Socket.prototype, name).mockImplementation(() => {
        throw new Error('ENOBUFS');
      });
    }
    const ear = await Ear.bind('127.0.0.1');
    ear.socket.send(text('self'), ear.socket.local, 0);
    await ear.until(() => ear.heard.length === 1);
    expect(Socket.prototype.setRecvBufferSize).toHaveBeenCalled();
  });

  test('the receive buffer is asked to be 4 MiB', async () => {
    const spy = vi.spyOn(Socket.prototype, 'setRecvBufferSize');
    await Ear.bind('127.0.0.1');
    expect(spy.mock.calls[0]).toEqual([4 << 20]);
  });
});

describe('lent bytes', () => {
  test('every token is released once, also when it is used again', async () => {
    const ear = await Ear.bind();
    const to = { host: '127.0.0.1', port: ear.port };
    for (let round = 0; round < 3; round++) {
      for (let token = 0; token < 64; token++) ear.socket.send(text('x'), to, token);
      await ear.until(() => ear.released_.length === 64 * (round + 1));
    }
    await turn();
    expect(ear.released_).toHaveLength(192);
    for (let token = 0; token < 64; token++) {
      expect(ear.released_.filter((one) => one === token)).toHaveLength(3);
    }
  });

  test.each([
    ['an IPv6 address on an IPv4 socket', '127.0.0.1', { host: '::1', port: 9 }, 10],
    ['an IPv4 address on a socket bound to ::1', '::1', { host: '127.0.0.1', port: 9 }, 10],
    ['a host name', '127.0.0.1', { host: 'localhost', port: 9 }, 10],
    ['an empty host', '127.0.0.1', { host: '', port: 9 }, 10],
    ['port 0', '127.0.0.1', { host: '127.0.0.1', port: 0 }, 10],
    ['port 65536', '127.0.0.1', { host: '127.0.0.1', port: 65_536 }, 10],
    ['more bytes than UDP carries', '127.0.0.1', { host: '127.0.0.1', port: 9 }, 70_000],
  ])('%s is unreachable, and the token comes back once', async (_what, host, to, length) => {
    const ear = await Ear.bind(host);
    ear.socket.send(new Uint8Array(length), to, 5);
    await ear.until(() => ear.released_.length > 0);
    await turn();
    expect(ear.released_).toEqual([5]);
    expect(ear.lost).toEqual([to]);
  });

  test('nobody is told about token -1', async () => {
    const ear = await Ear.bind('127.0.0.1');
    ear.socket.send(text('copied'), ear.socket.local, -1);
    ear.socket.send(text('lost'), { host: '127.0.0.1', port: 0 }, -1);
    await ear.until(() => ear.heard.length === 1 && ear.lost.length === 1);
    await turn();
    expect(ear.released_).toEqual([]);
  });

  test('send() after close() gives the token back and is silent', async () => {
    const ear = await Ear.bind('127.0.0.1');
    ear.socket.close();
    ear.socket.close();
    ear.socket.send(text('late'), { host: '127.0.0.1', port: 9 }, 7);
    await turn();
    expect(ear.released_).toEqual([7]);
    expect(ear.lost).toEqual([]);
  });

  test('a socket that sends late holds its tokens until it has read the bytes, and gives them back at close', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'pilotwire-udp-'));
    try {
      const outfile = join(directory, 'late.mjs');
      await build({
        stdin: { contents: LATE, resolveDir: fileURLToPath(new URL('../../../', import.meta.url)), loader: 'ts' },
        outfile,
        bundle: true,
        platform: 'node',
        format: 'esm',
        logLevel: 'error',
      });
      // Node then hands every datagram to libuv, which sends it in a later turn, as it does when the kernel is full.
      const { stdout } = await promisify(execFile)(process.execPath, ['--test-udp-no-try-send', outfile]);
      expect(JSON.parse(stdout)).toEqual({
        releasedInTurn: [],
        releasedAfter: [100, 0, 1, 2],
        // Token 1 was written over before its release: what left is the proof that the loan is real.
        received: ['first', 'copied', 'lent 0', 'xxxxxx', 'lent 2'],
        releasedAtClose: Array.from({ length: 32 }, (_, i) => i + 10),
        lost: 0,
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** Runs in a process of its own. */
const LATE = `
import { bindUdp } from './bindings/node/udp.ts';
const bytes = (text) => new TextEncoder().encode(text);
const turn = () => new Promise((resolve) => setImmediate(resolve));
const received = [];
let released = [];
let lost = 0;
const socket = await bindUdp({ host: '127.0.0.1', port: 0, handler: {
  datagram: (data) => received.push(new TextDecoder().decode(data)),
  released: (token) => released.push(token),
  unreachable: () => lost++,
} });
const slots = ['lent 0', 'lent 1', 'lent 2'].map(bytes);
// libuv sends the first of an empty queue at once.
socket.send(bytes('first'), socket.local, 100);
const copied = bytes('copied');
socket.send(copied, socket.local, -1);
copied.fill(0x78);
slots.forEach((slot, token) => socket.send(slot, socket.local, token));
slots[1].fill(0x78);
await Promise.resolve();
const releasedInTurn = released.slice();
while (released.length < 4 || received.length < 5) await turn();
const releasedAfter = released;
released = [];
for (let token = 10; token < 42; token++) socket.send(bytes('never mind'), socket.local, token);
socket.close();
while (released.length < 32) await turn();
for (let i = 0; i < 10; i++) await turn();
released.sort((a, b) => a - b);
console.log(JSON.stringify({ releasedInTurn, releasedAfter, received, releasedAtClose: released, lost }));
`;
