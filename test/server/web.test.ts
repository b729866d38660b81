/** HTTP on the rendezvous' port, over real sockets: what is served to whom, and how others are turned away. */
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { type RendezvousOptions, type RendezvousServer, serveRendezvous } from '../../bindings/node/server.ts';
import { writeRelayHeader } from '../../src/wire/beacon.ts';
import { challengeText, emitChallengeReply, parseChallenge, WEB_CLOSE } from '../../src/wire/compat.ts';
import { CHALLENGE, emitJsonFrame, type RegistryFields } from '../../src/wire/registry.ts';
import { Identity } from './rig.ts';

const alice = new Identity('alice');
const bob = new Identity('bob');

async function serve(options: RendezvousOptions = {}): Promise<RendezvousServer> {
  const server = await serveRendezvous(options);
  onTestFinished(() => server.close());
  return server;
}

type Headers = { readonly [name: string]: string };

/** A client that writes down what it gets. */
class Client {
  readonly socket: WebSocket;
  readonly messages: (string | Buffer)[] = [];
  status = 0;
  code = 0;
  #wake: () => void = () => {};

  constructor(server: RendezvousServer, path: string, headers: Headers = {}) {
    this.socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, 'pilot.v1', { headers });
    this.socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.messages.push(isBinary ? data : data.toString());
      this.#wake();
    });
    this.socket.on('unexpected-response', (request, response) => {
      this.status = response.statusCode ?? 0;
      request.destroy();
      this.#wake();
    });
    this.socket.on('open', () => this.#wake());
    this.socket.on('error', () => {});
    this.socket.on('close', (code) => {
      this.code = code;
      this.#wake();
    });
    onTestFinished(() => this.socket.terminate());
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async message(number: number): Promise<string | Buffer> {
    await this.until(() => this.messages.length > number);
    return this.messages[number]!;
  }

  async closed(): Promise<number> {
    await this.until(() => this.code !== 0);
    return this.code;
  }

  async opened(): Promise<this> {
    await this.until(() => this.socket.readyState === WebSocket.OPEN || this.status !== 0 || this.code !== 0);
    return this;
  }

  async ask(fields: RegistryFields): Promise<RegistryFields> {
    const number = this.messages.length;
    this.socket.send(JSON.stringify(fields));
    return JSON.parse((await this.message(number)) as string);
  }
}

async function registered(server: RendezvousServer, identity: Identity): Promise<number> {
  const registry = await new Client(server, '/v1/registry').opened();
  const signature = identity.sign(CHALLENGE.register('', identity.key));
  const fields = { type: 'register', listen_addr: '', public_key: identity.key, relay_only: true, signature };
  return (await registry.ask(fields)).node_id as number;
}

/** A client of the beacon that has proven its node id. */
async function proven(server: RendezvousServer, identity: Identity): Promise<[Client, number]> {
  const nodeId = await registered(server, identity);
  const client = await new Client(server, '/v1/compat').opened();
  const challenge = parseChallenge((await client.message(0)) as string)!;
  const signature = identity.signBytes(challengeText(nodeId, challenge));
  client.socket.send(emitChallengeReply({ nodeId, publicKey: identity.publicKey, signature }));
  expect(await client.message(1)).toBe('{"type":"auth_ok"}');
  return [client, nodeId];
}

function relay(from: number, to: number, length: number): Uint8Array {
  const bytes = new Uint8Array(9 + length).fill(0xaa);
  writeRelayHeader(bytes, 0, from, to);
  return bytes;
}

/** The status line and body that a plain request gets. */
async function get(server: RendezvousServer, path: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  onTestFinished(() => {
    socket.destroy();
  });
  // In pieces, so that the first bytes alone do not tell what it is.
  socket.write('GE');
  await new Promise((resolve) => setImmediate(resolve));
  socket.write(`T ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  let text = '';
  for await (const bytes of socket) text += bytes;
  return `${text.split('\r\n', 1)[0]} | ${text.split('\r\n\r\n')[1]?.trim()}`;
}

test('documents have their headers, are no WebSockets, and hide no path of the protocol', async () => {
  const document = (text: string) => ({ text, headers: { 'content-type': 'text/html; charset=utf-8' } });
  const documents = new Map([
    ['/', document('grüße')],
    ['/health', document('not me')],
    ['/v1/compat', document('not me')],
  ]);
  const server = await serve({ documents });
  const response = await fetch(`http://127.0.0.1:${server.port}/?a=b`);
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(await response.text()).toBe('grüße\n');
  expect(await get(server, '/health')).toBe('HTTP/1.1 200 OK | ok');
  expect(await get(server, '/v1/compat')).toContain('426 Upgrade Required');
  expect(await get(server, '/other')).toContain('404 Not Found');
  expect((await new Client(server, '/').opened()).status).toBe(404);
});

test('the one port has HTTP, WebSockets and the registry over TCP', async () => {
  const server = await serve();
  expect(await get(server, '/health')).toBe('HTTP/1.1 200 OK | ok');
  expect(await get(server, '/v1/compat')).toContain('426 Upgrade Required');
  expect(await get(server, '/v1/registry?x=1')).toContain('426 Upgrade Required');
  expect(await get(server, '/')).toContain('404 Not Found');
  const web = await new Client(server, '/v1/registry').opened();
  expect(web.socket.protocol).toBe('pilot.v1');
  expect(await web.ask({ type: 'beacon_list' })).toMatchObject({ type: 'beacon_list_ok' });
  const tcp = connect(server.port, '127.0.0.1', () => tcp.write(emitJsonFrame({ type: 'beacon_list' })));
  const [answer] = await new Promise<[Buffer]>((resolve) => tcp.once('data', (bytes) => resolve([bytes])));
  expect(JSON.parse(answer.subarray(4).toString())).toMatchObject({ type: 'beacon_list_ok' });
  tcp.destroy();
  expect(server.stats().web).toMatchObject({ webNotFound: 1, webPlain: 2 });
});

test('two proven nodes relay to each other', async () => {
  const server = await serve();
  const [[a, idA], [b, idB]] = [await proven(server, alice), await proven(server, bob)];
  a.socket.send(relay(idA, idB, 60_000));
  const got = (await b.message(2)) as Buffer;
  expect([got.length, got[0], got.readUInt32BE(1)]).toEqual([60_005, 6, idA]);
});

test('each refusal has its code, and others do not notice', async () => {
  const server = await serve();
  const [good, goodId] = await proven(server, bob);
  const [text, textId] = await proven(server, alice);
  text.socket.send('hello');
  expect(await text.closed()).toBe(WEB_CLOSE.wrongKind);
  const [large] = await proven(server, alice);
  large.socket.send(relay(textId, goodId, 65_536));
  expect(await large.closed()).toBe(WEB_CLOSE.tooBig);
  const [forger] = await proven(server, alice);
  forger.socket.send(relay(goodId, textId, 10));
  expect(await forger.closed()).toBe(WEB_CLOSE.foreignSender);
  const stranger = await new Client(server, '/v1/compat').opened();
  const challenge = parseChallenge((await stranger.message(0)) as string)!;
  const signature = alice.signBytes(challengeText(99, challenge));
  stranger.socket.send(emitChallengeReply({ nodeId: 99, publicKey: alice.publicKey, signature }));
  expect(await stranger.closed()).toBe(WEB_CLOSE.notRegistered);
  const thief = await new Client(server, '/v1/compat').opened();
  thief.socket.send(emitChallengeReply({ nodeId: goodId, publicKey: bob.publicKey, signature }));
  expect(await thief.closed()).toBe(WEB_CLOSE.notProven);
  const [newer] = await proven(server, bob);
  expect(await good.closed()).toBe(WEB_CLOSE.replaced);
  newer.socket.send(relay(goodId, goodId, 4));
  expect(await newer.message(2)).toHaveLength(9);
  expect(server.stats().web).toMatchObject({
    ...{ bridgeText: 1, bridgeForeignSender: 1, bridgeNotRegistered: 1, bridgeBadSignature: 1, bridgeReplaced: 1 },
  });
});

test('bytes to the registry close the link', async () => {
  const server = await serve();
  const client = await new Client(server, '/v1/registry').opened();
  client.socket.send(Uint8Array.of(0, 0, 0, 2, 0x7b, 0x7d));
  expect(await client.closed()).toBe(WEB_CLOSE.wrongKind);
  const large = await new Client(server, '/v1/registry').opened();
  large.socket.send('x'.repeat(300_000));
  expect(await large.closed()).toBe(WEB_CLOSE.tooBig);
  while (server.stats().openLinks > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(server.stats().web).toMatchObject({ webWrongKind: 1 });
});

test('pages of other origins are refused unless they are allowed', async () => {
  const server = await serve({ allowedOrigins: ['https://app.example'] });
  const status = async (origin: string): Promise<number> =>
    (await new Client(server, '/v1/compat', { origin }).opened()).status;
  expect(await status('https://evil.example')).toBe(403);
  expect(await status('null')).toBe(403);
  expect(await status('https://app.example.evil.example')).toBe(403);
  expect(await status(`http://127.0.0.1:${server.port + 1}`)).toBe(403);
  expect(await status('https://app.example')).toBe(0);
  expect(await status('pilot://anything')).toBe(0);
  expect(await status(`http://127.0.0.1:${server.port}`)).toBe(0);
  expect(server.stats().web).toMatchObject({ webOriginRefused: 4, bridgeOpened: 3 });
});

test('a page of a name that was made to resolve to this machine is refused', async () => {
  const server = await serve({ advertiseHost: 'Pilot.Example' });
  const status = async (name: string): Promise<number> => {
    const host = `${name}:${server.port}`;
    return (await new Client(server, '/v1/registry', { host, origin: `http://${host}` }).opened()).status;
  };
  expect(await status('evil.example')).toBe(403);
  expect(await status('localhost.evil.example')).toBe(403);
  expect(await status('127.0.0.1.evil.example')).toBe(403);
  expect(await status('localhost')).toBe(0);
  expect(await status('pilot.example')).toBe(0);
  expect(await status('192.0.2.7')).toBe(0);
  expect(await status('[2001:db8::7]')).toBe(0);
  expect(server.stats().web).toMatchObject({ webOriginRefused: 3 });
});

test('links are bounded, in all and per address, and what ends makes room', async () => {
  const server = await serve({ webLinks: 3, webLinksPerHost: 1, trustProxy: true });
  const from = (forwarded: string): Promise<Client> =>
    new Client(server, '/v1/compat', { 'x-forwarded-for': forwarded }).opened();
  const one = await from('203.0.113.1');
  expect(one.status).toBe(0);
  expect((await from('203.0.113.9, 203.0.113.1')).status).toBe(429);
  expect((await from('203.0.113.2')).status).toBe(0);
  expect((await from('203.0.113.3')).status).toBe(0);
  expect((await from('203.0.113.4')).status).toBe(503);
  one.socket.close();
  await one.closed();
  expect((await from('203.0.113.1')).status).toBe(0);
  expect(server.stats()).toMatchObject({ openWebSockets: 3, web: { webFull: 1, webHostFull: 1 } });
});

test('all addresses of one subscriber of IPv6 are one', async () => {
  const server = await serve({ webLinksPerHost: 1, trustProxy: true });
  const status = async (forwarded: string): Promise<number> =>
    (await new Client(server, '/v1/compat', { 'x-forwarded-for': forwarded }).opened()).status;
  expect(await status('2001:db8:0:1::1')).toBe(0);
  expect(await status('2001:db8:0:1:ffff::2')).toBe(429);
  expect(await status('2001:db8:0:2::1')).toBe(0);
});

test('what says it was forwarded is neither believed nor trusted unless that was asked for', async () => {
  const server = await serve({ webLinksPerHost: 1 });
  const from = (forwarded: string): Promise<Client> =>
    new Client(server, '/v1/compat', { 'x-forwarded-for': forwarded }).opened();
  expect((await from('203.0.113.1')).status).toBe(0);
  expect((await from('203.0.113.2')).status).toBe(429);
  expect((await from('127.0.0.1')).status).toBe(429);
  // This machine's own have a hundred times as much.
  expect((await new Client(server, '/v1/compat').opened()).status).toBe(0);
});

test('a header without an end, or too long, costs a socket for a moment only', async () => {
  const server = await serve();
  const long = connect(server.port, '127.0.0.1', () =>
    long.write(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`),
  );
  let text = '';
  for await (const bytes of long) text += bytes;
  expect(text).toContain('431');
  expect(await get(server, '/health')).toBe('HTTP/1.1 200 OK | ok');
});

test('a server that ends tells its clients', async () => {
  const server = await serve();
  const [client] = await proven(server, alice);
  await server.close();
  expect(await client.closed()).toBe(WEB_CLOSE.goingAway);
});
