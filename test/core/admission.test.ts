import { beforeEach, expect, test } from 'vitest';
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import { Admission, type Origin, type SenderFacts } from '../../src/core/admission.ts';
import { Directory } from '../../src/core/directory.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { toBase64 } from '../../src/wire/base64.ts';
import { emitPila, emitPilk, signedExchange } from '../../src/wire/key-exchange.ts';
import { Random } from '../engine/rig.ts';
import { Desk } from './registry-rig.ts';

const KEYS = createPublicKeyJobs();
const US = 1;
const random = new Random(5);

/** A node with an identity. */
class Node {
  readonly id: number;
  readonly identity: { identity: number; publicKey: Uint8Array };

  constructor(id: number) {
    this.id = id;
    this.identity = KEYS.importIdentity(random.bytes(32));
  }

  /** A fresh exchange of this node. @param recipientHint - As ours give it. */
  pila(recipientHint?: number): Uint8Array {
    const exchangeKey = random.bytes(32);
    const { identity, publicKey: identityKey } = this.identity;
    const signature = KEYS.sign(identity, signedExchange(this.id, exchangeKey));
    return emitPila({ sender: this.id, exchangeKey, identityKey, signature, recipientHint });
  }
}

let desk: Desk;
let jobs: Jobs;
let directory: Directory;
let admission: Admission;
let facts: Map<number, SenderFacts>;
let verifications: number;
const bob = new Node(2);

beforeEach(() => {
  desk = new Desk();
  desk.client.start();
  desk.open();
  jobs = new Jobs();
  directory = new Directory(desk.client);
  directory.nodeId = US;
  facts = new Map();
  verifications = 0;
  const nothing = { isTrusted: false, pinnedKey: undefined };
  const { counters } = desk;
  admission = new Admission({ jobs, directory, counters, facts: (sender) => facts.get(sender) ?? nothing });
});

const from = (source = '192.0.2.9'): Origin => ({ path: 3, isRelayed: false, sender: 0, source });

/** A frame arrives; what passes the first gate is verified. */
function gets(frame: Uint8Array, origin: Origin = from()): void {
  const message = admission.read(desk.now, frame, origin, US);
  if (message?.authenticated) admission.verify(desk.now, message, origin);
  run();
}

function run(): void {
  desk.run();
  for (let next = jobs.poll(); next !== undefined; next = jobs.poll()) {
    const { job } = next;
    if (job.kind !== 'verify') throw new Error(job.kind);
    verifications += 1;
    jobs.handle(desk.now, next.id, KEYS.verify(job.publicKey, job.message, job.signature));
  }
}

/** The nodes whose exchanges passed. */
function passed(): number[] {
  const senders: number[] = [];
  for (let next = admission.poll(); next !== undefined; next = admission.poll()) senders.push(next.sender);
  return senders;
}

/** The registry answers every look-up with the keys of these nodes. */
function registryKnows(...nodes: Node[]): void {
  desk.reply = ({ node_id }) => {
    const node = nodes.find(({ id }) => id === node_id);
    return node === undefined ? 'node not found' : { public_key: toBase64(node.identity.publicKey) };
  };
}

const dropped = (): Record<string, number> => desk.counters.drops();

test('an exchange passes whose key the registry confirms and whose signature holds', () => {
  gets(bob.pila(US));
  expect([passed(), verifications]).toEqual([[], 0]);
  expect(desk.answer({ public_key: toBase64(bob.identity.publicKey) })).toMatchObject({ type: 'lookup', node_id: 2 });
  run();
  const verified = admission.poll()!;
  expect(verified).toMatchObject({ sender: 2, identityKey: bob.identity.publicKey, origin: from() });
  expect(verified.exchangeKey).toHaveLength(32);
  // The next one needs no look-up.
  desk.now += 1_000;
  gets(bob.pila(US));
  expect(passed()).toEqual([2]);
  expect(desk.types).toEqual(['lookup']);
});

test('what is no exchange, ours, or for another is dropped before anything is spent on it', () => {
  const own = new Node(US);
  const nobody = new Node(0);
  for (const frame of [new Uint8Array(10), bob.pila().subarray(0, 135), own.pila(), nobody.pila(), bob.pila(9)])
    gets(frame);
  expect(dropped()).toEqual({ exchangeMalformed: 2, ownId: 2, wrongRecipient: 1 });
  expect([desk.types, verifications]).toEqual([[], 0]);
});

test('a hint is none where there is none', () => {
  registryKnows(bob);
  gets(bob.pila());
  expect(passed()).toEqual([2]);
});

test('a PILK is read, and never verified', () => {
  const message = admission.read(desk.now, emitPilk(2, new Uint8Array(32)), from(), US);
  expect(message).toMatchObject({ authenticated: false, sender: 2 });
  admission.verify(desk.now, message!, from());
  expect([jobs.size, desk.client.size]).toEqual([0, 0]);
});

test('a key that is not the registry’s, a damaged frame and an unknown node do not pass', () => {
  registryKnows(bob, new Node(3));
  gets(new Node(3).pila());
  const damaged = bob.pila();
  damaged[20]! ^= 1;
  gets(damaged);
  gets(new Node(4).pila());
  expect(passed()).toEqual([]);
  expect(dropped()).toEqual({ exchangeKeyMismatch: 1, exchangeBadSignature: 1, exchangeUnknownNode: 1 });
});

test('the copy that came by the other road is dropped for 250 ms', () => {
  registryKnows(bob);
  const frame = bob.pila();
  gets(frame);
  gets(frame, { path: 8, isRelayed: true, sender: 2, source: 'relay 2' });
  expect(dropped()).toEqual({ exchangeDuplicate: 1 });
  desk.now += 250;
  gets(frame);
  expect(passed()).toEqual([2, 2]);
});

test('a false copy that came first does not keep the true one out', () => {
  registryKnows(bob);
  const frame = bob.pila();
  for (const at of [136 - 1, 136 - 40, 41, 71]) {
    const copy = frame.slice();
    copy[at]! ^= 1;
    gets(copy, from('203.0.113.66'));
  }
  gets(frame);
  expect(passed()).toEqual([2]);
  expect(dropped().exchangeDuplicate).toBeUndefined();
});

test('one source may send five a second in one name', () => {
  registryKnows(bob);
  for (let i = 0; i < 20; i++) gets(bob.pila());
  expect(passed()).toHaveLength(5);
  expect(dropped()).toEqual({ exchangeLimited: 15 });
  gets(bob.pila(), from('192.0.2.10'));
  gets(new Node(4).pila());
  expect(dropped()).toEqual({ exchangeLimited: 15, exchangeUnknownNode: 1 });
});

test('strangers share a hundred verifications a second', () => {
  const nodes = Array.from({ length: 150 }, (_, i) => new Node(100 + i));
  registryKnows(...nodes);
  for (let round = 0; round < 4; round++) {
    for (const [i, node] of nodes.entries()) gets(node.pila(), from(`10.0.0.${i}`));
    desk.now += 1_000;
  }
  expect(verifications).toBeLessThanOrEqual(4 * 100);
  expect(dropped().exchangeBudget).toBeGreaterThan(100);
});

test('a flood of strangers leaves a trusted peer what it had', () => {
  facts.set(2, { isTrusted: true, pinnedKey: bob.identity.publicKey });
  for (let i = 0; i < 1_000; i++) gets(new Node(1_000 + i).pila(), from(`10.0.${i >> 8}.${i & 255}`));
  expect(dropped().exchangeBudget).toBeGreaterThan(800);
  gets(bob.pila());
  expect(passed()).toEqual([2]);
});

test('a flood in the name of a trusted peer costs 50 verifications a second, and nothing at its own place', () => {
  const carol = new Node(3);
  facts.set(2, { isTrusted: true, pinnedKey: bob.identity.publicKey });
  facts.set(3, { isTrusted: true, pinnedKey: carol.identity.publicKey });
  const forged = (): Uint8Array => {
    const frame = bob.pila();
    frame[100]! ^= 1;
    return frame;
  };
  admission = new Admission({
    jobs,
    directory,
    counters: desk.counters,
    facts: (sender, origin) => ({ ...facts.get(sender)!, isKnownSource: origin.source === '192.0.2.2' }),
  });
  for (let i = 0; i < 2_000; i++) gets(forged(), from(`10.0.${i >> 8}.${i & 255}`));
  expect(verifications).toBe(50);
  for (let i = 0; i < 100; i++) gets(bob.pila(), from('192.0.2.2'));
  expect(passed()).toHaveLength(100);
  gets(carol.pila(), from('192.0.2.3'));
  expect(passed()).toEqual([3]);
  gets(bob.pila(), from('192.0.2.77'));
  expect(passed()).toEqual([]);
  desk.now += 100;
  gets(bob.pila(), from('192.0.2.77'));
  expect(passed()).toEqual([2]);
});

test('look-ups that strangers cause wait in a bounded queue, four from one place', () => {
  for (let i = 0; i < 10; i++) gets(new Node(100 + i).pila(), from('10.0.0.1'));
  expect(dropped()).toEqual({ exchangeQueueFull: 6 });
  for (let i = 0; i < 100; i++) gets(new Node(200 + i).pila(), from(`10.0.1.${i}`));
  // Fifty a second in all, four of which were taken.
  expect(dropped().exchangeBudget).toBe(100 - 46);
  // Answered or not, each leaves the queue.
  desk.reply = () => 'node not found';
  run();
  desk.elapse(10_000);
  run();
  expect(dropped().exchangeUnknownNode).toBe(50);
  gets(new Node(500).pila(), from('10.0.0.1'));
  expect(dropped()).toMatchObject({ exchangeQueueFull: 6, exchangeUnknownNode: 51 });
});

test('a registry that is away frees the queue again', () => {
  desk.close();
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 30; i++) gets(new Node(100 + i).pila(), from(`10.0.0.${i}`));
    desk.elapse(9_000);
  }
  registryKnows(bob);
  desk.commands.length = 0;
  desk.elapse(20_000);
  desk.commands.length = 0;
  desk.commands.push('open');
  desk.open();
  gets(bob.pila());
  run();
  expect(passed()).toEqual([2]);
});

test('a stranger that shows another key than before is looked up once more, at most every 3 s', () => {
  const before = new Node(2);
  registryKnows(bob);
  facts.set(2, { isTrusted: false, pinnedKey: before.identity.publicKey });
  gets(bob.pila());
  expect([passed(), desk.types]).toEqual([[2], ['lookup']]);
  for (let i = 0; i < 4; i++) gets(new Node(2).pila(), from('203.0.113.66'));
  expect(desk.types).toEqual(['lookup']);
  expect(dropped()).toEqual({ exchangeKeyMismatch: 4 });
  // Whoever lied did not make us forget.
  desk.now += 1_000;
  gets(bob.pila());
  expect([passed(), desk.types]).toEqual([[2], ['lookup']]);
  desk.now += 3_001;
  gets(new Node(2).pila(), from('203.0.113.67'));
  expect(desk.types).toEqual(['lookup', 'lookup']);
});

test('a pinned key needs no registry', () => {
  facts.set(2, { isTrusted: false, pinnedKey: bob.identity.publicKey });
  gets(bob.pila());
  expect([passed(), desk.types]).toEqual([[2], []]);
});

test('a trusted peer that shows another key is refused, and told of once a minute, if it signed', () => {
  registryKnows(new Node(2));
  facts.set(2, { isTrusted: true, pinnedKey: bob.identity.publicKey });
  const other = new Node(2);
  const damaged = other.pila();
  damaged[20]! ^= 1;
  gets(damaged, from('203.0.113.65'));
  expect(admission.pollKeyChange()).toBeUndefined();
  desk.now += 60_000;
  for (let i = 0; i < 200; i++) gets(other.pila(), from(`203.0.113.${i}`));
  expect(admission.pollKeyChange()).toEqual({
    sender: 2,
    shown: other.identity.publicKey,
    pinned: bob.identity.publicKey,
  });
  expect([admission.pollKeyChange(), passed(), desk.types]).toEqual([undefined, [], []]);
  desk.now += 60_000;
  gets(other.pila());
  expect(admission.pollKeyChange()).toBeDefined();
});

test('what was read may be overwritten at once', () => {
  const frame = bob.pila();
  gets(frame);
  frame.fill(0);
  desk.answer({ public_key: toBase64(bob.identity.publicKey) });
  run();
  expect(passed()).toEqual([2]);
});
