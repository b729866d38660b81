import { expect, test } from 'vitest';
import { LINK_LIMITS, Session } from '../../src/server/registry/session.ts';
import { Tally } from '../../src/server/tally.ts';
import { emitJsonFrame } from '../../src/wire/registry.ts';
import { hex, Identity, prefixed, random, Wire, World } from './rig.ts';

const LOOKUP = emitJsonFrame({ type: 'lookup', node_id: 9 });

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

/** A session alone, with a clock that is set by hand. */
function link(isTrusted = false): { session: Session; tally: Tally<string>; now: number; take(): number } {
  const tally = new Tally<string>();
  const session = new Session(0, { tally, isTrusted });
  return {
    session,
    tally,
    now: 0,
    /** Answers all that may be answered now. */
    take() {
      let count = 0;
      for (; session.pollRequest(this.now) !== undefined; count++) {
        session.handleAnswer({ ok: true, fields: { type: 'x' } });
        session.pollBytes();
      }
      return count;
    },
  };
}

test('the format is told from the first bytes, one byte at a time too', () => {
  const world = new World();
  const json = new Wire(world);
  const answers = [...LOOKUP].flatMap((byte) => json.send(Uint8Array.of(byte)));
  expect(answers).toHaveLength(1);
  expect(text(answers[0])).toContain('node 9: node not found');
  const binary = new Wire(world);
  const frames = [...hex('50494c5401000000050200000009')].flatMap((byte) => binary.send(Uint8Array.of(byte)));
  expect(text(frames[0])).toContain('node 9: not found');
  expect([json.tally.get('jsonLinks'), binary.tally.get('binaryLinks')]).toEqual([1, 1]);
});

test('another version of the binary protocol gets an error frame and is closed', () => {
  const wire = new Wire(new World());
  const [answer] = wire.send(hex('50494c5402'));
  expect(answer![4]).toBe(0xff);
  expect(wire.session.isClosed).toBe(true);
});

test('HTTP is closed with a counter', () => {
  const wire = new Wire(new World());
  expect(wire.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toEqual([]);
  expect(wire.session.isClosed).toBe(true);
  expect(wire.tally.get('httpNotServed')).toBe(1);
});

test('a frame above 256 KiB is closed on its prefix; the requests in front of it are answered', () => {
  const wire = new Wire(new World());
  const bytes = new Uint8Array([...LOOKUP, 0, 4, 0, 1]);
  expect(wire.send(bytes)).toHaveLength(1);
  expect(wire.session.isClosed).toBe(true);
  expect(wire.tally.get('frameTooLong')).toBe(1);
  const largest = new Wire(new World());
  const body = Buffer.alloc(LINK_LIMITS.requestBytes, ' ');
  body.write('{"type":"x"}');
  expect(largest.send(prefixed(body))).toHaveLength(1);
  expect(largest.session.isClosed).toBe(false);
});

test('a TLS hello on a plaintext port is a frame that is too long', () => {
  const wire = new Wire(new World());
  wire.send(hex('160301020001'));
  expect(wire.session.isClosed).toBe(true);
});

test('requests are handed out one at a time and answered in order', () => {
  const { session } = link();
  session.handleBytes(new Uint8Array([...emitJsonFrame({ type: 'a' }), ...emitJsonFrame({ type: 'b' })]));
  expect(session.pollRequest(0)).toEqual({ type: 'a' });
  expect(session.pollRequest(0)).toBeUndefined();
  session.handleAnswer({ ok: true, fields: { type: 'a_ok' } });
  expect(session.pollRequest(0)).toEqual({ type: 'b' });
  session.handleAnswer({ ok: false, text: 'secret detail', code: 'BUSY' });
  expect(text(session.pollBytes()?.subarray(4))).toBe('{"type":"a_ok"}');
  expect(text(session.pollBytes()?.subarray(4))).toBe('{"type":"error","error":"request failed","code":"BUSY"}');
  expect(session.pollBytes()).toBeUndefined();
});

test('a binary request that is being verified is not touched by bytes that follow', () => {
  const { session } = link();
  session.handleBytes(hex(`50494c5401000000450100000007${'63'.repeat(64)}`));
  const request = session.pollRequest(0)!;
  session.handleBytes(hex(`000000450100000007${'00'.repeat(64)}`));
  expect(request).toEqual({ type: 'heartbeat', node_id: 7, signature: new Uint8Array(64).fill(0x63) });
});

test('a peer that sends on while it is owed answers is cut off at 512 KiB', () => {
  const { session, tally } = link();
  session.handleBytes(LOOKUP);
  session.pollRequest(0);
  const chunk = emitJsonFrame({ type: 'x', pad: 'x'.repeat(60_000) });
  for (let i = 0; i < 20; i++) session.handleBytes(chunk);
  expect(session.isClosed).toBe(true);
  expect(tally.get('flooded')).toBe(1);
});

test('a link idle for five minutes is closed, measured by requests and not by bytes', () => {
  const idle = link();
  idle.session.handleBytes(LOOKUP);
  idle.take();
  expect(idle.session.pollTimeout()).toBe(300_000);
  idle.session.handleBytes(LOOKUP.subarray(0, 10));
  idle.session.handleTimeout(299_999);
  expect(idle.session.isClosed).toBe(false);
  idle.session.handleTimeout(300_000);
  expect(idle.session.isClosed).toBe(true);
  expect(idle.tally.get('idle')).toBe(1);
});

test('a peer that does not read its answers gets no more, and is closed after 30 s', () => {
  const slow = link();
  slow.session.handleBlocked(0);
  slow.session.handleBytes(LOOKUP);
  expect(slow.take()).toBe(0);
  slow.session.handleDrain();
  expect(slow.take()).toBe(1);
  slow.session.handleBlocked(1_000);
  slow.session.handleTimeout(31_000);
  expect(slow.tally.get('stalled')).toBe(1);
});

test('above 100 requests a second each waits 10 ms, above 500 the link is closed; the first 5 s are free', () => {
  const fast = link();
  const send = (count: number): void => {
    for (let i = 0; i < count; i++) fast.session.handleBytes(LOOKUP);
  };
  fast.now = 4_999;
  send(600);
  expect(fast.take()).toBe(600);
  fast.now = 5_000;
  send(3);
  expect(fast.take()).toBe(1);
  expect(fast.session.delayedUntil(fast.now)).toBe(5_010);
  fast.now = 5_010;
  expect(fast.session.delayedUntil(fast.now)).toBeUndefined();
  expect(fast.take()).toBe(1);
  fast.now = 5_020;
  expect(fast.take()).toBe(1);
  const flood = link();
  flood.now = 4_000;
  for (let i = 0; i < 2_600; i++) {
    flood.session.handleBytes(LOOKUP);
    flood.take();
  }
  flood.now = 5_100;
  flood.session.handleBytes(LOOKUP);
  flood.take();
  expect(flood.session.isClosed).toBe(true);
  expect(flood.tally.get('tooManyRequests')).toBe(1);
});

test('a source on this machine may ask a hundred times as often', () => {
  const local = link(true);
  local.now = 5_000;
  for (let i = 0; i < 3_000; i++) local.session.handleBytes(LOOKUP);
  expect(local.take()).toBe(3_000);
});

test('ids of any other type are 0', () => {
  const world = new World();
  world.join(new Identity('alice'));
  const wire = new Wire(world);
  for (const id of ['"1"', '-1', '4294967296', 'null', '{}', '[1]', 'true', '1e400']) {
    const body = Buffer.from(`{"type":"lookup","node_id":${id}}`);
    expect(wire.json(body)?.error, id).toBe('node 0: node not found');
  }
  expect(wire.json(Buffer.from('{"type":"lookup","node_id":1.9}'))?.node_id).toBe(1);
});

test('every truncation of a session closes nothing and answers nothing early', () => {
  for (let i = 0; i < LOOKUP.length; i++) {
    const wire = new Wire(new World());
    expect(wire.send(LOOKUP.subarray(0, i))).toEqual([]);
    expect(wire.session.isClosed).toBe(false);
  }
});

test('no damaged request throws, changes a node, or leaves a link without its answer', () => {
  const world = new World();
  const alice = new Identity('alice');
  world.join(alice, { hostname: 'alice' });
  const before = world.ask({ type: 'lookup', node_id: 1 });
  const fields = { type: 'set_hostname', node_id: 1, hostname: 'mallory', signature: alice.sign('set_hostname:2') };
  const json = emitJsonFrame(fields);
  const binary = hex('50494c540100000045010000000163');
  const next = random(7);
  for (let round = 0; round < 3_000; round++) {
    const bytes = (round % 2 === 0 ? json : new Uint8Array([...binary, ...new Uint8Array(63)])).slice();
    for (let flips = 0; flips < 3; flips++) {
      const at = 5 + Math.floor(next() * (bytes.length - 5));
      bytes[at]! ^= 1 << Math.floor(next() * 8);
    }
    const wire = new Wire(world);
    const answers = wire.send(bytes);
    expect(answers.length === 1 || wire.session.isClosed || wire.session.bufferedBytes > 0).toBe(true);
  }
  expect(world.ask({ type: 'lookup', node_id: 1 })).toEqual(before);
});

test('fields of hostile types are refused or ignored by every request', () => {
  const world = new World({ adminToken: 'secret' });
  world.join(new Identity('alice'));
  const types = [
    'register',
    'heartbeat',
    'rotate_key',
    'get_key_info',
    'deregister',
    'lookup',
    'resolve',
    'list_nodes',
  ];
  types.push('resolve_hostname', 'find_nodes', 'set_hostname', 'set_tags', 'set_visibility', 'report_trust', 'punch');
  types.push('revoke_trust', 'check_trust', 'request_handshake', 'poll_handshakes', 'respond_handshake');
  types.push('beacon_register', 'beacon_list', 'set_key_expiry');
  const names = [
    'node_id',
    'peer_id',
    'requester_id',
    'public_key',
    'listen_addr',
    'signature',
    'hostname',
    'tags',
    'ack',
  ];
  names.push(
    'lan_addrs',
    'admin_token',
    'justification',
    'new_public_key',
    'tag',
    'limit',
    'after',
    'addr',
    'beacon_id',
  );
  const values = [
    null,
    true,
    [],
    {},
    '',
    'x',
    [[]],
    -1,
    Number.NaN,
    1e308,
    '\u0000',
    { length: 5 },
    'A'.repeat(100_000),
  ];
  for (const type of types) {
    for (const value of values) {
      const answer = world.ask({ ...Object.fromEntries(names.map((name) => [name, value])), type });
      expect(answer.type === 'error' || answer.type === `${type}_ok`, `${type} ${value}`).toBe(true);
    }
  }
  expect(world.store.counts().nodes).toBe(1);
});
