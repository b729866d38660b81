// One agent and what a test has it do, in Node, a page or a worker alike. Everything in and out is JSON.

const CHUNK_BYTES = 60_000;
const WAIT_MS = 15_000;

/** @param pilotwire - What the package exports there. */
export function createActor({ Agent, PilotError }) {
  let agent;
  const connections = [];
  const datagrams = [];
  const news = [];
  const actor = {
    async start(options) {
      agent = await Agent.start(options);
      agent.on('diagnostics', ({ code }) => news.push(code));
      return actor.describe();
    },
    describe: () => ({ address: `${agent.address}`, nodeId: agent.nodeId, key: hex(agent.publicKey) }),
    stats: () => agent.stats(),
    news: () => news,
    online: () => until(() => agent.isOnline),
    close: () => agent.close(),
    /** Lets everybody in who asks. */
    approveAll() {
      loop(async () => {
        for await (const request of agent.trust.requests()) await request.approve();
      });
    },
    async befriend(address) {
      await agent.trust.request(address, 'a test');
      await agent.trust.wait(address, { timeoutMs: WAIT_MS });
    },
    friends: () => agent.trust.list().map(({ peer }) => `${peer}`),
    listen(port) {
      const listener = agent.listen(port);
      loop(async () => {
        for await (const connection of listener) connections.push(connection);
      });
    },
    async dial(target, options) {
      connections.push(await agent.dial(target, options));
    },
    /** Sends random bytes on the connection that came last while it reads as many; then both ends close. */
    async transfer(length) {
      await until(() => connections.length > 0);
      const connection = connections.pop();
      const bytes = randomBytes(length);
      const [received] = await Promise.all([readAll(connection.readable), writeAll(connection.writable, bytes)]);
      return { sent: await sha256(bytes), received: await sha256(received), length: received.length };
    },
    collect(port) {
      const received = agent.datagrams(port);
      loop(async () => {
        for await (const { peer, bytes } of received) datagrams.push(`${peer} ${new TextDecoder().decode(bytes)}`);
      });
    },
    send: (target, text) => agent.send(target, new TextEncoder().encode(text)),
    async collected(count) {
      await until(() => datagrams.length >= count);
      return datagrams.splice(0);
    },
    ping: async (target) => (await agent.ping(target, { timeoutMs: WAIT_MS })).rttMs,
    explain: (target) => agent.explain(target),
    /** What a call fails with. */
    async failure(name, ...args) {
      try {
        await actor[name](...args);
        return { code: 'resolved' };
      } catch (error) {
        const { code, hint, message } = error;
        return { code: code ?? error.name, hint, message, isOurs: error instanceof PilotError };
      }
    },
  };
  return actor;
}

/** Runs until the agent is closed. */
function loop(run) {
  run().catch((error) => {
    if (error?.code !== 'CLOSED') throw error;
  });
}

async function until(isTrue) {
  const deadline = performance.now() + WAIT_MS;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error('It never became true');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The source has a limit for each call. */
function randomBytes(length) {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

async function writeAll(writable, bytes) {
  const writer = writable.getWriter();
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await writer.write(bytes.subarray(at, at + CHUNK_BYTES));
  await writer.close();
}

async function readAll(readable) {
  const chunks = [];
  const reader = readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

async function sha256(bytes) {
  // Pages without WebCrypto compare lengths alone.
  return crypto.subtle === undefined ? 'none' : hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
