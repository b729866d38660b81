import { expect, test } from 'vitest';
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import { type Job, Jobs } from '../../src/core/jobs.ts';
import { type Offer, type OfferParts, openOffer } from '../../src/core/offer.ts';
import { parseKeyExchange, signedExchange } from '../../src/wire/key-exchange.ts';
import { Random } from '../engine/rig.ts';

const KEYS = createPublicKeyJobs();

function parts(): OfferParts & { jobs: Jobs } {
  const random = new Random(1);
  const { identity, publicKey: identityKey } = KEYS.importIdentity(random.bytes(32));
  return { jobs: new Jobs(), random: (into) => into.set(random.bytes(into.length)), identity, identityKey, nodeId: 5 };
}

/** Does the jobs that wait; answers undefined to those of `failing`. @returns Their kinds. */
function run(jobs: Jobs, failing?: Job['kind']): string[] {
  const kinds: string[] = [];
  for (let next = jobs.poll(); next !== undefined; next = jobs.poll()) {
    const { id, job } = next;
    kinds.push(job.kind);
    if (job.kind === failing) jobs.handle(7, id, undefined);
    else if (job.kind === 'createExchange') jobs.handle(7, id, KEYS.createExchange(job.random));
    else if (job.kind === 'sign') jobs.handle(7, id, KEYS.sign(job.identity, job.message));
    else if (job.kind === 'agree') jobs.handle(7, id, KEYS.agree(job.exchange, job.peerKey, job.info));
  }
  return kinds;
}

function made(): { offer: Offer; jobs: Jobs } {
  const all = parts();
  let offer: Offer | undefined;
  openOffer(all, { peerId: 9, isOurs: true }, (_, opened) => {
    offer = opened;
  });
  run(all.jobs);
  return { offer: offer!, jobs: all.jobs };
}

const peerKey = (seed: number): Uint8Array => KEYS.createExchange(new Random(seed).bytes(32)).publicKey;

test('an offer is a signed PILA with a hint for whom it is', () => {
  const all = parts();
  openOffer(all, { peerId: 9, isOurs: false }, (now, offer) => {
    expect(now).toBe(7);
    const message = parseKeyExchange(offer!.pila)!;
    expect(message).toMatchObject({ authenticated: true, sender: 5, recipientHint: 9 });
    expect(message.exchangeKey).toEqual(offer!.publicKey);
    const signed = signedExchange(5, offer!.publicKey);
    expect(KEYS.verify(message.identityKey!, signed, message.signature!)).toBe(true);
  });
  expect(run(all.jobs)).toEqual(['createExchange', 'sign']);
  expect.assertions(5);
});

test('a runtime that fails leaves no private key behind', () => {
  for (const [failing, after] of [
    ['createExchange', ['createExchange']],
    ['sign', ['createExchange', 'sign', 'forget']],
  ] as const) {
    const all = parts();
    let answers = 0;
    openOffer(all, { peerId: 9, isOurs: true }, (_, offer) => {
      expect(offer).toBeUndefined();
      answers += 1;
    });
    expect(run(all.jobs, failing)).toEqual(after);
    expect(answers).toBe(1);
    expect(all.jobs.size).toBe(0);
  }
});

test('the private half is forgotten once: when closed, or when the last derivation is done', () => {
  const idle = made();
  idle.offer.close();
  idle.offer.close();
  expect(run(idle.jobs)).toEqual(['forget']);
  const busy = made();
  let keys = 0;
  busy.offer.derive(peerKey(2), (_, key) => {
    if (key?.length === 32) keys += 1;
  });
  busy.offer.derive(peerKey(3), (_, key) => {
    if (key?.length === 32) keys += 1;
  });
  busy.offer.close();
  expect(busy.offer.isBusy).toBe(true);
  expect(run(busy.jobs)).toEqual(['agree', 'agree', 'forget']);
  expect(busy.offer.isBusy).toBe(false);
  expect(keys).toBe(2);
});

test('it knows what it was combined with, and that is never much', () => {
  const { offer, jobs } = made();
  const key = peerKey(2);
  expect(offer.hasDerived(key)).toBe(false);
  offer.derive(key, () => {});
  expect([offer.hasDerived(key), offer.isDeriving(key), offer.isDeriving(peerKey(3))]).toEqual([true, true, false]);
  run(jobs);
  expect([offer.hasDerived(key), offer.isDeriving(key)]).toEqual([true, false]);
  for (let seed = 3; seed < 18; seed++) {
    expect(offer.isSpent).toBe(false);
    offer.derive(peerKey(seed), () => {});
  }
  expect(offer.isSpent).toBe(true);
});

test('a low-order point and an answer of the wrong kind give no key', () => {
  const { offer, jobs } = made();
  const keys: unknown[] = [];
  offer.derive(new Uint8Array(32), (_, key) => keys.push(key));
  run(jobs);
  offer.derive(peerKey(2), (_, key) => keys.push(key));
  const next = jobs.poll()!;
  jobs.handle(8, next.id, true);
  expect(keys).toEqual([undefined, undefined]);
});
