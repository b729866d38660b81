/**
 * Changes to the kernels that give a secret away, each a mistake that somebody could make, and what must be found then.
 * They prove that the analysis can fail.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../compile.ts';

const ASSEMBLY = resolve(dirname(fileURLToPath(import.meta.url)), '../../../assembly');

/** One change of a file of assembly/. */
export interface LeakyChange {
  /** What is done wrong. */
  name: string;
  file: string;
  from: string;
  to: string;
  /** The function of this file that is followed. */
  kernel: string;
  /** How a charge begins that must be brought: `leak: instruction`, or the number of verdicts. */
  finds: string;
}

const EXPAND_AES = { file: 'crypto/aes.ts', kernel: 'aesExpand' };
const AES_8 = { file: 'crypto/aes.ts', kernel: 'encrypt8' };
const AES_4 = { file: 'crypto/aes4.ts', kernel: 'encrypt2' };
const EXPAND_GHASH = { file: 'crypto/ghash.ts', kernel: 'ghashExpand' };
const HASH_8 = { file: 'crypto/ghash.ts', kernel: 'ghash8' };
const HASH = { file: 'crypto/ghash.ts', kernel: 'ghash1' };
const EXPAND = { file: 'crypto/gcm.ts', kernel: 'gcmExpand' };
const AAD = { file: 'crypto/gcm.ts', kernel: 'gcmAad' };
const SEAL = { file: 'crypto/gcm.ts', kernel: 'gcmSeal' };
const OPEN = { file: 'crypto/gcm.ts', kernel: 'gcmOpen' };
const CRC = { file: 'crc32.ts', kernel: 'crc32' };

const VERDICT =
  'if (v128.any_true(v128.xor(v128.xor(hash, tagMask), v128.load(dataPtr + len)))) return false;\n' +
  '  applyKeyStream(contextPtr, dataPtr, len);\n  return true;';
const GHASH_1 = 'v128.xor(v128.load(hashPtr), v128.load(blockPtr));';
const CRC_END = 'return ~(i32x4.extract_lane(next, 0) ^ lastWord(v128.shuffle<i32>(current, current, 3, 3, 3, 3)));';

/** All of them; in the order of the kernels. */
export const LEAKY_CHANGES: readonly LeakyChange[] = [
  {
    ...EXPAND_AES,
    name: 'a look-up in place of SubWord',
    from: '      word = subWord(word);',
    to: '      word = load<u32>(BITS + ((word & 0x1f) << 2));',
    finds: 'address: load',
  },
  {
    ...EXPAND_AES,
    name: 'a counter that changes nothing is passed over',
    from: 'const bits1 = <u32>i8x16.bitmask(left1);',
    to: 'const bits1 = <u32>i8x16.bitmask(left1); if (bits1 == 0) continue;',
    finds: 'branch',
  },
  {
    ...AES_8,
    name: 'a column looked up by the state in place of the counter',
    from: '<usize>pass * COUNTER_BYTES;',
    to: '<usize>(load<u8>(STATE) & 31) * COUNTER_BYTES;',
    finds: 'address: load',
  },
  {
    ...AES_4,
    name: 'a table looked up in memory in place of a register',
    from: '  const aOverK = swizzle(v128.load(A_OVER), k);\n  return',
    to: '  const aOverK = i8x16.splat(load<u8>(A_OVER + i8x16.extract_lane_u(k, 0)));\n  return',
    finds: 'address: load',
  },
  {
    ...EXPAND_GHASH,
    name: 'a place chosen by H',
    from: 'v128.store(MULTIPLE, power);',
    to: 'v128.store(MULTIPLE, power); store<u8>(MULTIPLE + (i32x4.extract_lane(power, 0) & 15), 0);',
    finds: 'address: store',
  },
  {
    ...EXPAND_GHASH,
    name: 'the shift register branches on its carry',
    from: 'high = (high >> 1) ^ (carry & 0xe100000000000000);',
    to: 'high = high >> 1; if (carry != 0) high ^= 0xe100000000000000;',
    finds: 'branch',
  },
  {
    ...EXPAND_GHASH,
    name: 'a quotient of two halves of H',
    from: '0 - (low & 1);',
    to: 'low / (high | 1);',
    finds: 'division: divide',
  },
  {
    ...HASH,
    name: 'a block of zeros is passed over',
    from: GHASH_1,
    to: `${GHASH_1}\n  if (i64x2.extract_lane(x, 0) == 0) return;`,
    finds: 'branch',
  },
  {
    ...HASH_8,
    name: 'halves of zeros are passed over',
    from: 'const x8 = v128.load(half);',
    to: `const x8 = v128.load(half);
      if (i64x2.extract_lane(x8, 0) == 0) { half += 64; continue; }`,
    finds: 'branch',
  },
  {
    ...EXPAND,
    name: 'a wipe as long as a secret says',
    from: '  encrypt1(contextPtr + AES4_KEYS, KEY_STREAM);\n  ghashExpand(KEY_STREAM',
    to: '  encrypt1(contextPtr + AES4_KEYS, KEY_STREAM);\n  memory.fill(KEY_STREAM, 0, load<u8>(KEY_STREAM));\n  ghashExpand(KEY_STREAM',
    finds: 'address: memory.fill',
  },
  {
    ...AAD,
    name: 'a place chosen by the hash of the aad',
    from: 'v128.store(startPtr, v128.load(HASH));',
    to: 'v128.store(startPtr + (load<u8>(HASH) & 16), v128.load(HASH));',
    finds: 'address: store',
  },
  {
    ...SEAL,
    name: 'as many groups as the hash says',
    from: 'ghash8(tablesPtr, HASH, dataPtr, passes);',
    to: 'ghash8(tablesPtr, HASH, dataPtr, passes + (load<u8>(HASH) & 1));',
    finds: 'branch',
  },
  {
    ...OPEN,
    name: 'the tag is compared byte by byte',
    from: VERDICT,
    to: `v128.store(HASH, v128.xor(hash, tagMask));
  for (let i: usize = 0; i < 16; ++i) if (load<u8>(HASH + i) != load<u8>(dataPtr + len + i)) return false;
  applyKeyStream(contextPtr, dataPtr, len);
  return true;`,
    finds: 'branch',
  },
  {
    ...OPEN,
    name: 'the tag is compared in two halves',
    from: VERDICT,
    to: VERDICT.replace('load(dataPtr', 'load64_zero(dataPtr').replace(
      'return false;',
      `return false;
  if (v128.any_true(v128.xor(v128.xor(hash, tagMask), v128.load(dataPtr + len)))) return false;`,
    ),
    finds: 'verdicts: 2',
  },
  {
    ...OPEN,
    name: 'the verdict is waited for in a loop',
    from: VERDICT,
    to: `let lanes = v128.xor(v128.xor(hash, tagMask), v128.load(dataPtr + len));
  for (let i: usize = 0; v128.any_true(lanes); ++i) { if (i == 16) return false; lanes = i64x2.shl(lanes, 4); }
  applyKeyStream(contextPtr, dataPtr, len);
  return true;`,
    finds: 'verdicts in loops: 1',
  },
  {
    ...CRC,
    name: 'a table of words for the last step',
    from: CRC_END,
    to: 'return ~(i32x4.extract_lane(next, 0) ^ load<u32>(LAST_WORD + ((i32x4.extract_lane(current, 3) & 31) << 2)));',
    finds: 'address: load',
  },
  {
    ...CRC,
    name: 'a chain of look-ups that starts at a public place',
    from: CRC_END,
    to: `let at: usize = 0;
  for (let i: usize = 0; i < len; ++i) at = load<u8>(BY_4 + at);
  return <u32>at;`,
    finds: 'address: load',
  },
  {
    ...CRC,
    name: 'a bit at a time',
    from: CRC_END,
    to: `let word = <u32>i32x4.extract_lane(current, 3);
  let sum: u32 = i32x4.extract_lane(next, 0);
  for (; word != 0; word >>= 1) sum += word * POLYNOMIAL;
  return ~sum;`,
    finds: 'branch',
  },
  {
    ...CRC,
    name: 'a choice by the last two bits',
    from: CRC_END,
    to: `switch (<u32>i32x4.extract_lane(current, 3) & 3) {
    case 0: store<u8>(BY_4, 1); break;
    case 1: store<u16>(BY_8, 2); break;
    case 2: store<u32>(BY_16, 3); break;
    default: store<u64>(BY_32, 4);
  }
  return 0;`,
    finds: 'branch',
  },
];

/** The name of the export that has this change. */
export function exportOf(change: LeakyChange): string {
  return `leak${LEAKY_CHANGES.indexOf(change)}`;
}

/** Compiles all changes to one module, which shares the files that are not changed: twice as fast as one by one. */
export function compileLeaks(): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), 'pilotwire-'));
  try {
    const exported: Record<string, string[]> = {};
    for (const change of LEAKY_CHANGES) {
      const name = exportOf(change);
      const path = join(ASSEMBLY, change.file);
      const source = changed(readFileSync(path, 'utf8'), change);
      const moved = source.replace(/(?<=from ')\.[^']*/g, (file) => pathBetween(folder, join(dirname(path), file)));
      writeFileSync(join(folder, `${name}.ts`), moved);
      exported[pathBetween(ASSEMBLY, join(folder, name))] = [`${change.kernel} as ${name}`];
    }
    return compile(exported, 'release');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pathBetween(from: string, to: string): string {
  return relative(from, to).replaceAll('\\', '/');
}

function changed(source: string, { name, from, to }: LeakyChange): string {
  const parts = source.split(from);
  if (parts.length !== 2)
    throw new Error(`Cannot make a leak (${name}): its place was found ${parts.length - 1} times`);
  return parts.join(to);
}
