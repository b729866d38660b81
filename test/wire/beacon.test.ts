import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import {
  BEACON,
  type BeaconMessage,
  DELIVERY_BYTES,
  discoverText,
  emitDelivery,
  emitDiscover,
  emitDiscoverReply,
  emitNotify,
  emitPunchCommand,
  emitPunchRequest,
  emitSync,
  parseBeacon,
  RELAY_BYTES,
  writeDeliveryHeader,
  writeRelayHeader,
} from '../../src/wire/beacon.ts';
import { parseHostPort } from '../../src/wire/host-port.ts';
import { bitFlips, hostile, random, truncations } from '../reference/hostile.ts';
import { isOurs, readVectors } from '../vectors/folder.ts';

interface Received {
  data: string;
  length?: number;
}
interface Vector {
  note: string;
  from: string;
  message: string;
  message_note?: string;
  received_by_a: Received[];
  received_by_b: Received[];
}

const VECTORS = readVectors<Vector[]>('beacon');
/** Where the two sockets of the recording were. */
const SENDERS = [...new Set(VECTORS.map(({ from }) => from))].map((from) => parseHostPort(from)!);

const bytesOf = (hex: string): Uint8Array => fromHex(hex)!;

/** Recorded bytes; those that the recording cut are filled up with the zeros that stood there. */
function whole(text: string, length: number | undefined): Uint8Array {
  if (!text.endsWith('...')) return bytesOf(text);
  const bytes = new Uint8Array(length!);
  bytes.set(bytesOf(text.slice(0, -3)));
  return bytes;
}

function lengthOf(vector: Vector): number | undefined {
  const match = /message is (\d+) bytes/.exec(vector.message_note ?? '');
  return match === null ? undefined : Number(match[1]);
}

function emitRelay(sender: number, destination: number, frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(RELAY_BYTES + frame.length);
  writeRelayHeader(bytes, 0, sender, destination);
  bytes.set(frame, RELAY_BYTES);
  return bytes;
}

/** Makes the message anew from what was read; undefined for the types that we never send. */
function emit(message: BeaconMessage, source: Uint8Array): Uint8Array | undefined {
  switch (message.type) {
    case 'discover': {
      if (message.extended) return undefined;
      const { nodeId, publicKey, signedAt, signature } = message;
      if (publicKey === undefined) return emitDiscover(nodeId);
      if (signedAt === undefined || signature === undefined) return emitDiscover(nodeId, { publicKey });
      return emitDiscover(nodeId, { publicKey, signedAtMs: signedAt, signature });
    }
    case 'discoverReply':
      return emitDiscoverReply(message.host, message.port);
    case 'punchCommand':
      return emitPunchCommand(message.host, message.port);
    case 'punchRequest':
      return message.grant === undefined ? emitPunchRequest(message.requester, message.target) : undefined;
    case 'relay':
      return emitRelay(message.sender, message.destination, source.subarray(message.frameOffset));
    case 'delivery':
      if (message.destination !== undefined) return undefined;
      return emitDelivery(message.sender, source.subarray(message.frameOffset));
    case 'sync':
      return emitSync(message.beaconId, message.nodeIds);
    case 'notify':
      return emitNotify(message.kind);
  }
}

/** What the recorded beacon makes of each message of ours, as far as it does not depend on what it knows. */
const EXPECTED: Record<string, BeaconMessage | undefined> = {
  '030000000100000002': { type: 'punchRequest', requester: 1, target: 2, grant: undefined },
  '0100000001': plainDiscover(1),
  '0100000002': plainDiscover(2),
  '0100000000': plainDiscover(0),
  '010000': undefined,
  '010000000178797a': plainDiscover(1),
  '03000000010000004d': { type: 'punchRequest', requester: 1, target: 77, grant: undefined },
  '030000000100': undefined,
  '0500000001000000': undefined,
  '070000000900020000003200000033': { type: 'sync', beaconId: 9, nodeIds: [50, 51] },
  '070000000900030000003200000033': undefined,
  '0800000001': { ...plainDiscover(1), extended: true },
  '0200000001': undefined,
};

function plainDiscover(nodeId: number): Extract<BeaconMessage, { type: 'discover' }> {
  return { type: 'discover', nodeId, publicKey: undefined, signedAt: undefined, signature: undefined, extended: false };
}

describe('recorded exchanges', () => {
  test.each(VECTORS)('$note', (vector) => {
    const bytes = whole(vector.message, lengthOf(vector));
    const message = parseBeacon(bytes);
    if (bytes[0] === BEACON.relay && bytes.length >= RELAY_BYTES) {
      const [sender, destination] = [1, 5].map((offset) => new DataView(bytes.buffer).getUint32(offset));
      expect(message).toEqual({ type: 'relay', sender, destination, frameOffset: 9 });
    } else if (bytes[0]! >= 0x10) expect(message).toBeUndefined();
    else if (isOurs || vector.message in EXPECTED) {
      expect(vector.message in EXPECTED).toBe(true);
      expect(message).toEqual(EXPECTED[vector.message]);
    }
    for (const { data, length } of [...vector.received_by_a, ...vector.received_by_b]) {
      checkReply(vector, bytes, whole(data, length));
    }
  });

  /** The recorded reply is what ours emits for what ours read. */
  function checkReply(vector: Vector, bytes: Uint8Array, reply: Uint8Array): void {
    const request = parseBeacon(bytes)!;
    const read = parseBeacon(reply)!;
    expect(toHex(emit(read, reply)!)).toBe(toHex(reply));
    if (request.type === 'discover') {
      const { host, port } = parseHostPort(vector.from)!;
      expect(toHex(emitDiscoverReply(host, port))).toBe(toHex(reply));
    } else if (request.type === 'punchRequest') {
      expect(SENDERS.map(({ host, port }) => toHex(emitPunchCommand(host, port)))).toContain(toHex(reply));
    } else if (request.type === 'relay') {
      const frame = bytes.subarray(request.frameOffset);
      const isForwarded = reply[0] === BEACON.relay;
      const made = isForwarded
        ? emitRelay(request.sender, request.destination, frame)
        : emitDelivery(request.sender, frame);
      expect(toHex(made)).toBe(toHex(reply));
    }
  }
});

describe('vectors of DP 4', () => {
  test('Discover and punch request (4.4)', () => {
    expect(toHex(emitDiscover(1))).toBe('0100000001');
    expect(toHex(emitPunchRequest(1, 2))).toBe('030000000100000002');
  });

  test('relay and delivery (4.5)', () => {
    const frame = bytesOf('50494c50');
    expect(toHex(emitRelay(1, 2, frame))).toBe('05000000010000000250494c50');
    expect(toHex(emitDelivery(1, frame))).toBe('060000000150494c50');
    expect(parseBeacon(bytesOf('09000000010000000250494c50'))).toEqual({
      type: 'delivery',
      sender: 1,
      destination: 2,
      frameOffset: 9,
    });
  });

  test('notify is exactly two bytes, more are ignored (4.6)', () => {
    expect(toHex(emitNotify(1))).toBe('0a01');
    expect(parseBeacon(bytesOf('0a01ffff'))).toEqual({ type: 'notify', kind: 1 });
    expect(parseBeacon(bytesOf('0a7f'))).toEqual({ type: 'notify', kind: 127 });
    expect(parseBeacon(bytesOf('0a'))).toBeUndefined();
  });
});

describe('Discover', () => {
  const publicKey = Uint8Array.from({ length: 32 }, (_, i) => 0x20 + i);
  const signature = Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i);
  const signedAtMs = 1_772_150_400_123;
  const signed = emitDiscover(7, { publicKey, signedAtMs, signature });

  test('signed is id, key, milliseconds, signature: 109 bytes', () => {
    expect(toHex(signed)).toBe(`0100000007${toHex(publicKey)}0000019c9c65247b${toHex(signature)}`);
    expect(signed.length).toBe(109);
    expect(parseBeacon(signed)).toEqual({
      type: 'discover',
      nodeId: 7,
      publicKey,
      signedAt: signedAtMs,
      signature,
      extended: false,
    });
  });

  test('the text that it signs has id and milliseconds in decimal', () => {
    expect(discoverText(4294967295, signedAtMs)).toBe('pilot-discover:4294967295:1772150400123');
  });

  test('counts as the longest form that is complete', () => {
    for (const cut of truncations(signed)) {
      const message = parseBeacon(cut);
      if (cut.length < 5) expect(message).toBeUndefined();
      else {
        expect(message).toEqual({ ...plainDiscover(7), publicKey: cut.length < 37 ? undefined : publicKey });
      }
    }
    const longer = new Uint8Array(200);
    longer.set(signed);
    expect(parseBeacon(longer)).toEqual(parseBeacon(signed));
  });

  test('a signature without time, or without key, is not sent', () => {
    expect(emitDiscover(7, { publicKey, signature })).toEqual(emitDiscover(7, { publicKey }));
    expect(emitDiscover(7, { publicKey, signedAtMs })).toEqual(emitDiscover(7, { publicKey }));
    expect(emitDiscover(7, { signedAtMs, signature })).toEqual(emitDiscover(7));
  });

  test('a time that no number holds exactly is refused', () => {
    const bytes = signed.slice();
    bytes.fill(0xff, 37, 45);
    expect(parseBeacon(bytes)).toBeUndefined();
  });

  test('type 8 asks for extended deliveries', () => {
    const bytes = signed.slice();
    bytes[0] = 8;
    expect(parseBeacon(bytes)).toEqual({ ...(parseBeacon(signed) as object), extended: true });
  });
});

describe('endpoints', () => {
  test.each([
    ['192.0.2.1', 4000, '0404c00002010fa0'],
    ['2001:db8::1', 4000, '041020010db80000000000000000000000010fa0'],
    ['::ffff:192.0.2.1', 4000, '0404c00002010fa0'],
  ])('%s port %i is sent as %s', (host, port, hex) => {
    expect(toHex(emitPunchCommand(host, port))).toBe(hex);
    expect(toHex(emitDiscoverReply(host, port))).toBe(`02${hex.slice(2)}`);
  });

  test('an IPv4-mapped address that arrives is reduced', () => {
    const bytes = bytesOf('041000000000000000000000ffffc00002010fa0');
    expect(parseBeacon(bytes)).toEqual({ type: 'punchCommand', host: '192.0.2.1', port: 4000 });
  });

  test.each([
    ['another length of address', '0406c00002010fa00000'],
    ['no length', '04'],
    ['half a port', '0404c00002010f'],
    ['an IPv6 address cut short', '041020010db8000000000000000000000001'],
    ['port 0, to which nothing can be sent', '0404c00002010000'],
  ])('%s is refused', (_, hex) => {
    expect(parseBeacon(bytesOf(hex))).toBeUndefined();
  });

  test('a name instead of an address is misuse', () => {
    expect(() => emitPunchCommand('localhost', 80)).toThrow(TypeError);
  });
});

describe('punch request', () => {
  const grant = `00000000699f${'8f00'}${'ab'.repeat(64)}`;

  test('with a grant of 72 bytes', () => {
    const bytes = bytesOf(`030000000100000002${grant}`);
    expect(parseBeacon(bytes)).toEqual({
      type: 'punchRequest',
      requester: 1,
      target: 2,
      grant: { expiresAt: 0x699f8f00, signature: new Uint8Array(64).fill(0xab) },
    });
  });

  test('half a grant is none', () => {
    for (const cut of truncations(bytesOf(`030000000100000002${grant}`))) {
      const expected = cut.length < 9 ? undefined : { type: 'punchRequest', requester: 1, target: 2, grant: undefined };
      expect(parseBeacon(cut)).toEqual(expected);
    }
  });

  test('a grant without end is refused', () => {
    expect(parseBeacon(bytesOf(`030000000100000002${'ff'.repeat(72)}`))).toBeUndefined();
  });
});

describe('sync', () => {
  test('bytes behind the last id are ignored', () => {
    expect(parseBeacon(bytesOf('07000000090001000000320000'))).toEqual({ type: 'sync', beaconId: 9, nodeIds: [50] });
  });

  test('65535 ids are the most', () => {
    const ids = new Uint32Array(65_535).fill(7);
    expect(parseBeacon(emitSync(1, ids))).toEqual({ type: 'sync', beaconId: 1, nodeIds: [...ids] });
    expect(() => emitSync(1, new Uint32Array(65_536))).toThrow(RangeError);
  });
});

test('headers are written in place, around bytes that stay', () => {
  const bytes = new Uint8Array(12).fill(0xee);
  writeRelayHeader(bytes, 2, 0x01020304, 0x05060708);
  expect(toHex(bytes)).toBe('eeee050102030405060708ee');
  bytes.fill(0xee);
  writeDeliveryHeader(bytes, 6, 0x01020304);
  expect(toHex(bytes)).toBe('eeeeeeeeeeee0601020304ee');
});

describe('hostile messages', () => {
  const key = random(9).bytes(32);
  const samples: [string, Uint8Array][] = [
    [
      'discover',
      emitDiscover(0x01020304, { publicKey: key, signedAtMs: 1_772_150_400_123, signature: random(8).bytes(64) }),
    ],
    ['discover reply', emitDiscoverReply('192.0.2.1', 4000)],
    ['punch command', emitPunchCommand('2001:db8::1', 4000)],
    ['punch request', bytesOf(`030000000100000002${'00'.repeat(8)}${'ab'.repeat(64)}`)],
    ['relay', emitRelay(1, 2, key)],
    ['delivery', emitDelivery(1, key)],
    ['extended delivery', bytesOf(`090000000100000002${'cd'.repeat(8)}`)],
    ['sync', emitSync(9, [50, 51, 52])],
    ['notify', emitNotify(1)],
  ];

  test.each(samples)('%s: nothing throws, and no result outgrows its bytes', (_, sample) => {
    let read = 0;
    for (const bytes of hostile(sample)) {
      const message = parseBeacon(bytes);
      if (message === undefined) continue;
      read++;
      checkBounds(message, bytes);
      // What we read is what the bytes say: made anew, it is their beginning.
      const again = emit(message, bytes);
      if (again !== undefined && !isMapped(bytes)) expect(toHex(bytes).startsWith(toHex(again))).toBe(true);
    }
    expect(read).toBeGreaterThan(8);
  });

  test.each(samples)('%s: a flipped bit is refused or shows', (_, sample) => {
    const original = JSON.stringify(parseBeacon(sample));
    for (const flipped of bitFlips(sample)) {
      const message = parseBeacon(flipped);
      if (message?.type === 'relay' || message?.type === 'delivery') {
        const at = message.frameOffset;
        const isInFrame = toHex(flipped.subarray(0, at)) === toHex(sample.subarray(0, at));
        expect(JSON.stringify(message) === original).toBe(isInFrame);
      } else expect(JSON.stringify(message)).not.toBe(original);
    }
  });

  function isMapped(bytes: Uint8Array): boolean {
    return toHex(bytes.subarray(2, 14)) === '00000000000000000000ffff';
  }

  function checkBounds(message: BeaconMessage, bytes: Uint8Array): void {
    if (message.type === 'sync') expect(7 + 4 * message.nodeIds.length).toBeLessThanOrEqual(bytes.length);
    if (message.type === 'relay' || message.type === 'delivery') {
      expect(message.frameOffset).toBeLessThanOrEqual(bytes.length);
    }
    if (message.type === 'discover') {
      expect(message.publicKey?.length ?? 32).toBe(32);
      expect(message.signature?.length ?? 64).toBe(64);
      expect(message.signature === undefined).toBe(message.signedAt === undefined);
    }
    if (message.type === 'punchRequest') expect(message.grant?.signature.length ?? 64).toBe(64);
  }
});

test('parse reads back what emit writes', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const port = fc.integer({ min: 1, max: 0xffff });
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
  const frame = fc.uint8Array({ maxLength: 100 });
  const host = fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', 'fe80::1:0:0:2', '::1', 'fd00:1:2:3:4:5:6:7'));
  const message: fc.Arbitrary<BeaconMessage> = fc.oneof(
    u32.map(plainDiscover),
    fc.record({ nodeId: u32, publicKey: key }).map((fields) => ({ ...plainDiscover(0), ...fields })),
    fc
      .record({ nodeId: u32, publicKey: key, signedAt: fc.maxSafeNat(), signature })
      .map((fields) => ({ ...plainDiscover(0), ...fields })),
    fc.record({ type: fc.constantFrom('discoverReply' as const, 'punchCommand' as const), host, port }),
    fc.record({
      type: fc.constant('punchRequest' as const),
      requester: u32,
      target: u32,
      grant: fc.constant(undefined),
    }),
    fc.record({
      type: fc.constant('relay' as const),
      sender: u32,
      destination: u32,
      frameOffset: fc.constant(RELAY_BYTES),
    }),
    fc.record({
      type: fc.constant('delivery' as const),
      sender: u32,
      destination: fc.constant(undefined),
      frameOffset: fc.constant(DELIVERY_BYTES),
    }),
    fc.record({ type: fc.constant('sync' as const), beaconId: u32, nodeIds: fc.array(u32, { maxLength: 50 }) }),
    fc.record({ type: fc.constant('notify' as const), kind: fc.integer({ min: 0, max: 255 }) }),
  );
  fc.assert(
    fc.property(message, frame, (value, payload) => {
      const offset = 'frameOffset' in value ? value.frameOffset : 0;
      const source = new Uint8Array(offset + payload.length);
      source.set(payload, offset);
      const bytes = emit(value, source)!;
      expect(parseBeacon(bytes)).toEqual(value);
      if (offset > 0) expect(bytes.subarray(offset)).toEqual(payload);
    }),
    { seed: 1, numRuns: 200 },
  );
});
