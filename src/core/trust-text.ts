/**
 * The free text in trust messages: what strangers write is reduced to what a terminal may show, and what we write to
 * what fits one segment together with the rest of the message (CP 2.2, 2.5).
 */

/** CP 2.5: of a text that was received, in UTF-8 bytes. */
export const RECEIVED_TEXT_BYTES = 1_024;

/**
 * Of a text that we send, in bytes as written in the message. The other fields of the longest message take 266 bytes
 * and a segment has 1,152: the reference loses a message that is split (CP 2.2). Below the registry's 1,024 (CP 1.9.2).
 */
export const SENT_TEXT_BYTES = 864;

/** Controls, format characters such as direction overrides, lone surrogates, private and unassigned code points. */
const UNPRINTABLE = /\p{C}+/gu;
const SPACES = /\p{Z}+/gu;

/** Printable characters only, cut between characters after `RECEIVED_TEXT_BYTES`. */
export function receivedText(text: string): string {
  return cut(printable(text), RECEIVED_TEXT_BYTES, utf8Bytes);
}

/** Printable characters only, cut between characters after `SENT_TEXT_BYTES`. */
export function sentText(text: string): string {
  return cut(printable(text), SENT_TEXT_BYTES, escapedBytes);
}

/** Line breaks and tabs become spaces, so that words stay apart. */
function printable(text: string): string {
  return text.replace(/\s+/gu, ' ').replace(UNPRINTABLE, '').replace(SPACES, ' ').trim();
}

function cut(text: string, limit: number, size: (character: string) => number): string {
  let bytes = 0;
  let length = 0;
  for (const character of text) {
    bytes += size(character);
    if (bytes > limit) return text.slice(0, length).trimEnd();
    length += character.length;
  }
  return text;
}

function utf8Bytes(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
}

/** As `emitTrustMessage` writes it: two of JSON's escapes, and Go's for what HTML could read. */
function escapedBytes(character: string): number {
  if (character === '"' || character === '\\') return 2;
  return character === '<' || character === '>' || character === '&' ? 6 : utf8Bytes(character);
}
