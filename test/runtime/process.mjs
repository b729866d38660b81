// One process of the smoke suite. What it is comes as JSON in its first argument; what happens goes out as lines of JSON.
import process from 'node:process';
import { Agent, PilotError } from 'pilotwire';
import { serveRendezvous } from 'pilotwire/server';
import { simulate } from 'pilotwire/testing';
import { dial, listen } from './smoke.mjs';

const role = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const report = (step, error) => {
  if (error !== undefined) process.exitCode = 1;
  say({ step, ...(error === undefined ? {} : { error: text(error) }) });
};
const untilInputEnds = () => new Promise((resolve) => process.stdin.resume().once('end', resolve));

/** Calls by the name of the role. */
const ROLES = {
  /** A rendezvous, TLS beside plaintext. */
  async serve({ directory }) {
    const server = await serveRendezvous({ tls: true, directory });
    say({ pinned: server.url, plain: `pilot://127.0.0.1:${server.port}` });
    await untilInputEnds();
    await server.close();
  },

  async listen({ options }) {
    const agent = await listen(options);
    say({ address: `${agent.address}`, nodeId: agent.nodeId, hostname: options.hostname, host: agent.stats().host });
    await untilInputEnds();
    await agent.close();
  },

  async dial({ options, peer }) {
    await dial(options, peer, report);
  },

  /** What needs no second process: files, locks, certificates, a rendezvous of its own, a simulated world. */
  async alone({ directory }) {
    await alone(directory);
  },
};

async function step(name, run) {
  try {
    await run();
    report(name);
  } catch (error) {
    report(name, error);
  }
}

function check(isTrue, what) {
  if (!isTrue) throw new Error(`Expected ${what}`);
}

function text(error) {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `; cause: ${text(error.cause)}`;
  return `${error.code ?? ''} ${error.stack ?? error.message}${cause}`;
}

async function codeOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error instanceof PilotError ? error.code : `${error}`;
  }
  return 'nothing failed';
}

async function alone(directory) {
  let server;
  const home = `${directory}/home`;
  await step('a rendezvous with a certificate of its own', async () => {
    server = await serveRendezvous({ tls: true, directory: `${directory}/server` });
    const { url } = server;
    await server.close();
    server = await serveRendezvous({ tls: true, directory: `${directory}/server`, port: Number(new URL(url).port) });
    check(server.url === url, `${url} again, got ${server.url}`);
  });
  if (server === undefined) return;
  const options = { rendezvous: server.url, identity: 'kept', home };
  await step('an identity is kept, and locked while it is used', async () => {
    const first = await Agent.start(options);
    const { nodeId } = first;
    const second = await codeOf(Agent.start(options));
    await first.close();
    check(second === 'IDENTITY_IN_USE', `IDENTITY_IN_USE, got ${second}`);
    const again = await Agent.start(options);
    await again.close();
    check(again.publicKey.join() === first.publicKey.join() && nodeId > 0, 'the same key');
  });
  await step('another certificate than the pinned one is refused', async () => {
    const pinned = server.url.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    const code = await codeOf(Agent.start({ rendezvous: pinned, timeoutMs: 5_000 }));
    check(code === 'TLS_PIN_MISMATCH', `TLS_PIN_MISMATCH, got ${code}`);
  });
  await step('a certificate that nobody pinned is refused', async () => {
    const code = await codeOf(Agent.start({ rendezvous: server.url.split('#')[0], timeoutMs: 1_000 }));
    check(code === 'RENDEZVOUS_UNREACHABLE', `RENDEZVOUS_UNREACHABLE, got ${code}`);
  });
  await step('a taken port is PORT_IN_USE', async () => {
    const rendezvous = server.url;
    const first = await Agent.start({ rendezvous, listenHost: '127.0.0.1' });
    const port = Number(first.endpoint.split(':').at(-1));
    const code = await codeOf(Agent.start({ rendezvous, listenHost: '127.0.0.1', port }));
    await first.close();
    check(code === 'PORT_IN_USE', `PORT_IN_USE, got ${code}`);
    const tcp = await codeOf(serveRendezvous({ port: server.port }));
    check(tcp === 'PORT_IN_USE', `PORT_IN_USE, got ${tcp}`);
  });
  await step('a simulated world', async () => {
    const simulation = simulate({ seed: 1 });
    await simulation.serve();
    const [alice, bob] = [await simulation.agent('alice'), await simulation.agent('bob')];
    await simulation.befriend(alice, bob);
    const { rttMs } = await simulation.world.finish(alice.ping(bob.address));
    check(rttMs > 0, `a virtual round trip, got ${rttMs}`);
  });
  await server.close();
}

// No `await` at the top: bundlers for Node make CommonJS unless they are told otherwise. A rejection ends the process.
void ROLES[role.is](role);
