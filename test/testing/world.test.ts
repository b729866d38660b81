import { expect, test } from 'vitest';
import type { TraceEntry } from '../../src/testing/network.ts';
import { Ear, text, world } from './rig.ts';

/** A small world with everything that draws: NATs, loss, jitter, late release. @returns Its trace as text. */
async function story(seed: number): Promise<string[]> {
  const lines: string[] = [];
  const trace = ({ atMs, event, sender, from, to, length, head }: TraceEntry): void => {
    const ends = `${from.host}:${from.port} → ${to.host}:${to.port}`;
    lines.push(`${atMs} ${event} ${sender} ${ends} ${length} ${new TextDecoder().decode(head)}`);
  };
  const line = { delayMs: 20, jitterMs: 10, loss: 0.1, duplication: 0.1, reordering: 0.1 };
  const w = world({ seed, trace, line });
  w.nat('home', { ports: 'random' });
  const server = w.host('server');
  const ear = await Ear.on(server, 1);
  const clients = await Promise.all(
    ['a', 'b'].map((name) => Ear.on(w.host(name, { behind: 'home', lateReleaseMs: 5 }))),
  );
  for (let i = 0; i < 50; i++) {
    for (const client of clients) client.say(`${i}`, server.address, 1);
    await w.elapse(3);
  }
  await w.elapse(200);
  expect(lines.filter((entry) => entry.includes(' delivered '))).toHaveLength(ear.heard.length);
  return lines;
}

test('the same seed tells the same story, another seed another', async () => {
  const first = await story(1);
  expect(await story(1)).toEqual(first);
  expect(await story(2)).not.toEqual(first);
  for (const event of ['sent', 'delivered', 'lost', 'duplicated']) {
    expect(first.some((line) => line.includes(` ${event} `))).toBe(true);
  }
});

test('the trace shows the first 16 bytes, and addresses as they are at that place', async () => {
  const entries: TraceEntry[] = [];
  const w = world({ trace: (entry) => entries.push(entry) });
  w.nat('home', { address: '198.51.100.1' });
  const ear = await Ear.on(w.host('a', { behind: 'home' }), 4000);
  await Ear.on(w.host('b', { address: '203.0.113.1' }), 1);
  ear.say('0123456789abcdefgh', '203.0.113.1', 1);
  await w.elapse(100);
  const to = { host: '203.0.113.1', port: 1 };
  const common = { sender: 'a', to, length: 18, head: text('0123456789abcdef') };
  expect(entries).toEqual([
    { ...common, atMs: 0, event: 'sent', from: { host: '192.168.1.2', port: 4000 } },
    { ...common, atMs: 10.2, event: 'delivered', from: { host: '198.51.100.1', port: 4000 } },
  ]);
});

test('promises settle before time moves, however long their chain', async () => {
  const w = world();
  const a = w.host('a');
  const log: string[] = [];
  const chain = async (): Promise<void> => {
    for (let i = 0; i < 5_000; i++) await Promise.resolve();
    log.push(`chain at ${w.now}`);
    a.setTimer(0, () => log.push(`timer at ${w.now}`));
  };
  a.setTimer(10, () => {
    chain();
  });
  a.setTimer(10.5, () => log.push(`next at ${w.now}`));
  await w.run(20);
  expect(log).toEqual(['chain at 10', 'timer at 10', 'next at 10.5']);
  expect(w.now).toBe(20);
});

test('streams of the platform settle, too', async () => {
  const w = world();
  const seen: number[] = [];
  const { readable, writable } = new TransformStream<number, number>({
    transform: (value, controller) => controller.enqueue(value * 2),
  });
  readable.pipeTo(
    new WritableStream({
      write: (value) => {
        seen.push(value, w.now);
      },
    }),
  );
  const writer = writable.getWriter();
  w.host('a').setTimer(5, () => {
    writer.write(21);
  });
  w.host('b').setTimer(6, () => {
    writer.write(1);
  });
  await w.run(7);
  expect(seen).toEqual([42, 5, 2, 6]);
});

test('a callback that throws fails the run and names the seed; the world goes on afterwards', async () => {
  const w = world({ seed: 4711 });
  const boom = new RangeError('boom');
  let later = 0;
  w.host('a').setTimer(5, () => {
    throw boom;
  });
  w.host('a').setTimer(6, () => {
    later += 1;
  });
  const failure = await w.run(10).catch((error: unknown) => error as Error);
  expect(failure).toMatchObject({ message: 'World with seed 4711 failed at 5 ms: boom', cause: boom });
  expect(later).toBe(0);
  await w.run(10);
  expect(later).toBe(1);
});

test('runUntil stops as soon as something is so, and fails in time or when nothing is left', async () => {
  const w = world();
  let count = 0;
  for (let i = 1; i <= 5; i++) {
    w.host(`${i}`).setTimer(i * 10, () => {
      count += 1;
    });
  }
  await w.runUntil(() => count === 2);
  expect([w.now, count]).toEqual([20, 2]);
  await expect(w.runUntil(() => count === 9, 20)).rejects.toMatchObject({ code: 'TIMEOUT' });
  expect(count).toBe(4);
  await expect(w.runUntil(() => count === 9)).rejects.toThrow('nothing is left to happen');
  expect(w.now).toBe(50);
});

test('finish runs until a promise is settled and hands its value or error on', async () => {
  const w = world();
  const a = w.host('a');
  const wait = (ms: number): Promise<void> => new Promise((resolve) => a.setTimer(ms, resolve));
  expect(
    await w.finish(
      wait(30)
        .then(() => wait(12))
        .then(() => 'done'),
    ),
  ).toBe('done');
  expect(w.now).toBe(42);
  const failed = wait(1).then(() => Promise.reject(new Error('no')));
  await expect(w.finish(failed)).rejects.toThrow('no');
  a.setTimer(100_000, () => {});
  await expect(w.finish(new Promise(() => {}), 500)).rejects.toMatchObject({ code: 'TIMEOUT' });
});

test('a world runs once at a time, and time does not stand still for ever', async () => {
  const w = world();
  const running = w.run(10);
  await expect(w.run(10)).rejects.toThrow(TypeError);
  await running;
  const a = w.host('a');
  const again = (): void => {
    a.setTimer(0, again);
  };
  again();
  await expect(w.run(20)).rejects.toThrow('stands still');
  const silent = world();
  await silent.run(Number.POSITIVE_INFINITY);
  expect(silent.now).toBe(0);
});

test('a world is quiet when no event, socket, link or lock is left, and says what is', async () => {
  const w = world();
  const [a, b] = [w.host('a', { lateReleaseMs: 50 }), w.host('b')];
  w.assertQuiet();
  const timer = a.setTimer(1_000, () => {});
  const ear = await Ear.on(a, 4000);
  ear.socket.send(text('x'), { host: b.address, port: 1 }, 0);
  const server = await b.listenLink({ host: '0.0.0.0', port: 9000 }, () => ({
    open() {},
    data() {},
    drain() {},
    closed() {},
  }));
  const link = a.connectLink({ host: 'b', port: 9000 }, { open() {}, data() {}, drain() {}, closed() {} });
  const release = await a.files.lock('/id');
  expect(w.leftovers().join('\n')).toMatch(/^dial of link a → b:9000 ×2\nlent bytes\ntimer of a\n/);
  await w.elapse(200);
  expect(w.leftovers()).toEqual([
    'timer of a',
    'link a → b:9000',
    'UDP port 4000 of a',
    'lock on /id of a',
    'listener of b',
  ]);
  expect(() => w.assertQuiet()).toThrow(/seed 1.*timer of a/);
  timer.cancel();
  ear.socket.close();
  link.close();
  await release();
  await w.finish(server.close());
  await w.elapse(100);
  w.assertQuiet();
});

test('a trace can begin and end while the world runs', async () => {
  const w = world();
  const ear = await Ear.on(w.host('a'));
  const events: string[] = [];
  ear.say('x', '203.0.113.1', 1);
  w.trace(({ event }) => events.push(event));
  await w.elapse(5);
  w.trace(undefined);
  ear.say('x', '203.0.113.1', 1);
  await w.elapse(5);
  expect(events).toEqual(['noRoute']);
});

test('names are unique, and what is not there is refused', () => {
  const w = world();
  w.host('a');
  w.nat('home');
  expect(() => w.host('a', {})).toThrow(RangeError);
  expect(() => w.nat('a')).toThrow(RangeError);
  expect(() => w.host('home')).toThrow(RangeError);
  expect(() => w.host('b', { behind: 'a' })).toThrow(RangeError);
  expect(() => w.host('c', { behind: 'nowhere' })).toThrow(RangeError);
  expect(() => w.host('d', { address: w.host('a').address })).toThrow(RangeError);
  expect(() => w.host('e', { address: 'e' })).toThrow(TypeError);
  expect(() => w.block('a', 'home')).toThrow(RangeError);
});
