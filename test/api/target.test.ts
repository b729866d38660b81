import { expect, test } from 'vitest';
import { parseTarget, parseTargetPort } from '../../src/api/target.ts';

test.each([7, undefined, null, {}])('%j is no target, which is said in words', (target) => {
  expect(() => parseTarget(target as unknown as string)).toThrow(/^Cannot read .*: want a text/);
  expect(() => parseTargetPort(target as unknown as string)).toThrow(/^Cannot read .*: want a text/);
});
