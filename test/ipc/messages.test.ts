import { describe, expect, test } from 'vitest';
import {
  COMMAND,
  emitAnswer,
  emitError,
  emitHandshake,
  emitInfo,
  errorCodeOf,
  type HandshakeRequest,
  parseAnswer,
  parseError,
  parseHandshake,
  unknownCommand,
} from '../../src/ipc/messages.ts';
import { framesOf } from './rig.ts';

const REQUESTS: readonly HandshakeRequest[] = [
  { sub: 'send', nodeId: 2, text: 'why' },
  { sub: 'send', nodeId: 0xffff_ffff, text: '' },
  { sub: 'approve', nodeId: 1 },
  { sub: 'reject', nodeId: 1, text: 'no thänks' },
  { sub: 'pending' },
  { sub: 'trusted' },
  { sub: 'revoke', nodeId: 7 },
  { sub: 'wait', nodeId: 7, timeoutMs: 30_000 },
];

const payloadOf = (frame: Uint8Array): Uint8Array => framesOf(frame)[0]!.payload;

test.each(REQUESTS)('handshake frame %j is read as it was written', (request) => {
  const frame = emitHandshake(request);
  expect(framesOf(frame)[0]?.command).toBe(COMMAND.handshake);
  expect(parseHandshake(payloadOf(frame))).toEqual(request);
});

test('an Info frame has a command and nothing else', () => {
  expect(emitInfo()).toEqual(Uint8Array.of(0, 0, 0, 1, 0x0d));
});

test('a handshake frame that ends early is an error text or, in its free text, a shorter text', () => {
  for (const request of REQUESTS) {
    const payload = payloadOf(emitHandshake(request));
    for (let length = 0; length < payload.length; length++) {
      const read = parseHandshake(payload.subarray(0, length));
      const isText = typeof read !== 'string' && 'text' in read;
      expect(typeof read === 'string' || isText, `${request.sub} ${length}`).toBe(true);
    }
  }
});

test('every flipped bit of a handshake frame is read as something or refused with a text', () => {
  for (const request of REQUESTS) {
    const payload = payloadOf(emitHandshake(request));
    for (let bit = 0; bit < payload.length * 8; bit++) {
      const flipped = Uint8Array.from(payload);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(parseHandshake(flipped)).not.toEqual(request);
    }
  }
});

describe('answers', () => {
  test('are JSON objects and nothing else', () => {
    const [frame] = framesOf(emitAnswer(COMMAND.infoAnswer, { node_id: 1 }));
    expect(frame?.command).toBe(COMMAND.infoAnswer);
    expect(parseAnswer(frame!.payload)).toEqual({ node_id: 1 });
    for (const text of ['', '[]', 'null', '1', '{"a":', '"x"']) {
      expect(parseAnswer(new TextEncoder().encode(text)), text).toBeUndefined();
    }
    expect(parseAnswer(Uint8Array.of(0x22, 0xff, 0x22))).toBeUndefined();
  });

  test('an error carries its text, cut to what a frame holds', () => {
    expect(parseError(payloadOf(emitError('no')))).toBe('no');
    expect(parseError(payloadOf(emitError('x'.repeat(2_000_000))))).toHaveLength(1_048_573);
    expect(parseError(Uint8Array.of(0))).toBe('');
  });

  test.each([
    [unknownCommand(0x25), 'NOT_SUPPORTED'],
    ['handshake: unknown sub-command 0x07', 'NOT_SUPPORTED'],
    ['handshake revoke: node 2 was not trusted', 'NOT_FOUND'],
    ['handshake approve: no pending request from node 2', 'NOT_FOUND'],
    ['something else', 'REGISTRY_REFUSED'],
  ])('the text %j means %s', (text, code) => {
    expect(errorCodeOf(text)).toBe(code);
  });
});
