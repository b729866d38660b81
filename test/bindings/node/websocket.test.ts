/** WebSockets of both ends over loopback, with each class that the client may find. */
import { createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { createNodeHost } from '../../../bindings/node/host.ts';
import { listenLink } from '../../../bindings/node/links.ts';
import { builtInWebSocket, connectWebSocket } from '../../../bindings/node/websocket.ts';
import type {
  ServerWebSocketLink,
  Timer,
  WebAnswer,
  WebSocketEnd,
  WebSocketHandler,
  WebSocketLink,
} from '../../../src/carrier/host.ts';
import { connectStandardWebSocket } from '../../../src/carrier/websocket.ts';
import { PilotError } from '../../../src/errors.ts';
import { eventually } from '../../api/rig.ts';

const { setTimer } = createNodeHost();
const LIMIT = 100_000;
const OWN = builtInWebSocket() as typeof WebSocket | undefined;
const CLASSES: [string, typeof WebSocket | undefined][] = [
  ['the package ws', undefined],
  ['a class that is there', WebSocket],
];
if (OWN !== undefined) CLASSES.push(['the class of this Node', OWN]);

/** What one end hears. */
class End implements WebSocketHandler {
  readonly messages: (string | Uint8Array)[] = [];
  opened = 0;
  lives = 0;
  end: WebSocketEnd | undefined;
  url = '';
  link!: WebSocketLink;

  open(): void {
    this.opened += 1;
  }

  message(message: Uint8Array | string): void {
    this.messages.push(typeof message === 'string' ? message : message.slice());
  }

  alive(): void {
    this.lives += 1;
  }

  closed(end: WebSocketEnd): void {
    this.end = end;
  }

  get code(): string | undefined {
    return (this.end?.error as PilotError | undefined)?.code;
  }
}

interface Pair {
  readonly near: End;
  readonly far: End;
}

interface Way {
  readonly answer?: WebAnswer;
  readonly builtIn?: typeof WebSocket | undefined;
}

async function dial({ answer, builtIn }: Way): Promise<Pair> {
  const far = new End();
  const accept = (link: ServerWebSocketLink): End => {
    far.link = link;
    return far;
  };
  const request = (): WebAnswer => answer ?? { maxMessageBytes: LIMIT, protocol: 'pilot.v1', accept };
  const none = { open() {}, data() {}, drain() {}, closed() {} };
  const server = await listenLink({ host: '127.0.0.1', port: 0, web: { request } }, () => none);
  onTestFinished(() => server.close());
  const near = new End();
  const target = { url: `ws://127.0.0.1:${server.local.port}/x`, protocol: 'pilot.v1', maxMessageBytes: LIMIT };
  near.url = target.url;
  near.link = connectWebSocket(target, near, { setTimer, builtIn: builtIn as never });
  await eventually(() => near.opened > 0 || near.end !== undefined);
  return { near, far };
}

test('a message in more parts than anybody needs ends the link, one in many does not', async () => {
  const { near, far } = await dial({ builtIn: WebSocket });
  const socket = new WebSocket(near.url, 'pilot.v1');
  const ended = new Promise<number>((resolve) => socket.once('close', resolve));
  await new Promise((resolve) => socket.once('open', resolve));
  for (let i = 1; i <= 256; i++) socket.send(Uint8Array.of(i), { fin: i === 256 });
  await eventually(() => far.messages.length === 1);
  for (let i = 1; i <= 257; i++) socket.send(Uint8Array.of(i), { fin: i === 257 });
  expect(await ended).toBe(1008);
  expect(far.messages.map((message) => message.length)).toEqual([256]);
});

test('messages that wait are charged more than their bytes, and nothing once they were taken', async () => {
  const { near, far } = await dial({});
  for (let i = 0; i < 1_000; i++) far.link.send(Uint8Array.of(i));
  expect(far.link.bufferedBytes).toBeGreaterThan(1_000 * 300);
  await eventually(() => near.messages.length === 1_000);
  expect(far.link.bufferedBytes).toBe(0);
});

describe.each(CLASSES)('with %s', (_, builtIn) => {
  test('messages keep their borders, their kind and their order, both ways', async () => {
    const { near, far } = await dial({ builtIn });
    const large = new Uint8Array(LIMIT).fill(7);
    const messages = ['text ä', Uint8Array.of(1, 2), new Uint8Array(0), '', large, 'end'];
    for (const message of messages) near.link.send(message);
    for (const message of messages) far.link.send(message);
    await eventually(() => near.messages.length === messages.length && far.messages.length === messages.length);
    expect(near.messages).toEqual(messages);
    expect(far.messages).toEqual(messages);
    expect(near.link.bufferedBytes).toBe(0);
  });

  test('bytes may change when send() has returned', async () => {
    const { near, far } = await dial({ builtIn });
    // More than the kernel takes at once.
    const count = 200;
    const bytes = new Uint8Array(LIMIT);
    for (let i = 0; i < count; i++) {
      for (const link of [near.link, far.link]) {
        bytes.fill(1);
        link.send(bytes);
        bytes.fill(2);
      }
    }
    expect(far.link.bufferedBytes).toBeGreaterThan(LIMIT);
    await eventually(() => near.messages.length === count && far.messages.length === count);
    const ones = new Uint8Array(LIMIT).fill(1);
    for (const message of [...near.messages, ...far.messages]) {
      expect(Buffer.compare(message as Uint8Array, ones)).toBe(0);
    }
  });

  test('the code of an end arrives at the other side', async () => {
    const { near, far } = await dial({ builtIn });
    far.link.close(4000, 'replaced');
    await eventually(() => near.end !== undefined && far.end !== undefined);
    expect(near.end).toEqual({ code: 4000, reason: 'replaced' });
    near.link.send('nobody');
    const second = await dial({ builtIn });
    second.near.link.close(3999, 'why');
    await eventually(() => second.far.end !== undefined && second.near.end !== undefined);
    expect(second.far.end).toEqual({ code: 3999, reason: 'why' });
  });

  test('a message above the limit ends the link, in both directions', async () => {
    const { near, far } = await dial({ builtIn });
    near.link.send(new Uint8Array(LIMIT + 1));
    await eventually(() => near.end !== undefined && far.end !== undefined);
    expect([near.end?.code, far.messages]).toEqual([1009, []]);
    const second = await dial({ builtIn });
    second.far.link.send(new Uint8Array(LIMIT + 1));
    await eventually(() => second.near.end !== undefined);
    expect(second.near.messages).toEqual([]);
  });

  test('destroy() is silent here, and an end over there', async () => {
    const { near, far } = await dial({ builtIn });
    near.link.destroy();
    await eventually(() => far.end !== undefined);
    // Where the class cannot break off, it ends in order.
    expect([near.end, far.end?.code]).toEqual([undefined, builtIn === undefined ? 1006 : 1005]);
  });

  test('a ping of the server is answered', async () => {
    const { far } = await dial({ builtIn });
    (far.link as ServerWebSocketLink).ping();
    await eventually(() => far.lives === 1);
  });

  test('an end without a word is 1006, and no error once it was open', async () => {
    const { near, far } = await dial({ builtIn });
    far.link.destroy();
    await eventually(() => near.end !== undefined);
    expect(near.end?.code).toBe(1006);
  });

  test('nobody there, or nobody who speaks HTTP, is unreachable', async () => {
    const silent = createServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('hello'),
    );
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const target = { url: `ws://127.0.0.1:${port}/`, protocol: 'pilot.v1', maxMessageBytes: LIMIT };
    const first = new End();
    connectWebSocket(target, first, { setTimer, builtIn: builtIn as never });
    await eventually(() => first.end !== undefined);
    await new Promise((resolve) => silent.close(resolve));
    const second = new End();
    connectWebSocket(target, second, { setTimer, builtIn: builtIn as never });
    await eventually(() => second.end !== undefined);
    expect([first.code, second.code]).toEqual(['RENDEZVOUS_UNREACHABLE', 'RENDEZVOUS_UNREACHABLE']);
  });
});

test.each([
  [403, 'REGISTRY_REFUSED'],
  [404, 'NOT_SUPPORTED'],
  [426, 'NOT_SUPPORTED'],
  [429, 'RENDEZVOUS_UNREACHABLE'],
  [503, 'RENDEZVOUS_UNREACHABLE'],
])('an answer of %i is %s', async (status, code) => {
  const { near } = await dial({ answer: { status, text: 'no' } });
  expect([near.code, near.end?.code]).toEqual([code, 1006]);
});

test('a dial without an answer ends, and an end without one, too', async () => {
  const timers: { delayMs: number; callback: () => void; isCancelled: boolean }[] = [];
  const later = (delayMs: number, callback: () => void): Timer => {
    const timer = { delayMs, callback, isCancelled: false };
    timers.push(timer);
    return {
      cancel: () => {
        timer.isCancelled = true;
      },
      unref() {},
    };
  };
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    silent.close();
  });
  const { port } = silent.address() as { port: number };
  const end = new End();
  const target = { url: `ws://127.0.0.1:${port}/`, protocol: 'pilot.v1', maxMessageBytes: LIMIT };
  const link = connectWebSocket(target, end, { setTimer: later, builtIn: WebSocket as never });
  link.close();
  expect(timers.map(({ delayMs, isCancelled }) => [delayMs, isCancelled])).toEqual([
    [20_000, true],
    [5_000, false],
  ]);
  timers[1]?.callback();
  expect(end.end?.code).toBe(1006);
  const other = new End();
  connectWebSocket(target, other, { setTimer: later, builtIn: WebSocket as never });
  timers[2]?.callback();
  expect(other.code).toBe('RENDEZVOUS_UNREACHABLE');
});

test('a link that the binding will not have is over before anybody hears of it', async () => {
  const { near } = await dial({});
  const end = new End();
  const target = { url: near.url, protocol: 'pilot.v1', maxMessageBytes: LIMIT };
  connectStandardWebSocket(target, end, {
    setTimer,
    make: () => new WebSocket(target.url, target.protocol) as never,
    refuse: () => new PilotError('NOT_SUPPORTED', 'Cannot pin'),
  });
  await eventually(() => end.end !== undefined);
  expect([end.opened, end.code]).toEqual([0, 'NOT_SUPPORTED']);
});

test('a URL that the runtime refuses is an end, not an exception', async () => {
  const end = new End();
  const target = { url: 'ws://127.0.0.1:1/', protocol: 'not a token', maxMessageBytes: LIMIT };
  connectWebSocket(target, end, { setTimer, builtIn: WebSocket as never });
  await eventually(() => end.end !== undefined);
  expect(end.code).toBe('RENDEZVOUS_UNREACHABLE');
});
