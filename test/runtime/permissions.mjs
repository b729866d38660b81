// What Deno says to an agent that lacks a permission: one code, and the flag to add. Runs in the empty project.
import { spawnSync } from 'node:child_process';

const START = `
import { Agent } from 'pilotwire';
import { serveRendezvous } from 'pilotwire/server';
const [rendezvous, identity, home] = Deno.args;
try {
  if (rendezvous === 'serve') await (await serveRendezvous()).close();
  else {
    const options = identity === undefined ? {} : { identity, ...(home === undefined ? {} : { home }) };
    await (await Agent.start({ rendezvous, timeoutMs: 5_000, ...options })).close();
  }
  console.log(JSON.stringify({ code: 'OK' }));
} catch (error) {
  console.log(JSON.stringify({ code: error.code, hint: error.hint, retryable: error.retryable, text: String(error) }));
}
`;

/** Flags, arguments, the code, and what the hint names. */
const CASES = [
  [[], ['URL'], 'NOT_PERMITTED', '--allow-net'],
  [['--unstable-net'], ['URL'], 'NOT_PERMITTED', '--allow-net'],
  [['--allow-net=[::],0.0.0.0'], ['URL'], 'NOT_PERMITTED', undefined],
  [[], ['serve'], 'NOT_PERMITTED', '--allow-net'],
  [['--allow-net'], ['URL'], 'OK', undefined],
  [['--allow-net', '--unstable-net'], ['URL'], 'OK', undefined],
  [['--allow-net'], ['serve'], 'NOT_PERMITTED', '--allow-env'],
  [['--allow-net', '--allow-env'], ['serve'], 'OK', undefined],
  [['--allow-net'], ['URL', 'name'], 'NOT_PERMITTED', '--allow-env'],
  [['--allow-net', '--allow-env'], ['URL', 'name'], 'NOT_PERMITTED', '--allow-sys'],
  [['--allow-net'], ['URL', 'name', 'HOME'], 'NOT_PERMITTED', '--allow-'],
  [['--allow-net', '--allow-read'], ['URL', 'name', 'HOME'], 'NOT_PERMITTED', '--allow-write'],
  [['--allow-net', '--allow-read', '--allow-write'], ['URL', 'name', 'HOME'], 'OK', undefined],
];

/** @param binary - Deno. @param urls - Of the rendezvous. */
export function runPermissions(binary, directory, urls, count) {
  for (const [flags, words, code, flag] of CASES) {
    const told = words.map((word) => ({ URL: urls.pinned, HOME: `${directory}/deno-home` })[word] ?? word);
    const args = ['run', '--no-prompt', '--ext=js', ...flags, '-', ...told];
    const { stdout, stderr } = spawnSync(binary, args, { cwd: directory, input: START, encoding: 'utf8' });
    const isRight = () => {
      const said = JSON.parse(stdout);
      const isHint = flag === undefined || said.hint?.includes(flag);
      return said.code === code && isHint && (code === 'OK' || said.retryable === false);
    };
    let error;
    try {
      if (!isRight()) error = `expected ${code} ${flag ?? ''}, got ${stdout}`;
    } catch {
      error = stdout + stderr;
    }
    count('deno', `${words.join(' ')} with ${flags.join(' ') || 'no permission'} is ${code}`, error);
  }
}
