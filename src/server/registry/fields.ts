/**
 * Reading the fields of a request. Nothing here throws, and nothing is believed: a field of the wrong type is as good
 * as none, ids that are no ids are 0 (CP 1.3).
 */
import { fromBase64 } from '../../wire/base64.ts';
import type { RegistryFields } from '../../wire/registry.ts';

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** An id: a double cut to an integer; negative, too large or no number gives 0. */
export function readId(fields: RegistryFields, name: string, max = 0xffff_ffff): number {
  const value = fields[name];
  if (typeof value !== 'number' || !(value >= 0) || value > max) return 0;
  return Math.floor(value);
}

/** A text, or the empty one. */
export function readText(fields: RegistryFields, name: string): string {
  const value = fields[name];
  return typeof value === 'string' ? value : '';
}

/** Texts of an array; anything else in it is left out. */
export function readTexts(fields: RegistryFields, name: string): string[] {
  const value = fields[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** An Ed25519 key, or how many bytes stand in its place (-1: not base64). */
export function readKey(text: string): Uint8Array | number {
  const bytes = fromBase64(text);
  if (bytes === undefined) return -1;
  return bytes.length === KEY_BYTES ? bytes : bytes.length;
}

/** A signature: base64, or bytes where the binary protocol brought it. */
export function readSignature(fields: RegistryFields): Uint8Array | 'none' | 'malformed' {
  const value = fields.signature;
  if (value === undefined || value === '' || value === null) return 'none';
  const bytes = value instanceof Uint8Array ? value : typeof value === 'string' ? fromBase64(value) : undefined;
  return bytes?.length === SIGNATURE_BYTES ? bytes : 'malformed';
}

/** Compares secrets without telling by the time where they differ. An empty `expected` matches nothing. */
export function isSameSecret(given: string, expected: string): boolean {
  if (expected === '' || given.length !== expected.length) return false;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) difference |= given.charCodeAt(i) ^ expected.charCodeAt(i);
  return difference === 0;
}
