/**
 * Follows secrets through the functions of a Wasm module: an abstract run on which a value is only public or secret. Both
 * sides of every branch are walked, loops until nothing changes, calls with what their arguments are. It knows no
 * addresses: whatever comes out of memory is secret, which asks more of the kernels than is needed, and they give it.
 *
 * A branch on a secret is reported, so what a value owes to the way that led to it (an implicit flow) needs no following.
 */
import type { Instruction, WasmFunction, WasmModule } from './decode.ts';
import type { Leak, Operation } from './operations.ts';

/**
 * What is known of a value, the more dangerous the higher: public; the verdict whether a secret vector is zero, on which
 * a branch is noted and not condemned; secret.
 */
const PUBLIC = 0;
const VERDICT = 1;
const SECRET = 2;
type Taint = typeof PUBLIC | typeof VERDICT | typeof SECRET;

/** A place where a secret shows. */
export interface Finding {
  leak: Leak;
  instruction: string;
  /** Index of the function, and offset in the binary: what a disassembler prints. */
  function: number;
  at: number;
}

/** A branch on a verdict. */
export interface Verdict {
  function: number;
  at: number;
  isInLoop: boolean;
}

/** What a run has seen. */
export interface Report {
  findings: Finding[];
  verdicts: Verdict[];
  /** Indices of the functions that were walked. */
  functions: ReadonlySet<number>;
  /** Addresses and conditions that were looked at. */
  sites: number;
}

/** Walks an exported function whose arguments are public, and all that it calls. */
export function follow(module: WasmModule, name: string): Report {
  const index = module.exports.get(name);
  if (index === undefined) throw new Error(`Cannot follow ${name}: it is not exported`);
  const journal = new Journal(module);
  journal.call(
    index,
    Array.from({ length: module.functions[index]!.params }, () => PUBLIC),
  );
  return {
    findings: [...journal.findings.values()],
    verdicts: [...journal.verdicts.values()],
    functions: journal.functions,
    sites: journal.sites.size,
  };
}

/** What is kept from one function to the next. */
class Journal {
  readonly findings = new Map<number, Finding>();
  readonly verdicts = new Map<number, Verdict>();
  readonly functions = new Set<number>();
  readonly sites = new Set<number>();
  readonly #module: WasmModule;
  /** By function and taints of the arguments; `undefined` while the call is being walked. */
  readonly #results = new Map<string, Taint[] | undefined>();

  constructor(module: WasmModule) {
    this.#module = module;
  }

  parameters(index: number): number {
    return this.#module.functions[index]!.params;
  }

  call(index: number, args: Taint[]): Taint[] {
    const key = `${index} ${args.join('')}`;
    if (!this.#results.has(key)) {
      this.#results.set(key, undefined);
      this.functions.add(index);
      this.#results.set(key, new Walk(this, index, this.#module.functions[index]!).run(args));
    }
    const results = this.#results.get(key);
    if (results === undefined) throw new Error(`Cannot follow function ${index}: it calls itself`);
    return results;
  }
}

/** Where a branch goes, and what has been brought there. */
interface Label {
  /** Values that a branch takes along. */
  arity: number;
  height: number;
  arrived: { locals: Taint[]; values: Taint[] } | undefined;
}

/** One function with one set of arguments. */
class Walk {
  readonly #journal: Journal;
  readonly #index: number;
  readonly #function: WasmFunction;
  readonly #labels: Label[] = [];
  #locals: Taint[] = [];
  #stack: Taint[] = [];
  #loops = 0;

  constructor(journal: Journal, index: number, walked: WasmFunction) {
    this.#journal = journal;
    this.#index = index;
    this.#function = walked;
  }

  run(args: Taint[]): Taint[] {
    this.#locals = Array.from({ length: this.#function.locals }, (_, i) => args[i] ?? PUBLIC);
    this.#block(this.#function.body, this.#function.results);
    return this.#stack;
  }

  /** Each returns whether the next instruction can be reached. */
  #sequence(body: Instruction[]): boolean {
    return body.every((instruction) => this.#step(instruction));
  }

  #step(instruction: Instruction): boolean {
    switch (instruction.type) {
      case 'operation':
        this.#operate(instruction.operation, instruction.at);
        return true;
      case 'block':
        return this.#block(instruction.body, instruction.results);
      case 'loop':
        return this.#loop(instruction.body, instruction.results);
      case 'if':
        this.#condition('if', instruction.at);
        return this.#block(instruction.body, instruction.results, instruction.otherwise);
      case 'br':
        this.#branch(instruction.depth);
        return false;
      case 'br_if':
        this.#condition('br_if', instruction.at);
        this.#branch(instruction.depth);
        return true;
      case 'br_table':
        this.#condition('br_table', instruction.at);
        for (const depth of instruction.depths) this.#branch(depth);
        return false;
      case 'return':
        this.#branch(this.#labels.length - 1);
        return false;
      case 'unreachable':
        return false;
      case 'nop':
        return true;
      case 'call':
        this.#stack.push(
          ...this.#journal.call(instruction.index, this.#take(this.#journal.parameters(instruction.index))),
        );
        return true;
      case 'local.get':
        this.#stack.push(this.#locals[instruction.index]!);
        return true;
      case 'local.set':
        this.#locals[instruction.index] = this.#pop();
        return true;
      case 'local.tee':
        this.#locals[instruction.index] = this.#stack.at(-1)!;
        return true;
      // Like memory: nobody keeps account of what is in them.
      case 'global.get':
        this.#stack.push(SECRET);
        return true;
      case 'global.set':
        this.#pop();
        return true;
      default:
        return instruction satisfies never;
    }
  }

  /** A block, or both arms of an `if`. */
  #block(body: Instruction[], arity: number, otherwise?: Instruction[]): boolean {
    const label = this.#enter(arity);
    const before = [...this.#locals];
    if (this.#sequence(body)) this.#arrive(label);
    if (otherwise !== undefined) {
      this.#locals = before;
      this.#stack.length = label.height;
      if (this.#sequence(otherwise)) this.#arrive(label);
    }
    this.#labels.pop();
    this.#stack.length = label.height;
    if (label.arrived === undefined) return false;
    this.#locals = label.arrived.locals;
    this.#stack.push(...label.arrived.values);
    return true;
  }

  #loop(body: Instruction[], results: number): boolean {
    // A branch to a loop goes to its start and takes nothing along.
    const label = this.#enter(0);
    label.arrived = { locals: [...this.#locals], values: [] };
    this.#loops += 1;
    for (;;) {
      const before = label.arrived.locals;
      this.#locals = [...before];
      this.#stack.length = label.height;
      const isReached = this.#sequence(body);
      if (label.arrived.locals.some((taint, i) => taint !== before[i])) continue;
      this.#labels.pop();
      this.#loops -= 1;
      if (isReached) this.#expectHeight(label.height + results);
      return isReached;
    }
  }

  #enter(arity: number): Label {
    const label: Label = { arity, height: this.#stack.length, arrived: undefined };
    this.#labels.push(label);
    return label;
  }

  /** The end of a block without a branch: there must be exactly its results. */
  #arrive(label: Label): void {
    this.#expectHeight(label.height + label.arity);
    this.#branch(0);
  }

  #branch(depth: number): void {
    const label = this.#labels.at(-1 - depth)!;
    const values = label.arity === 0 ? [] : this.#stack.slice(-label.arity);
    const { arrived } = label;
    label.arrived = {
      locals: this.#locals.map((taint, i) => higher(taint, arrived?.locals[i] ?? PUBLIC)),
      values: values.map((taint, i) => higher(taint, arrived?.values[i] ?? PUBLIC)),
    };
  }

  #operate(operation: Operation, at: number): void {
    const operands = this.#take(operation.pops);
    for (const position of operation.shows) this.#show(operands[position]!, operation.leak, operation.name, at);
    if (operation.gives === 'nothing') return;
    this.#stack.push(resultOf(operation, operands));
  }

  #condition(instruction: string, at: number): void {
    const taint = this.#pop();
    if (taint === VERDICT) {
      const verdict = { function: this.#index, at, isInLoop: this.#loops > 0 };
      this.#journal.verdicts.set(at, verdict);
      this.#journal.sites.add(at);
    } else this.#show(taint, 'branch', instruction, at);
  }

  #show(taint: Taint, leak: Leak, instruction: string, at: number): void {
    this.#journal.sites.add(at);
    if (taint !== PUBLIC) this.#journal.findings.set(at, { leak, instruction, function: this.#index, at });
  }

  #pop(): Taint {
    return this.#take(1)[0]!;
  }

  #take(count: number): Taint[] {
    const height = this.#stack.length - count;
    if (height < (this.#labels.at(-1)?.height ?? 0))
      throw new Error(`Cannot follow function ${this.#index}: no operand`);
    return this.#stack.splice(height, count);
  }

  /** Another height means that an instruction was read wrongly; then nothing that was found holds. */
  #expectHeight(height: number): void {
    if (this.#stack.length === height) return;
    throw new Error(`Cannot follow function ${this.#index}: ${this.#stack.length} values where ${height} should be`);
  }
}

function resultOf(operation: Operation, operands: Taint[]): Taint {
  const worst = operands.reduce<Taint>(higher, PUBLIC);
  switch (operation.gives) {
    case 'memory':
      return SECRET;
    case 'any true':
      return worst === PUBLIC ? PUBLIC : VERDICT;
    case 'not':
      return worst;
    // To compute with a verdict could be to gather several.
    case 'operands':
      return worst === PUBLIC ? PUBLIC : SECRET;
    case 'constant':
    case 'nothing':
      return PUBLIC;
    default:
      return operation.gives satisfies never;
  }
}

function higher(a: Taint, b: Taint): Taint {
  return a > b ? a : b;
}
