/**
 * Words of a command line (CP 7.1): flags `--key=value`, `--key value` and `--key`, mixed with positional arguments.
 * Which flags stand alone is known beforehand, so `up --public bob` does not make "bob" the value of `--public`.
 */
import type { Millis } from '../config.ts';
import { parsePort } from '../wire/address.ts';
import { CommandError } from './failure.ts';

/** One flag of a command. */
export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  /** What stands for the value in the help, such as `URL`; undefined: it stands alone. */
  readonly value?: string;
  readonly about: string;
}

/** A word list cut into its parts. */
export interface Words {
  readonly positionals: readonly string[];
  /** Name → value; a flag that stands alone has `true`. The last one counts. */
  readonly flags: ReadonlyMap<string, string>;
  readonly isJson: boolean;
  readonly wantsHelp: boolean;
}

/** An integer within bounds, and what it is when it is not given. */
export interface IntegerRange {
  readonly fallback: number;
  readonly least: number;
  readonly most: number;
}

const UNITS: { readonly [unit: string]: Millis } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const DURATION = /^(\d+(\.\d+)?(ms|s|m|h))+$/;
/** Below the longest delay of a timer, some 24 days. */
const LONGEST_MS: Millis = 2_000_000_000;

/**
 * Cuts words. `--` ends the flags. A flag that `known` does not have takes the next word unless that begins with `--`;
 * whether the command has it is for `Arguments` to say.
 */
export function parseWords(words: readonly string[], known: readonly Flag[]): Words {
  const isAlone = new Map(known.map(({ name, value }) => [name, value === undefined]));
  const positionals: string[] = [];
  const flags = new Map<string, string>();
  let isJson = false;
  let wantsHelp = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const equals = word.indexOf('=');
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const next = words[i + 1];
    if (word === '--') {
      positionals.push(...words.slice(i + 1));
      break;
    }
    if (word === '--json') isJson = true;
    else if (word === '--help' || word === '-h') wantsHelp = true;
    else if (!word.startsWith('--')) positionals.push(word);
    else if (equals >= 0) flags.set(name, word.slice(equals + 1));
    else if (mayTake(isAlone.get(name), next)) {
      flags.set(name, next!);
      i += 1;
    } else flags.set(name, 'true');
  }
  return { positionals, flags, isJson, wantsHelp };
}

function mayTake(isAlone: boolean | undefined, next: string | undefined): boolean {
  if (next === undefined || next.startsWith('--')) return false;
  return isAlone !== true || next === 'true' || next === 'false';
}

/** The words of one command, checked as they are asked for. All methods throw `CommandError` `invalid_argument`. */
export class Arguments {
  readonly #positionals: readonly string[];
  readonly #flags: ReadonlyMap<string, string>;

  /** @param positionals - Without the command's name. */
  constructor(positionals: readonly string[], flags: ReadonlyMap<string, string>, known: readonly Flag[]) {
    const names = known.map(({ name }) => name);
    for (const [name, value] of flags) {
      const flag = known.find((one) => one.name === name);
      if (flag === undefined) {
        const hint = names.length === 0 ? 'it has none' : `it has ${names.map((one) => `--${one}`).join(', ')}`;
        throw new CommandError('invalid_argument', `Unknown flag --${name}`, { hint });
      }
      // CP 7.1 makes a bare flag `true`; where a value is wanted that is a forgotten one.
      if (flag.value !== undefined && value === 'true') {
        throw new CommandError('invalid_argument', `--${name} wants a value: --${name} ${flag.value}`);
      }
    }
    this.#positionals = positionals;
    this.#flags = flags;
  }

  /** A positional argument that must be there. */
  required(index: number, name: string): string {
    const word = this.#positionals[index];
    if (word === undefined) throw new CommandError('invalid_argument', `Missing argument: <${name}>`);
    return word;
  }

  optional(index: number): string | undefined {
    return this.#positionals[index];
  }

  /** Everything from `index` on as one text: words of a sentence that nobody quoted. */
  rest(index: number): string {
    return this.#positionals.slice(index).join(' ');
  }

  /** Refuses words behind the last argument. */
  atMost(count: number): void {
    const extra = this.#positionals[count];
    if (extra === undefined) return;
    throw new CommandError('invalid_argument', `Too many arguments: "${extra}"`, {
      hint: 'a text with spaces needs quotes',
    });
  }

  /** The value of a flag. */
  text(name: string): string | undefined {
    return this.#flags.get(name);
  }

  /** CP 7.1: true for `true`, `1` and empty. */
  isSet(name: string): boolean {
    return ['true', '1', ''].includes(this.#flags.get(name) ?? 'false');
  }

  /** The parts of a list with commas. */
  list(name: string): readonly string[] | undefined {
    return this.#flags
      .get(name)
      ?.split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  }

  duration(name: string, fallback: Millis): Millis {
    const text = this.#flags.get(name);
    if (text === undefined) return fallback;
    const millis = parseDuration(text);
    if (millis !== undefined) return millis;
    throw new CommandError('invalid_argument', `Cannot read --${name} ${text}: no duration`, {
      hint: 'such as 500ms, 30s, 1m30s, or seconds',
    });
  }

  integer(name: string, range: IntegerRange): number {
    const text = this.#flags.get(name);
    return text === undefined ? range.fallback : parseInteger(`--${name}`, text, range);
  }
}

/** Reads `500ms`, `1m30s` or seconds. @returns Undefined when it is none, or above three weeks. */
export function parseDuration(text: string): Millis | undefined {
  let millis = Number.NaN;
  if (/^\d+(\.\d+)?$/.test(text)) millis = Number(text) * 1_000;
  else if (DURATION.test(text)) {
    millis = 0;
    for (const [, amount, , unit] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h)/g)) {
      millis += Number(amount) * UNITS[unit ?? '']!;
    }
  }
  return millis <= LONGEST_MS ? millis : undefined;
}

/** Reads a whole number. @param name - What it is, for the message. */
export function parseInteger(name: string, text: string, { least, most }: Omit<IntegerRange, 'fallback'>): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new CommandError('invalid_argument', `Cannot read ${name} ${text}: want a number from ${least} to ${most}`);
}

/** Reads a port of an agent. */
export function parseAgentPort(text: string): number {
  const port = parsePort(text);
  if (port !== undefined && port > 0) return port;
  throw new CommandError('invalid_argument', `Cannot read port ${text}: want a number from 1 to 65535`);
}
