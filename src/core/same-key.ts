/** Whether two public keys are one. There is nothing to hide in them: this takes no constant time. */

/** @param a - Of any length, as it came. */
export function isSameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
