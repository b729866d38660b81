/** Which session a frame belongs to; adding, wiping, running out; slots. */
import { expect, test } from 'vitest';
import { HEADROOM, OVERHEAD, SLOTS } from '../../src/engine/engine.ts';
import { type CreateEngine, deliver, deliverAll, OUR_PREFIX, Peer, Random, type Spend, send } from './rig.ts';

const NOBODY = 0xffffffff;

export function sessionTests(create: CreateEngine, spend: Spend): void {
  const peer = new Peer(7, 1);

  test('a session belongs to one owner', () => {
    const engine = create({ sessions: 4 });
    peer.install(engine, 3);
    expect(deliver(engine, 2, peer.frame(5, 1))).toMatchObject({ status: 'NO_SESSION', session: NOBODY, sender: 7 });
    expect(deliver(engine, 3, peer.frame(5, 1))).toMatchObject({ status: 'OK', session: 0 });
  });

  test('two identities talk to one peer under keys of their own', () => {
    const engine = create({ sessions: 4 });
    const other = new Peer(7, 2);
    expect([peer.install(engine, 0), other.install(engine, 65_535)]).toEqual([0, 1]);
    expect(deliver(engine, 0, peer.frame(5, 1))).toMatchObject({ status: 'OK', session: 0 });
    expect(deliver(engine, 65_535, other.frame(5, 1))).toMatchObject({ status: 'OK', session: 1 });
    expect(deliver(engine, 0, other.frame(5, 2))).toMatchObject({ status: 'AEAD_FAILED', session: 0 });
    expect(deliver(engine, 65_535, peer.frame(5, 2))).toMatchObject({ status: 'AEAD_FAILED', session: 1 });
  });

  test('an unknown prefix is tried against the 8 newest sessions of its sender', () => {
    const engine = create({ sessions: 16 });
    const peers = Array.from({ length: 10 }, (_, i) => new Peer(7, i + 1));
    for (const each of peers) each.install(engine);
    const results = peers.map((each, i) => deliver(engine, 0, each.frame(100 + i, 1)));
    const reached = results.map(({ status, session }) => (status === 'OK' ? session : status));
    expect(reached).toEqual(['AEAD_FAILED', 'AEAD_FAILED', 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(results[0]!.session).toBe(9);
  });

  test('a known prefix goes straight to its session, however old', () => {
    const engine = create({ sessions: 16 });
    peer.install(engine);
    expect(deliver(engine, 0, peer.frame(5, 1)).status).toBe('OK');
    for (let i = 2; i < 12; i++) new Peer(7, i).install(engine);
    expect(deliver(engine, 0, peer.frame(5, 2))).toMatchObject({ status: 'OK', session: 0 });
    expect(deliver(engine, 0, new Peer(7, 11).frame(5, 3))).toMatchObject({ status: 'AEAD_FAILED', session: 0 });
  });

  test('a prefix that one session retired is still tried with the others', () => {
    const engine = create({ sessions: 16 });
    const other = new Peer(7, 2);
    peer.install(engine);
    for (let prefix = 1; prefix <= 6; prefix++) deliver(engine, 0, peer.frame(prefix, 1));
    expect(deliver(engine, 0, peer.frame(1, 2))).toMatchObject({ status: 'RETIRED', session: 0, note: 0x100 });
    other.install(engine);
    expect(deliver(engine, 0, peer.frame(1, 2))).toMatchObject({ status: 'AEAD_FAILED', session: 1, note: 0 });
    expect(deliver(engine, 0, other.frame(1, 1))).toMatchObject({ status: 'OK', session: 1, note: 3 });
  });

  test('a wiped session neither opens nor seals; its siblings do', () => {
    const engine = create({ sessions: 16 });
    const peers = [1, 2, 3].map((key) => new Peer(7, key));
    const sessions = peers.map((each) => each.install(engine));
    expect(engine.sessionCount).toBe(3);
    engine.wipe(sessions[1]!);
    engine.wipe(sessions[1]!);
    expect(engine.sessionCount).toBe(2);
    expect(send(engine, sessions[1]!, {})).toBe('EXHAUSTED');
    expect(engine.sealed(sessions[1]!)).toBe(0);
    const reached = peers.map((each, i) => deliver(engine, 0, each.frame(100 + i, 1)).status);
    expect(reached).toEqual(['OK', 'AEAD_FAILED', 'OK']);
    engine.wipe(sessions[2]!);
    expect(deliver(engine, 0, peers[0]!.frame(100, 2)).status).toBe('OK');
    engine.wipe(sessions[0]!);
    expect(deliver(engine, 0, peers[0]!.frame(100, 3)).status).toBe('NO_SESSION');
    expect(engine.sessionCount).toBe(0);
  });

  test('a full table answers -1, and takes one again after a wipe', () => {
    const engine = create({ sessions: 3 });
    const indexes = [1, 2, 3, 4].map((id) => new Peer(id, id).install(engine));
    expect(indexes).toEqual([0, 1, 2, -1]);
    expect(deliver(engine, 0, new Peer(4, 4).frame(5, 1)).status).toBe('NO_SESSION');
    engine.wipe(1);
    expect(new Peer(5, 5).install(engine)).toBe(1);
    expect(new Peer(6, 6).install(engine)).toBe(-1);
    expect(deliver(engine, 0, new Peer(5, 5).frame(5, 1)).status).toBe('OK');
  });

  test('sealing under an index that no session has answers EXHAUSTED', () => {
    const engine = create({ sessions: 3 });
    for (const index of [0, 2, 3, NOBODY]) expect(send(engine, index, {})).toBe('EXHAUSTED');
  });

  test('send counters stop before 2^32', () => {
    const engine = create({ sessions: 4 });
    const session = peer.install(engine);
    spend(engine, session, 2 ** 32 - 2);
    const last = send(engine, session, { sourceNode: 1 }) as Uint8Array;
    expect(new DataView(last.buffer).getBigUint64(12)).toBe(2n ** 32n - 1n);
    expect(send(engine, session, {})).toBe('EXHAUSTED');
    expect(engine.sealed(session)).toBe(2 ** 32 - 1);
  });

  test('routes survive thousands of sessions coming and going', () => {
    const limit = 48;
    const engine = create({ sessions: limit });
    const random = new Random(20_260_401);
    const live = new Map<number, { owner: number; peerId: number }>();
    const newest = new Map<string, number[]>();
    const probe = peer.frame(5, 1);
    for (let step = 0; step < 6000; step++) {
      const owner = random.next(3);
      const peerId = random.next(40) * 0x10001;
      if (live.size < limit && random.next(100) < 52) {
        const session = engine.install({ owner, localId: 1, peerId, key: peer.key.map((b) => b ^ 1), prefix: 1 });
        live.set(session, { owner, peerId });
        newest.set(`${owner}/${peerId}`, [session, ...(newest.get(`${owner}/${peerId}`) ?? [])]);
      } else if (live.size > 0) {
        const session = random.pick([...live.keys()]);
        const at = live.get(session)!;
        const chain = newest.get(`${at.owner}/${at.peerId}`)!;
        newest.set(
          `${at.owner}/${at.peerId}`,
          chain.filter((other) => other !== session),
        );
        live.delete(session);
        engine.wipe(session);
      }
      new DataView(probe.buffer).setUint32(4, peerId);
      const expected = newest.get(`${owner}/${peerId}`)?.[0] ?? NOBODY;
      expect(deliver(engine, owner, probe).session).toBe(expected);
    }
    expect(engine.sessionCount).toBe(live.size);
  });

  test('a batch finds what frames one by one find', () => {
    const engine = create({ sessions: 64 });
    const peers = Array.from({ length: 40 }, (_, i) => new Peer(i * 0x10001, i + 1));
    for (const each of peers) each.install(engine, each.nodeId & 1);
    const frames = Array.from({ length: 64 }, (_, i) =>
      i % 9 === 8 ? new Uint8Array(40) : new Peer(i * 0x10001, i + 1).frame(5, 1),
    );
    const reached = deliverAll(engine, 1, frames).map(({ status, session }) => [status, session]);
    expect(reached).toEqual(
      frames.map((_, i) => {
        if (i % 9 === 8) return ['NOT_PILS', NOBODY];
        return i < 40 && i % 2 === 1 ? ['OK', i] : ['NO_SESSION', NOBODY];
      }),
    );
  });

  test('a frame of a batch is opened after those before it', () => {
    const engine = create({ sessions: 4 });
    const other = new Peer(7, 2);
    peer.install(engine);
    other.install(engine);
    // The first one gives the prefix to the older session; for the second it is then known.
    const answers = deliverAll(engine, 0, [peer.frame(5, 1), other.frame(5, 1), peer.frame(5, 1)]);
    expect(answers.map(({ status, session }) => [status, session])).toEqual([
      ['OK', 0],
      ['AEAD_FAILED', 0],
      ['REPLAY', 0],
    ]);
  });

  test('slots are bounded, apart from each other, and come back', () => {
    const engine = create({ sessions: 4 });
    const kinds = [
      { claim: () => engine.claimReceive(4_416), before: 0, bytes: SLOTS.rx.bytes, count: SLOTS.rx.count },
      { claim: () => engine.claimReceive(4_417), before: 0, bytes: SLOTS.rxLarge.bytes, count: SLOTS.rxLarge.count },
      { claim: () => engine.claimTransmit(1422), before: HEADROOM, bytes: SLOTS.tx.bytes, count: SLOTS.tx.count },
      {
        claim: () => engine.claimTransmit(1423),
        before: HEADROOM,
        bytes: SLOTS.txLarge.bytes,
        count: SLOTS.txLarge.count,
      },
    ];
    const taken: [start: number, end: number][] = [];
    const pointers = kinds.map(({ claim, before, bytes, count }) => {
      const list = Array.from({ length: count }, claim);
      expect(claim()).toBe(0);
      for (const ptr of list) taken.push([ptr - before, ptr - before + bytes]);
      return list;
    });
    taken.sort((a, b) => a[0] - b[0]);
    for (let i = 1; i < taken.length; i++) expect(taken[i]![0]).toBeGreaterThanOrEqual(taken[i - 1]![1]);
    expect(taken[0]![0]).toBeGreaterThan(0);
    expect(taken.at(-1)![1]).toBeLessThanOrEqual(engine.memory.length);
    for (const bytes of [0, 1422, 1423, 8192]) expect(engine.hasTransmit(bytes)).toBe(false);
    for (const ptr of [...pointers[0]!, ...pointers[1]!]) engine.releaseReceive(ptr);
    for (const ptr of [...pointers[2]!, ...pointers[3]!]) engine.releaseTransmit(ptr);
    for (const bytes of [0, 1422, 1423, 8192]) expect(engine.hasTransmit(bytes)).toBe(true);
    for (const { claim } of kinds) expect(claim()).toBeGreaterThan(0);
  });

  test('no slot is larger than the largest, and the largest datagram fits', () => {
    const engine = create({ sessions: 4 });
    expect(engine.claimReceive(65_507)).toBeGreaterThan(0);
    expect(engine.claimReceive(65_601)).toBe(0);
    expect(engine.claimTransmit(SLOTS.txLarge.bytes - HEADROOM - OVERHEAD)).toBeGreaterThan(0);
    expect(engine.claimTransmit(SLOTS.txLarge.bytes - HEADROOM - OVERHEAD + 1)).toBe(0);
    expect(engine.hasTransmit(SLOTS.txLarge.bytes - HEADROOM - OVERHEAD + 1)).toBe(false);
  });

  test('a slot cannot be released twice', () => {
    const engine = create({ sessions: 4 });
    const rx = engine.claimReceive(100);
    engine.releaseReceive(rx);
    expect(() => engine.releaseReceive(rx)).toThrow(RangeError);
    const tx = engine.claimTransmit(100);
    expect(() => engine.releaseTransmit(tx + 1)).toThrow(RangeError);
    engine.releaseTransmit(tx);
    expect(() => engine.releaseTransmit(tx)).toThrow(RangeError);
  });

  test('install keeps a copy of the key', () => {
    const engine = create({ sessions: 4 });
    const key = peer.key.slice();
    engine.install({ owner: 0, localId: 1, peerId: 7, key, prefix: OUR_PREFIX });
    key.fill(0);
    expect(deliver(engine, 0, peer.frame(5, 1)).status).toBe('OK');
  });
}
