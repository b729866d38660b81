/** Streams between real agents: what was written arrives, or somebody is told. */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { codeOf, connected, eventually, friends, readAll, sha256, writeAll } from './rig.ts';

test('8 MB arrive unchanged in both directions at once', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  const [there, here] = [randomBytes(8_000_000), randomBytes(8_000_000)];
  const [gotThere, gotHere] = await Promise.all([
    readAll(back),
    readAll(out),
    writeAll(out, there),
    writeAll(back, here),
  ]);
  expect(sha256(gotThere)).toBe(sha256(there));
  expect(sha256(gotHere)).toBe(sha256(here));
  await Promise.all([out.close(), back.close()]);
});

test('after the end of one direction the other goes on', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  await writeAll(out, Buffer.from('question'));
  expect(String(await readAll(back))).toBe('question');
  await writeAll(back, Buffer.from('answer'));
  expect(String(await readAll(out))).toBe('answer');
});

test('a reader that does not read stops the writer', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  const writer = out.writable.getWriter();
  let written = 0;
  const block = randomBytes(65_536);
  const writing = (async () => {
    for (let i = 0; i < 128; i++) {
      await writer.write(block);
      written += block.length;
    }
    await writer.close();
  })();
  // Both ends hold 256 KiB to send and at most 1 MiB to read; 8 MB do not fit.
  await eventually(() => written > 500_000);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(written).toBeLessThan(2_000_000);
  const got = await readAll(back);
  await writing;
  expect(got.length).toBe(128 * block.length);
});

test('abort() is an error at the other end', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  const reading = codeOf(readAll(back));
  out.abort();
  expect(await reading).toBe('CONNECTION_RESET');
  expect(await codeOf(back.closed)).toBe('CONNECTION_RESET');
});

test('close() delivers what was written before', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  const bytes = randomBytes(200_000);
  const writer = out.writable.getWriter();
  await writer.write(bytes);
  writer.releaseLock();
  const reading = readAll(back).then(async (got) => {
    await back.close();
    return got;
  });
  await out.close();
  expect(sha256(await reading)).toBe(sha256(bytes));
});

test('a read into memory of the caller fills that memory', async () => {
  const { alice, bob } = await friends();
  const [out, back] = await connected(alice, bob);
  await writeAll(out, Buffer.from('hello, world'));
  const reader = back.readable.getReader({ mode: 'byob' });
  const first = await reader.read(new Uint8Array(5));
  expect(String(Buffer.from(first.value ?? []))).toBe('hello');
  const rest = await reader.read(new Uint8Array(100));
  expect(String(Buffer.from(rest.value ?? []))).toBe(', world');
  expect((await reader.read(new Uint8Array(10))).done).toBe(true);
});

test('a port without a listener refuses a trusted peer at once', async () => {
  const { alice, bob } = await friends();
  expect(await codeOf(alice.dial(`${bob.address}:1234`))).toBe('CONNECTION_REFUSED');
});

test('a dial can be called off and can time out', async () => {
  const { alice, bob } = await friends();
  const controller = new AbortController();
  const dialling = codeOf(alice.dial('99:1000', { signal: controller.signal }));
  controller.abort(Object.assign(new Error('enough'), { code: 'ENOUGH' }));
  expect(await dialling).toBe('ENOUGH');
  bob.listen(1000).close();
  const stranger = await codeOf(bob.dial(`${alice.address}:1`, { timeoutMs: 300 }));
  expect(['CONNECTION_REFUSED', 'DIAL_TIMEOUT']).toContain(stranger);
});

test('many connections of one pair do not mix their bytes', async () => {
  const { alice, bob } = await friends();
  const listener = bob.listen(2000);
  void (async () => {
    for await (const connection of listener) void connection.readable.pipeTo(connection.writable).catch(() => {});
  })();
  const echoes = Array.from({ length: 50 }, async (_, i) => {
    const connection = await alice.dial('bob:2000');
    const bytes = randomBytes(10_000 + i);
    const reading = readAll(connection);
    await writeAll(connection, bytes);
    return sha256(await reading) === sha256(bytes);
  });
  expect(await Promise.all(echoes)).toEqual(new Array(50).fill(true));
});

test('echo on port 7 is there without asking for it', async () => {
  const { alice } = await friends();
  const connection = await alice.dial('bob:7');
  const reading = readAll(connection);
  await writeAll(connection, Buffer.from('marco'));
  expect(String(await reading)).toBe('marco');
});
