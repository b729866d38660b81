import { expect, test } from 'vitest';
import { CHALLENGE, emitJsonFrame, FrameReader, parseJson } from '../../src/wire/registry.ts';
import {
  BINARY_PROLOGUE,
  type BinaryAnswer,
  emitBinaryError,
  emitBinaryJson,
  emitHeartbeat,
  emitHeartbeatOk,
  emitLookup,
  emitLookupOk,
  emitResolve,
  emitResolveOk,
  parseBinaryAnswer,
  parseBinaryRequest,
} from '../../src/wire/registry-binary.ts';
import { readVectors } from '../vectors/folder.ts';

interface JsonVector {
  type?: string;
  note?: string;
  signed_text?: string;
  request_json: string;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function drain(reader: FrameReader): string[] {
  const bodies: string[] = [];
  for (let body = reader.next(); body !== undefined; body = reader.next()) bodies.push(hex(body));
  return bodies;
}

const STREAM = bytes('00000003aabbcc' + '00000000' + '0000000411223344');
const BODIES = ['aabbcc', '', '11223344'];

test('frames are found however the stream is cut', () => {
  for (let i = 0; i <= STREAM.length; i++) {
    for (let j = i; j <= STREAM.length; j++) {
      const reader = new FrameReader(16);
      const found: string[] = [];
      for (const part of [STREAM.subarray(0, i), STREAM.subarray(i, j), STREAM.subarray(j)]) {
        expect(reader.push(part)).toBe(true);
        found.push(...drain(reader));
      }
      expect(found).toEqual(BODIES);
      expect(reader.bufferedBytes).toBe(0);
    }
  }
});

test('an empty frame at the end is found without waiting for more', () => {
  const reader = new FrameReader(16);
  reader.push(bytes('00000001aa00000000'));
  expect(drain(reader)).toEqual(['aa', '']);
  expect(reader.bufferedBytes).toBe(0);
});

test('frames that are not taken are kept', () => {
  const reader = new FrameReader(16);
  for (const byte of STREAM) reader.push(Uint8Array.of(byte));
  for (let i = 0; i < 200; i++) reader.push(STREAM);
  expect(drain(reader)).toHaveLength(603);
});

test('a prefix above the limit breaks the stream as soon as it is there, behind whole frames too', () => {
  const reader = new FrameReader(4);
  expect(reader.push(bytes('00000004aabbccdd'))).toBe(true);
  expect(reader.push(bytes('0000000111000000'))).toBe(true);
  expect(reader.push(bytes('05'))).toBe(false);
  expect(reader.isBroken).toBe(true);
  expect(reader.push(bytes('00'))).toBe(false);
  expect(drain(reader)).toEqual(['aabbccdd', '11']);
});

test('a frame above the limit is not taken, even when all of it is there', () => {
  const reader = new FrameReader(4);
  expect(reader.push(bytes('0000000111000000051122334455'))).toBe(false);
  expect(drain(reader)).toEqual(['11']);
});

test('a prefix alone costs no memory, and a long frame gives its memory back', () => {
  const reader = new FrameReader(0x7fff_ffff);
  reader.push(bytes('7fffffff'));
  expect(reader.bufferedBytes).toBe(4);
  const long = new FrameReader(1_000_000);
  const body = new Uint8Array(1_000_000).fill(7);
  const frame = new Uint8Array([...bytes('000f4240'), ...body]);
  for (let at = 0; at < frame.length; at += 60_000) expect(long.push(frame.subarray(at, at + 60_000))).toBe(true);
  expect(Buffer.compare(long.next()!, body)).toBe(0);
  expect(long.bufferedBytes).toBe(0);
  long.push(STREAM);
  expect(drain(long)).toEqual(BODIES);
});

test('a JSON frame has the recorded bytes', () => {
  expect(hex(emitJsonFrame({ type: 'lookup', node_id: 9 }))).toBe(
    '0000001d7b2274797065223a226c6f6f6b7570222c226e6f64655f6964223a397d',
  );
});

test('a body is an object, null, or nothing', () => {
  const parse = (text: string): unknown => parseJson(new TextEncoder().encode(text));
  expect(parse('{"type":"x"}')).toEqual({ type: 'x' });
  expect(parse('null')).toBeNull();
  for (const bad of ['', '[]', '7', '"x"', 'not json', '{', '{"a":1}x', '[['.repeat(50_000)])
    expect(parse(bad)).toBeUndefined();
  expect(parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toBeUndefined();
});

test('signed texts are the recorded ones', () => {
  let checked = 0;
  for (const { type, note, signed_text, request_json } of readVectors<JsonVector[]>('registry-json')) {
    if (signed_text === undefined || note === 'wrong text signed') continue;
    const f = JSON.parse(request_json);
    const text = {
      heartbeat: () => CHALLENGE.heartbeat(f.node_id),
      resolve: () => CHALLENGE.resolve(f.requester_id, f.node_id),
      set_visibility: () => CHALLENGE.setVisibility(f.node_id),
      set_hostname: () => CHALLENGE.setHostname(f.node_id),
      set_tags: () => CHALLENGE.setTags(f.node_id),
      set_key_expiry: () => CHALLENGE.setKeyExpiry(f.node_id),
      deregister: () => CHALLENGE.deregister(f.node_id),
      rotate_key: () => CHALLENGE.rotateKey(f.node_id),
      request_handshake: () => CHALLENGE.requestHandshake(f.from_node_id, f.to_node_id),
      poll_handshakes: () => CHALLENGE.pollHandshakes(f.node_id),
      respond_handshake: () => CHALLENGE.respondHandshake(f.node_id, f.peer_id),
      report_trust: () => CHALLENGE.reportTrust(f.node_id, f.peer_id),
      revoke_trust: () => CHALLENGE.revokeTrust(f.node_id, f.peer_id),
      punch: () => CHALLENGE.punch(f.node_a, f.node_b),
    }[type ?? ''];
    if (text === undefined) continue;
    expect(text()).toBe(signed_text);
    checked += 1;
  }
  expect(checked).toBeGreaterThan(0);
});

test('the texts that no recording has are those of CP 1.5', () => {
  expect(CHALLENGE.register('0.0.0.0:4000', 'KEY=')).toBe('register:0.0.0.0:4000:KEY=');
  expect(CHALLENGE.rotateKey(7, 'KEY=')).toBe('rotate:7:KEY=');
  expect(CHALLENGE.lookup(7, 9)).toBe('lookup:7:9');
  expect(CHALLENGE.resolveHostname(7)).toBe('resolve_hostname:7');
  expect(CHALLENGE.listNodes(7, 3)).toBe('list_nodes:7:3');
  expect(CHALLENGE.checkTrust(7, 9)).toBe('check_trust:7:9');
  expect(CHALLENGE.findNodes(7, 'ml')).toBe('find_nodes:7:ml');
});

const KEY = bytes('03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8');
const LOOKUP = {
  nodeId: 9,
  isPublic: true,
  networks: [0, 3],
  publicKey: KEY,
  hostname: 'bob',
  tags: ['web'],
  realAddress: '192.0.2.1:4000',
};
const RESOLVE = { nodeId: 9, realAddress: '192.0.2.1:4000', lanAddresses: ['10.0.0.5:4000'], keyAgeDays: 12 };
const SIGNATURE = new Uint8Array(64).fill(0x63);

test('binary frames have the bytes of CP 11', () => {
  expect(hex(BINARY_PROLOGUE)).toBe('50494c5401');
  expect(hex(emitLookup(9))).toBe('000000050200000009');
  expect(hex(emitHeartbeat(7, SIGNATURE))).toBe(`000000450100000007${hex(SIGNATURE)}`);
  expect(hex(emitResolve(6, 5, SIGNATURE))).toBe(`00000049030000000600000005${hex(SIGNATURE)}`);
  expect(hex(emitHeartbeatOk(0x6b0355ed, false))).toBe('0000000a81000000006b0355ed00');
  const lookup = emitLookupOk(LOOKUP);
  expect(lookup[4]).toBe(0x82);
  expect(hex(lookup.subarray(5))).toBe(
    '0000000901000000000002000000032003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8' +
      '03626f620103776562000e3139322e302e322e313a3430303000',
  );
  const resolve = emitResolveOk(RESOLVE);
  expect(resolve[4]).toBe(0x83);
  expect(hex(resolve.subarray(5))).toBe(
    '00000009000e3139322e302e322e313a343030300001000d31302e302e302e353a343030300000000c',
  );
  expect(hex(emitBinaryError('node 999: not found'))).toBe(`00000016ff0013${hex(Buffer.from('node 999: not found'))}`);
});

const ANSWERS: [Uint8Array, BinaryAnswer][] = [
  [emitHeartbeatOk(0x1_0000_0001, true), { type: 'heartbeatOk', time: 0x1_0000_0001, isKeyExpiring: true }],
  [emitLookupOk(LOOKUP), { type: 'lookupOk', found: LOOKUP }],
  [emitResolveOk(RESOLVE), { type: 'resolveOk', found: RESOLVE }],
  [
    emitResolveOk({ ...RESOLVE, keyAgeDays: undefined }),
    { type: 'resolveOk', found: { ...RESOLVE, keyAgeDays: undefined } },
  ],
  [emitBinaryError('nö'), { type: 'error', text: 'nö' }],
  [emitBinaryJson({ a: 1 }), { type: 'json', body: new TextEncoder().encode('{"a":1}') }],
];

test('binary answers are read back, with bytes behind them too', () => {
  for (const [frame, answer] of ANSWERS) {
    expect(parseBinaryAnswer(frame.subarray(4))).toEqual(answer);
    if (answer.type === 'json') continue;
    expect(parseBinaryAnswer(new Uint8Array([...frame.subarray(4), 1, 2, 3]))).toEqual(answer);
  }
});

test('every truncation of a binary answer is nothing, and no bit flip throws', () => {
  for (const [frame, answer] of ANSWERS) {
    const body = frame.slice(4);
    for (let i = 0; i < body.length; i++) {
      if (answer.type !== 'json') expect(parseBinaryAnswer(body.subarray(0, i))).toBeUndefined();
      for (let bit = 0; bit < 8; bit++) {
        body[i]! ^= 1 << bit;
        parseBinaryAnswer(body);
        body[i]! ^= 1 << bit;
      }
    }
  }
  expect(parseBinaryAnswer(new Uint8Array(0))).toBeUndefined();
  expect(parseBinaryAnswer(bytes('44'))).toBeUndefined();
});

test('a list longer than 1024 is refused', () => {
  const networks = Array.from({ length: 1_025 }, () => 1);
  expect(parseBinaryAnswer(emitLookupOk({ ...LOOKUP, networks }).subarray(4))).toBeUndefined();
});

test('binary requests are read; short and unknown ones say what they are', () => {
  const parse = (text: string): unknown => parseBinaryRequest(bytes(text));
  expect(parseBinaryRequest(emitHeartbeat(7, SIGNATURE).subarray(4))).toEqual({
    type: 'heartbeat',
    nodeId: 7,
    signature: SIGNATURE,
  });
  expect(parseBinaryRequest(emitResolve(6, 5, SIGNATURE).subarray(4))).toEqual({
    type: 'resolve',
    nodeId: 6,
    requesterId: 5,
    signature: SIGNATURE,
  });
  expect(parse('02ffffffff')).toEqual({ type: 'lookup', nodeId: 0xffff_ffff });
  expect(parse('020000')).toEqual({ type: 'short', name: 'lookup', length: 2 });
  expect(parse('0100000005')).toEqual({ type: 'short', name: 'heartbeat', length: 4 });
  expect(parse('030000000600000005')).toEqual({ type: 'short', name: 'resolve', length: 8 });
  expect(parse('44')).toEqual({ type: 'unknown', code: 0x44 });
  expect(parse('007b7d')).toEqual({ type: 'json', body: bytes('7b7d') });
  expect(parse('')).toBeUndefined();
});

test('texts that their length field cannot say are cut', () => {
  const answer = parseBinaryAnswer(emitLookupOk({ ...LOOKUP, hostname: 'x'.repeat(300) }).subarray(4));
  expect(answer).toMatchObject({ type: 'lookupOk', found: { hostname: 'x'.repeat(255), tags: ['web'] } });
});
