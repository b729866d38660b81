/**
 * The AEAD kernels against node:crypto on random keys, nonces, aad, sizes and places: every size that a packet has, and pairs
 * by the million with PILOTWIRE_LONG=1. A failure names its seed: run it alone with PILOTWIRE_SEED=n.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { type Random, random } from '../reference/hostile.ts';
import { compile, type Target } from './compile.ts';
import { Arena, ByteSource, type Pair, type Part, pairOf, TAG } from './gcm-arena.ts';

const PAIRS = process.env.PILOTWIRE_LONG === '1' ? 10_000_000 : 20_000;
/** Pairs with a seed of their own. */
const SHARE = 10_000;
const LIMIT_MS = 3_600_000;
const ONLY = process.env.PILOTWIRE_SEED;
const LONGEST = 65_535;
const LONGEST_AAD = 16;
/** Where kernels change their ways: blocks and groups of them, passes of 8 blocks, the low byte of the counter. */
const EDGES = [
  ...[0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 240, 256, 272, 384, 512, 1_024, 3_840, 3_968],
  ...[4_064, 4_080, 4_096, 4_112, 4_224, 8_064, 8_160, 8_176, 8_192, 12_272],
];

/** Most are small, many are at an edge or a block's, few are large. */
function lengthOf(source: Random): number {
  const kind = source.below(1_000);
  if (kind < 400) return source.below(300);
  if (kind < 600) {
    // The least of two: the nearer an edge, the likelier.
    const edge = EDGES[Math.min(source.below(EDGES.length), source.below(EDGES.length))]!;
    return Math.max(0, edge + source.below(5) - 2);
  }
  if (kind < 850) return Math.max(0, 16 * source.below(90) + source.below(3) - 1);
  if (kind < 980) return source.below(1_500);
  return kind < 997 ? source.below(4_300) : source.below(LONGEST + 1);
}

/** Half of them in the tag. */
function forgeryOf(source: Random, { plaintext, aad, nonce }: Pair): [Part, number] {
  if (source.chance(0.5)) return ['tag', source.below(8 * TAG)];
  const parts: [Part, number][] = [
    ['data', plaintext.length],
    ['aad', aad.length],
    ['nonce', nonce.length],
  ];
  const possible = parts.filter(([, length]) => length > 0);
  const [part, length] = possible[source.below(possible.length)]!;
  return [part, source.below(8 * length)];
}

/** Sealed and opened, and refused with one bit of it wrong. */
function faultOf(arena: Arena, source: Random, pair: Pair): string | undefined {
  arena.place(pair);
  const fault = arena.pairFault(pair) ?? arena.forgedFault(pair, ...forgeryOf(source, pair));
  return fault ?? arena.leaveFault();
}

describe.each<Target>(['release', 'relaxed'])('the kernel, target %s', (target) => {
  let arena: Arena;

  beforeAll(() => {
    const exported = { 'crypto/gcm': ['GCM_CONTEXT_BYTES', 'gcmInit', 'gcmExpand', 'gcmAad', 'gcmSeal', 'gcmOpen'] };
    const binary = compile(exported, target);
    if (WebAssembly.validate(binary)) arena = new Arena(binary);
  });

  const expectNoFault = (fault: string | undefined, { plaintext, aad, shift, isDataFirst }: Pair): void => {
    if (fault === undefined) return;
    const where = `shift ${shift}, data ${isDataFirst ? 'first' : 'last'}`;
    expect.fail(`${plaintext.length} bytes, ${aad.length} of aad, ${where}: ${fault}`);
  };

  test('agrees with node:crypto at every size from 0 to 4 096', (context) => {
    if (arena === undefined) return context.skip();
    const [bytes, source] = [new ByteSource(1), random(1)];
    for (let length = 0; length <= 4_096; length++) {
      const pair = pairOf(bytes, source, length, source.below(LONGEST_AAD + 1));
      expectNoFault(faultOf(arena, source, pair), pair);
    }
  });

  test('agrees with node:crypto at larger sizes, to the largest', (context) => {
    if (arena === undefined) return context.skip();
    const [bytes, source] = [new ByteSource(2), random(2)];
    for (let i = 0; i < 100; i++) {
      const length = i === 0 ? LONGEST : 4_097 + source.below(LONGEST - 4_096);
      const pair = pairOf(bytes, source, length, source.below(LONGEST_AAD + 1));
      expectNoFault(faultOf(arena, source, pair), pair);
    }
  });

  test.each([0, 1, 15, 16, 17, 98, 127, 128, 129, 256, 1_200, 4_096, LONGEST])(
    'refuses every inverted bit of the tag, aad and nonce of %i bytes, and one in each byte; data untouched',
    (length) => {
      if (arena === undefined) return;
      const [bytes, source] = [new ByteSource(length), random(length)];
      const pair = pairOf(bytes, source, length, LONGEST_AAD);
      arena.place(pair);
      const refused = (part: Part, bit: number): void => expectNoFault(arena.forgedFault(pair, part, bit), pair);
      for (let bit = 0; bit < 8 * TAG; bit++) refused('tag', bit);
      for (let bit = 0; bit < 8 * pair.aad.length; bit++) refused('aad', bit);
      for (let bit = 0; bit < 8 * pair.nonce.length; bit++) refused('nonce', bit);
      // Of the largest some bytes, as each takes as long as the whole.
      const step = Math.max(1, length >> 12);
      for (let at = 0; at < length; at += step) refused('data', 8 * at + source.below(8));
      arena.place(pair);
      expectNoFault(arena.pairFault(pair) ?? arena.leaveFault(), pair);
    },
  );

  test(
    'random pairs agree with node:crypto, and are refused with one bit wrong',
    async (context) => {
      if (arena === undefined) return context.skip();
      const seeds = ONLY === undefined ? Array.from({ length: PAIRS / SHARE }, (_, i) => i + 1) : [Number(ONLY)];
      for (const seed of seeds) {
        const [bytes, source] = [new ByteSource(seed), random(seed)];
        for (let i = 0; i < SHARE; i++) {
          const pair = pairOf(bytes, source, lengthOf(source), source.below(LONGEST_AAD + 1));
          const fault = faultOf(arena, source, pair);
          if (fault !== undefined) expectNoFault(`${fault} (PILOTWIRE_SEED=${seed}, pair ${i})`, pair);
        }
        // Whoever runs the tests wants to hear from this one.
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    LIMIT_MS,
  );
});
