/** Single frames: what is refused, that nothing of it stays, and that damage of any kind is refused. */
import { expect, test } from 'vitest';
import { FRAME_HEADER } from '../../src/engine/engine.ts';
import { type CreateEngine, deliver, deliverAll, LOCAL, OUR_PREFIX, Peer, send } from './rig.ts';

export function frameTests(create: CreateEngine): void {
  const peer = new Peer(7, 1);

  test('what one engine seals the other opens, at every kind of length', () => {
    const a = create({ sessions: 4 });
    const b = create({ sessions: 4 });
    const session = a.install({ owner: 0, localId: 7, peerId: LOCAL, key: peer.key, prefix: 0x70000000 });
    peer.install(b);
    for (const length of [0, 1, 15, 16, 30, 62, 64, 94, 98, 100, 127, 128, 255, 1152, 1390, 1391, 4096, 8192]) {
      const payload = new Uint8Array(length).map((_, i) => i * 7);
      const packet = { protocol: 1, flags: 2, sourceNode: 7, seq: length, window: 512, payload };
      const opened = deliver(b, 0, send(a, session, packet) as Uint8Array);
      expect(opened.packet, `${length} bytes, ${opened.status}`).toMatchObject(packet);
    }
    expect(a.sealed(session)).toBe(18);
  });

  test('counters begin with 1 and rise by 1', () => {
    const engine = create({ sessions: 4 });
    const session = peer.install(engine);
    const counters = [1, 2, 3].map(() =>
      new DataView((send(engine, session, {}) as Uint8Array).buffer).getBigUint64(12),
    );
    expect(counters).toEqual([1n, 2n, 3n]);
  });

  test('a batch keeps its records apart', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const forged = peer.frame(5, 3);
    forged[30]! ^= 1;
    const frames = [peer.frame(5, 1), forged, peer.frame(5, 2), peer.frame(5, 2), new Peer(8, 1).frame(5, 4)];
    const statuses = deliverAll(engine, 0, frames).map((opened) => opened.status);
    expect(statuses).toEqual(['OK', 'AEAD_FAILED', 'OK', 'REPLAY', 'NO_SESSION']);
  });

  test('all 64 records of a batch are opened', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const frames = Array.from({ length: 64 }, (_, i) => peer.frame(5, i + 1));
    const opened = deliverAll(engine, 0, frames);
    expect(opened.every(({ status, packet }) => status === 'OK' && packet?.payload[4] === 5)).toBe(true);
  });

  test('the empty control packet to port 0 may have source 0, nothing else may', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const empty = new Uint8Array(0);
    const keepalive = { protocol: 3, sourceNode: 0, destinationPort: 0, payload: empty };
    let counter = 0;
    const status = (fields: object) => deliver(engine, 0, peer.frame(5, ++counter, peer.packet(fields))).status;
    expect(status(keepalive)).toBe('OK');
    expect(status({ ...keepalive, destinationPort: 1 })).toBe('SPOOFED');
    expect(status({ ...keepalive, destinationPort: 256 })).toBe('SPOOFED');
    expect(status({ ...keepalive, payload: Uint8Array.of(0) })).toBe('SPOOFED');
    expect(status({ ...keepalive, protocol: 2 })).toBe('SPOOFED');
    expect(status({ ...keepalive, sourceNode: 8 })).toBe('SPOOFED');
    expect(status({ ...keepalive, sourceNode: 7, sourcePort: 9 })).toBe('OK');
  });

  test('a refused frame leaves no plaintext in its slot', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    expect(deliver(engine, 0, peer.frame(5, 2000)).status).toBe('OK');
    const wrongCheck = peer.packet();
    wrongCheck[33]! ^= 1;
    const refused = [
      ['REPLAY', peer.frame(5, 2000)],
      ['OUTSIDE_WINDOW', peer.frame(5, 900)],
      ['BAD_PACKET', peer.frame(5, 2001, peer.packet().subarray(0, 38))],
      ['BAD_PACKET', peer.frame(5, 2002, Uint8Array.of(9, 9))],
      ['BAD_CHECKSUM', peer.frame(5, 2003, wrongCheck)],
      ['SPOOFED', peer.frame(5, 2004, peer.packet({ sourceNode: 8 }))],
    ] as const;
    for (const [status, frame] of refused) {
      const opened = deliver(engine, 0, frame);
      expect(opened.status).toBe(status);
      expect(opened.slot.length).toBe(frame.length - 36);
      expect(opened.slot.every((byte) => byte === 0)).toBe(true);
    }
  });

  test('a frame whose tag is wrong keeps its ciphertext', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    peer.install(engine);
    const frame = peer.frame(5, 1);
    frame[frame.length - 1]! ^= 1;
    const opened = deliver(engine, 0, frame);
    expect(opened.status).toBe('AEAD_FAILED');
    expect(opened.slot).toEqual(frame.slice(FRAME_HEADER, frame.length - 16));
  });

  test('a packet that is refused has used up its counter', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const spoofed = peer.frame(5, 1, peer.packet({ sourceNode: 8 }));
    expect(deliver(engine, 0, spoofed)).toMatchObject({ status: 'SPOOFED', note: 3 });
    expect(deliver(engine, 0, spoofed).status).toBe('REPLAY');
  });

  test('an empty plaintext authenticates and is no packet', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    expect(deliver(engine, 0, peer.frame(5, 1, new Uint8Array(0))).status).toBe('BAD_PACKET');
    expect(deliver(engine, 0, peer.frame(5, 1)).status).toBe('REPLAY');
  });

  test('a frame under our own prefix is marked', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    expect(deliver(engine, 0, peer.frame(OUR_PREFIX, 1))).toMatchObject({ status: 'OK', note: 7 });
    expect(deliver(engine, 0, peer.frame(OUR_PREFIX, 1))).toMatchObject({ status: 'REPLAY', note: 6 });
    expect(deliver(engine, 0, peer.frame(OUR_PREFIX + 1, 1))).toMatchObject({ status: 'OK', note: 3 });
  });

  test('every truncation is refused', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const frame = peer.frame(5, 1);
    for (let length = 0; length < frame.length; length++) {
      const { status } = deliver(engine, 0, frame.subarray(0, length));
      expect(status).toBe(length < 36 ? 'NOT_PILS' : 'AEAD_FAILED');
    }
    expect(deliver(engine, 0, frame).status).toBe('OK');
  });

  test('every single-bit flip is refused and changes nothing', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const frame = peer.frame(5, 1);
    for (let at = 0; at < frame.length; at++) {
      const flips = Array.from({ length: 8 }, (_, bit) => {
        const copy = frame.slice();
        copy[at]! ^= 1 << bit;
        return copy;
      });
      const expected = at < 4 ? 'NOT_PILS' : at < 8 ? 'NO_SESSION' : 'AEAD_FAILED';
      for (const { status } of deliverAll(engine, 0, flips)) expect(status, `byte ${at}`).toBe(expected);
    }
    expect(deliver(engine, 0, frame)).toMatchObject({ status: 'OK', note: 3 });
  });

  test('garbage of every length is refused', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    for (let length = 0; length < 120; length++) {
      const frame = new Uint8Array(length).fill(0xff);
      frame.set(peer.frame(5, 1).subarray(0, Math.min(length, 8)));
      expect(deliver(engine, 0, frame).status).toBe(length < 36 ? 'NOT_PILS' : 'AEAD_FAILED');
    }
  });
}
