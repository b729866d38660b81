/**
 * M7: finding the session of a sender among many. `one` and `batch` are the engine's table and nothing else; `parse` is the
 * engine's first stage, which also reads the frame header, visits the session and writes the record. Ten million are more
 * than an engine has sessions: assembly/route.ts in a module of its own (bench/build.mjs makes it).
 *
 * Keys are (owner u16 ‖ node id u32). All keys are there; they are asked for in an order that no cache foresees.
 */
import { BATCH, FRAME_HEADER, RECORD_WORDS, RX } from '../../src/engine/engine.ts';
import { STAGE } from '../../src/engine/exports.ts';
import { type Contestant, contest, type Measurement, once, withTarget } from './contest.ts';
import { fresh, fromBase64, makeEngine, Random, WASM } from './engines.ts';
import type { Row } from './record.ts';
import { collectGarbage, heapUsed, received, runtimeName } from './runtime.ts';
import { quantile } from './statistics.ts';

/** The module, base64: bench/build.mjs puts it there. */
declare const ROUTES_MODULE: string;

const SIZES = { '1k': 1000, '100k': 100_000, '1M': 1_000_000 } as const;
const PARSE_SIZES = { '1k': 1000, '100k': 100_000 } as const;
const TEN_MILLION = 10_000_000;
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
    lookingUp('10M', TEN_MILLION, false),
    lookingUp('10M', TEN_MILLION, true),
    inserting('10M', TEN_MILLION),
  ];
}

/** Different pairs, and an order to ask for them. */
class Keys {
  readonly owners: Int32Array;
  readonly nodes: Int32Array;
  readonly order: Int32Array;

  constructor(entries: number) {
    const random = new Random(entries);
    // All different: the generator is a permutation of a counter.
    this.nodes = new Int32Array(entries).map(() => random.next());
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

  /** The order in batches of one owner each; what is left over of an owner is not in it. */
  batches(): Int32Array {
    const waiting: number[][] = Array.from({ length: OWNERS }, () => []);
    const batches: number[][] = [];
    for (const key of this.order) {
      const batch = waiting[this.owners[key]!]!;
      batch.push(key);
      if (batch.length === BATCH) batches.push(batch.splice(0));
    }
    return Int32Array.from(batches.flat());
  }

  number(i: number): number {
    return this.owners[i]! * 2 ** 32 + (this.nodes[i]! >>> 0);
  }
}

/** A table, and the records whose senders a batch asks for. */
interface Table {
  set(owner: number, node: number, value: number): number;
  find(owner: number, node: number): number;
  findBatch(owner: number, count: number): void;
  readonly records: Uint32Array;
}

interface RoutesModule extends Table {
  areaPtr(): number;
  areaBytes(entries: number): number;
  init(entries: number, secretLow: number, secretHigh: number): void;
  recordsPtr(): number;
}

function makeTable(entries: number): Table {
  return entries === TEN_MILLION ? tableAlone(entries) : engineTable(entries);
}

function engineTable(entries: number): Table {
  const { exports, receive } = makeEngine('simd', entries);
  const { routeSet: set, routeFind: find, routeFindBatch: findBatch } = exports;
  return { set, find, findBatch, records: receive };
}

function tableAlone(entries: number): Table {
  const module = new WebAssembly.Module(fromBase64(ROUTES_MODULE));
  const instantiate = (pages: number): [RoutesModule, ArrayBuffer] => {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    return [exports as unknown as RoutesModule, memory.buffer];
  };
  const end = instantiate(1)[0].areaPtr() + tableBytes(entries);
  const [exports, buffer] = instantiate(Math.ceil(end / PAGE));
  const [low, high] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  exports.init(entries, low, high);
  const { set, find, findBatch } = exports;
  return { set, find, findBatch, records: new Uint32Array(buffer, exports.recordsPtr(), BATCH * RECORD_WORDS) };
}

/** Bytes of a table: what `routeBytes` of assembly/route.ts says. */
function tableBytes(entries: number): number {
  const module = new WebAssembly.Module(fromBase64(ROUTES_MODULE));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return (exports as unknown as RoutesModule).areaBytes(entries) >>> 0;
}

function fill(table: Table, keys: Keys): void {
  const { set } = table;
  for (let i = 0; i < keys.size; i++) {
    if (set(keys.owners[i]!, keys.nodes[i]!, i + 1) === 0) throw new Error(`no place for route ${i}`);
  }
}

function lookingUp(label: string, entries: number, isBatch: boolean): Measurement {
  const row = { name: `M7 ${isBatch ? 'batch' : 'one'} ${label}`, subjects: ['wasm'], peers: PEERS };
  return contest([row], () => {
    const keys = new Keys(entries);
    const table = makeTable(entries);
    fill(table, keys);
    return [isBatch ? inBatches(table, keys) : oneByOne(table, keys), ...maps(keys)];
  });
}

function oneByOne({ find }: Table, keys: Keys): Contestant {
  const loop = fresh((look: Table['find'], owners: Int32Array, nodes: Int32Array) => {
    let at = 0;
    return (count: number): void => {
      let missing = 0;
      for (let i = 0; i < count; i++) {
        if (look(owners[at]!, nodes[at]!) === 0) missing++;
        if (++at === owners.length) at = 0;
      }
      if (missing > 0) throw new Error(`${missing} routes missing`);
    };
  });
  const asked = (all: Int32Array): Int32Array => keys.order.map((i) => all[i]!);
  return { name: 'wasm', version: '', run: loop(find, asked(keys.owners), asked(keys.nodes)) };
}

/** As the engine asks: 64 senders of one owner. That JavaScript writes their ids is part of the time. */
function inBatches({ findBatch, records }: Table, keys: Keys): Contestant {
  const loop = fresh((look: Table['findBatch'], words: Uint32Array, owners: Int32Array, nodes: Int32Array) => {
    let at = 0;
    return (count: number): void => {
      for (let i = 0; i < count; i += 64) {
        for (let word = 5; word < 1024; word += 16) words[word] = nodes[at++]!;
        look(owners[at - 1]!, 64);
        if (words[4] === 0) throw new Error('a route is missing');
        if (at === nodes.length) at = 0;
      }
    };
  });
  // `fresh` takes no names along.
  if (BATCH !== 64 || RECORD_WORDS !== 16 || RX.note !== 4 || RX.sender !== 5) throw new Error('records are others');
  const asked = keys.batches();
  const owners = asked.map((key) => keys.owners[key]!);
  const nodes = asked.map((key) => keys.nodes[key]!);
  const run = loop(findBatch, records, owners, nodes);
  // Once with a look at all the answers.
  for (let at = 0; at < asked.length; at += BATCH) {
    run(BATCH);
    for (let i = 0; i < BATCH; i++) {
      if (records[i * RECORD_WORDS + RX.note] !== asked[at + i]! + 1) throw new Error('a route leads elsewhere');
    }
  }
  return { name: 'wasm', version: '', step: BATCH, run };
}

/**
 * Maps with the pair as a number, which is the target's; with node ids below 2^30 alone, which V8 keeps as small integers
 * and of which one agent with a young registry is a case; as a BigInt; and as a string, ready made. Of ten million only the
 * first: the others take gigabytes.
 */
function maps(keys: Keys): Contestant[] {
  const number = Array.from({ length: keys.size }, (_, i) => keys.number(i));
  const first = mapOf('Map', number, keys.order);
  if (keys.size === TEN_MILLION) return [first];
  return [
    first,
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
  const map = new Map<K, number>();
  for (let i = 0; i < keys.length; i++) map.set(keys[i]!, i + 1);
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
    // To the hundredth.
    const table = Math.round((tableBytes(entries) / entries) * 100) / 100;
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

/**
 * The longest of all insertions into an empty table, in the time of day: a table that stops to rebuild shows it here. Each run
 * inserts the same keys, and of the n-th insertions the shortest counts, since what the system does between falls on another
 * one each time. The 95th percentile is that of all insertions.
 */
function inserting(label: string, entries: number): Measurement {
  const name = `M7 longest insert ${label}`;
  const measure = (): Row[] => {
    const keys = new Keys(entries);
    const table = shortest(entries, () => {
      const { set } = makeTable(entries);
      return (i) => set(keys.owners[i]!, keys.nodes[i]!, i + 1);
    });
    const map = shortest(entries, () => {
      const made = new Map<number, number>();
      return (i) => made.set(keys.number(i), i + 1);
    });
    const [median, inMap] = [table, map].map((times) => times.reduce((longest, time) => Math.max(longest, time), 0));
    const ratio = median! / inMap!;
    const peers = { Map: { version: runtimeName(), median: inMap!, ratio, best: ratio } };
    const p95 = quantile(Array.from(table), 0.95);
    return [withTarget({ name, subject: 'wasm', unit: 'µs', median: median!, p95, better: 'lower', peers })];
  };
  return once([name], measure);
}

/** The time of each insertion in µs, the shortest of three runs. */
function shortest(entries: number, start: () => (i: number) => unknown): Float32Array {
  const times = new Float32Array(entries).fill(Number.POSITIVE_INFINITY);
  for (let run = 0; run < 3; run++) {
    collectGarbage();
    const insert = start();
    let before = performance.now();
    for (let i = 0; i < entries; i++) {
      insert(i);
      const after = performance.now();
      times[i] = Math.min(times[i]!, (after - before) * 1000);
      before = after;
    }
  }
  return times;
}
