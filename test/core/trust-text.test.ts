import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RECEIVED_TEXT_BYTES, receivedText, SENT_TEXT_BYTES, sentText } from '../../src/core/trust-text.ts';
import { emitTrustMessage } from '../../src/wire/trust.ts';

const utf8 = (text: string): number => new TextEncoder().encode(text).length;
const binary = fc.string({ unit: 'binary', minLength: 1, maxLength: 1 });
const HOSTILE = ' \n\t\u0000\u001b\u0085\u00a0\u200b\u200d\u202e\u2028\ufeff\ud800';
const both = [receivedText, sentText];

describe('what a terminal may show', () => {
  test.each([
    ['plain words stay', 'to share results', 'to share results'],
    ['other scripts and pictures stay', 'Grüße, 你好 👋', 'Grüße, 你好 👋'],
    ['terminal controls go', 'a\u001b[31mred\u0007\u0000', 'a[31mred'],
    ['C1 controls go', 'a\u009b31mred', 'a31mred'],
    ['direction overrides go', 'pay \u202eeve\u2066 now', 'pay eve now'],
    ['invisible characters go', 'ad\u200bm\u200din\ufeff', 'admin'],
    ['lone surrogates go', 'a\ud800b\udc00c', 'abc'],
    ['private and unassigned code points go', 'a\ue000b\u{10ffff}c\u0378d', 'abcd'],
    ['line breaks and tabs become one space', 'one\r\n\ttwo\u2028three\u0085four', 'one two threefour'],
    ['spaces of all kinds become one', 'one\u00a0\u3000 two', 'one two'],
    ['spaces around something invisible become one too', 'one \u200b two', 'one two'],
    ['the ends are trimmed', '  \n hi \n ', 'hi'],
    ['nothing stays nothing', ' \u0000 ', ''],
  ])('%s', (_, text, shown) => {
    for (const reduce of both) expect(reduce(text)).toBe(shown);
  });

  test('a text that was cut is the same when it is read again', () => {
    const text = `${'x'.repeat(SENT_TEXT_BYTES - 1)} y`;
    expect(sentText(text)).toBe('x'.repeat(SENT_TEXT_BYTES - 1));
    expect(receivedText(`${'x'.repeat(RECEIVED_TEXT_BYTES - 1)} y`)).toBe('x'.repeat(RECEIVED_TEXT_BYTES - 1));
  });

  test('no text gets a character through that could do anything', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.oneof(fc.constantFrom(...HOSTILE), binary), maxLength: 200 }), (text) => {
        for (const reduce of both) {
          expect(reduce(text)).not.toMatch(/\p{C}|[^\S ]| {2}|^ | $/u);
          expect(reduce(reduce(text))).toBe(reduce(text));
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe('length', () => {
  test('a text that was received has at most 1,024 bytes, cut between characters', () => {
    expect(receivedText('x'.repeat(RECEIVED_TEXT_BYTES))).toHaveLength(RECEIVED_TEXT_BYTES);
    expect(receivedText('x'.repeat(5_000))).toHaveLength(RECEIVED_TEXT_BYTES);
    expect(receivedText(`x${'é'.repeat(600)}`)).toBe(`x${'é'.repeat(511)}`);
    expect(receivedText(`x${'你'.repeat(600)}`)).toBe(`x${'你'.repeat(341)}`);
    expect(receivedText(`xx${'👋'.repeat(600)}`)).toBe(`xx${'👋'.repeat(255)}`);
  });

  test('a text that we send counts as it will be written', () => {
    expect(sentText('x'.repeat(5_000))).toHaveLength(SENT_TEXT_BYTES);
    expect(sentText('"'.repeat(5_000))).toHaveLength(SENT_TEXT_BYTES / 2);
    expect(sentText('\\'.repeat(5_000))).toHaveLength(SENT_TEXT_BYTES / 2);
    expect(sentText('<'.repeat(5_000))).toHaveLength(SENT_TEXT_BYTES / 6);
  });

  test('whatever the operator writes, the message fits one segment of 1,152 bytes', () => {
    const longest = {
      publicKey: new Uint8Array(32).fill(255),
      signature: new Uint8Array(64).fill(255),
      nodeId: 0xffff_fffe,
      timestamp: 99_999_999_999,
    };
    const size = (text: string): number[] => [
      emitTrustMessage({ ...longest, type: 'handshake_request', justification: sentText(text), reason: '' }).length,
      emitTrustMessage({ ...longest, type: 'handshake_request', justification: '', reason: sentText(text) }).length,
    ];
    for (const piece of ['x', '"', '\\', '<&>', 'é', '你', '👋', '\u2028', '\n', '\u0001']) {
      expect(Math.max(...size(piece.repeat(3_000)))).toBeLessThanOrEqual(1_152);
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 500, maxLength: 2_000 }), (text) => {
        expect(Math.max(...size(text))).toBeLessThanOrEqual(1_152);
        expect(utf8(sentText(text)), 'the registry takes 1,024').toBeLessThanOrEqual(1_024);
        expect(utf8(receivedText(text))).toBeLessThanOrEqual(RECEIVED_TEXT_BYTES);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
