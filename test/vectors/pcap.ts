/**
 * Reads a capture of a loopback: the classic pcap format, Ethernet frames with IPv4. Datagrams come out one by one, TCP
 * as the bytes of each direction in order.
 */

/** One UDP datagram. `n` counts the IPv4 packets of the capture from 0. */
export interface Datagram {
  readonly n: number;
  readonly from: number;
  readonly to: number;
  readonly payload: Uint8Array;
}

/** What a capture holds. */
export interface Capture {
  readonly datagrams: readonly Datagram[];
  /** By `from→to` ports. */
  readonly streams: ReadonlyMap<string, Uint8Array>;
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET_HEADER = 14;
const TCP = 6;
const UDP = 17;

/** @throws Error for another format. */
export function parseCapture(bytes: Uint8Array): Capture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isLittle = view.getUint32(0, true) === 0xa1b2c3d4;
  if (!isLittle && view.getUint32(0) !== 0xa1b2c3d4) throw new Error('Not a pcap file of microseconds');
  if (view.getUint32(20, isLittle) !== 1) throw new Error('Not a capture of Ethernet frames');
  const datagrams: Datagram[] = [];
  const segments = new Map<string, { seq: number; payload: Uint8Array }[]>();
  let n = 0;
  for (let at = FILE_HEADER; at + RECORD_HEADER <= bytes.length; ) {
    const length = view.getUint32(at + 8, isLittle);
    const frame = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length);
    at += RECORD_HEADER + length;
    const packet = parseIp(frame);
    if (packet === undefined) continue;
    const { protocol, from, to, rest } = packet;
    if (protocol === UDP) datagrams.push({ n, from, to, payload: rest.subarray(8) });
    if (protocol === TCP) addSegment(segments, `${from}→${to}`, rest);
    n += 1;
  }
  return { datagrams, streams: new Map([...segments].map(([name, parts]) => [name, joined(parts)])) };
}

function parseIp(frame: Uint8Array): { protocol: number; from: number; to: number; rest: Uint8Array } | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length < ETHERNET_HEADER + 20 || view.getUint16(12) !== 0x0800) return undefined;
  const headerBytes = (frame[ETHERNET_HEADER]! & 15) * 4;
  const end = ETHERNET_HEADER + view.getUint16(ETHERNET_HEADER + 2);
  const start = ETHERNET_HEADER + headerBytes;
  const rest = frame.subarray(start, end);
  return { protocol: frame[ETHERNET_HEADER + 9]!, from: view.getUint16(start), to: view.getUint16(start + 2), rest };
}

function addSegment(all: Map<string, { seq: number; payload: Uint8Array }[]>, name: string, tcp: Uint8Array): void {
  const view = new DataView(tcp.buffer, tcp.byteOffset, tcp.length);
  const payload = tcp.subarray((tcp[12]! >> 4) * 4);
  if (payload.length === 0) return;
  const parts = all.get(name) ?? [];
  parts.push({ seq: view.getUint32(4), payload });
  all.set(name, parts);
}

/** In order of their numbers, repetitions dropped, up to the first gap. */
function joined(parts: readonly { seq: number; payload: Uint8Array }[]): Uint8Array {
  const first = parts[0]!.seq;
  const sorted = parts.map(({ seq, payload }) => ({ at: (seq - first) | 0, payload })).sort((a, b) => a.at - b.at);
  const out: Uint8Array[] = [];
  let next = sorted[0]!.at;
  for (const { at, payload } of sorted) {
    if (at > next) break;
    if (at + payload.length <= next) continue;
    out.push(payload.subarray(next - at));
    next = at + payload.length;
  }
  return new Uint8Array(Buffer.concat(out));
}
