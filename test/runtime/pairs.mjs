// Plays the smoke suite: each runtime alone, and the pairs in separate processes. Everything on loopback, with one
// rendezvous in the Node that runs this.
import { Child } from './child.mjs';

/** Names of runtimes: who dials, who listens. `present` is the Node that runs this. */
const PAIRS = [
  ['node-20', 'present'],
  ['node-22', 'present'],
  ['node-24', 'present'],
  ['node-latest', 'present'],
  ['deno', 'present'],
  ['bun', 'present'],
  ['present', 'deno'],
  ['present', 'bun'],
  ['node-20', 'node-latest'],
  ['deno', 'bun'],
  ['bun', 'deno'],
];
/** At a time; each is two processes that work hard in turns. */
const AT_ONCE = 2;

/**
 * Runs everything that the runtimes at hand allow.
 *
 * @param commands - Name → command.
 * @param count - Gets each result: what, which step, and the error of one that failed.
 */
export async function runSmoke(commands, directory, count) {
  const present = [process.execPath];
  const all = new Map([...commands, ['present', present]]);
  const server = new Child(present, directory, { is: 'serve', directory: `${directory}/rendezvous` });
  try {
    const urls = await server.next();
    const jobs = [
      ...[...commands.keys()].map((name) => () => alone(name, all.get(name), directory, count)),
      ...PAIRS.filter((pair) => pair.every((name) => all.has(name))).map(
        ([dialler, listener], number) =>
          () =>
            pair({ dialler, listener, all, directory, urls, number }, count),
      ),
    ];
    await Promise.all(Array.from({ length: AT_ONCE }, () => work(jobs)));
  } finally {
    const ended = await server.stop();
    count('rendezvous', 'ends in order', ended === 0 ? undefined : `${ended}: ${server.errorText}`);
  }
}

async function work(jobs) {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
}

async function alone(name, command, directory, count) {
  const child = new Child(command, directory, { is: 'alone', directory: `${directory}/${name}` });
  await finish(`${name} alone`, child, count);
}

async function pair({ dialler, listener, all, directory, urls, number }, count) {
  const what = `${dialler} dials ${listener}`;
  const hostname = (side) => `${side}-${number}`;
  const bob = new Child(all.get(listener), directory, {
    is: 'listen',
    options: { rendezvous: urls.plain, hostname: hostname('bob') },
  });
  try {
    const peer = await bob.next();
    const options = { rendezvous: urls.pinned, hostname: hostname('alice') };
    const alice = new Child(all.get(dialler), directory, { is: 'dial', options, peer });
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
  const isGood = ended === 0 && child.steps.length > 0;
  count(what, 'ends by itself', isGood ? undefined : `${ended}: ${child.errorText}`);
}
