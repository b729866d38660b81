// Registering and trust (CP 1.5–1.10, 2), against the registry of src/server.
import { expect, test } from 'vitest';
import { toBase64 } from '../../src/wire/base64.ts';
import { emitNotify } from '../../src/wire/beacon.ts';
import { PORT } from '../../src/wire/packet.ts';
import { CHALLENGE, type RegistryFields } from '../../src/wire/registry.ts';
import { parseTrustMessage } from '../../src/wire/trust.ts';
import { RECORDED_MS, World as RegistryWorld } from '../server/rig.ts';
import type { Packet } from './packet.ts';
import { type PeerOptions, ReferencePeer } from './peer.ts';
import type { Generation } from './peer-behaviour.ts';
import { verifies } from './peer-keys.ts';
import { filled, Script, SYN } from './peer-rig.ts';
import { BEACON_PLACE, PeerWorld, type placeOf } from './peer-world.ts';

/** Peers that know each other only through a registry. */
class Net {
  readonly world: PeerWorld = new PeerWorld({ delayMs: 2 });
  readonly registry: RegistryWorld = new RegistryWorld();
  readonly asked: RegistryFields[] = [];
  #next = 1;

  /** A private peer that has registered. Host addresses are given in order, as are node ids. */
  join(generation: Generation, options: Partial<PeerOptions> = {}): ReferencePeer {
    const place: ReturnType<typeof placeOf> = { host: `203.0.113.${this.#next++}`, port: 4000 };
    const peer = new ReferencePeer({
      name: place.host,
      isPublic: false,
      generation,
      beacon: BEACON_PLACE,
      unixNow: () => RECORDED_MS + this.world.now,
      ...options,
      transport: this.world.transport(place),
      registry: (request, answer) => {
        this.asked.push(request);
        this.registry.host = place.host;
        this.registry.unixMs = RECORDED_MS + this.world.now;
        answer(this.registry.ask(request));
      },
    });
    this.world.attach(place, (bytes, from) => peer.handleDatagram(bytes, from));
    peer.start();
    this.world.run(20);
    return peer;
  }
}

const opens = (net: Net, peer: ReferencePeer, nodeId: number): boolean => {
  const connection = peer.dial(nodeId, PORT.echo);
  net.world.run(60_000);
  return connection.state !== 'CLOSED' || connection.end === 'closed';
};

test('start: Discover without id, registration with what the beacon saw, Discover with the id', () => {
  const net = new Net();
  const peer = net.join('new');
  expect(peer.nodeId).toBe(1);
  expect(peer.log.sentFrames('beacon').map(({ beacon }) => beacon)).toMatchObject([
    { type: 'discover', nodeId: 0 },
    { type: 'discover', nodeId: 1 },
  ]);
  expect(net.asked[0]).toMatchObject({ type: 'register', listen_addr: '203.0.113.1:4000' });
  expect(net.registry.resolve).toBeDefined();
});

test('signsRegister: NEW signs its registration, APR does not', () => {
  for (const generation of ['apr', 'new'] as const) {
    const net = new Net();
    const peer = net.join(generation);
    const { listen_addr, signature } = net.asked[0] as { listen_addr: string; signature?: string };
    if (generation === 'apr') {
      expect(signature).toBeUndefined();
      continue;
    }
    const text = CHALLENGE.register(listen_addr, toBase64(peer.identityKey));
    expect(verifies(peer.identityKey, Buffer.from(text), Buffer.from(signature!, 'base64'))).toBe(true);
  }
});

test('restart and start: the same key gets the same id', () => {
  const net = new Net();
  net.join('apr');
  const peer = net.join('apr');
  peer.restart();
  peer.start();
  net.world.run(50);
  expect(peer.nodeId).toBe(2);
});

test('heartbeats go every 60 s and poll the mailbox', () => {
  const net = new Net();
  net.join('apr');
  net.asked.length = 0;
  net.world.run(125_000);
  expect(net.asked.map(({ type }) => type)).toEqual(['heartbeat', 'poll_handshakes', 'heartbeat', 'poll_handshakes']);
});

test.each(['apr', 'fork', 'new'] as const)('%s: strangers cannot dial, and cannot even be resolved', (generation) => {
  const net = new Net();
  const [a, b] = [net.join(generation), net.join(generation)];
  expect(opens(net, a, b.nodeId)).toBe(false);
  expect(a.hasKey(b.nodeId)).toBe(false);
});

test.each(['apr', 'fork', 'new'] as const)('%s: trust by the mailbox, then a stream', (generation) => {
  const net = new Net();
  const [a, b] = [net.join(generation), net.join(generation)];
  let leg = '';
  a.trust.request(b.nodeId, 'to share results', (by) => {
    leg = by;
  });
  net.world.run(60_000);
  expect(leg).toBe('relayed');
  b.trust.poll();
  expect([...b.trust.pending]).toEqual([[a.nodeId, 'to share results']]);
  b.trust.approve(a.nodeId);
  expect(net.registry.isTrusted(1, 2)).toBe(true);
  a.trust.poll();
  expect(a.trust.trusted.has(b.nodeId)).toBe(true);
  net.world.run(5000);
  expect(opens(net, a, b.nodeId)).toBe(true);
});

test('requests both ways are mutual trust at once', () => {
  const net = new Net();
  const [a, b] = [net.join('new'), net.join('new')];
  a.trust.request(b.nodeId, 'one');
  b.trust.request(a.nodeId, 'two');
  net.world.run(60_000);
  b.trust.poll();
  expect(b.trust.trusted.has(a.nodeId)).toBe(true);
  a.trust.poll();
  expect(a.trust.trusted.has(b.nodeId)).toBe(true);
});

test('the direct leg: one message in one segment, the answer on a stream of its own, and nothing read', () => {
  const net = new Net();
  const a = net.join('new');
  const b = net.join('new', { isPublic: true, autoApprove: true });
  net.world.run(100);
  let leg = '';
  a.trust.request(b.nodeId, 'direct', (by) => {
    leg = by;
  });
  net.world.run(3000);
  expect(leg).toBe('direct');
  const data = b.log.packets({ destinationPort: PORT.trust }).filter(({ payload }) => payload.length > 0);
  expect(data.map(({ payload }) => parseTrustMessage(payload))).toMatchObject([
    { type: 'handshake_request', nodeId: 1, justification: 'direct' },
  ]);
  expect(b.trust.trusted.has(1)).toBe(true);
  // The answer passes the gate of a private peer by the reply window.
  expect(a.trust.messages.map(({ leg: by, message }) => [by, message.type])).toEqual([['direct', 'handshake_accept']]);
  expect(a.trust.trusted.has(2)).toBe(true);
});

test('revoke: the other side forgets as well', () => {
  const net = new Net();
  const a = net.join('new');
  const b = net.join('new', { isPublic: true, autoApprove: true });
  a.trust.request(b.nodeId, 'direct');
  net.world.run(3000);
  a.trust.revoke(b.nodeId, 'done');
  net.world.run(3000);
  expect([a.trust.trusted.size, b.trust.trusted.size]).toEqual([0, 0]);
  expect(net.registry.isTrusted(1, 2)).toBe(false);
});

test('a beacon that says poll makes NEW poll', () => {
  const net = new Net();
  const [a, b] = [net.join('new'), net.join('apr')];
  net.world.run(3000);
  net.asked.length = 0;
  for (const peer of [a, b]) peer.handleDatagram(emitNotify(1), BEACON_PLACE);
  a.handleDatagram(emitNotify(1), BEACON_PLACE);
  expect(net.asked.map(({ type, node_id }) => [type, node_id])).toEqual([['poll_handshakes', 1]]);
});

/** The puppet writes to port 444 of a subject that trusts nobody. */
function writes(t: Script, bytes: Uint8Array): void {
  const connection = t.puppet.dial(2, PORT.trust);
  t.puppet.intercept = (packet: Packet) => packet.protocol !== 1;
  connection.write(bytes);
  t.world.run(2000);
  t.puppet.streams.reset();
}

test('bindsAccept: APR trusts whoever accepts, NEW only whom it asked', () => {
  for (const bindsAccept of [false, true]) {
    const t = new Script('apr', { bindsAccept });
    writes(t, t.puppet.trust.emit({ type: 'handshake_accept' }, 2));
    expect(t.subject.trust.trusted.has(1)).toBe(!bindsAccept);
    expect(t.subject.trust.messages.length).toBe(1);
  }
});

test('bindsAccept: NEW takes accepts only over the tunnel of their sender, and the same message once', () => {
  const t = new Script('new');
  const other = new PeerWorld().add({ nodeId: 9 });
  writes(t, other.trust.emit({ type: 'handshake_accept' }, 2));
  expect(t.subject.log.counts.get('trust_wrong_tunnel')).toBe(1);
  writes(t, t.puppet.trust.emit({ type: 'handshake_request', justification: 'one' }, 2));
  t.world.run(5000);
  writes(t, t.puppet.trust.emit({ type: 'handshake_request', justification: 'two' }, 2));
  expect(t.subject.log.counts.get('trust_replay')).toBe(1);
  expect([...t.subject.trust.pending]).toEqual([[1, 'one']]);
  // A request may come for somebody else.
  t.subject.introduce(other.introduction());
  writes(t, other.trust.emit({ type: 'handshake_request' }, 2));
  expect(t.subject.trust.pending.has(9)).toBe(true);
});

test('acceptsUnsigned: a request without key is taken by APR, not by NEW', () => {
  for (const acceptsUnsigned of [true, false]) {
    const t = new Script('apr', { acceptsUnsigned });
    writes(t, t.puppet.trust.emit({ type: 'handshake_request', publicKey: undefined, signature: undefined }, 2));
    expect(t.subject.trust.pending.has(1)).toBe(acceptsUnsigned);
  }
});

test('old, early, forged and foreign messages are dropped', () => {
  const t = new Script('new');
  const now = 1_800_000_000;
  const request = { type: 'handshake_request' } as const;
  writes(t, t.puppet.trust.emit({ ...request, timestamp: now - 400 }, 2));
  writes(t, t.puppet.trust.emit({ ...request, timestamp: now + 100 }, 2));
  expect(t.subject.log.counts.get('trust_too_old')).toBe(2);
  writes(t, t.puppet.trust.emit(request, 3));
  expect(t.subject.log.counts.get('trust_bad_signature')).toBe(1);
  const foreign = new PeerWorld().add({ nodeId: 1, name: 'somebody else' });
  writes(t, foreign.trust.emit(request, 2));
  expect(t.subject.log.counts.get('trust_wrong_key')).toBe(1);
  writes(t, filled(20, 0x41));
  expect(t.subject.log.counts.get('trust_malformed')).toBe(1);
  expect(t.subject.trust.pending.size).toBe(0);
});

test('a message split over two segments is lost', () => {
  const t = new Script('apr');
  const bytes = t.puppet.trust.emit({ type: 'handshake_request' }, 2);
  t.says({ flags: SYN, seq: 1, destinationPort: PORT.trust });
  t.says({ flags: 2, seq: 2, ack: 1, destinationPort: PORT.trust, payload: bytes.subarray(0, 100) });
  t.says({ flags: 2, seq: 102, ack: 1, destinationPort: PORT.trust, payload: bytes.subarray(100) });
  expect(t.subject.trust.messages.length).toBe(0);
  expect(t.subject.log.counts.get('trust_malformed')).toBe(1);
});

test('replyWindow: for 5 min after own contact the other side reaches ports 1001 and 444', () => {
  for (const replyWindow of [true, false]) {
    const t = new Script('new', { replyWindow }, { isPublic: false });
    for (const port of [PORT.data, PORT.stdio]) t.subject.listen(port, () => {});
    const knocks = () =>
      [PORT.data, PORT.trust, PORT.stdio].map((destinationPort, i) => {
        t.says({ flags: SYN, destinationPort, sourcePort: 1000 + i });
        return t.hears().length;
      });
    expect(knocks()).toEqual([0, 0, 0]);
    t.subject.dial(1, 7);
    t.hears(300);
    t.subject.streams.reset();
    expect(knocks()).toEqual(replyWindow ? [1, 1, 0] : [0, 0, 0]);
    t.hears(301_000);
    t.subject.streams.reset();
    expect(knocks()).toEqual([0, 0, 0]);
  }
});

test('a SYN repeated while the registry is asked opens one connection', () => {
  const answers: (() => void)[] = [];
  const t = new Script(
    'new',
    {},
    {
      isPublic: false,
      registry: (_, answer) => {
        answers.push(() => answer({ trusted: true }));
      },
    },
  );
  for (let i = 0; i < 3; i++) t.says({ flags: SYN, seq: 100 });
  expect(answers.length).toBe(3);
  for (const answer of answers) answer();
  expect(t.accepted.length).toBe(1);
});
