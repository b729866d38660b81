/**
 * Whole sessions of the existing network as they were captured, with their keys: every datagram is one that we read,
 * every encrypted one opens, and sealed by us it has the same bytes.
 */
import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { createWasmEngine } from '../../src/engine/wasm.ts';
import { parseBeacon } from '../../src/wire/beacon.ts';
import { parseKeyExchange, signedExchange } from '../../src/wire/key-exchange.ts';
import { MAGIC, PROTOCOL } from '../../src/wire/packet.ts';
import { FrameReader, parseJson } from '../../src/wire/registry.ts';
import type { Packet } from '../reference/packet.ts';
import { filesLike, isOurs, readBytes, readLines } from '../vectors/folder.ts';
import { parseCapture } from '../vectors/pcap.ts';
import { deliver, fromHex, send, toHex } from './rig.ts';

interface KeyLine {
  event: string;
  aes256gcm_key?: string;
}
interface DecodedLine {
  n: number;
  proto: string;
  packet?: Decoded;
  inner?: { packet?: Decoded };
}
interface Decoded {
  flags: string;
  seq: number;
  ack: number;
  len: number;
  src_port: number;
  dst_port: number;
}

/** A tunnel frame and how it came. */
interface Frame {
  n: number;
  bytes: Uint8Array;
  /** From the envelope, for a relayed one. */
  sender: number | undefined;
}

const NAMES = filesLike(/^session-.*\.pcap$/).map((file) => file.replace(/\.pcap$/, ''));
const FLAG_NAMES = ['SYN', 'ACK', 'FIN', 'RST'];

describe.each(NAMES)('recorded %s', (name) => {
  const capture = parseCapture(readBytes(`${name}.pcap`));
  const keys = [...new Set(readLines<KeyLine>(`${name}.keys.jsonl`).flatMap((line) => line.aes256gcm_key ?? []))];
  const frames: Frame[] = [];
  for (const { n, payload } of capture.datagrams) {
    const message = payload[0]! < 0x10 ? parseBeacon(payload) : undefined;
    if (message?.type === 'relay' || message?.type === 'delivery') {
      frames.push({ n, bytes: payload.subarray(message.frameOffset), sender: message.sender });
    } else if (payload[0]! >= 0x10) frames.push({ n, bytes: payload, sender: undefined });
  }
  const magicOf = ({ bytes }: Frame): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  const encrypted = frames.filter((frame) => magicOf(frame) === MAGIC.PILS);
  const senderOf = ({ bytes }: Frame): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);

  function engine(): Engine {
    const made = createWasmEngine({ sessions: 64 }, () => {});
    for (const sender of new Set(encrypted.map(senderOf))) {
      // The prefix is ours, and no peer's.
      for (const key of keys) made.install({ owner: 0, localId: 99, peerId: sender, key: fromHex(key), prefix: 0 });
    }
    return made;
  }

  test('every datagram is a beacon message or a frame that is known', () => {
    expect(capture.datagrams.length).toBeGreaterThan(0);
    for (const { n, payload } of capture.datagrams) {
      if (payload[0]! < 0x10) expect(parseBeacon(payload), `datagram ${n}`).toBeDefined();
    }
    const known: number[] = [MAGIC.PILS, MAGIC.PILA, MAGIC.PILK, MAGIC.PILP];
    for (const frame of frames) expect(known, `datagram ${frame.n}`).toContain(magicOf(frame));
  });

  test('every key exchange verifies, and what is relayed names the sender of its envelope', () => {
    const exchanges = frames.filter((frame) => magicOf(frame) === MAGIC.PILA);
    expect(exchanges.length).toBeGreaterThan(0);
    for (const { n, bytes, sender } of exchanges) {
      const message = parseKeyExchange(bytes)!;
      const der = Buffer.concat([fromHex('302a300506032b6570032100'), message.identityKey!]);
      const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
      expect(verify(null, signedExchange(message.sender, message.exchangeKey), key, message.signature!)).toBe(true);
      if (sender !== undefined) expect(message.sender, `datagram ${n}`).toBe(sender);
    }
  });

  test('every encrypted frame opens, once, to the packet that was decoded', () => {
    const made = engine();
    const decoded = new Map(
      filesLike(new RegExp(`^${name}\\.decoded\\.jsonl$`))
        .flatMap((file) => readLines<DecodedLine>(file))
        .map(({ n, packet, inner }) => [n, packet ?? inner?.packet]),
    );
    const seen = new Set<string>();
    expect(encrypted.length).toBeGreaterThan(0);
    for (const { n, bytes, sender } of encrypted) {
      // A relayed frame passes the capture twice: to the beacon and from it.
      const isFirst = !seen.has(toHex(bytes));
      seen.add(toHex(bytes));
      const opened = deliver(made, 0, bytes);
      expect(opened.status, `datagram ${n}`).toBe(isFirst ? 'OK' : 'REPLAY');
      if (sender !== undefined) expect(opened.sender, `datagram ${n}`).toBe(sender);
      const line = decoded.get(n);
      if (isFirst && line !== undefined) expect(line, `datagram ${n}`).toMatchObject(fieldsOf(opened.packet!));
    }
    if (isOurs) expect(seen.size).toBeGreaterThan(100);
  });

  /** As the decoded file names them; what it says beyond that is not compared. */
  function fieldsOf(packet: Packet): Decoded {
    const flags = FLAG_NAMES.filter((_, i) => (packet.flags & (1 << i)) !== 0).join('|');
    return {
      flags,
      seq: packet.seq,
      ack: packet.ack,
      len: packet.payload.length,
      src_port: packet.sourcePort,
      dst_port: packet.destinationPort,
    };
  }

  test('sealed by us, the packets make the same frames', () => {
    const opener = engine();
    const sealer = createWasmEngine({ sessions: 64 }, () => {});
    const sessions = new Map<string, number>();
    let compared = 0;
    for (const frame of encrypted) {
      const { status, session, packet } = deliver(opener, 0, frame.bytes);
      if (status !== 'OK') continue;
      const view = new DataView(frame.bytes.buffer, frame.bytes.byteOffset);
      const [sender, prefix, counter] = [view.getUint32(4), view.getUint32(8), Number(view.getBigUint64(12))];
      const key = fromHex(keys[session % keys.length]!);
      const id = `${sender} ${prefix} ${session}`;
      const own = sessions.get(id) ?? sealer.install({ owner: 0, localId: sender, peerId: 99, key, prefix });
      sessions.set(id, own);
      if (counter <= sealer.sealed(own)) continue;
      sealer.exports.spend(own, counter - 1 - sealer.sealed(own));
      expect(toHex(send(sealer, own, packet!) as Uint8Array), `datagram ${frame.n}`).toBe(toHex(frame.bytes));
      compared += 1;
    }
    expect(compared).toBeGreaterThan(0);
  });

  test('pings, datagrams and streams: no other protocol, and nobody but the sender inside', () => {
    const made = engine();
    for (const { n, bytes } of encrypted) {
      const { status, packet, sender } = deliver(made, 0, bytes);
      if (status !== 'OK') continue;
      expect(Object.values(PROTOCOL) as number[], `datagram ${n}`).toContain(packet!.protocol);
      expect([sender, 0], `datagram ${n}`).toContain(packet!.sourceNode);
    }
  });

  test('every message of the registry is a frame with an object', () => {
    let found = 0;
    for (const [ports, bytes] of capture.streams) {
      const reader = new FrameReader(1 << 20);
      expect(reader.push(bytes), ports).toBe(true);
      for (let body = reader.next(); body !== undefined; body = reader.next()) {
        expect(parseJson(body), ports).toBeInstanceOf(Object);
        found += 1;
      }
    }
    expect(found).toBeGreaterThan(0);
  });
});
