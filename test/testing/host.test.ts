import { expect, test } from 'vitest';
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import { dial, Ear, listen, text, world } from './rig.ts';

test('a timer of 0 comes after all that is due in the present turn, others not before their time', async () => {
  const w = world();
  const [a, log] = [w.host('a'), [] as string[]];
  a.setTimer(5, () => {
    a.setTimer(0, () => log.push(`after ${a.now()}`));
    log.push(`first ${a.now()}`);
  });
  a.setTimer(5, () => log.push(`second ${a.now()}`));
  const cancelled = a.setTimer(4, () => log.push('never'));
  cancelled.cancel();
  await w.run(4.9);
  expect(log).toEqual([]);
  await w.run(5);
  expect(log).toEqual(['first 5', 'second 5', 'after 5']);
  w.assertQuiet();
});

test('the wall clock begins where it was told, may be wrong, and jumps', async () => {
  const w = world({ startUnixMs: 1_000_000 });
  const [a, b] = [w.host('a'), w.host('b', { skewMs: -400 })];
  await w.elapse(50);
  expect([a.unixNow(), b.unixNow()]).toEqual([1_000_050, 999_650]);
  b.machine.skewMs += 7_200_000;
  expect([b.unixNow(), b.now()]).toEqual([8_199_650, 50]);
  await w.elapse(0.75);
  expect([a.unixNow(), a.now()], 'whole milliseconds').toEqual([1_000_050, 50.75]);
});

test('randomness is each program’s own, and the same in a world with the same seed', () => {
  const draw = (host: { random: (into: Uint8Array) => void }): string => {
    const bytes = new Uint8Array(16);
    host.random(bytes);
    return Buffer.from(bytes).toString('hex');
  };
  const [w, again, other] = [world(), world(), world({ seed: 2 })];
  const drawn = [w.host('a'), w.host('a'), w.host('b'), other.host('a')].map(draw);
  expect(new Set(drawn).size).toBe(4);
  expect([again.host('a'), again.host('a'), again.host('b')].map(draw)).toEqual(drawn.slice(0, 3));
});

test('names resolve, addresses stay as they are', async () => {
  const w = world();
  const a = w.host('a', { address: '203.0.113.7' });
  expect(await Promise.all(['a', 'localhost', '10.0.0.1', '::1'].map((name) => a.resolve(name)))).toEqual([
    '203.0.113.7',
    '127.0.0.1',
    '10.0.0.1',
    '::1',
  ]);
  await expect(a.resolve('b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('files outlive the program that wrote them, on their machine alone', async () => {
  const w = world();
  const first = w.host('a');
  const bytes = text('secret');
  await first.files.writeAtomic('/home/identity.json', bytes);
  bytes.fill(0);
  first.kill();
  const second = w.host('a');
  const read = await second.files.read('/home/identity.json', { secret: true });
  expect(read).toEqual(text('secret'));
  read!.fill(0);
  expect(second.machine.disk.peek('/home/identity.json')).toEqual(text('secret'));
  expect(await w.host('b').files.read('/home/identity.json')).toBeUndefined();
  await expect(first.files.read('/home/identity.json')).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a secret that others may read is refused until it is written anew', async () => {
  const { files, machine } = world().host('a');
  machine.disk.put('/key', text('k'), { isShared: true });
  await expect(files.read('/key', { secret: true })).rejects.toMatchObject({ code: 'IDENTITY_INVALID' });
  expect(await files.read('/key')).toEqual(text('k'));
  await files.writeAtomic('/key', text('k'));
  expect(await files.read('/key', { secret: true })).toEqual(text('k'));
});

test('a lock keeps everyone out until it is released or its program is ended', async () => {
  const w = world();
  const [one, two] = [w.host('a'), w.host('a')];
  const release = await one.files.lock('/id');
  for (const host of [one, two]) {
    await expect(host.files.lock('/id')).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
  }
  await w.host('b').files.lock('/id');
  await release();
  const second = await two.files.lock('/id');
  await release();
  await expect(one.files.lock('/id')).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
  two.kill();
  const third = await one.files.lock('/id');
  await second();
  await expect(w.host('a').files.lock('/id'), 'the dead one’s').rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
  await third();
});

test('a program that is ended hears nothing more and frees what it had', async () => {
  const w = world();
  const [a, b] = [w.host('a'), w.host('b')];
  const port = await listen(a, 9000);
  const ear = await Ear.on(a, 4000);
  const [client, back] = [dial(b, 'a', 9000), await listen(b, 9001)];
  const own = dial(a, 'b', 9001);
  let ticks = 0;
  a.setTimer(200, () => {
    ticks += 1;
  });
  await w.elapse(100);
  const other = await Ear.on(b, 1);
  other.say('to nobody', a.address, 4000);
  client.link.write(text('to nobody'));
  a.kill();
  await w.elapse(1_000);
  expect([ticks, ear.heard, port.sides[0]!.log, own.log]).toEqual([0, [], ['open'], ['open']]);
  expect(client.log).toEqual(['open', 'closed']);
  expect(back.sides[0]!.log).toEqual(['open', 'closed']);
  a.setTimer(1, () => expect.unreachable());
  await expect(Ear.on(a, 4000)).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(listen(a, 9000)).rejects.toMatchObject({ code: 'CLOSED' });
  const late = dial(a, 'b', 9001);
  await w.elapse(100);
  expect([late.log, back.sides.length]).toEqual([[], 1]);
  await Ear.on(w.host('a'), 4000);
  await listen(w.host('a'), 9000);
});

test('a machine that sleeps is late with its timers, loses datagrams and holds links', async () => {
  const w = world();
  const [a, b] = [w.host('a'), w.host('b')];
  const [ear, other] = [await Ear.on(a, 1), await Ear.on(b, 1)];
  const port = await listen(a, 9000);
  const client = dial(b, 'a', 9000);
  const fired: number[] = [];
  for (const delay of [150, 5_000, 90_000]) a.setTimer(delay, () => fired.push(a.now()));
  await w.run(100);
  a.machine.sleep(10_000);
  other.say('lost', a.address, 1);
  client.link.write(text('held'));
  await w.run(10_099);
  expect([fired, ear.heard, port.sides[0]!.text]).toEqual([[], [], '']);
  await w.run(10_600);
  expect([fired, port.sides[0]!.text]).toEqual([[10_100, 10_100], 'held']);
  other.say('awake', a.address, 1);
  await w.run(100_000);
  expect([fired.at(-1), ear.heard.length]).toEqual([90_000, 1]);
});

test('jobs answer at once, or by promise in virtual time and then not in the order of the questions', async () => {
  const jobs = createPublicKeyJobs();
  const w = world({ jobs });
  const [quick, slow] = [w.host('quick'), w.host('slow', { jobDelayMs: 40 })];
  const seed = new Uint8Array(32).fill(7);
  expect(quick.jobs.importIdentity(seed)).not.toBeInstanceOf(Promise);
  const pending = slow.jobs.importIdentity(seed) as Promise<{ identity: number; publicKey: Uint8Array }>;
  seed.fill(0);
  const { identity, publicKey } = await w.finish(pending);
  expect(w.now).toBeGreaterThanOrEqual(20);
  expect(w.now).toBeLessThanOrEqual(40);
  expect(publicKey).toEqual(jobs.importIdentity(new Uint8Array(32).fill(7)).publicKey);
  const order: number[] = [];
  const answers = Array.from({ length: 20 }, async (_, i) => {
    const message = text(`${i}`);
    const signature = await slow.jobs.sign(identity, message);
    order.push(i);
    return slow.jobs.verify(publicKey, message, signature);
  });
  expect(await w.finish(Promise.all(answers))).toEqual(Array(20).fill(true));
  expect(order).not.toEqual([...order].sort((x, y) => x - y));
  await expect(w.finish(slow.jobs.sign(999, text('x')) as Promise<Uint8Array>)).rejects.toThrow(RangeError);
});
