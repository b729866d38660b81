// Keys, epochs and what cannot be opened (DP 3.3–3.14; appendix D 6, 7, 11).
import { expect, test } from 'vitest';
import { emitDelivery } from '../../src/wire/beacon.ts';
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import { emitPacket } from './packet.ts';
import type { ReferencePeer } from './peer.ts';
import { filled, Script } from './peer-rig.ts';
import { sealFrame } from './peer-session.ts';
import { plainFrame } from './peer-tunnel.ts';
import { BEACON_PLACE, PeerWorld, placeOf } from './peer-world.ts';

const PUPPET = placeOf(1);
const SUBJECT = placeOf(2);

/** A frame from the puppet under the session's key, with any prefix and counter. */
function frameOf(t: Script, prefix: number, counter: bigint, packet: Uint8Array = ping()): Uint8Array {
  const { key } = t.puppet.tunnel.contact(2).session!;
  return sealFrame(key, { sender: 1, prefix, counter }, packet);
}

/** A ping from port 60000 with one byte. */
function ping(byte = 1): Uint8Array {
  const fields = { protocol: PROTOCOL.control, sourceNode: 1, destinationNode: 2, sourcePort: 60_000 };
  return emitPacket({ ...fields, payload: Uint8Array.of(byte) });
}

/** What became of the last frame that the subject received. */
function outcome(t: Script, bytes: Uint8Array): string {
  t.subject.handleDatagram(bytes, PUPPET);
  return t.subject.log.received.at(-1)!.outcome;
}

function prefixOf(peer: ReferencePeer, nodeId: number): number {
  return peer.tunnel.contact(nodeId).session!.prefix;
}

test('first contact: punch request, PILA twice, an answer, one more, then the packet', () => {
  const world = new PeerWorld();
  const a = world.add({ nodeId: 1, generation: 'apr', beacon: BEACON_PLACE });
  const b = world.add({ nodeId: 2, generation: 'apr', beacon: BEACON_PLACE });
  b.start();
  world.run(50);
  a.dial(2, 7);
  world.run(100);
  // As recorded, appendix D 7.
  const kinds = a.log.sent.map(({ kind, beacon }) => beacon?.type ?? kind);
  expect(kinds.slice(0, 3)).toEqual(['punchRequest', 'PILA', 'PILA']);
  expect(kinds.filter((kind) => kind === 'PILA').length).toBe(3);
  expect(kinds.filter((kind) => kind === 'PILP').length).toBe(3);
  expect(b.log.sentFrames('PILA').length).toBe(1);
  expect(kinds.indexOf('PILS')).toBeGreaterThan(kinds.lastIndexOf('PILA'));
});

test('the AAD is the own id, the counter begins at 1', () => {
  const t = new Script('new');
  t.subject.ping(1);
  t.subject.ping(1);
  const frames = t.subject.log.sentFrames('PILS');
  expect(frames.map(({ sender, counter }) => [sender, counter])).toEqual([
    [2, 1n],
    [2, 2n],
  ]);
});

test('epochRestartOnPila: a repeated PILA brings counter 1, a new prefix and an empty window', () => {
  for (const epochRestartOnPila of [true, false]) {
    const t = new Script('apr', { epochRestartOnPila });
    t.subject.ping(1);
    const frame = frameOf(t, 5, 1n);
    expect(outcome(t, frame)).toBe('ok');
    const before = prefixOf(t.subject, 1);
    t.subject.handleDatagram(t.puppet.tunnel.exchanges.pila(), PUPPET);
    expect(prefixOf(t.subject, 1) !== before).toBe(epochRestartOnPila);
    expect(outcome(t, frame)).toBe(epochRestartOnPila ? 'ok' : 'replay');
    t.subject.ping(1);
    expect(t.subject.log.sentFrames('PILS').at(-1)!.counter === 1n).toBe(false);
    expect(t.subject.tunnel.contact(1).session!.key).toEqual(t.puppet.tunnel.contact(2).session!.key);
  }
});

test('replyRule apr: an answer where there was no session or another key, never to the same', () => {
  const t = new Script('apr');
  const answers = () => t.subject.log.sentFrames('PILA').length;
  const before = answers();
  t.world.run(60_000);
  t.puppet.sendPila(2);
  t.world.run(10);
  expect(answers()).toBe(before);
  t.puppet.restart();
  t.puppet.sendPila(2);
  t.world.run(10);
  expect(answers()).toBe(before + 1);
});

test('replyRule new: the same key is answered after 6 s without a frame, once a second', () => {
  const t = new Script('new', { relayCopy: false });
  const answers = () => t.subject.log.sentFrames('PILA').length;
  t.puppet.ping(2);
  t.world.run(5000);
  const before = answers();
  t.puppet.sendPila(2);
  t.world.run(10);
  expect(answers()).toBe(before);
  t.world.run(2000);
  t.puppet.sendPila(2);
  t.world.run(10);
  expect(answers()).toBe(before + 1);
  t.world.run(300);
  t.puppet.sendPila(2);
  t.world.run(10);
  expect(answers()).toBe(before + 1);
});

test('retransmitsExchange, keyRequest: six PILA 4 s apart, each but the first with a PILK; then 5 s of rest', () => {
  const world = new PeerWorld();
  world.drop = () => true;
  const a = world.add({ nodeId: 1, generation: 'new' });
  world.add({ nodeId: 2, generation: 'new' });
  expect(a.sendPacket(2, { protocol: 2, payload: filled(1) })).toBe(true);
  world.run(24_500);
  expect(a.log.sentFrames('PILA').map(({ at }) => at)).toEqual([0, 4000, 8000, 12_000, 16_000, 20_000]);
  expect(a.log.sentFrames('PILK').map(({ at }) => at)).toEqual([4000, 8000, 12_000, 16_000, 20_000]);
  expect(a.sendPacket(2, { protocol: 2, payload: filled(1) })).toBe(false);
  world.run(5000);
  expect(a.sendPacket(2, { protocol: 2, payload: filled(1) })).toBe(true);
});

test('without retransmitsExchange a PILA goes with each packet that waits', () => {
  const world = new PeerWorld();
  world.drop = () => true;
  const a = world.add({ nodeId: 1, generation: 'apr' });
  world.add({ nodeId: 2 });
  for (let i = 0; i < 4; i++) a.sendPacket(2, { protocol: 2, payload: filled(1) });
  world.run(10_000);
  expect(a.log.sentFrames('PILA').length).toBe(5);
  expect(a.log.sentFrames('PILK').length).toBe(0);
});

test('relayCopy: NEW sends its PILA over the relay as well, and takes to the relay after two in vain', () => {
  const world = new PeerWorld();
  world.drop = (_, __, to) => to.host === placeOf(2).host;
  const a = world.add({ nodeId: 1, generation: 'new', beacon: BEACON_PLACE });
  world.add({ nodeId: 2, beacon: BEACON_PLACE });
  a.reach(2);
  world.run(9000);
  expect(a.log.sentFrames('PILA').map(({ relayed }) => relayed)).toEqual([undefined, 2, undefined, 2, 2]);
});

test('a PILK is answered by PILA and makes no session while the registry knows the sender', () => {
  const t = new Script('apr');
  t.subject.restart();
  t.subject.log.clear();
  t.puppet.sendPilk(2);
  t.world.run(1);
  expect(t.subject.log.sentFrames('PILA').length).toBe(1);
  expect(t.subject.hasKey(1)).toBe(false);
});

test('acceptsAnonymous: a PILK of a node that the registry does not know makes a session, or nothing', () => {
  for (const acceptsAnonymous of [true, false]) {
    const world = new PeerWorld();
    const stranger = world.add({ nodeId: 9 });
    const t = new Script('new', { acceptsAnonymous });
    stranger.tunnel.contact(2).endpoint = SUBJECT;
    stranger.sendPilk(2);
    t.subject.handleDatagram(stranger.log.sent[0]!.bytes, placeOf(9));
    expect(t.subject.hasKey(9)).toBe(acceptsAnonymous);
  }
});

test('a PILA under another identity than the registry has is dropped', () => {
  const t = new Script('apr');
  const other = new PeerWorld().add({ nodeId: 1, name: 'somebody else' });
  expect(outcome(t, other.tunnel.exchanges.pila())).toBe('wrong_identity');
  const forged = t.puppet.tunnel.exchanges.pila();
  forged[100]! ^= 1;
  expect(outcome(t, forged)).toBe('bad_signature');
  expect(outcome(t, t.subject.tunnel.exchanges.pila())).toBe('own_id');
  expect(outcome(t, forged.subarray(0, 135))).toBe('malformed');
});

test('exchangesPerSecond: NEW looks at five key-exchange frames a second and source', () => {
  for (const exchangesPerSecond of [5, Number.POSITIVE_INFINITY]) {
    const t = new Script('new', { exchangesPerSecond });
    t.world.run(2000);
    const pila = t.puppet.tunnel.exchanges.pila();
    const outcomes = Array.from({ length: 7 }, () => outcome(t, pila));
    expect(outcomes.filter((what) => what === 'rate_limited').length).toBe(exchangesPerSecond === 5 ? 2 : 0);
  }
});

test('strictTrust: a stranger gets no sign of life', () => {
  for (const strictTrust of [true, false]) {
    const t = new Script('new', { strictTrust }, { isPublic: false });
    expect(t.puppet.hasKey(2)).toBe(!strictTrust);
  }
});

test('windowBeforeAead: one forged frame wedges an old session, not a new one', () => {
  for (const windowBeforeAead of [true, false]) {
    const t = new Script('apr', { windowBeforeAead });
    const forged = frameOf(t, 5, 2n ** 64n - 1n);
    forged[30]! ^= 1;
    expect(outcome(t, forged)).toBe('aead_failed');
    expect(outcome(t, frameOf(t, 5, 1n))).toBe(windowBeforeAead ? 'outside' : 'ok');
  }
});

test('windowBeforeAead: old sessions look at no prefix, new ones have a window for each', () => {
  for (const windowBeforeAead of [true, false]) {
    const t = new Script('apr', { windowBeforeAead });
    expect(outcome(t, frameOf(t, 5, 1n))).toBe('ok');
    expect(outcome(t, frameOf(t, 6, 1n))).toBe(windowBeforeAead ? 'replay' : 'ok');
  }
});

test('NEW keeps four older epochs and never opens again what left', () => {
  const t = new Script('new');
  for (let prefix = 1; prefix <= 6; prefix++) expect(outcome(t, frameOf(t, prefix, 1n))).toBe('ok');
  expect(outcome(t, frameOf(t, 1, 2n))).toBe('stale');
  expect(outcome(t, frameOf(t, 2, 2n))).toBe('ok');
  expect(outcome(t, frameOf(t, 2, 2n))).toBe('stale');
  expect(outcome(t, frameOf(t, 6, 1n))).toBe('replay');
});

test('NEW takes 1,024 prefixes; the next ends the session', () => {
  const t = new Script('new');
  for (let prefix = 1; prefix <= 1024; prefix++) expect(outcome(t, frameOf(t, prefix, 1n))).toBe('ok');
  expect(outcome(t, frameOf(t, 1025, 1n))).toBe('exhausted');
  expect(t.subject.hasKey(1)).toBe(false);
});

test('dropsFailingSession: five frames that do not open end a session of NEW and ask for another', () => {
  for (const dropsFailingSession of [true, false]) {
    const t = new Script('new', { dropsFailingSession });
    t.world.run(5000);
    const forged = frameOf(t, 5, 1n);
    forged[30]! ^= 1;
    const before = t.subject.log.sentFrames('PILA').length;
    for (let i = 0; i < 4; i++) outcome(t, forged);
    expect(t.subject.hasKey(1)).toBe(true);
    outcome(t, forged);
    expect(t.subject.hasKey(1)).toBe(!dropsFailingSession);
    expect(t.subject.log.sentFrames('PILA').length - before).toBe(dropsFailingSession ? 1 : 0);
  }
});

test('silentAfterRestart: a frame without key is dropped without a sign, or answered by PILA every so often', () => {
  for (const [generation, silentAfterRestart, every] of [
    ['apr', true, Number.POSITIVE_INFINITY],
    ['fork', false, 60_000],
    ['new', false, 3000],
  ] as const) {
    const t = new Script(generation, { silentAfterRestart });
    t.subject.restart();
    t.subject.log.clear();
    // Neither PILA nor PILK.
    t.world.drop = (bytes) => bytes[3] === 0x41 || bytes[3] === 0x4b;
    for (let i = 0; i < 130; i++) {
      t.puppet.ping(2);
      t.world.run(1000);
    }
    const recoveries = t.subject.log.sentFrames('PILA').length;
    if (every === Number.POSITIVE_INFINITY) expect(recoveries).toBe(0);
    else if (every === 60_000) expect(recoveries).toBe(3);
    else expect(recoveries).toBeGreaterThan(10);
  }
});

test('restart: same identity, another X25519 key, no sessions; a frame from the other side heals NEW', () => {
  const t = new Script('new');
  const [identity, exchange] = [t.subject.identityKey, t.subject.exchangeKey];
  t.opened();
  t.subject.restart();
  expect(t.subject.identityKey).toEqual(identity);
  expect(t.subject.exchangeKey).not.toEqual(exchange);
  expect(t.subject.streams.connections.size).toBe(0);
  t.puppet.ping(2, filled(3), 60_000);
  t.world.run(50);
  expect(t.puppet.tunnel.contact(2).session!.theirKey).toEqual(t.subject.exchangeKey);
  expect(t.subject.hasKey(1)).toBe(true);
});

test('forkTrailer: FORK puts two varints behind its PILA, which the others pass over', () => {
  const t = new Script('fork');
  const pila = t.subject.log.sentFrames('PILA')[0]!.bytes;
  expect([pila.length, pila[136], pila[137]]).toEqual([138, 1, 2]);
  expect(t.puppet.hasKey(2)).toBe(true);
});

test('checksInnerSource: NEW refuses a packet in the name of another, but for a keepalive without source', () => {
  for (const checksInnerSource of [true, false]) {
    const t = new Script('new', { checksInnerSource });
    const foreign = emitPacket({ protocol: PROTOCOL.datagram, sourceNode: 77, payload: filled(1) });
    expect(outcome(t, frameOf(t, 5, 1n, foreign))).toBe(checksInnerSource ? 'spoofed' : 'ok');
    expect(outcome(t, frameOf(t, 5, 2n, emitPacket({ protocol: PROTOCOL.control })))).toBe('keepalive');
  }
});

test('acceptsPlaintext: an old peer takes a PILT ping and answers with PILS', () => {
  for (const acceptsPlaintext of [true, false]) {
    const t = new Script('apr', { acceptsPlaintext });
    expect(outcome(t, plainFrame(ping()))).toBe(acceptsPlaintext ? 'ok' : 'plaintext');
    expect(t.subject.log.sentPackets({ protocol: PROTOCOL.control }).length).toBe(acceptsPlaintext ? 1 : 0);
  }
});

test('punches, fragments and unknown magics are dropped', () => {
  const t = new Script('apr');
  for (const text of ['PILP', 'PILF12345678', 'what', 'x']) {
    expect(outcome(t, new TextEncoder().encode(text))).toBe('dropped');
  }
  expect(outcome(t, frameOf(t, 5, 1n).subarray(0, 35))).toBe('malformed');
});

test.each([0, 4, 32])('salvage %i: so many packets of the last 5 s go out again under a new key', (salvage) => {
  const t = new Script('new', { salvage });
  for (let i = 0; i < 40; i++) t.subject.sendDatagram(1, 9, Uint8Array.of(1, i));
  t.world.run(6000);
  for (let i = 0; i < 40; i++) t.subject.sendDatagram(1, 9, Uint8Array.of(2, i));
  t.world.run(10);
  t.puppet.restart();
  t.puppet.log.clear();
  t.puppet.reach(2);
  t.world.run(50);
  const again = t.puppet.log.packets({ protocol: PROTOCOL.datagram }).map(({ payload }) => [...payload]);
  expect(again).toEqual(Array.from({ length: salvage }, (_, i) => [2, 40 - salvage + i]));
});

test('pendingFull: of 70 packets that wait for a key the last 64 go, or the first', () => {
  for (const pendingFull of ['drop_oldest', 'refuse'] as const) {
    const world = new PeerWorld();
    const a = world.add({ nodeId: 1, switches: { pendingFull } });
    const b = world.add({ nodeId: 2 });
    const taken = Array.from({ length: 70 }, (_, i) =>
      a.sendPacket(2, { protocol: PROTOCOL.datagram, payload: Uint8Array.of(i) }),
    );
    expect(taken.filter((isTaken) => !isTaken).length).toBe(pendingFull === 'refuse' ? 6 : 0);
    world.run(200);
    const came = b.log.packets({ protocol: PROTOCOL.datagram }).map(({ payload }) => payload[0]);
    const first = pendingFull === 'refuse' ? 0 : 6;
    expect(came).toEqual(Array.from({ length: 64 }, (_, i) => first + i));
  }
});

test('socketBufferBytes: what exceeds it while the router is busy is lost', () => {
  const t = new Script('apr', { socketBufferBytes: 10_000, socketBytesPerSecond: 1_000_000 });
  t.world.run(1000);
  const frame = frameOf(t, 5, 1n, emitPacket({ protocol: 2, payload: filled(930) }));
  expect(frame.length).toBe(1000);
  t.subject.log.clear();
  for (let i = 0; i < 30; i++) t.subject.handleDatagram(frame, PUPPET);
  expect(t.subject.log.counts.get('socket_overflow')).toBe(18);
  t.world.run(5);
  expect(t.subject.log.received.length).toBe(7);
  t.world.run(50);
  expect(t.subject.log.received.length).toBe(12);
});

test('a frame with FLAG bits that mean nothing is still opened', () => {
  const t = new Script('new');
  const packet = emitPacket({ protocol: 9, flags: FLAG.SYN | FLAG.RST, sourceNode: 1 });
  expect(outcome(t, frameOf(t, 5, 1n, packet))).toBe('ok');
});

test('replyRule new: a copy within 250 ms is not answered, whenever the last answer was', () => {
  const t = new Script('new', { relayCopy: false });
  const answers = () => t.subject.log.sentFrames('PILA').length;
  t.puppet.ping(2);
  t.world.run(7000);
  const before = answers();
  for (const pauseMs of [0, 900, 200]) {
    t.world.run(pauseMs);
    t.subject.handleDatagram(t.puppet.tunnel.exchanges.pila(), PUPPET);
  }
  expect(answers()).toBe(before + 1);
  t.world.run(251);
  t.subject.handleDatagram(t.puppet.tunnel.exchanges.pila(), PUPPET);
  expect(answers()).toBe(before + 2);
});

test('salvage: what is older than 5 s is not sent again', () => {
  const t = new Script('new');
  t.subject.sendDatagram(1, 9, filled(1));
  t.world.run(5100);
  t.puppet.restart();
  t.puppet.log.clear();
  t.puppet.reach(2);
  t.world.run(50);
  expect(t.puppet.log.packets({ protocol: PROTOCOL.datagram })).toEqual([]);
});

test('NEW asks for a key where the frame of an unknown node came from', () => {
  const asked = (relayed: boolean) => {
    const world = new PeerWorld();
    const peer = world.add({ nodeId: 2, beacon: BEACON_PLACE });
    const frame = sealFrame(filled(32), { sender: 9, prefix: 1, counter: 1n }, ping());
    if (relayed) peer.handleDatagram(emitDelivery(9, frame), BEACON_PLACE);
    else peer.handleDatagram(frame, placeOf(9));
    return {
      sent: peer.log.sentFrames('PILA').map(({ place, relayed: to }) => [place, to]),
      contact: peer.tunnel.contact(9),
    };
  };
  expect(asked(false).sent[0]).toEqual([placeOf(9), undefined]);
  expect(asked(true).sent).toEqual([[BEACON_PLACE, 9]]);
  expect(asked(true).contact).toMatchObject({ isRelayed: true, isPinned: true });
});
