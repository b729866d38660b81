// Plays the smoke suite: each runtime alone, and the pairs in separate processes. Everything on loopback, with one
// rendezvous in the Node that runs this.
import { buildAddon } from '../../bindings/node/addon/build.mjs';
import { Child } from './child.mjs';
import { runPermissions } from './permissions.mjs';

/** Names of runtimes: who dials, who listens. `present` is the Node that runs this. */
const PAIRS = [
  ['node-20', 'present'],
  ['node-22', 'present'],
  ['node-24', 'present'],
  ['node-latest', 'present'],
  ['deno', 'present'],
  ['deno-net', 'present'],
  ['bun', 'present'],
  ['present', 'deno'],
  ['present', 'bun'],
  ['node-20', 'node-latest'],
  ['deno-net', 'bun'],
  ['bun', 'deno-net'],
  ['present-addon', 'present'],
  ['present', 'bun-addon'],
  ['deno-addon', 'present-addon'],
  ['bun-addon', 'deno-addon'],
];
/** Runtimes that are tested with the addon, too, where it is built. */
const WITH_ADDON = ['present', 'node-20', 'node-latest', 'deno', 'bun'];
/** What `stats().host` is to say. */
const HOSTS = {
  deno: /^deno \S+ dgram \(addon: not built\)$/,
  'deno-net': /^deno \S+ listenDatagram \(addon: not built\)$/,
  bun: /^bun \S+ dgram \(addon: not built\)$/,
};
const NODE_HOST = /^node \S+ dgram \(addon: not built\)$/;
const ADDON_HOST = /^(node|deno|bun) \S+ addon$/;
/** At a time; each is two processes that work hard in turns. */
const AT_ONCE = 2;
/** The rendezvous outlives them all. */
const SERVER_MS = 600_000;

/**
 * Runs everything that the runtimes at hand allow.
 *
 * @param commands - Name → command.
 * @param count - Gets each result: what, which step, and the error of one that failed.
 */
export async function runSmoke(commands, directory, count) {
  const present = [process.execPath];
  const own = new Map(commands);
  const deno = commands.get('deno');
  if (deno !== undefined) own.set('deno-net', [...deno, '--unstable-net']);
  const all = new Map([...own, ['present', present]]);
  for (const [name, command] of withAddon(all)) {
    own.set(name, command);
    all.set(name, command);
  }
  const server = start(present, directory, { is: 'serve', directory: `${directory}/rendezvous` }, SERVER_MS);
  try {
    const urls = await server.next();
    const pairs = PAIRS.filter((pair) => pair.every((name) => all.has(name)));
    const jobs = [
      ...pairs.map(
        ([dialler, listener], number) =>
          () =>
            pair({ dialler, listener, all, directory, urls, number }, count),
      ),
      ...[...own].map(
        ([name, command]) =>
          () =>
            alone(name, command, directory, count),
      ),
    ];
    await Promise.all(Array.from({ length: AT_ONCE }, () => work(jobs)));
    if (deno !== undefined) runPermissions(deno[0], directory, urls, count);
  } finally {
    const ended = await server.stop();
    count('rendezvous', 'ends in order', ended === 0 ? undefined : `${ended}: ${server.errorText}`);
  }
}

/** The same runtimes with the addon that this checkout built; none where it did not. */
function withAddon(commands) {
  const { path, missing } = buildAddon();
  if (missing !== undefined) return [];
  const names = WITH_ADDON.filter((name) => commands.has(name));
  return names.map((name) => [`${name}-addon`, ['env', `PILOTWIRE_ADDON=${path}`, ...commands.get(name)]]);
}

function start(command, directory, role, limitMs) {
  return new Child(command, directory, ['process.mjs', JSON.stringify(role)], limitMs);
}

async function work(jobs) {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
}

async function alone(name, command, directory, count) {
  await finish(`${name} alone`, start(command, directory, { is: 'alone', directory: `${directory}/${name}` }), count);
  await finish(`host of ${name}`, new Child(command, directory, ['host.mjs', 'all']), count);
  // With nothing to do it ends, although one of everything is open.
  const idle = new Child(command, directory, ['host.mjs', 'unref']);
  const ended = await idle.ended;
  count(`host of ${name}`, 'unref lets go', ended === 0 ? undefined : `${ended}: ${idle.errorText}`);
  if (name.endsWith('-addon')) await lives(name, command, directory, count);
}

/** What ends while datagrams come: sockets, workers, the process. */
async function lives(name, command, directory, count) {
  const wait = /^(present|node)/.test(name) ? 'libuv' : 'thread';
  for (const [what, code] of [
    ['close', 0],
    ['worker', 0],
    ['exit', 7],
  ]) {
    const life = new Child(command, directory, ['life.mjs', what, wait]);
    const ended = await life.ended;
    count(`addon of ${name}`, `survives ${what}`, ended === code ? undefined : `${ended}: ${life.errorText}`);
  }
}

async function pair({ dialler, listener, all, directory, urls, number }, count) {
  const what = `${dialler} dials ${listener}`;
  const hostname = (side) => `${side}-${number}`;
  const bob = start(all.get(listener), directory, {
    is: 'listen',
    options: { rendezvous: urls.plain, hostname: hostname('bob') },
  });
  try {
    const peer = await bob.next();
    const isNamed = (listener.endsWith('-addon') ? ADDON_HOST : (HOSTS[listener] ?? NODE_HOST)).test(peer.host);
    count(what, 'the listener names its sockets', isNamed ? undefined : peer.host);
    const options = { rendezvous: urls.pinned, hostname: hostname('alice') };
    const alice = start(all.get(dialler), directory, { is: 'dial', options, peer });
    await finish(what, alice, count);
  } catch (error) {
    count(what, 'the listener starts', error.message);
  }
  const ended = await bob.stop();
  count(what, 'the listener ends in order', ended === 0 ? undefined : `${ended}: ${bob.errorText}`);
}

async function finish(what, child, count) {
  const ended = await child.ended;
  for (const { step, error } of child.steps) count(what, step, error);
  const isGood = ended === (child.steps.some(({ error }) => error !== undefined) ? 1 : 0) && child.steps.length > 0;
  count(what, 'ends by itself', isGood ? undefined : `${ended}: ${child.errorText}`);
}
