/**
 * What the instructions of Wasm without control flow take, give and show to an observer: the integer and SIMD part of the
 * core specification, chapter 5.4. What is not listed (floats, tables, growing memory) has no business in the kernels, and
 * reading it is an error, so nothing is passed over in silence.
 */

/** How an operand becomes visible in the time a run takes. */
export type Leak = 'address' | 'branch' | 'division';

/** The bytes that follow the opcode. */
export type Immediate = 'none' | 'integer' | 'memory' | 'memory and lane' | 'lane' | '16 bytes' | '1 byte' | '2 bytes';

/** One instruction that has no control flow. */
export interface Operation {
  name: string;
  immediate: Immediate;
  pops: number;
  /**
   * What the result is made of: nothing is pushed, a constant, the operands, memory, or whether a vector is zero (the
   * only test that a verdict may come from), or the operand's negation.
   */
  gives: 'nothing' | 'constant' | 'operands' | 'memory' | 'any true' | 'not';
  /** Positions, from the first one pushed, of the operands that an observer learns. */
  shows: readonly number[];
  leak: Leak;
}

const SIMD = 0xfd;
const BULK = 0xfc;

type Row = readonly [first: number, last: number, shape: Partial<Operation>];

const UNARY: Partial<Operation> = { name: 'unary', pops: 1 };
const BINARY: Partial<Operation> = { name: 'binary', pops: 2 };
const SHIFT: Partial<Operation> = { name: 'shift', pops: 2 };
const LOAD: Partial<Operation> = { name: 'load', pops: 1, immediate: 'memory', gives: 'memory', shows: [0] };
const STORE: Partial<Operation> = { name: 'store', pops: 2, immediate: 'memory', gives: 'nothing', shows: [0] };
// Its time depends on the operands on most processors, and zero traps.
const DIVIDE: Partial<Operation> = { name: 'divide', pops: 2, shows: [0, 1], leak: 'division' };

const PLAIN_ROWS: readonly Row[] = [
  [0x1a, 0x1a, { name: 'drop', pops: 1, gives: 'nothing' }],
  // An engine may compile it to a jump.
  [0x1b, 0x1b, { name: 'select', pops: 3, shows: [2], leak: 'branch' }],
  [0x28, 0x29, LOAD],
  [0x2c, 0x35, LOAD],
  [0x36, 0x37, STORE],
  [0x3a, 0x3e, STORE],
  [0x41, 0x42, { name: 'const', immediate: 'integer', gives: 'constant' }],
  [0x45, 0x45, { name: 'eqz', pops: 1, gives: 'not' }],
  [0x46, 0x4f, BINARY],
  [0x50, 0x50, UNARY],
  [0x51, 0x5a, BINARY],
  [0x67, 0x69, UNARY],
  [0x6a, 0x6c, BINARY],
  [0x6d, 0x70, DIVIDE],
  [0x71, 0x78, BINARY],
  [0x79, 0x7b, UNARY],
  [0x7c, 0x7e, BINARY],
  [0x7f, 0x82, DIVIDE],
  [0x83, 0x8a, BINARY],
  [0xa7, 0xa7, UNARY],
  [0xac, 0xad, UNARY],
  [0xc0, 0xc4, UNARY],
];

const BULK_ROWS: readonly Row[] = [
  [10, 10, { name: 'memory.copy', pops: 3, immediate: '2 bytes', gives: 'nothing', shows: [0, 1, 2] }],
  [11, 11, { name: 'memory.fill', pops: 3, immediate: '1 byte', gives: 'nothing', shows: [0, 2] }],
];

const SIMD_ROWS: readonly Row[] = [
  [0, 10, LOAD],
  [11, 11, STORE],
  [12, 12, { name: 'v128.const', immediate: '16 bytes', gives: 'constant' }],
  [13, 13, { name: 'shuffle', pops: 2, immediate: '16 bytes' }],
  [14, 14, BINARY],
  [15, 18, UNARY],
  ...[21, 22, 24, 25, 27, 29].map((code): Row => [code, code, { name: 'extract_lane', pops: 1, immediate: 'lane' }]),
  ...[23, 26, 28, 30].map((code): Row => [code, code, { name: 'replace_lane', pops: 2, immediate: 'lane' }]),
  [35, 64, BINARY],
  [77, 77, UNARY],
  [78, 81, BINARY],
  [82, 82, { name: 'bitselect', pops: 3 }],
  [83, 83, { name: 'any_true', pops: 1, gives: 'any true' }],
  [84, 87, { ...LOAD, name: 'load_lane', pops: 2, immediate: 'memory and lane' }],
  [88, 91, { ...STORE, name: 'store_lane', immediate: 'memory and lane' }],
  [92, 93, LOAD],
  // i8x16, i16x8, i32x4, i64x2: each has its unary instructions and tests first, then shifts and arithmetic.
  [0x60, 0x64, UNARY],
  [0x65, 0x66, BINARY],
  [0x6b, 0x6d, SHIFT],
  [0x6e, 0x73, BINARY],
  [0x76, 0x79, BINARY],
  [0x7b, 0x7b, BINARY],
  [0x7c, 0x7f, UNARY],
  [0x80, 0x81, UNARY],
  [0x82, 0x82, BINARY],
  [0x83, 0x84, UNARY],
  [0x85, 0x86, BINARY],
  [0x87, 0x8a, UNARY],
  [0x8b, 0x8d, SHIFT],
  [0x8e, 0x93, BINARY],
  [0x95, 0x99, BINARY],
  [0x9b, 0x9f, BINARY],
  [0xa0, 0xa1, UNARY],
  [0xa3, 0xa4, UNARY],
  [0xa7, 0xaa, UNARY],
  [0xab, 0xad, SHIFT],
  [0xae, 0xae, BINARY],
  [0xb1, 0xb1, BINARY],
  [0xb5, 0xba, BINARY],
  [0xbc, 0xbf, BINARY],
  [0xc0, 0xc1, UNARY],
  [0xc3, 0xc4, UNARY],
  [0xc7, 0xca, UNARY],
  [0xcb, 0xcd, SHIFT],
  [0xce, 0xce, BINARY],
  [0xd1, 0xd1, BINARY],
  [0xd5, 0xdf, BINARY],
  [0x100, 0x100, { name: 'relaxed_swizzle', pops: 2 }],
];

const DEFAULTS: Operation = { name: '', immediate: 'none', pops: 0, gives: 'operands', shows: [], leak: 'address' };

function tableOf(rows: readonly Row[]): ReadonlyMap<number, Operation> {
  const table = new Map<number, Operation>();
  for (const [first, last, shape] of rows) {
    const operation = { ...DEFAULTS, ...shape };
    for (let code = first; code <= last; code++) table.set(code, operation);
  }
  return table;
}

const PLAIN = tableOf(PLAIN_ROWS);
const PREFIXED: ReadonlyMap<number, ReadonlyMap<number, Operation>> = new Map([
  [SIMD, tableOf(SIMD_ROWS)],
  [BULK, tableOf(BULK_ROWS)],
]);

/** Whether a second number follows the opcode. */
export function isPrefix(opcode: number): boolean {
  return PREFIXED.has(opcode);
}

/** Whether the opcode announces a SIMD instruction. */
export function isSimd(opcode: number): boolean {
  return opcode === SIMD;
}

/** @param second - What follows a prefix, else 0. @throws Error for an instruction that is not listed. */
export function operationOf(opcode: number, second: number): Operation {
  const operation = isPrefix(opcode) ? PREFIXED.get(opcode)?.get(second) : PLAIN.get(opcode);
  if (operation === undefined) throw new Error(`Cannot judge instruction 0x${opcode.toString(16)} ${second}`);
  return operation;
}
