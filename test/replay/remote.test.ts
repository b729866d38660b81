/** The recorded peers keep cause and effect; this is about the replay itself, not about ours. */
import { expect, test } from 'vitest';
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import { emitSack, sackLength } from '../../src/wire/sack.ts';
import { openFrame, sealFrame } from '../reference/engine.ts';
import { emitPacket, type Packet, parsePacket } from '../reference/packet.ts';
import type { RecordedDatagram } from './recording.ts';
import { type Arrival, Remote } from './remote.ts';

const KEY = new Uint8Array(32).fill(3);
const OURS = { sourceNode: 1, destinationNode: 2, sourcePort: 49152, destinationPort: 7 };
const THEIRS = { sourceNode: 2, destinationNode: 1, sourcePort: 7, destinationPort: 49152 };
const { SYN, ACK, FIN } = FLAG;

function packet(fields: Partial<Packet>): Packet {
  const parsed = parsePacket(emitPacket({ protocol: PROTOCOL.stream, ...fields }));
  if (typeof parsed === 'string') throw new Error(parsed);
  return parsed;
}

const ours = (fields: Partial<Packet>): Packet => packet({ ...OURS, ...fields });

let counter = 0n;

function theirs(fields: Partial<Packet>): RecordedDatagram {
  const opened = { key: KEY, sender: 2, prefix: 5, counter: ++counter, packet: packet({ ...THEIRS, ...fields }) };
  const bytes = sealFrame(KEY, opened, emitPacket(opened.packet));
  return { at: 0, from: 19_012, to: 19_011, bytes, frame: bytes, isRelayed: false, relayedTo: undefined, opened };
}

/** What the frames say when they are opened. */
function said(arrivals: readonly Arrival[]): Partial<Packet>[] {
  return arrivals.map(({ bytes, packet: told }) => {
    const opened = parsePacket(openFrame(KEY, bytes)!);
    if (typeof opened === 'string') throw new Error(opened);
    expect(opened).toEqual(told);
    const { flags, seq, ack, payload } = opened;
    return { flags, seq, ack, payload: payload.slice() };
  });
}

/** Ours has sent its SYN and the bytes up to number `end`. */
function after(end: number): Remote {
  const remote = new Remote();
  remote.handleSent(ours({ flags: SYN }));
  remote.arrive(theirs({ flags: SYN | ACK, ack: 1, window: 512 }));
  remote.handleSent(ours({ flags: ACK, seq: 1, ack: 1, payload: new Uint8Array(end - 1) }));
  return remote;
}

const NOTHING = new Uint8Array(0);

test('what fits arrives as it was recorded', () => {
  const remote = after(101);
  const recorded = theirs({ flags: ACK, seq: 1, ack: 101, window: 512, payload: Uint8Array.of(1, 2) });
  expect(remote.arrive(recorded)[0]?.bytes).toBe(recorded.bytes);
  expect(remote.counts).toEqual({ cut: 0, held: 0, added: 0 });
});

test('an acknowledgement ahead of ours is cut, and the rest follows what ours sends', () => {
  const remote = after(101);
  const early = remote.arrive(theirs({ flags: ACK, seq: 1, ack: 301, window: 512 }));
  expect(said(early)).toEqual([{ flags: ACK, seq: 1, ack: 101, payload: NOTHING }]);
  const data = (seq: number): Packet => ours({ flags: ACK, seq, ack: 1, payload: new Uint8Array(150) });
  expect(said(remote.handleSent(data(101)))).toEqual([{ flags: ACK, seq: 1, ack: 251, payload: NOTHING }]);
  expect(said(remote.handleSent(data(251)))).toEqual([{ flags: ACK, seq: 1, ack: 301, payload: NOTHING }]);
  expect(remote.handleSent(data(401))).toEqual([]);
});

test('a SACK names no byte that ours has not sent', () => {
  const remote = after(201);
  const payload = new Uint8Array(sackLength(2));
  emitSack(payload, 0, Uint32Array.of(101, 301, 401, 501), 2);
  const [arrival] = said(remote.arrive(theirs({ flags: ACK, seq: 1, ack: 1, payload })));
  const cut = new Uint8Array(sackLength(1));
  emitSack(cut, 0, Uint32Array.of(101, 201), 1);
  expect(arrival?.payload).toEqual(cut);
});

test('the answer to a FIN waits for the FIN, but tells at once that the data arrived', () => {
  const remote = after(101);
  const answer = theirs({ flags: FIN | ACK, seq: 1, ack: 102 });
  expect(said(remote.arrive(answer))).toEqual([{ flags: ACK, seq: 1, ack: 101, payload: NOTHING }]);
  expect(remote.waiting().length).toBe(1);
  expect(remote.handleSent(ours({ flags: FIN, seq: 101 }))[0]?.bytes).toBe(answer.bytes);
  expect(remote.waiting()).toEqual([]);
});

test('nothing comes on a connection that ours has not begun, but a SYN', () => {
  const remote = new Remote();
  expect(remote.arrive(theirs({ flags: SYN | ACK, ack: 1 }))).toEqual([]);
  expect(remote.arrive(theirs({ flags: SYN, sourcePort: 8 })).length).toBe(1);
  expect(remote.handleSent(ours({ flags: SYN })).length).toBe(1);
});
