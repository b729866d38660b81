/**
 * A recorded session as it is replayed: the lives of its peers, every frame with the packet in it, and what each peer
 * asked the registry. Built from the capture and the keys alone; the decoded files are checked against it.
 */
import type { Millis } from '../../src/config.ts';
import { fromBase64, fromHex, toHex } from '../../src/wire/base64.ts';
import { parseBeacon } from '../../src/wire/beacon.ts';
import { readU32 } from '../../src/wire/integers.ts';
import { parseKeyExchange } from '../../src/wire/key-exchange.ts';
import { MAGIC } from '../../src/wire/packet.ts';
import { openFrame } from '../reference/engine.ts';
import { type Packet, parsePacket } from '../reference/packet.ts';
import { readBytes, readLines, readText } from '../vectors/folder.ts';
import { readCapture, type Timed, type TimedCapture } from './capture.ts';

/** An encrypted frame, opened. */
export interface Opened {
  readonly key: Uint8Array;
  readonly sender: number;
  readonly prefix: number;
  readonly counter: bigint;
  readonly packet: Packet;
}

/** A datagram of the session. */
export interface RecordedDatagram extends Timed {
  /** The tunnel frame in it, out of the beacon's envelope; undefined for other messages of the beacon. */
  readonly frame: Uint8Array | undefined;
  /** Whether the frame came in an envelope. */
  readonly isRelayed: boolean;
  /** For whom, where the envelope says so. */
  readonly relayedTo: number | undefined;
  readonly opened: Opened | undefined;
}

/** A request to the registry and its answer; bodies without the length in front. */
export interface Question {
  readonly at: Millis;
  readonly answeredAt: Millis;
  readonly request: { readonly type: string; readonly [field: string]: unknown };
  readonly answer: Uint8Array;
}

/** One run of one peer, from its registration to its end. */
export interface Life {
  readonly nodeId: number;
  /** Of its UDP socket. */
  readonly port: number;
  readonly from: Millis;
  readonly until: Millis;
  /** Ed25519. */
  readonly seed: Uint8Array;
  /** X25519: one pair serves all its exchanges (DP 3.6). */
  readonly secret: Uint8Array;
  readonly exchangeKey: Uint8Array;
  readonly questions: readonly Question[];
}

/** A whole session. */
export interface Recording {
  readonly name: string;
  readonly startUnixMs: Millis;
  readonly registryPort: number;
  readonly beaconPort: number;
  readonly datagrams: readonly RecordedDatagram[];
  readonly lives: readonly Life[];
  /** Tunnel keys that the peers agreed on. */
  readonly keys: readonly SharedKey[];
}

/** A tunnel key and the X25519 keys of which it was made. */
export interface SharedKey {
  readonly key: Uint8Array;
  readonly exchangeKeys: readonly string[];
}

interface KeyLine {
  event: string;
  x25519_private?: string;
  x25519_public?: string;
  own_x25519_public?: string;
  peer_x25519_public?: string;
  aes256gcm_key?: string;
}

/** The sockets of a session are numbered from the registry's on. */
const BEACON = 1;
/** Peer `i` has the socket that is this and `i` above the registry's. */
export const PEER_PORTS = 10;
const DECODER = new TextDecoder();

/** Reads `<name>.pcap`, its keys and its identities. */
export function readRecording(name: string): Recording {
  const capture = readCapture(readBytes(`${name}.pcap`));
  const lines = readLines<KeyLine>(`${name}.keys.jsonl`);
  const keys = sharedKeys(lines);
  const registryPort = registryOf(capture);
  const opener = new Opener(keys.map(({ key }) => key));
  const datagrams = capture.datagrams.map((one) => opener.read(one));
  const world = { name, capture, lines, registryPort, datagrams };
  return {
    name,
    startUnixMs: capture.startUnixMs,
    registryPort,
    beaconPort: registryPort + BEACON,
    datagrams,
    lives: livesOf(world),
    keys,
  };
}

/** Opens encrypted frames with whichever key fits. */
export class Opener {
  readonly #keys: readonly Uint8Array[];
  readonly #found = new Map<string, Uint8Array>();

  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys;
  }

  read(datagram: Timed): RecordedDatagram {
    const { bytes } = datagram;
    const message = bytes.length > 0 && bytes[0]! < 0x10 ? parseBeacon(bytes) : undefined;
    const isRelayed = message?.type === 'relay' || message?.type === 'delivery';
    const frame = isRelayed ? bytes.subarray(message.frameOffset) : message === undefined ? bytes : undefined;
    const relayedTo = message?.type === 'relay' ? message.destination : undefined;
    return { ...datagram, frame, isRelayed, relayedTo, opened: frame === undefined ? undefined : this.open(frame) };
  }

  /** @returns Undefined for a frame of another kind, or one that no key opens. */
  open(frame: Uint8Array): Opened | undefined {
    if (frame.length < 36 || readU32(frame, 0) !== MAGIC.PILS) return undefined;
    const epoch = toHex(frame.subarray(4, 12));
    const known = this.#found.get(epoch);
    for (const key of known === undefined ? this.#keys : [known]) {
      const plaintext = openFrame(key, frame);
      if (plaintext === undefined) continue;
      const packet = parsePacket(plaintext);
      if (typeof packet === 'string') return undefined;
      this.#found.set(epoch, key);
      const view = new DataView(frame.buffer, frame.byteOffset);
      return { key, sender: view.getUint32(4), prefix: view.getUint32(8), counter: view.getBigUint64(12), packet };
    }
    return undefined;
  }
}

function sharedKeys(lines: readonly KeyLine[]): SharedKey[] {
  const found = new Map<string, SharedKey>();
  for (const { aes256gcm_key: key, own_x25519_public: own, peer_x25519_public: peer } of lines) {
    if (key === undefined) continue;
    found.set(key, { key: fromHex(key)!, exchangeKeys: [own!, peer!] });
  }
  return [...found.values()];
}

/** The port that answers registrations. */
function registryOf({ messages }: TimedCapture): number {
  const answer = messages.find(({ bytes }) => parseAnswer(bytes)?.type === 'register_ok');
  if (answer === undefined) throw new Error('Nobody registers in this capture');
  return answer.from;
}

function livesOf(world: {
  name: string;
  capture: TimedCapture;
  lines: readonly KeyLine[];
  registryPort: number;
  datagrams: readonly RecordedDatagram[];
}): Life[] {
  const { name, capture, lines, registryPort, datagrams } = world;
  const clients = new Set(capture.messages.filter(({ to }) => to === registryPort).map(({ from }) => from));
  const lives: Life[] = [];
  for (const client of clients) {
    const questions = questionsOf(capture, client, registryPort);
    const registration = questions.find(({ request }) => request.type === 'register');
    const nodeId = registration === undefined ? undefined : parseAnswer(registration.answer)?.node_id;
    if (registration === undefined || typeof nodeId !== 'number') continue;
    const port = registryPort + PEER_PORTS + nodeId;
    const until = capture.streamEnds.get(`${client}→${registryPort}`)!;
    const isDuring = ({ at }: Timed): boolean =>
      at <= until && (lives.findLast((l) => l.port === port)?.until ?? -1) < at;
    const own = datagrams.filter((one) => one.from === port && isDuring(one));
    const exchangeKey = exchangeKeyOf(own);
    // Without its secret a life cannot be lived again.
    const pair =
      exchangeKey && lines.find((line) => line.event === 'x25519_keypair' && line.x25519_public === toHex(exchangeKey));
    if (exchangeKey === undefined || pair === undefined) continue;
    const identity = JSON.parse(readText(`${name}.identity-node${nodeId}.json`)) as { private_key: string };
    lives.push({
      nodeId,
      port,
      from: Math.min(own[0]!.at, registration.at),
      until,
      seed: fromBase64(identity.private_key)!.subarray(0, 32),
      secret: fromHex(pair.x25519_private!)!,
      exchangeKey,
      questions,
    });
  }
  return lives.sort((a, b) => a.from - b.from);
}

/** Questions are answered in order, one at a time (CP 1.2). */
function questionsOf({ messages }: TimedCapture, client: number, registry: number): Question[] {
  const requests = messages.filter(({ from, to }) => from === client && to === registry);
  const answers = messages.filter(({ from, to }) => from === registry && to === client);
  return answers.flatMap(({ at: answeredAt, bytes: answer }, i) => {
    const asked = requests[i];
    const request = asked === undefined ? undefined : parseAnswer(asked.bytes);
    return asked === undefined || request === undefined ? [] : [{ at: asked.at, answeredAt, request, answer }];
  });
}

function exchangeKeyOf(datagrams: readonly RecordedDatagram[]): Uint8Array | undefined {
  for (const { frame } of datagrams) {
    if (frame === undefined || frame.length < 136 || readU32(frame, 0) !== MAGIC.PILA) continue;
    return parseKeyExchange(frame)?.exchangeKey.slice();
  }
  return undefined;
}

/** One body of the registry's JSON protocol; undefined for anything else. */
export function parseAnswer(body: Uint8Array): { type: string; [field: string]: unknown } | undefined {
  try {
    const value = JSON.parse(DECODER.decode(body)) as { type?: unknown };
    return typeof value?.type === 'string' ? (value as { type: string }) : undefined;
  } catch {
    return undefined;
  }
}
