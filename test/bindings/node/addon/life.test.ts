/** What no socket may do to its process: leak, keep it when it should not, or end it. Each in a process of its own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findAddon } from '../../../../bindings/node/addon.ts';
import { bundleLife } from './program.mjs';
import { isSkipped } from './rig.ts';

const ADDON = fileURLToPath(new URL('../../../../bindings/node/addon/build/Release/pilotwire.node', import.meta.url));
const LIMIT_MS = 60_000;
/** In 500 cycles; what the smallest socket keeps of JavaScript alone, 8 KB, is twice this. */
const NOISE_BYTES = 2 << 20;
let directory: string;
let program: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilotwire-life-'));
  program = await bundleLife(directory);
});

afterAll(() => rmSync(directory, { recursive: true }));

function live(what: string, wait: string): { status: number | null; said: Record<string, unknown>; errors: string } {
  const env = { ...process.env, PILOTWIRE_ADDON: ADDON };
  const options = { env, encoding: 'utf8', timeout: LIMIT_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', program, what, wait], options);
  return { status, said: JSON.parse(stdout || '{}'), errors: stderr };
}

describe.skipIf(isSkipped).each(['libuv', 'thread'])('with %s', (wait) => {
  test('thousands of pollers, sockets and AEADs come and go, and memory does not grow', () => {
    const { said, errors } = live('cycles', wait);
    expect(errors).toBe('');
    expect(said.grown).toBeLessThan(NOISE_BYTES);
  });

  test('the process may exit while datagrams come', () => {
    expect(live('exit', wait)).toEqual({ status: 7, said: { ended: true }, errors: '' });
  });

  test('a worker may be terminated while datagrams come', () => {
    expect(live('worker', wait)).toEqual({ status: 0, said: { ended: true }, errors: '' });
  });

  test('sockets may close while datagrams come', () => {
    expect(live('close', wait)).toEqual({ status: 0, said: { ended: true }, errors: '' });
  });

  test('unref() lets the process end', () => {
    expect(live('idle', wait)).toEqual({ status: 0, said: { ended: true }, errors: '' });
  });
});

describe('what is found', () => {
  test('nothing where it was turned off, and why where it does not load', () => {
    expect(findAddon('0')).toBe('turned off');
    expect(findAddon(join(directory, 'none.node'))).toMatch(/^does not load: [^\n]+$/);
  });

  test.skipIf(isSkipped)('the one that is named, or that was built', () => {
    expect(findAddon(ADDON)).toMatchObject({ version: 1 });
    expect(findAddon('')).toMatchObject({ version: 1 });
  });
});
