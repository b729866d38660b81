import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { describe, expect, test, vi } from 'vitest';
import { cleanups, dial, directory, LOOPBACK, MIB, once, pinned, raw, serve, text, tls } from './links-rig.ts';

describe('a link', () => {
  test.each([
    ['plaintext', false],
    ['TLS', true],
  ])('over %s carries bytes both ways and ends in order', async (_name, secure) => {
    const { server, next } = await serve(secure);
    const client = dial(secure ? pinned(server) : server.local);
    client.link.write(text('hello '));
    await client.until(() => client.has('open'));
    client.link.write(text('there'));
    const served = await next();
    await served.until(() => served.text === 'hello there');
    served.link.write(text('and back'));
    await client.until(() => client.text === 'and back');
    client.link.close();
    await served.until(() => served.has('closed'));
    await client.until(() => client.has('closed'));
    expect(client.calls).toEqual(['open', 'data', 'closed']);
    expect(served.calls).toEqual(['open', 'data', 'closed']);
    expect([client.error, served.error]).toEqual([undefined, undefined]);
  });

  test('one port serves plaintext and TLS at a time', async () => {
    const { server, next } = await serve(true);
    const plain = dial(server.local);
    plain.link.write(text('{plain}'));
    const first = await next();
    const secure = dial(pinned(server));
    secure.link.write(text('{secure}'));
    const second = await next();
    await first.until(() => first.text === '{plain}');
    await second.until(() => second.text === '{secure}');
  });

  test('without a certificate a first byte of 0x16 is plaintext like any other', async () => {
    const { server, next } = await serve(false);
    dial(server.local).link.write(Uint8Array.of(0x16, 3, 1));
    const served = await next();
    await served.until(() => served.byteCount === 3);
  });

  test('a link is accepted when its first byte comes, not before', async () => {
    const { server, ends, next } = await serve();
    const silent = dial(server.local);
    await silent.until(() => silent.has('open'));
    const speaking = dial(server.local);
    speaking.link.write(text('a'));
    await (await next()).until(() => true);
    expect(ends).toHaveLength(1);
    silent.link.write(text('b'));
    const second = await next();
    await second.until(() => second.text === 'b');
  });

  test('the remote address of an IPv4 client is plain on a dual-stack listener', async () => {
    const { server, next } = await serve(false, {}, '::');
    dial({ host: LOOPBACK, port: server.local.port }).link.write(text('x'));
    expect((await next()).remote).toMatchObject({ host: LOOPBACK, port: expect.any(Number) });
  });

  test('bytes may change as soon as write() returned', async () => {
    const { server, next } = await serve();
    const client = dial(server.local);
    // More than the kernel takes at once, so that most of it waits in this process.
    const bytes = new Uint8Array(8 * MIB).fill(1);
    await client.until(() => client.has('open'));
    client.link.write(bytes);
    bytes.fill(2);
    const served = await next();
    await served.until(() => served.byteCount === bytes.length);
    expect(served.chunks.every((chunk) => chunk.every((byte) => byte === 1))).toBe(true);
  });

  test('close() before open still delivers what was written', async () => {
    const { server, next } = await serve();
    const client = dial(server.local);
    client.link.write(text('first and last'));
    client.link.close();
    const served = await next();
    await served.until(() => served.has('closed'));
    expect(served.text).toBe('first and last');
    await client.until(() => client.has('closed'));
    expect(client.error).toBeUndefined();
  });

  test('close() sends all that was written first', async () => {
    const { server, next } = await serve(true);
    const client = dial(pinned(server));
    await client.until(() => client.has('open'));
    client.link.write(new Uint8Array(3 * MIB));
    client.link.close();
    const served = await next();
    await served.until(() => served.has('closed'));
    expect(served.byteCount).toBe(3 * MIB);
    expect(served.error).toBeUndefined();
  });

  test('destroy() ends at once and is no error, and write() after it is harmless', async () => {
    const { server } = await serve();
    const early = dial(server.local);
    early.link.destroy();
    expect(early.link.write(text('lost'))).toBe(true);
    await early.until(() => early.has('closed'));
    const late = dial(server.local);
    await late.until(() => late.has('open'));
    late.link.destroy();
    late.link.close();
    await late.until(() => late.has('closed'));
    expect([early.calls, late.calls]).toEqual([['closed'], ['open', 'closed']]);
    expect([early.error, late.error]).toEqual([undefined, undefined]);
  });

  test('a reset by the other side is CONNECTION_RESET', async () => {
    const { server, next } = await serve();
    const socket = raw(server);
    socket.write('x');
    const served = await next();
    socket.resetAndDestroy();
    await served.until(() => served.has('closed'));
    expect(served.error?.code).toBe('CONNECTION_RESET');
    expect(served.calls.filter((call) => call === 'closed')).toHaveLength(1);
  });

  test('write() answers false above 1 MiB, and drain follows when all is gone', async () => {
    const { server, next } = await serve();
    const socket = raw(server);
    socket.pause();
    socket.write('x');
    const served = await next();
    const chunk = new Uint8Array(64 * 1024);
    let count = 0;
    // The kernel takes some megabytes before anything waits here.
    while (served.link.write(chunk) && count < 1000) {
      count++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(count).toBeLessThan(1000);
    expect(count * chunk.length).toBeGreaterThanOrEqual(MIB);
    expect(served.has('drain')).toBe(false);
    socket.resume();
    await served.until(() => served.has('drain'));
    expect(served.link.write(chunk)).toBe(true);
    expect(served.calls.filter((call) => call === 'drain')).toHaveLength(1);
  });

  test('bytes that wait for open count too', async () => {
    const { server } = await serve();
    const client = dial(server.local);
    expect(client.link.write(new Uint8Array(MIB))).toBe(true);
    expect(client.link.write(new Uint8Array(1))).toBe(false);
    await client.until(() => client.has('drain'));
    expect(client.calls).toEqual(['open', 'drain']);
  });

  test('a peer that neither reads nor closes is let go 5 s after close(), with an error', async () => {
    const { server, next } = await serve();
    const socket = raw(server, true);
    socket.pause();
    socket.write('x');
    const served = await next();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    served.link.write(new Uint8Array(32 * MIB));
    served.link.close();
    vi.advanceTimersByTime(4_999);
    expect(served.has('closed')).toBe(false);
    vi.advanceTimersByTime(1);
    await served.until(() => served.has('closed'));
    expect(served.error?.code).toBe('CONNECTION_LOST');
  });

  test('a peer that read all but does not close is let go in silence', async () => {
    const { server, next } = await serve();
    const socket = raw(server, true);
    socket.write('x');
    socket.resume();
    const served = await next();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const ended = once(socket, 'end');
    served.link.write(text('bye'));
    served.link.close();
    await ended;
    vi.advanceTimersByTime(5_000);
    await served.until(() => served.has('closed'));
    expect(served.error).toBeUndefined();
  });
});

describe('dialling', () => {
  test('a port where nobody listens is RENDEZVOUS_UNREACHABLE', async () => {
    const { server } = await serve();
    await server.close();
    const client = dial(server.local);
    client.link.write(text('waits in vain'));
    await client.until(() => client.has('closed'));
    expect(client.calls).toEqual(['closed']);
    expect(client.error).toMatchObject({ code: 'RENDEZVOUS_UNREACHABLE', cause: expect.anything() });
  });

  test('a server that never answers TLS is given up after the dial timeout', async () => {
    const mute = createServer((socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => mute.listen(0, LOOPBACK, resolve));
    cleanups.push(() => mute.close());
    const port = (mute.address() as { port: number }).port;
    const target = { host: LOOPBACK, port, tls: { serverName: 'localhost', pin: tls.pin } };
    const client = dial(target, { dialTimeoutMs: 50 });
    await client.until(() => client.has('closed'));
    expect(client.calls).toEqual(['closed']);
    expect(client.error?.code).toBe('RENDEZVOUS_UNREACHABLE');
    expect(client.error?.message).toContain('50 ms');
  });

  test('the dial timeout is 5 s', async () => {
    const mute = createServer((socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => mute.listen(0, LOOPBACK, resolve));
    cleanups.push(() => mute.close());
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const port = (mute.address() as { port: number }).port;
    const client = dial({ host: LOOPBACK, port, tls: { serverName: 'localhost', pin: tls.pin } });
    vi.advanceTimersByTime(4_999);
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.has('closed')).toBe(false);
    vi.advanceTimersByTime(1);
    await client.until(() => client.has('closed'));
    expect(client.error?.code).toBe('RENDEZVOUS_UNREACHABLE');
  });

  test('the dial timeout does not touch a link that is open', async () => {
    const { server, next } = await serve();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const client = dial(server.local);
    await client.until(() => client.has('open'));
    vi.advanceTimersByTime(5_001);
    client.link.write(text('still there'));
    const served = await next();
    await served.until(() => served.text === 'still there');
    expect(client.calls).toEqual(['open']);
  });

  test.each([
    ['another pin', 'a'.repeat(64)],
    ['a pin cut short', ''],
    ['the pin in capitals', 'UPPER'],
  ])('with %s the link fails with TLS_PIN_MISMATCH before a byte is sent', async (_what, pin) => {
    const { server, ends, next } = await serve(true);
    const wrong = pin === 'UPPER' ? tls.pin.toUpperCase() : pin === '' ? tls.pin.slice(0, 62) : pin;
    const client = dial(pinned(server, wrong));
    client.link.write(text('secret'));
    await client.until(() => client.has('closed'));
    expect(client.calls).toEqual(['closed']);
    expect(client.error?.code).toBe('TLS_PIN_MISMATCH');
    // A second link shows that the first, if it was accepted at all, has been handled.
    dial(pinned(server)).link.write(text('right'));
    let served = await next();
    await served.until(() => served.has('closed') || served.text !== '');
    if (served.text === '') served = await next();
    await served.until(() => served.text === 'right');
    expect(ends.some((end) => end.text.includes('secret'))).toBe(false);
  });

  test('without a pin a self-signed certificate is refused, with a hint at pins', async () => {
    const { server } = await serve(true);
    const client = dial({ ...server.local, tls: { serverName: 'localhost' } });
    client.link.write(text('secret'));
    await client.until(() => client.has('closed'));
    expect(client.calls).toEqual(['closed']);
    expect(client.error).toMatchObject({ code: 'RENDEZVOUS_UNREACHABLE', hint: expect.stringContaining('#sha256=') });
  });

  test('without a pin the system decides, and the name has to fit', async () => {
    const { server } = await serve(true);
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, tls.certificate);
    const outfile = join(directory, 'system.mjs');
    await build({
      stdin: { contents: SYSTEM, resolveDir: fileURLToPath(new URL('../../../', import.meta.url)), loader: 'ts' },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    });
    const { stdout } = await promisify(execFile)(process.execPath, [outfile, `${server.local.port}`], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: ca },
    });
    expect(JSON.parse(stdout)).toEqual({
      localhost: 'open',
      '127.0.0.1': 'open',
      'example.org': 'RENDEZVOUS_UNREACHABLE',
      '192.0.2.1': 'RENDEZVOUS_UNREACHABLE',
    });
  });
});

/** Runs in a process of its own, because Node reads extra authorities only when it starts. */
const SYSTEM = `
import { connectLink } from './bindings/node/links.ts';
const results = {};
for (const serverName of ['localhost', '127.0.0.1', 'example.org', '192.0.2.1']) {
  results[serverName] = await new Promise((resolve) => {
    const link = connectLink({ host: '127.0.0.1', port: Number(process.argv[2]), tls: { serverName } }, {
      open: () => { resolve('open'); link.destroy(); },
      data() {}, drain() {},
      closed: (error) => resolve(error?.code),
    });
  });
}
console.log(JSON.stringify(results));
`;
