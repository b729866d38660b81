// The smoke suite: what applications do with an agent, on the package as it is installed. One plain file of web
// standards, so that every runtime can run it. Two processes (or pages) play it together: one listens, one dials.
import { Agent, ERROR_CODES, PilotError } from 'pilotwire';

const STREAM_BYTES = 8 << 20;
const WRITE_BYTES = 60_000;
const STREAM_PORT = 1000;
const DATAGRAM_PORT = 5000;
const DATAGRAMS = 8;
const PORT_OF_NOBODY = 1001;

/** Called with each step that ended; with the error when it failed. */
async function step(report, name, run) {
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

async function fails(code, run) {
  try {
    await run();
  } catch (error) {
    check(error instanceof PilotError, `a PilotError ${code}, got ${error}`);
    check(error.code === code && error.retryable === ERROR_CODES[code].retryable, `${code}, got ${error.code}`);
    return error;
  }
  throw new Error(`Expected ${code}, nothing failed`);
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Random bytes; the source has a limit for each call. */
function randomBytes(length) {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

async function writeAll(writable, bytes) {
  const writer = writable.getWriter();
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) await writer.write(bytes.subarray(at, at + WRITE_BYTES));
  await writer.close();
}

/** Reads to the end; throws when there are not `length` bytes. */
async function readAll(readable, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const reader = readable.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes.set(value, at);
    at += value.length;
  }
  check(at === length, `${length} bytes, got ${at}`);
  return bytes;
}

/**
 * The listener: lets everybody in who asks, sends 8 MB of its own on each connection while it reads, then their hash
 * and that of what it read; and sends each datagram back.
 *
 * @param options - As `Agent.start`.
 * @returns The agent; closing it ends the loops.
 */
export async function listen(options) {
  const agent = await Agent.start(options);
  const run = async (loop) => {
    try {
      await loop();
    } catch (error) {
      if (error?.code !== 'CLOSED') throw error;
    }
  };
  void run(async () => {
    for await (const request of agent.trust.requests()) await request.approve();
  });
  void run(async () => {
    for await (const { peer, peerPort, bytes } of agent.datagrams(DATAGRAM_PORT)) {
      await agent.send(`${peer}:${peerPort}`, bytes);
    }
  });
  void run(async () => {
    for await (const connection of agent.listen(STREAM_PORT)) await exchange(connection);
  });
  return agent;
}

async function exchange(connection) {
  const bytes = randomBytes(STREAM_BYTES);
  const reading = readAll(connection.readable, STREAM_BYTES).then(sha256);
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode(await sha256(bytes)));
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) await writer.write(bytes.subarray(at, at + WRITE_BYTES));
  await writer.write(new TextEncoder().encode(await reading));
  await writer.close();
}

/**
 * The dialler: every step of the suite, in order.
 *
 * @param options - As `Agent.start`, with a host name.
 * @param peer - Address and node id of the listener, which is private.
 * @param report - Gets each step's name, and the error of one that failed.
 */
export async function dial(options, peer, report) {
  let me;
  await step(report, 'start', async () => {
    me = await Agent.start(options);
    check(me.isOnline && me.nodeId > 0 && me.publicKey.length === 32, 'an address, a key, and to be online');
    check(/^wasm/.test(me.stats().engine), `the Wasm engine, got ${me.stats().engine}`);
  });
  if (me === undefined) return;
  await step(report, 'a stranger hears nothing', () =>
    fails('DIAL_TIMEOUT', () => me.dial(`${peer.nodeId}:${STREAM_PORT}`, { timeoutMs: 300 })),
  );
  await step(report, 'trust', async () => {
    await me.trust.request(peer.address, 'to test');
    await me.trust.wait(peer.address, { timeoutMs: 10_000 });
    check(await me.trust.isTrusted(peer.address), 'to be trusted');
  });
  await step(report, 'find', async () => {
    const found = await me.find(peer.hostname);
    check(found.nodeId === peer.nodeId, `node ${peer.nodeId}, got ${found.nodeId}`);
  });
  await step(report, 'ping', async () => {
    const pong = await me.ping(peer.address);
    check(pong.rttMs >= 0 && pong.bytes > 0, `a round trip, got ${JSON.stringify(pong)}`);
  });
  await step(report, 'stream, 8 MB both ways', () => stream(me, peer));
  await step(report, 'datagrams', () => datagrams(me, peer));
  await step(report, 'errors have codes', async () => {
    await fails('CONNECTION_REFUSED', () => me.dial(`${peer.hostname}:${PORT_OF_NOBODY}`));
    await fails('NOT_FOUND', () => me.dial('nobody-has-this-name:1'));
    await fails('ADDRESS_INVALID', () => me.dial('0:no.such.form:1'));
    await fails('TOO_LARGE', () => me.send(`${peer.hostname}:1`, new Uint8Array(9_000)));
    me.listen(STREAM_PORT);
    await fails('PORT_IN_USE', async () => me.listen(STREAM_PORT));
  });
  await step(report, 'close', async () => {
    await me.close();
    await fails('CLOSED', () => me.ping(peer.address));
  });
}

async function stream(me, peer) {
  const connection = await me.dial(`${peer.hostname}:${STREAM_PORT}`);
  const bytes = randomBytes(STREAM_BYTES);
  const [sent, got] = await Promise.all([
    sha256(bytes),
    readAll(connection.readable, STREAM_BYTES + 2 * 64),
    writeAll(connection.writable, bytes),
  ]);
  const text = (from, to) => new TextDecoder().decode(got.subarray(from, to));
  const received = await sha256(got.subarray(64, 64 + STREAM_BYTES));
  check(text(0, 64) === received, `hash ${text(0, 64)} of what came, got ${received}`);
  check(text(64 + STREAM_BYTES) === sent, `the peer to have read ${sent}, it read ${text(64 + STREAM_BYTES)}`);
  await connection.close();
}

async function datagrams(me, peer) {
  const listener = me.datagrams(DATAGRAM_PORT);
  const missing = new Set(Array.from({ length: DATAGRAMS }, (_, i) => `datagram ${i} ${'x'.repeat(100 * i)}`));
  const sending = (async () => {
    // Datagrams may be lost: whatever did not come back is sent again.
    for (let round = 0; missing.size > 0 && round < 20; round++) {
      for (const text of missing) {
        const to = `${peer.hostname}:${DATAGRAM_PORT}`;
        await me.send(to, new TextEncoder().encode(text), { sourcePort: DATAGRAM_PORT });
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    listener.close();
  })();
  for await (const { peer: from, bytes } of listener) {
    check(from.node === peer.nodeId, `a datagram of node ${peer.nodeId}, got one of ${from.node}`);
    missing.delete(new TextDecoder().decode(bytes));
    if (missing.size === 0) break;
  }
  await sending;
  check(missing.size === 0, `all ${DATAGRAMS} back, ${missing.size} are missing`);
}
