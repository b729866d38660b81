import { describe, expect, test } from 'vitest';
import { Arguments, type Flag, parseDuration, parseInteger, parseWords } from '../../src/cli/arguments.ts';
import type { CommandError } from '../../src/cli/failure.ts';

const FLAGS: readonly Flag[] = [
  { name: 'name', value: 'NAME', about: '' },
  { name: 'count', value: 'N', about: '' },
  { name: 'public', about: '' },
];

const parse = (...words: string[]): [readonly string[], Record<string, string>] => {
  const { positionals, flags } = parseWords(words, FLAGS);
  return [positionals, Object.fromEntries(flags)];
};

const read = (...words: string[]): Arguments => {
  const { positionals, flags } = parseWords(words, FLAGS);
  return new Arguments(positionals, flags, FLAGS);
};

const failure = (run: () => unknown): Partial<CommandError> => {
  try {
    run();
  } catch (error) {
    return error as CommandError;
  }
  return {};
};

describe('parseWords()', () => {
  test('takes values behind "=" and behind a blank, mixed with positional words', () => {
    expect(parse('a', '--name=x', 'b', '--count', '3', 'c')).toEqual([['a', 'b', 'c'], { name: 'x', count: '3' }]);
    expect(parse('--name=a=b', '--name=')).toEqual([[], { name: '' }]);
  });

  test('a flag that stands alone takes no word but true and false', () => {
    expect(parse('--public', 'bob')).toEqual([['bob'], { public: 'true' }]);
    expect(parse('--public', 'false', 'bob')).toEqual([['bob'], { public: 'false' }]);
    expect(parse('--public', '--name', 'x')).toEqual([[], { public: 'true', name: 'x' }]);
  });

  test('a flag without a word behind it is "true"', () => {
    expect(parse('--name')).toEqual([[], { name: 'true' }]);
    expect(parse('--name', '--count', '1')).toEqual([[], { name: 'true', count: '1' }]);
  });

  test('--json and --help may stand anywhere before "--"', () => {
    expect(parseWords(['--json', 'a', '--help'], FLAGS)).toMatchObject({ isJson: true, wantsHelp: true });
    expect(parseWords(['a', '--name', '--json'], FLAGS)).toMatchObject({ isJson: true });
    expect(parseWords(['a', '--', '--json', '--x'], FLAGS)).toMatchObject({
      isJson: false,
      positionals: ['a', '--json', '--x'],
    });
  });
});

describe('Arguments', () => {
  test('refuses a flag that the command does not have, and names those that it has', () => {
    const error = failure(() => read('--wrong', 'x'));
    expect(error).toMatchObject({ code: 'invalid_argument', hint: 'it has --name, --count, --public' });
  });

  test('refuses a flag whose value was forgotten', () => {
    expect(failure(() => read('--name')).message).toBe('--name wants a value: --name NAME');
  });

  test.each([
    [['--public'], true],
    [['--public=true'], true],
    [['--public=1'], true],
    [['--public='], true],
    [['--public=false'], false],
    [['--public=0'], false],
    [['--public=yes'], false],
    [[], false],
  ])('%j is %s', (words, isSet) => {
    expect(read(...words).isSet('public')).toBe(isSet);
  });

  test('positional words: required, optional, the rest, and too many', () => {
    const words = read('a', 'b', 'c');
    expect(words.required(0, 'x')).toBe('a');
    expect(words.optional(3)).toBeUndefined();
    expect(words.rest(1)).toBe('b c');
    expect(failure(() => words.required(3, 'x')).message).toBe('Missing argument: <x>');
    expect(failure(() => words.atMost(2)).message).toBe('Too many arguments: "c"');
    words.atMost(3);
  });

  test('lists, durations and numbers', () => {
    const words = read('--name', 'a, b,,c', '--count', '1.5');
    expect(words.list('name')).toEqual(['a', 'b', 'c']);
    expect(words.duration('count', 7)).toBe(1_500);
    expect(words.duration('absent', 7)).toBe(7);
    expect(failure(() => words.integer('count', { fallback: 1, least: 0, most: 9 })).code).toBe('invalid_argument');
    expect(failure(() => words.duration('name', 1)).code).toBe('invalid_argument');
    expect(read('--count', '9').integer('count', { fallback: 1, least: 0, most: 9 })).toBe(9);
  });
});

test.each([
  ['500ms', 500],
  ['1m30s', 90_000],
  ['2h', 7_200_000],
  ['1.5s', 1_500],
  ['30', 30_000],
  ['0.25', 250],
  ['0', 0],
  ['', undefined],
  ['s', undefined],
  ['5x', undefined],
  ['-1', undefined],
  ['1e3', undefined],
  ['5s ', undefined],
  ['99999999h', undefined],
])('duration %j is %s', (text, millis) => {
  expect(parseDuration(text)).toBe(millis);
});

test.each(['', '-1', '10', '1.0', '0x1', 'a', '99999999999999999999'])('%j is no number from 0 to 9', (text) => {
  expect(failure(() => parseInteger('it', text, { least: 0, most: 9 })).code).toBe('invalid_argument');
});
