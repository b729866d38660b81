/**
 * What running peers of the existing network sent one another, as recorded: each message that a codec of ours knows is
 * read and made again byte for byte.
 */
import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Address } from '../../src/wire/address.ts';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import {
  emitDelivery,
  emitDiscover,
  emitDiscoverReply,
  emitPunchCommand,
  emitPunchRequest,
  parseBeacon,
  writeRelayHeader,
} from '../../src/wire/beacon.ts';
import { emitPila, parseKeyExchange, signedExchange } from '../../src/wire/key-exchange.ts';
import { PORT } from '../../src/wire/packet.ts';
import { emitSack, looksLikeSack, parseSack } from '../../src/wire/sack.ts';
import { emitTrustMessage, parseTrustMessage, trustText } from '../../src/wire/trust.ts';
import { filesLike, isOurs, readLines } from '../vectors/folder.ts';

interface Frame {
  magic?: string;
  sender?: number;
  x25519?: string;
  ed25519?: string;
  sig?: string;
  packet?: { flags: string; dst: string; dst_port: number; len: number; payload: string; text?: string };
}
interface Line extends Frame {
  n: number;
  beacon?: { type: number; hex: string };
  inner?: Frame;
}

const LINES: Line[] = filesLike(/^session-.*\.decoded\.jsonl$/).flatMap((file) => readLines<Line>(file));
const FRAMES: Frame[] = LINES.flatMap((line) => (line.inner === undefined ? [line] : [line, line.inner]));

const bytesOf = (hex: string): Uint8Array => fromHex(hex)!;

function verifies(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const der = Buffer.concat([bytesOf('302a300506032b6570032100'), publicKey]);
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
}

test('every recorded PILA verifies and is read as it was decoded', () => {
  const exchanges = FRAMES.filter((frame) => frame.magic === 'PILA');
  expect(exchanges.length).toBeGreaterThan(0);
  for (const { sender, x25519, ed25519, sig } of exchanges) {
    const fields = {
      sender: sender!,
      exchangeKey: bytesOf(x25519!),
      identityKey: bytesOf(ed25519!),
      signature: bytesOf(sig!),
    };
    expect(parseKeyExchange(emitPila(fields))).toEqual({ authenticated: true, ...fields, recipientHint: undefined });
    const signed = signedExchange(fields.sender, fields.exchangeKey);
    expect(verifies(fields.identityKey, signed, fields.signature)).toBe(true);
  }
});

describe('recorded beacon messages', () => {
  const messages = LINES.filter((line) => line.beacon !== undefined);

  test('all are read and made again', () => {
    const seen = new Set<string>();
    for (const { beacon } of messages) {
      const bytes = bytesOf(beacon!.hex);
      const message = parseBeacon(bytes)!;
      seen.add(message.type);
      expect(toHex(remake(message, bytes))).toBe(beacon!.hex);
    }
    if (!isOurs) return;
    expect([...seen].sort()).toEqual([
      'delivery',
      'discover',
      'discoverReply',
      'punchCommand',
      'punchRequest',
      'relay',
    ]);
  });

  test('relayed key exchanges name the sender of the envelope', () => {
    const relayed = messages.filter((line) => line.inner?.magic === 'PILA');
    if (isOurs) expect(relayed.length).toBe(6);
    for (const { beacon, inner } of relayed) {
      const bytes = bytesOf(beacon!.hex);
      const message = parseBeacon(bytes);
      if (message?.type !== 'relay' && message?.type !== 'delivery') throw new Error('not relayed');
      const exchange = parseKeyExchange(bytes.subarray(message.frameOffset))!;
      expect(exchange.sender).toBe(message.sender);
      expect(toHex(exchange.exchangeKey)).toBe(inner!.x25519);
    }
  });

  function remake(message: NonNullable<ReturnType<typeof parseBeacon>>, bytes: Uint8Array): Uint8Array {
    switch (message.type) {
      case 'discover':
        return emitDiscover(message.nodeId);
      case 'discoverReply':
        return emitDiscoverReply(message.host, message.port);
      case 'punchCommand':
        return emitPunchCommand(message.host, message.port);
      case 'punchRequest':
        return emitPunchRequest(message.requester, message.target);
      case 'delivery':
        return emitDelivery(message.sender, bytes.subarray(message.frameOffset));
      case 'relay': {
        const made = bytes.slice();
        made.fill(0, 0, message.frameOffset);
        writeRelayHeader(made, 0, message.sender, message.destination);
        return made;
      }
      default:
        throw new Error(`Not in these captures: ${message.type}`);
    }
  }
});

test('every recorded SACK is read and made again, and no other payload is taken for one', () => {
  const out = new Uint32Array(8);
  let found = 0;
  for (const { packet } of FRAMES) {
    if (packet === undefined) continue;
    const payload = bytesOf(packet.payload) ?? new Uint8Array(0);
    const n = parseSack(payload, out);
    expect(n > 0).toBe(packet.payload.startsWith('5341434b'));
    expect(looksLikeSack(payload)).toBe(n > 0);
    if (n === 0) continue;
    found++;
    expect(packet.flags).toBe('ACK');
    const made = new Uint8Array(payload.length);
    expect(emitSack(made, 0, out, n)).toBe(made.length);
    expect(toHex(made)).toBe(packet.payload);
  }
  if (isOurs) expect(found).toBeGreaterThan(60);
});

test('every recorded trust message verifies and is made again byte for byte', () => {
  const types = new Set<string>();
  for (const { packet } of FRAMES) {
    if (packet?.dst_port !== PORT.trust || packet.len === 0) continue;
    // The recording keeps 200 bytes of a payload in hex, but all of its text.
    const payload = new TextEncoder().encode(packet.text);
    expect(payload.length).toBe(packet.len);
    const message = parseTrustMessage(payload);
    if (message === undefined || message === 'incomplete') throw new Error('not a trust message');
    types.add(message.type);
    expect(new TextDecoder().decode(emitTrustMessage(message))).toBe(packet.text);
    const text = new TextEncoder().encode(trustText(message.nodeId, Address.parse(packet.dst).node));
    expect(verifies(message.publicKey!, text, message.signature!)).toBe(true);
  }
  if (isOurs) expect([...types].sort()).toEqual(['handshake_accept', 'handshake_request']);
});
