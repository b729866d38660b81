/** Recorded frames and packets of the existing implementation (test/vectors), through `open` and `seal`. */
import { createCipheriv } from 'node:crypto';
import { expect, test } from 'vitest';
import { FRAME_HEADER, RX, STATUS, TX } from '../../src/engine/engine.ts';
import { openFrame } from '../reference/engine.ts';
import { emitPacket, type Packet } from '../reference/packet.ts';
import { readVectors } from '../vectors/folder.ts';
import { type CreateEngine, deliver, fromHex, LOCAL, OUR_PREFIX, Peer, type Spend, send, toHex } from './rig.ts';

interface FrameVector {
  counter: string;
  frame: string;
  key: string;
  nonce_prefix: string;
  plaintext_packet: string;
  sender_node_id: number;
}

interface PacketVector {
  marshalled?: string;
  unmarshal_error?: string;
  version: number;
  flags: number;
  protocol: number;
  src_network: number;
  src_node: number;
  dst_network: number;
  dst_node: number;
  src_port: number;
  dst_port: number;
  seq: number;
  ack: number;
  window: number;
  payload: string;
}

interface MalformedVector {
  accepted: boolean;
  bytes: string;
  note: string;
  error_class?: string;
  parsed?: { ack: number; dst_port: number; flags: number; payload: string; protocol: number; seq: number };
}

const FRAMES = readVectors<FrameVector[]>('tunnel-frames');
const PACKETS = readVectors<{ packets: PacketVector[] }>('packets').packets;
const MALFORMED = readVectors<MalformedVector[]>('packets-malformed');

/** What every engine makes of the recorded bytes. */
export function vectorTests(create: CreateEngine, spend: Spend): void {
  test('recorded frames open to the recorded packet', () => {
    for (const vector of FRAMES) {
      const engine = create({ sessions: 4 });
      const key = fromHex(vector.key);
      engine.install({ owner: 0, localId: LOCAL, peerId: vector.sender_node_id, key, prefix: OUR_PREFIX });
      const opened = deliver(engine, 0, fromHex(vector.frame));
      expect(opened).toMatchObject({ status: 'OK', session: 0, sender: vector.sender_node_id });
      expect(toHex(opened.slot)).toBe(vector.plaintext_packet);
      expect(toHex(emitPacket(opened.packet!))).toBe(vector.plaintext_packet);
    }
  });

  test('sealing the recorded packets gives the recorded frames', () => {
    let compared = 0;
    for (const vector of FRAMES) {
      const counter = Number(vector.counter);
      if (counter >= 2 ** 32) continue;
      const engine = create({ sessions: 4 });
      const session = engine.install({
        owner: 0,
        localId: vector.sender_node_id,
        peerId: 99,
        key: fromHex(vector.key),
        prefix: Number.parseInt(vector.nonce_prefix, 16),
      });
      spend(engine, session, counter - 1);
      const bytes = fromHex(vector.plaintext_packet);
      const packet = fieldsOf(bytes);
      expect(toHex(send(engine, session, packet) as Uint8Array)).toBe(vector.frame);
      compared++;
    }
    expect(compared).toBeGreaterThan(0);
  });

  test('the frame of DP 3.5 opens and is sealed alike', () => {
    const key = fromHex('56e4043d48fabcdc890933bce65910d1acb7fd2640eb309aed7a85a08c68751f');
    const frame =
      '50494c5300000001a1b2c3d40000000000000001114a817ef448b1c9ff7a4515d20bfe6d9d9cb5fe551c52294d8429f0ccfa9e5d8166' +
      '8e29ae8093617a3abed663962011ce4a';
    const engine = create({ sessions: 4 });
    engine.install({ owner: 0, localId: 2, peerId: 1, key, prefix: OUR_PREFIX });
    const opened = deliver(engine, 0, fromHex(frame));
    expect(toHex(opened.slot)).toBe('11010000000000000001000000000002c00003e800000000000000000200145ed874');
    const session = engine.install({ owner: 1, localId: 1, peerId: 2, key, prefix: 0xa1b2c3d4 });
    expect(toHex(send(engine, session, opened.packet!) as Uint8Array)).toBe(frame);
  });

  test('a frame without AAD, as of February 2026, is refused', () => {
    const peer = new Peer(7, 1);
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const frame = peer.frame(5, 1);
    const cipher = createCipheriv('aes-256-gcm', peer.key, frame.subarray(8, 20));
    frame.set(cipher.update(peer.packet()), FRAME_HEADER);
    cipher.final();
    frame.set(cipher.getAuthTag(), frame.length - 16);
    expect(deliver(engine, 0, frame).status).toBe('AEAD_FAILED');
    expect(deliver(engine, 0, peer.frame(5, 1)).status).toBe('OK');
  });

  test('recorded packets are written byte by byte', () => {
    const engine = create({ sessions: 4 });
    const peer = new Peer(7, 1);
    const session = peer.install(engine);
    let compared = 0;
    for (const vector of PACKETS) {
      if (vector.marshalled === undefined || vector.version !== 1) continue;
      const frame = send(engine, session, packetOf(vector)) as Uint8Array;
      expect(toHex(openFrame(peer.key, frame)!)).toBe(vector.marshalled);
      compared++;
    }
    expect(compared).toBeGreaterThan(0);
  });

  test('recorded packets are read field by field, other versions refused', () => {
    for (const vector of PACKETS) {
      if (vector.marshalled === undefined) continue;
      const engine = create({ sessions: 4 });
      const peer = new Peer(vector.src_node, 1);
      peer.install(engine);
      const opened = deliver(engine, 0, peer.frame(5, 1, fromHex(vector.marshalled)));
      expect(opened.status).toBe(vector.unmarshal_error === undefined ? 'OK' : 'BAD_PACKET');
      if (opened.status === 'OK') expect(opened.packet).toEqual({ ...packetOf(vector), flags: vector.flags & 15 });
    }
  });

  test('a payload of 65,536 bytes is refused by seal', () => {
    const engine = create({ sessions: 4 });
    engine.transmit[TX.framePtr] = engine.claimTransmit(0);
    engine.transmit[TX.session] = new Peer(7, 1).install(engine);
    engine.transmit[TX.payloadLen] = 65_536;
    engine.seal(1);
    expect(engine.transmit[TX.status]).toBe(STATUS.BAD_PACKET);
    expect(engine.sealed(0)).toBe(0);
  });

  test('malformed packets get the recorded verdict', () => {
    for (const vector of MALFORMED) {
      const engine = create({ sessions: 4 });
      const bytes = fromHex(vector.bytes);
      const peer = new Peer(bytes.length < 10 ? 1 : new DataView(bytes.buffer).getUint32(6), 1);
      peer.install(engine);
      const opened = deliver(engine, 0, peer.frame(5, 1, bytes));
      const refused = vector.error_class === 'bad_checksum' ? 'BAD_CHECKSUM' : 'BAD_PACKET';
      expect(opened.status, vector.note).toBe(vector.accepted ? 'OK' : refused);
      if (vector.parsed !== undefined) {
        const { payload, dst_port: destinationPort, flags, protocol, seq, ack } = vector.parsed;
        expect(opened.packet).toMatchObject({ destinationPort, flags, protocol, seq, ack, payload: fromHex(payload) });
      } else {
        expect(engine.receive[RX.payloadPtr]).toBe(0);
      }
    }
  });
}

function packetOf(vector: PacketVector): Packet {
  return {
    version: vector.version,
    flags: vector.flags,
    protocol: vector.protocol,
    sourceNetwork: vector.src_network,
    sourceNode: vector.src_node,
    destinationNetwork: vector.dst_network,
    destinationNode: vector.dst_node,
    sourcePort: vector.src_port,
    destinationPort: vector.dst_port,
    seq: vector.seq,
    ack: vector.ack,
    window: vector.window,
    payload: fromHex(vector.payload),
  };
}

/** The header as it is, so that what the test seals does not depend on a parser under test. */
function fieldsOf(bytes: Uint8Array): Packet {
  const view = new DataView(bytes.buffer);
  return {
    version: bytes[0]! >> 4,
    flags: bytes[0]! & 15,
    protocol: bytes[1]!,
    sourceNetwork: view.getUint16(4),
    sourceNode: view.getUint32(6),
    destinationNetwork: view.getUint16(10),
    destinationNode: view.getUint32(12),
    sourcePort: view.getUint16(16),
    destinationPort: view.getUint16(18),
    seq: view.getUint32(20),
    ack: view.getUint32(24),
    window: view.getUint16(28),
    payload: bytes.subarray(34),
  };
}
