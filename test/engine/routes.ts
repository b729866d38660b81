/** The route table of the Wasm engine against a Map: through its exports, since sessions come and go more slowly. */
import { expect, test } from 'vitest';
import { BATCH, RECORD_WORDS, RX } from '../../src/engine/engine.ts';
import type { WasmExports } from '../../src/engine/exports.ts';
import type { WasmEngine } from '../../src/engine/wasm.ts';
import { permutation } from './permutation.ts';
import { Random } from './rig.ts';

/** Makes an engine whose table has this secret. */
export type CreateWithSecret = (limits: { sessions: number }, secret: bigint) => WasmEngine;

/** A pair is owner · 2^32 + node id. */
type Pair = number;

const SECRET = 0x0123_4567_89ab_cdefn;
const ownerOf = (pair: Pair): number => Math.floor(pair / 2 ** 32);
const nodeOf = (pair: Pair): number => pair % 2 ** 32;

/** The table and its twin. */
class Routes {
  readonly twin = new Map<Pair, number>();
  readonly engine: WasmEngine;
  readonly #exports: WasmExports;

  constructor(engine: WasmEngine) {
    this.engine = engine;
    this.#exports = engine.exports;
  }

  /** @returns Whether there was a place. */
  set(pair: Pair, value: number): boolean {
    const isThere = this.#exports.routeSet(ownerOf(pair), nodeOf(pair), value) === 1;
    if (isThere) this.twin.set(pair, value);
    return isThere;
  }

  remove(pair: Pair): void {
    this.#exports.routeRemove(ownerOf(pair), nodeOf(pair));
    this.twin.delete(pair);
  }

  find(pair: Pair): number {
    return this.#exports.routeFind(ownerOf(pair), nodeOf(pair));
  }

  agrees(pair: Pair): boolean {
    return this.find(pair) === (this.twin.get(pair) ?? 0);
  }

  /** Pairs of the twin that the table does not find. */
  lost(): Pair[] {
    return [...this.twin.keys()].filter((pair) => !this.agrees(pair));
  }

  /** What a batch says of up to 64 nodes of one owner. */
  findBatch(owner: number, nodes: readonly number[]): number[] {
    const { receive } = this.engine;
    nodes.forEach((node, i) => {
      receive[i * RECORD_WORDS + RX.sender] = node;
    });
    this.#exports.routeFindBatch(owner, nodes.length);
    return nodes.map((_, i) => receive[i * RECORD_WORDS + RX.note]!);
  }
}

export function routeTests(create: CreateWithSecret): void {
  const routes = (sessions: number, secret = SECRET): Routes => new Routes(create({ sessions }, secret));

  // For 70 000 a bit of the hash is not written down, however many there are.
  test.each([
    [1, 1],
    [7, 7],
    [40, 40],
    [1000, 1000],
    [4000, 4000],
    [4000, 70_000],
  ])('agrees with a Map of up to %i routes in a table for %i', (limit, sessions) => {
    const table = routes(sessions);
    const random = new Random(limit);
    const pairs: Pair[] = [];
    const anyPair = (): Pair => random.next(3) * 0x1_0000_0000 + random.next(limit * 2) * 0x10001;
    for (let step = 0; step < limit * 5; step++) {
      // Three phases of growth, two of decline.
      const isGrowing = Math.floor((step * 5) / (limit * 5)) % 2 === 0;
      const pair = anyPair();
      if (random.next(100) < (isGrowing ? 90 : 20) && table.twin.size < limit) {
        if (!table.twin.has(pair)) pairs.push(pair);
        expect(table.set(pair, 1 + random.next(limit))).toBe(true);
      } else if (pairs.length > 0) {
        const at = random.next(pairs.length);
        table.remove(pairs[at]!);
        pairs[at] = pairs.at(-1)!;
        pairs.pop();
      }
      const other = anyPair();
      if (!table.agrees(pair) || !table.agrees(other)) expect.unreachable(`step ${step}: ${pair} or ${other}`);
      if (step % limit === 0) expect(table.lost()).toEqual([]);
    }
    expect(table.lost()).toEqual([]);
  });

  test('every route is found after every insertion, while the table doubles again and again', () => {
    const table = routes(3000);
    for (let node = 0; node < 3000; node++) {
      expect(table.set(node, node + 1)).toBe(true);
      for (let other = 0; other <= node; other++) {
        if (table.find(other) !== other + 1) expect.unreachable(`${other} after ${node}`);
      }
    }
  });

  test('a table holds as many as it was made for, takes them again after all but a few left, and ends empty', () => {
    const limit = 70_000;
    const table = routes(limit);
    const end = table.engine.exports.memoryNeeded(limit);
    // Behind the entries: places for those in transit.
    const entries = table.engine.memory.subarray(end - limit * 15, end - 64 * 64);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < limit; i++) if (!table.set(round * limit + i, i + 1)) expect.unreachable(`no place for ${i}`);
      expect(table.lost()).toEqual([]);
      const kept = [...table.twin.keys()].filter((_, i) => i % 1000 === 0);
      for (const pair of table.twin.keys()) if (pair % 1000 !== 0) table.remove(pair);
      expect(table.lost()).toEqual([]);
      for (const pair of kept) table.remove(pair);
      expect(table.twin.size).toBe(0);
      expect(entries.findIndex((byte) => byte !== 0)).toBe(-1);
    }
  });

  test('one node id under 65,536 owners has as many routes', () => {
    const table = routes(70_000);
    for (let owner = 0; owner < 65_536; owner++) table.set(owner * 2 ** 32 + 7, owner + 1);
    expect(table.lost()).toEqual([]);
    for (let owner = 0; owner < 65_536; owner += 2) table.remove(owner * 2 ** 32 + 7);
    expect(table.lost()).toEqual([]);
    expect(table.find(2 * 2 ** 32 + 7)).toBe(0);
  });

  test('pairs whose hashes differ in one bit are told apart', () => {
    // So many that one bit of the hash is not written down.
    const limit = 70_000;
    const table = routes(limit);
    const { apply, invert } = permutation(SECRET);
    for (let i = 0; i < 1000; i++) table.set(i, i + 1);
    for (let bit = 0n; bit < 48n; bit++) {
      const other = Number(invert(apply(5n) ^ (1n << bit)));
      expect(table.find(other), `bit ${bit}`).toBe(0);
      table.set(other, 70_000);
      expect([table.find(5), table.find(other)], `bit ${bit}`).toEqual([6, 70_000]);
      table.remove(other);
      expect([table.find(5), table.find(other)], `bit ${bit}`).toEqual([6, 0]);
    }
  });

  test('a bucket takes 64 routes and refuses the next, also one that would push another so far', () => {
    const table = routes(1000);
    const { invert } = permutation(SECRET);
    // There are 248 buckets in the end, and 32 bits of the hash tell which it is.
    const inBucket = (bucket: number, i: number): Pair => {
      const lowest = ((BigInt(bucket) << 32n) + 247n) / 248n;
      return Number(invert((lowest << 16n) + BigInt(i)));
    };
    // So many that the table has its whole size, and no part is still to be doubled.
    for (let i = 0; i < 900; i++) table.set(i, i + 1);
    for (const pair of [...table.twin.keys()]) table.remove(pair);
    for (let i = 0; i < 64; i++) expect(table.set(inBucket(1, i), i + 1)).toBe(true);
    expect(table.set(inBucket(1, 64), 1)).toBe(false);
    for (let i = 0; i < 8; i++) expect(table.set(inBucket(0, i), i + 1)).toBe(true);
    expect(table.set(inBucket(0, 8), 1)).toBe(false);
    expect(table.lost()).toEqual([]);
    expect([table.find(inBucket(1, 64)), table.find(inBucket(0, 8))]).toEqual([0, 0]);
    expect(table.set(inBucket(1, 63), 99)).toBe(true);
    table.remove(inBucket(1, 5));
    expect(table.set(inBucket(0, 8), 9)).toBe(true);
    expect(table.lost()).toEqual([]);
  });

  test('a crowded bucket is found again after the table doubled around it', () => {
    const table = routes(5000);
    const { invert } = permutation(SECRET);
    for (let i = 0; i < 30; i++) expect(table.set(Number(invert(BigInt(i))), i + 1)).toBe(true);
    for (let i = 0; i < 4900; i++) expect(table.set(2 ** 33 + i, i + 1)).toBe(true);
    expect(table.lost()).toEqual([]);
  });

  test('a session for which there is no route is refused', () => {
    const { engine } = routes(1000);
    const { invert } = permutation(SECRET);
    const install = (i: number): number => {
      const pair = Number(invert(BigInt(i)));
      const key = new Uint8Array(32).fill(0xa5);
      return engine.install({ owner: ownerOf(pair), localId: 1, peerId: nodeOf(pair), key, prefix: 1 });
    };
    expect(Array.from({ length: 66 }, (_, i) => install(i))).toEqual([...Array(64).keys(), -1, -1]);
    expect(engine.sessionCount).toBe(64);
    engine.wipe(3);
    expect([install(64), install(65)]).toEqual([3, -1]);
  });

  test('node ids in a row are spread whatever the secret', () => {
    // With this one the first multiplication does nothing.
    const secrets = [0x9e37_79b9_7f4a_7c15n, 0n, 2n ** 64n - 1n, 1n << 63n];
    for (const secret of secrets) {
      const table = routes(16_384, secret);
      for (let node = 1; node <= 16_384; node++) {
        if (!table.set(node, node)) expect.unreachable(`no place for ${node} with secret ${secret}`);
      }
      expect(table.lost()).toEqual([]);
    }
  });

  test('a batch finds what single look-ups find', () => {
    const table = routes(5000);
    const random = new Random(3);
    for (let i = 0; i < 5000; i++) table.set(random.next(3) * 2 ** 32 + random.next(5000), i + 1);
    for (let count = 0; count <= BATCH; count++) {
      const owner = random.next(4);
      const nodes = Array.from({ length: count }, () => random.next(6000));
      expect(table.findBatch(owner, nodes)).toEqual(nodes.map((node) => table.find(owner * 2 ** 32 + node)));
    }
  });
}
