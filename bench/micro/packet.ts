/**
 * M8: the host's side of a record. Ours reads all fields of a receive record and writes those of a transmit record, both
 * in engine memory; the peer reads and writes the same fields where they would be without an engine, in the 34 bytes of
 * the header, with a DataView and literal offsets, which is the fastest way to do that in JavaScript.
 */
import { RECORD_WORDS, RX, TX } from '../../src/engine/engine.ts';
import type { WasmEngine } from '../../src/engine/wasm.ts';
import { type Contestant, contest, type Measurement, once, withTarget } from './contest.ts';
import { makeEngine, WASM } from './engines.ts';
import type { Row } from './record.ts';
import { collectGarbage, heapUsed, runtimeName } from './runtime.ts';

/** Records read and written in turn, as in a batch. */
const RECORDS = 64;
const HEADER = 34;
const HEAP_OPERATIONS = 1_000_000;
const BYTES = { name: 'M8 heap', unit: 'B', better: 'lower', peers: {} } as const;

/** All of M8. */
export function packet(): Measurement[] {
  const contestants = (): Contestant[] => [records(makeEngine('simd')), views()];
  return [contest([{ name: 'M8 record', subjects: WASM, peers: ['js'] }], contestants), heap(contestants)];
}

/** The fields of a packet; one object for all. */
interface Fields {
  flags: number;
  protocol: number;
  payloadLength: number;
  sourceNetwork: number;
  sourceNode: number;
  destinationNetwork: number;
  destinationNode: number;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  windowSegments: number;
}

function noFields(): Fields {
  return {
    flags: 0,
    protocol: 0,
    payloadLength: 0,
    sourceNetwork: 0,
    sourceNode: 0,
    destinationNetwork: 0,
    destinationNode: 0,
    sourcePort: 0,
    destinationPort: 0,
    seq: 0,
    ack: 0,
    windowSegments: 0,
  };
}

function records(engine: WasmEngine): Contestant {
  const { receive, transmit } = engine;
  const fields = noFields();
  for (let i = 0; i < RECORDS; i++) {
    // Numbers above 2^31 among them: those are no small integers.
    receive.set(
      [0x1201, 0x0001_0002, 0xc000_0001 + i, 2, 0xc000_03e8, 0x9000_0000 + i, i, 512],
      i * RECORD_WORDS + RX.kind,
    );
  }
  const run = (count: number): number => {
    for (let i = 0; i < count; i++) {
      const at = (i & (RECORDS - 1)) * RECORD_WORDS;
      readRecord(receive, at, fields);
      writeRecord(transmit, at, fields);
    }
    return fields.seq;
  };
  return { name: engine.name, version: '', run };
}

function readRecord(receive: Uint32Array, at: number, fields: Fields): void {
  const kind = receive[at + RX.kind]!;
  const networks = receive[at + RX.networks]!;
  const ports = receive[at + RX.ports]!;
  fields.flags = (kind >>> 8) & 15;
  fields.protocol = kind & 0xff;
  fields.payloadLength = receive[at + RX.payloadLen]!;
  fields.sourceNetwork = networks >>> 16;
  fields.destinationNetwork = networks & 0xffff;
  fields.sourceNode = receive[at + RX.sourceNode]!;
  fields.destinationNode = receive[at + RX.destinationNode]!;
  fields.sourcePort = ports >>> 16;
  fields.destinationPort = ports & 0xffff;
  fields.seq = receive[at + RX.seq]!;
  fields.ack = receive[at + RX.ack]!;
  fields.windowSegments = receive[at + RX.window]!;
}

function writeRecord(transmit: Uint32Array, at: number, fields: Fields): void {
  transmit[at + TX.kind] = (fields.flags << 8) | fields.protocol;
  transmit[at + TX.payloadLen] = fields.payloadLength;
  transmit[at + TX.networks] = (fields.sourceNetwork << 16) | fields.destinationNetwork;
  transmit[at + TX.sourceNode] = fields.sourceNode;
  transmit[at + TX.destinationNode] = fields.destinationNode;
  transmit[at + TX.ports] = (fields.sourcePort << 16) | fields.destinationPort;
  transmit[at + TX.seq] = fields.seq;
  transmit[at + TX.ack] = fields.ack;
  transmit[at + TX.window] = fields.windowSegments;
}

function views(): Contestant {
  const incoming = new DataView(new ArrayBuffer(RECORDS * HEADER));
  const outgoing = new DataView(new ArrayBuffer(RECORDS * HEADER));
  const fields = noFields();
  for (let i = 0; i < RECORDS; i++) {
    const at = i * HEADER;
    incoming.setUint16(at, 0x1201);
    incoming.setUint16(at + 4, 1);
    incoming.setUint32(at + 6, 0xc000_0001 + i);
    incoming.setUint16(at + 10, 2);
    incoming.setUint32(at + 12, 2);
    incoming.setUint32(at + 16, 0xc000_03e8);
    incoming.setUint32(at + 20, 0x9000_0000 + i);
    incoming.setUint32(at + 24, i);
    incoming.setUint16(at + 28, 512);
  }
  const run = (count: number): number => {
    for (let i = 0; i < count; i++) {
      const at = (i & (RECORDS - 1)) * HEADER;
      readHeader(incoming, at, fields);
      writeHeader(outgoing, at, fields);
    }
    return fields.seq;
  };
  return { name: 'js', version: runtimeName(), run };
}

function readHeader(view: DataView, at: number, fields: Fields): void {
  const kind = view.getUint16(at);
  fields.flags = (kind >>> 8) & 15;
  fields.protocol = kind & 0xff;
  fields.payloadLength = view.getUint16(at + 2);
  fields.sourceNetwork = view.getUint16(at + 4);
  fields.sourceNode = view.getUint32(at + 6);
  fields.destinationNetwork = view.getUint16(at + 10);
  fields.destinationNode = view.getUint32(at + 12);
  fields.sourcePort = view.getUint16(at + 16);
  fields.destinationPort = view.getUint16(at + 18);
  fields.seq = view.getUint32(at + 20);
  fields.ack = view.getUint32(at + 24);
  fields.windowSegments = view.getUint16(at + 28);
}

function writeHeader(view: DataView, at: number, fields: Fields): void {
  view.setUint16(at, 0x1000 | (fields.flags << 8) | fields.protocol);
  view.setUint16(at + 2, fields.payloadLength);
  view.setUint16(at + 4, fields.sourceNetwork);
  view.setUint32(at + 6, fields.sourceNode);
  view.setUint16(at + 10, fields.destinationNetwork);
  view.setUint32(at + 12, fields.destinationNode);
  view.setUint16(at + 16, fields.sourcePort);
  view.setUint16(at + 18, fields.destinationPort);
  view.setUint32(at + 20, fields.seq);
  view.setUint32(at + 24, fields.ack);
  view.setUint16(at + 28, fields.windowSegments);
}

/** How much the heap grows over 10^6 records, without a collection in between. */
function heap(contestants: () => Contestant[]): Measurement {
  const measure = (): Row[] => {
    const [ours, theirs] = contestants();
    return [ours!, theirs!].map((contestant) => {
      const bytes = growth(contestant);
      const row: Row = { ...BYTES, subject: contestant.name, median: bytes, p95: bytes };
      return withTarget(row);
    });
  };
  return once(['M8 heap'], measure);
}

/** The least of several times: the compilers leave something behind as well, but not in each. */
function growth({ run }: Contestant): number {
  const times = Array.from({ length: 4 }, () => {
    collectGarbage();
    const before = heapUsed();
    run(HEAP_OPERATIONS);
    return heapUsed() - before;
  });
  return Math.max(0, Math.min(...times));
}
