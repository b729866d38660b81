import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/config.ts';
import {
  emitTrustFile,
  emptyRecords,
  MAILBOX,
  parseTrustFile,
  type TrustFile,
  type TrustRecords,
} from '../../src/core/trust-file.ts';
import { toBase64 } from '../../src/wire/base64.ts';
import { keyOf } from './trust-harness.ts';

const KEY = keyOf(7);
const TIME = 1_700_000_000;
const TEXT = '2023-11-14T22:13:20Z';

function read(file: object): TrustFile {
  return parseTrustFile(JSON.stringify(file));
}

/** What is left of one entry of a table. */
function entryOf(table: 'trusted' | 'pending' | 'outgoing' | 'revoked', entry: unknown): unknown {
  const { records, skipped } = read({ [table]: [entry] });
  expect(records[table].size + skipped).toBe(1);
  return records[table].get(7);
}

/** As the existing network writes it (CP 2.9). */
const EXISTING = `{
  "trusted": [
    {
      "node_id": 7,
      "public_key": "${toBase64(KEY)}",
      "approved_at": "2023-11-15T00:13:20.123456789+02:00",
      "mutual": true
    },
    {
      "node_id": 8,
      "public_key": "",
      "approved_at": "${TEXT}",
      "mutual": false,
      "network": 12
    }
  ],
  "pending": [
    { "node_id": 9, "received_at": "${TEXT}" },
    { "node_id": 10, "public_key": "${toBase64(keyOf(10))}", "justification": "hi", "received_at": "${TEXT}", "source": "relay" }
  ],
  "revoked": [{ "node_id": 11, "until": "${TEXT}" }]
}`;

const ALL: TrustRecords = {
  trusted: new Map([
    [
      7,
      {
        nodeId: 7,
        publicKey: KEY,
        approvedAt: TIME,
        isMutual: true,
        network: 12,
        ports: [1000, 0, 65_535],
        expiresAt: TIME + 60,
        isReported: true,
      },
    ],
    [
      8,
      {
        nodeId: 8,
        publicKey: undefined,
        approvedAt: 0,
        isMutual: false,
        network: 0,
        ports: undefined,
        expiresAt: undefined,
        isReported: false,
      },
    ],
  ]),
  pending: new Map([
    [9, { nodeId: 9, publicKey: KEY, justification: '<b>"hi"</b>', receivedAt: TIME, source: MAILBOX }],
    [10, { nodeId: 10, publicKey: undefined, justification: '', receivedAt: TIME, source: undefined }],
  ]),
  outgoing: new Map([
    [11, { nodeId: 11, justification: 'why', requestedAt: TIME }],
    [12, { nodeId: 12, justification: '', requestedAt: TIME }],
  ]),
  revoked: new Map([
    [13, { nodeId: 13, until: TIME, isConfirmed: true }],
    [14, { nodeId: 14, until: TIME, isConfirmed: false }],
  ]),
  foreign: { schema: 3, later: { deep: [1, { two: null }] } },
};

describe('text and back', () => {
  test('files of the existing network are read', () => {
    const { records, skipped, isDamaged } = parseTrustFile(EXISTING);
    expect([skipped, isDamaged]).toEqual([0, false]);
    const none = { ports: undefined, expiresAt: undefined, isReported: true };
    expect([...records.trusted.values()]).toEqual([
      { nodeId: 7, publicKey: KEY, approvedAt: TIME, isMutual: true, network: 0, ...none },
      { nodeId: 8, publicKey: undefined, approvedAt: TIME, isMutual: false, network: 12, ...none },
    ]);
    expect([...records.pending.values()]).toEqual([
      { nodeId: 9, publicKey: undefined, justification: '', receivedAt: TIME, source: undefined },
      { nodeId: 10, publicKey: keyOf(10), justification: 'hi', receivedAt: TIME, source: MAILBOX },
    ]);
    expect([...records.revoked.values()]).toEqual([{ nodeId: 11, until: TIME, isConfirmed: true }]);
    expect(records.outgoing.size).toBe(0);
  });

  test('what is written is what the existing network would write, where it has the fields', () => {
    const written = JSON.parse(emitTrustFile(parseTrustFile(EXISTING).records));
    const expected = JSON.parse(EXISTING);
    expected.trusted[0].approved_at = TEXT;
    expect(written).toEqual(expected);
  });

  test('two spaces, empty tables left out, trusted never', () => {
    expect(emitTrustFile(emptyRecords())).toBe('{\n  "trusted": []\n}');
  });

  test('everything comes back as it was, in its order, and once more the same text', () => {
    const text = emitTrustFile(ALL);
    const { records, skipped, isDamaged } = parseTrustFile(text);
    expect(records).toEqual(ALL);
    expect([...records.trusted.keys(), ...records.revoked.keys()]).toEqual([7, 8, 13, 14]);
    expect([skipped, isDamaged]).toEqual([0, false]);
    expect(emitTrustFile(records)).toBe(text);
  });

  test('null tables and no tables are empty', () => {
    for (const file of [{}, { trusted: null, pending: null, outgoing: null, revoked: null }]) {
      expect(read(file)).toEqual({ records: emptyRecords(), skipped: 0, isDamaged: false });
    }
  });
});

describe('entries that cannot be read are left out, not guessed at', () => {
  const good = { node_id: 7, public_key: toBase64(KEY), approved_at: TEXT, mutual: true };

  test('the good one is read', () => {
    expect(entryOf('trusted', { ...good, ports: [1000], expires_at: TEXT, extra: {} })).toMatchObject({
      publicKey: KEY,
      ports: [1000],
      expiresAt: TIME,
    });
  });

  test.each([0, -1, 1.5, '7', null, undefined, 0xffff_ffff, 0x1_0000_0000, [7], {}])('node id %j', (node_id) => {
    for (const table of ['trusted', 'pending', 'outgoing', 'revoked'] as const) {
      const times = { received_at: TEXT, requested_at: TEXT, until: TEXT };
      expect(entryOf(table, { ...good, ...times, node_id })).toBeUndefined();
    }
  });

  test.each([null, 7, 'seven', [], [7], true])('%j instead of an entry', (entry) => {
    expect(entryOf('trusted', entry)).toBeUndefined();
  });

  test.each(['AAAA', 'not base64!', toBase64(new Uint8Array(33)), 7, {}])('key %j', (public_key) => {
    expect(entryOf('trusted', { ...good, public_key })).toBeUndefined();
    expect(entryOf('pending', { ...good, received_at: TEXT, public_key })).toBeUndefined();
  });

  test.each([
    { ports: 'all' },
    { ports: [1000, '1001'] },
    { ports: [-1] },
    { ports: [65_536] },
    { ports: null },
    { expires_at: 'never' },
    { expires_at: TIME },
    { expires_at: null },
    { network: -1 },
    { network: 65_536 },
    { network: '12' },
    { network: null },
  ])('a limit that is none, %j, is not unlimited trust', (limit) => {
    expect(entryOf('trusted', { ...good, ...limit })).toBeUndefined();
  });

  test('no ports are none, not all', () => {
    expect(entryOf('trusted', { ...good, ports: [] })).toMatchObject({ ports: [] });
  });

  test('mutual is true or it is not', () => {
    for (const mutual of [undefined, null, 1, 'true']) {
      expect(entryOf('trusted', { ...good, mutual })).toMatchObject({ isMutual: false });
    }
  });

  test('without its time a request or revocation is nothing, trust is old', () => {
    for (const time of [undefined, null, TIME, 'yesterday']) {
      expect(entryOf('pending', { node_id: 7, received_at: time })).toBeUndefined();
      expect(entryOf('outgoing', { node_id: 7, requested_at: time })).toBeUndefined();
      expect(entryOf('revoked', { node_id: 7, until: time })).toBeUndefined();
      expect(entryOf('trusted', { ...good, approved_at: time })).toMatchObject({ approvedAt: 0 });
    }
  });

  test('texts are reduced to what may be shown; sources are short', () => {
    const pending = { node_id: 7, received_at: TEXT, justification: 'a\u001b[2Jb', source: 'x'.repeat(65) };
    expect(entryOf('pending', pending)).toMatchObject({ justification: 'a[2Jb', source: undefined });
    expect(entryOf('pending', { ...pending, source: 'x'.repeat(64), justification: 7 })).toMatchObject({
      justification: '',
      source: 'x'.repeat(64),
    });
    expect(entryOf('outgoing', { node_id: 7, requested_at: TEXT, justification: 'a\u0000b' })).toMatchObject({
      justification: 'ab',
    });
  });

  test('only what says so is unconfirmed or unreported', () => {
    expect(entryOf('trusted', { ...good, unreported: true })).toMatchObject({ isReported: false });
    expect(entryOf('trusted', { ...good, unreported: 'true' })).toMatchObject({ isReported: true });
    expect(entryOf('revoked', { node_id: 7, until: TEXT, unconfirmed: true })).toMatchObject({ isConfirmed: false });
    expect(entryOf('revoked', { node_id: 7, until: TEXT, unconfirmed: 1 })).toMatchObject({ isConfirmed: true });
  });

  test('the first entry of a node counts', () => {
    const { records, skipped } = read({ trusted: [{ ...good, ports: [1000] }, good] });
    expect([records.trusted.get(7)?.ports, skipped]).toEqual([[1000], 1]);
  });

  test('a table that is no list is skipped', () => {
    expect(read({ trusted: { node_id: 7 }, pending: 'none' })).toMatchObject({ skipped: 2, isDamaged: false });
  });
});

describe('limits', () => {
  test('more entries than a table may have are left out, the first stay', () => {
    const count = LIMITS.pendingTrust + 5;
    const pending = Array.from({ length: count }, (_, i) => ({ node_id: i + 1, received_at: TEXT }));
    const { records, skipped } = read({ pending });
    expect([records.pending.size, skipped, records.pending.has(1)]).toEqual([LIMITS.pendingTrust, 5, true]);
    const outgoing = Array.from({ length: 2_000 }, (_, i) => ({ node_id: i + 1, requested_at: TEXT }));
    expect(read({ outgoing }).records.outgoing.size).toBe(LIMITS.outgoingTrust);
  });

  test('a text of more than 64 MiB is damaged', () => {
    expect(parseTrustFile(`{}${' '.repeat(LIMITS.processBytes)}`).isDamaged).toBe(true);
  });

  test('unknown fields that nest deeply are left out, all others are kept as they are', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    const { records } = read({ flat: 1, eight: nested(8), nine: nested(9) });
    expect(Object.keys(records.foreign)).toEqual(['flat', 'eight']);
    const text = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)},"trusted":[{"node_id":7}]}`;
    expect(emitTrustFile(parseTrustFile(text).records).length).toBeLessThan(200);
  });

  test('an unknown field cannot stand in for a table, or for anything else', () => {
    const text = '{"__proto__":{"polluted":1},"constructor":2,"trusted":[{"node_id":7,"__proto__":{"ports":[]}}]}';
    const { records } = parseTrustFile(text);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(records.trusted.get(7)).toMatchObject({ nodeId: 7, ports: undefined });
    expect(emitTrustFile(records)).toContain('"__proto__"');
  });
});

describe('hostile text', () => {
  test.each(['', ' ', 'null', '7', '"text"', '[]', '{', '{"trusted":[', '\u0000', '{}{}', "{'a':1}"])(
    '%j is damaged, without a throw',
    (text) => {
      expect(parseTrustFile(text)).toEqual({ records: emptyRecords(), skipped: 0, isDamaged: true });
    },
  );

  test('every truncation is damaged', () => {
    const text = emitTrustFile(ALL);
    for (let length = 0; length < text.length; length++) {
      expect(parseTrustFile(text.slice(0, length)).isDamaged).toBe(true);
    }
  });

  test('any JSON is read, and written so that it reads the same', () => {
    const field = fc.constantFrom('trusted', 'pending', 'outgoing', 'revoked', 'other');
    const key = fc.constantFrom(
      'node_id',
      'public_key',
      'approved_at',
      'received_at',
      'requested_at',
      'until',
      'ports',
    );
    const value = fc.oneof(fc.integer({ min: -1, max: 9 }), fc.constant(TEXT), fc.string(), fc.jsonValue());
    const entries = fc.array(fc.dictionary(key, value), { maxLength: 5 });
    fc.assert(
      fc.property(fc.dictionary(field, fc.oneof(entries, fc.jsonValue())), (file) => {
        const once = read(file);
        const text = emitTrustFile(once.records);
        const again = parseTrustFile(text);
        expect([again.skipped, again.isDamaged]).toEqual([0, false]);
        expect(emitTrustFile(again.records)).toBe(text);
      }),
      { seed: 1, numRuns: 1_000 },
    );
  });
});
