import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { FAILURE_CODES, failureOf } from '../../src/cli/failure.ts';
import { Output, printable } from '../../src/cli/output.ts';
import type { System } from '../../src/cli/system.ts';
import { ERROR_CODES, type ErrorCode } from '../../src/errors.ts';
import { failing, pilotError, runHere } from './system.ts';

/** CP 7.1. */
const CODES =
  'invalid_argument not_found already_exists not_running connection_failed timeout internal internal_error io_error invalid_state expired unavailable auth_required conflict upgrade_failed'.split(
    ' ',
  );

describe('envelope and exit code', () => {
  test('success is one line on standard output', async () => {
    const { code, out, err } = await runHere(['version', '--json']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe('{"status":"ok","data":{"version":"1.2.3"}}\n');
  });

  test('success for people is text', async () => {
    expect(await runHere(['version'])).toEqual({ code: 0, out: '1.2.3\n', err: '' });
  });

  test('failure is one line on standard error, and nothing else', async () => {
    const { code, out, err } = await runHere(['--json', 'ping']);
    expect([code, out]).toEqual([1, '']);
    expect(err).toBe('{"status":"error","code":"invalid_argument","message":"Missing argument: <target>"}\n');
  });

  test('failure for people has a hint of its own line', async () => {
    const { code, err } = await runHere(['ping', 'bob'], failing(pilotError('TLS_PIN_MISMATCH', 'do that')));
    expect(code).toBe(1);
    expect(err).toBe('error: Failed: TLS_PIN_MISMATCH\nhint:  do that [TLS_PIN_MISMATCH]\n');
  });

  test.each([[[]], [['bogus']], [['--json']], [['bogus', '--json']]])('%j is wrong usage: 2', async (words) => {
    const { code, out, err } = await runHere(words);
    expect([code, out]).toEqual([2, '']);
    if (words.includes('--json')) expect(JSON.parse(err)).toMatchObject({ status: 'error', code: 'invalid_argument' });
  });

  test('a command that is told to end says that it was', async () => {
    const stop = new AbortController();
    const startAgent = (): Promise<never> => {
      stop.abort();
      return Promise.reject(new Error('x'));
    };
    const lent = { ...failing(new Error()), startAgent, signal: stop.signal };
    const { code, err } = await runHere(['find', 'bob', '--json'], lent);
    expect(code).toBe(1);
    expect(JSON.parse(err)).toMatchObject({ code: 'invalid_state', message: 'Interrupted' });
  });
});

describe('error codes', () => {
  test('each of ours has one of CP 7.1', () => {
    expect(Object.keys(FAILURE_CODES).sort()).toEqual(Object.keys(ERROR_CODES).sort());
    for (const code of Object.values(FAILURE_CODES)) expect(CODES).toContain(code);
  });

  test.each(Object.entries(FAILURE_CODES))('%s is %s, and the hint keeps it', async (ours, theirs) => {
    const { err } = await runHere(['find', 'bob', '--json'], failing(pilotError(ours as ErrorCode)));
    const { code, hint } = JSON.parse(err) as { code: string; hint: string };
    expect(code).toBe(theirs);
    expect(hint).toMatch(new RegExp(`\\[${ours}\\]$`));
  });

  test.each(['NOT_FOUND', 'PORT_IN_USE', 'TLS_PIN_MISMATCH'] as const)(
    'the hint of %s says what to do, unless the error itself does',
    async (ours) => {
      const hintOf = async (error: Error): Promise<unknown> =>
        (JSON.parse((await runHere(['find', 'bob', '--json'], failing(error))).err) as { hint: string }).hint;
      expect(await hintOf(pilotError(ours))).not.toContain(ERROR_CODES[ours].meaning);
      expect(await hintOf(pilotError(ours, 'do that'))).toBe(`do that [${ours}]`);
    },
  );

  test("misuse of the API is the user's word; what is wrong inside is not", async () => {
    const { err } = await runHere(['find', 'bob', '--json'], failing(new TypeError('Cannot read rendezvous URL "x"')));
    expect(JSON.parse(err)).toMatchObject({ code: 'invalid_argument' });
    expect(failureOf(new TypeError('x is undefined')).code).toBe('internal');
  });

  test('errors of the operating system are io_error', () => {
    expect(failureOf(Object.assign(new Error('no'), { code: 'ENOSPC' })).code).toBe('io_error');
    expect(failureOf('thrown').code).toBe('internal');
  });
});

describe('which agent, which rendezvous', () => {
  const rendezvousOf = async (words: string[], environment: Record<string, string>): Promise<string | undefined> => {
    let used: string | undefined;
    const startAgent = (options: { rendezvous: string }): Promise<never> => {
      used = options.rendezvous;
      return Promise.reject(new Error('enough'));
    };
    await runHere(['find', 'bob', ...words], { environment, startAgent });
    return used;
  };

  test('flag before PILOTWIRE_RENDEZVOUS before PILOT_REGISTRY', async () => {
    const both = { PILOTWIRE_RENDEZVOUS: 'pilot://b:2', PILOT_REGISTRY: 'c:3' };
    expect(await rendezvousOf(['--rendezvous', 'pilot://a:1'], both)).toBe('pilot://a:1');
    expect(await rendezvousOf([], both)).toBe('pilot://b:2');
    expect(await rendezvousOf([], { PILOT_REGISTRY: 'c:3' })).toBe('pilot://c:3');
  });

  test('none named, none asked', async () => {
    const { code, err } = await runHere(['find', 'bob', '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(err)).toMatchObject({ code: 'invalid_argument', hint: expect.stringContaining('rendezvous') });
  });

  test('the transport goes to the agent, and another word is refused', async () => {
    const transports: unknown[] = [];
    const startAgent = (options: { transport?: string }): Promise<never> => {
      transports.push(options.transport);
      return Promise.reject(pilotError('RENDEZVOUS_UNREACHABLE'));
    };
    for (const words of [[], ['--transport', 'websocket'], ['--transport', 'pigeon']]) {
      const environment = { PILOTWIRE_RENDEZVOUS: 'pilot://b:2' };
      const { err } = await runHere(['up', '--json', ...words], { environment, startAgent });
      transports.push(JSON.parse(err).code);
    }
    expect(transports).toEqual([undefined, 'connection_failed', 'websocket', 'connection_failed', 'invalid_argument']);
  });

  test('without a rendezvous and without `up` there is nobody to command', async () => {
    for (const command of ['info', 'peers', 'connections', 'pending', 'trust']) {
      const { err } = await runHere([command, '--json']);
      expect(JSON.parse(err), command).toMatchObject({ code: 'not_running' });
    }
  });

  test('an identity in use is a conflict with a way out', async () => {
    const { err } = await runHere(['find', 'bob', '--json', '--identity', 'x'], failing(pilotError('IDENTITY_IN_USE')));
    const { code, message, hint } = JSON.parse(err) as Record<string, string>;
    expect(code).toBe('conflict');
    expect(message).toContain('"x"');
    expect(hint).toContain('--identity NAME');
  });

  test('an identity that is no name is refused before anything starts', async () => {
    const { err } = await runHere(['info', '--json', '--identity', 'a b']);
    expect(JSON.parse(err)).toMatchObject({ code: 'invalid_argument' });
  });

  test('all addresses are no address: --advertise, or one of this machine', async () => {
    const refused = await runHere(['rendezvous', '--host', '0.0.0.0', '--json']);
    expect(JSON.parse(refused.err)).toMatchObject({ code: 'invalid_argument' });
    let advertised: string | undefined;
    await runHere(['rendezvous', '--host', '0.0.0.0'], {
      lanAddress: '192.0.2.7',
      serveRendezvous: (options) => {
        advertised = options.advertiseHost;
        return Promise.reject(new Error('enough'));
      },
    });
    expect(advertised).toBe('192.0.2.7');
  });
});

describe('help', () => {
  test('lists every command', async () => {
    const { code, out } = await runHere(['help']);
    expect(code).toBe(0);
    const lines = out.split('\n');
    for (const { name, summary } of COMMANDS) {
      expect(lines.filter((line) => line.startsWith(`  ${name} `) && line.endsWith(summary))).toHaveLength(1);
    }
    expect((await runHere(['--help'])).out).toBe(out);
  });

  test('describes every flag of a command, by either way to ask', async () => {
    for (const { name, flags } of COMMANDS) {
      const { code, out } = await runHere(['help', name]);
      expect(code).toBe(0);
      for (const flag of flags) expect(out, name).toContain(`--${flag.name}`);
      expect((await runHere([name, '--help'])).out).toBe(out);
    }
  });

  test('is a catalogue for programs', async () => {
    const { data } = JSON.parse((await runHere(['help', '--json'])).out) as { data: Record<string, object> };
    expect(Object.keys(data.commands!)).toEqual(COMMANDS.map(({ name }) => name));
    expect(data.commands).toHaveProperty('ping', {
      args: expect.stringContaining('<target>'),
      description: expect.any(String),
      returns: expect.stringContaining('rtt_ms'),
    });
  });

  test('knows no help for what is no command', async () => {
    expect((await runHere(['help', 'bogus'])).code).toBe(1);
  });
});

describe('bad words', () => {
  test.each([
    [['connect', 'bob', '0']],
    [['connect', 'bob', '70000']],
    [['connect', 'bob', '1000', 'extra']],
    [['send', 'bob', '1000']],
    [['send', 'bob']],
    [['recv']],
    [['recv', 'x']],
    [['recv', '1000', '--count', '0']],
    [['ping', 'bob', '--count', 'many']],
    [['ping', 'bob', '--timeout', 'soon']],
    [['bench', 'bob', '0']],
    [['find']],
    [['find', 'bob', '--tag', 'x']],
    [['up', 'bob']],
    [['rendezvous', '--port', '70000']],
    [['handshake']],
    [['approve']],
    [['info', '--count', '1']],
  ])('%j is an invalid argument', async (words) => {
    const lent = { ...failing(new Error('started')), serveRendezvous: () => Promise.reject(new Error('started')) };
    const { code, err } = await runHere([...words, '--json'], lent);
    expect(code).toBe(1);
    expect(JSON.parse(err)).toMatchObject({ code: 'invalid_argument' });
  });
});

test('control characters of strangers do not reach a terminal', async () => {
  expect(printable('a\u001b[2Jb\u202Ec\td\n\u0007')).toBe('a\uFFFD[2Jb\uFFFDc\td\n\uFFFD');
  const { err } = await runHere(['find', 'bob'], failing(pilotError('NOT_FOUND', '\u001b[31mred')));
  expect(err).toContain('\uFFFD[31mred');
});

test('bytes of a peer are harmless on a terminal, and untouched in a file', async () => {
  const shown = async (isTerminal: boolean): Promise<string> => {
    let text = '';
    const decoder = new TextDecoder();
    const writeOut = async (part: string | Uint8Array): Promise<void> => {
      text += typeof part === 'string' ? part : decoder.decode(part, { stream: true });
    };
    const output = new Output({ isTerminal, writeOut } as unknown as System, false);
    const bytes = new TextEncoder().encode('\u001b[2Jä');
    for (const byte of bytes) await output.show(Uint8Array.of(byte));
    return text;
  };
  expect(await shown(true)).toBe('\uFFFD[2Jä');
  expect(await shown(false)).toBe('\u001b[2Jä');
});
