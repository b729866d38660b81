/**
 * Base64 with the standard alphabet and padding (RFC 4648 §4), and hex. For keys and signatures in JSON; not constant
 * time, and not for bulk data.
 */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const PADDING = 0x3d;
const INVALID = 0xff;

/** Code unit → six bits. */
const SEXTETS: Uint8Array = new Uint8Array(128).fill(INVALID);
for (let i = 0; i < ALPHABET.length; i++) SEXTETS[ALPHABET.charCodeAt(i)] = i;

/** Encodes with padding. */
export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += ALPHABET[group >>> 18]! + ALPHABET[(group >>> 12) & 63]!;
    text += left > 1 ? ALPHABET[(group >>> 6) & 63]! : '=';
    text += left > 2 ? ALPHABET[group & 63]! : '=';
  }
  return text;
}

/** Decodes what `toBase64` writes and nothing else: no white space, no missing padding, unused bits zero. */
export function fromBase64(text: string): Uint8Array | undefined {
  const { length } = text;
  if (length % 4 !== 0) return undefined;
  if (length === 0) return new Uint8Array(0);
  const padding = text.charCodeAt(length - 1) !== PADDING ? 0 : text.charCodeAt(length - 2) !== PADDING ? 1 : 2;
  const bytes = new Uint8Array((length / 4) * 3 - padding);
  let at = 0;
  for (let i = 0; i < length; i += 4) {
    const unused = i + 4 === length ? padding : 0;
    const group = readGroup(text, i, unused);
    // RFC 4648 §3.5: bits that no byte uses must be zero, or two texts would mean one key.
    if (group < 0 || (unused > 0 && (group & ((1 << (8 * unused)) - 1)) !== 0)) return undefined;
    bytes[at++] = group >>> 16;
    if (unused < 2) bytes[at++] = group >>> 8;
    if (unused < 1) bytes[at++] = group;
  }
  return bytes;
}

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += (byte < 16 ? '0' : '') + byte.toString(16);
  return text;
}

/** Decodes hex of either case. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Four characters, the last `padding` of them taken as zero. @returns 24 bits, or -1. */
function readGroup(text: string, offset: number, padding: number): number {
  let group = 0;
  for (let i = 0; i < 4; i++) {
    const sextet = i < 4 - padding ? (SEXTETS[text.charCodeAt(offset + i)] ?? INVALID) : 0;
    if (sextet === INVALID) return -1;
    group = (group << 6) | sextet;
  }
  return group;
}
