import { execFile } from 'node:child_process';
import { Socket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type BindUdp, reduceMapped } from '../../../bindings/node/addresses.ts';
import { bindUdp } from '../../../bindings/node/udp.ts';
import { Ear, text, udpSuite } from './udp-suite.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const bind: BindUdp = (options) => bindUdp(options);

udpSuite('node:dgram', bind);

describe('addresses', () => {
  test('without IPv6 the socket falls back to IPv4', async () => {
    const realBind = Socket.prototype.bind;
    vi.spyOn(Socket.prototype, 'bind').mockImplementation(function (this: Socket, ...args: unknown[]) {
      const options = args[0] as { address: string };
      if (options.address !== '::') return Reflect.apply(realBind, this, args);
      process.nextTick(() => this.emit('error', Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' })));
      return this;
    });
    const ear = await Ear.bind(bind);
    expect(ear.socket.local.host).toBe('0.0.0.0');
  });

  test('reduceMapped() touches mapped addresses only', () => {
    expect(reduceMapped('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(reduceMapped('::ffff:0:1')).toBe('::ffff:0:1');
    expect(reduceMapped('2001:db8::1')).toBe('2001:db8::1');
    expect(reduceMapped('192.0.2.1')).toBe('192.0.2.1');
  });

  test('buffer sizes that the system refuses do not matter', async () => {
    for (const name of ['setRecvBufferSize', 'setSendBufferSize'] as const) {
      vi.spyOn(Socket.prototype, name).mockImplementation(() => {
        throw new Error('ENOBUFS');
      });
    }
    const ear = await Ear.bind(bind, '127.0.0.1');
    ear.socket.send(text('self'), ear.socket.local, 0);
    await ear.until(() => ear.heard.length === 1);
    expect(Socket.prototype.setRecvBufferSize).toHaveBeenCalled();
  });

  test('the receive buffer is asked to be 4 MiB', async () => {
    const spy = vi.spyOn(Socket.prototype, 'setRecvBufferSize');
    await Ear.bind(bind, '127.0.0.1');
    expect(spy.mock.calls[0]).toEqual([4 << 20]);
  });
});

describe('lent bytes', () => {
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
