/**
 * M7: finding the session of a sender among many. The engine exports no bare look-up, so there are two sorts of rows: `one`
 * and `batch` are assembly/route.ts alone (bench/build.mjs makes a module of it), `parse` is the engine's first stage, which
 * also reads the frame header, visits the session and writes the record.
 *
 * Keys are (owner u16 ‖ node id u32). All keys are there; they are asked for in an order that no cache foresees.
 */
import { BATCH, FRAME_HEADER, RECORD_WORDS, RX } from '../../src/engine/engine.ts';
import { STAGE } from '../../src/engine/exports.ts';
import { type Contestant, contest, type Measurement, once, withTarget } from './contest.ts';
import { fresh, fromBase64, makeEngine, Random, WASM } from './engines.ts';
import type { Row } from './record.ts';
import { collectGarbage, heapUsed, received, runtimeName } from './runtime.ts';

/** The module, base64: bench/build.mjs puts it there. */
declare const ROUTES_MODULE: string;

const SIZES = { '1k': 1000, '100k': 100_000, '1M': 1_000_000 } as const;
const PARSE_SIZES = { '1k': 1000, '100k': 100_000 } as const;
/** Agents in one process, each with its own routes. */
const OWNERS = 16;
const PAGE = 65_536;
const PEERS = ['Map', 'Map small', 'Map bigint', 'Map string'];
const KEY = new Uint8Array(32);
const PREFIX = 1;
/** The shortest frames there are: header and tag. */
const FRAME_BYTES = FRAME_HEADER + 16;

/** All of M7. */
export function routes(): Measurement[] {
  return [
    ...Object.entries(SIZES).flatMap(([label, entries]) => [
      lookingUp(label, entries, false),
      lookingUp(label, entries, true),
    ]),
    ...Object.entries(PARSE_SIZES).map(([label, entries]) => parsing(label, entries)),
    weighing('1M', SIZES['1M']),
  ];
}

/** Different pairs, and an order to ask for them. */
class Keys {
  readonly owners: Int32Array;
  readonly nodes: Int32Array;
  readonly order: Int32Array;

  constructor(entries: number) {
    const random = new Random(entries);
    const nodes = new Set<number>();
    while (nodes.size < entries) nodes.add(random.next() | 0);
    this.nodes = Int32Array.from(nodes);
    this.owners = this.nodes.map(() => random.below(OWNERS));
    this.order = this.nodes.map((_, i) => i);
    for (let i = entries - 1; i > 0; i--) {
      const other = random.below(i + 1);
      [this.order[i], this.order[other]] = [this.order[other]!, this.order[i]!];
    }
  }

  get size(): number {
    return this.nodes.length;
  }

  number(i: number): number {
    return this.owners[i]! * 2 ** 32 + (this.nodes[i]! >>> 0);
  }
}

interface RoutesModule {
  memoryNeeded(entries: number): number;
  init(entries: number, secretLow: number, secretHigh: number): void;
  tableBytes(): number;
  set(owner: number, node: number, value: number): void;
  find(owner: number, node: number): number;
  findBatch(pairsPtr: number, valuesPtr: number, count: number): void;
}

/** The table with all keys in it, and the keys as pairs behind it in the same memory. */
interface Table {
  readonly exports: RoutesModule;
  readonly pairsPtr: number;
  readonly valuesPtr: number;
}

function makeTable(keys: Keys): Table {
  const module = new WebAssembly.Module(fromBase64(ROUTES_MODULE));
  const instantiate = (pages: number): [RoutesModule, ArrayBuffer] => {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return [exports as unknown as RoutesModule, memory.buffer];
  };
  const pairsPtr = instantiate(1)[0].memoryNeeded(keys.size) >>> 0;
  const valuesPtr = pairsPtr + keys.size * 8;
  const [exports, buffer] = instantiate(Math.ceil((valuesPtr + BATCH * 4) / PAGE));
  const secret = crypto.getRandomValues(new Uint32Array(2));
  exports.init(keys.size, secret[0]!, secret[1]!);
  const pairs = new Int32Array(buffer, pairsPtr, keys.size * 2);
  for (let i = 0; i < keys.size; i++) exports.set(keys.owners[i]!, keys.nodes[i]!, i + 1);
  for (let i = 0; i < keys.size; i++) {
    pairs[i * 2] = keys.owners[keys.order[i]!]!;
    pairs[i * 2 + 1] = keys.nodes[keys.order[i]!]!;
  }
  return { exports, pairsPtr, valuesPtr };
}

function lookingUp(label: string, entries: number, isBatch: boolean): Measurement {
  const row = { name: `M7 ${isBatch ? 'batch' : 'one'} ${label}`, subjects: ['wasm'], peers: PEERS };
  return contest([row], () => {
    const keys = new Keys(entries);
    const table = makeTable(keys);
    return [isBatch ? inBatches(table, keys) : oneByOne(table, keys), ...maps(keys)];
  });
}

function oneByOne({ exports }: Table, keys: Keys): Contestant {
  const loop = fresh((module: RoutesModule, owners: Int32Array, nodes: Int32Array) => {
    let at = 0;
    return (count: number): void => {
      let missing = 0;
      for (let i = 0; i < count; i++) {
        if (module.find(owners[at]!, nodes[at]!) === 0) missing++;
        if (++at === owners.length) at = 0;
      }
      if (missing > 0) throw new Error(`${missing} routes missing`);
    };
  });
  const asked = (all: Int32Array): Int32Array => keys.order.map((i) => all[i]!);
  return { name: 'wasm', version: '', run: loop(exports, asked(keys.owners), asked(keys.nodes)) };
}

function inBatches({ exports, pairsPtr, valuesPtr }: Table, keys: Keys): Contestant {
  const loop = fresh((module: RoutesModule, places: readonly number[], size: number) => {
    const [pairsAt, valuesAt, batch] = places as [number, number, number];
    let at = 0;
    return (count: number): void => {
      for (let i = 0; i < count; i += batch) {
        module.findBatch(pairsAt + at * 8, valuesAt, batch);
        at += batch;
        if (at + batch > size) at = 0;
      }
    };
  });
  return { name: 'wasm', version: '', step: BATCH, run: loop(exports, [pairsPtr, valuesPtr, BATCH], keys.size) };
}

/**
 * Maps with the pair as a number, which is the target's; with node ids below 2^30 alone, which V8 keeps as small integers
 * and of which one agent with a young registry is a case; as a BigInt; and as a string, ready made.
 */
function maps(keys: Keys): Contestant[] {
  const number = Array.from({ length: keys.size }, (_, i) => keys.number(i));
  return [
    mapOf('Map', number, keys.order),
    mapOf(
      'Map small',
      number.map((_, i) => Math.imul(i, 2_654_435) & 0x3fff_ffff),
      keys.order,
    ),
    mapOf('Map bigint', number.map(BigInt), keys.order),
    mapOf('Map string', number.map(String), keys.order),
  ];
}

function mapOf<K>(name: string, keys: readonly K[], order: Int32Array): Contestant {
  const map = new Map(keys.map((key, i) => [key, i + 1]));
  const loop = fresh((sought: ReadonlyMap<K, number>, asked: readonly K[]) => {
    let at = 0;
    return (count: number): void => {
      let missing = 0;
      for (let i = 0; i < count; i++) {
        if (sought.get(asked[at]!) === undefined) missing++;
        if (++at === asked.length) at = 0;
      }
      if (missing > 0) throw new Error(`${missing} keys missing`);
    };
  });
  return {
    name,
    version: runtimeName(),
    run: loop(
      map,
      Array.from(order, (i) => keys[i]!),
    ),
  };
}

/** Frames of all senders through `parse`, 64 at a time; the peer reads the same header and visits an object. */
function parsing(label: string, entries: number): Measurement {
  return contest([{ name: `M7 parse ${label}`, subjects: WASM, peers: ['Map'] }], () => {
    const keys = new Keys(entries);
    const frames = framesOf(keys);
    return [parser(keys, frames), jsParser(keys, frames)];
  });
}

function framesOf(keys: Keys): Uint8Array[] {
  const all = received(new Uint8Array(keys.size * FRAME_BYTES));
  const view = new DataView(all.buffer, all.byteOffset);
  return Array.from(keys.order, (key, i) => {
    const at = i * FRAME_BYTES;
    view.setUint32(at, 0x50494c53);
    view.setInt32(at + 4, keys.nodes[key]!);
    view.setUint32(at + 8, PREFIX);
    view.setUint32(at + 16, 1);
    return all.subarray(at, at + FRAME_BYTES);
  });
}

function parser(keys: Keys, frames: readonly Uint8Array[]): Contestant {
  const engine = makeEngine('simd', keys.size);
  const { memory, receive } = engine;
  for (let i = 0; i < keys.size; i++) {
    engine.install({ owner: 0, localId: 1, peerId: keys.nodes[i]! >>> 0, key: KEY, prefix: 2 });
  }
  const slots = Array.from({ length: BATCH }, () => engine.claimReceive(64));
  let at = 0;
  return {
    name: engine.name,
    version: '',
    step: BATCH,
    run(count) {
      for (let done = 0; done < count; done += BATCH) {
        for (let i = 0; i < BATCH; i++) {
          memory.set(frames[at]!, slots[i]!);
          receive[i * RECORD_WORDS + RX.framePtr] = slots[i]!;
          receive[i * RECORD_WORDS + RX.frameLen] = FRAME_BYTES;
          if (++at === frames.length) at = 0;
        }
        engine.exports.parse(0, BATCH);
        for (let i = 0; i < BATCH; i++) {
          if (receive[i * RECORD_WORDS + RX.status] !== STAGE.parsed) throw new Error('a frame found no session');
        }
      }
    },
  };
}

function jsParser(keys: Keys, frames: readonly Uint8Array[]): Contestant {
  const sessions = new Map<number, { prefix: number; index: number }>();
  for (let i = 0; i < keys.size; i++) sessions.set(keys.nodes[i]! >>> 0, { prefix: PREFIX, index: i });
  const u32 = (bytes: Uint8Array, at: number): number =>
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  let at = 0;
  return {
    name: 'Map',
    version: runtimeName(),
    step: BATCH,
    run(count) {
      for (let done = 0; done < count; done++) {
        const frame = frames[at]!;
        if (++at === frames.length) at = 0;
        const session = u32(frame, 0) === 0x50494c53 ? sessions.get(u32(frame, 4)) : undefined;
        if (session?.prefix !== u32(frame, 8)) throw new Error('a frame found no session');
      }
    },
  };
}

/** Bytes that an entry takes: of the table by its size, of a Map with its keys by what the heap grows. */
function weighing(label: string, entries: number): Measurement {
  const name = `M7 bytes ${label}`;
  const measure = (): Row[] => {
    const keys = new Keys(entries);
    // To the hundredth: the table has eight spare entries in all.
    const table = Math.round((makeTable(keys).exports.tableBytes() / entries) * 100) / 100;
    const before = heapLeft();
    const map = new Map<number, number>();
    for (let i = 0; i < entries; i++) map.set(keys.number(i), i + 1);
    const inMap = (heapLeft() - before) / entries;
    // Read once more, or a compiler may find that nobody needs the keys any longer.
    if (map.get(keys.number(0)) !== 1) throw new Error('the Map lost a key');
    const ratio = table / inMap;
    const peers = { Map: { version: runtimeName(), median: inMap, ratio, best: ratio } };
    return [withTarget({ name, subject: 'wasm', unit: 'B', median: table, p95: table, better: 'lower', peers })];
  };
  return once([name], measure);
}

/** After all that can be collected is. */
function heapLeft(): number {
  for (let i = 0; i < 3; i++) collectGarbage();
  return heapUsed();
}
