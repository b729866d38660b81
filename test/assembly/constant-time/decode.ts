/**
 * Reads a Wasm binary into trees of instructions: as much of the core specification, chapter 5, as the compiler of
 * assembly/ uses, and an error for everything else. The binary, not its source, because the optimiser rewrites and inlines.
 */
import { type Immediate, isPrefix, isSimd, type Operation, operationOf } from './operations.ts';

/** One instruction, with its offset in the binary. Branch depths count labels outwards from 0. */
export type Instruction = { at: number } & (
  | { type: 'operation'; operation: Operation }
  | { type: 'block' | 'loop'; results: number; body: Instruction[] }
  | { type: 'if'; results: number; body: Instruction[]; otherwise: Instruction[] }
  | { type: 'br' | 'br_if'; depth: number }
  | { type: 'br_table'; depths: number[] }
  | { type: 'return' | 'unreachable' | 'nop' }
  | { type: 'call' | 'local.get' | 'local.set' | 'local.tee' | 'global.get' | 'global.set'; index: number }
);

/** A function with a body. */
export interface WasmFunction {
  params: number;
  results: number;
  /** Parameters and locals. */
  locals: number;
  /** Whether it computes with vectors; a constant one is only a quick way to fill memory. */
  hasSimd: boolean;
  body: Instruction[];
}

/** The functions of a module by index, and the indices of the exported ones. */
export interface WasmModule {
  functions: WasmFunction[];
  exports: ReadonlyMap<string, number>;
}

interface Signature {
  params: number;
  results: number;
}

const HEADER_BYTES = 8;
const SECTION = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;
const KIND_FUNCTION = 0;
const KIND_MEMORY = 2;
const EMPTY_BLOCK = 0x40;
const ELSE = 0x05;
const END = 0x0b;
const INDEXED = {
  16: 'call',
  32: 'local.get',
  33: 'local.set',
  34: 'local.tee',
  35: 'global.get',
  36: 'global.set',
} as const;

class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new Error('Cannot read the module: it ends too early');
    return byte;
  }

  /** LEB128, unsigned. Of a signed one it finds the end. */
  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  list<T>(item: () => T): T[] {
    return Array.from({ length: this.number() }, item);
  }

  name(): string {
    const length = this.number();
    this.at += length;
    return new TextDecoder().decode(this.#bytes.subarray(this.at - length, this.at));
  }
}

/** Reads a whole module. @throws Error for anything that the compiler is not known to emit. */
export function decode(binary: Uint8Array): WasmModule {
  const reader = new Reader(binary, HEADER_BYTES);
  let types: Signature[] = [];
  let signatures: Signature[] = [];
  let exported: { name: string; kind: number; index: number }[] = [];
  let functions: WasmFunction[] = [];
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const length = reader.number();
    const end = reader.at + length;
    if (id === SECTION.type) types = reader.list(() => readSignature(reader));
    else if (id === SECTION.import) reader.list(() => readImport(reader));
    else if (id === SECTION.function) signatures = reader.list(() => types[reader.number()]!);
    else if (id === SECTION.export) {
      exported = reader.list(() => ({ name: reader.name(), kind: reader.byte(), index: reader.number() }));
    } else if (id === SECTION.code) {
      let index = 0;
      functions = reader.list(() => readFunction(reader, signatures[index++]!));
    } else reader.at = end;
    if (reader.at !== end) throw new Error(`Cannot read section ${id}: it ends at ${end}, not at ${reader.at}`);
  }
  const named = exported.filter(({ kind }) => kind === KIND_FUNCTION);
  return { functions, exports: new Map(named.map(({ name, index }) => [name, index])) };
}

function readSignature(reader: Reader): Signature {
  if (reader.byte() !== 0x60) throw new Error('Cannot read a type that is not a function');
  const params = reader.list(() => reader.byte()).length;
  return { params, results: reader.list(() => reader.byte()).length };
}

/** Memory alone may be imported: what an imported function does with a secret cannot be known. */
function readImport(reader: Reader): void {
  const name = `${reader.name()}.${reader.name()}`;
  if (reader.byte() !== KIND_MEMORY) throw new Error(`Cannot judge the import ${name}: it is not a memory`);
  const flags = reader.byte();
  reader.number();
  if ((flags & 1) !== 0) reader.number();
}

function readFunction(reader: Reader, signature: Signature): WasmFunction {
  const length = reader.number();
  const end = reader.at + length;
  const groups = reader.list(() => {
    const count = reader.number();
    reader.byte();
    return count;
  });
  const read: WasmFunction = {
    ...signature,
    locals: groups.reduce((sum, count) => sum + count, signature.params),
    hasSimd: false,
    body: [],
  };
  readSequence(reader, read.body, read);
  if (reader.at !== end) throw new Error(`Cannot read a function: it ends at ${end}, not at ${reader.at}`);
  return read;
}

/** Appends instructions to `into` until `else` or `end`, and returns which of them it was. */
function readSequence(reader: Reader, into: Instruction[], owner: WasmFunction): number {
  for (;;) {
    const at = reader.at;
    const opcode = reader.byte();
    if (opcode === ELSE || opcode === END) return opcode;
    into.push(readInstruction(reader, opcode, at, owner));
  }
}

function readInstruction(reader: Reader, opcode: number, at: number, owner: WasmFunction): Instruction {
  switch (opcode) {
    case 0x00:
      return { at, type: 'unreachable' };
    case 0x01:
      return { at, type: 'nop' };
    case 0x02:
    case 0x03: {
      const results = readBlockResults(reader);
      const body: Instruction[] = [];
      readSequence(reader, body, owner);
      return { at, type: opcode === 0x02 ? 'block' : 'loop', results, body };
    }
    case 0x04: {
      const results = readBlockResults(reader);
      const body: Instruction[] = [];
      const otherwise: Instruction[] = [];
      if (readSequence(reader, body, owner) === ELSE) readSequence(reader, otherwise, owner);
      return { at, type: 'if', results, body, otherwise };
    }
    case 0x0c:
      return { at, type: 'br', depth: reader.number() };
    case 0x0d:
      return { at, type: 'br_if', depth: reader.number() };
    case 0x0e:
      return { at, type: 'br_table', depths: [...reader.list(() => reader.number()), reader.number()] };
    case 0x0f:
      return { at, type: 'return' };
    default:
      if (opcode in INDEXED) return { at, type: INDEXED[opcode as keyof typeof INDEXED], index: reader.number() };
      return { at, type: 'operation', operation: readOperation(reader, opcode, owner) };
  }
}

/** A block gives nothing or one value; the compiler emits no others. */
function readBlockResults(reader: Reader): number {
  const type = reader.byte();
  if (type === EMPTY_BLOCK) return 0;
  // Value types are the negative one-byte numbers, indices of signatures are positive.
  if ((type & 0xc0) !== 0x40) throw new Error('Cannot read a block that takes or gives several values');
  return 1;
}

function readOperation(reader: Reader, opcode: number, owner: WasmFunction): Operation {
  const operation = operationOf(opcode, isPrefix(opcode) ? reader.number() : 0);
  if (isSimd(opcode) && operation.gives !== 'nothing' && operation.gives !== 'constant') owner.hasSimd = true;
  skipImmediate(reader, operation.immediate);
  return operation;
}

function skipImmediate(reader: Reader, immediate: Immediate): void {
  switch (immediate) {
    case 'none':
      return;
    case 'integer':
      reader.number();
      return;
    case 'memory':
    case 'memory and lane':
      reader.number();
      reader.number();
      if (immediate === 'memory and lane') reader.byte();
      return;
    case 'lane':
    case '1 byte':
      reader.byte();
      return;
    case '2 bytes':
      reader.at += 2;
      return;
    case '16 bytes':
      reader.at += 16;
      return;
    default:
      immediate satisfies never;
  }
}
