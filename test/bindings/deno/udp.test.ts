/**
 * What no real socket shows on loopback, where the kernel takes every datagram at once: sends that settle late or fail,
 * and receives that fail. The contract on the real thing is in test/runtime/host.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { bindUdp } from '../../../bindings/deno/udp.ts';
import type { HostPort, UdpHandler, UdpSocket } from '../../../src/carrier/host.ts';

interface Sent {
  readonly bytes: Uint8Array;
  readonly to: object;
  settle(): void;
  fail(): void;
}

const TO: HostPort = { host: '192.0.2.1', port: 9 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let sent: Sent[];
/** The receive that waits. */
let receiving: { give(bytes: Uint8Array, hostname: string): void; fail(): void };
let received: number;
let heard: { text: string; from: HostPort }[];
let released: number[];
let lost: (HostPort | undefined)[];
let socket: UdpSocket;

const handler: UdpHandler = {
  datagram: (bytes, from) => heard.push({ text: new TextDecoder().decode(bytes), from }),
  released: (token) => released.push(token),
  unreachable: (to) => lost.push(to),
};

beforeEach(async () => {
  sent = [];
  heard = [];
  released = [];
  lost = [];
  received = 0;
  vi.stubGlobal('Deno', { listenDatagram: () => native });
  socket = await bindUdp({ host: '0.0.0.0', port: 0, handler }, { unref: false });
});

afterEach(() => {
  socket.close();
  vi.unstubAllGlobals();
});

const native = {
  addr: { transport: 'udp', hostname: '0.0.0.0', port: 5000 },
  send: (bytes: Uint8Array, to: object) =>
    new Promise<void>((resolve, reject) => {
      sent.push({ bytes, to, settle: resolve, fail: () => reject(new Error('failed')) });
    }),
  receive: (into: Uint8Array) =>
    new Promise((resolve, reject) => {
      received += 1;
      receiving = {
        give: (bytes, hostname) => {
          into.set(bytes);
          resolve([into.subarray(0, bytes.length), { transport: 'udp', hostname, port: 7 }]);
        },
        fail: () => reject(new Error('failed')),
      };
    }),
  unref: () => {},
  close: () => {},
};

test('a token comes back when its send settled, not before, whichever settles first', async () => {
  const lent = new Uint8Array(4);
  for (const token of [1, 2, 3]) socket.send(lent, TO, token);
  await turn();
  expect(released).toEqual([]);
  sent[1]!.settle();
  await turn();
  expect(released).toEqual([2]);
  sent[0]!.settle();
  sent[2]!.settle();
  await turn();
  expect(released).toEqual([2, 1, 3]);
  expect(lost).toEqual([]);
  expect(sent[0]!.bytes).toBe(lent);
  expect(sent[0]!.to).toEqual({ transport: 'udp', hostname: '192.0.2.1', port: 9 });
});

test('a send that failed gives its token back once and says where it was to go', async () => {
  socket.send(new Uint8Array(4), TO, 1);
  sent[0]!.fail();
  await turn();
  expect([released, lost]).toEqual([[1], [TO]]);
});

test('bytes with token -1 are copied, and nobody is told', async () => {
  const borrowed = new Uint8Array(4).fill(1);
  socket.send(borrowed, TO, -1);
  borrowed.fill(2);
  expect([...sent[0]!.bytes]).toEqual([1, 1, 1, 1]);
  sent[0]!.settle();
  await turn();
  expect(released).toEqual([]);
});

test('a port that Deno would cut to 16 bits is unreachable, and nothing is sent', () => {
  for (const [token, port] of [0, 65_536 + 9].entries())
    socket.send(new Uint8Array(4), { host: '192.0.2.1', port }, token);
  expect([released, lost.length, sent]).toEqual([[0, 1], 2, []]);
});

test('after close() sends that fail are silent, and still give their tokens back', async () => {
  socket.send(new Uint8Array(4), TO, 1);
  socket.close();
  sent[0]!.fail();
  socket.send(new Uint8Array(4), TO, 2);
  await turn();
  expect([released.sort(), lost, sent.length]).toEqual([[1, 2], [], 1]);
});

test('a receive that failed does not end the socket; close() ends receiving', async () => {
  receiving.fail();
  await turn();
  receiving.give(new TextEncoder().encode('hello'), '192.0.2.7');
  await turn();
  expect(heard).toMatchObject([{ text: 'hello', from: { host: '192.0.2.7', port: 7 } }]);
  expect([lost, received]).toEqual([[undefined], 3]);
  socket.close();
  receiving.fail();
  await turn();
  expect([lost.length, received]).toEqual([1, 3]);
});
