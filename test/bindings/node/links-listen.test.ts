import { createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { expect, test, vi } from 'vitest';
import { listenLink } from '../../../bindings/node/links.ts';
import { cleanups, dial, End, LOOPBACK, MIB, once, pinned, raw, serve, text, tls } from './links-rig.ts';

test('a taken port is PORT_IN_USE, a foreign address UNREACHABLE', async () => {
  const { server } = await serve();
  const handler = new End();
  await expect(listenLink(server.local, () => handler)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  await expect(listenLink({ host: '192.0.2.1', port: 0 }, () => handler)).rejects.toMatchObject({
    code: 'UNREACHABLE',
  });
});

test('TLS below 1.3 is refused', async () => {
  const { server, ends } = await serve(true);
  const { local } = server;
  const refused = connectTls({ ...local, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  const error = await once(refused, 'error');
  expect((error as Error).message).toMatch(/version/i);
  expect(ends).toEqual([]);
});

test('a TLS handshake that comes byte by byte succeeds', async () => {
  const { server, next } = await serve(true);
  const splitter = createServer((near) => {
    const far = raw(server).setNoDelay();
    near.on('error', () => {});
    far.on('data', (bytes) => near.write(bytes));
    near.once('data', async (bytes) => {
      near.pause();
      for (const byte of bytes.subarray(0, 20)) {
        await new Promise<void>((resolve) => far.write(Uint8Array.of(byte), () => setImmediate(resolve)));
      }
      far.write(bytes.subarray(20));
      near.on('data', (more) => far.write(more)).resume();
    });
  });
  await new Promise<void>((resolve) => splitter.listen(0, LOOPBACK, resolve));
  cleanups.push(() => splitter.close());
  const port = (splitter.address() as { port: number }).port;
  dial({ host: LOOPBACK, port, tls: { serverName: 'localhost', pin: tls.pin } }).link.write(text('in pieces'));
  const served = await next();
  await served.until(() => served.text === 'in pieces');
});

test('garbage behind 0x16, a hang-up and a reset in the TLS handshake leave the server running', async () => {
  const { server, ends, next } = await serve(true);
  for (const hostile of [
    Buffer.from([0x16, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]),
    Buffer.concat([Buffer.from([0x16, 3, 1, 0, 32]), Buffer.alloc(32, 0xaa)]),
  ]) {
    const socket = raw(server).resume();
    socket.write(hostile);
    await once(socket, 'close');
  }
  const half = raw(server).resume();
  half.end(Buffer.from([0x16, 3, 1]));
  await once(half, 'close');
  const reset = raw(server).resume();
  reset.write(Buffer.from([0x16, 3, 1]), () => reset.resetAndDestroy());
  await once(reset, 'close');
  dial(pinned(server)).link.write(text('fine'));
  const served = await next();
  await served.until(() => served.text === 'fine');
  expect(ends).toHaveLength(1);
});

test.each([
  ['nothing', ''],
  ['the first byte of a TLS handshake and no more', '\x16'],
])('a socket that sends %s is closed after the time for the first byte', async (_what, sent) => {
  const { server, ends } = await serve(true, { firstByteTimeoutMs: 50 });
  const socket = raw(server).resume();
  if (sent !== '') socket.write(sent, 'latin1');
  await once(socket, 'close');
  expect(ends).toEqual([]);
});

test('the time for the first byte is 10 s and ends with it', async () => {
  const { server, next } = await serve();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const silent = raw(server).resume();
  await once(silent, 'connect');
  const speaking = raw(server);
  speaking.write('x');
  const served = await next();
  vi.advanceTimersByTime(9_000);
  await new Promise((resolve) => setImmediate(resolve));
  expect(silent.destroyed).toBe(false);
  vi.advanceTimersByTime(1_001);
  await once(silent, 'close');
  speaking.write('y');
  await served.until(() => served.text === 'xy');
});

test('above the maximum a socket is closed at once, and a place that is free again is given again', async () => {
  const { server, next } = await serve(true, { maxLinks: 2 });
  const first = dial(pinned(server));
  first.link.write(text('1'));
  const served = await next();
  const second = dial(server.local);
  second.link.write(text('2'));
  await next();
  const third = raw(server).resume();
  await once(third, 'close');
  served.link.close();
  await first.until(() => first.has('closed'));
  await served.until(() => served.has('closed'));
  const fourth = dial(pinned(server));
  fourth.link.write(text('4'));
  const last = await next();
  await last.until(() => last.text === '4');
});

test('close() ends every link and every socket that has not spoken, and frees the port', async () => {
  const { server, next } = await serve(true);
  const plain = dial(server.local);
  plain.link.write(text('a'));
  const one = await next();
  const secure = dial(pinned(server));
  secure.link.write(text('b'));
  const two = await next();
  const silent = raw(server).resume();
  await once(silent, 'connect');
  await Promise.all([server.close(), server.close()]);
  for (const end of [plain, secure, one, two]) await end.until(() => end.has('closed'));
  if (!silent.closed) await once(silent, 'close');
  const again = await listenLink(server.local, () => new End());
  await again.close();
});

test('close() lets a link finish that its owner is closing', async () => {
  const { server, next } = await serve();
  const client = dial(server.local);
  client.link.write(text('ask'));
  const served = await next();
  // More than the kernel takes at once.
  served.link.write(new Uint8Array(32 * MIB));
  served.link.close();
  await server.close();
  await client.until(() => client.has('closed'));
  expect(client.byteCount).toBe(32 * MIB);
  expect(client.error).toBeUndefined();
});
