/**
 * When things passed a capture: the datagrams of test/vectors/pcap.ts with their times, and the registry's messages with
 * the time at which their last byte was there. What they mean is recording.ts's business.
 */
import type { Millis } from '../../src/config.ts';
import { parseCapture } from '../vectors/pcap.ts';

/** A datagram, or one message of a TCP stream. Ports are those of the loopback. */
export interface Timed {
  /** Since the first packet of the capture. */
  readonly at: Millis;
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

/** What a capture holds, with times. */
export interface TimedCapture {
  /** Unix time of its first packet. */
  readonly startUnixMs: Millis;
  readonly datagrams: readonly Timed[];
  /** Bodies of length-prefixed messages (CP 1.2), of all TCP streams, in the order of their ends. */
  readonly messages: readonly Timed[];
  /** When the last packet of any kind left a TCP port, by `from→to`. */
  readonly streamEnds: ReadonlyMap<string, Millis>;
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET_HEADER = 14;
const IPV4 = 0x0800;
const TCP = 6;
const LENGTH_PREFIX = 4;

/** One TCP segment that carried bytes. */
interface Segment {
  readonly at: Millis;
  readonly seq: number;
  readonly length: number;
}

/** Reads a capture as pcap.ts does, with times. @throws Error for another format. */
export function readCapture(bytes: Uint8Array): TimedCapture {
  const { datagrams, streams } = parseCapture(bytes);
  const clock = readClock(bytes);
  const messages = [...streams].flatMap(([name, stream]) => messagesOf(name, stream, clock.segments.get(name) ?? []));
  return {
    startUnixMs: clock.startUnixMs,
    datagrams: datagrams.map(({ n, from, to, payload }) => ({ at: clock.times[n]!, from, to, bytes: payload })),
    messages: messages.sort((a, b) => a.at - b.at),
    streamEnds: clock.streamEnds,
  };
}

/** The times of all IPv4 packets, by their numbers, and what of TCP is needed to tell when a byte was there. */
function readClock(bytes: Uint8Array): {
  startUnixMs: Millis;
  times: Millis[];
  segments: Map<string, Segment[]>;
  streamEnds: Map<string, Millis>;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isLittle = view.getUint32(0, true) === 0xa1b2c3d4;
  const times: Millis[] = [];
  const segments = new Map<string, Segment[]>();
  const streamEnds = new Map<string, Millis>();
  const microsAt = (at: number): number => view.getUint32(at, isLittle) * 1_000_000 + view.getUint32(at + 4, isLittle);
  const start = microsAt(FILE_HEADER);
  for (let at = FILE_HEADER; at + RECORD_HEADER <= bytes.length; ) {
    const time = (microsAt(at) - start) / 1000;
    const frame = at + RECORD_HEADER;
    at = frame + view.getUint32(at + 8, isLittle);
    if (at - frame < ETHERNET_HEADER + 20 || view.getUint16(frame + 12) !== IPV4) continue;
    times.push(time);
    const ip = frame + ETHERNET_HEADER;
    if (view.getUint8(ip + 9) !== TCP) continue;
    const tcp = ip + (view.getUint8(ip) & 15) * 4;
    const name = `${view.getUint16(tcp)}→${view.getUint16(tcp + 2)}`;
    const length = ip + view.getUint16(ip + 2) - tcp - (view.getUint8(tcp + 12) >> 4) * 4;
    streamEnds.set(name, time);
    if (length === 0) continue;
    const known = segments.get(name) ?? [];
    known.push({ at: time, seq: view.getUint32(tcp + 4), length });
    segments.set(name, known);
  }
  return { startUnixMs: start / 1000, times, segments, streamEnds };
}

function messagesOf(name: string, stream: Uint8Array, segments: readonly Segment[]): Timed[] {
  const [from, to] = name.split('→').map(Number) as [number, number];
  const view = new DataView(stream.buffer, stream.byteOffset, stream.length);
  const anchor = segments[0]?.seq ?? 0;
  const offsets = segments.map(({ seq }) => (seq - anchor) | 0);
  const first = Math.min(...offsets);
  const found: Timed[] = [];
  for (let start = 0; start + LENGTH_PREFIX <= stream.length; ) {
    const end = start + LENGTH_PREFIX + view.getUint32(start);
    if (end > stream.length) break;
    const last = segments.findIndex(({ length }, i) => offsets[i]! - first + length >= end);
    found.push({ at: segments[last]!.at, from, to, bytes: stream.subarray(start + LENGTH_PREFIX, end) });
    start = end;
  }
  return found;
}
