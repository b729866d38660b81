import { beforeEach, expect, test } from 'vitest';
import { ControlClient } from '../../src/ipc/client.ts';
import { emitFrame } from '../../src/ipc/framing.ts';
import { COMMAND, emitAnswer, emitError, parseHandshake } from '../../src/ipc/messages.ts';
import { settled, TestClock, TestLink } from './rig.ts';

let clock: TestClock;
let link: TestLink;
let client: ControlClient;

beforeEach(() => {
  clock = new TestClock();
  link = new TestLink();
  client = new ControlClient(clock);
  client.attach(link);
});

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  );

test('asks in frames and resolves with the object', async () => {
  const answer = client.reject(7, 'no');
  await settled();
  const [frame] = link.frames();
  expect(frame?.command).toBe(COMMAND.handshake);
  expect(parseHandshake(frame!.payload)).toEqual({ sub: 'reject', nodeId: 7, text: 'no' });
  client.data(emitAnswer(COMMAND.handshakeAnswer, { node_id: 7, status: 'rejected' }));
  expect(await answer).toEqual({ node_id: 7, status: 'rejected' });
  expect(clock.timers).toBe(0);
});

test('has one command under way at a time', async () => {
  const first = client.info();
  const second = client.pending();
  await settled();
  expect(link.written).toHaveLength(1);
  client.data(emitAnswer(COMMAND.infoAnswer, { node_id: 1 }));
  await first;
  await settled();
  expect(link.written).toHaveLength(2);
  client.data(emitAnswer(COMMAND.handshakeAnswer, { pending: [] }));
  expect(await second).toEqual({ pending: [] });
});

test('passes over pushes and answers to other commands', async () => {
  const answer = client.info();
  await settled();
  for (const command of [0x05, 0x07, 0x09, 0x0c, COMMAND.handshakeAnswer, 0x7f]) {
    client.data(emitFrame(command, Uint8Array.of(1, 2, 3)));
  }
  client.data(emitAnswer(COMMAND.infoAnswer, { node_id: 1 }));
  expect(await answer).toEqual({ node_id: 1 });
});

test('an error that nobody asked for is not taken for the next answer', async () => {
  client.data(emitError('connection 9 not found'));
  const answer = client.info();
  await settled();
  client.data(emitAnswer(COMMAND.infoAnswer, {}));
  expect(await answer).toEqual({});
});

test('an error rejects the command and leaves the next one whole', async () => {
  const first = code(client.revoke(2));
  const second = client.trusted();
  await settled();
  client.data(emitError('handshake revoke: node 2 was not trusted'));
  expect(await first).toBe('NOT_FOUND');
  await settled();
  client.data(emitAnswer(COMMAND.handshakeAnswer, { trusted: [] }));
  expect(await second).toEqual({ trusted: [] });
});

test('gives up after 30 s, and after that takes no late answer', async () => {
  const first = code(client.info());
  await settled();
  clock.elapse(29_999);
  expect(link.isDestroyed).toBe(false);
  clock.elapse(1);
  expect(await first).toBe('TIMEOUT');
  expect(link.isDestroyed).toBe(true);
  expect(await code(client.info())).toBe('CLOSED');
});

test('gives `wait` its own time on top', async () => {
  const answer = code(client.wait(2, 20_000));
  await settled();
  clock.elapse(49_999);
  expect(link.isDestroyed).toBe(false);
  clock.elapse(1);
  expect(await answer).toBe('TIMEOUT');
});

test('a socket that ends rejects what is under way', async () => {
  const answer = code(client.info());
  await settled();
  client.closed();
  expect(await answer).toBe('CONNECTION_LOST');
});

test('an answer that is no object, and a frame that is too long, are no protocol', async () => {
  const first = code(client.info());
  await settled();
  client.data(emitFrame(COMMAND.infoAnswer, new TextEncoder().encode('[]')));
  expect(await first).toBe('PROTOCOL');
  const second = code(client.info());
  await settled();
  client.data(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  expect(await second).toBe('PROTOCOL');
  expect(link.isDestroyed).toBe(true);
});

test('close() rejects what is under way', async () => {
  const answer = code(client.info());
  await settled();
  client.close();
  expect(await answer).toBe('CLOSED');
});
