// The scripted peer against what running daemons sent (test/vectors): without this it would only agree with itself.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fromBase64, fromHex, toHex } from '../../src/wire/base64.ts';
import { parseIdentity } from '../../src/wire/identity.ts';
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import { parseCapture } from '../vectors/pcap.ts';
import { parsePacket } from './packet.ts';
import { ReferencePeer } from './peer.ts';
import { exchangeOf, identityOf } from './peer-keys.ts';
import { openFrame, PeerSession, readFrame, sealFrame } from './peer-session.ts';
import { PeerWindow } from './peer-window.ts';
import { PeerWorld, placeOf } from './peer-world.ts';

interface Party {
  ed25519_public: string;
  ed25519_seed: string;
  node_id: number;
  x25519_private: string;
  x25519_public: string;
}

interface ExchangeVector {
  a: Party;
  b: Party;
  derivation: { key: string };
  pila_a: string;
  pila_b: string;
  pilk_a: string;
  pilk_b: string;
}

interface FrameVector {
  counter: string;
  frame: string;
  key: string;
  nonce_prefix: string;
  pair: number;
  plaintext_packet: string;
  sender_node_id: number;
}

const bytesOf = (hex: string): Uint8Array => fromHex(hex)!;

function vectors<T>(name: string): T[] {
  const text = readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8');
  return (JSON.parse(text) as { vectors: T[] }).vectors;
}

const EXCHANGES = vectors<ExchangeVector>('tunnel-keyexchange');
const FRAMES = vectors<FrameVector>('tunnel-frames');

function peerOf(party: Party, world: PeerWorld): ReferencePeer {
  return new ReferencePeer({
    nodeId: party.node_id,
    identitySeed: bytesOf(party.ed25519_seed),
    exchangeSecret: bytesOf(party.x25519_private),
    generation: 'apr',
    transport: world.transport(placeOf(party.node_id & 0xff)),
    intercept: () => true,
  });
}

test('keys, PILA, PILK and tunnel keys are the recorded ones', () => {
  for (const vector of EXCHANGES) {
    for (const [own, other, pila, pilk] of [
      [vector.a, vector.b, vector.pila_a, vector.pilk_a],
      [vector.b, vector.a, vector.pila_b, vector.pilk_b],
    ] as const) {
      const peer = peerOf(own, new PeerWorld());
      expect(toHex(peer.identityKey)).toBe(own.ed25519_public);
      expect(toHex(peer.exchangeKey)).toBe(own.x25519_public);
      expect(toHex(peer.tunnel.exchanges.pila())).toBe(pila);
      peer.introduce({ nodeId: 1, identityKey: peer.identityKey, endpoint: placeOf(1) });
      peer.sendPilk(1);
      expect(toHex(peer.log.sent[0]!.bytes)).toBe(pilk);
      expect(toHex(exchangeOf(bytesOf(own.x25519_private)).agree(bytesOf(other.x25519_public))!)).toBe(
        vector.derivation.key,
      );
    }
  }
});

test('every recorded PILS is opened, and made again byte for byte', () => {
  for (const vector of FRAMES) {
    const key = bytesOf(vector.key);
    const frame = bytesOf(vector.frame);
    const prefix = Number.parseInt(vector.nonce_prefix, 16);
    const clear = { sender: vector.sender_node_id, prefix, counter: BigInt(vector.counter) };
    expect(readFrame(frame)).toEqual(clear);
    expect(toHex(openFrame(key, frame)!)).toBe(vector.plaintext_packet);
    expect(toHex(sealFrame(key, clear, bytesOf(vector.plaintext_packet)))).toBe(vector.frame);
    for (const windowBeforeAead of [true, false]) {
      const session = new PeerSession({ key, theirKey: key, prefix: 1, now: 0, windowBeforeAead });
      expect(session.open(frame, 0).status).toBe('ok');
      expect(session.open(frame, 0).status).toBe('replay');
    }
  }
});

test('a recorded PILA makes a session in which the recorded frames of its pair open', () => {
  let opened = 0;
  for (const { a, b, pila_a, pila_b, derivation } of EXCHANGES) {
    for (const [own, other, pila] of [
      [b, a, pila_a],
      [a, b, pila_b],
    ] as const) {
      const peer = peerOf(own, new PeerWorld());
      peer.introduce({ nodeId: other.node_id, identityKey: bytesOf(other.ed25519_public) });
      peer.handleDatagram(bytesOf(pila), placeOf(9));
      for (const { frame, sender_node_id, key } of FRAMES) {
        if (key !== derivation.key || sender_node_id !== other.node_id) continue;
        peer.handleDatagram(bytesOf(frame), placeOf(9));
        expect(peer.log.received.at(-1)).toMatchObject({ outcome: 'ok' });
        opened += 1;
      }
    }
  }
  expect(opened).toBe(26);
});

test('the window takes and refuses what the recorded one did', () => {
  interface Steps {
    steps: { accept: boolean; counter: string }[];
  }
  let steps = 0;
  for (const vector of vectors<Steps>('tunnel-replay-window')) {
    const window = new PeerWindow();
    for (const { accept, counter } of vector.steps) {
      expect(window.accept(BigInt(counter)) === 'ok').toBe(accept);
      steps += 1;
    }
  }
  expect(steps).toBe(265);
});

interface KeyEvent {
  event: string;
  x25519_private?: string;
  x25519_public: string;
}

/** Replays a recorded session to a peer in the place of one node. @returns That peer. */
function replay(name: string, node: number, base: number): ReferencePeer {
  const file = (suffix: string) => readFileSync(new URL(`../vectors/session-${name}.${suffix}`, import.meta.url));
  const events = file('keys.jsonl')
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as KeyEvent);
  const pairs = events.filter(({ event }) => event === 'x25519_keypair');
  const world = new PeerWorld();
  const place = (port: number) => ({ host: '127.0.0.1', port });
  const peer = new ReferencePeer({
    nodeId: node,
    identitySeed: parseIdentity(file(`identity-node${node}.json`).toString())!,
    // They were started in the order of their ids.
    exchangeSecret: bytesOf(pairs[node - 1]!.x25519_private!),
    generation: 'apr',
    beacon: place(base + 1),
    transport: world.transport(place(base + 10 + node)),
    intercept: () => true,
  });
  for (const other of name === 'restart' ? [1, 2, 3] : [1, 2]) {
    const { public_key } = JSON.parse(file(`identity-node${other}.json`).toString());
    peer.introduce({ nodeId: other, identityKey: fromBase64(public_key)! });
  }
  for (const { payload, from, to } of parseCapture(file('pcap')).datagrams) {
    if (to === base + 10 + node) peer.handleDatagram(payload, place(from));
  }
  return peer;
}

test.each([
  ['private', 1],
  ['private', 2],
  ['bulk', 1],
  ['bulk', 2],
  ['relay', 1],
  ['relay', 2],
  ['restart', 1],
  ['restart', 3],
] as const)('session-%s: in the place of node %i every frame opens', (name, node) => {
  const first = parseCapture(readFileSync(new URL(`../vectors/session-${name}.pcap`, import.meta.url))).datagrams[0]!;
  const peer = replay(name, node, first.to - 1);
  const sealed = peer.log.frames('PILS');
  expect(sealed.length).toBeGreaterThanOrEqual(20);
  const tally = new Map<string, number>();
  for (const { outcome } of sealed) tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
  expect([...tally.keys()]).toEqual(['ok']);
  expect(peer.log.frames('PILA').every(({ outcome }) => outcome === 'ok')).toBe(true);
  const opening = peer.log.packets({ protocol: PROTOCOL.stream }).filter(({ flags }) => (flags & FLAG.SYN) !== 0);
  expect(opening.length).toBeGreaterThan(0);
});

test('the identity of CP 11 has the published key', () => {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => i);
  expect(toHex(identityOf(seed).publicKey)).toBe('03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8');
  expect(parsePacket(new Uint8Array(33))).toBe('too_short');
});
