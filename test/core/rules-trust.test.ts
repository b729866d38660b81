/**
 * Single rules of trust messages on their way (CP 2.2, 2.7, design: decision 11): when the mailbox is acknowledged, how many
 * streams are open and for how long.
 */
import { describe, expect, test } from 'vitest';
import { EVENT } from '../../src/core/events.ts';
import { Jobs } from '../../src/core/jobs.ts';
import { Counters } from '../../src/core/stats.ts';
import type { Stream } from '../../src/core/streams.ts';
import { type DeliveryNews, TrustDelivery } from '../../src/core/trust-delivery.ts';
import type { TrustAction } from '../../src/core/trust-exchange.ts';
import { parseTrustMessage } from '../../src/wire/trust.ts';
import { fakePeer, NOW, stub } from './rules-rig.ts';

describe('trust messages on their way', () => {
  const UNIX = 1_700_000_000_000;
  type Found = { ok: true; value: Uint8Array };

  function delivery() {
    const actions: TrustAction[] = [];
    const counters = new Counters();
    const jobs = new Jobs();
    const lookups: ((now: number, found: Found) => void)[] = [];
    const dialled: FakeStream[] = [];
    const parts = {
      trust: {
        pollAction: () => actions.shift(),
        save: () => 'text',
        handleTimeout: () => {},
        pollTimeout: () => Number.POSITIVE_INFINITY,
        handleRelayedRequest: () => 'accepted',
      },
      streams: { touch: () => {} },
      directory: {
        forgetRefusals: () => {},
        key: (_: number, __: number, then: (now: number, found: Found) => void) => lookups.push(then),
      },
      client: {},
      ...{ jobs, counters, unixOffset: UNIX - NOW },
      context: { nodeId: 1, identity: 1, identityKey: new Uint8Array(32).fill(1) },
      dial: (_: number, peer: number) => {
        dialled.push(fakeStream(100 + dialled.length, peer));
        return dialled.at(-1);
      },
      source: () => '198.51.100.7',
    };
    const made = new TrustDelivery(stub<ConstructorParameters<typeof TrustDelivery>[0]>(parts));
    const news = (): DeliveryNews['type'][] => {
      const all: DeliveryNews['type'][] = [];
      made.drain(NOW);
      for (let one = made.pollNews(); one !== undefined; one = made.pollNews()) all.push(one.type);
      return all;
    };
    return { delivery: made, actions, counters, jobs, lookups, dialled, news };
  }

  interface FakeStream {
    readonly stream: Stream;
    bytes: Uint8Array;
    readonly written: Uint8Array[];
    isAborted: boolean;
    readonly id: number;
  }

  /** It can be read from, written to and aborted. */
  function fakeStream(id: number, peer: number): FakeStream & Stream {
    const made = {
      id,
      peer: fakePeer({ id: peer }),
      bytes: new Uint8Array(0),
      written: [] as Uint8Array[],
      isAborted: false,
      connection: {
        get readableBytes() {
          return made.bytes.length;
        },
        read(into: Uint8Array) {
          into.set(made.bytes.subarray(0, into.length));
          made.bytes = made.bytes.slice(into.length);
          return into.length;
        },
        write: (bytes: Uint8Array) => made.written.push(bytes),
        close: () => {},
        abort: () => {
          made.isAborted = true;
        },
      },
    };
    return stub<FakeStream & Stream>(made);
  }

  const mail = { type: 'ok', requests: [{ from_node_id: 2, seq: 5, timestamp: UNIX / 1_000, justification: '' }] };
  const found: Found = { ok: true, value: new Uint8Array(32).fill(2) };

  test('the mailbox is acknowledged when its entries are read and written here', () => {
    const t = delivery();
    t.delivery.handleMailbox(NOW, mail);
    expect(t.news()).toEqual([]);
    t.actions.push({ type: 'persist' });
    t.lookups[0]!(NOW, found);
    expect(t.news()).toEqual(['save']);
    expect(t.news()).toEqual([]);
    t.delivery.handleSaved(NOW);
    expect(t.news()).toEqual(['acknowledge']);
    expect(t.news()).toEqual([]);
  });

  test('nothing is told before the file is written', () => {
    const t = delivery();
    const event = { type: 'received', peer: 2, justification: '' } as const;
    t.actions.push({ type: 'persist' }, { type: 'event', event });
    expect(t.news()).toEqual(['save']);
    t.delivery.handleSaved(NOW);
    expect(t.news()).toEqual(['changed', 'event']);
  });

  test('one source holds 16 open streams, all sources together 64', () => {
    const t = delivery();
    const streams = Array.from({ length: 6 * 17 }, (_, i) => fakeStream(i + 1, 2 + Math.floor(i / 17)));
    for (const stream of streams) t.delivery.handleStream(NOW, stream, 0);
    expect(streams.slice(0, 17).filter(({ isAborted }) => isAborted)).toEqual([streams[16]]);
    expect(streams.filter(({ isAborted }) => !isAborted).length).toBe(64);
    expect(t.counters.dropped('trustLimited')).toBe(6 * 17 - 64);
  });

  test('a message has 10 s to arrive', () => {
    const t = delivery();
    const stream = fakeStream(1, 2);
    t.delivery.handleStream(NOW, stream, 0);
    expect(t.delivery.pollTimeout()).toBe(NOW + 10_000);
    t.delivery.handleTimeout(NOW + 9_999);
    expect(t.delivery.owns(stream)).toBe(true);
    t.delivery.handleTimeout(NOW + 10_000);
    expect(t.delivery.owns(stream)).toBe(false);
    expect(t.counters.dropped('trustMalformed')).toBe(1);
  });

  test('a message has 64 KiB at most', () => {
    const t = delivery();
    const stream = fakeStream(1, 2);
    const text = new TextEncoder().encode(`{"type":"handshake_request","justification":"${'x'.repeat(70_000)}`);
    stream.bytes = text.slice(0, 65_536);
    t.delivery.handleStream(NOW, stream, 0);
    expect(t.delivery.owns(stream)).toBe(true);
    stream.bytes = text.slice(65_536, 65_537);
    t.delivery.handleStream(NOW, stream, 0);
    expect(t.delivery.owns(stream)).toBe(false);
    expect(t.counters.dropped('trustMalformed')).toBe(1);
  });

  test('two messages of one kind to one peer never carry one time stamp', () => {
    const t = delivery();
    const stamps: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      t.actions.push({
        ...{ type: 'sendDirect', peer: 2, messageType: 'handshake_request' },
        ...{ justification: '', reason: '' },
      } as TrustAction);
      t.delivery.drain(NOW);
      const job = t.jobs.poll()!;
      t.jobs.handle(NOW, job.id, new Uint8Array(64));
      const stream = t.dialled.at(-1)! as FakeStream & Stream;
      t.delivery.handleStream(NOW, stream, EVENT.connected);
      const message = parseTrustMessage(stream.written[0]!);
      stamps.push(typeof message === 'object' ? message.timestamp : message);
    }
    expect(stamps).toEqual([0, 1, 2].map((late) => UNIX / 1_000 + late));
  });
});
