/** The client's end of the WebSocket road: the proof, the back-off, and when nothing comes any more. */
import { expect, test } from 'vitest';
import { Bridge, type BridgeEnd } from '../../src/core/bridge.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Counters } from '../../src/core/stats.ts';
import { emitDelivery, emitNotify } from '../../src/wire/beacon.ts';
import { CHALLENGE_PASSED, emitChallenge, parseChallengeReply, WEB_CLOSE } from '../../src/wire/compat.ts';

const NODE = 7;
const KEY = new Uint8Array(32).fill(3);
const NONCE = 'ab'.repeat(32);
const LOST: BridgeEnd = { code: 1006, reason: '' };

class Rig {
  now = 1_000;
  readonly jobs = new Jobs();
  readonly counters = new Counters();
  readonly bridge: Bridge = new Bridge({
    ...{ jobs: this.jobs, counters: this.counters, identity: 1, identityKey: KEY },
    random: (into) => into.fill(128),
  });
  signed: string[] = [];

  /** What the driver would do now. */
  commands(): string[] {
    const done: string[] = [];
    for (let one = this.bridge.pollCommand(); one !== undefined; one = this.bridge.pollCommand()) {
      if (one.type !== 'send') done.push(one.type);
      else if (typeof one.message === 'string') done.push(one.message);
      else done.push(Buffer.from(one.message).toString('hex'));
    }
    return done;
  }

  news(): string[] {
    const told: string[] = [];
    for (let one = this.bridge.pollNews(); one !== undefined; one = this.bridge.pollNews()) told.push(one.type);
    return told;
  }

  sign(signature: Uint8Array | undefined = new Uint8Array(64).fill(9)): void {
    for (let job = this.jobs.poll(); job !== undefined; job = this.jobs.poll()) {
      if (job.job.kind === 'sign') this.signed.push(new TextDecoder().decode(job.job.message));
      this.jobs.handle(this.now, job.id, signature);
    }
  }

  elapse(ms: number): void {
    this.now += ms;
    this.bridge.handleTimeout(this.now);
  }

  prove(): void {
    this.bridge.handleOpen(this.now);
    this.bridge.handleText(this.now, emitChallenge({ nonce: NONCE, ts: 5 }));
    this.sign();
    this.bridge.handleText(this.now, CHALLENGE_PASSED);
  }

  ready(): this {
    this.bridge.start(this.now, NODE);
    this.prove();
    this.commands();
    this.news();
    return this;
  }

  /** How long after the end of a link the next is opened. */
  waits(end = LOST): number {
    this.bridge.handleClosed(this.now, end);
    const at = this.bridge.pollTimeout();
    const waited = at - this.now;
    this.now = at;
    this.bridge.handleTimeout(at);
    expect(this.commands()).toEqual(['open']);
    return waited;
  }
}

test('the challenge is signed as it came, and the link is ready when the beacon says so', () => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  expect(rig.commands()).toEqual(['open']);
  rig.bridge.handleOpen(rig.now);
  rig.bridge.handleText(rig.now, emitChallenge({ nonce: NONCE, ts: 5 }));
  expect(rig.commands()).toEqual([]);
  rig.sign();
  expect(rig.signed).toEqual([`compat_auth:7:5:${NONCE}`]);
  const [reply = ''] = rig.commands();
  expect(parseChallengeReply(reply)).toEqual({ nodeId: 7, publicKey: KEY, signature: new Uint8Array(64).fill(9) });
  expect([rig.bridge.isReady, rig.news()]).toEqual([false, []]);
  rig.bridge.handleText(rig.now, CHALLENGE_PASSED);
  expect([rig.bridge.isReady, rig.news()]).toEqual([true, ['ready']]);
});

test.each([
  ['no nonce', '{"type":"auth_challenge","ts":5}'],
  ['a nonce that could be another text', `{"type":"auth_challenge","ts":5,"nonce":"${'x'.repeat(64)}"}`],
  ['a short nonce', `{"type":"auth_challenge","ts":5,"nonce":"${'a'.repeat(62)}"}`],
  ['a time that is text', `{"type":"auth_challenge","ts":"5","nonce":"${NONCE}"}`],
  ['a broken time', `{"type":"auth_challenge","ts":5.5,"nonce":"${NONCE}"}`],
  ['no JSON', 'hello'],
])('%s is not signed, and ends the link', (_, text) => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  rig.bridge.handleOpen(rig.now);
  rig.bridge.handleText(rig.now, text);
  rig.sign();
  expect([rig.signed, rig.commands()]).toEqual([[], ['open', 'close']]);
  expect(rig.counters.dropped('beaconMalformed')).toBe(1);
});

test('one link gets one signature', () => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  rig.bridge.handleOpen(rig.now);
  const challenge = emitChallenge({ nonce: NONCE, ts: 5 });
  rig.bridge.handleText(rig.now, challenge);
  rig.bridge.handleText(rig.now, challenge);
  rig.sign();
  expect([rig.signed.length, rig.commands()]).toEqual([1, ['open', 'close']]);
  expect(rig.counters.dropped('beaconMalformed')).toBe(1);
  rig.now = rig.bridge.pollTimeout();
  rig.bridge.handleTimeout(rig.now);
  rig.bridge.handleOpen(rig.now);
  rig.bridge.handleText(rig.now, challenge);
  rig.sign();
  expect([rig.signed.length, rig.commands().length]).toEqual([2, 2]);
});

test('a signature that comes late is not sent on the next link', () => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  rig.bridge.handleOpen(rig.now);
  rig.bridge.handleText(rig.now, emitChallenge({ nonce: NONCE, ts: 5 }));
  rig.commands();
  rig.waits();
  rig.bridge.handleOpen(rig.now);
  rig.sign();
  expect(rig.commands()).toEqual([]);
});

test('a beacon that asks for nothing is left after ten seconds', () => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  rig.bridge.handleOpen(rig.now);
  rig.elapse(9_999);
  expect(rig.commands()).toEqual(['open']);
  rig.elapse(1);
  expect([rig.commands(), rig.news()]).toEqual([['close'], ['lost']]);
});

test('the first time at once, then ever more rarely, up to 30 s', () => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  rig.commands();
  const waits = Array.from({ length: 10 }, () => rig.waits());
  expect(waits).toEqual([0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test('a link that stood is opened again at once, one that fell at once is not', () => {
  const rig = new Rig().ready();
  expect(rig.waits()).toBe(0);
  rig.prove();
  rig.commands();
  expect(rig.waits()).toBe(250);
  rig.prove();
  rig.commands();
  rig.elapse(2_000);
  expect(rig.waits()).toBe(0);
});

test('one that was replaced is not opened again, not even for a new registration', () => {
  for (const end of [
    { code: WEB_CLOSE.replaced, reason: '' },
    { code: 1008, reason: 'Replaced by newer connection' },
  ]) {
    const rig = new Rig().ready();
    rig.bridge.handleClosed(rig.now, end);
    expect(rig.news()).toEqual(['replaced']);
    rig.elapse(3_600_000);
    rig.bridge.start(rig.now, NODE);
    expect([rig.commands(), rig.bridge.pollTimeout()]).toEqual([[], Number.POSITIVE_INFINITY]);
  }
});

test('a registry that forgot us is told of, and a registration opens the link without waiting', () => {
  const rig = new Rig().ready();
  rig.waits();
  rig.waits({ code: WEB_CLOSE.notRegistered, reason: '' });
  rig.bridge.handleClosed(rig.now, LOST);
  expect(rig.news()).toContain('notRegistered');
  rig.bridge.start(rig.now, NODE);
  expect(rig.commands()).toEqual(['open']);
});

test('another node id is proven on another link', () => {
  const rig = new Rig().ready();
  rig.bridge.start(rig.now, NODE);
  expect(rig.commands()).toEqual([]);
  rig.bridge.start(rig.now, 8);
  rig.elapse(0);
  expect(rig.commands()).toEqual(['close', 'open']);
});

test('a relay to ourselves that does not come back ends the link, where one came back before', () => {
  const rig = new Rig();
  rig.bridge.start(rig.now, NODE);
  rig.prove();
  expect(rig.commands().at(-1)).toBe('050000000700000007');
  expect(rig.bridge.handleBytes(rig.now, emitDelivery(NODE, new Uint8Array(0)))).toBe(true);
  rig.elapse(24_999);
  expect(rig.commands()).toEqual([]);
  rig.elapse(1);
  expect(rig.commands()).toEqual(['050000000700000007']);
  rig.elapse(9_999);
  expect(rig.commands()).toEqual([]);
  rig.elapse(1);
  expect([rig.commands(), rig.bridge.isReady]).toEqual([['close'], false]);
});

test('anything that comes is a sign of life, and nobody else’s message is taken for the probe', () => {
  const rig = new Rig().ready();
  rig.bridge.handleBytes(rig.now, emitDelivery(NODE, new Uint8Array(0)));
  for (let i = 0; i < 10; i++) {
    rig.elapse(20_000);
    expect(rig.bridge.handleBytes(rig.now, emitNotify(1))).toBe(false);
    expect(rig.bridge.handleBytes(rig.now, emitDelivery(8, new Uint8Array(0)))).toBe(false);
    expect(rig.bridge.handleBytes(rig.now, emitDelivery(NODE, Uint8Array.of(1)))).toBe(false);
  }
  expect(rig.commands()).toEqual([]);
});

test('a beacon that sends none back keeps its link', () => {
  const rig = new Rig().ready();
  for (let i = 0; i < 10; i++) rig.elapse(25_000);
  expect([rig.bridge.isReady, rig.commands().length]).toEqual([true, 10]);
});
