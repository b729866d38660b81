// The command line as people and programs meet it: a rendezvous and two agents stay, the other commands come and go.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from '../../bindings/node/index.ts';
import { dataOf, failureOf, HOME, type JsonObject, PROGRAM, type Running, run, start } from './processes.ts';

let rendezvous: Running;
let alice: Running;
let bob: Running;
let environment: Record<string, string>;
/** In this process: `dora` answers on port 1000 and leaves the connection open; port 1001 only listens. */
let dora: Agent;

const as = (identity: string, ...words: string[]): string[] => [...words, '--identity', identity];
const data = (identity: string, ...words: string[]): Promise<JsonObject> => dataOf(as(identity, ...words), environment);
const failure = (identity: string, ...words: string[]): Promise<JsonObject> =>
  failureOf(as(identity, ...words), environment);
const mode = (...path: string[]): number => statSync(join(HOME, ...path)).mode & 0o777;

beforeAll(async () => {
  rendezvous = start(['rendezvous', '--port', '0']);
  const url = await rendezvous.firstLine();
  environment = { PILOTWIRE_RENDEZVOUS: url };
  alice = start(as('alice', 'up', '--hostname', 'alice', '--tags', 'search,maps', '--public'), environment);
  await alice.firstLine();
  bob = start(as('bob', 'up', '--hostname', 'bob', '--json'), environment);
  await bob.firstLine();
  dora = await Agent.start({ rendezvous: url, hostname: 'dora', visibility: 'public' });
  void answerAll(dora);
  dora.listen(1001);
});

afterAll(async () => {
  await dora.close();
});

async function answerAll(agent: Agent): Promise<void> {
  for await (const connection of agent.listen(1000)) {
    const { value } = await connection.readable.getReader().read();
    const words = new TextDecoder().decode(value as Uint8Array);
    await connection.writable.getWriter().write(new TextEncoder().encode(`re: ${words}`));
  }
}

describe('what stays', () => {
  test('`rendezvous` prints its URL first', async () => {
    expect(environment.PILOTWIRE_RENDEZVOUS).toMatch(/^pilot:\/\/127\.0\.0\.1:\d+$/);
    expect(rendezvous.err).toContain('beacon');
  });

  test('`up` says who it is, in either language', async () => {
    expect(alice.out).toMatch(/^address +0:0000\.0000\.0001$/m);
    const answer = JSON.parse(await bob.firstLine()) as JsonObject;
    expect(answer).toEqual({
      status: 'ok',
      data: {
        node_id: 2,
        address: '0:0000.0000.0002',
        hostname: 'bob',
        identity: 'bob',
        pid: bob.child.pid,
        socket: join(HOME, 'bob', 'pilot.sock'),
      },
    });
  });

  test("the control socket is its user's alone", () => {
    expect(mode('alice')).toBe(0o700);
    expect(mode('alice', 'pilot.sock')).toBe(0o600);
  });

  test('a second `up` with the same identity is refused, and the first one goes on', async () => {
    expect(await failure('alice', 'up')).toMatchObject({ code: 'conflict', exit: 1 });
    expect(await data('alice', 'info')).toMatchObject({ node_id: 1 });
  });

  test('commands that need the agent itself say why they cannot have it', async () => {
    const refused = await failure('alice', 'ping', 'bob');
    expect(refused).toMatchObject({ code: 'conflict', exit: 1, hint: expect.stringContaining('--identity NAME') });
  });

  test('a host name that is taken is refused', async () => {
    expect(await failure('thief', 'up', '--hostname', 'bob')).toMatchObject({ code: 'already_exists', exit: 1 });
  });
});

describe('trust between two that stay', () => {
  test("`info` is the agent's own account", async () => {
    expect(await data('alice', 'info')).toMatchObject({
      address: '0:0000.0000.0001',
      hostname: 'alice',
      handshake_pending_count: 0,
      transport: 'udp',
      features: [],
      networks: null,
      version: expect.any(String),
    });
    const { out } = await run(as('alice', 'info'), { environment });
    expect(out).toMatch(/^hostname +alice$/m);
  });

  test('bob asks, alice sees why and lets it in', async () => {
    expect(await data('alice', 'pending')).toEqual({ pending: [] });
    // A public name resolves although bob's own agent is busy elsewhere.
    expect(await data('bob', 'handshake', 'alice', 'to', 'share')).toEqual({ node_id: 1, status: 'sent' });
    await expect
      .poll(() => data('alice', 'pending'), { timeout: 10_000 })
      .toEqual({
        pending: [
          {
            node_id: 2,
            public_key: expect.stringMatching(/^.{43}=$/),
            justification: 'to share',
            received_at: expect.any(Number),
          },
        ],
      });
    await expect.poll(() => alice.err).toContain('pilotwire approve 2');
    expect(await data('alice', 'approve', '2')).toEqual({ node_id: 2, status: 'approved' });
    expect(await failure('alice', 'approve', '77')).toMatchObject({ code: 'not_found', exit: 1 });
  });

  test('both list each other; a second request has nothing to ask', async () => {
    const trusted = {
      node_id: 1,
      network: 0,
      mutual: expect.any(Boolean),
      public_key: expect.stringMatching(/^.{43}=$/),
    };
    await expect
      .poll(() => data('bob', 'trust'), { timeout: 10_000 })
      .toMatchObject({ trusted: [{ ...trusted, approved_at: expect.any(Number) }] });
    expect(await data('alice', 'trust')).toMatchObject({ trusted: [{ node_id: 2 }] });
    expect(await data('bob', 'handshake', '0:0000.0000.0001')).toEqual({ node_id: 1, status: 'already_trusted' });
    expect(await data('bob', 'peers')).toMatchObject({
      total: 1,
      peers: [{ node_id: 1, trusted: true, encrypted: true }],
    });
    expect(await data('bob', 'peers', '--search', 'nobody')).toEqual({ peers: [], total: 0 });
    expect(await data('alice', 'connections')).toEqual({ connections: expect.any(Array), total: expect.any(Number) });
  });

  test('alice takes it back, and bob hears of it', async () => {
    expect(await data('alice', 'untrust', '2')).toEqual({ node_id: 2, status: 'revoked' });
    expect(await failure('alice', 'untrust', '2')).toMatchObject({ code: 'not_found', exit: 1 });
    await expect.poll(() => data('bob', 'trust'), { timeout: 10_000 }).toEqual({ trusted: [] });
  });

  test('a request that is rejected is gone', async () => {
    // carol has no `up`: an agent of the command's own asks, and waits a moment for the answer.
    const asking = data('carol', 'handshake', '2', 'please', '--wait', '4s');
    await expect.poll(async () => (await data('bob', 'pending')).pending, { timeout: 10_000 }).toHaveLength(1);
    const { pending } = await data('bob', 'pending');
    const [{ node_id: carol }] = pending as [{ node_id: number }];
    expect(await data('bob', 'reject', `${carol}`, 'not', 'now')).toEqual({ node_id: carol, status: 'rejected' });
    expect(await asking).toEqual({ node_id: 2, status: 'sent', trusted: false });
    expect(await data('bob', 'pending')).toEqual({ pending: [] });
  });
});

// Side by side: every test has identities of its own.
describe.concurrent('agents that come and go', () => {
  test('`ping` measures, and fails when nothing answers', async () => {
    const { results, ...rest } = await data('ping1', 'ping', 'alice', '--count', '2', '--interval', '10ms');
    expect(rest).toEqual({ target: 'alice', timeout: false });
    expect(results).toEqual([0, 1].map((seq) => ({ seq, bytes: 32, rtt_ms: expect.any(Number) })));
    expect(await failure('ping1', 'ping', '77', '--count', '1', '--timeout', '1s')).toMatchObject({ exit: 1 });
    expect(await failure('ping1', 'ping', 'nobody')).toMatchObject({ code: 'not_found', exit: 1 });
  });

  test('`find` shows who shows itself', async () => {
    const shown = {
      hostname: 'alice',
      node_id: 1,
      address: '0:0000.0000.0001',
      public: true,
      tags: ['search', 'maps'],
    };
    const [byName, byTag, byNone] = await Promise.all([
      data('find1', 'find', 'alice'),
      data('find2', 'find', '--tag', 'search'),
      data('find3', 'find', '--tag', 'nothing'),
    ]);
    expect(byName).toEqual(shown);
    expect(byTag).toEqual({ tag: 'search', agents: [shown], total: 1 });
    expect(byNone).toEqual({ tag: 'nothing', agents: [], total: 0 });
    expect(await failure('find1', 'find', 'bob')).toMatchObject({ code: 'not_found', exit: 1 });
  });

  test('`explain` says how a peer is reached, and why not', async () => {
    expect(await data('explain1', 'explain', 'alice')).toEqual({
      target: 'alice',
      address: '0:0000.0000.0001',
      path: 'direct',
      carrier: 'udp',
      reason: 'answered-directly',
      carrier_reason: 'beacon-answers-over-udp',
      rtt_ms: expect.any(Number),
    });
    const { out } = await run(as('explain1', 'explain', 'alice'), { environment });
    expect(out).toMatch(/^because +answered-directly$/m);
  });

  test('`bench` gets back what it sent', async () => {
    expect(await data('bench1', 'bench', 'alice', '1')).toEqual({
      target: 'alice',
      sent_bytes: 1_048_576,
      recv_bytes: 1_048_576,
      send_duration_ms: expect.any(Number),
      total_duration_ms: expect.any(Number),
      send_mbps: expect.any(Number),
      total_mbps: expect.any(Number),
    });
  });

  test('`connect` and `send` deliver what `recv` prints', async () => {
    const receiving = start(
      as('talk2', 'recv', '1000', '--public', '--hostname', 'talk2', '--count', '3', '--json'),
      environment,
    );
    await expect
      .poll(() => data('talk1', 'find', 'talk2').catch(() => 'not yet'), { timeout: 10_000 })
      .toMatchObject({});
    const long = 'ä'.repeat(3_000);
    expect(await data('talk1', 'connect', 'talk2', '--message', 'hello')).toEqual({
      target: 'talk2',
      port: 1_000,
      sent: 5,
      response: '',
    });
    const piped = await run(as('talk1', 'connect', 'talk2', '1000', '--json'), { environment, input: long });
    expect(JSON.parse(piped.out)).toMatchObject({ data: { sent: 6_000, response: '' } });
    expect(await data('talk1', 'send', 'talk2', '1000', '--data', 'by')).toMatchObject({ sent: 2, response: '' });
    const { code, out } = await receiving.ended;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      status: 'ok',
      data: {
        messages: ['hello', long, 'by'].map((text, seq) => ({
          seq,
          port: 1_000,
          data: text,
          bytes: new TextEncoder().encode(text).length,
        })),
        timeout: false,
      },
    });
  });

  test('`connect` takes the answer of a peer that leaves the connection open', async () => {
    expect(await data('open1', 'connect', 'dora', '--message', 'hi')).toMatchObject({ sent: 2, response: 're: hi' });
    const { out, err } = await run(as('open1', 'connect', 'dora', '1000', '--message', 'hi'), { environment });
    expect([out, err]).toEqual(['re: hi', '']);
  });

  test('`connect` wants an answer, `send` does not', async () => {
    const [unanswered, sent] = await Promise.all([
      failure('silent1', 'connect', 'dora', '1001', '--message', 'hi', '--timeout', '3s'),
      data('silent2', 'send', 'dora', '1001', '--data', 'hi', '--timeout', '20s'),
    ]);
    expect(unanswered).toMatchObject({ code: 'timeout', exit: 1 });
    expect(sent).toEqual({ target: 'dora', port: 1_001, sent: 2, response: '' });
  });

  test('`recv` says when time is up', async () => {
    expect(await data('late2', 'recv', '1000', '--timeout', '200ms')).toEqual({ messages: [], timeout: true });
  });

  test('`info` without `up` shows the agent of the command', async () => {
    expect(await data('alone1', 'info')).toMatchObject({ hostname: '', uptime_secs: expect.any(Number), peers: 0 });
  });
});

describe('the end', () => {
  test('the program can be run by its name', async () => {
    expect(readFileSync(PROGRAM, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { out } = await run(['version']);
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run(['bogus', '--json'])).code).toBe(2);
  });

  test('a signal ends a command that waits', async () => {
    const pinging = start(as('carol', 'ping', 'alice', '--count', '1000'), environment);
    await pinging.firstLine();
    const { code, out } = await pinging.stop();
    expect(code).toBe(0);
    expect(out).toMatch(/\d+ pings?, \d+ answers?: least/);
    const receiving = start(as('erin', 'recv', '1000', '--timeout', '1h'), environment);
    await expect.poll(() => receiving.err, { timeout: 10_000 }).toContain('Listening');
    const stopped = await receiving.stop();
    expect([stopped.code, stopped.out + stopped.err]).toEqual([0, expect.stringContaining('Stopped: 0 messages of 1')]);
  });

  test('SIGTERM and SIGINT end `up` in order: exit 0, no socket, no lock', async () => {
    expect(await alice.stop('SIGTERM')).toMatchObject({ code: 0 });
    expect(await bob.stop('SIGINT')).toMatchObject({ code: 0, err: '' });
    for (const name of ['alice', 'bob']) {
      expect(existsSync(join(HOME, name, 'pilot.sock'))).toBe(false);
      expect(existsSync(join(HOME, name, 'identity.json'))).toBe(true);
    }
    const again = start(as('alice', 'up'), environment);
    expect(await again.firstLine()).toContain('0:0000.0000.0001');
    // The socket of one that was killed is no obstacle.
    await again.stop('SIGKILL');
    const third = start(as('alice', 'up'), environment);
    expect(await third.firstLine()).toContain('0:0000.0000.0001');
    expect(await data('alice', 'info')).toMatchObject({ node_id: 1 });
    expect((await third.stop()).code).toBe(0);
  });

  test('`rendezvous` ends in order, and then nobody can start', async () => {
    expect((await rendezvous.stop()).code).toBe(0);
    expect(await failure('carol', 'find', 'alice', '--timeout', '500ms')).toMatchObject({
      code: 'connection_failed',
      exit: 1,
    });
  });
});

test('`rendezvous --tls` pins its certificate in the URL, and agents hold it to that', async () => {
  const directory = join(HOME, 'tls');
  const secure = start(['rendezvous', '--port', '0', '--tls', '--directory', directory, '--json']);
  const { data: answer } = JSON.parse(await secure.firstLine()) as { data: JsonObject };
  expect(answer).toEqual({
    url: expect.stringMatching(/^pilots:\/\/127\.0\.0\.1:\d+#sha256=[0-9a-f]{64}$/),
    webUrl: expect.stringMatching(/^wss:\/\/127\.0\.0\.1:\d+#sha256=[0-9a-f]{64}$/),
    port: expect.any(Number),
    beaconPort: expect.any(Number),
    pid: secure.child.pid,
  });
  const url = `${answer.url}`;
  expect(await dataOf(['info', '--identity', 'grace', '--rendezvous', url], {})).toMatchObject({ node_id: 1 });
  const wrong = url.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  const refused = await failureOf(['info', '--identity', 'grace', '--rendezvous', wrong], {});
  expect(refused).toMatchObject({ code: 'connection_failed', hint: expect.stringContaining('[TLS_PIN_MISMATCH]') });
  const bare = url.replace(/#.*$/, '');
  const unpinned = await failureOf(['info', '--identity', 'grace', '--rendezvous', bare, '--timeout', '1s'], {});
  expect(unpinned).toMatchObject({ code: 'connection_failed', hint: expect.stringContaining('#sha256=') });
  expect((await secure.stop()).code).toBe(0);
});
