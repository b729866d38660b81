// Files, locks, public-key operations, timers and names as the contract of a host wants them.
import { spawn } from 'node:child_process';
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf, directory, fails, host, LOOPBACK, same, step, textOf } from './step.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

/** @param program - This one, to be started once more. */
export async function files(program: string): Promise<void> {
  const path = join(directory, 'deep', 'secret');
  await step('files are written whole, 0600 in 0700, and refused when others may read', async () => {
    const second = bytesOf('second');
    const writes = [host.files.writeAtomic(path, bytesOf('first')), host.files.writeAtomic(path, second)];
    second.fill(0);
    await Promise.all(writes);
    same(textOf((await host.files.read(path, { secret: true }))!), 'second');
    same([statSync(path).mode & 0o777, statSync(join(directory, 'deep')).mode & 0o777], [0o600, 0o700]);
    chmodSync(path, 0o644);
    await fails('IDENTITY_INVALID', () => host.files.read(path, { secret: true }));
    same(await host.files.read(join(directory, 'nothing')), undefined);
  });
  await step('a lock is held until it is released', async () => {
    const release = await host.files.lock(path);
    await fails('IDENTITY_IN_USE', () => host.files.lock(path));
    await release();
    await (await host.files.lock(path))();
  });
  await step('a lock of a process that runs holds; of one that was killed it does not', async () => {
    const words = [...process.execArgv.filter((word) => word !== 'eval'), ...programWords(program), 'lock', path];
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await fails('IDENTITY_IN_USE', () => host.files.lock(path));
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
    await (await host.files.lock(path))();
  });
}

/** Deno's own words come before the file. */
function programWords(program: string): string[] {
  return 'deno' in process.versions ? ['run', '--allow-all', program] : [program];
}

/** The published vectors, and what is refused. */
export async function jobs(): Promise<void> {
  const { jobs: keys } = host;
  await step('Ed25519 as in RFC 8032 §7.1, test 3', async () => {
    const seed = hex('c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7');
    const { identity, publicKey } = await keys.importIdentity(seed);
    same(Buffer.from(publicKey).toString('hex'), 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');
    const signature = await keys.sign(identity, hex('af82'));
    const wanted =
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a';
    same(Buffer.from(signature).toString('hex'), wanted);
    same(await keys.verify(publicKey, hex('af82'), signature), true);
    same(await keys.verify(publicKey, hex('af83'), signature), false);
    for (const length of [0, 31, 33]) same(await keys.verify(new Uint8Array(length), hex('af82'), signature), false);
    same(await keys.verify(publicKey, hex('af82'), signature.subarray(1)), false);
    keys.forget(identity);
  });
  await step('X25519 as in RFC 7748 §6.1, both ends derive the same, low order is refused', async () => {
    const alice = await keys.createExchange(new Uint8Array(32).fill(7));
    const bob = await keys.createExchange(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
    same(
      Buffer.from(bob.publicKey).toString('hex'),
      'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
    );
    const near = (await keys.agree(alice.exchange, bob.publicKey, 'test'))!;
    const far = (await keys.agree(bob.exchange, alice.publicKey, 'test'))!;
    same([near.length, Buffer.from(near).toString('hex')], [32, Buffer.from(far).toString('hex')]);
    for (const low of ['00'.repeat(32), `01${'00'.repeat(31)}`])
      same(await keys.agree(alice.exchange, hex(low), 'test'), undefined);
    same(await keys.agree(alice.exchange, new Uint8Array(31), 'test'), undefined);
    keys.forget(alice.exchange);
    same(await keys.agree(alice.exchange, bob.publicKey, 'test'), undefined);
  });
  await step('random() fills a window of Wasm memory and nothing beside it', () => {
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1 }).buffer);
    host.random(memory.subarray(100, 164));
    same([memory.subarray(100, 164).some((byte) => byte !== 0), memory.indexOf(0) < 100], [true, true]);
    same(
      memory.subarray(164).every((byte) => byte === 0),
      true,
    );
  });
}

/** Clocks and look-ups. */
export async function timers(): Promise<void> {
  await step('a delay of 0 is after this turn, and no timer is early', async () => {
    const order: string[] = [];
    const isOver = new Promise<void>((resolve) => {
      host.setTimer(20, () => {
        order.push('20 ms');
        resolve();
      });
    });
    host.setTimer(0, () => order.push('turn'));
    host.setTimer(5, () => order.push('cancelled')).cancel();
    queueMicrotask(() => order.push('microtask'));
    order.push('now');
    await isOver;
    same(order, ['now', 'microtask', 'turn', '20 ms']);
    for (const delayMs of [0.3, 1, 1.5, 2.9, 7.7]) {
      const due = host.now() + delayMs;
      await new Promise<void>((resolve) => host.setTimer(delayMs, resolve));
      same(host.now() >= due, true);
    }
  });
  await step('resolve() knows names and addresses', async () => {
    same(await host.resolve(LOOPBACK), LOOPBACK);
    same(['127.0.0.1', '::1'].includes(await host.resolve('localhost')), true);
    await fails('NOT_FOUND', () => host.resolve('name.invalid'));
  });
}
