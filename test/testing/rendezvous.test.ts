// The real registry and beacon in a virtual world, with real signatures and clients made by hand.
import { expect, test } from 'vitest';
import type { Link } from '../../src/carrier/host.ts';
import { type RendezvousServer, serveRendezvous } from '../../src/server/serve.ts';
import type { VirtualHost } from '../../src/testing/host.ts';
import type { World } from '../../src/testing/world.ts';
import { discoverText, emitDiscover, emitPunchRequest, parseBeacon } from '../../src/wire/beacon.ts';
import { CHALLENGE, emitJsonFrame, FrameReader, parseJson, type RegistryFields } from '../../src/wire/registry.ts';
import { text, world } from './rig.ts';

const ADDRESS = '203.0.113.1';

/** A client of the registry: one link, answers in order. */
class Client {
  readonly #link: Link;
  readonly #reader = new FrameReader(1 << 20);
  readonly #waiting: ((fields: RegistryFields) => void)[] = [];
  error: Error | undefined;

  constructor(host: VirtualHost, port: number) {
    this.#link = host.connectLink(
      { host: ADDRESS, port },
      {
        open() {},
        data: (bytes) => {
          this.#reader.push(bytes);
          for (let body = this.#reader.next(); body !== undefined; body = this.#reader.next()) {
            this.#waiting.shift()!(parseJson(body)!);
          }
        },
        drain() {},
        closed: (error) => {
          this.error = error;
        },
      },
    );
  }

  ask(fields: RegistryFields): Promise<RegistryFields> {
    this.#link.write(emitJsonFrame(fields));
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#link.close();
  }
}

/** An agent's socket as far as the beacon is concerned. */
class Node {
  readonly host: VirtualHost;
  readonly identity: { identity: number; publicKey: Uint8Array };
  readonly messages: string[] = [];
  nodeId = 0;
  #send!: (bytes: Uint8Array) => void;

  constructor(host: VirtualHost, identity: { identity: number; publicKey: Uint8Array }) {
    this.host = host;
    this.identity = identity;
  }

  static async on(host: VirtualHost): Promise<Node> {
    const seed = new Uint8Array(32);
    host.random(seed);
    const node = new Node(host, await host.jobs.importIdentity(seed));
    const socket = await host.bindUdp({
      port: 4000,
      handler: {
        datagram: (bytes) => {
          const message = parseBeacon(bytes);
          if (message === undefined) return;
          const isEndpoint = message.type === 'discoverReply' || message.type === 'punchCommand';
          node.messages.push(isEndpoint ? `${message.type} ${message.host}:${message.port}` : message.type);
        },
        released() {},
        unreachable() {},
      },
    });
    node.#send = (bytes) => socket.send(bytes, { host: ADDRESS, port: 9001 }, -1);
    return node;
  }

  async sign(challenge: string): Promise<string> {
    return btoa(String.fromCharCode(...(await this.host.jobs.sign(this.identity.identity, text(challenge)))));
  }

  async register(client: Client): Promise<void> {
    const listen_addr = '0.0.0.0:4000';
    const public_key = btoa(String.fromCharCode(...this.identity.publicKey));
    const signature = await this.sign(CHALLENGE.register(listen_addr, public_key));
    const answer = await client.ask({ type: 'register', listen_addr, public_key, signature });
    expect(answer.type).toBe('register_ok');
    this.nodeId = answer.node_id as number;
  }

  async discover(): Promise<void> {
    const signedAtMs = this.host.unixNow();
    const signature = await this.host.jobs.sign(this.identity.identity, text(discoverText(this.nodeId, signedAtMs)));
    this.#send(emitDiscover(this.nodeId, { publicKey: this.identity.publicKey, signedAtMs, signature }));
  }

  punch(target: number): void {
    this.#send(emitPunchRequest(this.nodeId, target));
  }
}

async function serve(w: World, options: { jobDelayMs?: number } = {}): Promise<RendezvousServer> {
  const host = w.host('rendezvous', { address: ADDRESS, ...options });
  return await w.finish(serveRendezvous(host, { port: 9000, listenHost: '0.0.0.0', advertiseHost: ADDRESS }));
}

for (const jobDelayMs of [0, 30]) {
  test(`a node registers and learns its mapping, with keys that take ${jobDelayMs} ms`, async () => {
    const w = world();
    const server = await serve(w, { jobDelayMs });
    expect(server.url).toBe('pilot://203.0.113.1:9000');
    w.nat('home', { address: '198.51.100.1', ports: 'random' });
    const host = w.host('alice', { behind: 'home', lateReleaseMs: 3, jobDelayMs });
    const client = new Client(host, 9000);
    const alice = await w.finish(Node.on(host));
    await w.finish(alice.register(client));
    expect(alice.nodeId).toBe(1);
    await w.finish(alice.discover());
    await w.elapse(200);
    expect(alice.messages).toHaveLength(1);
    const port = Number(alice.messages[0]!.split(':')[1]);
    expect(alice.messages[0]).toBe(`discoverReply 198.51.100.1:${port}`);
    expect(port).not.toBe(4000);
    const beacons = await w.finish(client.ask({ type: 'beacon_list' }));
    expect(beacons.beacons).toEqual([{ id: 1, addr: '203.0.113.1:9001' }]);
    expect(server.stats()).toMatchObject({ beaconNodes: 1, openLinks: 1, storeFailures: 0 });
  });
}

test('two nodes that trust each other are told where to punch, each the mapping of the other', async () => {
  const w = world({ line: { delayMs: 15, jitterMs: 3 } });
  await serve(w);
  const nodes: Node[] = [];
  const clients: Client[] = [];
  for (const [i, name] of ['alice', 'bob'].entries()) {
    w.nat(`${name}'s`, { address: `198.51.100.${i + 1}` });
    const host = w.host(name, { behind: `${name}'s` });
    const [client, node] = [new Client(host, 9000), await Node.on(host)];
    await w.finish(node.register(client));
    await node.discover();
    await w.elapse(100);
    nodes.push(node);
    clients.push(client);
  }
  const [alice, bob] = [nodes[0]!, nodes[1]!];
  const [a, b] = [alice.nodeId, bob.nodeId];
  const request = { type: 'request_handshake', from_node_id: a, to_node_id: b, justification: '' };
  await w.finish(clients[0]!.ask({ ...request, signature: await alice.sign(CHALLENGE.requestHandshake(a, b)) }));
  await w.elapse(100);
  expect(bob.messages).toEqual(['discoverReply 198.51.100.2:4000', 'notify']);
  const respond = { type: 'respond_handshake', node_id: b, peer_id: a, accept: true };
  await w.finish(clients[1]!.ask({ ...respond, signature: await bob.sign(CHALLENGE.respondHandshake(b, a)) }));
  alice.punch(b);
  await w.elapse(100);
  expect(alice.messages.at(-1)).toBe('punchCommand 198.51.100.2:4000');
  expect(bob.messages.at(-1)).toBe('punchCommand 198.51.100.1:4000');
});

test('a rendezvous that closes leaves nothing behind, and one on the same machine takes over its ports', async () => {
  const w = world();
  const server = await serve(w);
  const host = w.host('alice');
  const client = new Client(host, 9000);
  await w.finish(client.ask({ type: 'lookup', node_id: 1 }));
  await w.finish(server.close());
  await w.elapse(100);
  w.assertQuiet();
  const again = w.host('rendezvous');
  const second = await serveRendezvous(again, { port: 9000, listenHost: '0.0.0.0', advertiseHost: ADDRESS });
  const other = new Client(host, 9000);
  expect((await w.finish(other.ask({ type: 'beacon_list' }))).type).toBe('beacon_list_ok');
  again.kill();
  await w.elapse(100);
  expect(second.stats().openLinks).toBe(1);
  w.assertQuiet();
});

test('without a port, a rendezvous takes a free pair', async () => {
  const w = world();
  const server = await serveRendezvous(w.host('rendezvous'), {});
  expect(server.beaconPort).toBe(server.port + 1);
  await w.finish(server.close());
});

test('a partition from the rendezvous ends in an error that says so', async () => {
  const w = world();
  await serve(w);
  const host = w.host('alice');
  w.block('rendezvous', 'alice');
  const client = new Client(host, 9000);
  await w.runUntil(() => client.error !== undefined);
  expect([client.error, w.now]).toEqual([expect.objectContaining({ code: 'RENDEZVOUS_UNREACHABLE' }), 5_000]);
});
