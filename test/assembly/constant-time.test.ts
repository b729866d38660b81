/**
 * No address and no branch of the crypto and of the CRC depends on a secret: keys, key schedule, H and its tables, key
 * stream, hash, plaintext. Followed through the binaries that ship, as the optimiser left them. Public are the pointers
 * and lengths that the kernels are called with, and whether the tag is right once all of it has been compared.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { RELAXED, SIMD } from '../../src/engine/binary.ts';
import { decode, type WasmFunction, type WasmModule } from './constant-time/decode.ts';
import { compileLeaks, exportOf, LEAKY_CHANGES } from './constant-time/leaks.ts';
import { follow, type Report } from './constant-time/taint.ts';

const KERNELS = ['gcmExpand', 'gcmAad', 'gcmSeal', 'gcmOpen', 'crc32'];
const BUILDS = { simd: SIMD, relaxed: RELAXED };

const decoded = (base64: string): WasmModule => decode(Buffer.from(base64, 'base64'));

/** What a report holds against a kernel, one line each. */
function charges({ findings, verdicts }: Report): string[] {
  const looped = verdicts.filter(({ isInLoop }) => isInLoop).length;
  return [
    ...findings.map(({ leak, instruction }) => `${leak}: ${instruction}`),
    `verdicts: ${verdicts.length}`,
    ...(looped > 0 ? [`verdicts in loops: ${looped}`] : []),
  ];
}

/** Indices of the functions that a function calls, and that those call. */
function reachable({ functions, exports }: WasmModule, name: string): Set<number> {
  const reached = new Set([exports.get(name)!]);
  const look = (body: WasmFunction['body']): void => {
    for (const instruction of body) {
      if (instruction.type === 'call') reached.add(instruction.index);
      if ('body' in instruction) look(instruction.body);
      if ('otherwise' in instruction) look(instruction.otherwise);
    }
  };
  // A set that grows while it is gone through is gone through to its end.
  for (const index of reached) look(functions[index]!.body);
  return reached;
}

describe.each(Object.entries(BUILDS))('build %s', (_name, binary) => {
  const module = decoded(binary);

  test.each(KERNELS)('no address, branch or division in %s depends on a secret', (kernel) => {
    const { findings, sites } = follow(module, kernel);
    expect(findings).toEqual([]);
    expect(sites).toBeGreaterThan(20);
  });

  test('gcmOpen branches once on the verdict of its tag, and nothing else has one', () => {
    const index = module.exports.get('gcmOpen');
    expect(follow(module, 'gcmOpen').verdicts).toEqual([{ function: index, at: expect.any(Number), isInLoop: false }]);
    for (const kernel of KERNELS.filter((name) => name !== 'gcmOpen')) {
      expect(follow(module, kernel).verdicts, kernel).toEqual([]);
    }
  });

  // The kernels are SIMD throughout. Were the optimiser to inline a piece of one into a caller, nobody would watch it there.
  test('every function that computes with vectors was followed, but for what builds tables or looks up routes', () => {
    const followed = new Set(KERNELS.flatMap((kernel) => [...follow(module, kernel).functions]));
    // Neither is given a secret: node ids are in the clear, and the hash's multipliers are no key.
    const others = new Set(['init', 'routeFind', 'routeFindBatch'].flatMap((name) => [...reachable(module, name)]));
    const missed = [...module.functions.keys()].filter(
      (index) => module.functions[index]!.hasSimd && !followed.has(index) && !others.has(index),
    );
    expect(missed).toEqual([]);
    expect([...followed].filter((index) => module.functions[index]!.hasSimd).length).toBeGreaterThanOrEqual(4);
  });
});

describe('a change that leaks is found', () => {
  let module: WasmModule;

  beforeAll(() => {
    module = decode(compileLeaks());
  });

  test.each(LEAKY_CHANGES)('$name', (change) => {
    const found = charges(follow(module, exportOf(change)));
    expect(
      found.filter((charge) => charge.startsWith(change.finds)),
      found.join(', '),
    ).not.toEqual([]);
  });
});
